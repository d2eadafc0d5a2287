//! The service manager: what systemd is told, and what it keeps for the next keeper.
//!
//! Under `Type=notify` the service is ready when its supervisor is. With `FileDescriptorStoreMax=`
//! set, systemd keeps the descriptor of an arena without a name, and passes it to the next keeper
//! after this one and its supervisor have died.
//!
//! Under `WatchdogSec=` systemd wants to hear within that time that the service works, or it ends the
//! service and starts it again. The keeper says so, as the main process, but it does not say it of
//! itself: it asks the supervisor at half of that time and passes the answer on, which comes from the
//! loop that attaches, reclaims and scrapes. A supervisor that hangs is silent, and one that dies is
//! replaced and says that it is ready, long before the time is over. One that dies again and again
//! without ever being ready is silent too.
//!
//! A control socket that systemd listens on is served as it is, and stays when the service ends.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tallyboard_segment::pass::{Address, Listener};
use tallyboard_segment::process::passed_descriptor;

/// What the descriptor is called in systemd's store.
const STORED: &str = "tallyboard-arena";

/// When the service manager is to hear of the supervisor.
#[derive(Debug)]
pub(crate) struct Watchdog {
    interval: Duration,
    due: Instant,
}

impl Watchdog {
    /// The one that the service manager wants of this process (sd_watchdog_enabled(3)).
    pub(crate) fn wanted() -> Option<Self> {
        let within = sd_notify::watchdog_enabled().filter(|within| !within.is_zero())?;
        // Never so short that the keeper does nothing else.
        let interval = (within / 2).max(Duration::from_millis(1));
        Some(Self { interval, due: Instant::now() + interval })
    }

    /// When the supervisor is to be asked next.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Whether it is to be asked now; then the next time is set.
    pub(crate) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if now < self.due {
            return false;
        }
        self.due = now + self.interval;
        true
    }
}

/// Says that the service is ready, works, or is stopping.
pub(crate) fn say(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot tell the service manager how this service is");
    }
}

/// Has the descriptor of an arena without a name kept.
pub(crate) fn keep(object: BorrowedFd<'_>) {
    let state = [NotifyState::FdStore, NotifyState::FdName(STORED)];
    if let Err(error) = sd_notify::notify_with_fds(&state, &[object]) {
        tracing::warn!(%error, "cannot have the arena kept by the service manager");
    }
}

/// Has what was kept forgotten: the arena has ended as it should.
pub(crate) fn forget() {
    let state = [NotifyState::FdStoreRemove, NotifyState::FdName(STORED)];
    if let Err(error) = sd_notify::notify(&state) {
        tracing::warn!(%error, "cannot have the arena forgotten by the service manager");
    }
}

/// The descriptor that an earlier keeper had kept.
pub(crate) fn kept() -> Option<OwnedFd> {
    passed().find(|(_, name)| name == STORED).map(|(descriptor, _)| descriptor)
}

/// The control socket that the service manager listens on for this process (a socket unit with
/// `ListenSequentialPacket=`), with its address.
pub(crate) fn control() -> Option<(Listener, Address)> {
    passed().find_map(|(descriptor, name)| match Listener::passed(descriptor) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, name, "cannot take a socket that the service manager passed");
            None
        }
    })
}

/// Where workers attach to this service, when its service manager has decided it.
#[must_use]
pub fn control_address() -> Option<Address> {
    control().map(|(_, address)| address)
}

/// What the service manager has passed to this process, with what it is called.
fn passed() -> impl Iterator<Item = (OwnedFd, String)> {
    let passed = sd_notify::listen_fds_with_names()
        .inspect_err(|error| tracing::warn!(%error, "cannot read what the service manager passed"));
    passed.into_iter().flatten().filter_map(|(number, name)| match passed_descriptor(number) {
        Ok(descriptor) => Some((descriptor, name)),
        Err(error) => {
            tracing::warn!(%error, name, "cannot take what the service manager passed");
            None
        }
    })
}
