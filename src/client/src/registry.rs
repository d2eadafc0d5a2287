//! The registry: what this process counts, where, and since which attachment.
//!
//! Who may do what: the hot path touches only [`Cells`] that were handed out; everything else goes
//! through `Registry::state`, whose lock lies on the page that a fork wipes. The lock is never held
//! while the supervisor is waited for. Nothing in the state points into the arena, so a forked child
//! finds a copy that is true there too: families, series and cell indices. What is not true there
//! (the base, the token) is wiped.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tallyboard_proto::control::{Attached, Rejoin};
use tallyboard_proto::family::{Family, FamilyError, MAX_VALUE_BYTES};
use tallyboard_proto::layout::{
    DROP_REASONS, DropReason, EXTENT_WORDS, Geometry, Layout, slot_header,
};
use tallyboard_proto::log::{Begun, Contents, Mark, Record, append};
use tallyboard_proto::slot::SlotHeader;
use tallyboard_segment::fork::{CellWords, Cells, FirstUse, ForkMutex, ForkMutexGuard, ForkPage};
use tallyboard_segment::mapping::{Inherit, SlotMapping};
use tallyboard_segment::pass::Address;
use tallyboard_segment::{private, process};
use thiserror::Error;

use crate::attach::{AttachError, ask};
use crate::children::{Children, Values};
use crate::detached::{Late, Pump, attach_later, check_later, pump_later};

/// How long the first use in a process waits for the supervisor, unless
/// `TALLYBOARD_ATTACH_TIMEOUT_MS` or [`RegistryBuilder::attach_timeout`] says otherwise.
pub const DEFAULT_ATTACH_TIMEOUT: Duration = Duration::from_millis(250);
/// Longer ones, such as `Duration::MAX`, end beyond what a clock can say.
const LONGEST_ATTACH_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// How many label sets a family of a process without supervisor may have.
pub const DEFAULT_LABEL_LIMIT: usize = 10_000;
/// Number of every attachment to private memory; the others are random.
const PRIVATE_TOKEN: u64 = 1;
/// How long a process that is attached does not ask whether its arena was replaced.
const CHECK_PAUSE: Duration = Duration::from_secs(5);
/// How many series a process without supervisor has room for.
const PRIVATE_SERIES: usize = 65_536;

/// Where metrics are counted. Most programs use the shared one, which every constructor without a
/// registry does.
pub struct Registry {
    address: Option<Result<Address, tallyboard_segment::pass::AddressError>>,
    attach_timeout: Duration,
    warn: fn(&str),
    warned: AtomicBool,
    page: &'static ForkPage,
    drops: Cells,
    state: ForkMutex<State>,
}

/// What a fork copies.
#[derive(Debug)]
struct State {
    /// All families and series: those of the prefix, then this client's own.
    contents: Contents,
    /// What this program registered itself: other families came with the prefix.
    registered: Vec<&'static Definition>,
    /// The arena that the prefix was taken from; `None` while there was none.
    origin: Option<Origin>,
    /// This client's own log, word for word: what stands behind the prefix. A child writes the
    /// same words as its parent, and so shares its layout class.
    own_log: Vec<u64>,
    /// Layout of the published mapping.
    layout: Layout,
    label_limit: usize,
    /// The attachment of the process that wrote it; true here only when its token is.
    attachment: Option<Attachment>,
    /// What this process asks with, so that whoever asks at the same time gets the same slot; 0
    /// while it has asked at its first use only.
    attach_id: u64,
    /// When this process last asked whether its arena was replaced.
    checked_at: Instant,
    /// Whether a thread of this process asks that now.
    is_checking: bool,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    arena_id: u64,
    prefix: Mark,
}

/// A slot that was granted and confirmed.
type Taken = (SlotMapping, Layout, Attached);

/// The slot that this process counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The slot.
    pub slot: u64,
    /// Its generation.
    pub generation: u64,
    /// The arena.
    pub arena_id: u64,
    token: u64,
}

