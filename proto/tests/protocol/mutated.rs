//! Defects of the protocol, as changes to the sequence of operations that a party's memory sees.
//! The product's code runs unchanged and has no place where a defect could be switched on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

use tallyboard_proto::cell::MAX_COUNT;
use tallyboard_proto::layout::{Layout, bank, entry, header, slot_header};
use tallyboard_proto::log::Action;
use tallyboard_proto::slot::{STATE_BITS, State};
use tallyboard_proto::word::Words;

/// More than a count can hold.
pub const STRAY: u64 = MAX_COUNT + 1;
/// The kind of a removal, in the first byte of its record.
const REMOVAL: u8 = 4;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The slots are scrubbed before the commit word is stored.
    ScrubBeforeCommit,
    /// The slot is free before it is scrubbed.
    FreeBeforeScrub,
    /// The scrub leaves the cells.
    ScrubOfHeaderOnly,
    /// No fence stands before the scrub.
    ScrubWithoutFence,
    /// No fence stands before the stores into the idle bank.
    ReuseWithoutFence,
    /// A worker counts in a lane long before it says that it uses it.
    LaneSaidLate,
    /// No fence stands before a thread's first store into its lane.
    LaneWithoutFence,
    /// A lane is given back Relaxed.
    GiveBackRelaxed,
    /// A lane is taken Relaxed.
    TakeRelaxed,
    /// No fence stands before a worker's first store into its slot.
    BeginWithoutFence,
    /// The reader outside has no fence before its second look at the commit word.
    ReaderWithoutFence,
    /// The reader outside does not look at the commit word a second time.
    NoSecondLook,
    /// There is one bank: the fold writes where readers are.
    FoldIntoLiveBank,
    /// The commit word is stored before the bank.
    CommitBeforeBank,
    /// The commit word holds the bank but no epoch.
    CommitWithoutEpoch,
    /// The archive's commit word is stored Relaxed.
    CommitRelaxed,
    /// The archive's commit word is loaded Relaxed.
    CommitLoadRelaxed,
    /// The fold does not say whom it folded.
    FoldedNotWritten,
    /// Whom a fold folded is not looked at.
    FoldedNotRead,
    /// Whom a fold folded is kept once, not in each bank.
    FoldedOutsideBanks,
    /// How far removals were applied is kept once, not in each bank.
    AppliedOutsideBanks,
    /// How far removals were applied in the log of a slot's last worker goes on for the next one.
    AppliedNotReset,
    /// How far removals were applied is not looked at.
    AppliedNotRead,
    /// What a worker takes back is read as a reset, so that what others have counted goes with it.
    LoweredIsReset,
    /// What is taken off the cells is kept once, not in each bank.
    OffsetsOutsideBanks,
    /// The lives of the series are kept once, not in each bank.
    LivesOutsideBanks,
    /// What a cell held before something wrote into it is kept in the supervisor's heap alone.
    LastGoodNotCommitted,
    /// A fold writes only the cells that differ from those of the other bank.
    OnlyChangedCells,
    /// The ring is kept once, not in each bank.
    RingOutsideBanks,
    /// The log's commit word is stored before the record.
    LogCommitBeforeRecord,
    /// A log's commit word is stored Relaxed.
    LogCommitRelaxed,
    /// A log's commit word is loaded Relaxed.
    LogLoadRelaxed,
    /// State and generation are two words: the state changes first.
    StateApartFromGeneration,
    /// A slot's new state is stored before who has it.
    StateBeforeTenant,
    /// A slot's state is stored Relaxed.
    StateRelaxed,
    /// The slot header's generation is stored before the rest of the header.
    GenerationBeforeHeader,
    /// The slot header's generation is stored Relaxed.
    GenerationRelaxed,
    /// The turn of an exemplar or sample is stored before its buffer.
    TurnBeforeBuffer,
    /// The turn of an exemplar or sample is stored Relaxed.
    TurnRelaxed,
    /// The turn of an exemplar or sample is loaded Relaxed.
    TurnLoadRelaxed,
    /// There is one buffer: an exemplar or sample is written where readers are.
    OneBuffer,
    /// No fence stands before the stores into the buffer of an exemplar or sample.
    ExemplarReuseWithoutFence,
    /// The reader of an exemplar or sample has no fence before its second look at the turn.
    ExemplarReaderWithoutFence,
    /// The reader of an exemplar or sample does not look at the turn a second time.
    NoSecondTurn,
}

