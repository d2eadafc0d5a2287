//! The state behind the supervisor's loop: slots, catalog, archive. It has no sockets and no clock;
//! time and identity come in as arguments, so a test owns both.
//!
//! What is here is the truth while the supervisor lives. It is written through to the control
//! segment for recovery and for readers outside, and never read back from there.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, Release};

use tallyboard_exposition::format::Choices;
use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::archive::{Archive, ArchiveError, Turn, scrub};
use tallyboard_proto::control::{
    Attached, Hello, MAX_SLOTS_PER_PROCESS, Refused, RefusedReason, SlotRow,
};
use tallyboard_proto::layout::{
    DROP_REASONS, EXTENT_WORDS, Geometry, LAYOUT_VERSION, Layout, MAGIC, entry, header, slot_header,
};
use tallyboard_proto::log::{LogError, Mark};
use tallyboard_proto::slot::{SlotHeader, SlotWord, State, Tenant};
use tallyboard_proto::word::Words;
use tallyboard_segment::mapping::{Arena, populates};
use thiserror::Error;

use crate::board::catalog::{Catalog, first_words};
use crate::board::class::{Class, Classes};
use crate::board::figures::Figures;
use crate::board::guests::Guests;
use crate::board::removal::Said;
use crate::board::rows::Quarantine;
use crate::page::labels::{Labels, WorkerLabel};
use crate::page::lines::Pages;

/// Who made an arena, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Random number of the arena.
    pub arena_id: u64,
    /// The kernel's boot id.
    pub boot_id: [u64; 2],
    /// Inode of the supervisor's pid namespace.
    pub pid_namespace: u64,
    /// Pid of the keeper.
    pub keeper_pid: u64,
    /// Effective uid of the supervisor.
    pub uid: u64,
    /// Nanoseconds of Unix time at which CLOCK_MONOTONIC was 0, when the arena was made.
    pub unix_offset_ns: u64,
}

/// Makes an arena out of zeroed memory: what its first words say, and its first slots.
///
/// # Errors
/// What making it real says.
pub fn format(arena: &Arena, layout: &Layout, origin: &Origin) -> io::Result<()> {
    arena.make_real(0..layout.table + layout.geometry.slots * entry::WORDS)?;
    for bank in [0, 1] {
        arena.make_real(layout.bank(bank)..layout.bank_cells(bank))?;
    }
    for words in first_words(layout) {
        arena.make_real(words)?;
    }
    let store = |at, value| arena.store(at, value, Relaxed);
    store(header::VERSION, LAYOUT_VERSION);
    store(header::FINGERPRINT, FINGERPRINT);
    let geometry = layout.geometry.to_words();
    for (at, word) in (header::GEOMETRY..header::GEOMETRY + Geometry::WORDS).zip(geometry) {
        store(at, word);
    }
    store(header::ARENA_ID, origin.arena_id);
    store(header::BOOT_ID_HIGH, origin.boot_id[0]);
    store(header::BOOT_ID_LOW, origin.boot_id[1]);
    store(header::PID_NAMESPACE, origin.pid_namespace);
    store(header::KEEPER_PID, origin.keeper_pid);
    store(header::UID, origin.uid);
    store(header::UNIX_OFFSET, origin.unix_offset_ns);
    (0..layout.geometry.slots).for_each(|slot| SlotWord::FIRST.publish(arena, layout, slot));
    // Release: whoever sees the magic number sees all of the above.
    arena.store(header::MAGIC, MAGIC, Release);
    Ok(())
}

impl Origin {
    /// Says who keeps the arena from now on.
    pub(crate) fn write_keeper(&self, arena: &Arena) {
        arena.store(header::KEEPER_PID, self.keeper_pid, Relaxed);
    }
}