/// A metric that cannot be registered.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum RegisterError {
    /// The family is not one that can be.
    #[error(transparent)]
    Family(#[from] FamilyError),
    /// This program registered the name already, as something else.
    #[error(
        "{name:?} is registered already as a {existing}, found a {found} whose samples have the same name; use one definition, or another name"
    )]
    Conflict {
        /// The name.
        name: String,
        /// What it is registered as.
        existing: String,
        /// What it was to be registered as.
        found: String,
    },
    /// This program registered the same metric already.
    #[error(
        "expected one registration of {existing}, found a second, of {found}; keep the handle of the first, or register with `.reuse()` what may have been registered before, by this process or before it was forked"
    )]
    Duplicate {
        /// What is registered.
        existing: String,
        /// What it was to be registered as.
        found: String,
    },
    /// Labels on a metric that is used without, or none where they are needed.
    #[error("{name:?} has {found} labels, expected none; register it as a family")]
    Labels {
        /// The name.
        name: String,
        /// How many labels it has.
        found: usize,
    },
}

/// Label values that do not fit their family.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// Another number of values than labels.
    #[error(
        "{family:?} has the labels {expected:?}, found {found} values; give one value per label"
    )]
    Count {
        /// The family.
        family: String,
        /// Its labels.
        expected: Vec<String>,
        /// How many values were found.
        found: usize,
    },
    /// A value that is too long.
    #[error(
        "a label value has at most {MAX_VALUE_BYTES} bytes, found {found} on {family:?}; shorten it"
    )]
    Length {
        /// The family.
        family: String,
        /// How many bytes were found.
        found: usize,
    },
    /// A set of labels that is not the family's.
    #[error(
        "{family:?} has the labels {expected:?}, found a set with the labels {found:?}; register the family with `labels_of` that set, or give its labels in the same order"
    )]
    Set {
        /// The family.
        family: String,
        /// Its labels.
        expected: Vec<String>,
        /// The labels of the set.
        found: Vec<String>,
    },
    /// A name that is no label of the family.
    #[error("{family:?} has the labels {expected:?}, found {found:?}; use these names, each once")]
    Name {
        /// The family.
        family: String,
        /// Its labels.
        expected: Vec<String>,
        /// The name found.
        found: String,
    },
}

/// Options of a [`Registry`].
#[derive(Debug)]
pub struct RegistryBuilder {
    address: Option<String>,
    attach_timeout: Option<Duration>,
    warn: fn(&str),
}

/// The shared registry was in use already.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "expected to configure the shared registry before its first use, found it in use; do it first thing in the program"
)]
pub struct AlreadyInUse;

static SHARED: OnceLock<&'static Registry> = OnceLock::new();

impl RegistryBuilder {
    /// The control address of the supervisor; without it, `TALLYBOARD` says.
    #[must_use]
    pub fn address(mut self, address: &str) -> Self {
        self.address = Some(address.to_owned());
        self
    }

    /// How long the first use in a process may wait for the supervisor; a day at most.
    #[must_use]
    pub fn attach_timeout(mut self, timeout: Duration) -> Self {
        self.attach_timeout = Some(timeout);
        self
    }

    /// Where the one warning of a process goes that cannot attach; standard error otherwise.
    #[must_use]
    pub fn on_warning(mut self, warn: fn(&str)) -> Self {
        self.warn = warn;
        self
    }

    /// Makes the shared registry with these options.
    ///
    /// # Errors
    /// [`AlreadyInUse`] when it was used or configured before.
    pub fn install(self) -> Result<(), AlreadyInUse> {
        let mut fresh = false;
        SHARED.get_or_init(|| {
            fresh = true;
            self.build()
        });
        if fresh { Ok(()) } else { Err(AlreadyInUse) }
    }

    /// Makes a registry of its own, with a slot of its own. It lives as long as the process.
    ///
    /// # Panics
    /// When the system gives no page of memory to a process that is just starting.
    #[must_use]
    pub fn build(self) -> &'static Registry {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let address = self.address.or_else(|| variable("TALLYBOARD"));
        let address = address.map(|address| address.parse());
        let inherit = if address.is_some() { Inherit::Nothing } else { Inherit::Copy };
        let page = ForkPage::new(inherit).expect("one page of memory for the registry");
        let timeout = variable("TALLYBOARD_ATTACH_TIMEOUT_MS").map(|text| (text.parse(), text));
        let registry: &'static Registry = Box::leak(Box::new(Registry {
            address,
            attach_timeout: match &timeout {
                _ if self.attach_timeout.is_some() => self.attach_timeout,
                Some((Ok(ms), _)) => Some(Duration::from_millis(*ms)),
                _ => None,
            }
            .unwrap_or(DEFAULT_ATTACH_TIMEOUT)
            .min(LONGEST_ATTACH_TIMEOUT),
            warn: self.warn,
            warned: AtomicBool::new(false),
            page,
            drops: page.lock().cells(slot_header::DROPPED, DROP_REASONS),
            state: ForkMutex::new(page, State::new()),
        }));
        if let Some((Err(_), text)) = timeout {
            registry.warn(&format!(
                "TALLYBOARD_ATTACH_TIMEOUT_MS is a number of milliseconds, found {text:?}; using {} ms",
                registry.attach_timeout.as_millis()
            ));
        }
        registry
    }
}

