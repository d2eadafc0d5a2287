//! Who has a slot, by the pidfds that a keeper keeps for its next supervisor.

use tallyboard_segment::pidfd::Pidfd;

/// Who has a slot.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) generation: u64,
    pub(crate) pid: u32,
    pub(crate) pidfd: Pidfd,
}

/// Who has which slot.
#[derive(Debug, Default)]
pub(crate) struct Holders(Vec<Option<Holder>>);

impl Holders {
    /// Nobody, of so many slots.
    pub(crate) fn of(slots: usize) -> Self {
        Self((0..slots).map(|_| None).collect())
    }

    /// Somebody has a slot from now on.
    pub(crate) fn put(&mut self, slot: usize, holder: Holder) {
        if let Some(place) = self.0.get_mut(slot) {
            *place = Some(holder);
        }
    }

    /// Who has a slot in this generation; forgotten here.
    pub(crate) fn take(&mut self, slot: usize, generation: u64) -> Option<Holder> {
        let holder = self.0.get_mut(slot).and_then(Option::take);
        holder.filter(|holder| holder.generation == generation)
    }

    /// Those who live; the others are forgotten.
    pub(crate) fn living(&mut self) -> impl Iterator<Item = &Holder> {
        for place in &mut self.0 {
            if place.as_ref().is_some_and(|holder| holder.pidfd.is_dead()) {
                *place = None;
            }
        }
        self.0.iter().flatten()
    }
}
