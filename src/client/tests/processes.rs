//! The process and platform collectors, beside real processes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tallyboard::sample::{FamilySamples, Type, Value};
use tallyboard::{
    Collector, Counter, PlatformCollector, ProcessCollector, RegisterError, Registry,
};

const NAMES: [&str; 6] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
];

/// A process that has done what a shell command says, and waits.
struct Waiting(Child);

impl Waiting {
    fn after(script: &str) -> Self {
        let script = format!("{script}; echo done; read line; exit 0");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell starts");
        let stdout = child.stdout.as_mut().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the shell answers");
        assert_eq!(line, "done\n");
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Has it end. Nobody waits for it yet: it is a zombie as soon as `is_zombie` says so.
    fn let_end(&mut self) {
        self.0.stdin.as_mut().expect("it is piped").write_all(b"\n").expect("it reads");
        let stat = format!("/proc/{}/stat", self.pid());
        while !std::fs::read_to_string(&stat).expect("a zombie is shown").contains(") Z ") {
            std::thread::yield_now();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Both do nothing to a child that has been waited for.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Full names and values.
fn samples(families: &[FamilySamples]) -> Vec<(String, f64)> {
    let of = |family: &FamilySamples| -> Vec<(String, f64)> {
        let name = |suffix: &str| format!("{}{suffix}", family.name);
        let samples = family.samples.iter();
        samples.map(|sample| (name(&sample.suffix), sample.value.as_f64())).collect()
    };
    families.iter().flat_map(of).collect()
}

fn names(families: &[FamilySamples]) -> Vec<String> {
    samples(families).into_iter().map(|(name, _)| name).collect()
}

fn value(collector: &ProcessCollector, name: &str) -> f64 {
    let samples = samples(&collector.collect());
    let found = samples.iter().find(|(found, _)| found == name);
    found.unwrap_or_else(|| panic!("expected {name} in {samples:?}")).1
}

#[test]
fn a_process_is_described_as_it_is() {
    let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    let script = format!("ulimit -n 123; exec 7</dev/null 8</dev/null; {busy}");
    let child = Waiting::after(&script);
    let collector = ProcessCollector::new().pid(child.pid());
    assert_eq!(names(&collector.collect()), NAMES);
    assert_eq!(value(&collector, "process_max_fds"), 123.0);
    let fds = std::fs::read_dir(format!("/proc/{}/fd", child.pid())).expect("our own child");
    let fds = fds.count() as f64;
    assert!(fds >= 5.0, "{fds}");
    assert_eq!(value(&collector, "process_open_fds"), fds);
    assert!(value(&collector, "process_cpu_seconds_total") > 0.0);
    let resident = value(&collector, "process_resident_memory_bytes");
    assert!(resident > 0.0 && resident <= value(&collector, "process_virtual_memory_bytes"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid())).expect("a child");
    let virtual_kib = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let virtual_kib = virtual_kib.and_then(|text| text.trim().strip_suffix(" kB")).expect("KiB");
    let virtual_bytes = 1024.0 * virtual_kib.parse::<f64>().expect("a number");
    assert_eq!(value(&collector, "process_virtual_memory_bytes"), virtual_bytes);
    let own = ProcessCollector::new();
    let (child, own) = [collector, own].map(|c| value(&c, "process_start_time_seconds")).into();
    assert!(child >= own && own > 1.5e9, "{child} {own}");
}

#[test]
fn the_dead_and_those_who_never_were_give_no_samples() {
    let mut child = Waiting::after("true");
    let fixed = ProcessCollector::new().pid(child.pid());
    let pid = Arc::new(AtomicU32::new(child.pid()));
    let says = Arc::clone(&pid);
    let asked = ProcessCollector::new().pid_from(move || match says.load(Relaxed) {
        0 => None,
        pid => Some(pid),
    });
    assert_eq!(names(&fixed.collect()), NAMES);
    assert_eq!(names(&asked.collect()), NAMES);
    child.let_end();
    assert_eq!((fixed.collect(), asked.collect()), (vec![], vec![]), "of a zombie");
    child.0.wait().expect("it has ended");
    assert_eq!((fixed.collect(), asked.collect()), (vec![], vec![]), "of nobody");
    pid.store(0, Relaxed);
    assert_eq!(asked.collect(), []);
    pid.store(std::process::id(), Relaxed);
    assert_eq!(names(&asked.collect()), NAMES);
    assert_eq!(ProcessCollector::new().pid(u32::MAX).collect(), []);
}

#[test]
fn the_dead_are_no_error_of_a_page() {
    let registry = Registry::new();
    let counter = Counter::builder("c_total", "").registry(registry).register().expect("good");
    counter.inc();
    let mut child = Waiting::after("true");
    let of = |namespace: &str| ProcessCollector::new().namespace(namespace).pid(child.pid());
    registry.register_collector(of("app")).expect("nobody has the names");
    let page = || String::from_utf8(registry.exposition_of_process("", &[]).1).expect("text");
    let lines = |page: &str| page.lines().filter(|line| line.starts_with("app_process_")).count();
    assert_eq!(lines(&page()), NAMES.len(), "{}", page());
    child.let_end();
    assert_eq!(page(), "# TYPE c_total counter\nc_total 1\n");
    // One who is dead already has its names all the same.
    let error = registry.register_collector(ProcessCollector::new().namespace("app"));
    assert!(matches!(error, Err(RegisterError::Duplicate { .. })), "{error:?}");
}

#[test]
fn names_are_those_of_the_namespace_and_come_once() {
    let registry = Registry::new();
    for namespace in ["", "app", "my_app"] {
        let collector = || ProcessCollector::new().namespace(namespace);
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}_") };
        let expected = NAMES.map(|name| format!("{prefix}{name}"));
        assert_eq!(names(&collector().collect()), expected);
        let described: Vec<String> = collector().describe().into_iter().map(|f| f.name).collect();
        let collected: Vec<String> = collector().collect().into_iter().map(|f| f.name).collect();
        assert_eq!(described, collected);
        registry.register_collector(collector()).expect("nobody has the names");
        let error = registry.register_collector(collector()).expect_err("a second registration");
        assert!(error.to_string().contains(&format!("{prefix}process_cpu_seconds")), "{error}");
    }
    let bad = registry.register_collector(ProcessCollector::new().namespace("my\0app"));
    assert!(matches!(bad, Err(RegisterError::Family(_))), "{bad:?}");
}

#[test]
fn the_machine_is_described_once() {
    let [family] = &PlatformCollector.collect()[..] else { panic!("expected one family") };
    assert_eq!((family.kind, family.name.as_str()), (Type::Info, "platform"));
    let [sample] = &family.samples[..] else { panic!("expected one sample") };
    assert_eq!((&*sample.suffix, sample.value), ("_info", Value::Whole(1)));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux says");
    let labels: Vec<(&str, &str)> = sample.labels().collect();
    let machine = std::env::consts::ARCH;
    let expected = [("machine", machine), ("release", release.trim_end()), ("system", "Linux")];
    assert_eq!(labels, expected);
}