impl State {
    fn new() -> Self {
        let layout = private_layout();
        Self {
            contents: Contents::new(layout.geometry.cells),
            registered: Vec::new(),
            origin: None,
            own_log: Vec::new(),
            layout,
            label_limit: DEFAULT_LABEL_LIMIT,
            attachment: None,
            attach_id: 0,
            checked_at: Instant::now(),
            is_checking: false,
        }
    }

    /// Makes the cells up to `cells` and room in the log real, then appends `records` behind the
    /// first `committed` words of the log and commits them.
    fn write(
        layout: &Layout,
        mapping: &SlotMapping,
        committed: usize,
        records: &[u64],
        cells: usize,
    ) -> Result<(), DropReason> {
        let log = layout.log_of_slot_at(0);
        let start = log.start + committed;
        let end = start + records.len();
        if cells > layout.geometry.cells || end > log.start + log.words {
            return Err(DropReason::Full);
        }
        mapping
            .open(0..slot_header::WORDS + cells)
            .and_then(|()| mapping.open(start..end))
            .map_err(|_| DropReason::Memory)?;
        append(mapping, log, committed, records).map_err(|_| DropReason::Full)?;
        Ok(())
    }

    /// Begins a family or a series: writes its record into the slot, then takes it in.
    fn begin(&mut self, mapping: &SlotMapping, record: Record) -> Result<Begun, DropReason> {
        let words = record.to_words();
        let cells = self.contents.end().cells + self.contents.cells_of(&record);
        Self::write(&self.layout, mapping, self.own_log.len(), &words, cells)?;
        self.own_log.extend_from_slice(&words);
        self.contents.push(record, words.len()).map_err(|_| DropReason::Full)
    }

    /// Begins a series of a family that does not have it.
    fn begin_series(
        &mut self,
        mapping: Option<&SlotMapping>,
        family: u32,
        values: &[Box<str>],
    ) -> Result<usize, DropReason> {
        if self.contents.series_of_family(family) >= self.label_limit {
            return Err(DropReason::LabelLimit);
        }
        let mapping = mapping.ok_or(DropReason::Reentered)?;
        match self.begin(mapping, Record::Series { family, values: values.into() })? {
            Begun::Series(series) => Ok(series),
            Begun::Family(_) | Begun::Gap => Err(DropReason::Full),
        }
    }

    /// All families and series as one log of this client's own, at the same cells.
    fn whole_log(&self) -> Vec<u64> {
        let records = self.contents.records_after(Mark::default());
        records.flat_map(|record| record.to_words()).collect()
    }

    /// Where the handles of this client have their cells already; `None` while there are none.
    fn rejoin(&self) -> Option<Rejoin> {
        match self.origin {
            Some(Origin { arena_id, prefix }) => {
                Some(Rejoin { arena_id, prefix: prefix.words as u64 })
            }
            None if self.contents.end().words == 0 => None,
            None => Some(Rejoin { arena_id: 0, prefix: 0 }),
        }
    }
}

fn no_room(reason: DropReason) -> AttachError {
    let text = format!("no room for the series of this process ({})", reason.name());
    AttachError::Map(std::io::Error::other(text))
}

fn private_layout() -> Layout {
    let geometry = Geometry::for_series(1, PRIVATE_SERIES).unwrap_or(Geometry {
        slots: 1,
        cells: EXTENT_WORDS,
        log_words: EXTENT_WORDS,
        ring_rows: 0,
        row_cells: 0,
        unit: EXTENT_WORDS,
    });
    Layout::new(geometry)
}

