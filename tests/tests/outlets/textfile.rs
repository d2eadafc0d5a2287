//! A real node exporter that reads what is written while its writers are killed.

#![forbid(unsafe_code)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tallyboard_exposition::escaping::Escaping;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::receive::programs::program;
use tallyboard_tests::service::any_name::known;
use tallyboard_tests::service::arena::Service;
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};
use tallyboard_tests::start::directory::Directory;
use tallyboard_tests::start::program::program_of;

/// How many rewrites a test must see.
const REWRITES: u64 = 1_000;
/// How often a writer is killed at least.
const KILLS: u32 = 40;
/// Samples of a file that `rewrite` writes.
const PARTS: usize = 100;

/// An exporter of the files in a directory, and of nothing else.
struct Exporter {
    address: SocketAddr,
    running: Running,
}

impl Exporter {
    fn start(directory: &Path) -> Self {
        let address = free_address();
        let package = "prometheus-node-exporter";
        let mut command = Command::new(program(package, package));
        command.args(["--collector.disable-defaults", "--collector.textfile"]);
        command.arg(format!("--collector.textfile.directory={}", directory.display()));
        command.arg(format!("--web.listen-address={address}"));
        command.args(["--web.disable-exporter-metrics", "--log.level=warn"]);
        let mut running = Running::start(&mut command);
        until(|| {
            assert!(running.is_running(), "the exporter starts");
            get(address, "/metrics").ok()
        });
        Self { address, running }
    }

    /// What it serves now. That there was nothing wrong with a file is part of it.
    fn page(&self) -> Page {
        let answer = get(self.address, "/metrics").expect("the exporter serves");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let page = Page::parse(&answer.body).expect("its page reads");
        let errors = page.value("node_textfile_scrape_error", &[]);
        assert_eq!(errors, Some(0.0), "{}", answer.body);
        page
    }
}

/// The generator splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % limit
    }
}

/// The number that every part of a rewrite has; `None` before the first.
fn rewrite(page: &Page) -> Option<u64> {
    let values: Vec<f64> = page.of("rewrite").map(|(_, value)| value).collect();
    let first = *values.first()?;
    assert_eq!(values.len(), PARTS, "a torn file: {page:?}");
    assert!(values.iter().all(|value| *value == first), "a torn file: {page:?}");
    Some(first as u64)
}

fn writer(file: &Path) -> Running {
    Running::start(Command::new(env!("CARGO_BIN_EXE_rewrite")).arg(file))
}

/// Files beside the one that is written.
fn drafts(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    entries.filter(|entry| entry.file_name() != "a.prom").count()
}

/// Kills writers until there were enough rewrites and kills; gives how many drafts the killed have
/// left behind.
fn kill_writers(exporter: &Exporter, directory: &Path, writers: usize) -> usize {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random(seed);
    let file = directory.join("a.prom");
    let mut running: Vec<Running> = (0..writers).map(|_| writer(&file)).collect();
    let (mut kills, mut left, mut last) = (0, 0, 0);
    while kills < KILLS || last < REWRITES {
        // Where the writer is then is up to chance; a sleep of a random length is no wait for it.
        std::thread::sleep(Duration::from_micros(random.below(30_000)));
        let at = random.below(writers as u64) as usize;
        running.remove(at).signal(Signal::SIGKILL);
        kills += 1;
        if writers == 1 {
            left += drafts(directory);
        }
        let dead_at = rewrite(&exporter.page()).unwrap_or(last);
        // One writer goes on from the file, which never goes back.
        assert!(writers > 1 || dead_at >= last, "{dead_at} after {last}");
        running.push(writer(&file));
        last = until(|| rewrite(&exporter.page()).filter(|number| *number > dead_at));
        // What the killed left is gone with the first write after it; a draft of each of the living
        // may be there, and one that another one was removing.
        assert!(drafts(directory) <= 2 * writers, "left-overs grow");
        for writer in &mut running {
            assert!(writer.is_running(), "no writer fails by itself");
        }
    }
    println!("{last} rewrites, {kills} kills, {left} drafts left behind");
    left
}

#[test]
fn an_exporter_never_sees_a_torn_file_while_its_writer_is_killed() {
    let _watchdog = Watchdog::new("an_exporter_never_sees_a_torn_file");
    let directory = Directory::new("textfile");
    let exporter = Exporter::start(directory.path());
    let left = kill_writers(&exporter, directory.path(), 1);
    assert!(left > 0, "no writer was killed in the middle of a write, so nothing was tested");
    let file = directory.file("a.prom");
    let line = ["textfile", file.to_str().expect("a text"), "--from", "-"];
    assert_eq!(run(&line, "umask 077; echo 'a 1' |"), (Some(0), String::new()));
    assert_eq!(drafts(directory.path()), 0);
    assert_eq!(exporter.page().value("a", &[]), Some(1.0));
}

