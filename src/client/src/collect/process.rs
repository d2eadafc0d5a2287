//! Collectors of what the system knows: of a process, and of the machine.
//!
//! A supervisor has both of its own workers already, under the same names. These are for private
//! registries, for processes without a supervisor, and for other processes than workers.

use std::fmt;

use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
use tallyboard_proto::family::GaugeMode;
use tallyboard_segment::stat::{Stat, Units, max_fds, open_fds, platform};

use super::collector::Collector;

/// What /proc says of a process, under the names that all clients use:
/// `process_cpu_seconds_total`, `process_max_fds`, `process_open_fds`,
/// `process_resident_memory_bytes`, `process_start_time_seconds` and
/// `process_virtual_memory_bytes`. What cannot be read is left out: all of it when the process has
/// ended, the descriptors when they are another user's.
///
/// ```
/// use tallyboard::{ProcessCollector, Registry};
///
/// let registry = Registry::new();
/// registry.register_collector(ProcessCollector::new())?;
/// let daemon = ProcessCollector::new().namespace("mydaemon").pid_from(|| {
///     std::fs::read_to_string("/run/mydaemon.pid").ok()?.trim().parse().ok()
/// });
/// registry.register_collector(daemon)?;
/// let (_, page) = registry.exposition_of_process("", &["process_open_fds"]);
/// assert!(String::from_utf8_lossy(&page).contains("\nprocess_open_fds "));
/// # Ok::<(), tallyboard::RegisterError>(())
/// ```
///
/// In the shared registry processor time is added up over all processes that register it, as every
/// counter is: that is meant for each one's own, and another process is registered by one alone. The
/// gauges of the own process are of mode `all`, those of another one of mode `livemostrecent`.
#[derive(Debug)]
pub struct ProcessCollector {
    namespace: String,
    pid: Pid,
    units: Units,
}

enum Pid {
    Own,
    /// A process by its pid and start time; `None` when there was none.
    One(u32, Option<u64>),
    Asked(Box<dyn Fn() -> Option<u32> + Send + Sync>),
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("Own"),
            Self::One(pid, start_time) => {
                f.debug_tuple("One").field(pid).field(start_time).finish()
            }
            Self::Asked(_) => f.write_str("Asked"),
        }
    }
}

/// A family: its type, its name behind the namespace, its help text, and its value of a process.
type Row = (Type, &'static str, &'static str, fn(&Seen<'_>) -> Option<f64>);

/// What there is to see of a process.
struct Seen<'a> {
    /// As /proc calls it: a pid, or `self`.
    name: &'a str,
    stat: Stat,
    units: &'a Units,
}

const ROWS: [Row; 6] = [
    (Type::Counter, "process_cpu_seconds", "Processor time in user and kernel mode.", |seen| {
        Some(seen.units.seconds(seen.stat.cpu_ticks))
    }),
    (Type::Gauge, "process_max_fds", "Descriptors that the process may open.", |seen| {
        max_fds(seen.name).map(|fds| fds as f64)
    }),
    (Type::Gauge, "process_open_fds", "Descriptors that the process has open.", |seen| {
        open_fds(seen.name).map(|fds| fds as f64)
    }),
    (Type::Gauge, "process_resident_memory_bytes", "Resident memory.", |seen| {
        Some(seen.units.bytes(seen.stat.resident_pages))
    }),
    (
        Type::Gauge,
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
        |seen| seen.units.moment(seen.stat.start_time),
    ),
    (Type::Gauge, "process_virtual_memory_bytes", "Virtual memory.", |seen| {
        Some(seen.stat.virtual_bytes as f64)
    }),
];

impl ProcessCollector {
    /// A collector of this process; in a forked child, of the child.
    #[must_use]
    pub fn new() -> Self {
        Self { namespace: String::new(), pid: Pid::Own, units: Units::of_this_machine() }
    }

    /// Puts `namespace` and a `_` before every name.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = match namespace {
            "" => String::new(),
            some => format!("{some}_"),
        };
        self
    }

    /// Looks at the process that has this pid now, instead. When it has ended there are no samples,
    /// whoever gets the pid later.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = Pid::One(pid, Stat::read(pid).map(|stat| stat.start_time));
        self
    }

    /// Looks at the process whose pid `pid` says, each time anew, instead. There are no samples
    /// while it says nothing.
    #[must_use]
    pub fn pid_from(mut self, pid: impl Fn() -> Option<u32> + Send + Sync + 'static) -> Self {
        self.pid = Pid::Asked(Box::new(pid));
        self
    }

    /// The process as /proc calls it, and what it says of it, unless it has ended.
    fn look(&self) -> Option<(String, Stat)> {
        let name = match &self.pid {
            Pid::Own => "self".to_owned(),
            Pid::One(pid, _) => pid.to_string(),
            Pid::Asked(pid) => pid()?.to_string(),
        };
        let stat = Stat::read(&name).filter(|stat| !stat.is_zombie)?;
        let is_meant =
            !matches!(self.pid, Pid::One(_, expected) if expected != Some(stat.start_time));
        is_meant.then_some((name, stat))
    }

    fn families(&self, value: impl Fn(&Row) -> Option<f64>) -> Vec<FamilySamples> {
        let family = |row: &Row| {
            let (kind, name, help, _) = *row;
            let mut family = FamilySamples::new(kind, &format!("{}{name}", self.namespace), help);
            let suffix = if kind == Type::Counter { "_total" } else { "" };
            let sample = value(row).map(|value| Sample::new(suffix, vec![], Value::Float(value)));
            family.samples.extend(sample);
            family
        };
        ROWS.iter().map(family).collect()
    }
}

impl Default for ProcessCollector {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector for ProcessCollector {
    fn describe(&self) -> Vec<FamilySamples> {
        self.families(|_| None)
    }

    fn collect(&self) -> Vec<FamilySamples> {
        let Some((name, stat)) = self.look() else { return Vec::new() };
        let seen = Seen { name: &name, stat, units: &self.units };
        let mut families = self.families(|(.., value)| value(&seen));
        families.retain(|family| !family.samples.is_empty());
        families
    }

    fn gauge_mode(&self) -> GaugeMode {
        match self.pid {
            Pid::Own => GaugeMode::All,
            Pid::One(..) | Pid::Asked(_) => GaugeMode::LiveMostRecent,
        }
    }
}

/// The machine and its kernel, as the labels of `platform_info`: `machine`, `release` and `system`.
///
/// ```
/// use tallyboard::{PlatformCollector, Registry};
///
/// let registry = Registry::new();
/// registry.register_collector(PlatformCollector)?;
/// let (_, page) = registry.exposition_of_process("", &[]);
/// assert!(String::from_utf8_lossy(&page).contains("system=\"Linux\"} 1\n"));
/// # Ok::<(), tallyboard::RegisterError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct PlatformCollector;

impl Collector for PlatformCollector {
    fn collect(&self) -> Vec<FamilySamples> {
        let mut family = FamilySamples::new(Type::Info, "platform", "The machine and its kernel.");
        let labels = platform().map(|(name, value)| (name.to_owned(), value));
        family.samples.push(Sample::new("_info", labels.into(), Value::Whole(1)));
        vec![family]
    }
}