impl Registry {
    /// The registry that every constructor without one uses. Its address is that of
    /// [`RegistryBuilder::install`], else of the environment variable `TALLYBOARD`; without either
    /// the process counts by itself.
    #[must_use]
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::builder().build())
    }

    /// Options for a registry.
    #[must_use]
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder {
            address: None,
            attach_timeout: None,
            warn: |warning| eprintln!("tallyboard: {warning}"),
        }
    }

    /// Attaches now rather than at the first use, and says which slot this process has. A process
    /// that counts privately asks again at once. One that is attached finds out whether its arena
    /// was replaced, and moves into the new one with what it has counted; it keeps the slot that it
    /// has when nobody answers. Waits for the supervisor's answer, until the attach timeout at most.
    ///
    /// # Errors
    /// [`AttachError`] when it has none and counts privately.
    pub fn attach(&'static self) -> Result<Attachment, AttachError> {
        let attached = match self.first_use() {
            Some(attached) => attached,
            None => self.ask_again().map(|late| self.pump_late(late)),
        };
        match self.attachment() {
            Some(attachment) => Ok(attachment),
            None => Err(attached.err().unwrap_or(AttachError::NoAddress)),
        }
    }

    /// The slot that this process counts in; `None` while it counts privately.
    #[must_use]
    pub fn attachment(&self) -> Option<Attachment> {
        self.attachment_in(&self.state.lock())
    }

    /// The attachment, when it is that of this process.
    fn attachment_in(&self, state: &State) -> Option<Attachment> {
        let token = self.page.token();
        state.attachment.filter(|attachment| attachment.token == token && token != 0)
    }

    fn pump_late(&self, late: Option<Late>) {
        if let Some(Err(error)) = late.map(pump_later) {
            self.warn(&format!(
                "no thread to move what other threads are counting just now: {error}; see whether the limit of threads is reached"
            ));
        }
    }

    pub(crate) fn warn(&self, warning: &str) {
        if !self.warned.swap(true, Relaxed) {
            (self.warn)(warning);
        }
    }

    /// Makes sure that this process has a base, if only a private one. Gives what attaching came
    /// to when this call did it.
    fn first_use(&'static self) -> Option<Result<(), AttachError>> {
        if self.page.is_published() {
            return None;
        }
        match self.page.first_use() {
            FirstUse::Done => None,
            FirstUse::Reentered => None,
            FirstUse::Run(_turn) => {
                let attached = self.find_slot();
                if let Err(error) = &attached {
                    self.count_privately();
                    self.detach(error);
                }
                Some(attached)
            }
        }
    }

    /// Says once why this process counts privately, and asks again in the background where that
    /// can help.
    fn detach(&'static self, error: &AttachError) {
        if self.address.is_none() {
            return;
        }
        if error.is_final() {
            self.warn(&format!("{error}; this process counts privately"));
            return;
        }
        // One warning says both: a second would not be given.
        let until = match attach_later(self) {
            Ok(()) => "until a supervisor answers".to_owned(),
            Err(error) => format!("for good, without a thread to ask again with: {error}"),
        };
        self.warn(&format!("{error}; this process counts privately {until}"));
    }

    fn find_slot(&'static self) -> Result<(), AttachError> {
        let rejoin = {
            let mut state = self.state.lock();
            // The thread that asked when this process was forked stayed with its parent.
            state.is_checking = false;
            state.rejoin()
        };
        let attach_id = process::random_u64().map_err(AttachError::Map)?;
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
        Self::move_in(&mut state, taken, attach_id).map(drop)
    }

    /// Asks again after the first use: for a slot when this process counts privately, whether its
    /// arena was replaced when it is attached. Gives the pump that moves what comes late, or
    /// nothing when it stays where it is.
    pub(crate) fn ask_again(&'static self) -> Result<Option<Late>, AttachError> {
        let (attach_id, rejoin, present) = {
            let mut state = self.state.lock();
            if state.attach_id == 0 {
                state.attach_id = process::random_u64().map_err(AttachError::Map)?;
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
        let pump = Self::move_in(&mut state, taken, attach_id)?;
        Ok(pump.zip(state.page().mapping()))
    }

    /// Has a thread ask whether the arena was replaced, when nobody has for a while. Called where
    /// a family or a series begins: there is no permanent thread to do it, and counting never asks.
    fn check_now_and_then(&'static self, mut state: ForkMutexGuard<'_, State>) {
        let is_due = !state.is_checking
            && self.attachment_in(&state).is_some()
            && state.checked_at.elapsed() >= CHECK_PAUSE;
        if !is_due {
            return;
        }
        state.is_checking = true;
        state.checked_at = Instant::now();
        drop(state);
        // Without a thread the old arena goes on being counted in, as when nobody answers.
        if check_later(self).is_err() {
            self.end_check();
        }
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
        let address = match &self.address {
            None => return Err(AttachError::NoAddress),
            Some(address) => address.clone()?,
        };
        let deadline = Instant::now() + self.attach_timeout;
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
        let offer = ask(address, self.attach_timeout, deadline, attach_id, rejoin, present)?;
        let Some(offer) = offer else { return Ok(None) };
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
        Ok(Some((contents, offer.confirm()?)))
    }

    /// Writes header and log into a slot that was taken, copies into it what was counted so far,
    /// and publishes it. Gives the pump for what comes late. When there is no room, all is as before.
    fn move_in(
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
        SlotHeader { generation, arena_id, prefix: origin.prefix.words as u64 }.write(&mapping, 0);
        // The prefix owns cells too: all of them are real before the base is published.
        let cells = state.contents.end().cells;
        State::write(&layout, &mapping, 0, &own_log, cells).map_err(no_room)?;
        let old = state.page().mapping();
        let mut pump = old.map(|old| Pump::new(&state.contents, old));
        if let Some(pump) = &mut pump {
            pump.turn(&mapping);
        }
        state.page().publish(mapping, token).map_err(|_| no_room(DropReason::Memory))?;
        state.attachment = Some(Attachment { slot, generation, arena_id, token });
        state.attach_id = token;
        state.checked_at = Instant::now();
        state.origin = Some(origin);
        state.own_log = own_log;
        state.layout = layout;
        state.contents.set_cell_limit(layout.geometry.cells);
        state.label_limit = usize::try_from(granted.label_limit).unwrap_or(usize::MAX);
        Ok(pump)
    }

    /// Gives this process private memory with the same cells.
    fn count_privately(&'static self) {
        let inherit = if self.address.is_some() { Inherit::Nothing } else { Inherit::Copy };
        let mut state = self.state.lock();
        state.layout = private_layout();
        let limit = state.layout.geometry.cells;
        state.contents.set_cell_limit(limit);
        state.attachment = None;
        state.attach_id = 0;
        let cells = state.contents.end().cells;
        let mapping = private::slot(state.layout.slot_words, inherit).map_err(AttachError::Map);
        let moved = mapping.and_then(|mapping| {
            State::write(&state.layout, &mapping, 0, &state.own_log, cells).map_err(no_room)?;
            let published = state.page().publish(mapping, PRIVATE_TOKEN);
            published.map_err(|_| no_room(DropReason::Memory))
        });
        drop(state);
        if let Err(error) = moved {
            self.warn(&format!("{error}; this process counts nothing"));
        }
    }

    /// Counts one thing that cannot be counted.
    fn drop_one(&self, reason: DropReason) {
        match self.drops.words() {
            Some(drops) => {
                drops.at(reason as usize).fetch_add(1, Relaxed);
            }
            None => self.page.drop_pending(reason),
        }
    }

    /// Registers a family. With `reuse` one that this program registered before under the same
    /// definition is taken instead.
    pub(crate) fn register(
        &'static self,
        family: Family,
        reuse: bool,
    ) -> Result<FamilyRef, RegisterError> {
        self.first_use();
        let mut state = self.state.lock();
        let shares_a_name = |mine: &&&Definition| {
            mine.family.sample_names().any(|name| family.sample_names().any(|n| n == name))
        };
        if let Some(&definition) = state.registered.iter().find(shares_a_name) {
            let (existing, found) = (describe(&definition.family), describe(&family));
            return match definition.family.agrees_with(&family) {
                true if reuse => Ok(FamilyRef { registry: self, definition }),
                true => Err(RegisterError::Duplicate { existing, found }),
                false => {
                    let name = family.name.to_string();
                    Err(RegisterError::Conflict { name, existing, found })
                }
            };
        }
        // Another process may have begun the same family; it came with the prefix.
        let known = state.contents.find_family(&family.name);
        let mut ordinal =
            known.filter(|&known| state.contents.families()[known as usize].agrees_with(&family));
        if ordinal.is_none() {
            let mapping = state.page().mapping();
            let begun = match mapping {
                Some(mapping) => state.begin(mapping, Record::Family(family.clone())),
                None => Err(DropReason::Reentered),
            };
            if let Ok(Begun::Family(begun)) = begun {
                ordinal = Some(begun as u32);
            }
        }
        let definition = Definition { family, ordinal, children: Children::new() };
        let definition: &'static Definition = Box::leak(Box::new(definition));
        state.registered.push(definition);
        self.check_now_and_then(state);
        Ok(FamilyRef { registry: self, definition })
    }
}

/// What a program registered. It lives as long as the process, as registries do.
#[derive(Debug)]
struct Definition {
    family: Family,
    /// `None` when the log had no room for it.
    ordinal: Option<u32>,
    children: Children,
}

/// A family of a registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FamilyRef {
    registry: &'static Registry,
    definition: &'static Definition,
}

