//! Time namespaces: what the newest counts of is what was set last, whatever clocks say.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::start::child::{Ended, Running, Watchdog, free_address, until};

/// How far the clock of a namespace is from the host's, in seconds.
const SHIFTS: [i64; 3] = [0, 86_400, -3];

/// The program with its clock moved by so much.
fn shifted(shift: i64, program: &Path) -> Command {
    if shift == 0 {
        return Command::new(program);
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--time", &format!("--monotonic={shift}")]);
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-current-user"]);
    }
    unshare.arg(program);
    unshare
}

/// A supervisor with its clock moved.
struct Service {
    _running: Running,
    control: String,
    metrics: std::net::SocketAddr,
}

impl Service {
    fn start(test: &str, shift: i64) -> Self {
        let metrics = free_address();
        let name = format!("time-{test}-{}", std::process::id());
        let control = format!("unix:@tallyboard/test/{name}-{shift}");
        let mut serve = shifted(shift, tallyboard());
        serve.args(["serve", "--backing", "memfd", "--log.level", "warn", "--control", &control]);
        serve.args(["--name", &name]);
        serve.args(["--web.listen-address", &metrics.to_string()]);
        let mut running = Running::start(&mut serve);
        let address: Address = control.parse().expect("an address");
        until(|| {
            assert!(
                running.is_running(),
                "expected a supervisor in a time namespace, found none: run this test where unshare(2) is permitted"
            );
            ask::describe(&address, Duration::from_secs(10)).ok()
        });
        Self { _running: running, control, metrics }
    }

    /// A worker with its clock moved sets what it has to `value`, and dies.
    fn set(&self, shift: i64, value: usize, more: &[&str]) -> Ended {
        let mut setter = shifted(shift, Path::new(env!("CARGO_BIN_EXE_setter")));
        setter.arg(value.to_string()).args(more);
        let ended = Running::start(setter.env("TALLYBOARD", &self.control)).end();
        assert!(ended.status.success(), "{ended:?}");
        ended
    }

    fn assert_shows(&self, value: usize, context: &str) {
        let page = get(self.metrics, "/metrics").expect("a page");
        let page = Page::parse(&page.body).expect("a page");
        let found = page.value("app_level", &[]);
        assert_eq!(found, Some(value as f64), "{context}");
        let state = page.value("app_task", &[("app_task", &value.to_string())]);
        assert_eq!(state, Some(1.0), "{context}");
        let build = page.value("app_build_info", &[("number", &value.to_string())]);
        assert_eq!(build, Some(1.0), "{context}");
    }
}

#[test]
fn what_was_set_last_is_shown_whatever_time_namespaces_supervisor_and_workers_are_in() {
    let _watchdog = Watchdog::new("time namespaces");
    for of_supervisor in SHIFTS {
        let service = Service::start("known", of_supervisor);
        for (value, shift) in [0, 86_400, 0, -3, 86_400, -3].into_iter().enumerate() {
            let ended = service.set(shift, value, &[]);
            assert_eq!(ended.stderr, "", "nothing is unknown");
            service.assert_shows(value, &format!("{of_supervisor}: {value} at {shift}"));
        }
    }
}

#[test]
fn a_process_that_does_not_know_its_clock_says_so_once_and_goes_by_the_wall_clock() {
    let _watchdog = Watchdog::new("an unknown clock");
    let service = Service::start("unknown", 0);
    for (value, more) in [(1, &[][..]), (2, &["unshared"]), (3, &[])] {
        let ended = service.set(0, value, more);
        let said = ended.stderr.matches("gauges of mode mostrecent").count();
        assert_eq!(said, more.len(), "{}", ended.stderr);
        service.assert_shows(value, &format!("{value}"));
    }
}
