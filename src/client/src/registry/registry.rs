//! The registry: what this process counts, where, and since which attachment.
//!
//! Who may do what: the hot path touches only [`Cells`] that were handed out; everything else goes
//! through `Registry::state`, whose lock lies on the page that a fork wipes. The lock is never held
//! while the supervisor is waited for. Nothing in the state points into the arena, so a forked child
//! finds a copy that is true there too: families, series and cell indices. What is not true there
//! (the base, the token) is wiped.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tallyboard_proto::control::Rejoin;
use tallyboard_proto::family::{Family, FamilyError, GaugeMode};
use tallyboard_proto::layout::{DROP_REASONS, DropReason, slot_header};
use tallyboard_proto::log::{Begun, Contents, Record};
use tallyboard_segment::fork::{Cells, FirstUse, ForkMutex, ForkMutexGuard, ForkPage};
use tallyboard_segment::mapping::Inherit;
use tallyboard_segment::pass::Address;
use tallyboard_segment::trust::{self, Trust};
use tallyboard_segment::{clock, private, process};
use thiserror::Error;

use crate::collect::asked::AskedGauges;
use super::attach::{AttachError, Way, ask};
use super::background::Task;
use super::children::Children;
use super::definition::{Definition, FamilyRef, describe, shares_a_name};
use super::detached::{Late, PAUSE_FROM};
use crate::error::RegisterError;
use super::state::{Origin, State, Taken, move_in, no_room, private_layout};

/// How long the first use in a process waits for the supervisor, unless
/// `TALLYBOARD_ATTACH_TIMEOUT_MS` or [`RegistryBuilder::attach_timeout`] says otherwise.
pub const DEFAULT_ATTACH_TIMEOUT: Duration = Duration::from_millis(250);
/// Longer ones, such as `Duration::MAX`, end beyond what a clock can say.
const LONGEST_ATTACH_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often callbacks and collectors of a registry with a supervisor are asked, unless
/// [`RegistryBuilder::refresh_interval`] says otherwise.
pub const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// How many label sets a family of a process without supervisor may have.
pub const DEFAULT_LABEL_LIMIT: usize = 10_000;
/// Number of every attachment to private memory; the others are random.
const PRIVATE_TOKEN: u64 = 1;
/// How long a process that is attached does not ask whether its arena was replaced.
const CHECK_PAUSE: Duration = Duration::from_secs(5);

/// Where metrics are counted. Most programs use the shared one, which every constructor without a
/// registry does.
pub struct Registry {
    address: Option<Result<Address, tallyboard_segment::pass::AddressError>>,
    /// Whose supervisor this process believes.
    pub(crate) trust: Trust,
    attach_timeout: Duration,
    /// How often callbacks and collectors are asked.
    pub(crate) refresh_interval: Duration,
    warn: fn(&str),
    /// What was warned of, as a set of [`About`].
    warned: AtomicU32,
    pub(crate) page: &'static ForkPage,
    drops: Cells,
    /// Mode of gauges that name none.
    pub(crate) gauge_mode: GaugeMode,
    /// What is added to CLOCK_MONOTONIC in stamps, so that they are Unix time by the host's clock: the
    /// same number in all processes of an arena that are in the same time namespace.
    unix_offset_ns: AtomicU64,
    /// The gauges that are asked.
    pub(crate) asked: AskedGauges,
    /// Whether nobody says how far this process's clock is from the host's, and that was not said.
    has_unknown_clock: AtomicBool,
    pub(crate) state: ForkMutex<State>,
}

/// The slot that this process counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The slot.
    pub slot: u64,
    /// Its generation.
    pub generation: u64,
    /// The arena.
    pub arena_id: u64,
    pub(crate) token: u64,
}

/// What a process warns of, each once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About {
    GaugeMode,
    SupervisorUid,
    AttachTimeout,
    /// It counts privately, as long as nobody answers.
    Attaching,
    /// It counts privately, or in an arena that was replaced, for good.
    Refused,
    Memory,
    Threads,
}

/// Options of a [`Registry`].
#[derive(Debug)]
pub struct RegistryBuilder {
    address: Option<String>,
    supervisor_uid: Option<u32>,
    attach_timeout: Option<Duration>,
    gauge_mode: Option<GaugeMode>,
    refresh_interval: Duration,
    is_private: bool,
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

    /// The uid of the supervisor, where it is neither this process's own nor root; without it,
    /// `TALLYBOARD_SUPERVISOR_UID` says. Whoever else answers on the control address is not
    /// believed, but for the owner of a socket file in whose folders nobody else can write.
    #[must_use]
    pub fn supervisor_uid(mut self, uid: u32) -> Self {
        self.supervisor_uid = Some(uid);
        self
    }