impl FamilyRef {
    pub(crate) fn family(&self) -> &'static Family {
        &self.definition.family
    }

    /// The series with these label values; it begins when nobody had it yet.
    #[inline]
    pub(crate) fn series(&self, values: &(impl Values + ?Sized)) -> Result<SeriesRef, LabelError> {
        if !self.registry.page.is_published() {
            self.registry.first_use();
        }
        match self.definition.children.find(values) {
            Some(series) => Ok(series),
            None => {
                let mut copied: Vec<Box<str>> = Vec::new();
                values.each(|value| copied.push(value.into()));
                self.begin(&copied)
            }
        }
    }

    #[cold]
    fn begin(&self, values: &[Box<str>]) -> Result<SeriesRef, LabelError> {
        let family = || self.family().name.to_string();
        if values.len() != self.family().labels.len() {
            let expected = self.label_names();
            return Err(LabelError::Count { family: family(), expected, found: values.len() });
        }
        if let Some(long) = values.iter().find(|value| value.len() > MAX_VALUE_BYTES) {
            return Err(LabelError::Length { family: family(), found: long.len() });
        }
        let registry = self.registry;
        Ok(self.cells(values).unwrap_or_else(|reason| SeriesRef {
            cells: Cells::nowhere(),
            registry,
            refused: Some(reason),
        }))
    }

    pub(crate) fn label_names(&self) -> Vec<String> {
        self.family().labels.iter().map(ToString::to_string).collect()
    }

    fn cells(&self, values: &[Box<str>]) -> Result<SeriesRef, DropReason> {
        let family = self.definition.ordinal.ok_or(DropReason::Full)?;
        let mut state = self.registry.state.lock();
        let found = state.contents.find_series(family, values);
        let series = match found {
            Some(series) => Ok(series as usize),
            None => {
                let mapping = state.page().mapping();
                state.begin_series(mapping, family, values)
            }
        };
        let series = series.map(|series| {
            let cell = state.contents.series()[series].cell;
            let cells = state.page().cells(slot_header::WORDS + cell, self.family().kind.cells());
            let series = SeriesRef { cells, registry: self.registry, refused: None };
            self.definition.children.insert(values, series);
            series
        });
        if found.is_none() {
            self.registry.check_now_and_then(state);
        }
        series
    }
}

