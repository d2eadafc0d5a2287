//! Every kind of metric, and the metrics of a whole service.

use std::process::Command;

use tallyboard::sample::{FamilySamples, Sample, Type, Value};
use tallyboard::{Counter, Gauge, Histogram, Info, NativeHistogram, Registry, StateSet, Summary};
use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::format::Format;
use tallyboard_tests::read::page::{Labels, Page};
use tallyboard_tests::service::any_name::known as known_names;
use tallyboard_tests::service::arena::Service;
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::{Running, Watchdog, until};

use crate::gateway::{Gateway, Samples, run, sample};

fn labels(of: &[(&str, &str)]) -> Labels {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// One of each instrument, with what a page may have.
fn every_instrument() -> &'static Registry {
    let registry = Registry::new();
    let orders = Counter::builder("shop_orders_total", "Orders: \"all\" of\nthem \\.");
    let orders = orders.labels(&["kind"]).registry(registry).family().expect("a counter");
    orders.with(&["tea"]).expect("a label").inc_by(3);
    orders.with(&["ü\"\\\n{}"]).expect("a label").inc_by(u32::MAX.into());
    let busy = Counter::builder("shop_busy_seconds_total", "Time.").registry(registry).register();
    busy.expect("a counter").add(0.1).expect("an amount");
    let levels = Gauge::builder("shop_level", "A level.").labels(&["of"]).registry(registry);
    let levels = levels.family().expect("a gauge");
    for (of, value) in
        [("nan", f64::NAN), ("inf", f64::INFINITY), ("least", f64::MIN), ("small", -5e-324)]
    {
        levels.with(&[of]).expect("a label").set(value);
    }
    let seconds = Histogram::builder("shop_seconds", "Time.").buckets(&[0.5, 1.0, 2.5e6]);
    let seconds = seconds.registry(registry).register().expect("a histogram");
    [0.1, 0.5, 0.7, 1e6, 1e9].iter().for_each(|amount| seconds.observe(*amount));
    let sizes = Summary::builder("shop_bytes", "Sizes.").registry(registry).register();
    let sizes = sizes.expect("a summary");
    [1.0, 2.5].iter().for_each(|amount| sizes.observe(*amount));
    let build = Info::builder("shop_build", "What runs.").registry(registry).register();
    build.expect("an info").set(&[("version", "1.4"), ("commit", "ab")]).expect("labels");
    let states = StateSet::builder("shop_import", "The import.", &["on", "off"]);
    states.registry(registry).register().expect("a stateset").set("off").expect("a state");
    let natives = [("shop_native", &[][..]), ("shop_both", &[1.0, 8.0][..])];
    for (name, buckets) in natives {
        let native = NativeHistogram::builder(name, "Sizes.").classic_buckets(buckets);
        let native = native.registry(registry).register().expect("a native histogram");
        [0.5, 3.0, 7.0].iter().for_each(|amount| native.observe(*amount));
    }
    registry
}

