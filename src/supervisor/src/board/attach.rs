//! Who has a slot: it is granted, taken, released, and left by the dead.

use std::collections::HashMap;
use std::io;

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::control::{Attached, Hello, MAX_SLOTS_PER_PROCESS, Refused, RefusedReason};
use tallyboard_proto::layout::{DROP_REASONS, LAYOUT_VERSION, PAGE_WORDS, slot_header};
use tallyboard_proto::log::Mark;
use tallyboard_proto::slot::{SlotHeader, SlotWord, State, Tenant};

use crate::board::core::Core;
use crate::board::slot::Slot;

/// A process that asks for a slot, as the kernel names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Pid as the supervisor sees it; 0 when it cannot.
    pub pid: u32,
    /// Uid.
    pub uid: u32,
    /// The uid that it is let in as: that of the supervisor, for a process of its own application.
    pub admitted_as: u32,
    /// Inode of its pidfd; 0 when unknown.
    pub pidfs_inode: u64,
    /// Start time in clock ticks since boot; 0 when unknown.
    pub start_time: u64,
}

impl<P> Core<P> {
    /// Gives a slot to `caller`. `announce` is called with slot and generation before the slot is
    /// assigned; what it says is memorised by whoever restarts this supervisor.
    ///
    /// # Errors
    /// [`Refused`] says why, and what to do.
    pub fn attach(
        &mut self,
        caller: &Caller,
        hello: &Hello,
        now_ms: u64,
        announce: impl FnOnce(usize, u64) -> io::Result<()>,
    ) -> Result<Attached, Refused> {
        let granted = self.grant(caller, hello, now_ms, announce);
        if let Err(refused) = &granted {
            *self.figures.refused.entry(refused.reason).or_default() += 1;
            tracing::warn!(
                pid = caller.pid,
                uid = caller.uid,
                reason = refused.reason.name(),
                "refused a worker: {refused}"
            );
        }
        granted
    }

    fn grant(
        &mut self,
        caller: &Caller,
        hello: &Hello,
        now_ms: u64,
        announce: impl FnOnce(usize, u64) -> io::Result<()>,
    ) -> Result<Attached, Refused> {
        self.check(caller, hello)?;
        let own = self.slots_of(caller);
        let same = own.iter().copied().find(|&slot| {
            let tenant = &self.slots[slot].tenant;
            tenant.attach_id == hello.attach_id && tenant.image == hello.image
        });
        if let Some(slot) = same {
            return Ok(self.attached(slot));
        }
        self.replace_image(&own, hello.image);
        let taken = self.slots_of(caller).len();
        if taken >= MAX_SLOTS_PER_PROCESS {
            return Err(Refused {
                reason: RefusedReason::ProcessLimit,
                detail: format!(
                    "a process has at most {MAX_SLOTS_PER_PROCESS} slots, found {taken}; use one client per process"
                ),
            });
        }
        let prefix = self.prefix_for(hello);
        if self.free.is_empty() {
            self.give_up();
        }
        let Some(&slot) = self.free.front() else {
            let slots = self.slots.len();
            return Err(Refused {
                reason: RefusedReason::SlotsFull,
                detail: format!(
                    "all {slots} slots are taken; start the supervisor with a larger --slots"
                ),
            });
        };
        self.make_slot_real(slot, prefix.cells).map_err(|error| {
            Refused { reason: RefusedReason::Memory, detail: format!("no memory for another slot: {error}; free memory, or raise the limit of the file system or container") }
        })?;
        announce(slot, self.slots[slot].word.generation).map_err(|error| Refused {
            reason: RefusedReason::Unready,
            detail: format!("the keeper does not answer: {error}; try again"),
        })?;
        self.free.pop_front();
        self.assign(slot, caller, hello, prefix, now_ms);
        self.figures.attaches += 1;
        Ok(self.attached(slot))
    }

    fn check(&self, caller: &Caller, hello: &Hello) -> Result<(), Refused> {
        let (version, print) = (hello.layout, hello.fingerprint);
        if version != LAYOUT_VERSION || print != FINGERPRINT {
            return Err(Refused {
                reason: RefusedReason::Layout,
                detail: format!(
                    "expected layout {LAYOUT_VERSION} ({FINGERPRINT:#018x}), found {version} ({print:#018x}); use the same release of Tallyboard in supervisor and worker"
                ),
            });
        }
        self.grants.guests.check_worker(caller.admitted_as)
    }

