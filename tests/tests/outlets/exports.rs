//! Exports, by OTLP and by remote write, to receivers that are slow, gone, broken or of another
//! opinion: the page is served all the while, nothing grows without a bound, what fails is counted,
//! and nobody learns the credentials.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prost::Message;
use tallyboard_bridges::otlp::messages::{Data, Number, Request as Otlp, ResourceMetrics};
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::receive::stand_in::{Request, Says, StandIn};
use tallyboard_tests::service::arena::Service;
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};

const INSTRUMENTS: &str = env!("CARGO_BIN_EXE_instruments");
const TAKEN: Says = Says::Answer(200, "", b"");
/// What nobody may see but a receiver.
const SECRETS: [&str; 3] = ["pass-word", "to-ken", "cGFzcy13b3Jk"];

/// A kind of export, and the flags that have it send to an address, which it calls by a name and a
/// password, and with a header.
struct Kind {
    name: &'static str,
    flags: fn(SocketAddr) -> Vec<String>,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "otlp",
        flags: |to| {
            vec![
                format!("--otlp.endpoint=http://me:pass-word@{to}"),
                "--otlp.interval=100ms".to_owned(),
                "--otlp.header=x-key=to-ken".to_owned(),
                "--otlp.timeout=300ms".to_owned(),
            ]
        },
    },
    Kind {
        name: "remote_write",
        flags: |to| {
            vec![
                format!("--remote-write.url=http://me:pass-word@{to}/write"),
                "--remote-write.interval=100ms".to_owned(),
                "--remote-write.header=x-key=to-ken".to_owned(),
                "--remote-write.timeout=300ms".to_owned(),
            ]
        },
    },
];

impl Kind {
    fn service(&self, to: SocketAddr) -> Service {
        let flags = (self.flags)(to);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        // Tests of one binary are threads of one process.
        static SERVICES: AtomicU64 = AtomicU64::new(0);
        let name = format!("exports-{}-{}", self.name, SERVICES.fetch_add(1, Relaxed));
        Service::start_with(&name, INSTRUMENTS, &flags, &[])
    }

    /// Waits until a figure of the export is at least this. Each look is a scrape.
    fn reaches(&self, service: &Service, figure: &str, least: f64) {
        let name = format!("tallyboard_export_{figure}");
        until(|| (self.figure(service, &name) >= least).then_some(()));
    }

    fn figure(&self, service: &Service, name: &str) -> f64 {
        service.own(name, ("target", self.name))
    }
}

/// Stops a service, and gives what it has logged, in which there is no secret.
fn log_of(service: Service) -> String {
    let ended = service.stop();
    assert!(ended.status.success(), "{ended:?}");
    for secret in SECRETS {
        assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
    }
    ended.stderr
}

