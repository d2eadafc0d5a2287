//! What the system says of this supervisor, and of the worker that a slot names.

use nix::errno::Errno;
use tallyboard_exposition::sample::{FamilySamples, Value};
use tallyboard_proto::slot::Tenant;
use tallyboard_segment::pidfd::Pidfd;

use crate::page::own;
use tallyboard_segment::stat::{self, Stat, Units, max_fds, open_fds};

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

/// The supervisor's own process, as `process_*` metrics name it. What cannot be read is left out.
pub(crate) fn own_process() -> Vec<FamilySamples> {
    let units = Units::of_this_machine();
    let stat = Stat::read("self");
    let whole = |value: Option<u64>| value.map(|value| value as f64);
    [
        (own::PROCESS_CPU, stat.map(|stat| units.seconds(stat.cpu_ticks))),
        (own::PROCESS_MAX_FDS, whole(max_fds("self"))),
        (own::PROCESS_OPEN_FDS, whole(open_fds("self"))),
        (own::PROCESS_RESIDENT, stat.map(|stat| units.bytes(stat.resident_pages))),
        (own::PROCESS_START, stat.and_then(|stat| units.moment(stat.start_time))),
        (own::PROCESS_VIRTUAL, stat.map(|stat| stat.virtual_bytes as f64)),
    ]
    .into_iter()
    .filter_map(|(own, value)| Some(own.value(Value::Float(value?))))
    .collect()
}

/// The machine and its kernel, as labels.
pub(crate) fn platform() -> FamilySamples {
    let labels = stat::platform();
    let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
    own::PLATFORM_INFO.info(&labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_started_and_is_described_whole() {
        assert!(start_time(std::process::id()) > 0);
        assert_eq!(start_time(0), 0);
        assert_eq!(own_process().len(), 6);
        let platform = format!("{:?}", platform());
        assert!(platform.contains("\"Linux\"") && !platform.contains("\"\")"), "{platform}");
    }
}
