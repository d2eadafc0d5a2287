//! What was pushed, or is sent in an interval, is what whisper has.

use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nix::sys::signal::Signal;
use tallyboard_bridges::graphite::Lines;
use tallyboard_exposition::sample::{FamilySamples, Sample, Timestamp, Type, Value};
use tallyboard_tests::receive::programs::program;
use tallyboard_tests::start::child::{Watchdog, until};

use crate::carbon::{Carbon, now};
use crate::snapshots::{Numbered, registry};

#[test]
fn what_was_pushed_is_what_whisper_has() {
    let _watchdog = Watchdog::new("what_was_pushed_is_what_whisper_has");
    let mut carbon = Carbon::new("pushed");
    carbon.start();
    let families = registry().gather();
    for (tags, prefix) in [(false, "servers.web-1"), (true, "t")] {
        let begin = now();
        let graphite = carbon.graphite().tags(tags);
        let pushed = graphite.blocking_push(&families, prefix).expect("carbon takes it");
        let within = (begin - 1, now());
        assert_eq!((pushed.left_out.not_a_number, pushed.left_out.total()), (1, 1));
        let lines = Lines::of(&families, prefix, tags, Timestamp { seconds: begin, nanos: 0 });
        assert_eq!(pushed.lines, lines.count);
        assert!(lines.count > 18, "{lines:?}");
        for line in lines.text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let (path, value) = (words[0], words[1].parse::<f64>().expect("a number"));
            match value.is_infinite() {
                false => carbon.expect(path, within, value),
                // JSON has no word for it.
                true => {
                    until(|| {
                        let fetch = Command::new(program("whisper-fetch", "python3-whisper"))
                            .args(["--drop=nulls", &format!("--from={}", within.0)])
                            .args([&format!("--until={}", within.1)])
                            .arg(carbon.file(path))
                            .output();
                        let found = fetch.expect("whisper-fetch runs").stdout;
                        String::from_utf8_lossy(&found).contains("\tinf\n").then_some(())
                    });
                }
            }
        }
        assert!(!carbon.file(&format!("{prefix}.none")).exists());
    }
}

#[test]
fn series_that_differ_in_a_tag_called_name_are_not_made_one() {
    let _watchdog = Watchdog::new("series_that_differ_in_a_tag_called_name_are_not_made_one");
    let mut carbon = Carbon::new("name");
    carbon.start();
    let mut family = FamilySamples::new(Type::Gauge, "level", "");
    for (name, empty, value) in [("a", "", 1), ("b", "", 2)] {
        let labels = [("name", name), ("empty", empty)];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        family.samples.push(Sample::new("", labels.to_vec(), Value::Whole(value)));
    }
    let begin = now();
    carbon.graphite().tags(true).blocking_push(&[family], "").expect("carbon takes it");
    let within = (begin - 1, now());
    carbon.expect("level;name_=a", within, 1.0);
    carbon.expect("level;name_=b", within, 2.0);
}

#[test]
fn what_has_one_name_in_graphite_is_there_once() {
    let _watchdog = Watchdog::new("what_has_one_name_in_graphite_is_there_once");
    let mut carbon = Carbon::new("alike");
    carbon.start();
    let family = |kind, name, suffix: &'static str, label: &str, value| {
        let labels = vec![(label.to_owned(), "\u{fc}".to_owned())];
        let samples = vec![Sample::new(suffix, labels, Value::Whole(value))];
        FamilySamples { samples, ..FamilySamples::new(kind, name, "") }
    };
    let families = [
        family(Type::Counter, "http.requests", "_total", "http.route", 1),
        family(Type::Counter, "http_requests", "_total", "http_route", 2),
        family(Type::Gauge, "temp\u{e9}rature", "", "a b", 21),
        family(Type::Gauge, "temp_rature", "", "a_b", 7),
    ];
    for (tags, total, gauge) in [
        (false, "http_requests_total.http_route._", "temp_rature.a_b._"),
        (true, "http_requests_total;http_route=_", "temp_rature;a_b=_"),
    ] {
        let begin = now();
        let graphite = carbon.graphite().tags(tags);
        let pushed = graphite.blocking_push(&families, "").expect("carbon takes it");
        assert_eq!((pushed.lines, pushed.left_out.same_name, pushed.left_out.total()), (2, 1, 1));
        let within = (begin - 1, now());
        carbon.expect(total, within, 3.0);
        carbon.expect(gauge, within, 7.0);
    }
}

#[test]
fn nothing_is_lost_over_a_restart_but_what_carbon_itself_loses() {
    let _watchdog = Watchdog::new("nothing_is_lost_over_a_restart_but_what_carbon_itself_loses");
    let mut carbon = Carbon::new("restart");
    carbon.start();
    let numbered = Numbered::start(&carbon.graphite().timeout(Duration::from_secs(10)));
    let mut had = 0;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        // Some are on disk, whatever comes.
        until(|| (numbered.stored(&carbon).len() > had + 3).then_some(()));
        let safe = numbered.stored(&carbon);
        carbon.end(signal);
        let sent = numbered.counts().sent;
        let waiting = numbered.wait(|counts| counts.waiting > 5).waiting;
        carbon.start();
        // What waited is sent, and so is what came since.
        numbered.wait(|counts| counts.sent > sent + waiting as u64 && counts.waiting <= 1);
        let upto = numbered.counts().sent;
        let missing = until(|| {
            let stored = numbered.stored(&carbon);
            let has = |n: &u64| stored.binary_search(n).is_ok();
            // What carbon had not written when it ended is gone with it.
            let wanted = safe.iter().copied().chain(sent..upto);
            let missing: Vec<u64> = wanted.filter(|n| !has(n)).collect();
            missing.is_empty().then(|| (0..upto).filter(|n| !has(n)).count())
        });
        println!("{signal}: {upto} sent, of which carbon has lost {missing} of those it had read");
        had = numbered.stored(&carbon).len();
    }
    let counts = numbered.started.stop().expect("carbon takes the last one");
    assert!(counts.failed >= 2, "{counts:?}");
    assert_eq!((counts.dropped, counts.missed, counts.waiting, counts.waiting_bytes), (0, 0, 0, 0));
    assert_eq!((counts.sent, counts.error), (numbered.taken.load(Relaxed), None));
}

#[test]
fn what_was_taken_before_carbon_was_there_is_sent_when_it_is() {
    let _watchdog = Watchdog::new("what_was_taken_before_carbon_was_there_is_sent_when_it_is");
    let mut carbon = Carbon::new("late");
    let numbered = Numbered::start(&carbon.graphite());
    let counts = numbered.wait(|counts| counts.failed >= 2 && counts.waiting >= 5);
    let error = counts.error.expect("why it waits");
    let expect = format!("cannot connect to Graphite at {}: Connection refused", carbon.address);
    assert!(error.contains(&expect), "{error}");
    carbon.start();
    numbered.wait(|counts| counts.sent >= 6);
    let counts = numbered.started.status();
    let Numbered { begin, taken, started } = numbered;
    started.stop().expect("carbon takes what is left");
    let taken = taken.load(Relaxed);
    assert_eq!((counts.counts().sent, counts.counts().waiting), (taken, 0));
    until(|| {
        let points = carbon.points("numbered", (begin - 1, begin + taken as i64));
        (points.len() as u64 == taken).then_some(())
    });
}
