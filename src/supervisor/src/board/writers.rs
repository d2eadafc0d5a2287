//! For tests: a core, and workers that write nothing but logs.

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::control::Hello;
use tallyboard_proto::layout::{Geometry, LAYOUT_VERSION, Layout};
use tallyboard_proto::log::{self, Record};
use tallyboard_proto::slot::SlotHeader;

use crate::board::attach::Caller;
use crate::board::core::{Core, Grants};
use crate::board::guests::Guests;
use crate::board::names::Pairs;
use crate::board::origin::{Origin, format};

/// A core, and workers that write nothing but logs.
pub(crate) struct Writers {
    pub(crate) core: Core<()>,
    /// How long the log of each is.
    committed: Vec<usize>,
}

impl Writers {
    pub(crate) fn new(slots: usize, log_words: usize) -> Self {
        let geometry = Geometry {
            slots,
            cells: 256,
            log_words,
            ring_rows: 1,
            row_cells: 2,
            unit: 1,
            lanes: 0,
        };
        let layout = Layout::new(geometry);
        let arena = tallyboard_segment::private::arena(layout.arena_words()).unwrap();
        let origin = Origin { arena_id: 5, ..Origin::default() };
        format(&arena, &layout, &origin).unwrap();
        let (guests, constant) = (Guests::new(vec![0]), Pairs::default());
        let grants = Grants { guests, label_limit: 1000, constant };
        let mut core = Core::with(arena, layout, origin, grants, ());
        for slot in 0..slots {
            let hello = Hello {
                layout: LAYOUT_VERSION,
                fingerprint: FINGERPRINT,
                image: 1,
                attach_id: 1,
                rejoin: None,
            };
            let caller = Caller { pid: slot as u32 + 1, ..Caller::default() };
            core.attach(&caller, &hello, 0, |_, _| Ok(())).unwrap();
            core.confirm(slot, 1);
            let header = SlotHeader { generation: 1, arena_id: 5, prefix: 0 };
            header.write(&core.arena, layout.slot(slot));
        }
        Self { core, committed: vec![0; slots] }
    }

    pub(crate) fn append(&mut self, slot: usize, record: &Record) {
        let (area, words) = (self.core.layout.slot_log(slot), record.to_words());
        let committed = log::append(&self.core.arena, area, self.committed[slot], &words);
        self.committed[slot] = committed.unwrap();
    }
}
