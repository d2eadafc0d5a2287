//! Rolling releases: workers of several releases side by side, rolled back and respawned, killed and
//! their supervisor with them. What all have counted is on every page, and to Prometheus nothing falls.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::{FamilySamples, Type};
use tallyboard_supervisor::ask;
use tallyboard_tests::read::http::get_bytes;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::read::prometheus::{Job, Prometheus};
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::{HANG, Running, Watchdog, until};
use tallyboard_tests::start::directory::Directory;
use tallyboard_tests::start::program::program_of;

const RELEASE: &str = env!("CARGO_BIN_EXE_release");

/// A service, its living workers with their releases, and how often each release has counted.
struct Service {
    served: Served,
    living: Vec<(usize, Running)>,
    counted: [u64; 4],
}

impl Service {
    fn start(name: &str, flags: &[&str]) -> Self {
        Self { served: Served::start(name, flags), living: Vec::new(), counted: [0; 4] }
    }

    /// A worker of a release counts so often.
    fn work(&mut self, release: usize, times: u64) {
        let mut command = Command::new(RELEASE);
        command.args([release.to_string(), times.to_string()]);
        let mut worker = Running::start(command.env("TALLYBOARD", self.served.control.to_string()));
        worker.line(|line| line.ends_with("has counted"));
        self.counted[release] += times;
        self.living.push((release, worker));
    }

    /// Kills a worker, and waits until its slot is reclaimed.
    fn kill(&mut self, at: usize) {
        let (_, worker) = self.living.swap_remove(at);
        worker.signal(Signal::SIGKILL);
        let pid = worker.pid() as u64;
        until(|| {
            let rows = ask::slots(&self.served.control, HANG).ok()?;
            rows.iter().all(|row| row.pid != pid).then_some(())
        });
    }

    fn kill_release(&mut self, release: usize) {
        while let Some(at) = self.living.iter().position(|(of, _)| *of == release) {
            self.kill(at);
        }
    }

    fn kill_supervisor(&self) {
        let ask = || ask::describe(&self.served.control, HANG).ok().map(|it| it.supervisor_pid);
        let killed = ask().expect("a supervisor answers");
        let pid = nix::unistd::Pid::from_raw(killed as i32);
        nix::sys::signal::kill(pid, Signal::SIGKILL).expect("the supervisor is killed");
        until(|| ask().filter(|pid| *pid != killed));
    }

    /// Holds a page against what was counted, whoever is dead.
    fn expect(&self, context: &str) -> Page {
        let page = self.served.page();
        let [_, one, two, three] = self.counted.map(|times| times as f64);
        let all = one + two + three;
        let value = |name: &str, labels: &[(&str, &str)]| page.value(name, labels).unwrap_or(0.0);
        // A label that is empty is none: what stands for it is the first that there was.
        let orders = |country: &str| -> f64 {
            let of = page.of("release_orders_total");
            let of = of
                .filter(|(labels, _)| labels.get("country").map_or("", String::as_str) == country);
            of.map(|(_, value)| value).sum()
        };
        assert_eq!(orders(""), all, "{context}");
        assert_eq!(orders("NZ"), two + three, "{context}");
        assert!(page.of("release_orders_total").count() <= 2, "{context}: one series of each");
        assert_eq!(value("release_seconds_count", &[]), all, "{context}");
        assert_eq!(value("release_seconds_sum", &[]), all * 20.0, "{context}");
        let bucket = |le: &str| value("release_seconds_bucket", &[("le", le)]);
        assert_eq!([bucket("5.0"), bucket("30.0"), bucket("+Inf")], [0.0, two, all], "{context}");
        assert_eq!(value("release_native_count", &[]), all, "{context}");
        assert_eq!(value("release_helped_total", &[]), all * 0.5, "{context}");
        let size = page.of("release_size_count");
        assert_eq!(size.map(|(_, value)| value).sum::<f64>(), all, "{context}");
        assert_eq!(page.sum("tallyboard_dropped_total"), 0.0, "{context}");
        page
    }