#[test]
fn a_receiver_that_speaks_another_language_or_nothing_is_named_and_stalls_nothing() {
    let _watchdog = Watchdog::new("a_receiver_that_speaks_another_language_or_nothing_is_named");
    for kind in KINDS {
        for (says, expect) in [
            (Says::Nothing, "gave no an answer within 300ms"),
            (Says::Bytes("SSH-2.0-OpenSSH_9.2\r\n"), "gave no HTTP answer"),
            (Says::Bytes(""), "gave no HTTP answer"),
            (Says::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"), "gave no HTTP answer"),
            (Says::Answer(503, "", b"not just\tnow\n"), "answered 503: not just now"),
        ] {
            let receiver = StandIn::start(move |_, _| says.clone());
            let mut service = kind.service(receiver.address());
            service.work(&[0.5]);
            kind.reaches(&service, "requests_failed_total", 2.0);
            kind.reaches(&service, "lag_seconds", 0.5);
            assert_eq!(kind.figure(&service, "tallyboard_export_samples_sent_total"), 0.0);
            let log = log_of(service);
            let expect = expect.replace("an answer", "answer");
            let is_named = log.contains(&receiver.address().to_string());
            assert!(is_named && log.replace("an answer", "answer").contains(&expect), "{log}");
            let request = &receiver.seen()[0];
            assert_eq!(request.header("x-key"), "to-ken");
            assert_eq!(request.header("authorization"), "Basic bWU6cGFzcy13b3Jk");
            assert_eq!(request.header("content-type"), "application/x-protobuf");
        }
    }
}

#[test]
fn what_is_refused_is_counted_and_not_sent_again() {
    let _watchdog = Watchdog::new("what_is_refused_is_counted_and_not_sent_again");
    for kind in KINDS {
        for status in [400, 401, 404, 413] {
            let receiver =
                StandIn::start(move |_, _| Says::Answer(status, "", b"<p>we do not like it</p>"));
            let service = kind.service(receiver.address());
            let seen = receiver.after(3);
            // Each has another moment in it.
            assert!(seen[0].body != seen[1].body && seen[1].body != seen[2].body);
            kind.reaches(&service, "samples_failed_total", 3.0);
            // Between two snapshots nothing waits.
            let waiting = || kind.figure(&service, "tallyboard_export_queue_bytes");
            until(|| (waiting() == 0.0).then_some(()));
            let log = log_of(service);
            assert!(log.contains(&format!("answered {status}: <p>we do not like it</p>")), "{log}");
        }
    }
}

#[test]
fn what_may_be_taken_later_is_sent_again_as_it_was_and_not_before_its_time() {
    let _watchdog = Watchdog::new("what_may_be_taken_later_is_sent_again_as_it_was");
    for kind in KINDS {
        let receiver = StandIn::start(|number, _| match number {
            0 => Says::Answer(429, "Retry-After: 2\r\n", b"slow down\n"),
            _ => TAKEN,
        });
        let service = kind.service(receiver.address());
        let seen = receiver.after(3);
        assert!(seen[1].at - seen[0].at >= Duration::from_secs(2));
        // Remote write keeps what waits, in order; of OTLP the newest has all of the others.
        assert_eq!(seen[0].body == seen[1].body, kind.name == "remote_write");
        kind.reaches(&service, "samples_sent_total", 1.0);
        let dropped = kind.figure(&service, "tallyboard_export_samples_dropped_total");
        assert_eq!(dropped > 0.0, kind.name == "otlp");
        log_of(service);
    }
}

#[test]
fn a_receiver_that_comes_back_gets_everything() {
    let _watchdog = Watchdog::new("a_receiver_that_comes_back_gets_everything");
    for kind in KINDS {
        let address = free_address();
        let mut service = kind.service(address);
        kind.reaches(&service, "requests_failed_total", 3.0);
        service.work(&[0.5, 2.5]);
        let receiver = StandIn::start_at(address, |_, _| TAKEN);
        receiver.after(1);
        kind.reaches(&service, "samples_sent_total", 1.0);
        until(|| (kind.figure(&service, "tallyboard_export_lag_seconds") == 0.0).then_some(()));
        assert_eq!(kind.figure(&service, "tallyboard_export_samples_failed_total"), 0.0);
        let log = log_of(service);
        assert!(log.contains("the receiver takes samples again"), "{log}");
    }
}

/// The value of a counter that is sent by OTLP, if it is there.
fn counter(request: &Request, name: &str) -> Option<i64> {
    let resources = resources(request);
    let scopes = resources.iter().flat_map(|resource| &resource.scope_metrics);
    let metric = scopes.flat_map(|scope| &scope.metrics).find(|metric| metric.name == name)?;
    match &metric.data {
        Some(Data::Sum(sum)) => match sum.data_points[0].value {
            Some(Number::AsInt(value)) => Some(value),
            other => panic!("expected a whole number, found {other:?}"),
        },
        other => panic!("expected a sum, found {other:?}"),
    }
}

fn resources(request: &Request) -> Vec<ResourceMetrics> {
    Otlp::decode(&request.body[..]).expect("a request").resource_metrics
}

/// What is said of the resource, by name.
fn said(request: &Request, name: &str) -> Option<String> {
    let resources = resources(request);
    let attributes = resources[0].resource.clone().expect("a resource").attributes;
    let found = attributes.into_iter().find(|attribute| attribute.key == name)?;
    found.value?.string_value
}

#[test]
fn of_what_a_receiver_leaves_out_as_much_is_counted_and_nothing_is_sent_again() {
    let _watchdog = Watchdog::new("of_what_a_receiver_leaves_out_as_much_is_counted");
    // partial_success: 3 rejected points, "no".
    let partial = Says::Answer(
        200,
        "Content-Type: application/x-protobuf\r\n",
        b"\x0a\x06\x08\x03\x12\x02no",
    );
    let receiver =
        StandIn::start(move |number, _| if number == 0 { partial.clone() } else { TAKEN });
    let [kind, _] = KINDS;
    let service = kind.service(receiver.address());
    let seen = receiver.after(2);
    assert_ne!(seen[0].body, seen[1].body);
    assert_eq!(kind.figure(&service, "tallyboard_export_samples_failed_total"), 3.0);
    let log = log_of(service);
    assert!(log.contains("left_out=3") && log.contains("said=no"), "{log}");
}

#[test]
fn what_a_receiver_says_in_protocol_buffers_is_read_and_a_page_is_no_answer() {
    let _watchdog = Watchdog::new("what_a_receiver_says_in_protocol_buffers_is_read");
    let protobuf = "Content-Type: application/x-protobuf\r\n";
    for (says, expect) in [
        // google.rpc.Status: code 3, "bad name".
        (Says::Answer(400, protobuf, b"\x08\x03\x12\x08bad name"), "answered 400: bad name"),
        (Says::Answer(400, "", b""), "answered 400: Bad Request"),
        (
            Says::Answer(200, "Content-Type: text/html\r\n", b"<p>Hello</p>"),
            "did not take what was sent",
        ),
        (Says::Answer(200, protobuf, b"Hello"), "did not take what was sent"),
    ] {
        let receiver = StandIn::start(move |_, _| says.clone());
        let [kind, _] = KINDS;
        let service = kind.service(receiver.address());
        kind.reaches(&service, "samples_failed_total", 1.0);
        let log = log_of(service);
        assert!(log.contains(expect), "{expect}: {log}");
    }
}

#[test]
fn variables_say_what_no_flag_says_and_alone_send_nothing() {
    let _watchdog = Watchdog::new("variables_say_what_no_flag_says_and_alone_send_nothing");
    let receiver = StandIn::start(|_, _| TAKEN);
    let endpoint = format!("http://{}/base", receiver.address());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-one=1,x-two=a%20b"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,zone=a,team=tea"),
        ("OTEL_SERVICE_NAME", "shop"),
    ];
    // They are the application's, which may send metrics of its own there.
    let mut silent = Service::start_with("variables-alone", INSTRUMENTS, &[], &variables);
    silent.work(&[0.5]);
    let flags = [
        "--otlp.endpoint=env",
        "--otlp.header=x-two=2",
        "--otlp.compression=none",
        "--otlp.resource-attribute=zone=b",
        "--target-info=version=7",
    ];
    let mut service = Service::start_with("variables", INSTRUMENTS, &flags, &variables);
    service.work(&[0.5, 2.5]);
    let request = until(|| {
        let seen = receiver.seen();
        seen.into_iter().find(|request| counter(request, "work_done_total") == Some(2))
    });
    assert_eq!(request.line, "POST /base/v1/metrics HTTP/1.1");
    assert_eq!((request.header("x-one"), request.header("x-two")), ("1", "2"));
    assert_eq!(request.header("content-encoding"), "");
    for (name, expect) in [
        ("service.name", Some("shop")),
        ("zone", Some("b")),
        ("team", Some("tea")),
        ("version", Some("7")),
    ] {
        assert_eq!(said(&request, name).as_deref(), expect, "{name}");
    }
    let instance = said(&request, "service.instance.id").expect("an instance");
    assert!(instance.contains(":variables-"), "{instance}");
    let names = receiver.seen().iter().map(|request| said(request, "version")).collect::<Vec<_>>();
    assert!(names.iter().all(Option::is_some), "{names:?}");
}

