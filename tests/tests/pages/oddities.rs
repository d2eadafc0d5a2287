//! Numbers that not every format has a place for, of a service with its supervisor: they are left out
//! where they must be, and nowhere else; and nothing that takes the whole service fails for them.

#![forbid(unsafe_code)]

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Output};

use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::{FamilySamples, Sample};
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::http::{get, get_bytes};
use tallyboard_tests::read::page::Page;
use tallyboard_tests::receive::stand_in::{Says, StandIn};
use tallyboard_tests::service::arena::Service;
use tallyboard_tests::start::child::Watchdog;
use tallyboard_tests::start::directory::Directory;

const ODDITIES: &str = env!("CARGO_BIN_EXE_oddities");
const NUMBERS: [f64; 4] = [1.5, -3.5, f64::NAN, 0.5];
const SUM: f64 = -1.5;
const COUNT: f64 = 3.0;

fn read(service: &Service, format: Format) -> Vec<FamilySamples> {
    let page = get_bytes(service.metrics(), "/metrics", format.content_type()).expect("a page");
    let found = parse(&page.body, format, &Options::default());
    found.unwrap_or_else(|error| {
        panic!("{format:?}: {error}:\n{}", String::from_utf8_lossy(&page.body))
    })
}

/// The number of a sample by its whole name; of a native histogram, its count.
fn number(families: &[FamilySamples], name: &str) -> Option<f64> {
    let of = |family: &FamilySamples| {
        let is_it = |sample: &&Sample| format!("{}{}", family.name, sample.suffix) == name;
        family.samples.iter().find(is_it).map(|sample| sample.value.as_f64())
    };
    families.iter().find_map(of)
}

/// Runs the program with the service as its arena.
fn run(service: &Service, arguments: &[&str]) -> Output {
    let mut command = Command::new(tallyboard());
    let output = command.args(arguments).env("TALLYBOARD", service.control()).output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn a_negative_sum_is_missing_in_openmetrics_alone_and_nan_was_never_counted() {
    let _watchdog = Watchdog::new("a negative sum");
    let mut service = Service::start("odd", ODDITIES);
    service.work(&NUMBERS);
    for format in Format::EVERY {
        let found = read(&service, *format);
        let sum = |name: &str| number(&found, &format!("{name}_sum"));
        let count = |name: &str| number(&found, &format!("{name}_count"));
        let classic = ["odd_seconds", "odd_depth", "odd_wide"];
        match format {
            Format::OpenMetrics001 | Format::OpenMetrics100 => {
                assert_eq!((sum("odd_balance"), count("odd_balance")), (None, Some(COUNT)));
                for name in classic {
                    assert_eq!((sum(name), count(name)), (None, None), "{name} {format:?}");
                    assert!(number(&found, &format!("{name}_bucket")).is_some(), "{name}");
                }
            }
            Format::OpenMetrics200 => {
                assert_eq!((sum("odd_balance"), count("odd_balance")), (None, None));
                for name in classic {
                    assert_eq!((sum(name), count(name)), (Some(SUM), Some(COUNT)), "{name}");
                }
            }
            _ => {
                for name in [&classic[..], &["odd_balance"]].concat() {
                    let found = (sum(name), count(name));
                    assert_eq!(found, (Some(SUM), Some(COUNT)), "{name} {format:?}");
                }
            }
        }
        assert_eq!(number(&found, "odd_done_total"), Some(1.0));
    }
    // One in each of the four instruments.
    assert_eq!(service.own("tallyboard_dropped_total", ("reason", "amount")), 4.0);
    service.kill();
    assert_eq!(service.own("tallyboard_dropped_total", ("reason", "amount")), 4.0);
}

#[test]
fn what_takes_the_whole_service_has_a_negative_sum_as_any_other() {
    let _watchdog = Watchdog::new("what takes the whole service");
    let mut service = Service::start("odd-outlets", ODDITIES);
    service.work(&NUMBERS);
    let check = |page: &Page, what: &str| {
        for name in ["odd_balance", "odd_seconds", "odd_depth", "odd_wide"] {
            let found = |part: &str| page.value(&format!("{name}_{part}"), &[]);
            assert_eq!((found("sum"), found("count")), (Some(SUM), Some(COUNT)), "{what} {name}");
        }
    };
    let directory = Directory::new("oddities");
    let file = directory.file("odd.prom");
    run(&service, &["textfile", &file.display().to_string()]);
    let text = std::fs::read_to_string(&file).expect("it is written");
    check(&Page::parse(&text).expect("a page"), "textfile");

    let gateway = StandIn::always(Says::Answer(200, "", b""));
    let url = format!("http://{}", gateway.address());
    run(&service, &["push", &url, "--job", "odd"]);
    let pushed = gateway.seen().remove(0).body;
    check(&Page::parse(&String::from_utf8_lossy(&pushed)).expect("a page"), "push");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let carbon = listener.local_addr().expect("an address").to_string();
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody sends");
        let mut lines = String::new();
        stream.read_to_string(&mut lines).map(|_| lines)
    });
    run(&service, &["graphite", &carbon]);
    let lines = reader.join().expect("it ends").expect("it reads");
    for name in ["odd_balance", "odd_seconds", "odd_depth", "odd_wide"] {
        let line = format!("{name}_sum {SUM:?} ");
        assert!(lines.lines().any(|found| found.starts_with(&line)), "{line:?} in {lines}");
    }
    let scraped = run(&service, &["scrape", "--metric", "odd_balance_sum"]);
    assert!(String::from_utf8_lossy(&scraped.stdout).ends_with("odd_balance_sum -1.5\n"));
}

