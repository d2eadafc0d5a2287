//! What the server of metrics gives to whom: formats, codings and headers over a real socket, and
//! what a real Prometheus makes of each format.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tallyboard::{Counter, Gauge, Histogram, Info, Registry, StateSet, Summary};
use tallyboard_exposition::format::Format;
use tallyboard_exposition::negotiation::Negotiated;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::FamilySamples;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tallyboard");
/// What Prometheus 2.42 sends, by default and with native histograms.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,\
    application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROMETHEUS_PROTOBUF: &str = "application/vnd.google.protobuf;\
    proto=io.prometheus.client.MetricFamily;encoding=delimited,\
    application/openmetrics-text;version=1.0.0;q=0.8,\
    application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const TEXT: &str = "text/plain;version=0.0.4";

/// The content type for a reader who says nothing of names.
fn content_type(format: Format) -> Cow<'static, str> {
    Negotiated { format, ..Negotiated::default() }.content_type()
}

/// Ends the whole test program when a test hangs, which would otherwise never be said.
struct Watchdog(#[allow(dead_code)] mpsc::Sender<()>);

fn watchdog(test: &'static str) -> Watchdog {
    let (alive, dropped) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if dropped.recv_timeout(Duration::from_secs(300)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs");
            std::process::abort();
        }
    });
    Watchdog(alive)
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM).ok();
        self.0.wait().ok();
    }
}

/// A directory that does not outlive its test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tallyboard-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until there is something.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A supervisor with its registry in this process.
struct Served {
    _running: Running,
    address: SocketAddr,
    control: String,
    registry: &'static Registry,
}

impl Served {
    fn start(test: &str) -> Self {
        let name = format!("formats-{test}-{}", std::process::id());
        let (address, control) = (free_address(), format!("unix:@tallyboard/test/{name}"));
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--backing", "memfd", "--name", &name, "--control", &control]);
        command.args(["--log.level", "error", "--process-metrics", "off"]);
        command.args(["--web.listen-address", &address.to_string()]).env_remove("TALLYBOARD");
        let running = Running(command.stdin(Stdio::null()).spawn().unwrap());
        until(|| TcpStream::connect(address).ok());
        let limit = Duration::from_secs(60);
        let registry = Registry::builder().address(&control).attach_timeout(limit).build();
        registry.attach().unwrap();
        Self { _running: running, address, control, registry }
    }

    /// Every instrument, with values that do not change.
    fn count(&self) {
        let registry = self.registry;
        let requests = Counter::builder("app_requests", "Requests.").labels(&["route"]);
        let requests = requests.registry(registry).family().unwrap();
        for (route, count) in [("/a", 3), ("/b\"\\\n", 1 << 40)] {
            let counter = requests.with(&[route]).unwrap();
            counter.inc_by_with_exemplar(count, &[("trace_id", "4bf92f")]).unwrap();
        }
        let seconds = Histogram::builder("app_seconds", "Time.").registry(registry);
        let seconds = seconds.register().unwrap();
        [0.001, 0.3, 0.31, 7.5, 1e9].iter().for_each(|&value| seconds.observe(value));
        seconds
            .observe_with_exemplar(0.02, &[("trace_id", "0af765"), ("span_id", "b7ad")])
            .unwrap();
        let bytes = Summary::builder("app_sizes", "Sizes.").registry(registry);
        bytes.register().unwrap().observe(1500.25);
        let gauge = Gauge::builder("app_temperature", "Degrees.").registry(registry);
        gauge.register().unwrap().set(-1.5);
        let build = Info::builder("app_build", "Build.").registry(registry).register().unwrap();
        build.set(&[("version", "1.2.3")]).unwrap();
        let state = StateSet::builder("app_state", "State.", &["starting", "ready"]);
        state.registry(registry).register().unwrap().set("ready").unwrap();
    }

    fn ask(&self, head: &str) -> Answer {
        ask(self.address, head)
    }

    fn get(&self, accept: &str) -> Answer {
        self.ask(&format!("GET /metrics?name[]=app_requests_total HTTP/1.1\r\nAccept: {accept}"))
    }
}

/// An answer: status, status line and headers, body.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Sends a head, without its end, and reads all that comes.
fn ask(address: SocketAddr, head: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("{head}\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an end of headers");
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body }
}