/// A party's way to the memory, with a defect or without.
pub struct Mutated<'a, W: ?Sized> {
    words: &'a W,
    layout: Layout,
    defect: Option<Defect>,
    /// Stores that are made later than the code says.
    held: RefCell<Vec<(usize, u64, Ordering)>>,
    /// A scrub that is made later than the code says.
    held_scrub: RefCell<Option<Range<usize>>>,
    /// A fence whose purpose the next operation tells.
    fence: Cell<Option<Ordering>>,
    /// What cells held when they were last good.
    last_good: RefCell<BTreeMap<usize, u64>>,
    /// The commit word at the reader's first look.
    first_look: Cell<u64>,
    /// An exemplar's turn at its reader's first look.
    first_turn: Cell<u64>,
}

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    ArchiveCommit,
    LogCommit,
    Log,
    State,
    Tenant,
    Folded,
    Applied,
    BankCell,
    Offset,
    Life,
    Ring,
    Bank,
    SlotGeneration,
    SlotHeader,
    /// The first cell of a slot: the turn, where it has an exemplar.
    Turn,
    Cell,
    /// How many lanes are used.
    Lanes,
    LaneCell,
    Other,
}

impl Zone {
    fn is_in_bank(self) -> bool {
        use Zone::{Applied, Bank, BankCell, Folded, Life, Offset, Ring};
        matches!(self, Bank | Folded | Applied | BankCell | Offset | Life | Ring)
    }
}

impl<'a, W: Words + ?Sized> Mutated<'a, W> {
    pub fn new(words: &'a W, layout: Layout, defect: Option<Defect>) -> Self {
        Self {
            words,
            layout,
            defect,
            held: RefCell::default(),
            held_scrub: RefCell::default(),
            fence: Cell::default(),
            last_good: RefCell::default(),
            first_look: Cell::default(),
            first_turn: Cell::default(),
        }
    }