/// A control segment that no supervisor wrote.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The catalog does not parse.
    #[error("the catalog of the arena is damaged: {0}; start anew with --discard-arena")]
    Catalog(#[from] LogError),
    /// The active bank is none.
    #[error("the archive of the arena is damaged: {0}; start anew with --discard-arena")]
    Archive(#[from] ArchiveError),
    /// The archive has cells of series that the catalog does not have.
    #[error(
        "the archive of the arena has {found} cells, expected at most the {most} of its catalog; start anew with --discard-arena"
    )]
    Cells {
        /// Cells of the catalog.
        most: usize,
        /// Cells of the archive.
        found: usize,
    },
    /// A slot's entry is none.
    #[error("the entry of slot {slot} of the arena is damaged; start anew with --discard-arena")]
    Slot {
        /// The slot.
        slot: usize,
    },
}

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

/// What a supervisor is allowed to grant, and how it labels what it exposes.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose processes may attach.
    pub guests: Guests,
    /// How many label sets a family may have.
    pub label_limit: usize,
    /// What tells the processes of a gauge apart.
    pub worker_label: WorkerLabel,
    /// Labels of every sample.
    pub labels: Labels,
    /// What pages have or have not.
    pub choices: Choices,
}

impl Rules {
    /// The rules of an arena for the processes of `uids`, with the default labels.
    #[must_use]
    pub fn new(uids: Vec<u32>, label_limit: usize) -> Self {
        let (worker_label, labels) = (WorkerLabel::default(), Labels::default());
        let (guests, choices) = (Guests::new(uids), Choices::default());
        Self { guests, label_limit, worker_label, labels, choices }
    }
}

/// Slots, catalog and archive of one arena.
#[derive(Debug)]
pub struct Core {
    pub(crate) arena: Arena,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
    pub(crate) rules: Rules,
    pub(crate) slots: Vec<Slot>,
    /// Free slots, the one that has been free longest first.
    free: VecDeque<usize>,
    pub(crate) catalog: Catalog,
    pub(crate) classes: Classes,
    pub(crate) archive: Archive,
    pub(crate) pages: Pages,
    pub(crate) figures: Figures,
    /// Whether series wait until the catalog has memory, as was said.
    pub(crate) is_short: bool,
    /// Now, in milliseconds of Unix time.
    now_ms: u64,
    /// Words of a slot that must be real before its worker touches it, beside its cells.
    whole_slots: bool,
}

impl Core {
    /// The core of an arena that [`format()`] has just made.
    #[must_use]
    pub fn new(arena: Arena, layout: Layout, origin: Origin, rules: Rules) -> Self {
        let slots = layout.geometry.slots;
        let slot = || Slot {
            word: SlotWord::FIRST,
            tenant: Tenant::default(),
            class: None,
            log_words: 0,
            waits: false,
            is_given_up: false,
            said: Vec::new(),
            last_words: HashMap::new(),
            row: Vec::new(),
            dropped: [0; DROP_REASONS],
            judged: BTreeSet::new(),
            quarantine: None,
            exited: false,
            shares_pid: false,
        };
        Self {
            catalog: Catalog::new(&layout, rules.label_limit),
            archive: Archive::new(&layout),
            classes: Classes::default(),
            pages: Pages::default(),
            figures: Figures::default(),
            is_short: false,
            now_ms: 0,
            slots: (0..slots).map(|_| slot()).collect(),
            free: (0..slots).collect(),
            whole_slots: !populates(),
            arena,
            layout,
            origin,
            rules,
        }
    }

