//! The loop of an export, with a receiver that answers as it is told and a clock that stands still
//! until everybody waits.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tallyboard_bridges::SendError;
use tallyboard_bridges::export::figures::Figures;
use tallyboard_bridges::export::{Batch, Outcome, Parted, Source, Target, run};
use tallyboard_exposition::sample::{FamilySamples, Type};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// Snapshots that are numbered: the family of each is called by its number.
struct Numbered(u64);

impl Source for Numbered {
    async fn snapshot(&mut self) -> Option<Arc<Vec<FamilySamples>>> {
        self.0 += 1;
        Some(Arc::new(vec![FamilySamples::new(Type::Gauge, &self.0.to_string(), "A number.")]))
    }
}

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug)]
enum Does {
    Take,
    LeaveOut(u64),
    Fail(Option<u64>),
    Doubt,
    Refuse,
    WantOther,
    Sleep(u64),
    /// Take all but so many of the metric `bad`, in so many requests.
    Part(u64, u64),
    /// Take all but so many, which it may take later.
    Leave(u64),
}

/// Takes what comes, when it has done all that it was told to do. A snapshot becomes two requests.
struct Scripted<const MOST: usize> {
    script: RefCell<VecDeque<Does>>,
    /// Bodies in the order in which they came, and when.
    seen: RefCell<Vec<(String, Duration)>>,
    moments: RefCell<Vec<i64>>,
    begun: Instant,
    enough: usize,
    is_enough: Notify,
}

impl<const MOST: usize> Scripted<MOST> {
    /// One that wants so many requests.
    fn new(script: &[Does], enough: usize) -> Self {
        Self {
            script: RefCell::new(script.iter().copied().collect()),
            seen: RefCell::default(),
            moments: RefCell::default(),
            begun: Instant::now(),
            enough,
            is_enough: Notify::new(),
        }
    }

    fn bodies(&self) -> Vec<String> {
        self.seen.borrow().iter().map(|(body, _)| body.clone()).collect()
    }

    fn seconds(&self) -> Vec<f64> {
        self.seen.borrow().iter().map(|(_, at)| at.as_secs_f64()).collect()
    }
}

fn refused(status: u16, after: Option<u64>) -> SendError {
    SendError::Refused {
        receiver: "a receiver".to_owned(),
        status,
        said: "no".to_owned(),
        retry_after: after.map(Duration::from_secs),
    }
}

impl<const MOST: usize> Target for Scripted<MOST> {
    const KIND: &'static str = "scripted";
    const MOST_SNAPSHOTS: usize = MOST;

    fn encode(&self, families: &[FamilySamples], at_ms: i64) -> Vec<Batch> {
        self.moments.borrow_mut().push(at_ms);
        let body = |part| Bytes::from(format!("{}{part}", families[0].name));
        ["a", "b"].map(|part| Batch { body: body(part), samples: 10, is_optional: false }).into()
    }

    async fn send(&self, batch: &Batch) -> Outcome {
        let body = String::from_utf8(batch.body.to_vec()).expect("a text");
        self.seen.borrow_mut().push((body, self.begun.elapsed()));
        if self.seen.borrow().len() == self.enough {
            self.is_enough.notify_one();
        }
        let does = self.script.borrow_mut().pop_front().unwrap_or(Does::Take);
        match does {
            Does::Take => Outcome::Taken { left_out: 0, said: None },
            Does::LeaveOut(left_out) => Outcome::Taken { left_out, said: Some("some".to_owned()) },
            Does::Fail(after) => Outcome::Later(refused(503, after)),
            Does::Doubt => Outcome::Doubtful(refused(500, None)),
            Does::Refuse => Outcome::Never(refused(400, None)),
            Does::WantOther => Outcome::Anew(refused(415, None)),
            Does::Part(given_up, requests) => Outcome::Parted(Box::new(Parted {
                taken: batch.samples - given_up,
                given_up: BTreeMap::from([("bad".to_owned(), given_up)]),
                requests,
                requests_failed: requests - 1,
                ..Parted::new(refused(400, None))
            })),
            Does::Leave(samples) => Outcome::Parted(Box::new(Parted {
                taken: batch.samples - samples,
                requests: 4,
                requests_failed: 2,
                rest: Some((Batch { samples, ..batch.clone() }, refused(503, None))),
                ..Parted::new(refused(400, None))
            })),
            Does::Sleep(seconds) => {
                sleep(Duration::from_secs(seconds)).await;
                Outcome::Taken { left_out: 0, said: None }
            }
        }
    }
}

