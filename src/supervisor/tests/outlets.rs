//! Outlets: threads of a supervisor that take its families elsewhere. What they do wrong is not felt
//! by whoever scrapes, and a supervisor that stops gives them the time to send the last ones. Each
//! says what happens to it in a file, for it is in another process.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::{Builder, Outlet, Snapshots, ask};

const LONG: Duration = Duration::from_secs(60);

/// What an outlet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Takes a snapshot, waits for the end, and takes the last one.
    Work,
    /// Takes a snapshot and hears nothing any more.
    Hang,
    /// Takes a snapshot and panics.
    Panic,
}

#[derive(Debug)]
struct Probe {
    does: Does,
    name: &'static str,
    file: PathBuf,
}

impl Probe {
    fn say(&self, what: &str) {
        let file = OpenOptions::new().append(true).create(true).open(&self.file);
        // One write, so that lines of two threads do not mix.
        let line = format!("{} {what}\n", self.name);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file is written");
    }

    async fn work(&self, snapshots: Snapshots) {
        let stopped = snapshots.stopped();
        let families = snapshots.take().await.expect("a snapshot");
        let own = families.iter().find(|family| family.name == "tallyboard_probe");
        let names: Vec<&str> =
            own.iter().flat_map(|own| &own.samples).map(|sample| &*sample.labels[0].1).collect();
        self.say(&format!("shown {}", names.join(",")));
        match self.does {
            Does::Work => {}
            Does::Hang => std::thread::sleep(LONG),
            Does::Panic => panic!("an outlet that is broken"),
        }
        stopped.await;
        let last = snapshots.take().await.expect("the last snapshot");
        self.say(&format!("last {}", !last.is_empty()));
    }
}

impl Outlet for Probe {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, snapshots: Snapshots) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(self.work(snapshots));
    }

    fn families(&self) -> Vec<FamilySamples> {
        let mut family = FamilySamples::new(Type::Gauge, "tallyboard_probe", "A probe.");
        let label = vec![("probe".to_owned(), self.name.to_owned())];
        family.samples.push(Sample::new("", label, Value::Whole(1)));
        vec![family]
    }
}

/// Waits until the file has these lines, in any order.
fn until(file: &Path, expected: &[&str]) {
    let deadline = Instant::now() + LONG;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        if lines == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{lines:?} is not {expected:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn probe(does: Does, name: &'static str, file: &Path) -> Arc<dyn Outlet> {
    Arc::new(Probe { does, name, file: file.to_owned() })
}

/// Threads of a process.
fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").count()
}

fn a_supervisor_has_a_thread_for_each_outlet_and_no_other(file: &Path) {
    let without = Builder::new().slots(4).max_series(64).spawn().expect("a keeper");
    let address: Address = without.address().parse().expect("an address");
    assert_eq!(threads(ask::describe(&address, LONG).expect("an answer").supervisor_pid), 1);
    without.stop();

    let board = Builder::new().slots(4).max_series(64);
    let board = board.outlet(probe(Does::Work, "a", file)).outlet(probe(Does::Work, "b", file));
    let board = board.spawn().expect("a keeper");
    let address: Address = board.address().parse().expect("an address");
    // Both are shown as one family, in what they take too.
    until(file, &["a shown a,b", "b shown a,b"]);
    let first = ask::describe(&address, LONG).expect("an answer").supervisor_pid;
    assert_eq!(threads(first), 3);
    let page = ask::scrape(&address, &["tallyboard_probe".to_owned()], LONG).expect("a page");
    let page = String::from_utf8(page).expect("a text");
    assert_eq!(page.matches("# TYPE").count(), 1, "{page}");
    assert!(page.contains("{probe=\"a\"} 1\n") && page.contains("{probe=\"b\"} 1\n"), "{page}");

    // The next supervisor starts them anew.
    kill(Pid::from_raw(first as i32), Signal::SIGKILL).expect("it is killed");
    until(file, &["a shown a,b", "a shown a,b", "b shown a,b", "b shown a,b"]);
    board.stop();
    let all =
        ["a last true", "a shown a,b", "a shown a,b", "b last true", "b shown a,b", "b shown a,b"];
    until(file, &all);
}

fn an_outlet_that_is_broken_costs_nobody_else_anything(file: &Path) {
    let board = Builder::new().slots(4).max_series(64);
    let board = board.outlet(probe(Does::Panic, "a", file)).outlet(probe(Does::Hang, "b", file));
    let board = board.outlet(probe(Does::Work, "c", file)).spawn().expect("a keeper");
    let address: Address = board.address().parse().expect("an address");
    until(file, &["a shown a,b,c", "b shown a,b,c", "c shown a,b,c"]);
    for _ in 0..10 {
        ask::scrape(&address, &[], LONG).expect("a page");
    }
    let supervisor = ask::describe(&address, LONG).expect("an answer").supervisor_pid;
    // It ends although one of them does not.
    board.stop();
    assert!(ask::describe(&address, Duration::from_secs(1)).is_err());
    assert!(!Path::new(&format!("/proc/{supervisor}/task")).exists());
    until(file, &["a shown a,b,c", "b shown a,b,c", "c last true", "c shown a,b,c"]);
}

fn main() {
    let directory = std::env::temp_dir().join(format!("tallyboard-outlets-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory is made");
    a_supervisor_has_a_thread_for_each_outlet_and_no_other(&directory.join("good"));
    an_outlet_that_is_broken_costs_nobody_else_anything(&directory.join("bad"));
    fs::remove_dir_all(&directory).expect("the directory is removed");
    println!("test result: ok. Outlets are felt by nobody else.");
}
