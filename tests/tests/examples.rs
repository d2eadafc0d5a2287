//! The examples of servers that serve their own metrics: started, asked and ended.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::Command;

use nix::sys::signal::Signal;
use tallyboard_tests::build;
use tallyboard_tests::child::{Running, Watchdog, until};
use tallyboard_tests::http::{get, get_as};
use tallyboard_tests::page::Page;

/// Requests of each kind: enough that both workers of a preforking server get some.
const REQUESTS: usize = 40;

/// Starts a server that says where it listens.
fn start(command: &mut Command) -> (Running, SocketAddr) {
    let mut running = Running::start(command.env_remove("TALLYBOARD"));
    let line = running.line(|line| line.starts_with("listening on http://"));
    let address = line.trim_start_matches("listening on http://").parse().expect("an address");
    (running, address)
}

/// Asks for `path` so often, each time on a connection of its own.
fn ask(address: SocketAddr, path: &str, expect: u16) {
    for _ in 0..REQUESTS {
        assert_eq!(get(address, path).expect("an answer").status, expect, "{path}");
    }
}

fn page(address: SocketAddr) -> Page {
    let answer = get(address, "/metrics").expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.headers.contains("content-type: text/plain; version=0.0.4"), "{answer:?}");
    Page::parse(&answer.body).expect("a page")
}

fn check_openmetrics(address: SocketAddr) {
    let answer = get_as(address, "/metrics", "application/openmetrics-text;version=1.0.0");
    let answer = answer.expect("an answer");
    let expect = "content-type: application/openmetrics-text; version=1.0.0";
    assert!(answer.headers.contains(expect), "{answer:?}");
    assert!(answer.body.ends_with("# EOF\n"), "{answer:?}");
    assert!(answer.body.contains("shop_answers_created"), "{answer:?}");
}

#[test]
fn any_worker_of_the_preforking_server_on_hyper_serves_the_metrics_of_all() {
    let _watchdog = Watchdog::new("the example on hyper");
    let (running, address) = start(Command::new(build::example("hyper")).arg("127.0.0.1:0"));
    ask(address, "/", 200);
    ask(address, "/no", 404);
    for _ in 0..REQUESTS {
        let page = page(address);
        let expect = Some(REQUESTS as f64);
        assert_eq!(page.value("shop_answers_total", &[("status", "200")]), expect);
        assert_eq!(page.value("shop_answers_total", &[("status", "404")]), expect);
        assert_eq!(page.value("shop_answer_seconds_count", &[]), Some(2.0 * REQUESTS as f64));
        // The parent, which registered the metrics, and a worker at least.
        assert!(page.value("tallyboard_slots", &[("state", "live")]) >= Some(2.0), "{page:?}");
    }
    check_openmetrics(address);
    running.signal(Signal::SIGTERM);
    let ended = running.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(get(address, "/").is_err(), "a worker lives on");
}

#[test]
fn the_server_on_axum_serves_its_metrics_alone_and_those_of_its_service_under_exec() {
    let _watchdog = Watchdog::new("the example on axum");
    let example = build::example("axum");
    let mut alone = Command::new(&example);
    let mut within = Command::new(build::tallyboard());
    within.args(["exec", "--web.listen-address", "127.0.0.1:0", "--"]).arg(&example);
    for (command, has_supervisor) in [(&mut alone, false), (&mut within, true)] {
        let (running, address) = start(command.arg("127.0.0.1:0"));
        ask(address, "/", 200);
        ask(address, "/items/7", 404);
        let page = page(address);
        for (route, status) in [("/", "200"), ("/items/{id}", "404")] {
            let labels = [("route", route), ("status", status)];
            assert_eq!(page.value("shop_answers_total", &labels), Some(REQUESTS as f64));
        }
        assert_eq!(page.value("shop_answer_seconds_count", &[]), Some(2.0 * REQUESTS as f64));
        let supervised = page.value("tallyboard_attaches_total", &[]).is_some();
        assert_eq!(supervised, has_supervisor, "{page:?}");
        check_openmetrics(address);
        running.signal(Signal::SIGTERM);
        let ended = running.end();
        assert!(!ended.status.success(), "{ended:?}");
        until(|| get(address, "/").is_err().then_some(()));
    }
}
