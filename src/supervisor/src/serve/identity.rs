//! Which process is who: by its start time, and the worker that a slot names by all that the slot table
//! says of it.

use nix::errno::Errno;
use tallyboard_proto::slot::Tenant;
use tallyboard_segment::pidfd::Pidfd;
use tallyboard_segment::stat::Stat;

/// Start time of a process in clock ticks since boot; 0 when it cannot be read.
pub(crate) fn start_time(pid: u32) -> u64 {
    if pid == 0 { 0 } else { Stat::read(pid).map_or(0, |stat| stat.start_time) }
}

/// What became of the worker that the slot table names.
pub(crate) enum Found {
    /// It may be alive: this is the process, and the kernel will say when it is dead.
    Alive(Pidfd),
    /// It is dead.
    Dead,
    /// The table does not say enough to know.
    Unknown,
}

/// Looks for the worker of a slot, in the pid namespace that its pid was written in. The inode of
/// a pidfd is unique since boot (Linux 6.9); before that, the start time must do.
pub(crate) fn find(tenant: &Tenant) -> Found {
    let Ok(pid @ 1..) = u32::try_from(tenant.pid) else { return Found::Unknown };
    let pidfd = match Pidfd::open(pid) {
        Ok(pidfd) => pidfd,
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => return Found::Dead,
        Err(_) => return Found::Unknown,
    };
    let is_same = match (tenant.pidfs_inode, pidfd.inode()) {
        (0, _) | (_, 0) => match (tenant.start_time, start_time(pid)) {
            (0, _) | (_, 0) => return Found::Unknown,
            (expected, found) => expected == found,
        },
        (expected, found) => expected == found,
    };
    if is_same { Found::Alive(pidfd) } else { Found::Dead }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_started() {
        assert!(start_time(std::process::id()) > 0);
        assert_eq!(start_time(0), 0);
    }
}
