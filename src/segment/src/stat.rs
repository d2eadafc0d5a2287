//! What /proc says of one process and of the machine (proc(5)), and the units that it says it in.

use std::fmt::Display;
use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// The numbers of `/proc/PID/stat` that are of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Whether its first thread has ended and nobody has waited for it yet, or is ending.
    pub is_zombie: bool,
    /// Pid of its parent; 0 when this process does not see it.
    pub parent: u32,
    /// Processor time in user and kernel mode, in clock ticks.
    pub cpu_ticks: u64,
    /// How many threads it has.
    pub threads: u64,
    /// In clock ticks since boot.
    pub start_time: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// Resident memory, in pages.
    pub resident_pages: u64,
}

impl Stat {
    /// That of process `pid`, or `self`; nothing when there is none that this process sees.
    #[must_use]
    pub fn read(pid: impl Display) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name in the second field may hold anything, a parenthesis too.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Fields are counted from 1, and the third is the first behind the name.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            is_zombie: matches!(*fields.first()?, "Z" | "X"),
            parent: u32::try_from(field(4)?).ok()?,
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            start_time: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Whether process `pid` is `ancestor`, or was started by it through whatever generations. Who lost
/// its parent descends from whoever adopted it.
#[must_use]
pub fn descends(pid: u32, ancestor: u32) -> bool {
    // Longer chains are none that anybody starts; one that is read while it changes could be endless.
    const MOST_GENERATIONS: usize = 1024;
    let parent = |&pid: &u32| Stat::read(pid).map(|stat| stat.parent);
    let mut line = std::iter::successors(Some(pid), parent).take_while(|&pid| pid != 0);
    line.by_ref().take(MOST_GENERATIONS).any(|pid| pid == ancestor)
}

/// How many descriptors process `pid`, or `self`, has open; nothing when this process may not know.
#[must_use]
pub fn open_fds(pid: impl Display) -> Option<u64> {
    let path = format!("/proc/{pid}/fd");
    // Linux 6.2 and later say how many there are without listing them.
    match fs::metadata(&path).ok()?.len() {
        0 => Some(fs::read_dir(path).ok()?.count() as u64),
        fds => Some(fds),
    }
}

/// How many descriptors process `pid`, or `self`, may open; nothing when there is no limit.
#[must_use]
pub fn max_fds(pid: impl Display) -> Option<u64> {
    parse_limits(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

fn parse_limits(text: &str) -> Option<u64> {
    let limit = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    limit.split_whitespace().next()?.parse().ok()
}

/// The units of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    ticks_per_second: f64,
    page_bytes: f64,
    /// When the system started, in seconds since 1970.
    boot: Option<f64>,
}

impl Units {
    /// Those of this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let setting = |variable, otherwise: f64| {
            sysconf(variable).ok().flatten().map_or(otherwise, |value| value as f64)
        };
        Self {
            ticks_per_second: setting(SysconfVar::CLK_TCK, 100.0),
            page_bytes: setting(SysconfVar::PAGE_SIZE, 4096.0),
            boot: boot_time(),
        }
    }

    /// Seconds in `ticks`.
    #[must_use]
    pub fn seconds(&self, ticks: u64) -> f64 {
        ticks as f64 / self.ticks_per_second
    }

    /// Bytes in `pages`.
    #[must_use]
    pub fn bytes(&self, pages: u64) -> f64 {
        pages as f64 * self.page_bytes
    }

    /// Seconds since 1970 at `ticks` after boot.
    #[must_use]
    pub fn moment(&self, ticks: u64) -> Option<f64> {
        Some(self.boot? + self.seconds(ticks))
    }
}

fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The machine and its kernel, as labels in order of name.
#[must_use]
pub fn platform() -> [(&'static str, String); 3] {
    let kernel = |file: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap_or_default();
        text.trim_end().to_owned()
    };
    [
        ("machine", std::env::consts::ARCH.to_owned()),
        ("release", kernel("osrelease")),
        ("system", kernel("ostype")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_file_is_read_whatever_the_process_is_called() {
        let rest =
            "4 5 6 7 8 9 10 11 12 13 140 15 16 17 18 19 20 21 2200 23 24 18446744073709551615";
        let expect = Stat {
            is_zombie: false,
            parent: 4,
            cpu_ticks: 155,
            threads: 20,
            start_time: 2200,
            virtual_bytes: 23,
            resident_pages: 24,
        };
        for name in ["sh", "a b", "a) S 1 (b", ""] {
            assert_eq!(Stat::parse(&format!("7 ({name}) S {rest}\n")), Some(expect), "{name}");
        }
        let zombie = Stat { is_zombie: true, ..expect };
        assert_eq!(Stat::parse(&format!("7 (sh) Z {rest}\n")), Some(zombie));
        for bad in ["", "7 (sh)", "7 (sh) S 4 5", &format!("7 (sh) S x {}", "y ".repeat(30))] {
            assert_eq!(Stat::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_process_descends_from_those_that_started_it_and_from_nobody_else() {
        let own = std::process::id();
        let shell =
            || std::process::Command::new("sh").args(["-c", "sleep 60; :"]).spawn().unwrap();
        let (mut child, mut sibling) = (shell(), shell());
        for (pid, ancestor, expect) in [
            (own, own, true),
            (child.id(), own, true),
            (child.id(), Stat::read(own).unwrap().parent, true),
            (own, child.id(), false),
            (sibling.id(), child.id(), false),
            (0, own, false),
            (u32::MAX, own, false),
        ] {
            assert_eq!(descends(pid, ancestor), expect, "{pid} {ancestor}");
        }
        for child in [&mut child, &mut sibling] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn the_limit_of_descriptors_is_the_soft_one() {
        let of = |text| parse_limits(&format!("Limit  Soft  Hard  Units\n{text}\nMax locked 1\n"));
        assert_eq!(
            of("Max open files            1024                 524288               files"),
            Some(1024)
        );
        assert_eq!(
            of("Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(of("Max file size             1 1 bytes"), None);
    }

    #[test]
    fn this_process_is_described_whole() {
        let pid = std::process::id();
        let (own, same) = (Stat::read("self").unwrap(), Stat::read(pid).unwrap());
        assert_eq!(own.start_time, same.start_time);
        assert!(own.start_time > 0 && own.threads > 0 && own.resident_pages > 0);
        assert!(!own.is_zombie && own.virtual_bytes > 0);
        assert!(open_fds("self").unwrap() >= 3 && max_fds(pid).unwrap() >= 3);
        assert!(Units::of_this_machine().moment(own.start_time).unwrap() > 1.5e9);
        assert_eq!(Stat::read(u32::MAX), None);
        assert_eq!(open_fds(u32::MAX), None);
    }
}
