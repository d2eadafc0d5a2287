//! The registry: what this process counts, where, and since which attachment.
//!
//! Who may do what: the hot path touches only [`Cells`] that were handed out; everything else goes
//! through `Registry::state`, whose lock lies on the page that a fork wipes. The lock is never held
//! while the supervisor is waited for. Nothing in the state points into the arena, so a forked child
//! finds a copy that is true there too: families, series and cell indices. What is not true there
//! (the base, the token) is wiped.

use std::fmt;
use std::panic::RefUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tallyboard_proto::family::GaugeMode;
use tallyboard_proto::layout::{DROP_REASONS, DropReason, slot_header};
use tallyboard_segment::fork::{Cells, ForkMutex, ForkPage};
use tallyboard_segment::pass::{Address, AddressError};
use tallyboard_segment::trust::Trust;
use tallyboard_segment::{clock, process};

use super::attach::AttachError;
use super::questions::AskedSeries;
use super::state::{Attachment, State};

/// Where metrics are counted. Most programs use the shared one, which every constructor without a
/// registry does.
pub struct Registry {
    pub(crate) configured: Configured,
    /// What was warned of, as a set of [`About`].
    warned: AtomicU32,
    pub(crate) page: &'static ForkPage,
    drops: Cells,
    /// What is added to CLOCK_MONOTONIC in stamps, so that they are Unix time by the host's clock: the
    /// same number in all processes of an arena that are in the same time namespace.
    unix_offset_ns: AtomicU64,
    /// The series that are asked.
    pub(crate) asked: AskedSeries,
    /// Whether nobody says how far this process's clock is from the host's, and that was not said.
    has_unknown_clock: AtomicBool,
    pub(crate) state: ForkMutex<State>,
}

/// What is configured of a registry.
pub(crate) struct Configured {
    pub(crate) address: Option<Result<Address, AddressError>>,
    /// Whose supervisor this process believes.
    pub(crate) trust: Trust,
    pub(crate) attach_timeout: Duration,
    /// How often callbacks and collectors are asked.
    pub(crate) refresh_interval: Duration,
    /// Mode of gauges that name none.
    pub(crate) gauge_mode: GaugeMode,
    pub(crate) warn: fn(&str),
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
    /// Other processes have defined a metric in another way.
    Definition,
}

impl Registry {
    pub(super) fn new_on(page: &'static ForkPage, configured: Configured) -> Self {
        Self {
            configured,
            warned: AtomicU32::new(0),
            page,
            drops: page.lock().cells(slot_header::DROPPED, DROP_REASONS),
            unix_offset_ns: AtomicU64::new(clock::unix_offset_ns(0)),
            asked: AskedSeries::new(),
            has_unknown_clock: AtomicBool::new(false),
            state: ForkMutex::new(page, State::new()),
        }
    }

    /// The address of the supervisor, when one is configured.
    pub(crate) fn address(&self) -> Option<Result<Address, AttachError>> {
        self.configured.address.clone().map(|address| address.map_err(AttachError::from))
    }

    /// The slot that this process counts in; `None` while it counts privately.
    #[must_use]
    pub fn attachment(&self) -> Option<Attachment> {
        self.attachment_in(&self.state.lock())
    }

    /// The attachment, when it is that of this process.
    pub(super) fn attachment_in(&self, state: &State) -> Option<Attachment> {
        let token = self.page.token();
        state.attachment.filter(|attachment| attachment.token == token && token != 0)
    }

    /// Warns once of each thing: what is wrong with one does not become better by being said again.
    pub(crate) fn warn(&self, about: About, warning: &str) {
        let about = 1 << about as u32;
        if self.warned.fetch_or(about, Relaxed) & about == 0 {
            (self.configured.warn)(warning);
        }
    }

    /// Takes over the clock of an arena, of which the host's stood at 0 at `unix_offset_ns`. Where
    /// nobody says how far this process's is from it, the stamps are by the wall clock of now.
    pub(super) fn set_clock(&self, unix_offset_ns: u64) {
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
            (self.configured.warn)(
                "expected to know how far the clock of this time namespace is from the host's, found that nothing says so; what this process sets of gauges of mode mostrecent, of statesets and infos has the time of the wall clock: start it in its time namespace, and mount /proc",
            );
        }
    }

    /// Finds or takes a lane for this thread. It takes none while somebody has the registry's lock: that
    /// may be this thread, which a signal handler has interrupted.
    pub(crate) fn take_lane(&self) {
        if let Some(state) = self.state.try_lock() {
            state.page().take_lane(slot_header::WORDS + state.contents.end().cells);
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
}

/// A panic leaves a registry whole: nothing that panics runs while its state is half changed. So a
/// metric may be used on both sides of `catch_unwind`.
impl RefUnwindSafe for Registry {}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("address", &self.configured.address)
            .field("attachment", &self.attachment())
            .finish_non_exhaustive()
    }
}