    /// The core of an arena whose supervisor has died: catalog, archive and floors as they were
    /// committed, folds finished, and the slots of those who may still be alive. Those that are not
    /// are for the caller to say ([`Core::exited`]).
    ///
    /// # Errors
    /// [`RecoverError`] when the control segment holds what no supervisor wrote.
    pub fn recover(
        arena: Arena,
        layout: Layout,
        origin: Origin,
        rules: Rules,
    ) -> Result<Self, RecoverError> {
        let catalog = Catalog::recover(&arena, &layout, rules.label_limit)?;
        let archive = Archive::recover(&arena, &layout)?;
        let (most, found) = (catalog.cells(), archive.cells().len());
        if found > most {
            return Err(RecoverError::Cells { most, found });
        }
        let mut floors = Vec::new();
        arena.read(layout.floors..layout.floors + catalog.cells(), &mut floors);
        let mut core = Self::new(arena, layout, origin, rules);
        core.catalog = catalog;
        core.archive = archive;
        core.pages = Pages::with_floors(floors.into_iter().map(f64::from_bits).collect());
        core.free.clear();
        for slot in 0..core.slots.len() {
            core.recover_slot(slot)?;
        }
        core.mark_shared_pids();
        core.reclaim();
        core.read_rows(None);
        Ok(core)
    }

    fn recover_slot(&mut self, slot: usize) -> Result<(), RecoverError> {
        let word = SlotWord::read(&self.arena, &self.layout, slot);
        let word = word.ok_or(RecoverError::Slot { slot })?;
        let tenant = Tenant::read(&self.arena, &self.layout, slot);
        self.slots[slot].word = word;
        match Turn::of(word, self.archive.folded(slot)) {
            Turn::Idle => self.free.push_back(slot),
            // Draining comes before the fold of the dead, so this one was quarantined: its worker
            // may live, and the archive has its last good row.
            Turn::Folded if word.state != State::Draining => {
                self.slots[slot].tenant = tenant;
                self.slots[slot].quarantine = Some(Quarantine::Earlier);
            }
            Turn::Folded => {
                self.slots[slot].word = scrub(&self.arena, &self.layout, slot, word);
                self.free.push_back(slot);
            }
            Turn::Counts => {
                let words = usize::try_from(tenant.prefix).unwrap_or(usize::MAX);
                let prefix = self.catalog.contents().mark(words);
                let prefix = prefix.ok_or(RecoverError::Slot { slot })?;
                self.slots[slot].class = Some(self.classes.of_prefix(&self.catalog, prefix));
                self.slots[slot].tenant = tenant;
                // Whether the worker had confirmed died with the supervisor that it told.
                if word.state == State::Assigned {
                    self.go_to(slot, State::Live);
                }
                self.slots[slot].exited = word.state == State::Draining;
            }
        }
        Ok(())
    }

    /// The slots whose workers may live: number, generation and who has them.
    pub fn tenants(&self) -> impl Iterator<Item = (usize, u64, &Tenant)> {
        let slot = |at: usize| (at, self.slots[at].word.generation, &self.slots[at].tenant);
        self.taken().filter(|&at| !self.slots[at].exited).map(slot)
    }

    /// Whose processes may attach.
    #[must_use]
    pub fn guests(&self) -> &Guests {
        &self.rules.guests
    }