    /// How long the first use in a process may wait for the supervisor; a day at most.
    #[must_use]
    pub fn attach_timeout(mut self, timeout: Duration) -> Self {
        self.attach_timeout = Some(timeout);
        self
    }

    /// The mode of gauges that name none, instead of `all`; without it, `TALLYBOARD_GAUGE_MODE` says.
    /// Processes that share a metric must agree on it.
    #[must_use]
    pub fn gauge_mode(mut self, mode: GaugeMode) -> Self {
        self.gauge_mode = Some(mode);
        self
    }

    /// How often the callbacks and collectors of a registry with a supervisor are asked;
    /// [`DEFAULT_REFRESH_INTERVAL`] otherwise, and never more often than each millisecond.
    #[must_use]
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Where the warnings of a process go, one of each kind; standard error otherwise.
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
        let configured = if self.is_private { None } else { variable("TALLYBOARD") };
        let address = self.address.or(configured);
        let address = address.map(|address| address.parse());
        let inherit = if address.is_some() { Inherit::Nothing } else { Inherit::Copy };
        let page = ForkPage::new(inherit).expect("one page of memory for the registry");
        let mode = variable("TALLYBOARD_GAUGE_MODE");
        let gauge_mode = mode.as_ref().and_then(|mode| mode.parse().ok());
        let uid = variable(trust::VARIABLE).filter(|_| self.supervisor_uid.is_none());
        let uid = uid.map(|text| text.parse().map_err(|_| text)).transpose();
        let timeout = variable("TALLYBOARD_ATTACH_TIMEOUT_MS").map(|text| (text.parse(), text));
        let registry: &'static Registry = Box::leak(Box::new(Registry {
            address,
            trust: Trust::new(self.supervisor_uid.or(uid.as_ref().ok().copied().flatten())),
            attach_timeout: match &timeout {
                _ if self.attach_timeout.is_some() => self.attach_timeout,
                Some((Ok(ms), _)) => Some(Duration::from_millis(*ms)),
                _ => None,
            }
            .unwrap_or(DEFAULT_ATTACH_TIMEOUT)
            .min(LONGEST_ATTACH_TIMEOUT),
            refresh_interval: self.refresh_interval,
            warn: self.warn,
            warned: AtomicU32::new(0),
            page,
            gauge_mode: self.gauge_mode.or(gauge_mode).unwrap_or(GaugeMode::All),
            unix_offset_ns: AtomicU64::new(clock::unix_offset_ns(0)),
            has_unknown_clock: AtomicBool::new(false),
            drops: page.lock().cells(slot_header::DROPPED, DROP_REASONS),
            asked: AskedGauges::new(),
            state: ForkMutex::new(page, State::new()),
        }));
        if let (Some(found), None, None) = (mode, gauge_mode, self.gauge_mode) {
            let error = FamilyError::Mode { found };
            registry.warn(About::GaugeMode, &format!("TALLYBOARD_GAUGE_MODE: {error}; using all"));
        }
        if let Err(text) = uid {
            let uid = trust::VARIABLE;
            registry.warn(About::SupervisorUid, &format!(
                "{uid} is the number of a user, found {text:?}; only supervisors of this process's uid and of root are believed"
            ));
        }
        if let Some((Err(_), text)) = timeout {
            registry.warn(About::AttachTimeout, &format!(
                "TALLYBOARD_ATTACH_TIMEOUT_MS is a number of milliseconds, found {text:?}; using {} ms",
                registry.attach_timeout.as_millis()
            ));
        }
        registry
    }
}

