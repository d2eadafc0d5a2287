//! Receivers that are slow, gone, or none.

use std::net::{Ipv6Addr, TcpListener};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tallyboard_bridges::Graphite;
use tallyboard_bridges::graphite::GraphiteError;
use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
use tallyboard_tests::start::child::{Watchdog, until};

use crate::fake::{Fake, answer, hang_up, read_all};
use crate::snapshots::{INTERVAL, Numbered, gauge};

#[test]
fn a_listener_that_never_reads_has_not_taken_it() {
    let _watchdog = Watchdog::new("a_listener_that_never_reads_has_not_taken_it");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let graphite = Graphite::new(&address).expect("an address");
    let graphite = graphite.timeout(Duration::from_millis(200));
    let few = vec![gauge("a", 1.0, None)];
    // More than sockets hold.
    let sample = |number| {
        let label = vec![("l".to_owned(), format!("{number:x>15000}"))];
        Sample::new("", label, Value::Whole(1))
    };
    let mut family = FamilySamples::new(Type::Gauge, "many", "");
    family.samples = (0..4_000).map(sample).collect();
    let many = vec![family];
    for (families, expect) in [
        (&few, "did not end the connection behind the last line within 200ms"),
        (&many, "did not take all lines within 200ms"),
    ] {
        let error = graphite.blocking_push(families, "").expect_err("nobody reads");
        assert!(matches!(error, GraphiteError::Timeout { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(expect) && error.contains(&address), "{error}");
    }
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let _watchdog = Watchdog::new("what_waits_is_bounded_and_the_oldest_goes_first");
    let fake = Fake::new();
    const BUFFER: usize = 300;
    let graphite = fake.graphite().timeout(Duration::from_millis(100)).buffer(BUFFER);
    let numbered = Numbered::start(&graphite);
    let line = format!("numbered 99.0 {}\n", numbered.begin).len();
    let full = numbered.wait(|counts| {
        assert!(counts.waiting_bytes <= BUFFER + 2 * line, "{counts:?}");
        counts.dropped >= 20 && counts.failed >= 2
    });
    let error = full.error.clone().expect("why it waits");
    assert!(error.contains("did not end the connection"), "{error}");
    (0..10_000).for_each(|_| fake.next(read_all));
    numbered.wait(|counts| counts.sent >= 30);
    let taken = Arc::clone(&numbered.taken);
    let counts = numbered.started.stop().expect("what is left is taken");
    assert_eq!(counts.sent + counts.dropped, taken.load(Relaxed), "{counts:?}");
    assert_eq!(counts.sent_lines + counts.dropped_lines, taken.load(Relaxed));
    assert_eq!((counts.waiting, counts.waiting_bytes), (0, 0));
    // In order, and whole; what an attempt that was given up has left in its connection comes too.
    let mut numbers: Vec<f64> = Vec::new();
    let newest = taken.load(Relaxed) as f64 - 1.0;
    while numbers.last() != Some(&newest) {
        let text = fake.seen.recv().expect("it runs");
        assert!(text.is_empty() || (text.ends_with('\n') && text.lines().count() == 1), "{text:?}");
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = words[1].parse().expect("a number");
            assert_eq!(words[2].parse(), Ok(numbered.begin + number as i64));
            numbers.push(number);
        }
    }
    assert!(numbers.is_sorted(), "{numbers:?}");
    numbers.dedup();
    let different = numbers.len() as u64;
    assert!(
        (counts.sent..=counts.sent + counts.failed).contains(&different),
        "{counts:?} {numbers:?}"
    );
}

#[test]
fn one_that_hangs_up_at_once_has_not_taken_it() {
    let _watchdog = Watchdog::new("one_that_hangs_up_at_once_has_not_taken_it");
    let fake = Fake::new();
    let families = vec![gauge("a", 1.0, Some(7))];
    // Whether it hangs up before, between or behind is a matter of luck.
    for _ in 0..5_000 {
        fake.next(hang_up);
        let error = fake.graphite().blocking_push(&families, "").expect_err("nobody reads");
        let error = error.to_string();
        let expect = format!("Graphite at {} broke the connection: ", fake.address);
        assert!(error.starts_with(&expect), "{error}");
    }
    fake.next(read_all);
    fake.graphite().blocking_push(&families, "p").expect("it reads");
    assert_eq!(fake.seen.iter().nth(5_000).as_deref(), Some("p.a 1.0 7\n"));
}

#[test]
fn one_that_answers_is_no_graphite() {
    let _watchdog = Watchdog::new("one_that_answers_is_no_graphite");
    let fake = Fake::new();
    fake.next(answer);
    let error = fake.graphite().blocking_push(&[gauge("a", 1.0, None)], "");
    let error = error.expect_err("it is no Graphite").to_string();
    let expect = "found one that said \"HTTP/1.1 400 Bad Request\"";
    assert!(error.contains(expect) && error.contains(&fake.address.to_string()), "{error}");
    assert!(error.contains("plaintext"), "{error}");
}

#[test]
fn a_receiver_has_a_name_or_an_address_of_either_kind() {
    let _watchdog = Watchdog::new("a_receiver_has_a_name_or_an_address_of_either_kind");
    let families = vec![gauge("a", 0.5, Some(8))];
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("IPv6 on loopback");
    let port = listener.local_addr().expect("an address").port();
    let reader = thread::spawn(move || read_all(listener.accept().expect("a connection").0));
    let graphite = Graphite::new(&format!("[::1]:{port}")).expect("an address");
    graphite.blocking_push(&families, "").expect("it reads");
    assert_eq!(reader.join().expect("it reads"), "a 0.5 8\n");

    let fake = Fake::new();
    let graphite = Graphite::new(&format!("localhost:{}", fake.address.port()));
    let graphite = graphite.expect("an address");
    fake.next(read_all);
    graphite.blocking_push(&families, "").expect("it reads");

    let nowhere = Graphite::new("no-such-host.invalid:2003").expect("an address");
    let error = nowhere.blocking_push(&families, "").expect_err("nobody has that name");
    assert!(
        matches!(error, GraphiteError::Connect { .. } | GraphiteError::Timeout { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("no-such-host.invalid:2003"), "{error}");
}

#[test]
fn a_runtime_awaits_what_others_wait_for() {
    let _watchdog = Watchdog::new("a_runtime_awaits_what_others_wait_for");
    let fake = Fake::new();
    let families = vec![gauge("a", 1.0, Some(9))];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        fake.next(read_all);
        fake.graphite().push(&families, "async").await.expect("it reads");
        let refused = fake.graphite().blocking_push(&families, "").expect_err("a runtime");
        assert!(matches!(refused, GraphiteError::Blocking(_)), "{refused}");
        let source = {
            let families = families.clone();
            move || Ok::<_, String>(families.clone())
        };
        let regular = fake.graphite().regular(Duration::from_secs(3600), "regular", source);
        let regular = regular.expect("a prefix and an interval");
        let status = regular.status();
        (0..2).for_each(|_| fake.next(read_all));
        let stop = async {
            while status.counts().sent == 0 {
                tokio::task::yield_now().await;
            }
        };
        regular.run(stop).await.expect("it reads");
        assert_eq!(status.counts().sent, 2);
    });
    let seen: Vec<String> = fake.seen.iter().take(3).collect();
    let expect = ["async", "regular", "regular"].map(|p| format!("{p}.a 1.0 9\n"));
    assert_eq!(seen, expect);
}

#[test]
fn a_source_that_fails_is_asked_again_and_what_was_taken_is_sent() {
    let _watchdog = Watchdog::new("a_source_that_fails_is_asked_again_and_what_was_taken_is_sent");
    let fake = Fake::new();
    let asked = Arc::new(Mutex::new(0));
    let source = {
        let asked = Arc::clone(&asked);
        move || {
            let mut asked = asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *asked += 1;
            match *asked {
                1 => Err("not yet"),
                2 => panic!("a source of a test"),
                asked => Ok(vec![gauge("a", f64::from(asked), Some(asked.into()))]),
            }
        }
    };
    let started = fake.graphite().start(INTERVAL, "", source).expect("a thread");
    assert_eq!(fake.times(1, read_all), ["a 3.0 3\n"]);
    let status = started.status();
    until(|| (status.counts().sent == 1).then_some(()));
    assert_eq!(status.counts().missed, 2);
    (0..1000).for_each(|_| fake.next(read_all));
    started.stop().expect("it reads");

    let none = || Err::<Vec<FamilySamples>, _>("no supervisor");
    let started = fake.graphite().start(INTERVAL, "", none).expect("a thread");
    until(|| (started.status().counts().missed > 2).then_some(()));
    let error = started.stop().expect_err("there is nothing").to_string();
    assert!(error.contains("no supervisor") && error.contains("snapshot"), "{error}");
}