/// What a decoder that is not ours makes of a body.
fn decoded(program: &str, directory: &Directory, body: &[u8]) -> Vec<u8> {
    let path = directory.0.join("body");
    fs::write(&path, body).unwrap();
    let input = File::open(&path).unwrap();
    let output = Command::new(program).arg("-dc").stdin(input).output();
    let output = output.unwrap_or_else(|error| panic!("expected the program {program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_reader_gets_the_format_that_it_accepts() {
    let _watchdog = watchdog("a_reader_gets_the_format_that_it_accepts");
    let served = Served::start("accept");
    served.count();
    let versioned = "application/openmetrics-text;version=2.0.0";
    for (accept, format) in [
        (PROMETHEUS, Format::OpenMetrics100),
        (PROMETHEUS_PROTOBUF, Format::Protobuf),
        (TEXT, Format::Text004),
        ("text/plain;version=1.0.0", Format::Text100),
        ("application/openmetrics-text;version=0.0.1", Format::OpenMetrics001),
        (versioned, Format::OpenMetrics200),
        ("*/*", Format::Text004),
        ("image/png", Format::Text004),
        ("", Format::Text004),
    ] {
        let answer = served.get(accept);
        assert_eq!(answer.status, 200, "{accept}");
        let content_type = content_type(format);
        assert_eq!(answer.header("content-type"), Some(&*content_type), "{accept}");
        assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"), "{accept}");
        let families = parse(&answer.body, format, &Options::default());
        let families = families.unwrap_or_else(|error| panic!("{accept}: {error}"));
        let name = families[0].name.strip_suffix("_total").unwrap_or(&families[0].name);
        assert_eq!((families.len(), name), (1, "app_requests"), "{accept}");
        // Nothing was counted in between.
        assert_eq!(served.get(accept).body, answer.body, "{accept}");
    }
}

#[test]
fn a_command_writes_the_format_that_it_is_asked_for() {
    let _watchdog = watchdog("a_command_writes_the_format_that_it_is_asked_for");
    let served = Served::start("command");
    served.count();
    for (name, format) in [
        ("text", Format::Text004),
        ("text-1.0", Format::Text100),
        ("openmetrics", Format::OpenMetrics100),
        ("openmetrics-2.0", Format::OpenMetrics200),
        ("protobuf", Format::Protobuf),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(["scrape", "--control", &served.control, "--metric", "app_requests_total"]);
        let output = command.args(["--format", name]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout == served.get(format.content_type()).body, "{name}: {output:?}");
    }
}

#[test]
fn a_body_is_coded_as_its_reader_accepts_it_and_is_the_same() {
    let _watchdog = watchdog("a_body_is_coded_as_its_reader_accepts_it_and_is_the_same");
    let directory = Directory::new("coded");
    let served = Served::start("coded");
    served.count();
    // A page that is short enough to be coded at once, and one that is not.
    let many = Counter::builder("many", "Many.").labels(&["n"]).registry(served.registry);
    let many = many.family().unwrap();
    (0..5_000).for_each(|n| many.with(&[&format!("number {n}")]).unwrap().inc());
    for name in ["app_requests_total", "many_total"] {
        let path = format!("/metrics?name[]={name}");
        let plain = served.ask(&format!("GET {path} HTTP/1.1"));
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.body.len() > 64 << 10, name == "many_total");
        for (accept, program) in [
            ("gzip", "gzip"),
            ("gzip, deflate, br, zstd", "gzip"),
            ("zstd", "zstd"),
            ("zstd, gzip;q=0.1", "zstd"),
        ] {
            let head = format!("GET {path} HTTP/1.1\r\nAccept-Encoding: {accept}");
            let answer = served.ask(&head);
            assert_eq!(answer.header("content-encoding"), Some(program), "{accept}");
            let length = answer.body.len().to_string();
            assert_eq!(answer.header("content-length"), Some(length.as_str()), "{accept}");
            assert!(decoded(program, &directory, &answer.body) == plain.body, "{accept}");
            let again = served.ask(&head);
            assert!(again.body == answer.body, "{accept}");
            let head = served.ask(&head.replace("GET", "HEAD"));
            assert!(head.body.is_empty());
            let undated = |answer: &Answer| -> Vec<String> {
                let lines = answer
                    .head
                    .lines()
                    .filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
                lines.map(str::to_owned).collect()
            };
            assert_eq!(undated(&head), undated(&answer));
        }
        for accept in ["identity", "br", "gzip;q=0", "zstd;q=0"] {
            let head = format!("GET {path} HTTP/1.1\r\nAccept-Encoding: {accept}");
            let answer = served.ask(&head);
            assert_eq!(answer.header("content-encoding"), None, "{accept}");
            assert!(answer.body == plain.body, "{accept}");
        }
    }
}

#[test]
fn only_the_named_families_are_written_and_always_in_the_same_order() {
    let _watchdog = watchdog("only_the_named_families_are_written_and_always_in_the_same_order");
    let served = Served::start("names");
    served.count();
    for (query, expect) in [
        ("name[]=app_temperature", &["app_temperature"][..]),
        ("name[]=app_temperature&name[]=app_sizes_count", &["app_sizes", "app_temperature"]),
        ("name%5B%5D=app_sizes_sum&name[]=nobody&other=1", &["app_sizes"]),
        ("name[]=nobody", &[]),
        ("name[]=", &[]),
    ] {
        let answer = served.ask(&format!("GET /metrics?{query} HTTP/1.1"));
        assert_eq!(answer.status, 200, "{query}");
        let families = parse(&answer.body, Format::Text004, &Options::default()).unwrap();
        let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names, expect, "{query}: {}", answer.text());
    }
    // A page of everything has families in order of name, the supervisor's own behind the others.
    let answer = served.ask("GET /metrics HTTP/1.1");
    let families = parse(&answer.body, Format::Text004, &Options::default()).unwrap();
    let of = |own: bool| {
        let names = families.iter().map(|family| family.name.as_str());
        names.filter(|name| name.starts_with("app_") != own).collect::<Vec<_>>()
    };
    assert!(of(false).len() >= 6 && of(false).is_sorted() && of(true).is_sorted());
}

