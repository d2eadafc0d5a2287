//! Gateways that are down, slow, refusing, or none.

use std::net::SocketAddr;
use std::time::Duration;

use tallyboard::sample::{FamilySamples, Type};
use tallyboard_bridges::{PushError, Pushgateway, Receiver};
use tallyboard_tests::receive::stand_in::{Says, StandIn};
use tallyboard_tests::start::child::{Watchdog, free_address};
use tallyboard_tests::start::directory::Directory;

use crate::gateway::{Gateway, gauge, gauges, run};

/// Long enough for whoever answers at all.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(250);
const SECRET: &str = "v3ry/s3cret";

/// What pushing to this address comes to. The URL has credentials in it.
fn error(address: SocketAddr, limit: Duration) -> PushError {
    let url = format!("http://alice:v3ry%2Fs3cret@{address}");
    let receiver = Receiver::new(&url).expect("a URL").timeout(limit);
    let group = Pushgateway::at(receiver, "j").expect("a group");
    let error = group.blocking_push(&gauge("a", 1)).expect_err("nobody takes it");
    let endpoint = format!("http://{address}/metrics/job/j");
    assert!(error.to_string().contains(&endpoint), "{error}");
    has_no_secret(&format!("{error} {error:?}"));
    error
}

fn has_no_secret(text: &str) {
    for secret in [SECRET, "v3ry%2Fs3cret", "v3ry", "YWxpY2U6djNyeS9zM2NyZXQ"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// Servers that are no gateway, and what is said of each.
const FAULTS: &[(Says, &str)] = &[
    (Says::HangsUp, "gave no HTTP answer: "),
    (Says::Bytes(""), "gave no HTTP answer: "),
    (Says::Bytes("SSH-2.0-OpenSSH_9.2\r\n"), "gave no HTTP answer: "),
    (Says::Bytes("\0\u{7f}\u{1b}[31m"), "gave no HTTP answer: "),
    (Says::Bytes("HTTP/1.1 200 OK\r\n"), "gave no HTTP answer: "),
    (Says::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"), "gave no HTTP answer: "),
    (Says::Bytes("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), "gave no HTTP answer: "),
    (
        Says::Bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n"),
        "gave no HTTP answer: ",
    ),
    (Says::Bytes("HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"), "answered 999: "),
    (
        Says::Bytes("HTTP/1.1 500 No\r\ncontent-length: 14\r\n\r\na\x1b[31m\n\n b\0c\r\n"),
        "answered 500: a[31m bc",
    ),
    (Says::Bytes("HTTP/1.0 503 Later\r\n\r\n"), "answered 503: Service Unavailable"),
    (
        Says::Bytes("HTTP/1.1 307 There\r\nlocation: http://me:v3ry@gateway/x\r\n\r\n"),
        "answered 307: a redirect to http://gateway/x; give that address, or allow redirects",
    ),
    (Says::ForEver("HTTP/1.1 200 OK\r\n", "a: b\r\n"), "gave no HTTP answer: "),
    // What it repeats of the request is not shown.
    (
        Says::Bytes(
            "HTTP/1.0 401 No\r\n\r\nauthorization: Basic YWxpY2U6djNyeS9zM2NyZXQ= v3ry/s3cret",
        ),
        "answered 401: authorization: *** ***",
    ),
    // That it refuses is known, whatever becomes of its reasons.
    (
        Says::Bytes("HTTP/1.1 401 No\r\ncontent-length: 99\r\n\r\nwho are you?"),
        "answered 401: who are you?",
    ),
    (Says::Drips("HTTP/1.1 503 No\r\ncontent-length: 1000000\r\n\r\n", "a"), "answered 503: aaa"),
    (
        Says::ForEver("HTTP/1.1 500 No\r\ncontent-length: 100000000\r\n\r\n", "no "),
        "answered 500: no no no",
    ),
    (
        Says::ForEver(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "10\r\n0123456789abcdef\r\n",
        ),
        "length limit exceeded",
    ),
];

/// Servers that would be waited for for ever.
const SLOW: &[Says] = &[
    Says::Nothing,
    Says::Drips("HTTP/1.1 200 OK\r\n", "a"),
    Says::Drips("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", "a"),
    Says::Drips("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"),
];

#[test]
fn who_is_no_gateway_is_named_with_what_it_said() {
    let _watchdog = Watchdog::new("who_is_no_gateway_is_named_with_what_it_said");
    for (fault, expect) in FAULTS {
        let server = StandIn::always(fault.clone());
        let error = error(server.address(), LONG).to_string();
        assert!(error.contains(expect), "{fault:?}: {error}");
    }
    let nobody = error(free_address(), LONG).to_string();
    assert!(nobody.starts_with("cannot connect to http://127.0.0.1:"), "{nobody}");
    assert!(nobody.contains("Connection refused"), "{nobody}");
}

#[test]
fn who_refuses_before_everything_was_sent_is_heard() {
    let _watchdog = Watchdog::new("who_refuses_before_everything_was_sent_is_heard");
    let says = "HTTP/1.1 413 No\r\ncontent-length: 8\r\nconnection: close\r\n\r\ntoo much";
    let server = StandIn::always(Says::Interrupts(says));
    let mut large = gauge("a", 1);
    large[0].help = "x".repeat(11 << 20);
    for _ in 0..10 {
        let group = Pushgateway::new(&server.address().to_string(), "j").expect("a group");
        let error = group.blocking_push(&large).expect_err("nobody takes it").to_string();
        assert!(error.ends_with("answered 413: too much"), "{error}");
    }
}

#[test]
fn who_is_slow_is_given_up() {
    let _watchdog = Watchdog::new("who_is_slow_is_given_up");
    for fault in SLOW {
        let server = StandIn::always(fault.clone());
        let error = error(server.address(), SHORT).to_string();
        assert!(error.contains("/metrics/job/j gave no answer within 250ms"), "{fault:?}: {error}");
    }
    // One that has refused is heard, however slow its reasons are.
    let fault = Says::Drips("HTTP/1.1 400 No\r\ncontent-length: 1000000\r\n\r\n", "a");
    let server = StandIn::always(fault);
    let error = error(server.address(), SHORT).to_string();
    assert!(error.contains("answered 400: aaa"), "{error}");
}

#[test]
fn the_program_says_the_same_without_credentials() {
    let _watchdog = Watchdog::new("the_program_says_the_same_without_credentials");
    let directory = Directory::new("push-failures");
    let page = directory.write("page", "a 1\n");
    let password = directory.write("password", &format!("{SECRET}\n"));
    let text = |path: &std::path::Path| path.to_str().expect("a text").to_owned();
    let (page, password) = (text(&page), text(&password));
    let check = |address: SocketAddr, timeout: &str, expect: &str| {
        let push = |url: &str, more: &[&str]| {
            let line = ["--log.level", "debug", "push", url, "--job", "j", "--from", &page];
            let (status, said) = run(&[&line[..], &["--timeout", timeout], more].concat());
            assert_eq!(status, Some(1), "{said}");
            assert!(said.contains(expect) && said.contains(&address.to_string()), "{said}");
            has_no_secret(&said);
        };
        push(&format!("http://alice:v3ry%2Fs3cret@{address}"), &[]);
        push(&address.to_string(), &["--username", "alice", "--password-file", &password]);
    };
    for (fault, expect) in [&FAULTS[0], &FAULTS[3], &FAULTS[9], &FAULTS[11]] {
        let server = StandIn::always(fault.clone());
        check(server.address(), "1m", expect);
    }
    let server = StandIn::always(SLOW[0].clone());
    check(server.address(), "250ms", "gave no answer within 250ms");
    check(free_address(), "1m", "Connection refused");
    // What is no URL, and what a document cannot be got from.
    for line in [
        ["push", "http://alice:v3ry/s3cret@gateway", "--job=j", "--from", &page],
        ["push", "ftp://alice:v3ry%2Fs3cret@gateway", "--job=j", "--from", &page],
        ["push", "gateway", "--job=j", "--from", "http://alice:v3ry/s3cret@127.0.0.1:1/x"],
        ["push", "gateway", "--job=j", "--from", "http://alice:v3ry%2Fs3cret@127.0.0.1:1/x"],
    ] {
        let (status, said) = run(&line);
        assert_eq!(status, Some(1), "{said}");
        has_no_secret(&said);
    }
}

#[test]
fn what_a_gateway_refuses_is_an_error_with_its_answer_and_changes_nothing() {
    let _watchdog = Watchdog::new("what_a_gateway_refuses");
    let gateway = Gateway::start();
    for (job, family) in [("j", gauge("a", 1)), ("first", gauge("b", 1))] {
        gateway.group(job).blocking_push(&family).expect("it is taken");
    }
    // What is a gauge of another group is no counter of this one.
    for (job, name) in [("other", "a"), ("j", "b")] {
        let mut counter = FamilySamples::new(Type::Counter, name, "Another type.");
        counter.samples = gauge(name, 2)[0].samples.clone();
        let (families, expect) = ([counter], " is not a ");
        let group = gateway.group(job);
        for pushed in [group.blocking_push(&families), group.blocking_push_add(&families)] {
            let error = pushed.expect_err(expect);
            let text = error.to_string();
            let endpoint = format!("{group} answered 400: ");
            assert!(text.starts_with(&endpoint) && text.contains(expect), "{text}");
            assert_eq!(error.retry_after(), None);
        }
    }
    assert_eq!(gateway.pushed("j"), gauges(&[("a", 1)]));
}
