//! What /proc says: about this supervisor, and when a worker began.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::unistd::{SysconfVar, sysconf};
use tallyboard_exposition::sample::{FamilySamples, Value};
use tallyboard_proto::slot::Tenant;
use tallyboard_segment::pidfd::Pidfd;

use crate::own;

/// Start time of a process in clock ticks since boot; 0 when it cannot be read.
pub(crate) fn start_time(pid: u32) -> u64 {
    if pid == 0 { 0 } else { stat(&format!("/proc/{pid}/stat"), 22).unwrap_or(0) }
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

/// Field `number` of a stat file, counted from 1 as in proc(5), from the third on.
fn stat(path: &str, number: usize) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    // The name in the second field may hold anything, a parenthesis too.
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(number - 3)?.parse().ok()
}

fn setting(variable: SysconfVar, otherwise: f64) -> f64 {
    sysconf(variable).ok().flatten().map_or(otherwise, |value| value as f64)
}

/// The supervisor's own process, as `process_*` metrics name it. What cannot be read is left out.
pub(crate) fn own_process() -> Vec<FamilySamples> {
    let field = |number| stat("/proc/self/stat", number).map(|value| value as f64);
    let tick = setting(SysconfVar::CLK_TCK, 100.0);
    let page = setting(SysconfVar::PAGE_SIZE, 4096.0);
    let boot = boot_time();
    let open = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as f64);
    let most = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / tick);
    [
        (own::PROCESS_CPU, cpu),
        (own::PROCESS_MAX_FDS, most.ok().map(|(soft, _)| soft as f64)),
        (own::PROCESS_OPEN_FDS, open),
        (own::PROCESS_RESIDENT, field(24).map(|pages| pages * page)),
        (own::PROCESS_START, field(22).zip(boot).map(|(ticks, boot)| boot + ticks / tick)),
        (own::PROCESS_VIRTUAL, field(23)),
    ]
    .into_iter()
    .filter_map(|(own, value)| Some(own.value(Value::Float(value?))))
    .collect()
}

/// When the system started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_started_and_is_described_whole() {
        assert!(start_time(std::process::id()) > 0);
        assert_eq!(start_time(0), 0);
        assert_eq!(own_process().len(), 6);
    }
}