    fn families(&self, format: Format, accept: &str) -> Vec<FamilySamples> {
        let page = get_bytes(self.served.metrics, "/metrics", accept).expect("a page");
        parse(&page.body, format, &Options::default()).expect("the page reads")
    }
}

fn named<'a>(families: &'a [FamilySamples], name: &str) -> &'a FamilySamples {
    let mut found = families.iter().filter(|family| family.name == name);
    let family = found.next().unwrap_or_else(|| panic!("expected {name}, found {families:?}"));
    assert!(found.next().is_none(), "expected {name} once");
    family
}

const FORMATS: [(Format, &str); 5] = [
    (Format::Text004, "text/plain;version=0.0.4"),
    (Format::Text100, "text/plain;version=1.0.0"),
    (Format::OpenMetrics001, "application/openmetrics-text;version=0.0.1"),
    (Format::OpenMetrics100, "application/openmetrics-text;version=1.0.0"),
    (
        Format::Protobuf,
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ),
];

/// Every format has each name once, and no sample twice: its own parser refuses that.
fn expect_formats(service: &Service, help: &str, kind: Type) {
    for (format, accept) in FORMATS {
        let families = service.families(format, accept);
        let is_text = matches!(format, Format::Text004 | Format::Text100);
        let name = |name: &str| match is_text {
            true => format!("{name}_total"),
            false => name.to_owned(),
        };
        let helped = families.iter().find(|family| family.name.starts_with("release_helped"));
        assert_eq!(helped.map(|family| &*family.help), Some(help), "{format:?}");
        let of = families.iter().find(|family| family.name.starts_with("release_kind"));
        assert_eq!(of.map(|family| family.kind), Some(kind), "{format:?}");
        let all = service.counted.iter().sum::<u64>() as f64;
        let orders = families.iter().find(|family| name("release_orders") == family.name);
        let orders = orders.unwrap_or_else(|| named(&families, "release_orders"));
        let sum = orders.samples.iter().filter(|sample| {
            sample.suffix != "_created" && sample.labels().all(|(_, value)| value != "NZ")
        });
        assert_eq!(sum.map(|sample| sample.value.as_f64()).sum::<f64>(), all, "{format:?}");
        let native = named(&families, "release_native");
        let native = native.samples.iter().find_map(|sample| sample.native.as_ref());
        assert_eq!(native.is_some(), format == Format::Protobuf);
        // The coarsest that there was, and never a finer one again.
        let schema = if service.counted[2] > 0 { 1 } else { 3 };
        assert!(native.is_none_or(|native| native.schema == schema), "{native:?}");
    }
}

#[test]
fn two_releases_are_one_page_and_nothing_flips() {
    let _watchdog = Watchdog::new("two_releases_are_one_page_and_nothing_flips");
    let mut service = Service::start("releases", &[]);
    service.work(1, 10);
    service.work(1, 10);
    expect_all(&mut service, ("Old words.", Type::Counter), "the first release");
    service.work(2, 7);
    expect_all(&mut service, ("New words.", Type::Counter), "two side by side");
    // An old master has workers again.
    service.kill(0);
    service.work(1, 3);
    expect_all(&mut service, ("New words.", Type::Counter), "an old worker again");
    service.kill_release(1);
    expect_all(&mut service, ("New words.", Type::Gauge), "the second release");
    service.work(1, 2);
    expect_all(&mut service, ("New words.", Type::Gauge), "an old master that goes on");
    service.kill_release(2);
    expect_all(&mut service, ("Old words.", Type::Counter), "rolled back");
    service.work(3, 5);
    service.kill_release(1);
    expect_all(&mut service, ("Old words.", Type::Counter), "the third release");
    service.kill_release(3);
    expect_all(&mut service, ("Old words.", Type::Counter), "nobody lives");
    let page = service.served.page();
    assert!(
        page.sum("tallyboard_definition_changes_total") == 0.0,
        "a supervisor that has found all"
    );
    let ended = service.served.stop();
    for said in ["metric=release_orders from=labels kind to=labels kind country", "release_seconds"]
    {
        assert!(said_in(&ended.stderr, said), "{said}: {}", ended.stderr);
    }
}