impl Registry {
    /// The registry that every constructor without one uses. Its address is that of
    /// [`RegistryBuilder::install`], else of the environment variable `TALLYBOARD`; without either
    /// the process counts by itself.
    #[must_use]
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::builder().build())
    }

    /// A private registry: it counts in this process alone, whatever the environment says, and is
    /// exposed where the program does it. A forked child goes on with a copy of what was counted. It
    /// lives as long as the process.
    ///
    /// ```
    /// use tallyboard::{Counter, Registry};
    ///
    /// let batch = Registry::new();
    /// let items = Counter::builder("batch_items_total", "Items done.").registry(batch);
    /// items.register()?.inc_by(3);
    /// let (_, page) = batch.exposition_of_process("text/plain", &[]);
    /// assert!(String::from_utf8_lossy(&page).contains("batch_items_total 3\n"));
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    #[must_use]
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> &'static Self {
        RegistryBuilder { is_private: true, ..Self::builder() }.build()
    }

    /// The address of the supervisor, when one is configured.
    pub(crate) fn address(&self) -> Option<Result<Address, AttachError>> {
        self.address.clone().map(|address| address.map_err(AttachError::from))
    }

    /// Options for a registry.
    #[must_use]
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder {
            address: None,
            supervisor_uid: None,
            attach_timeout: None,
            gauge_mode: None,
            refresh_interval: DEFAULT_REFRESH_INTERVAL,
            is_private: false,
            warn: |warning| process::say(&format!("tallyboard: {warning}")),
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

    fn pump_late(&'static self, late: Option<Late>) {
        // With one thread nobody is between finding the old base and adding to it.
        let late = late.filter(|_| !process::threads().is_ok_and(|threads| threads == 1));
        if let Some(Err(error)) = late.map(|late| self.in_background(Task::Pump(late))) {
            self.warn(About::Threads, &format!(
                "no thread to move what other threads are counting just now: {error}; see whether the limit of threads is reached"
            ));
        }
    }

    /// Warns once of each thing: what is wrong with one does not become better by being said again.
    pub(crate) fn warn(&self, about: About, warning: &str) {
        let about = 1 << about as u32;
        if self.warned.fetch_or(about, Relaxed) & about == 0 {
            (self.warn)(warning);
        }
    }

    /// Makes sure that this process has a base, if only a private one. Gives what attaching came
    /// to when this call did it.
    pub(crate) fn first_use(&'static self) -> Option<Result<(), AttachError>> {
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
                self.start_refreshing();
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
            self.warn(About::Refused, &format!("{error}; this process counts privately"));
            return;
        }
        // One warning says both: a second would not be given.
        let until = match self.in_background(Task::Attach(PAUSE_FROM)) {
            Ok(()) => "until a supervisor answers".to_owned(),
            Err(error) => format!("for good, without a thread to ask again with: {error}"),
        };
        let warning = format!("{error}; this process counts privately {until}");
        self.warn(About::Attaching, &warning);
    }

    fn find_slot(&'static self) -> Result<(), AttachError> {
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

    /// Has a thread ask whether the arena was replaced, when nobody has for a while. Called where
    /// a family or a series begins: there is no permanent thread to do it, and counting never asks.
    pub(crate) fn check_now_and_then(&'static self, mut state: ForkMutexGuard<'_, State>) {
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
        if self.in_background(Task::Check).is_err() {
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
        let (trust, timeout) = (self.trust, self.attach_timeout);
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

    /// Takes over the clock of an arena, of which the host's stood at 0 at `unix_offset_ns`. Where
    /// nobody says how far this process's is from it, the stamps are by the wall clock of now.
    fn set_clock(&self, unix_offset_ns: u64) {
        let shift_ns = clock::shift_ns();
        self.has_unknown_clock.store(shift_ns.is_none(), Relaxed);
        let offset_ns = match shift_ns {
            Some(shift_ns) => unix_offset_ns.wrapping_add_signed(shift_ns.wrapping_neg()),
            None => clock::unix_offset_ns(0),
        };
        self.unix_offset_ns.store(offset_ns, Relaxed);
    }

    /// Now, as stamps have it.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        if self.has_unknown_clock.load(Relaxed) {
            self.say_unknown_clock();
        }
        // The sum is Unix time, whatever the two are.
        process::monotonic_ns().wrapping_add(self.unix_offset_ns.load(Relaxed))
    }

    #[cold]
    fn say_unknown_clock(&self) {
        if self.has_unknown_clock.swap(false, Relaxed) {
            (self.warn)(
                "expected to know how far the clock of this time namespace is from the host's, found that nothing says so; what this process sets of gauges of mode mostrecent, of statesets and infos has the time of the wall clock: start it in its time namespace, and mount /proc",
            );
        }
    }

    /// Counts one thing that cannot be counted.
    pub(crate) fn drop_one(&self, reason: DropReason) {
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
        let is_same = |mine: &&&Definition| shares_a_name(&mine.family, &family);
        if let Some(&definition) = state.registered.iter().find(is_same) {
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
        let mut collected = state.collectors.iter().flat_map(|known| known.families.iter());
        if let Some(existing) = collected.find(|existing| shares_a_name(existing, &family)) {
            let (existing, found) = (describe(existing), describe(&family));
            return Err(RegisterError::Duplicate { existing, found });
        }
        drop(collected);
        // Another process may have begun the same family; it came with the prefix.
        let mut ordinal = state.contents.find(&family);
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

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("address", &self.address)
            .field("attachment", &self.attachment())
            .finish_non_exhaustive()
    }
}