    fn is(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn zone(&self, at: usize) -> Zone {
        match at {
            header::ARCHIVE_COMMIT => Zone::ArchiveCommit,
            header::CATALOG_COMMIT => Zone::LogCommit,
            at if at < self.layout.table => Zone::Other,
            at if at < self.layout.catalog => match (at - self.layout.table) % entry::WORDS {
                entry::STATE => Zone::State,
                _ => Zone::Tenant,
            },
            at if at < self.layout.banks => Zone::Log,
            at if at < self.layout.floors => self.zone_of_bank(at),
            at if at < self.layout.control_words => Zone::Other,
            at => self.zone_of_slot((at - self.layout.control_words) % self.layout.slot_words),
        }
    }

    fn zone_of_bank(&self, at: usize) -> Zone {
        let number = usize::from(at >= self.layout.bank(1));
        match at {
            at if at < self.layout.folded(number) => Zone::Bank,
            at if at < self.layout.applied(number) => Zone::Folded,
            at if at < self.layout.bank_cells(number) => Zone::Applied,
            at if at < self.layout.offsets(number) => Zone::BankCell,
            at if at < self.layout.lives(number) => Zone::Offset,
            at if at < self.layout.lives(number) + self.layout.geometry.cells => Zone::Life,
            _ => Zone::Ring,
        }
    }

    fn zone_of_slot(&self, at: usize) -> Zone {
        match at {
            slot_header::GENERATION => Zone::SlotGeneration,
            slot_header::LOG_COMMIT => Zone::LogCommit,
            slot_header::LANES => Zone::Lanes,
            at if at < slot_header::WORDS => Zone::SlotHeader,
            at if at >= self.layout.slot_words_without_lanes() => Zone::LaneCell,
            slot_header::WORDS => Zone::Turn,
            at if at < slot_header::WORDS + self.layout.geometry.cells => Zone::Cell,
            _ => Zone::Log,
        }
    }

    /// Where the defect puts a word of the second bank, or of an exemplar's second buffer.
    fn place(&self, at: usize) -> usize {
        let zone = self.zone(at);
        if self.is(Defect::OneBuffer) && zone == Zone::Cell {
            let cells = self.layout.slot_cells(0);
            // The slot has a turn and two buffers, and no other cells.
            let buffer = (self.layout.geometry.cells - 1) / 2;
            return cells + 1 + buffer + (at - cells - 1) % buffer;
        }
        let second = zone.is_in_bank() && at >= self.layout.bank(1);
        let moved = match self.defect {
            Some(Defect::FoldIntoLiveBank) => true,
            Some(Defect::RingOutsideBanks) => {
                zone == Zone::Ring || at == self.layout.bank(1) + bank::ROWS
            }
            Some(Defect::FoldedOutsideBanks) => zone == Zone::Folded,
            Some(Defect::AppliedOutsideBanks) => zone == Zone::Applied,
            Some(Defect::OffsetsOutsideBanks) => zone == Zone::Offset,
            Some(Defect::LivesOutsideBanks) => zone == Zone::Life,
            _ => false,
        };
        if second && moved { at - self.layout.bank_words } else { at }
    }

    /// Makes the fence that was asked for last, unless the defect is that it is missing.
    fn settle_fence(&self, next: Option<Zone>) {
        let Some(order) = self.fence.take() else { return };
        let missing = match next {
            None => self.is(Defect::ScrubWithoutFence),
            Some(Zone::Bank) => self.is(Defect::ReuseWithoutFence),
            Some(Zone::SlotHeader | Zone::SlotGeneration) => self.is(Defect::BeginWithoutFence),
            Some(Zone::Lanes) => self.is(Defect::LaneWithoutFence),
            Some(Zone::Turn) => self.is(Defect::ExemplarReaderWithoutFence),
            Some(Zone::Cell) => self.is(Defect::ExemplarReuseWithoutFence),
            Some(_) => self.is(Defect::ReaderWithoutFence) && order == Acquire,
        };
        if !missing {
            self.words.fence(order);
        }
    }

    fn release_held(&self) {
        for (at, value, order) in self.held.take() {
            self.words.store(at, value, order);
        }
    }

    /// Whether the defect makes this store later, and after which it makes what it holds.
    fn holds(&self, zone: Zone, value: u64) -> Hold {
        let free = value & ((1 << STATE_BITS) - 1) == State::Free as u64;
        let (held, until, after) = match self.defect {
            Some(Defect::ScrubBeforeCommit) => {
                (zone == Zone::ArchiveCommit, zone == Zone::State && free, false)
            }
            Some(Defect::CommitBeforeBank) => {
                (zone.is_in_bank(), zone == Zone::ArchiveCommit, true)
            }
            Some(Defect::LogCommitBeforeRecord) => {
                (zone == Zone::Log, zone == Zone::LogCommit, true)
            }
            Some(Defect::LaneSaidLate) => (zone == Zone::Lanes, zone == Zone::ArchiveCommit, true),
            Some(Defect::TurnBeforeBuffer) => (zone == Zone::Cell, zone == Zone::Turn, true),
            Some(Defect::StateBeforeTenant) => (zone == Zone::Tenant, zone == Zone::State, true),
            Some(Defect::GenerationBeforeHeader) => {
                (zone == Zone::SlotHeader, zone == Zone::SlotGeneration, true)
            }
            _ => (false, false, false),
        };
        match (held, until, after) {
            (true, ..) => Hold::This,
            (_, true, true) => Hold::EndAfter,
            (_, true, false) => Hold::EndBefore,
            _ => Hold::None,
        }
    }

    /// The order and value that the defect gives a store; `None` when it leaves it out.
    fn altered(
        &self,
        at: usize,
        zone: Zone,
        value: u64,
        order: Ordering,
    ) -> Option<(u64, Ordering)> {
        let relaxed = match self.defect? {
            Defect::CommitRelaxed => zone == Zone::ArchiveCommit,
            Defect::LogCommitRelaxed => zone == Zone::LogCommit,
            Defect::StateRelaxed => zone == Zone::State,
            Defect::GenerationRelaxed => zone == Zone::SlotGeneration,
            Defect::TurnRelaxed => zone == Zone::Turn,
            Defect::CommitWithoutEpoch if zone == Zone::ArchiveCommit => {
                return Some((value & 1, order));
            }
            Defect::FoldedNotWritten if zone == Zone::Folded => return None,
            Defect::OnlyChangedCells if zone == Zone::BankCell => {
                return (self.other_bank(at) != value).then_some((value, order));
            }
            Defect::LoweredIsReset if zone == Zone::Log && self.is_action(at, value) => {
                return Some((Action::Reset as u64, order));
            }
            Defect::AppliedNotReset if zone == Zone::Applied && value == 0 => {
                return Some((self.other_bank(at), order));
            }
            _ => false,
        };
        Some((value, if relaxed { Relaxed } else { order }))
    }

    /// Whether this is the word behind the first one of a removal, and says that it lowers.
    fn is_action(&self, at: usize, value: u64) -> bool {
        let is_removal = self.words.load(at - 1, Relaxed) as u8 == REMOVAL;
        is_removal && value == Action::Lower as u64
    }

    /// What stands at the same place of the other bank.
    fn other_bank(&self, at: usize) -> u64 {
        let words = self.layout.bank_words;
        let other = if at >= self.layout.bank(1) { at - words } else { at + words };
        self.words.load(other, Relaxed)
    }

    fn store_altered(&self, at: usize, zone: Zone, value: u64, order: Ordering) {
        if self.defect.is_some() && self.altered(at, zone, value, order).is_none() {
            return;
        }
        let (value, order) = self.altered(at, zone, value, order).unwrap_or((value, order));
        if self.is(Defect::StateApartFromGeneration) && zone == Zone::State {
            let states = (1 << STATE_BITS) - 1;
            let old = self.words.load(at, Relaxed);
            self.words.store(at, old & !states | value & states, order);
        }
        self.words.store(at, value, order);
        if self.is(Defect::FreeBeforeScrub) && zone == Zone::State {
            self.held_scrub.take().into_iter().for_each(|range| self.words.scrub(range));
        }
    }
}

enum Hold {
    None,
    This,
    EndBefore,
    EndAfter,
}

impl<W: Words + ?Sized> Words for Mutated<'_, W> {
    fn len(&self) -> usize {
        self.words.len()
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        let (zone, at) = (self.zone(at), self.place(at));
        self.settle_fence(Some(zone));
        let order = match self.defect {
            Some(Defect::CommitLoadRelaxed) if zone == Zone::ArchiveCommit => Relaxed,
            Some(Defect::LogLoadRelaxed) if zone == Zone::LogCommit => Relaxed,
            Some(Defect::TurnLoadRelaxed) if zone == Zone::Turn => Relaxed,
            Some(Defect::AppliedNotRead) if zone == Zone::Applied => return 0,
            Some(Defect::FoldedNotRead) if zone == Zone::Folded => return 0,
            // The second look is the Relaxed one, behind the fence.
            Some(Defect::NoSecondLook) if zone == Zone::ArchiveCommit && order == Relaxed => {
                return self.first_look.get();
            }
            Some(Defect::NoSecondTurn) if zone == Zone::Turn && order == Relaxed => {
                return self.first_turn.get();
            }
            _ => order,
        };
        let value = self.words.load(at, order);
        if self.is(Defect::LastGoodNotCommitted) && zone == Zone::Cell {
            let mut last_good = self.last_good.borrow_mut();
            if value != STRAY {
                last_good.insert(at, value);
            }
            return last_good.get(&at).copied().unwrap_or(value);
        }
        match zone {
            Zone::ArchiveCommit => self.first_look.set(value),
            Zone::Turn => self.first_turn.set(value),
            _ => {}
        }
        value
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        let (zone, at) = (self.zone(at), self.place(at));
        self.settle_fence(Some(zone));
        match self.holds(zone, value) {
            Hold::This => return self.held.borrow_mut().push((at, value, order)),
            Hold::EndBefore => self.release_held(),
            Hold::EndAfter | Hold::None => {}
        }
        self.store_altered(at, zone, value, order);
        if matches!(self.holds(zone, value), Hold::EndAfter) {
            self.release_held();
        }
    }

    fn fence(&self, order: Ordering) {
        debug_assert!([Acquire, Release].contains(&order));
        self.fence.set(Some(order));
    }

    fn scrub(&self, range: Range<usize>) {
        self.settle_fence(None);
        match self.defect {
            Some(Defect::FreeBeforeScrub) => *self.held_scrub.borrow_mut() = Some(range),
            Some(Defect::ScrubOfHeaderOnly) => {
                self.words.scrub(range.start..range.start + slot_header::WORDS);
            }
            _ => self.words.scrub(range),
        }
    }
}
