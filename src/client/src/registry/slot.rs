//! Getting a slot, and moving into it; private memory where there is none.

use std::time::Instant;

use tallyboard_proto::control::Rejoin;
use tallyboard_proto::layout::{DropReason, slot_header};
use tallyboard_proto::log::Contents;
use tallyboard_segment::mapping::Inherit;
use tallyboard_segment::pass::Address;
use tallyboard_segment::{private, process};

use super::attach::{AttachError, Way, ask};
use super::move_in::{move_in, no_room};
use super::pump::Late;
use super::registry::{About, Registry};
use super::state::{Origin, State, Taken, private_layout};

/// Number of every attachment to private memory; the others are random.
const PRIVATE_TOKEN: u64 = 1;

impl Registry {
    /// Takes a slot at the first use in this process.
    pub(super) fn find_slot(&'static self) -> Result<(), AttachError> {
        let rejoin = {
            let mut state = self.state.lock();
            // The thread that asked when this process was forked stayed with its parent.
            state.is_checking = false;
            state.rejoin()
        };
        let attach_id = process::random_u64().map_err(AttachError::Random)?;
        let Some((contents, taken)) = self.take_slot_in_time(attach_id, rejoin, None)? else {
            return Ok(());
        };
        let mut state = self.state.lock();
        if let Some(contents) = contents {
            let prefix = contents.end();
            state.contents = contents;
            state.own_log.clear();
            state.origin = Some(Origin { arena_id: taken.2.arena_id, prefix });
        }
        move_in(&mut state, taken, attach_id).map(drop)
    }

    /// Asks again after the first use: for a slot when this process counts privately, whether its
    /// arena was replaced when it is attached. Gives the pump that moves what comes late, or
    /// nothing when it stays where it is.
    pub(crate) fn ask_again(&'static self) -> Result<Option<Late>, AttachError> {
        let (attach_id, rejoin, present) = {
            let mut state = self.state.lock();
            if state.attach_id == 0 {
                state.attach_id = process::random_u64().map_err(AttachError::Random)?;
            }
            state.checked_at = Instant::now();
            // Handles may be made meanwhile, so their cells are this client's own from the first on.
            let rejoin = state.rejoin().unwrap_or(Rejoin { arena_id: 0, prefix: 0 });
            let present = self.attachment_in(&state).map(|present| present.arena_id);
            (state.attach_id, rejoin, present)
        };
        let Some((_, taken)) = self.take_slot_in_time(attach_id, Some(rejoin), present)? else {
            return Ok(None);
        };
        let mut state = self.state.lock();
        let present = self.attachment_in(&state);
        if present.is_some_and(|present| present.arena_id == taken.2.arena_id) {
            // Another thread has asked for the same slot and moved in already.
            return Ok(None);
        }
        let pump = move_in(&mut state, taken, attach_id)?;
        Ok(pump.zip(state.page().mapping()))
    }

    pub(crate) fn end_check(&self) {
        self.state.lock().is_checking = false;
    }

    /// Asks for a slot until the deadline of this attempt.
    fn take_slot_in_time(
        &self,
        attach_id: u64,
        rejoin: Option<Rejoin>,
        present: Option<u64>,
    ) -> Result<Option<(Option<Contents>, Taken)>, AttachError> {
        let address = match &self.configured.address {
            None => return Err(AttachError::NoAddress),
            Some(address) => address.clone()?,
        };
        let deadline = Instant::now() + self.configured.attach_timeout;
        loop {
            match self.take_slot(&address, deadline, attach_id, rejoin, present) {
                // The supervisor died in between. Its successor knows the attach id, and gives the
                // slot that the first one gave, if it did.
                Err(error) if error.is_broken_off() && Instant::now() < deadline => {}
                result => return result,
            }
        }
    }

    /// Asks for a slot, makes everything real that must be while it can still be given back, and
    /// takes it. Gives what the prefix holds, for a client that has no handles yet. Gives nothing
    /// when the slot is one of the arena `present`.
    fn take_slot(
        &self,
        address: &Address,
        deadline: Instant,
        attach_id: u64,
        rejoin: Option<Rejoin>,
        present: Option<u64>,
    ) -> Result<Option<(Option<Contents>, Taken)>, AttachError> {
        let (trust, timeout) = (self.configured.trust, self.configured.attach_timeout);
        let way = Way { address, trust, timeout, deadline };
        let Some(offer) = ask(way, attach_id, rejoin, present)? else { return Ok(None) };
        let limit = offer.layout.geometry.cells;
        let (contents, cells) = match rejoin {
            Some(_) => (None, self.state.lock().contents.end().cells),
            None => {
                let mut contents = Contents::new(limit);
                contents.extend(&offer.prefix)?;
                let cells = contents.end().cells;
                (Some(contents), cells)
            }
        };
        let cells = 0..slot_header::WORDS + cells.min(limit);
        offer.mapping.open(cells).map_err(AttachError::Map)?;
        let taken = offer.confirm()?;
        self.set_clock(taken.2.unix_offset_ns);
        Ok(Some((contents, taken)))
    }

    /// Gives this process private memory with the same cells.
    pub(super) fn count_privately(&'static self) {
        let inherit =
            if self.configured.address.is_some() { Inherit::Nothing } else { Inherit::Copy };
        let mut state = self.state.lock();
        state.layout = private_layout();
        let limit = state.layout.geometry.cells;
        state.contents.set_cell_limit(limit);
        state.attachment = None;
        state.attach_id = 0;
        let cells = state.contents.end().cells;
        let mapping = private::slot(&state.layout, inherit).map_err(AttachError::Map);
        let moved = mapping.and_then(|mapping| {
            State::write(&state.layout, &mapping, 0, &state.own_log, cells).map_err(no_room)?;
            state.committed = state.own_log.len();
            // A process that was forked begins at 0, unless it has its parent's memory.
            if inherit == Inherit::Nothing {
                state.leave_ended();
            }
            let published = state.page().publish(mapping, PRIVATE_TOKEN);
            published.map_err(|_| no_room(DropReason::Memory))
        });
        drop(state);
        if let Err(error) = moved {
            self.warn(About::Memory, &format!("{error}; this process counts nothing"));
        }
    }
}