/// Runs an export each second until the receiver has had enough, and gives what it has counted.
async fn export<const MOST: usize>(target: &Scripted<MOST>, every: Duration) -> Figures {
    let figures = Figures::new("scripted");
    let stopped = target.is_enough.notified();
    run(Numbered(0), target, every, &figures, (stopped, SECOND)).await;
    figures
}

fn value(figures: &Figures, name: &str) -> f64 {
    let name = format!("tallyboard_export_{name}");
    let families = figures.families();
    let family = families.iter().find(|family| family.name == name);
    family.expect("a family").samples[0].value.as_f64()
}

#[tokio::test(start_paused = true)]
async fn snapshots_are_sent_at_once_and_then_at_every_interval_and_once_more_at_the_end() {
    let target = Scripted::<1>::new(&[], 6);
    let figures = export(&target, 15 * SECOND).await;
    assert_eq!(target.bodies(), ["1a", "1b", "2a", "2b", "3a", "3b", "4a", "4b"]);
    let seconds = target.seconds();
    assert!(seconds[1] < 1.0 && (seconds[3] - 15.0).abs() < 1.0 && (seconds[5] - 30.0).abs() < 1.0);
    assert_eq!((value(&figures, "samples_sent"), value(&figures, "requests")), (80.0, 8.0));
    assert_eq!((value(&figures, "queue_bytes"), value(&figures, "lag_seconds")), (0.0, 0.0));
    // Many of them were taken in one millisecond of the real clock.
    assert!(target.moments.borrow().is_sorted_by(|a, b| a < b));
}

