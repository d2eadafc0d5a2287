//! A slot as the supervisor knows it, and why it may not be believed any more.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use tallyboard_proto::layout::DROP_REASONS;
use tallyboard_proto::slot::{SlotWord, Tenant};

use crate::board::class::Class;
use crate::board::said::Said;

/// A slot, as the supervisor knows it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) word: SlotWord,
    pub(crate) tenant: Tenant,
    /// The class that its log has made it; its row is that wide.
    pub(crate) class: Option<Rc<Class>>,
    /// How much of its log was read, in words.
    pub(crate) log_words: usize,
    /// Whether its log goes on with what the catalog has no memory for.
    pub(crate) waits: bool,
    /// Whether that was given up, because the slot is needed.
    pub(crate) is_given_up: bool,
    /// What its worker said of series that it has, and is not applied yet.
    pub(crate) said: Vec<Said>,
    /// Its worker's last word on a series: whether it holds it.
    pub(crate) last_words: HashMap<u32, bool>,
    /// Its cells when they were last read and found good.
    pub(crate) row: Vec<u64>,
    /// How many lanes its worker used when it was last read.
    pub(crate) lanes: usize,
    /// What its worker could not count when it was last read and found good.
    pub(crate) dropped: [u64; DROP_REASONS],
    /// The cells that hold more than a count can. They are 0 in `row`: what they held before is in the
    /// archive.
    pub(crate) judged: BTreeSet<usize>,
    pub(crate) quarantine: Option<Quarantine>,
    pub(crate) exited: bool,
    /// Whether its pid is not its own alone.
    pub(crate) shares_pid: bool,
}

impl Slot {
    /// A slot that nobody has had.
    pub(crate) fn new() -> Self {
        Self {
            word: SlotWord::FIRST,
            tenant: Tenant::default(),
            class: None,
            log_words: 0,
            waits: false,
            is_given_up: false,
            said: Vec::new(),
            last_words: HashMap::new(),
            row: Vec::new(),
            lanes: 0,
            dropped: [0; DROP_REASONS],
            judged: BTreeSet::new(),
            quarantine: None,
            exited: false,
            shares_pid: false,
        }
    }
}

/// Why a slot is quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quarantine {
    /// Its header is not the one that its worker was told to write.
    Header,
    /// Its log does not parse.
    Log,
    /// A cell that only rises has fallen.
    Fell,
    /// A count of what could not be counted is more than a count can be.
    Jumped,
    /// An earlier supervisor quarantined it.
    Earlier,
}

impl Quarantine {
    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Log => "log",
            Self::Fell => "fell",
            Self::Jumped => "jumped",
            Self::Earlier => "earlier",
        }
    }
}
