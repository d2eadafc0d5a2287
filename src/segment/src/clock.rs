//! The host's monotonic clock, and by how much a time namespace has moved this process's.
//!
//! Stamps of many processes are compared, so they are all of one clock: the host's. A process in a
//! time namespace (`time_namespaces(7)`) sees another one, which is ahead of the host's or behind it
//! by what `/proc/self/timens_offsets` says. That file speaks of the namespace that the children of
//! this process will be in, which is its own only while the two links beside it are the same.

use std::fs::{read_link, read_to_string};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::process::monotonic_ns;

/// By how many nanoseconds CLOCK_MONOTONIC of this process is ahead of the host's; `None` when
/// nobody says.
#[must_use]
pub fn shift_ns() -> Option<i64> {
    shift_of(read_link("/proc/self/ns/time"), read_link("/proc/self/ns/time_for_children"), || {
        read_to_string("/proc/self/timens_offsets").ok()
    })
}

/// Nanoseconds of Unix time at which the host's CLOCK_MONOTONIC was 0, as the clocks stand now.
/// `shift_ns` is [`shift_ns`], or 0 where nobody knows.
#[must_use]
pub fn unix_offset_ns(shift_ns: i64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let monotonic = monotonic_ns().saturating_add_signed(shift_ns.saturating_neg());
    (now.as_nanos() as u64).saturating_sub(monotonic)
}

fn shift_of<L: PartialEq>(
    own: io::Result<L>,
    of_children: io::Result<L>,
    offsets: impl FnOnce() -> Option<String>,
) -> Option<i64> {
    match (own, of_children) {
        (Ok(own), Ok(of_children)) if own == of_children => monotonic_of(&offsets()?),
        // A kernel that has no such namespaces has no such links; without /proc nothing is known.
        (Err(own), Err(_)) if own.kind() == io::ErrorKind::NotFound => {
            read_link("/proc/self/ns/pid").is_ok().then_some(0)
        }
        _ => None,
    }
}

/// The line `monotonic SECONDS NANOSECONDS`; both count in the same direction from a negative number
/// of seconds on.
fn monotonic_of(offsets: &str) -> Option<i64> {
    let line = offsets.lines().find_map(|line| line.trim_start().strip_prefix("monotonic"))?;
    let mut numbers = line.split_whitespace().map(|number| number.parse::<i64>().ok());
    let (seconds, nanoseconds) = (numbers.next()??, numbers.next()??);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offsets_count_where_they_are_those_of_this_process() {
        let offsets = "monotonic           0         0\nboottime            0         0\n";
        let moved = "monotonic       86400   5000000\nboottime   -864000  0\n";
        let back = "monotonic         -10  500000000\n";
        for (own, of_children, offsets, expected) in [
            ("time:[1]", "time:[1]", Some(offsets), Some(0)),
            ("time:[1]", "time:[1]", Some(moved), Some(86_400_005_000_000)),
            ("time:[1]", "time:[1]", Some(back), Some(-9_500_000_000)),
            ("time:[1]", "time:[2]", Some(moved), None),
            ("time:[1]", "time:[1]", None, None),
            ("time:[1]", "time:[1]", Some("boottime 1 2"), None),
            ("time:[1]", "time:[1]", Some("monotonic 1"), None),
            ("time:[1]", "time:[1]", Some("monotonic x 2"), None),
        ] {
            let found = shift_of(Ok(own), Ok(of_children), || offsets.map(str::to_owned));
            assert_eq!(found, expected, "{own} {of_children} {offsets:?}");
        }
        let denied = || Err(io::ErrorKind::PermissionDenied.into());
        assert_eq!(shift_of::<&str>(denied(), denied(), || None), None);
        let missing = || Err(io::ErrorKind::NotFound.into());
        assert_eq!(shift_of::<&str>(missing(), missing(), || None), Some(0));
    }

    #[test]
    fn the_hosts_clock_began_when_it_was_0() {
        let (own, shifted) = (unix_offset_ns(0), unix_offset_ns(5_000_000_000));
        assert!(shifted - own >= 5_000_000_000 && shifted - own < 3_600_000_000_000);
    }
}
