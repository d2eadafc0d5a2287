//! Moving into a slot that was taken.

use std::time::Instant;

use tallyboard_proto::control::Attached;
use tallyboard_proto::layout::DropReason;
use tallyboard_proto::log::{Action, Mark, Record, Removal};
use tallyboard_proto::slot::SlotHeader;
use tallyboard_segment::fork::ForkMutexGuard;

use super::attach::AttachError;
use super::pump::Pump;
use super::state::{Attachment, Origin, State, Taken};

/// Writes header and log into a slot that was taken, copies into it what was counted so far, and
/// publishes it. Gives the pump for what comes late. When there is no room, all is as before.
pub(crate) fn move_in(
    state: &mut ForkMutexGuard<'_, State>,
    (mapping, layout, granted): Taken,
    token: u64,
) -> Result<Option<Pump>, AttachError> {
    let Attached { slot, generation, arena_id, .. } = granted;
    let kept = state.origin.filter(|origin| origin.arena_id == arena_id);
    let origin = kept.unwrap_or(Origin { arena_id, prefix: Mark::default() });
    let own_log = match kept {
        Some(_) => state.own_log.clone(),
        None => state.whole_log(),
    };
    // What has ended stays behind: the slot has only what was counted since.
    let removed = state.ended.iter().filter(|(_, ended)| ended.is_removed);
    let removed = removed.flat_map(|(&series, ended)| {
        let cells = vec![0; ended.cells.len()].into();
        Record::Removal(Removal { series, action: Action::Remove, at_ms: ended.at_ms, cells })
            .to_words()
    });
    let log: Vec<u64> = own_log.iter().copied().chain(removed).collect();
    SlotHeader { generation, arena_id, prefix: origin.prefix.words as u64 }.write(&mapping, 0);
    // The prefix owns cells too: all of them are real before the base is published.
    let cells = state.contents.end().cells;
    State::write(&layout, &mapping, 0, &log, cells).map_err(no_room)?;
    let old = state.page().mapping();
    let mut pump = old.map(|old| Pump::new(&state.contents, &state.ended, old));
    if let Some(pump) = &mut pump {
        pump.turn(&mapping);
    }
    state.page().publish(mapping, token).map_err(|_| no_room(DropReason::Memory))?;
    state.attachment = Some(Attachment { slot, generation, arena_id, token });
    state.attach_id = token;
    state.checked_at = Instant::now();
    state.origin = Some(origin);
    state.own_log = own_log;
    state.committed = log.len();
    state.leave_ended();
    state.layout = layout;
    state.contents.set_cell_limit(layout.geometry.cells);
    state.label_limit = usize::try_from(granted.label_limit).unwrap_or(usize::MAX);
    Ok(pump)
}

pub(crate) fn no_room(reason: DropReason) -> AttachError {
    AttachError::NoRoom(reason)
}