/// What no instrument is, but a document may have.
fn rare_families() -> Vec<FamilySamples> {
    let of = |labels: &[(&str, &str)]| {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let family = |kind, name: &str, samples| FamilySamples {
        samples,
        ..FamilySamples::new(kind, name, "Help.")
    };
    vec![
        family(
            Type::Summary,
            "rare_quantiles",
            vec![
                Sample::new("", of(&[("quantile", "0.5")]), Value::Float(0.25)),
                Sample::new("", of(&[("quantile", "1.0")]), Value::Float(f64::NAN)),
                Sample::new("_count", of(&[]), Value::Whole(2)),
                Sample::new("_sum", of(&[]), Value::Float(0.75)),
            ],
        ),
        family(
            Type::Unknown,
            "rare.näme",
            vec![Sample::new("", of(&[("a.b", "ü")]), Value::Float(1e300))],
        ),
        family(
            Type::GaugeHistogram,
            "rare_ages",
            vec![
                Sample::new("_bucket", of(&[("le", "1.0")]), Value::Whole(2)),
                Sample::new("_bucket", of(&[("le", "+Inf")]), Value::Whole(3)),
                Sample::new("_gcount", of(&[]), Value::Whole(3)),
                Sample::new("_gsum", of(&[]), Value::Float(1.5)),
            ],
        ),
    ]
}

/// A sample: its name, its labels, its value.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Samples that are there whatever our own encoder thinks.
fn known() -> Samples {
    let rows: &[Row<'_>] = &[
        ("shop_orders_total", &[("kind", "tea")], 3.0),
        ("shop_orders_total", &[("kind", "ü\"\\\n{}")], 4_294_967_295.0),
        ("shop_busy_seconds_total", &[], 0.1),
        ("shop_level", &[("of", "nan")], f64::NAN),
        ("shop_level", &[("of", "inf")], f64::INFINITY),
        ("shop_level", &[("of", "least")], f64::MIN),
        ("shop_level", &[("of", "small")], -5e-324),
        ("shop_seconds_bucket", &[("le", "0.5")], 2.0),
        ("shop_seconds_bucket", &[("le", "1")], 3.0),
        ("shop_seconds_bucket", &[("le", "2.5e+06")], 4.0),
        ("shop_seconds_bucket", &[("le", "+Inf")], 5.0),
        ("shop_seconds_count", &[], 5.0),
        ("shop_seconds_sum", &[], 1_001_000_001.3),
        ("shop_bytes_count", &[], 2.0),
        ("shop_bytes_sum", &[], 3.5),
        ("shop_build_info", &[("version", "1.4"), ("commit", "ab")], 1.0),
        ("shop_import", &[("shop_import", "on")], 0.0),
        ("shop_import", &[("shop_import", "off")], 1.0),
        ("shop_native_bucket", &[("le", "+Inf")], 3.0),
        ("shop_native_sum", &[], 10.5),
        ("shop_both_bucket", &[("le", "1")], 1.0),
        ("shop_both_bucket", &[("le", "8")], 3.0),
        ("shop_both_count", &[], 3.0),
        ("rare_quantiles", &[("quantile", "0.5")], 0.25),
        ("rare_n_me", &[("a_b", "ü")], 1e300),
        ("rare_ages_bucket", &[("le", "1")], 2.0),
        ("rare_ages_gsum", &[], 1.5),
        // What a gateway makes of a histogram that it has no count and sum of.
        ("rare_ages_count", &[], 0.0),
        ("rare_ages_sum", &[], 0.0),
    ];
    rows.iter().map(|(name, of, value)| sample(name, &labels(of), *value)).collect()
}

#[test]
fn every_kind_of_metric_is_read_back_as_it_was_pushed() {
    let _watchdog = Watchdog::new("every_kind_of_metric_is_read_back_as_it_was_pushed");
    let gateway = Gateway::start();
    let families = [every_instrument().gather(), rare_families()].concat();
    let page = Format::Text004.encode(&Escaping::Underscores.apply(&families).families);
    let page = Page::parse(std::str::from_utf8(&page).expect("a text")).expect("our page reads");
    let own = page.samples().map(|(name, labels, value)| sample(name, labels, value));
    let known = known();
    let mut expect: Samples = own.collect();
    expect.extend(
        known
            .clone()
            .into_iter()
            .filter(|((name, _), _)| ["rare_ages_count", "rare_ages_sum"].contains(&&**name)),
    );
    for gzip in [false, true] {
        let group = gateway.group(if gzip { "gzip" } else { "plain" });
        let group = if gzip { group.gzip() } else { group };
        group.blocking_push(&families).expect("it is taken");
        let pushed = gateway.pushed(if gzip { "gzip" } else { "plain" });
        for row in &known {
            assert_eq!(pushed.get(row.0), Some(row.1), "{:?}", row.0);
        }
        assert_eq!(pushed, expect);
    }
    let group = &gateway.groups()[0];
    for (name, kind) in [
        ("shop_orders_total", "COUNTER"),
        ("shop_level", "GAUGE"),
        ("shop_seconds", "HISTOGRAM"),
        ("shop_bytes", "SUMMARY"),
        ("shop_build_info", "GAUGE"),
        ("shop_import", "GAUGE"),
        ("rare_n_me", "UNTYPED"),
    ] {
        assert_eq!(group[name]["type"], kind, "{name}");
    }
    assert_eq!(group["shop_orders_total"]["help"], "Orders: \"all\" of\nthem \\.");
}

#[test]
fn the_metrics_of_a_whole_service_are_pushed_by_its_processes_and_by_the_program() {
    let _watchdog = Watchdog::new("the_metrics_of_a_whole_service");
    let gateway = Gateway::start();
    let served = Served::start("push", &[]);
    let control = served.control.to_string();
    let scrape = || run(&["scrape", "--control", &control]);
    until(|| (scrape().0 == Some(0)).then_some(()));
    let workers: Vec<Running> = (0..3)
        .map(|_| {
            let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
            let mut worker = Running::start(worker.arg("100").env("TALLYBOARD", &control));
            let line = worker.line(|line| line.starts_with("worker "));
            assert!(line.contains(" slot "), "{line}");
            worker
        })
        .collect();

    let expect: Samples = [
        ("app_done_total", &[("by", "worker")][..], 300.0),
        ("app_seconds_bucket", &[("le", "0.5")], 300.0),
        ("app_seconds_bucket", &[("le", "0.25")], 0.0),
        ("app_seconds_sum", &[], 150.0),
    ]
    .map(|(name, of, value)| sample(name, &labels(of), value))
    .into();
    let has_all = |job: &str| {
        let pushed = gateway.pushed(job);
        for (key, value) in &expect {
            assert_eq!(pushed.get(key), Some(value), "{job}: {key:?}");
        }
        pushed
    };
    // By a process of the service, which has counted nothing itself.
    let registry = Registry::builder().address(&control).build();
    let families = registry.families().expect("the supervisor answers");
    gateway.group("process").blocking_push(&families).expect("it is taken");
    has_all("process");
    // By the program, with the supervisor's own metrics and those of the processes.
    let url = gateway.address.to_string();
    let push = |job: &str, more: &[&str]| {
        run(&[&["push", &url, "--job", job, "--control", &control], more].concat())
    };
    assert_eq!(push("program", &[]), (Some(0), String::new()));
    assert!(has_all("program").keys().any(|(name, _)| name == "tallyboard_slots"));
    assert_eq!(push("some", &["--metric", "app_done_total"]), (Some(0), String::new()));
    assert_eq!(gateway.pushed("some").len(), 1);
    drop(workers);
    drop(served);
    let (status, said) = push("gone", &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("no supervisor listens on"), "{said}");
}

#[test]
fn names_of_every_sort_are_pushed_as_every_gateway_reads_them() {
    let _watchdog = Watchdog::new("names_of_every_sort_are_pushed");
    let gateway = Gateway::start();
    let mut service = Service::start("push-names", env!("CARGO_BIN_EXE_names"));
    service.work(&[0.5, 2.5]);
    let url = gateway.address.to_string();
    let push = ["push", &url, "--job", "names", "--control", service.control()];
    assert_eq!(run(&push).0, Some(0));
    let mut found = gateway.pushed("names");
    found.retain(|(name, _), _| !["tallyboard_", "process_"].iter().any(|of| name.starts_with(of)));
    let expect = known_names(&service.numbers(), Escaping::Underscores).into_iter();
    let expect: Samples =
        expect.map(|((name, labels), value)| sample(&name, &labels, value)).collect();
    assert_eq!(found, expect);
    // This gateway has not been told to take other names, and says so.
    let (status, said) = run(&[&push[..], &["--escaping", "allow-utf-8"]].concat());
    assert!(status == Some(1) && said.contains("400"), "{said}");
}