#[tokio::test(start_paused = true)]
async fn of_what_waits_the_newest_takes_the_place_of_the_others() {
    let target = Scripted::<1>::new(&[Does::Fail(None); 6], 8);
    let figures = export(&target, SECOND).await;
    let bodies = target.bodies();
    let (failed, taken) = bodies.split_at(6);
    // Numbers rise while the receiver fails, and none is left out at the end.
    assert!(failed.iter().all(|body| body.ends_with('a')), "{bodies:?}");
    assert!(taken[0].ends_with('a') && taken[1] == taken[0].replace('a', "b"), "{bodies:?}");
    assert!(taken[0].trim_end_matches('a').parse::<u64>().expect("a number") > 5, "{bodies:?}");
    let (sent, dropped) = (value(&figures, "samples_sent"), value(&figures, "samples_dropped"));
    assert_eq!(sent + dropped, 20.0 * target.moments.borrow().len() as f64);
    assert_eq!(value(&figures, "requests_failed"), 6.0);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_what_is_sent_again_is_the_same() {
    let target = Scripted::<40>::new(&[Does::Fail(None); 4], 6);
    let figures = export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies()[..6], ["1a", "1a", "1a", "1a", "1a", "1b"]);
    let seconds = target.seconds();
    let pauses: Vec<f64> = seconds.windows(2).map(|two| two[1] - two[0]).collect();
    for (pause, longest) in pauses.iter().zip([0.5, 1.0, 2.0, 4.0]) {
        assert!((longest / 2.0..longest + 0.01).contains(pause), "{pauses:?}");
    }
    assert_eq!((value(&figures, "samples_dropped"), value(&figures, "samples_failed")), (0.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn as_many_snapshots_are_kept_as_there_is_room_for_and_they_are_sent_in_order() {
    let target = Scripted::<3>::new(&[Does::Fail(Some(10))], 7);
    let figures = export(&target, SECOND).await;
    let bodies = target.bodies();
    assert_eq!(bodies[0], "1a");
    let numbers: Vec<u64> =
        bodies[1..].iter().filter_map(|b| b[..b.len() - 1].parse().ok()).collect();
    assert!(numbers.is_sorted() && numbers[0] > 5, "{bodies:?}");
    assert_eq!(numbers[..6], [0, 0, 1, 1, 2, 2].map(|behind| numbers[0] + behind));
    assert!(value(&figures, "samples_dropped") > 100.0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_says_when_is_not_asked_before() {
    let target = Scripted::<1>::new(&[Does::Fail(Some(120)), Does::Fail(Some(3600))], 3);
    export(&target, 3600 * SECOND).await;
    let seconds = target.seconds();
    assert!(seconds[1] - seconds[0] >= 120.0 && seconds[1] - seconds[0] < 121.0, "{seconds:?}");
    // But an hour is nobody's pause.
    assert!(seconds[2] - seconds[1] >= 300.0 && seconds[2] - seconds[1] < 301.0, "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_counted_and_not_sent_again() {
    let target = Scripted::<40>::new(&[Does::Refuse, Does::LeaveOut(3)], 2);
    let figures = export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies(), ["1a", "1b", "2a", "2b"]);
    assert_eq!((value(&figures, "samples_failed"), value(&figures, "samples_sent")), (13.0, 27.0));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_of_a_request_is_counted_by_metric_and_the_rest_is_sent() {
    let target = Scripted::<40>::new(&[Does::Part(3, 7), Does::Take, Does::Part(1, 2)], 2);
    let figures = export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies(), ["1a", "1b", "2a", "2b"]);
    assert_eq!((value(&figures, "samples_failed"), value(&figures, "samples_sent")), (4.0, 36.0));
    assert_eq!(value(&figures, "samples_given_up"), 4.0);
    assert_eq!((value(&figures, "requests"), value(&figures, "requests_failed")), (11.0, 7.0));
    assert_eq!(value(&figures, "lag_seconds"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_request_is_sent_after_a_pause() {
    let target = Scripted::<40>::new(&[Does::Leave(4), Does::Leave(2)], 4);
    let figures = export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies()[..4], ["1a", "1a", "1a", "1b"]);
    let seconds = target.seconds();
    assert!(seconds[1] - seconds[0] >= 0.25 && seconds[2] - seconds[1] >= 0.5, "{seconds:?}");
    assert_eq!((value(&figures, "samples_failed"), value(&figures, "samples_sent")), (0.0, 40.0));
    assert_eq!(value(&figures, "requests"), 4.0 + 4.0 + 1.0 + 3.0);
}

#[tokio::test(start_paused = true)]
async fn what_may_never_be_taken_is_given_up_after_a_few_times() {
    let target = Scripted::<40>::new(&[Does::Doubt; 5], 6);
    let figures = export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies()[..6], ["1a", "1a", "1a", "1a", "1a", "1b"]);
    assert_eq!(
        (value(&figures, "samples_failed"), value(&figures, "samples_dropped")),
        (10.0, 0.0)
    );
    // Those that nobody could answer say nothing of it.
    let (fail, doubt) = (Does::Fail(None), Does::Doubt);
    let target = Scripted::<40>::new(&[fail, fail, fail, fail, doubt, fail, doubt], 8);
    let figures = export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies()[..8], ["1a", "1a", "1a", "1a", "1a", "1a", "1a", "1a"]);
    assert_eq!(value(&figures, "samples_failed"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_wants_another_form_gets_a_new_snapshot_at_once() {
    let target = Scripted::<40>::new(&[Does::WantOther], 3);
    let figures = export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies()[..3], ["1a", "2a", "2b"]);
    assert!(target.seconds()[2] < 1.0);
    assert_eq!(value(&figures, "samples_dropped"), 20.0);
}

#[tokio::test(start_paused = true)]
async fn one_that_wants_it_at_the_end_gets_a_last_snapshot_all_the_same() {
    let target = Scripted::<40>::new(&[Does::Take, Does::Take, Does::WantOther], 2);
    export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies(), ["1a", "1b", "2a", "3a", "3b"]);
    let target =
        Scripted::<40>::new(&[Does::Take, Does::Take, Does::WantOther, Does::WantOther], 2);
    export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies(), ["1a", "1b", "2a", "3a"]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_everything_falls_behind() {
    let target = Scripted::<1>::new(&[Does::Refuse, Does::LeaveOut(10), Does::Refuse], 3);
    let figures = export(&target, 15 * SECOND).await;
    assert_eq!(target.bodies()[..4], ["1a", "1b", "2a", "2b"]);
    assert_eq!(value(&figures, "requests_failed"), 3.0);
    // The last one was taken.
    assert_eq!(value(&figures, "lag_seconds"), 0.0);
    let target =
        Scripted::<1>::new(&[Does::Refuse, Does::LeaveOut(10), Does::Refuse, Does::Refuse], 0);
    let figures = Figures::new("scripted");
    run(One(true), &target, SECOND, &figures, (pending(), SECOND)).await;
    assert_eq!(value(&figures, "last_success_timestamp_seconds"), 0.0);
    std::thread::sleep(Duration::from_millis(2));
    assert!(value(&figures, "lag_seconds") > 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_which_the_rest_is_never_taken_does_not_stand_in_the_way_for_ever() {
    let target = Scripted::<1>::new(&[&[Does::Take][..], &[Does::Fail(Some(15)); 20]].concat(), 22);
    export(&target, 15 * SECOND).await;
    let bodies = target.bodies();
    let first = bodies.iter().filter(|body| *body == "1b").count();
    assert!((7..=10).contains(&first) && bodies[21] != "1b", "{bodies:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_gets_all_of_a_snapshot_before_the_next_one() {
    let target = Scripted::<1>::new(&[Does::Sleep(40); 4], 4);
    let figures = export(&target, 15 * SECOND).await;
    assert_eq!(target.bodies()[..4], ["1a", "1b", "6a", "6b"]);
    assert!(value(&figures, "samples_dropped") > 0.0);
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_no_longer_than_it_may() {
    let target = Scripted::<1>::new(&[Does::Take, Does::Take, Does::Sleep(3600)], 2);
    export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies(), ["1a", "1b", "2a"]);
    assert!(target.begun.elapsed() < 2 * SECOND, "{:?}", target.begun.elapsed());
    // What is not taken then is not waited for.
    let target = Scripted::<1>::new(&[Does::Take, Does::Take, Does::Fail(None)], 2);
    export(&target, 3600 * SECOND).await;
    assert_eq!(target.bodies(), ["1a", "1b", "2a"]);
    assert!(target.begun.elapsed() < SECOND, "{:?}", target.begun.elapsed());
}

/// Has one snapshot, and then none any more.
struct One(bool);

impl Source for One {
    async fn snapshot(&mut self) -> Option<Arc<Vec<FamilySamples>>> {
        let is_first = std::mem::take(&mut self.0);
        is_first.then(|| Arc::new(vec![FamilySamples::new(Type::Gauge, "1", "A number.")]))
    }
}

#[tokio::test(start_paused = true)]
async fn an_export_ends_with_its_source() {
    let target = Scripted::<1>::new(&[Does::Fail(Some(20))], 0);
    let figures = Figures::new("scripted");
    run(One(true), &target, SECOND, &figures, (pending(), SECOND)).await;
    assert_eq!(target.bodies(), ["1a", "1a", "1b"]);
    let target = Scripted::<1>::new(&[], 0);
    run(One(false), &target, SECOND, &figures, (ready(()), SECOND)).await;
    assert_eq!(target.bodies(), [""; 0]);
}
