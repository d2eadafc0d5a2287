//! The program in an interval.

use std::process::Command;

use nix::sys::signal::Signal;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::receive::stand_in::{Says, StandIn};
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};
use tallyboard_tests::start::directory::Directory;

use crate::gateway::{Gateway, gauges};

/// The program pushing a file, with its log on its standard output.
fn pushing(url: &str, file: &str, more: &[&str]) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(tallyboard());
    command.args(["push", url, "--job", "j", "--from", file]).args(more);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLYBOARD")) {
        command.env_remove(name);
    }
    Running::start(&mut command)
}

#[test]
fn a_gateway_that_goes_and_comes_is_pushed_to_again() {
    let _watchdog = Watchdog::new("a_gateway_that_goes_and_comes_is_pushed_to_again");
    let directory = Directory::new("push-interval");
    let page = directory.write("page", "a 1\n");
    let address = free_address();
    let url = format!("http://alice:s3cret@{address}");
    let file = page.to_str().expect("a text");
    let mut program = pushing(&url, file, &["--interval", "20ms"]);
    let refused =
        |line: &str| line.contains("not sent; tries again in") && line.contains("refused");
    program.line(refused);
    for value in 2..4 {
        directory.write("page", &format!("a {value}\n"));
        let gateway = Gateway::on(address).expect("nobody takes its port");
        until(|| (gateway.pushed("j") == gauges(&[("a", value)])).then_some(()));
        program.line(|line| line.contains("sent, and goes on every 20ms"));
        drop(gateway);
        program.line(refused);
    }
    // Nobody is there at the end.
    program.signal(Signal::SIGTERM);
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.contains("sends a last time"), "{ended:?}");
    assert!(ended.stdout.contains("tallyboard: cannot connect to http://127.0.0.1:"), "{ended:?}");
    assert!(!ended.stdout.contains("s3cret"), "{ended:?}");
}

#[test]
fn what_came_since_is_pushed_at_the_end() {
    let _watchdog = Watchdog::new("what_came_since_is_pushed_at_the_end");
    let directory = Directory::new("push-end");
    let gateway = Gateway::start();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let page = directory.write("page", "a 1\n");
        let file = page.to_str().expect("a text");
        let url = gateway.address.to_string();
        let mut program = pushing(&url, file, &["--interval", "1d", "--gzip"]);
        program.line(|line| line.contains("sent, and goes on every"));
        assert_eq!(gateway.pushed("j"), gauges(&[("a", 1)]));
        directory.write("page", "a 2\n");
        program.signal(signal);
        let ended = program.end();
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(gateway.pushed("j"), gauges(&[("a", 2)]));
    }
}

#[test]
fn a_gateway_that_never_answers_does_not_hold_up_the_end() {
    let _watchdog = Watchdog::new("a_gateway_that_never_answers_does_not_hold_up_the_end");
    let directory = Directory::new("push-silent");
    let page = directory.write("page", "a 1\n");
    let file = page.to_str().expect("a text");
    let server = StandIn::always(Says::Nothing);
    let url = server.address().to_string();
    let mut program = pushing(&url, file, &["--interval", "10ms", "--timeout", "200ms"]);
    program.line(|line| line.contains("gave no answer within 200ms"));
    program.signal(Signal::SIGTERM);
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");

    // Nor does one that is waited for for ever, when somebody says so twice.
    let asked = || server.seen().len();
    let before = asked();
    let program = pushing(&url, file, &["--interval", "10ms", "--timeout", "1d"]);
    until(|| (asked() == before + 1).then_some(()));
    program.signal(Signal::SIGTERM);
    until(|| (asked() == before + 2).then_some(()));
    program.signal(Signal::SIGTERM);
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.contains("a second signal came"), "{ended:?}");
}
