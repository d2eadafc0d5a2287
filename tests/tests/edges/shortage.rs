//! A /dev/shm that is full for a while: series that the supervisor finds then are shown when there is
//! room again, of the living and of the dead, or given up by name when their slots are needed.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::service::series::SeriesWorker;
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};

/// More than the first pages of the catalog have room for.
const SERIES: u64 = 1200;
/// What a worker has counted of all of them in a round.
const SUM: f64 = (SERIES * (SERIES + 1) / 2) as f64;

/// A supervisor with a small /dev/shm of its own.
struct Service {
    running: Running,
    control: String,
    metrics: SocketAddr,
}

impl Service {
    fn start(name: &str, slots: usize) -> Self {
        let metrics = free_address();
        let name = format!("shortage-{name}-{}", std::process::id());
        let control = format!("unix:@tallyboard/test/{name}");
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount");
        if !nix::unistd::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        let script = "mkdir -p /dev/shm && mount -t tmpfs -o size=4m none /dev/shm && exec \"$@\"";
        unshare.args(["sh", "-c", script, "sh"]).arg(tallyboard());
        unshare.args(["serve", "--backing", "posix", "--log.level", "warn", "--name", &name]);
        unshare.args(["--control", &control, "--slots", &slots.to_string()]);
        unshare.args(["--web.listen-address", &metrics.to_string()]);
        let mut running = Running::start(unshare.env_remove("TALLYBOARD"));
        let address: Address = control.parse().expect("an address");
        until(|| {
            let is_there = running.is_running();
            assert!(
                is_there,
                "expected a supervisor in a mount namespace: run this test where unshare(2) and mount(2) are permitted"
            );
            ask::describe(&address, Duration::from_secs(10)).ok()
        });
        Self { running, control, metrics }
    }

    fn ballast(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.running.pid())).join("dev/shm/ballast")
    }

    /// Fills its /dev/shm to the last page.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file in its /dev/shm");
        let page = [1; 4096];
        let full = (0..1 << 20).find_map(|_| ballast.write_all(&page).err());
        let full = full.map(|error| error.kind());
        assert_eq!(full, Some(std::io::ErrorKind::StorageFull));
    }

    fn empty(&self) {
        std::fs::remove_file(self.ballast()).expect("the file that was made");
    }

    fn page(&self) -> Page {
        let page = get(self.metrics, "/metrics").expect("an answer");
        assert_eq!(page.status, 200, "{page:?}");
        Page::parse(&page.body).expect("a page")
    }

    fn until_page(&self, is_it: impl Fn(&Page) -> bool) -> Page {
        until(|| Some(self.page()).filter(|page| is_it(page)))
    }

    /// Fills it when workers have counted, of which the supervisor has seen nothing yet.
    fn fill_behind(&self, count: impl FnOnce()) {
        let supervisor = self.supervisor();
        kill(supervisor, Signal::SIGSTOP).expect("a supervisor");
        count();
        self.fill();
        kill(supervisor, Signal::SIGCONT).expect("a supervisor");
    }

    fn supervisor(&self) -> Pid {
        let address: Address = self.control.parse().expect("an address");
        let described = until(|| ask::describe(&address, Duration::from_secs(10)).ok());
        Pid::from_raw(described.supervisor_pid as i32)
    }

    /// Has the keeper start another supervisor.
    fn restart(&self) {
        let dead = self.supervisor();
        kill(dead, Signal::SIGKILL).expect("a supervisor");
        until(|| (self.supervisor() != dead).then_some(()));
    }
}

fn state(page: &Page, state: &str) -> f64 {
    page.value("tallyboard_slots", &[("state", state)]).expect("the states")
}

fn waiting(page: &Page) -> f64 {
    page.value("tallyboard_waiting_slots", &[]).expect("a number")
}

fn given_up(page: &Page, metric: &str) -> f64 {
    page.value("tallyboard_given_up_series_total", &[("metric", metric)]).unwrap_or(0.0)
}

/// A worker that begins series when it is told to.
fn worker(service: &Service, family: &str) -> SeriesWorker {
    SeriesWorker::start(env!("CARGO_BIN_EXE_series"), &service.control, family, SERIES)
}

#[test]
fn series_that_are_found_while_dev_shm_is_full_are_shown_when_it_has_room_again() {
    let _watchdog = Watchdog::new("a full /dev/shm");
    let service = Service::start("read-again", 4);
    let (mut living, mut dying) =
        (worker(&service, "living_total"), worker(&service, "dying_total"));
    service.page();
    service.fill_behind(|| {
        living.count();
        dying.count();
    });
    let page = service.page();
    assert_eq!(waiting(&page), 2.0);
    let shown = |page: &Page, name| (page.of(name).count() as u64, page.sum(name));
    assert!(shown(&page, "living_total").0 < SERIES && shown(&page, "dying_total").0 < SERIES);
    // What has a place goes on counting, and the slot of the dead stays.
    living.count();
    dying.kill();
    let page = service.until_page(|page| state(page, "draining") == 1.0);
    assert_eq!((waiting(&page), state(&page, "live")), (2.0, 1.0));
    service.restart();
    let page = service.until_page(|page| waiting(page) == 2.0);
    assert_eq!(state(&page, "draining"), 1.0);
    service.empty();
    let page = service.until_page(|page| waiting(page) == 0.0 && state(page, "draining") == 0.0);
    assert_eq!(shown(&page, "living_total"), (SERIES, 2.0 * SUM));
    assert_eq!(shown(&page, "dying_total"), (SERIES, SUM));
    living.count();
    assert_eq!(shown(&service.page(), "living_total"), (SERIES, 3.0 * SUM));
    living.kill();
    let page = service.until_page(|page| state(page, "free") == 4.0);
    assert_eq!(shown(&page, "living_total"), (SERIES, 3.0 * SUM));
    for nothing in [
        "tallyboard_dropped_series_total",
        "tallyboard_dropped_total",
        "tallyboard_given_up_series_total",
        "tallyboard_quarantines_total",
    ] {
        assert_eq!(page.sum(nothing), 0.0, "{nothing}");
    }
}

#[test]
fn what_waits_for_room_when_all_slots_are_taken_is_given_up_and_counted_by_family() {
    let _watchdog = Watchdog::new("all slots are taken");
    let service = Service::start("given-up", 2);
    let (mut dying, staying) = (worker(&service, "dying_total"), worker(&service, "staying_total"));
    service.page();
    service.fill_behind(|| dying.count());
    service.page();
    dying.kill();
    let page = service.until_page(|page| state(page, "draining") == 1.0);
    assert_eq!((waiting(&page), given_up(&page, "dying")), (1.0, 0.0));
    let shown = page.of("dying_total").count() as f64;
    let sum = page.sum("dying_total");
    assert!(shown < SERIES as f64);
    // The next worker needs the slot.
    let next = worker(&service, "next_total");
    let page = service.until_page(|page| state(page, "live") == 2.0);
    assert_eq!(state(&page, "draining"), 0.0);
    assert_eq!(given_up(&page, "dying"), SERIES as f64 - shown);
    assert_eq!(
        page.value("tallyboard_dropped_series_total", &[("reason", "memory")]),
        Some(SERIES as f64 - shown)
    );
    assert_eq!((page.of("dying_total").count() as f64, page.sum("dying_total")), (shown, sum));
    [staying, next].into_iter().for_each(SeriesWorker::kill);
}
