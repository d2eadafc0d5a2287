//! Names of every sort, of a service with its supervisor: each format has them as its reader has asked
//! for, no two samples are alike, and what has become like something else is joined or left out, and
//! counted.

#![forbid(unsafe_code)]

use std::process::{Command, Output};

use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::negotiation::Negotiated;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::{Exemplar, FamilySamples, Sample};
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::http::{get, get_bytes};
use tallyboard_tests::read::page::{Labels, Page};
use tallyboard_tests::read::prometheus::Series;
use tallyboard_tests::service::any_name::known;
use tallyboard_tests::service::arena::Service;
use tallyboard_tests::start::child::{Watchdog, until};

const NAMES: &str = env!("CARGO_BIN_EXE_names");

/// The families of a page, with the content type that it has, in lower case.
fn read(service: &Service, wanted: Negotiated) -> (Vec<FamilySamples>, String) {
    let accept = format!("{};escaping={}", wanted.format.content_type(), wanted.escaping.name());
    let page = get_bytes(service.metrics(), "/metrics", &accept).expect("a page");
    let found = parse(&page.body, wanted.format, &Options::default());
    let found = found.unwrap_or_else(|error| {
        panic!("{wanted:?}: {error}:\n{}", String::from_utf8_lossy(&page.body))
    });
    let lines = page.headers.lines();
    let content_type = lines.filter_map(|line| line.strip_prefix("content-type: ")).next();
    (found, content_type.expect("a content type").to_owned())
}

/// The samples of the workers, each of which comes once.
fn samples(families: &[FamilySamples]) -> Series<f64> {
    let mut samples = Series::new();
    let is_own = |family: &&FamilySamples| {
        !["tallyboard_", "process_"].iter().any(|prefix| family.name.starts_with(prefix))
    };
    for family in families.iter().filter(is_own) {
        let shown = |sample: &&Sample| sample.suffix != "_created";
        for sample in family.samples.iter().filter(shown) {
            let name = format!("{}{}", family.name, sample.suffix);
            let labels = sample.labels().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let key = (name, labels.collect::<Labels>());
            let before = samples.insert(key.clone(), sample.value.as_f64());
            assert_eq!(before, None, "{key:?} comes twice");
        }
    }
    samples
}

fn exemplars(families: &[FamilySamples]) -> Vec<Exemplar> {
    let samples = families.iter().flat_map(|family| &family.samples);
    samples.filter_map(|sample| sample.exemplar.clone()).collect()
}