    /// The arena.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Says what time it is, in milliseconds of Unix time: series that begin anew began then.
    pub fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What it has counted about itself.
    pub fn figures(&mut self) -> &mut Figures {
        &mut self.figures
    }

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
            return Err(refuse(
                RefusedReason::ProcessLimit,
                format!(
                    "a process has at most {MAX_SLOTS_PER_PROCESS} slots, found {taken}; use one client per process"
                ),
            ));
        }
        let prefix = self.prefix_for(hello);
        if self.free.is_empty() {
            self.give_up();
        }
        let Some(&slot) = self.free.front() else {
            let slots = self.slots.len();
            return Err(refuse(
                RefusedReason::SlotsFull,
                format!("all {slots} slots are taken; start the supervisor with a larger --slots"),
            ));
        };
        self.make_slot_real(slot, prefix.cells).map_err(|error| {
            refuse(RefusedReason::Memory, format!("no memory for another slot: {error}; free memory, or raise the limit of the file system or container"))
        })?;
        announce(slot, self.slots[slot].word.generation).map_err(|error| {
            refuse(
                RefusedReason::Unready,
                format!("the keeper does not answer: {error}; try again"),
            )
        })?;
        self.free.pop_front();
        self.assign(slot, caller, hello, prefix, now_ms);
        self.figures.attaches += 1;
        Ok(self.attached(slot))
    }

    fn check(&self, caller: &Caller, hello: &Hello) -> Result<(), Refused> {
        let (version, print) = (hello.layout, hello.fingerprint);
        if version != LAYOUT_VERSION || print != FINGERPRINT {
            return Err(refuse(
                RefusedReason::Layout,
                format!(
                    "expected layout {LAYOUT_VERSION} ({FINGERPRINT:#018x}), found {version} ({print:#018x}); use the same release of Tallyboard in supervisor and worker"
                ),
            ));
        }
        self.rules.guests.check_worker(caller.admitted_as)
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
        let cells = slot_header::WORDS + cells;
        self.arena.make_real(start..start + cells.next_multiple_of(EXTENT_WORDS))?;
        let log = self.layout.slot_log(slot).start;
        self.arena.make_real(log..log + EXTENT_WORDS)
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
            label_limit: self.rules.label_limit as u64,
            unix_offset_ns: self.origin.unix_offset_ns,
            geometry: self.layout.geometry.to_words(),
        }
    }

    pub(crate) fn go_to(&mut self, slot: usize, state: State) {
        let word = self.slots[slot].word.to(state);
        word.publish(&self.arena, &self.layout, slot);
        self.slots[slot].word = word;
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

    /// Puts a slot that has become free behind the others.
    pub(crate) fn vacate(&mut self, slot: usize) {
        let freed = &mut self.slots[slot];
        freed.class = None;
        (freed.waits, freed.is_given_up) = (false, false);
        freed.said.clear();
        freed.last_words.clear();
        freed.row = Vec::new();
        freed.quarantine = None;
        freed.exited = false;
        self.free.push_back(slot);
    }

    /// The kernel says that the worker of the slot is dead. [`Core::reclaim`] acts on it.
    pub fn exited(&mut self, slot: usize, generation: u64) {
        let taken = &mut self.slots[slot];
        if taken.word.generation == generation && taken.word.state != State::Free && !taken.exited {
            taken.exited = true;
            self.figures.worker_exits += 1;
        }
    }

    /// Slots that are taken, by number.
    pub(crate) fn taken(&self) -> impl Iterator<Item = usize> + '_ {
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| slot.word.state != State::Free).map(|(at, _)| at)
    }

    /// How many slots there are in each state.
    #[must_use]
    pub fn states(&self) -> HashMap<State, u64> {
        let mut states: HashMap<State, u64> = State::EVERY.map(|state| (state, 0)).into();
        for slot in &self.slots {
            *states.entry(slot.word.state).or_default() += 1;
        }
        states
    }

    /// The slots that are taken, for people to look at.
    pub fn rows(&mut self) -> Vec<SlotRow> {
        self.read_rows(None);
        let row = |slot: usize| {
            let taken = &self.slots[slot];
            let class = taken.class.as_deref();
            SlotRow {
                slot: slot as u64,
                generation: taken.word.generation,
                state: taken.word.state.name().to_owned(),
                pid: taken.tenant.pid,
                uid: taken.tenant.uid,
                attached_at_ms: taken.tenant.attached_at_ms,
                series: class.map_or(0, |class| class.own_series.len() as u64),
                cells: class.map_or(0, |class| class.cells as u64),
                dropped: taken.dropped.iter().fold(0, |sum: u64, &n| sum.saturating_add(n)),
                quarantined: taken.quarantine.is_some(),
            }
        };
        self.taken().map(row).collect()
    }

    /// Series in the catalog.
    #[must_use]
    pub fn series(&self) -> usize {
        self.catalog.contents().series().len()
    }
}

pub(crate) fn refuse(reason: RefusedReason, detail: String) -> Refused {
    Refused { reason, detail }
}
