//! How a registry is configured and made, and the one that is shared.

use std::sync::OnceLock;
use std::time::Duration;

use tallyboard_proto::family::{FamilyError, GaugeMode};
use tallyboard_segment::fork::ForkPage;
use tallyboard_segment::mapping::Inherit;
use tallyboard_segment::process;
use tallyboard_segment::trust::{self, Trust};
use thiserror::Error;

use super::registry::{About, Configured, Registry};

/// How long the first use in a process waits for the supervisor, unless
/// `TALLYBOARD_ATTACH_TIMEOUT_MS` or [`RegistryBuilder::attach_timeout`] says otherwise.
pub const DEFAULT_ATTACH_TIMEOUT: Duration = Duration::from_millis(250);
/// Longer ones, such as `Duration::MAX`, end beyond what a clock can say.
const LONGEST_ATTACH_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often callbacks and collectors of a registry with a supervisor are asked, unless
/// [`RegistryBuilder::refresh_interval`] says otherwise.
pub const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(5);

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
        let configured = Configured {
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
            gauge_mode: self.gauge_mode.or(gauge_mode).unwrap_or(GaugeMode::All),
            warn: self.warn,
        };
        let registry: &'static Registry = Box::leak(Box::new(Registry::new_on(page, configured)));
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
                registry.configured.attach_timeout.as_millis()
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
}