#[test]
fn a_service_without_a_name_is_called_after_its_command() {
    let _watchdog = Watchdog::new("a_service_without_a_name_is_called_after_its_command");
    let receiver = StandIn::start(|_, _| TAKEN);
    let flag = format!("--otlp.endpoint=http://{}", receiver.address());
    let mut command = Command::new(tallyboard());
    command.args(["exec", "--web.listen-address=127.0.0.1:0", &flag, "--", INSTRUMENTS, "x"]);
    let ended = Running::start(command.env_remove("TALLYBOARD")).end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    // However short its life was, its end was sent.
    let name = said(receiver.seen().last().expect("a request"), "service.name");
    assert_eq!(name.as_deref(), Some("unknown_service:instruments"));
}

/// Flags, a variable, and what is said of them.
type Refused = (&'static [&'static str], (&'static str, &'static str), &'static str);

const REFUSED: &[Refused] = &[
    (
        &["--otlp.endpoint=collector:4318"],
        ("", ""),
        "--otlp.endpoint: the endpoint: expected a URL",
    ),
    (
        &["--otlp.endpoint=env"],
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere"),
        "OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL",
    ),
    (
        &["--otlp.endpoint=env"],
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf",
    ),
    (
        &["--otlp.endpoint=http://c"],
        ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        "OTEL_RESOURCE_ATTRIBUTES: expected NAME=VALUE",
    ),
    (&["--otlp.endpoint=http://c", "--otlp.header=pass-word"], ("", ""), "a header is NAME=VALUE"),
    (&["--otlp.endpoint=http://c", "--otlp.interval=15"], ("", ""), "for example 15s"),
    (&["--otlp.endpoint=https://c", "--otlp.tls.ca=/no/such/file"], ("", ""), "/no/such/file"),
    (&["--otlp.endpoint=https://c", "--otlp.tls.cert=a.pem"], ("", ""), "--otlp.tls.key"),
    (&["--otlp.interval=15s"], ("", ""), "--otlp.endpoint"),
    (
        &["--remote-write.url=http://me:pass-word@c:port/x"],
        ("", ""),
        "--remote-write.url: expected a URL",
    ),
    (&["--remote-write.url=http://c", "--remote-write.version=3.0"], ("", ""), "1.0 or 2.0"),
    (&["--remote-write.url=http://c", "--remote-write.external-label=a"], ("", ""), "NAME=VALUE"),
    (
        &["--remote-write.url=http://c", "--remote-write.external-label=a=1,a=2"],
        ("", ""),
        "given once",
    ),
    (
        &[
            "--remote-write.url=http://c",
            "--remote-write.username=a",
            "--remote-write.password-file=/no/such/file",
        ],
        ("", ""),
        "--remote-write.password-file /no/such/file",
    ),
    (
        &["--remote-write.url=http://c", "--remote-write.username=a"],
        ("", ""),
        "--remote-write.password-file",
    ),
];

#[test]
fn what_cannot_be_sent_anywhere_is_refused_before_anything_starts() {
    let _watchdog = Watchdog::new("what_cannot_be_sent_anywhere_is_refused_before_anything_starts");
    for (flags, variable, expect) in REFUSED {
        let mut command = Command::new(tallyboard());
        command.args(["exec", "--web.listen-address=127.0.0.1:0"]).args(*flags);
        command.args(["--", "echo", "started"]).env_remove("TALLYBOARD");
        if !variable.0.is_empty() {
            command.env(variable.0, variable.1);
        }
        let ended = Running::start(&mut command).end();
        assert!(!ended.status.success() && ended.stdout.is_empty(), "{flags:?}: {ended:?}");
        let is_said = ended.stderr.contains(expect) && !ended.stderr.contains("pass-word");
        assert!(is_said, "{flags:?}: {}", ended.stderr);
    }
}