/// How many pages the supervisor has made.
fn pages(served: &Served) -> f64 {
    let name = "tallyboard_scrape_duration_seconds_count";
    let answer = served.ask(&format!("GET /metrics?name[]={name} HTTP/1.1"));
    let line = answer.text().lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{}", answer.text())).trim().parse().unwrap()
}

#[test]
fn a_scrape_for_which_nobody_waits_is_not_made() {
    let _watchdog = watchdog("a_scrape_for_which_nobody_waits_is_not_made");
    let served = Served::start("timeout");
    served.count();
    let head = |path: &str, seconds: &str| {
        format!("GET {path} HTTP/1.1\r\nX-Prometheus-Scrape-Timeout-Seconds: {seconds}")
    };
    let before = pages(&served);
    for _ in 0..20 {
        let answer = served.ask(&head("/metrics", "0.000000001"));
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.text().contains("try again"), "{}", answer.text());
    }
    assert_eq!(pages(&served), before + 1.0);
    for seconds in ["60", "60.000000", "0", "-1", "NaN", "inf", "soon"] {
        assert_eq!(served.ask(&head("/metrics", seconds)).status, 200, "{seconds}");
    }
    assert_eq!(pages(&served), before + 9.0);
}

/// What a proxy has passed on: what was asked for, and the content type of what came.
type Passed = Arc<Mutex<BTreeSet<(String, String)>>>;

/// A proxy before a server of metrics, which rewrites `Accept` if it is told to.
fn proxy(to: SocketAddr, accept: Option<&'static str>) -> (SocketAddr, Passed) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let passed = Passed::default();
    let seen = Arc::clone(&passed);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let Some(first) = head.lines().next() else { continue };
            let asked = head.lines().find_map(|line| line.strip_prefix("Accept: "));
            let asked = asked.unwrap_or_default().to_owned();
            let rewritten = accept.unwrap_or(&asked);
            let encoding = "Accept-Encoding: gzip";
            let answer = ask(to, &format!("{first}\r\nAccept: {rewritten}\r\n{encoding}"));
            let found = answer.header("content-type").unwrap_or_default().to_owned();
            seen.lock().unwrap().insert((asked, found));
            // Prometheus may have hung up.
            let _ = stream.write_all(answer.head.as_bytes());
            let _ = stream.write_all(&answer.body);
        }
    });
    (address, passed)
}

/// A Prometheus that scrapes each job each second.
fn prometheus(features: &str, jobs: &[(&str, SocketAddr)]) -> (Running, Directory, SocketAddr) {
    let directory = Directory::new(&format!("prometheus-{}", jobs[0].0));
    let mut config = "global:\n  scrape_interval: 1s\nscrape_configs:\n".to_owned();
    for (job, target) in jobs {
        config +=
            &format!("  - job_name: {job}\n    static_configs:\n      - targets: ['{target}']\n");
    }
    let file = directory.0.join("prometheus.yml");
    fs::write(&file, config).unwrap();
    let address = free_address();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", directory.0.join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    command.arg(format!("--enable-feature={features}")).args(["--log.level", "error"]);
    let running = command.stdin(Stdio::null()).spawn();
    let running = Running(running.expect("the program prometheus; apt-get install prometheus"));
    until(|| TcpStream::connect(address).ok());
    until(|| (ask(address, "GET /-/ready HTTP/1.0").status == 200).then_some(()));
    (running, directory, address)
}