/// A series of a registry: what every metric is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesRef {
    cells: Cells,
    registry: &'static Registry,
    refused: Option<DropReason>,
}

impl SeriesRef {
    /// The cells to count in; `None` when this cannot be counted, and that has been counted.
    #[inline]
    pub(crate) fn words(&self) -> Option<CellWords<'_>> {
        match self.cells.words() {
            Some(words) => Some(words),
            None => self.arrive(),
        }
    }

    /// The first use in this process, which may be a child of the one that made the handle.
    #[cold]
    fn arrive(&self) -> Option<CellWords<'_>> {
        if self.refused.is_none() {
            self.registry.first_use();
        }
        let words = self.cells.words();
        if words.is_none() {
            self.registry.drop_one(self.refused.unwrap_or(DropReason::Reentered));
        }
        words
    }

    /// Number of this process, for guards that a fork must not multiply.
    #[inline]
    pub(crate) fn life(&self) -> u64 {
        self.registry.page.life()
    }

    /// Counts an amount that was refused.
    #[cold]
    pub(crate) fn refuse_amount(&self) {
        self.registry.first_use();
        self.registry.drop_one(DropReason::Amount);
    }
}

fn describe(family: &Family) -> String {
    format!("{} {:?} with labels {:?}", family.kind.name(), family.name, family.labels)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("address", &self.address)
            .field("attachment", &self.attachment())
            .finish_non_exhaustive()
    }
}