/// Whether a log says so, whatever is quoted.
fn said_in(log: &str, said: &str) -> bool {
    log.lines().any(|line| line.replace('"', "").contains(said))
}

/// What counts and has fallen, but for what is of another type now.
fn fallen(before: &Page, after: &Page) -> Vec<String> {
    let mut fallen = after.decreases_since(before);
    fallen.retain(|of| of.starts_with("release_") && !of.starts_with("release_kind"));
    fallen
}

/// What the program writes into a file is what the page has.
fn expect_file(service: &Service) {
    let directory = Directory::new("releases");
    let file = directory.file("page.prom");
    let control = service.served.control.to_string();
    let words = ["textfile", file.to_str().expect("a text"), "--control", &control];
    let ended = Running::start(&mut program_of(&[], &words)).end();
    assert!(ended.status.success(), "{ended:?}");
    let written = std::fs::read_to_string(&file).expect("a file");
    let written = Page::parse(&written).expect("the file reads");
    let of_release = |page: &Page| -> Vec<String> {
        let samples = page.samples().filter(|(name, ..)| name.starts_with("release_"));
        samples.map(|sample| format!("{sample:?}")).collect()
    };
    assert_eq!(of_release(&written), of_release(&service.served.page()));
}

/// Numbers, formats and words, before and after a death of the supervisor.
fn expect_all(service: &mut Service, (help, kind): (&str, Type), context: &str) {
    let before = service.expect(context);
    expect_formats(service, help, kind);
    service.kill_supervisor();
    let after = service.expect(context);
    expect_file(service);
    assert_eq!(fallen(&before, &after), Vec::<String>::new(), "{context}");
    expect_formats(service, help, kind);
}

/// How many workers are killed: as `TALLYBOARD_RELEASE_KILLS` says, or 200.
fn kills() -> usize {
    let said = std::env::var("TALLYBOARD_RELEASE_KILLS").ok();
    said.map_or(200, |kills| kills.parse().expect("TALLYBOARD_RELEASE_KILLS is a number"))
}

#[test]
fn prometheus_sees_no_reset_over_releases_whose_workers_are_killed() {
    let _watchdog = Watchdog::new("prometheus_sees_no_reset_over_releases");
    let program = Path::new("prometheus");
    let receiver = Prometheus::start(program, &["--web.enable-remote-write-receiver"], &[]);
    let url = format!("--remote-write.url=http://{}/api/v1/write", receiver.address());
    let flags =
        [&*url, "--remote-write.interval=250ms", "--remote-write.external-label=job=written"];
    let mut service = Service::start("releases-killed", &flags);
    let jobs = [Job { name: "default", target: service.served.metrics, settings: &[] }];
    service.work(1, 1);
    let prometheus = Prometheus::start(program, &[], &jobs);
    let mut before = service.expect("at first");
    for kill in 0..kills() {
        // Four workers at a time, of two releases that follow each other, and back again.
        let release = 1 + (kill / 16 + kill % 2) % 3;
        service.work(release, 1 + kill as u64 % 5);
        if service.living.len() > 4 {
            service.kill(kill * 7 % service.living.len());
        }
        if kill % 23 == 22 {
            service.kill_supervisor();
        }
        let page = service.expect(&format!("kill {kill}"));
        assert_eq!(fallen(&before, &page), Vec::<String>::new(), "kill {kill}");
        before = page;
    }
    prometheus.scrape_all();
    let all = service.counted.iter().sum::<u64>() as f64;
    until(|| (receiver.value("sum(release_seconds_count)") == Some(all)).then_some(()));
    for prometheus in [&prometheus, &receiver] {
        for series in [
            "release_orders_total",
            "release_seconds_bucket",
            "release_seconds_count",
            "release_seconds_sum",
            "release_native_count",
            "release_helped_total",
            "release_size_sum",
        ] {
            let resets = prometheus.value(&format!("sum(resets({series}[1h]))"));
            assert_eq!(resets, Some(0.0), "{series}");
        }
        assert_eq!(prometheus.value("sum(release_seconds_count)"), Some(all));
        assert_eq!(prometheus.value("count(release_orders_total)"), Some(2.0));
    }
}