/// What Prometheus answers to a path.
fn api(address: SocketAddr, path: &str) -> Value {
    let answer = ask(address, &format!("GET /api/v1/{path} HTTP/1.0"));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice::<Value>(&answer.body).unwrap()["data"].clone()
}

/// Values by name and labels.
type Values = BTreeMap<BTreeMap<String, String>, f64>;

/// What Prometheus knows of the application by a job; `None` while it knows nothing.
fn known(address: SocketAddr, job: &str) -> Option<Values> {
    let query = format!("query?query=%7B__name__=~%22app_.*%22,job=%22{job}%22%7D");
    let data = api(address, &query);
    let rows = data["result"].as_array().filter(|rows| !rows.is_empty())?.iter();
    let row = |row: &Value| {
        let labels = row["metric"].as_object().unwrap().iter();
        let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        let labels = labels.filter(|(name, _)| name != "job" && name != "instance");
        (labels.collect(), row["value"][1].as_str().unwrap().parse().unwrap())
    };
    Some(rows.map(row).collect())
}

fn values(families: &[FamilySamples]) -> Values {
    let mut values = Values::new();
    for family in families.iter().filter(|family| family.name.starts_with("app_")) {
        for sample in &family.samples {
            let name = format!("{}{}", family.name, sample.suffix);
            let labels = sample.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
            let labels = labels.chain([("__name__".to_owned(), name)]).collect();
            values.insert(labels, sample.value.as_f64());
        }
    }
    values
}

#[test]
fn prometheus_reads_the_same_values_in_every_format() {
    let _watchdog = watchdog("prometheus_reads_the_same_values_in_every_format");
    let served = Served::start("prometheus");
    served.count();
    let (openmetrics, asked_openmetrics) = proxy(served.address, None);
    let (text, asked_text) = proxy(served.address, Some(TEXT));
    let (protobuf, asked_protobuf) = proxy(served.address, None);
    let jobs = [("openmetrics", openmetrics), ("text", text)];
    let (_first, _kept, plain) = prometheus("exemplar-storage", &jobs);
    let features = "native-histograms,exemplar-storage";
    let (_second, _kept_too, native) = prometheus(features, &[("protobuf", protobuf)]);

    let page = served.ask(&format!("GET /metrics HTTP/1.1\r\nAccept: {PROMETHEUS}"));
    let families = parse(&page.body, Format::OpenMetrics100, &Options::default()).unwrap();
    let all = values(&families);
    let mut uncreated = all.clone();
    uncreated.retain(|labels, _| !labels["__name__"].ends_with("_created"));
    assert!(uncreated.len() > 15 && all.len() > uncreated.len() + 2, "{all:?}");
    for (address, job, expect) in [
        (plain, "openmetrics", &all),
        (plain, "text", &uncreated),
        (native, "protobuf", &uncreated),
    ] {
        let found = until(|| known(address, job));
        assert_eq!(&found, expect, "{job}");
    }
    for (passed, accept, format) in [
        (asked_openmetrics, PROMETHEUS, Format::OpenMetrics100),
        (asked_text, PROMETHEUS, Format::Text004),
        (asked_protobuf, PROMETHEUS_PROTOBUF, Format::Protobuf),
    ] {
        let expect = (accept.to_owned(), content_type(format).into_owned());
        assert_eq!(*passed.lock().unwrap(), BTreeSet::from([expect]));
    }
    for (address, job) in [(plain, "openmetrics"), (native, "protobuf")] {
        for (name, trace, expect) in
            [("app_requests_total", "4bf92f", 2), ("app_seconds_bucket", "0af765", 1)]
        {
            let query =
                format!("query_exemplars?query={name}%7Bjob=%22{job}%22%7D&start=0&end=9999999999");
            let data = until(|| {
                let data = api(address, &query);
                (data.as_array()?.len() == expect).then_some(data)
            });
            for series in data.as_array().unwrap() {
                assert_eq!(series["exemplars"][0]["labels"]["trace_id"], trace, "{job}: {data}");
            }
        }
    }
}