#[test]
fn writers_of_one_file_that_are_killed_do_the_others_no_harm() {
    let _watchdog = Watchdog::new("writers_of_one_file_that_are_killed");
    let directory = Directory::new("textfiles");
    let exporter = Exporter::start(directory.path());
    kill_writers(&exporter, directory.path(), 2);
}

/// Runs the program behind a piece of shell; gives its exit status and all that it said.
fn run(arguments: &[&str], before: &str) -> (Option<i32>, String) {
    let script = format!("{before} exec \"$0\" \"$@\" 2>&1");
    let output = program_of(&["sh", "-c", &script], arguments).output().expect("a shell");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn names_of_every_sort_are_written_as_every_exporter_reads_them() {
    let _watchdog = Watchdog::new("names_of_every_sort_are_written");
    let directory = Directory::new("textfile-names");
    let exporter = Exporter::start(directory.path());
    let mut service = Service::start("textfile-names", env!("CARGO_BIN_EXE_names"));
    service.work(&[0.5, 2.5]);
    let file = directory.file("a.prom");
    let line = ["textfile", file.to_str().expect("a text"), "--control", service.control()];
    assert_eq!(run(&line, "").0, Some(0));
    for ((name, mut labels), value) in known(&service.numbers(), Escaping::Underscores) {
        // The exporter writes bounds in its own way.
        if let Some(bound) = labels.get_mut("le") {
            *bound = bound.trim_end_matches(".0").to_owned();
        }
        let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(exporter.page().value(&name, &labels), Some(value), "{name} {labels:?}");
    }
}

/// What an exporter would refuse a file for: timestamps, types and names of OpenMetrics, exemplars.
const REFUSED: &str = "# TYPE build info\nbuild_info{version=\"1\"} 1\n\
    # TYPE state stateset\nstate{state=\"on\"} 1\nstate{state=\"off\"} 0\n\
    # TYPE done counter\n# HELP done Things\\\\ done.\n\
    done_total{b=\"\\\"\\n\"} 3 1520879607.789 # {trace_id=\"a\"} 1\ndone_created{b=\"\\\"\\n\"} 1 1520879607.789\n\
    # TYPE load gauge\nload 1 1\nload 2 2\n\
    # TYPE size gaugehistogram\nsize_bucket{le=\"+Inf\"} 3\nsize_gcount 3\nsize_gsum 1.5\n\
    # TYPE seconds histogram\nseconds_bucket{le=\"0.5\"} 1\nseconds_bucket{le=\"+Inf\"} 2\n\
    seconds_count 2\nseconds_sum 2.5\n# EOF\n";

#[test]
fn what_an_exporter_would_refuse_is_written_as_it_takes_it() {
    let _watchdog = Watchdog::new("what_an_exporter_would_refuse_is_written_as_it_takes_it");
    let (directory, elsewhere) =
        (Directory::new("textfile-kinds"), Directory::new("textfile-from"));
    let exporter = Exporter::start(directory.path());
    let file = directory.file("a.prom");
    let path = file.to_str().expect("a text");
    let from = elsewhere.write("page", REFUSED);
    let from = from.to_str().expect("a text");
    assert_eq!(run(&["textfile", path, "--from", from], "umask 077;"), (Some(0), String::new()));
    assert_eq!(fs::metadata(&file).expect("a file").mode() & 0o7777, 0o644);
    let page = exporter.page();
    for (name, labels, value) in [
        ("build_info", &[("version", "1")][..], 1.0),
        ("state", &[("state", "off")], 0.0),
        ("done_total", &[("b", "\"\n")], 3.0),
        ("load", &[], 2.0),
        ("size_gcount", &[], 3.0),
        ("seconds_bucket", &[("le", "0.5")], 1.0),
        ("seconds_sum", &[], 2.5),
    ] {
        assert_eq!(page.value(name, labels), Some(value), "{name}: {page:?}");
    }
    assert_eq!(page.type_of("done_total"), Some("counter"));
    // Names of other alphabets, in the text format that has them.
    fs::write(from, "{\"läd.1\",\"b.c\"=\"ü\"} 7\n").expect("a file is written");
    assert_eq!(run(&["textfile", path, "--from", from], ""), (Some(0), String::new()));
    assert_eq!(exporter.page().value("l_d_1", &[("b_c", "ü")]), Some(7.0));

    // What is no document leaves the file as it is.
    fs::write(from, "a b\n").expect("a file is written");
    let (status, said) = run(&["textfile", path, "--from", from], "");
    assert!(status == Some(1) && said.contains("1:3: expected a number"), "{said}");
    assert_eq!(exporter.page().value("l_d_1", &[("b_c", "ü")]), Some(7.0));

    fs::write(from, "a 1\n").expect("a file is written");
    let other = directory.file("a.txt");
    let (status, said) = run(&["textfile", other.to_str().expect("a text"), "--from", from], "");
    assert!(status == Some(0) && said.contains("files that end in .prom alone"), "{said}");
    assert!(other.exists());
}

#[test]
fn several_arenas_have_a_place_in_one_directory_by_their_labels() {
    let _watchdog = Watchdog::new("several_arenas_have_a_place_in_one_directory");
    let directory = Directory::new("textfile-arenas");
    let exporter = Exporter::start(directory.path());
    let write = |name: &str, control: &str| {
        let file = directory.file(&format!("{name}.prom"));
        let file = file.to_str().expect("a text");
        (run(&["textfile", file, "--control", control], "").0 == Some(0)).then_some(())
    };
    let arenas = ["a", "b"].map(|name| {
        let label = format!("service={name}");
        let served = Served::start(&format!("textfile-{name}"), &["--label", &label]);
        let control = served.control.to_string();
        until(|| write(name, &control));
        let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
        let ended = Running::start(worker.args(["100", "ends"]).env("TALLYBOARD", &control)).end();
        assert!(ended.stdout.contains(" slot "), "{ended:?}");
        until(|| write(name, &control));
        served
    });
    let page = exporter.page();
    for name in ["a", "b"] {
        let labels = [("service", name)];
        assert_eq!(page.value("app_done_total", &[("by", "worker"), labels[0]]), Some(100.0));
        assert_eq!(page.value("tallyboard_catalog_series", &labels), Some(2.0));
    }
    drop(arenas);
    exporter.running.signal(Signal::SIGTERM);
    let log = exporter.running.end().stderr;
    assert!(!log.contains("error gathering metrics"), "{log}");
}

#[test]
fn files_that_describe_a_metric_differently_are_warned_of_once() {
    let _watchdog = Watchdog::new("files_that_describe_a_metric_differently");
    let directory = Directory::new("textfile-differing");
    let exporter = Exporter::start(directory.path());
    directory.write("a.prom", "# HELP x X.\n# TYPE x gauge\nx{f=\"a\"} 1\n");
    let from = directory.write("from", "# HELP x X.\n# TYPE x counter\nx{f=\"b\"} 2\n");
    let file = directory.file("b.prom");
    let mut writing = Command::new(tallyboard());
    writing.arg("textfile").arg(&file).arg("--from").arg(&from).args(["--interval", "20ms"]);
    let writing = Running::start(writing.env_remove("TALLYBOARD"));
    until(|| file.exists().then_some(()));
    // The exporter shows the series of one file, and finds nothing wrong.
    let shown = |page: &Page| page.of("x").count();
    until(|| (shown(&exporter.page()) == 1).then_some(()));
    // Many writes later.
    let before = fs::metadata(&file).expect("it is there").ino();
    let mut changes = std::collections::BTreeSet::from([before]);
    until(|| {
        changes.extend(fs::metadata(&file).map(|found| found.mtime_nsec() as u64).ok());
        (changes.len() > 10).then_some(())
    });
    writing.signal(Signal::SIGTERM);
    let log = writing.end().stderr;
    let warning = "TYPE of x is \\\"counter\\\" here and \\\"gauge\\\" in ";
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    assert!(log.contains("a.prom: a node exporter shows the series of one of these"), "{log}");
    // Alike, both are shown.
    fs::write(&from, "# HELP x X.\n# TYPE x gauge\nx{f=\"b\"} 2\n").expect("it is written");
    let arguments = ["textfile", file.to_str().expect("a text"), "--from"];
    let (status, said) = run(&[&arguments[..], &[from.to_str().expect("a text")]].concat(), "");
    assert!(status == Some(0) && !said.contains("node exporter shows"), "{said}");
    until(|| (shown(&exporter.page()) == 2).then_some(()));
}

#[test]
fn the_metrics_of_a_service_are_written_again_and_again_and_a_last_time() {
    let _watchdog = Watchdog::new("the_metrics_of_a_service_are_written_again_and_again");
    let directory = Directory::new("textfile-service");
    let exporter = Exporter::start(directory.path());
    let served = Served::start("textfile", &[]);
    let control = served.control.to_string();
    let file = directory.file("a.prom");
    let mut writing = Command::new(tallyboard());
    writing.arg("textfile").arg(&file).args(["--interval", "20ms", "--control", &control]);
    // It may begin before the supervisor does.
    let writing = Running::start(writing.env_remove("TALLYBOARD"));
    let work = || {
        let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
        let worker = worker.args(["100", "ends"]).env("TALLYBOARD", &control);
        let ended = Running::start(worker).end();
        assert!(ended.stdout.contains(" slot "), "{ended:?}");
    };
    let done = |count: f64| {
        (exporter.page().value("app_done_total", &[("by", "worker")]) == Some(count)).then_some(())
    };
    until(|| file.exists().then_some(()));
    for count in [100.0, 200.0] {
        work();
        until(|| done(count));
    }
    writing.signal(Signal::SIGTERM);
    let ended = writing.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("sends a last time"), "{ended:?}");
    assert_eq!(drafts(directory.path()), 0);
    done(200.0).expect("the file stays");
}
