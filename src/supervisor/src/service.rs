//! The service manager: what systemd is told, and what it keeps for the next keeper.
//!
//! Under `Type=notify` the service is ready when its supervisor is. With `FileDescriptorStoreMax=`
//! set, systemd keeps the descriptor of an arena without a name, and passes it to the next keeper
//! after this one and its supervisor have died.

use std::os::fd::{BorrowedFd, OwnedFd};

use sd_notify::NotifyState;
use tallyboard_segment::process::passed_descriptor;

/// What the descriptor is called in systemd's store.
const STORED: &str = "tallyboard-arena";

/// Says that the service is ready, or stopping.
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
    let passed = sd_notify::listen_fds_with_names();
    let found = passed.map(|mut passed| passed.find(|(_, name)| name == STORED));
    let number = match found {
        Ok(found) => found?.0,
        Err(error) => {
            tracing::warn!(%error, "cannot read what the service manager passed");
            return None;
        }
    };
    passed_descriptor(number)
        .inspect_err(|error| tracing::warn!(%error, "cannot take what the service manager kept"))
        .ok()
}
