//! The program `tallyboard graphite`.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::{Running, Watchdog, until};
use tallyboard_tests::start::directory::Directory;
use tallyboard_tests::start::program::program;

use crate::carbon::{Carbon, now};
use crate::fake::{Fake, hang_up, read_all};

/// `tallyboard graphite` with these words, without variables of whoever runs the tests.
fn command(words: &[&str]) -> Command {
    program(&[&["graphite"], words].concat())
}

/// A document, and what it is written as.
fn document(directory: &Directory) -> PathBuf {
    let page =
        "# TYPE a_total counter\na_total{b=\"c.d\"} 3\n# TYPE g gauge\ng NaN 7000\ng 2.5 8000\n";
    directory.write("page.prom", page)
}

#[test]
fn the_program_sends_a_document_once_and_says_when_it_cannot() {
    let _watchdog = Watchdog::new("the_program_sends_a_document_once_and_says_when_it_cannot");
    let directory = Directory::new("graphite-once");
    let fake = Fake::new();
    let file = document(&directory);
    let (address, file) = (fake.address.to_string(), file.display().to_string());
    let words = [&*address, "--from", &*file];
    fake.next(read_all);
    let ended = Running::start(&mut command(&words)).end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("1 are not a number"), "{ended:?}");
    let seen = fake.seen.recv().expect("it runs");
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("a_total.b.c_d 3.0 "), "{seen}");
    assert_eq!(lines[1], "g 2.5 8");

    fake.next(read_all);
    let mut with_variables = command(&words);
    with_variables.env("TALLYBOARD_PREFIX", "p.q").env("TALLYBOARD_TAGS", "yes");
    with_variables.env("TALLYBOARD_METRIC", "a_total");
    let ended = Running::start(&mut with_variables).end();
    assert!(ended.status.success(), "{ended:?}");
    let seen = fake.seen.recv().expect("it runs");
    assert!(seen.starts_with("p.q.a_total;b=c_d 3.0 ") && seen.lines().count() == 1, "{seen}");

    fake.next(hang_up);
    for (words, expect) in [
        (&words[..], format!("Graphite at {address} broke the connection: ")),
        (&[&*address, "--from", "no/such/file"], "cannot read no/such/file".to_owned()),
        (&[&*address, "--from", &*file, "--prefix", "a b"], "without blanks".to_owned()),
        (&[&*address, "--from", "-", "--interval", "1s"], "again and again".to_owned()),
    ] {
        let ended = Running::start(&mut command(words)).end();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&expect), "{words:?}: {ended:?}");
    }
    for (words, expect) in [
        (&["graphite"][..], "it has no port"),
        (&["g:2003", "--interval", "15"], "for example 15s"),
        (&["g:2003", "--timeout", "0s"], "for example 15s"),
        (&[], "HOST:PORT"),
    ] {
        let ended = Running::start(&mut command(words)).end();
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.contains(expect), "{words:?}: {ended:?}");
    }
}

#[test]
fn the_program_says_once_that_it_cannot_send_and_once_that_it_can_again() {
    let _watchdog =
        Watchdog::new("the_program_says_once_that_it_cannot_send_and_once_that_it_can_again");
    let directory = Directory::new("graphite-log");
    let fake = Fake::new();
    let file = document(&directory);
    let words = [&*fake.address.to_string(), "--interval", "50ms", "--from"].map(str::to_owned);
    let mut command = command(&words.each_ref().map(String::as_str));
    let running = Running::start(command.arg(&file));
    for _ in 0..2 {
        fake.times(3, hang_up);
        fake.times(3, read_all);
    }
    // What became of them is sent with those that follow.
    let own = |text: &str| {
        let value = |name: &str| {
            let name = format!("tallyboard_export_{name}.target.graphite ");
            let line = text.lines().find_map(|line| line.strip_prefix(&*name))?;
            line.split(' ').next()?.parse::<f64>().ok()
        };
        let failed = value("requests_failed_total").filter(|failed| *failed == 6.0)?;
        let all = [value("samples_failed_total")?, value("requests_total")? - failed];
        (all.iter().all(|count| *count >= 6.0) && value("lag_seconds")? == 0.0).then_some(())
    };
    until(|| own(&fake.times(1, read_all)[0]));
    (0..1000).for_each(|_| fake.next(read_all));
    running.signal(Signal::SIGTERM);
    let ended = running.end();
    assert!(ended.status.success(), "{ended:?}");
    for (line, times) in [
        ("snapshots wait until they can be sent", 2),
        ("snapshots are sent again", 2),
        ("samples are left out", 1),
    ] {
        assert_eq!(ended.stderr.matches(line).count(), times, "{line}: {}", ended.stderr);
    }

    // One that cannot send what is left does not end well.
    let words = words.each_ref().map(String::as_str);
    let running = Running::start(self::command(&words[..]).arg(&file));
    drop(fake);
    until(|| TcpStream::connect(words[0]).err());
    running.signal(Signal::SIGINT);
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("tallyboard: cannot connect to Graphite at"), "{ended:?}");
}

/// A worker of an arena that has counted so often, and lives on.
fn worker(address: &str, times: &str) -> Running {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
    let mut worker = Running::start(worker.arg(times).env("TALLYBOARD", address));
    worker.line(|line| line.starts_with("worker ") && line.contains(" slot "));
    worker
}

#[test]
fn what_workers_have_counted_is_in_whisper_and_at_the_end_all_of_it() {
    let _watchdog =
        Watchdog::new("what_workers_have_counted_is_in_whisper_and_at_the_end_all_of_it");
    let mut carbon = Carbon::new("arena");
    carbon.start();
    let served = Served::start("graphite", &[]);
    let address = served.control.to_string();
    let first = worker(&address, "1000");

    let begin = now();
    let line = carbon.address.to_string();
    let words = [&*line, "--control", &address, "--prefix", "shop", "--interval", "1h"];
    let running = Running::start(&mut command(&words));
    let path = "shop.app_done_total.by.worker";
    let within = || (begin - 1, now());
    until(|| {
        let newest = carbon.points(path, within()).pop_last()?;
        assert_eq!(newest.1, 1000.0);
        Some(())
    });
    carbon.expect("shop.app_seconds_bucket.le.0_5", within(), 1000.0);
    carbon.expect("shop.app_seconds_sum", within(), 500.0);
    // A worker that is gone, and one that is there, before the next interval.
    drop(first);
    let second = worker(&address, "234");
    running.signal(Signal::SIGTERM);
    let ended = running.end();
    assert!(ended.status.success(), "{ended:?}");
    carbon.expect(path, within(), 1234.0);
    carbon.expect("shop.app_seconds_count", within(), 1234.0);
    drop(second);
    assert!(served.stop().status.success());
}
