//! The whole, with the real Prometheus beside it: what it scraped is what was counted.

#![forbid(unsafe_code)]

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::read::prometheus::{Job, Prometheus};
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};

/// The exit status of `promtool check metrics` and what it says.
fn promtool(page: &str) -> (Option<i32>, String) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts, which comes with prometheus");
    let mut stdin = child.stdin.take().expect("promtool reads");
    stdin.write_all(page.as_bytes()).expect("promtool reads all of it");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// A demo that goes on serving after its numbers are there.
fn demo(metrics: SocketAddr) -> Running {
    let mut command = Command::new(tallyboard());
    command.args(["demo", "--seconds", "6", "--app-port", "0", "--json", "--serve-after"]);
    command.arg(format!("--web.listen-address={metrics}"));
    Running::start(command.env_remove("TALLYBOARD"))
}

#[test]
fn prometheus_knows_exactly_what_the_demo_has_counted() {
    let _watchdog = Watchdog::new("prometheus_knows_exactly_what_the_demo_has_counted");
    let metrics = free_address();
    let job = Job { name: "demo", target: metrics, settings: &[] };
    let prometheus = Prometheus::start(Path::new("prometheus"), &[], &[job]);
    let mut demo = demo(metrics);
    let numbers = demo.line(|line| line.starts_with('{'));
    let numbers: Value = serde_json::from_str(&numbers).expect("the numbers are JSON");
    assert_eq!(numbers["verdict"], "ok", "{numbers}");
    let number = |name: &str| numbers[name].as_u64().expect("a number") as f64;
    let counted = number("counted");
    assert!(counted > 0.0 && number("killed") > 0.0, "{numbers}");
    let requests = "sum(demo_http_requests_total)";
    // What is still on its way into Prometheus is never more than what was counted.
    until(|| {
        let found = prometheus.value(requests).unwrap_or(0.0);
        assert!(found <= counted, "{found} of {counted}");
        (found == counted).then_some(())
    });
    // Every series that only goes up did so in the eyes of Prometheus, over every kill.
    for series in ["demo_http_requests_total", "demo_http_request_duration_seconds_count"] {
        let resets = prometheus.value(&format!("sum(resets({series}[1h]))"));
        assert_eq!(resets, Some(0.0), "{series}");
    }
    println!("counted {counted}, in Prometheus {counted}: {numbers}");

    let page = get(metrics, "/metrics").expect("the demo serves").body;
    Page::parse(&page).expect("the page reads");
    assert_eq!(promtool(&page), (Some(0), String::new()));
    demo.signal(Signal::SIGINT);
    let ended = demo.end();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn promtool_finds_what_is_wrong_with_a_page() {
    assert_eq!(promtool("# HELP a_total A.\n# TYPE a_total counter\na_total 1\n").0, Some(0));
    assert_eq!(promtool("# HELP a A.\n# TYPE a counter\na 1\n").0, Some(3));
    assert_eq!(promtool("a{ 1\n").0, Some(1));
}