    /// Taken slots of the process `caller`.
    fn slots_of(&self, caller: &Caller) -> Vec<usize> {
        let is_same = |tenant: &Tenant| match caller.pidfs_inode {
            0 => {
                caller.pid != 0
                    && tenant.pid == u64::from(caller.pid)
                    && tenant.start_time == caller.start_time
            }
            inode => tenant.pidfs_inode == inode,
        };
        let taken = |slot: &Slot| slot.word.state != State::Free && !slot.exited;
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| taken(slot) && is_same(&slot.tenant)).map(|(at, _)| at).collect()
    }

    /// Slots that the process had before it executed another program: nobody writes them any more.
    fn replace_image(&mut self, own: &[usize], image: u64) {
        for &slot in own {
            if self.slots[slot].tenant.image != image {
                self.slots[slot].exited = true;
            }
        }
        self.reclaim();
    }

    /// How much of the catalog a worker takes over: all of it when it has no handles yet, what it
    /// had before when it comes back to this arena, nothing when it comes from another.
    fn prefix_for(&self, hello: &Hello) -> Mark {
        match hello.rejoin {
            None => self.catalog.contents().end(),
            Some(rejoin) if rejoin.arena_id == self.origin.arena_id => {
                let words = usize::try_from(rejoin.prefix).unwrap_or(usize::MAX);
                self.catalog.contents().mark(words).unwrap_or_default()
            }
            Some(_) => Mark::default(),
        }
    }

    fn make_slot_real(&self, slot: usize, cells: usize) -> io::Result<()> {
        let start = self.layout.slot(slot);
        if self.whole_slots {
            return self.arena.make_real(start..start + self.layout.slot_words);
        }
        // Whoever has a slot has room in it for the first things that it counts.
        let cells = slot_header::WORDS + cells.max(1);
        self.arena.make_real(start..start + cells.next_multiple_of(PAGE_WORDS))?;
        let log = self.layout.slot_log(slot).start;
        self.arena.make_real(log..log + PAGE_WORDS)
    }

    fn assign(&mut self, slot: usize, caller: &Caller, hello: &Hello, prefix: Mark, now_ms: u64) {
        let taken = &mut self.slots[slot];
        taken.tenant = Tenant {
            pid: caller.pid.into(),
            pidfs_inode: caller.pidfs_inode,
            start_time: caller.start_time,
            uid: caller.uid.into(),
            image: hello.image,
            attach_id: hello.attach_id,
            prefix: prefix.words as u64,
            attached_at_ms: now_ms,
        };
        taken.class = Some(self.classes.of_prefix(&self.catalog, prefix));
        taken.log_words = 0;
        (taken.waits, taken.is_given_up) = (false, false);
        taken.row = Vec::new();
        taken.lanes = 0;
        taken.dropped = [0; DROP_REASONS];
        taken.judged.clear();
        taken.quarantine = None;
        taken.exited = false;
        taken.shares_pid = false;
        taken.tenant.write(&self.arena, &self.layout, slot);
        self.go_to(slot, State::Assigned);
        self.mark_shared_pids();
    }

    fn attached(&self, slot: usize) -> Attached {
        let taken = &self.slots[slot];
        Attached {
            slot: slot as u64,
            generation: taken.word.generation,
            arena_id: self.origin.arena_id,
            prefix: taken.tenant.prefix,
            label_limit: self.grants.label_limit as u64,
            unix_offset_ns: self.origin.unix_offset_ns,
            geometry: self.layout.geometry.to_words(),
        }
    }

    /// The worker has taken its slot and will store into it.
    pub fn confirm(&mut self, slot: usize, generation: u64) {
        if self.slots[slot].word == (SlotWord { state: State::Assigned, generation }) {
            self.go_to(slot, State::Live);
        }
    }

    /// The worker hung up without taking its slot, and so has stored nothing.
    pub fn release(&mut self, slot: usize, generation: u64) {
        let taken = &self.slots[slot];
        if taken.word == (SlotWord { state: State::Assigned, generation }) && !taken.exited {
            let is_written = SlotHeader::read(&self.arena, self.layout.slot(slot)).is_some();
            if is_written || self.is_folded(slot) {
                // Somebody wrote into it without taking it: its generation is used up.
                self.slots[slot].exited = true;
                self.reclaim();
                return;
            }
            self.go_to(slot, State::Free);
            self.vacate(slot);
        }
    }

    /// The kernel says that the worker of the slot is dead. [`Core::reclaim`] acts on it.
    pub fn exited(&mut self, slot: usize, generation: u64) {
        let taken = &mut self.slots[slot];
        if taken.word.generation == generation && taken.word.state != State::Free && !taken.exited {
            taken.exited = true;
            self.figures.worker_exits += 1;
        }
    }

    /// The slots whose workers may live: number, generation and who has them.
    pub fn tenants(&self) -> impl Iterator<Item = (usize, u64, &Tenant)> {
        let slot = |at: usize| (at, self.slots[at].word.generation, &self.slots[at].tenant);
        self.taken().filter(|&at| !self.slots[at].exited).map(slot)
    }

    /// Marks every slot whose pid another taken slot has too: two clients in one process, or
    /// processes that are both pid 1 of a namespace. The mark stays for the slot's turn, so that
    /// its samples have the same labels until its worker is dead, and after that.
    pub(crate) fn mark_shared_pids(&mut self) {
        let mut pids: HashMap<u64, usize> = HashMap::new();
        for slot in self.taken() {
            *pids.entry(self.slots[slot].tenant.pid).or_default() += 1;
        }
        let taken: Vec<usize> = self.taken().collect();
        for slot in taken {
            let taken = &mut self.slots[slot];
            taken.shares_pid |= pids[&taken.tenant.pid] > 1;
        }
    }
}
