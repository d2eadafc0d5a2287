//! Graphite, with the real carbon: what `whisper-fetch` reads is what was pushed, over restarts of
//! carbon and of nothing else; and receivers that are no carbon.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::Value as Json;
use tallyboard::{
    Counter, Gauge, GaugeMode, Histogram, Info, NativeHistogram, Registry, StateSet, Summary,
};
use tallyboard_bridges::Graphite;
use tallyboard_bridges::graphite::{Counts, GraphiteError, Lines, Started};
use tallyboard_exposition::sample::{FamilySamples, Sample, Timestamp, Type, Value};
use tallyboard_tests::receive::programs::program;
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};
use tallyboard_tests::start::directory::Directory;

/// Between two snapshots: short, and a test waits for many of them.
const INTERVAL: Duration = Duration::from_millis(50);

/// A carbon with a directory of its own, which does not outlive its test.
struct Carbon {
    /// Ends before its directory goes.
    running: Option<Running>,
    cache: PathBuf,
    directory: Directory,
    address: SocketAddr,
}

impl Carbon {
    /// Carbon, not started yet.
    fn new(test: &str) -> Self {
        let cache = program("carbon-cache", "graphite-carbon");
        let directory = Directory::new(&format!("graphite-{test}"));
        fs::create_dir_all(directory.file("conf")).expect("a directory is made");
        let (address, query) = (free_address(), free_address());
        let at = directory.path().display();
        let config = format!(
            "[cache]\nSTORAGE_DIR = {at}\nCONF_DIR = {at}/conf\nLOG_DIR = {at}/log\nPID_DIR = {at}\n\
             LOCAL_DATA_DIR = {at}/whisper\nDATABASE = whisper\nUSER =\nMAX_CACHE_SIZE = inf\n\
             MAX_UPDATES_PER_SECOND = inf\nMAX_CREATES_PER_MINUTE = inf\n\
             LINE_RECEIVER_INTERFACE = {}\nLINE_RECEIVER_PORT = {}\n\
             PICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = 0\n\
             CACHE_QUERY_INTERFACE = {}\nCACHE_QUERY_PORT = {}\nENABLE_UDP_LISTENER = False\n\
             ENABLE_TAGS = False\nCARBON_METRIC_INTERVAL = 0\nENABLE_LOGROTATION = False\n\
             WHISPER_AUTOFLUSH = True\nLOG_UPDATES = False\nLOG_CACHE_HITS = False\n\
             LOG_CACHE_QUEUE_SORTS = False\n",
            address.ip(),
            address.port(),
            query.ip(),
            query.port()
        );
        let all = "[all]\npattern = .*\n";
        for (file, text) in [
            ("carbon.conf", config),
            ("storage-schemas.conf", format!("{all}retentions = 1s:1d\n")),
            (
                "storage-aggregation.conf",
                format!("{all}xFilesFactor = 0\naggregationMethod = last\n"),
            ),
        ] {
            directory.write(&format!("conf/{file}"), &text);
        }
        Self { running: None, cache, directory, address }
    }

    fn start(&mut self) {
        let config = self.directory.file("conf/carbon.conf");
        let mut command = Command::new(&self.cache);
        command.arg(format!("--config={}", config.display()));
        command.args(["--pidfile=", "--logfile=-", "--nodaemon", "start"]);
        self.running = Some(Running::start(command.current_dir(self.directory.path())));
        until(|| TcpStream::connect(self.address).ok());
    }

    /// Ends it with a signal, and waits for its end.
    fn end(&mut self, signal: Signal) {
        let running = self.running.take().expect("carbon runs");
        running.signal(signal);
        drop(running.end());
    }

    fn graphite(&self) -> Graphite {
        Graphite::new(&self.address.to_string()).expect("an address")
    }

    /// Where it has a series, by the name that a line has.
    fn file(&self, path: &str) -> PathBuf {
        let whisper = self.directory.file("whisper");
        match path.contains(';') {
            false => whisper.join(format!("{}.wsp", path.replace('.', "/"))),
            true => {
                let hash = sha256(path);
                whisper.join("_tagged").join(&hash[..3]).join(&hash[3..6]).join(hash + ".wsp")
            }
        }
    }

    /// What it has stored of a series, by second: those after `from` up to `to`.
    fn points(&self, path: &str, (from, to): (i64, i64)) -> BTreeMap<i64, f64> {
        let mut command = Command::new(program("whisper-fetch", "python3-whisper"));
        command.args(["--json", &format!("--from={from}"), &format!("--until={to}")]);
        let output = command.arg(self.file(path)).output().expect("whisper-fetch runs");
        let Ok(found) = serde_json::from_slice::<Json>(&output.stdout) else {
            // There is no such file yet, or it is being made.
            return BTreeMap::new();
        };
        let number = |field: &str| found[field].as_i64().expect("a number");
        let values = found["values"].as_array().expect("values").iter().enumerate();
        let points = values.filter_map(|(at, value)| {
            Some((number("start") + number("step") * at as i64, value.as_f64()?))
        });
        points.collect()
    }

    /// Waits until the newest point of a series in a time has this value.
    fn expect(&self, path: &str, within: (i64, i64), value: f64) {
        until(|| {
            let newest = self.points(path, within).pop_last();
            newest.is_some_and(|(_, newest)| newest == value).then_some(())
        });
    }
}

fn sha256(text: &str) -> String {
    let mut command = Command::new("sha256sum");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum runs");
    child.stdin.take().expect("an input").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8(output.stdout).expect("digits").chars().take(64).collect()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs() as i64
}