#[test]
fn a_metric_that_is_called_as_one_of_the_scrapers_own_is_warned_of_once() {
    let _watchdog = Watchdog::new("a metric that is called up");
    let mut service = Service::start("odd-up", ODDITIES);
    for _ in 0..3 {
        service.work(&[1.0]);
        let page = Page::parse(&get(service.metrics(), "/metrics").expect("a page").body);
        assert_eq!(page.expect("it reads").value("up", &[]), Some(0.0));
    }
    service.kill();
    let log = service.stop().stderr;
    assert_eq!(log.matches("Prometheus adds to each target").count(), 1, "{log}");
    assert!(log.contains("metric=up"), "{log}");
}

#[test]
fn created_samples_are_in_no_page_of_a_supervisor_that_is_told_so() {
    let _watchdog = Watchdog::new("created samples");
    let flag: (&[&str], &[(&str, &str)]) = (&["--created-samples=off"], &[]);
    let variable: (&[&str], &[(&str, &str)]) = (&[], &[("TALLYBOARD_CREATED_SAMPLES", "off")]);
    for (number, (flags, variables)) in [(&[][..], &[][..]), flag, variable].into_iter().enumerate()
    {
        let name = format!("odd-created-{number}");
        let mut service = Service::start_with(&name, ODDITIES, flags, variables);
        service.work(&[1.0]);
        let has_created = |format: Format| {
            let page = get_bytes(service.metrics(), "/metrics", format.content_type());
            let page = page.expect("a page").body;
            String::from_utf8_lossy(&page).contains("_created")
        };
        for format in Format::EVERY {
            let is_one = matches!(format, Format::OpenMetrics001 | Format::OpenMetrics100);
            assert_eq!(has_created(*format), is_one && number == 0, "{format:?} {flags:?}");
        }
        // Where it is no sample it stays.
        let two = get_bytes(service.metrics(), "/metrics", Format::OpenMetrics200.content_type());
        let two = String::from_utf8_lossy(&two.expect("a page").body).into_owned();
        assert!(two.contains("odd_done_total 1 st@"), "{two}");
        assert!(service.stop().status.success());
    }
}
