//! The examples of servers that serve their own metrics: started, asked and ended; the dependency that
//! the page of the crate shows, and what a build without it says on another system.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tallyboard_tests::build;
use tallyboard_tests::read::http::{get, get_as};
use tallyboard_tests::read::page::Page;
use tallyboard_tests::start::child::{Running, Watchdog, until};
use tallyboard_tests::start::directory::Directory;

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

fn check_that_any_worker_shows_all(address: SocketAddr) {
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
}

#[test]
fn any_worker_of_the_preforking_server_on_hyper_serves_the_metrics_of_all() {
    let _watchdog = Watchdog::new("the example on hyper");
    let (running, address) = start(Command::new(build::example("hyper")).arg("127.0.0.1:0"));
    check_that_any_worker_shows_all(address);
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

#[test]
fn any_worker_of_the_prefork_example_serves_the_metrics_of_all() {
    let _watchdog = Watchdog::new("the example that preforks");
    let mut command = Command::new(build::tallyboard());
    command.args(["exec", "--web.listen-address", "none", "--"]);
    let (running, address) = start(command.arg(build::example("prefork")).arg("127.0.0.1:0"));
    check_that_any_worker_shows_all(address);
    running.signal(Signal::SIGTERM);
    let ended = running.end();
    assert!(!ended.status.success(), "{ended:?}");
    until(|| get(address, "/").is_err().then_some(()));
}

/// The features of the crate in a program that has the dependency of its page, built for a target;
/// `None` when the program does not have it.
fn features_on(target: &str) -> Option<Vec<String>> {
    let page = std::fs::read_to_string(build::root().join("src/client/src/lib.rs"));
    let page = page.expect("the page of the crate");
    let block = page.lines().skip_while(|line| *line != "//! ```toml").skip(1);
    let block =
        block.take_while(|line| *line != "//! ```").map(|line| line.trim_start_matches("//! "));
    let block: Vec<&str> = block.collect();
    let checkout = build::root().to_str().expect("a path of text");
    let dependencies = block.join("\n").replace("../tallyboard", checkout);
    let package =
        "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    let program = Directory::new("shop");
    let manifest = program.write("Cargo.toml", &format!("{package}{dependencies}\n"));
    std::fs::create_dir(program.file("src")).expect("a folder");
    program.write("src/main.rs", "fn main() {}\n");
    let lock = std::fs::read_to_string(build::root().join("Cargo.lock"));
    program.write("Cargo.lock", &lock.expect("a lock file"));
    let mut metadata = build::cargo();
    metadata.args(["metadata", "--offline", "--format-version", "1", "--filter-platform", target]);
    let output = metadata.arg("--manifest-path").arg(manifest).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let is_ours = |node: &&Value| node["id"].as_str().is_some_and(|id| id.contains("src/client#"));
    let node = metadata["resolve"]["nodes"].as_array().expect("nodes").iter().find(is_ours)?;
    let features = node["features"].as_array().expect("features").iter();
    Some(features.filter_map(|feature| feature.as_str().map(str::to_owned)).collect())
}

#[test]
fn the_dependency_that_the_crates_page_shows_is_one_on_linux_and_none_elsewhere() {
    let _watchdog = Watchdog::new("the dependency that the crate's page shows");
    let features = Some(vec!["push".to_owned(), "serve".to_owned()]);
    assert_eq!(features_on("x86_64-unknown-linux-gnu"), features);
    assert_eq!(features_on("aarch64-unknown-linux-gnu"), features);
    assert_eq!(features_on("x86_64-apple-darwin"), None);
    assert_eq!(features_on("x86_64-pc-windows-msvc"), None);
}

#[test]
fn a_build_for_another_system_is_one_error_that_says_what_to_do() {
    let _watchdog = Watchdog::new("a build for another system");
    let source = std::fs::read_to_string(build::root().join("src/segment/src/lib.rs"));
    let linux = "target_os = \"linux\"";
    let source = source.expect("the root of segment");
    assert!(source.contains(&format!("#[cfg({linux})]\npub mod ")), "{source}");
    // As the compiler of another system sees it: there these conditions do not hold.
    let condition = |line: &str| match line.starts_with("#[cfg(") {
        true => line.replace(linux, "target_os = \"redox\"") + "\n",
        false => line.to_owned() + "\n",
    };
    let elsewhere = Directory::new("elsewhere");
    let file = elsewhere.write("lib.rs", &source.lines().map(condition).collect::<String>());
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--out-dir"]);
    let output = rustc.arg(elsewhere.path()).arg(file).output().expect("rustc runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert_eq!(said.matches("error: ").count(), 2, "{said}");
    assert!(said.contains("error: expected a build for Linux, found another system"), "{said}");
    assert!(said.contains("aborting due to 1 previous error"), "{said}");
}