/// Holds every format in every scheme against what was counted.
fn check_all(service: &Service) {
    for &format in Format::EVERY {
        for escaping in Escaping::EVERY {
            let wanted = Negotiated { format, escaping };
            let (found, content_type) = read(service, wanted);
            assert_eq!(content_type, wanted.content_type().to_lowercase(), "{wanted:?}");
            let expect = known(&service.numbers(), escaping);
            assert_eq!(samples(&found), expect, "{wanted:?}");
            if matches!(format, Format::Text004 | Format::Text100) {
                continue;
            }
            let name = match escaping {
                Escaping::AllowUtf8 => "trace.id",
                Escaping::Underscores => "trace_id",
                Escaping::Dots => "trace_dot_id",
                Escaping::Values => "U__trace_2e_id",
            };
            let exemplars = exemplars(&found);
            let has_it = |of: &&Exemplar| of.labels.contains(&(name.to_owned(), "\u{fc}".into()));
            assert_eq!(exemplars.iter().filter(has_it).count(), 1, "{wanted:?}: {exemplars:?}");
        }
    }
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
fn every_format_has_every_name_in_every_scheme_whoever_dies() {
    let _watchdog = Watchdog::new("every_format_has_every_name_in_every_scheme_whoever_dies");
    let mut service = Service::start("names", NAMES);
    service.work(&[0.5, 2.5]);
    check_all(&service);
    service.work(&[40.0]);
    service.kill();
    check_all(&service);
    service.kill_supervisor();
    until(|| get(service.metrics(), "/metrics").ok());
    check_all(&service);
    // Who names a metric names it as it is.
    let one = get(service.metrics(), "/metrics?name[]=http.requests_total").expect("a page");
    let one = Page::parse(&one.body).expect("the page reads");
    assert_eq!((one.samples().count(), one.sum("http_requests_total")), (1, 3.0));
}

#[test]
fn what_has_become_alike_is_counted_by_name_and_said_once() {
    let _watchdog = Watchdog::new("what_has_become_alike_is_counted_by_name_and_said_once");
    let mut service = Service::start("alike", NAMES);
    service.work(&[0.5]);
    let page = || Page::parse(&get(service.metrics(), "/metrics").expect("a page").body);
    let of = |page: &Page, metric: &str, outcome: &str| {
        let labels = [("metric", metric), ("outcome", outcome)];
        page.value("tallyboard_name_collisions", &labels)
    };
    // The first page says nothing of itself.
    assert_eq!(page().expect("it reads").of("tallyboard_name_collisions").count(), 0);
    for _ in 0..3 {
        let page = page().expect("it reads");
        assert_eq!(of(&page, "http.requests", "joined"), Some(1.0));
        assert_eq!(of(&page, "temp\u{e9}rature", "left_out"), Some(1.0));
        assert_eq!(page.of("tallyboard_name_collisions").count(), 2);
    }
    let ended = service.stop();
    for metric in ["metric=http.requests", "metric=temp\u{e9}rature"] {
        let said = ended.stderr.lines().filter(|line| line.contains(metric));
        assert_eq!(said.count(), 1, "{metric}: {}", ended.stderr);
    }
}

#[test]
fn a_label_of_every_sample_gives_way_to_one_that_is_alike() {
    let _watchdog = Watchdog::new("a_label_of_every_sample_gives_way_to_one_that_is_alike");
    let flags = ["--label", "http_route=eu", "--label", "service.name=shop"];
    let mut service = Service::start_with("constant", NAMES, &flags, &[]);
    service.work(&[0.5]);
    for (escaping, service_name) in
        [(Escaping::AllowUtf8, "service.name"), (Escaping::Underscores, "service_name")]
    {
        let wanted = Negotiated { format: Format::Text004, escaping };
        let (found, _) = read(&service, wanted);
        let mut expect = Series::new();
        for ((name, mut labels), value) in known(&service.numbers(), escaping) {
            labels.insert(service_name.to_owned(), "shop".to_owned());
            let has_route = labels.contains_key("http.route") || labels.contains_key("http_route");
            if !has_route {
                labels.insert("http_route".to_owned(), "eu".to_owned());
            }
            expect.insert((name, labels), value);
        }
        assert_eq!(samples(&found), expect, "{escaping:?}");
        let own = found.iter().find(|family| family.name == "tallyboard_build_info");
        let own = &own.expect("the supervisor's own").samples[0];
        assert!(own.labels.contains(&(service_name.to_owned(), "shop".to_owned())), "{own:?}");
    }
}

#[test]
fn the_program_writes_names_as_they_are_unless_it_is_told_otherwise() {
    let _watchdog = Watchdog::new("the_program_writes_names_as_they_are");
    let mut service = Service::start("program", NAMES);
    service.work(&[0.5]);
    for format in [Format::Text004, Format::Text100, Format::OpenMetrics100, Format::Protobuf] {
        let name = match format {
            Format::Text004 => "text",
            Format::Text100 => "text-1.0",
            Format::Protobuf => "protobuf",
            _ => "openmetrics",
        };
        for escaping in Escaping::EVERY {
            let mut flags = vec!["scrape", "--format", name];
            if escaping != Escaping::AllowUtf8 {
                flags.extend(["--escaping", escaping.name()]);
            }
            let found = run(&service, &flags).stdout;
            let found = parse(&found, format, &Options::default()).expect("it reads");
            assert_eq!(samples(&found), known(&service.numbers(), escaping), "{flags:?}");
        }
    }
    let one = run(&service, &["scrape", "--metric", "http.requests_total"]).stdout;
    let one = String::from_utf8(one).expect("a text");
    assert!(
        one.contains("# TYPE \"http.requests_total\" counter\n{\"http.requests_total\","),
        "{one}"
    );
}