fn gauge(name: &str, value: f64, seconds: Option<i64>) -> FamilySamples {
    let timestamp = seconds.map(|seconds| Timestamp { seconds, nanos: 0 });
    let sample = Sample { timestamp, ..Sample::new("", vec![], Value::Float(value)) };
    let samples = vec![sample];
    FamilySamples { samples, ..FamilySamples::new(Type::Gauge, name, "") }
}

/// Snapshots that can be told apart: the `n`th is `n`, at a second of its own.
struct Numbered {
    /// The second of the first one, long enough ago that none is of the future.
    begin: i64,
    taken: Arc<AtomicU64>,
    started: Started,
}

impl Numbered {
    fn start(graphite: &Graphite) -> Self {
        let begin = now() - 80_000;
        let taken = Arc::new(AtomicU64::new(0));
        let source = {
            let taken = Arc::clone(&taken);
            move || {
                let n = taken.fetch_add(1, Relaxed);
                Ok::<_, String>(vec![gauge("numbered", n as f64, Some(begin + n as i64))])
            }
        };
        let started = graphite.start(INTERVAL, "", source).expect("a thread");
        Self { begin, taken, started }
    }

    fn counts(&self) -> Counts {
        self.started.status().counts()
    }

    fn wait(&self, until_it: impl Fn(&Counts) -> bool) -> Counts {
        until(|| Some(self.counts()).filter(&until_it))
    }

    /// The numbers of snapshots that carbon has stored, each with its own value at its own second.
    fn stored(&self, carbon: &Carbon) -> Vec<u64> {
        let taken = self.taken.load(Relaxed) as i64;
        let points = carbon.points("numbered", (self.begin - 1, self.begin + taken));
        let number = |(second, value): (i64, f64)| {
            let number = (second - self.begin) as u64;
            assert_eq!(value, number as f64);
            number
        };
        points.into_iter().map(number).collect()
    }
}

/// A receiver that does with each connection, in turn, what it is told.
struct Fake {
    address: SocketAddr,
    acts: Sender<fn(TcpStream) -> String>,
    seen: Receiver<String>,
}

impl Fake {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (acts, to_do) = channel::<fn(TcpStream) -> String>();
        let (saw, seen) = channel();
        thread::spawn(move || {
            // Until its test ends.
            while let Ok(act) = to_do.recv() {
                let (stream, _) = listener.accept().expect("a connection");
                saw.send(act(stream)).ok();
            }
        });
        Self { address, acts, seen }
    }

    fn graphite(&self) -> Graphite {
        Graphite::new(&self.address.to_string()).expect("an address")
    }

    /// Does this with so many connections, and gives what was read.
    fn times(&self, times: usize, act: fn(TcpStream) -> String) -> Vec<String> {
        (0..times).for_each(|_| self.acts.send(act).expect("it runs"));
        (0..times).map(|_| self.seen.recv().expect("it runs")).collect()
    }

    fn next(&self, act: fn(TcpStream) -> String) {
        self.acts.send(act).expect("it runs");
    }
}

fn read_all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("lines");
    text
}

fn hang_up(stream: TcpStream) -> String {
    drop(stream);
    String::new()
}

fn answer(mut stream: TcpStream) -> String {
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("it is written");
    read_all(stream)
}

/// A private registry with every instrument.
fn registry() -> &'static Registry {
    let registry = Registry::new();
    let orders = Counter::builder("orders", "Orders.").labels(&["shop", "by"]).registry(registry);
    let orders = orders.family().expect("a family");
    orders.with(&["Zoë's & co.", "card"]).expect("two labels").inc_by(3);
    orders.with(&["b", "b"]).expect("two labels").add(0.125).expect("an amount");
    let queue = Gauge::builder("queue", "Waiting.").mode(GaugeMode::Sum).registry(registry);
    queue.register().expect("a gauge").set(-1.5e-7);
    let most = Gauge::builder("most", "The most.").mode(GaugeMode::Max).registry(registry);
    most.register().expect("a gauge").set(f64::INFINITY);
    let none = Gauge::builder("none", "No number.").mode(GaugeMode::Max).registry(registry);
    none.register().expect("a gauge").set(f64::NAN);
    let seconds = Histogram::builder("seconds", "Time.").buckets(&[0.25, 1.0]).registry(registry);
    let seconds = seconds.register().expect("a histogram");
    [0.125, 0.5, 7.0].iter().for_each(|value| seconds.observe(*value));
    let sizes = NativeHistogram::builder("sizes", "Sizes.").registry(registry);
    let sizes = sizes.register().expect("a native histogram");
    [1.0, 1e20].iter().for_each(|value| sizes.observe(*value));
    let bytes = Summary::builder("size_bytes", "Bytes.").registry(registry);
    bytes.register().expect("a summary").observe(1e16);
    let build = Info::builder("build", "What runs.").registry(registry);
    build.register().expect("an info").set(&[("version", "1.4.2")]).expect("labels");
    let state = StateSet::builder("job", "The job.", &["on", "off"]).registry(registry);
    state.register().expect("a stateset").set("on").expect("a state");
    registry
}

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

#[test]
fn a_listener_that_never_reads_has_not_taken_it() {
    let _watchdog = Watchdog::new("a_listener_that_never_reads_has_not_taken_it");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let graphite = Graphite::new(&address).expect("an address");
    let graphite = graphite.timeout(Duration::from_millis(200));
    let few = vec![gauge("a", 1.0, None)];
    // More than sockets hold.
    let label = vec![("l".to_owned(), "x".repeat(15_000))];
    let sample = Sample::new("", label, Value::Whole(1));
    let mut family = FamilySamples::new(Type::Gauge, "many", "");
    family.samples = vec![sample; 4_000];
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

/// `tallyboard graphite` with these words, without variables of whoever runs the tests.
fn command(words: &[&str]) -> Command {
    tallyboard_tests::start::program::program(&[&["graphite"], words].concat())
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
