//! Remote write 1.0 into the Prometheus that Debian has: what it knows is what was counted, over
//! deaths of workers, of the supervisor, and of Prometheus itself.

#![forbid(unsafe_code)]

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use tallyboard_bridges::export::{Outcome, Target};
use tallyboard_bridges::{Receiver, RemoteWrite, blocking};
use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
use tallyboard_segment::process::unix_ms;
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::read::prometheus::{Prometheus, Samples};
use tallyboard_tests::receive::programs::certificates;
use tallyboard_tests::service::any_name::known as known_names;
use tallyboard_tests::service::arena::{Service, outage};
use tallyboard_tests::service::expected::{ODD, Shown, until_good};
use tallyboard_tests::service::play::expect_exemplars;
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};
use tallyboard_tests::start::directory::Directory;

const INSTRUMENTS: &str = env!("CARGO_BIN_EXE_instruments");
const NAMES: &str = env!("CARGO_BIN_EXE_names");
const RECEIVER: &str = "--web.enable-remote-write-receiver";
const TARGET: (&str, &str) = ("target", "remote_write");

fn prometheus(features: &str) -> Prometheus {
    let features = format!("--enable-feature={features}");
    Prometheus::start(Path::new("prometheus"), &[RECEIVER, &features], &[])
}

/// A service that writes there four times a second.
fn service(name: &str, to: SocketAddr, more: &[&str]) -> Service {
    service_at(name, to, "250ms", more)
}

fn service_at(name: &str, to: SocketAddr, interval: &str, more: &[&str]) -> Service {
    let url = format!("--remote-write.url=http://{to}/api/v1/write");
    let interval = format!("--remote-write.interval={interval}");
    let mut flags =
        vec![&*url, &*interval, "--remote-write.external-label=job=service,instance=here"];
    flags.extend(more);
    Service::start_with(name, INSTRUMENTS, &flags, &[])
}

fn known(prometheus: &Prometheus) -> Samples {
    prometheus.samples("{job=\"service\",__name__=~\"work_.+\"}")
}

#[test]
fn prometheus_knows_what_was_counted_whoever_dies() {
    let _watchdog = Watchdog::new("prometheus_knows_what_was_counted_whoever_dies");
    let prometheus = prometheus("exemplar-storage,native-histograms");
    let on = ["--remote-write.native-histograms=on"];
    let mut service = service("write", prometheus.address(), &on);
    let check = |service: &Service| service.until_known(Shown::Both, || known(&prometheus));
    service.work(&[0.5, 2.5]);
    check(&service);
    service.work(&[40.0, 0.5, 7.0]);
    check(&service);
    expect_exemplars(&service, &prometheus, "service");

    // What a worker was has ended with it, though it was written a moment ago.
    service.kill_until_stale(&prometheus);
    check(&service);

    service.kill_supervisor();
    service.work(&[3.0]);
    check(&service);
    service.kill();
    check(&service);
    for name in
        ["work_done_total", "work_spent_seconds_total", "work_seconds_count", "work_size_sum"]
    {
        // A single series, which has never gone down.
        assert_eq!(prometheus.query(name).len(), 1, "{name}");
        assert_eq!(prometheus.value(&format!("resets({name}[1h])")), Some(0.0), "{name}");
    }
    let natives = prometheus.natives("work_offset");
    assert!(natives.is_sorted_by_key(|native| native.count), "{natives:?}");
    assert_eq!(service.own("tallyboard_export_samples_failed_total", TARGET), 0.0);
}

#[test]
fn names_of_every_sort_are_written_as_1_0_has_them() {
    let _watchdog = Watchdog::new("names_of_every_sort_are_written_as_1_0_has_them");
    let prometheus = prometheus("exemplar-storage");
    let url = format!("--remote-write.url=http://{}/api/v1/write", prometheus.address());
    let more = ["--remote-write.interval=250ms", "--remote-write.external-label=job=service"];
    let flags = [&[&*url], &more[..]].concat();
    let mut service = Service::start_with("write-names", NAMES, &flags, &[]);
    service.work(&[0.5, 2.5]);
    service.work(&[40.0]);
    service.kill();
    let selector = "{job=\"service\",__name__!~\"tallyboard_.*|process_.*|.*_created\"}";
    until_good(|| {
        let found = prometheus.samples(selector).numbers;
        let expect = known_names(&service.numbers(), Escaping::Underscores);
        if found == expect { Ok(()) } else { Err(format!("{found:?}, expected {expect:?}")) }
    });
    assert_eq!(service.own("tallyboard_export_samples_failed_total", TARGET), 0.0);
}

#[test]
fn what_was_counted_while_prometheus_was_away_is_written_later() {
    let _watchdog = Watchdog::new("what_was_counted_while_prometheus_was_away_is_written_later");
    let address = free_address();
    let mut service = service_at("away", address, "2s", &[]);
    service.work(&[0.5, 2.5]);
    service.until_missed("remote_write");
    let before = unix_ms() as f64 / 1000.0;
    let program = Path::new("prometheus");
    let prometheus = Prometheus::start_at(program, &[RECEIVER], address);
    service.until_known(Shown::Classic, || known(&prometheus));
    until(|| (service.own("tallyboard_export_lag_seconds", TARGET) == 0.0).then_some(()));
    // One each two seconds, unless it took longer between some.
    let written = prometheus.query("work_done_total[1h]");
    let values = written[0]["values"].as_array().expect("values");
    let missed = values.iter().filter(|value| value[0].as_f64().is_some_and(|at| at < before));
    let missed = missed.count();
    let all = outage() as usize / 2;
    assert!((all * 2 / 3..=all + 3).contains(&missed), "{missed} of {written:?}");
    assert_eq!(service.own("tallyboard_export_samples_dropped_total", TARGET), 0.0);

    // It goes away, and another one with nothing in it comes.
    let address = prometheus.address();
    drop(prometheus);
    let failed = service.own("tallyboard_export_requests_failed_total", TARGET);
    service.work(&[7.0]);
    until(|| {
        let now = service.own("tallyboard_export_requests_failed_total", TARGET);
        (now > failed).then_some(())
    });
    let prometheus = Prometheus::start_at(program, &[RECEIVER], address);
    service.until_known(Shown::Classic, || known(&prometheus));
    assert_eq!(service.own("tallyboard_export_samples_failed_total", TARGET), 0.0);
}

#[test]
fn a_prometheus_that_does_not_read_version_2_gets_version_1() {
    let _watchdog = Watchdog::new("a_prometheus_that_does_not_read_version_2_gets_version_1");
    let prometheus = prometheus("exemplar-storage");
    let two = ["--remote-write.version=2.0"];
    let mut service = service("fall-back", prometheus.address(), &two);
    service.work(&[0.5, 2.5]);
    service.until_known(Shown::Classic, || known(&prometheus));
    let log = service.stop().stderr;
    assert_eq!(log.matches("encoding in another form").count(), 1, "{log}");
    assert!(log.contains("does not say how much it has written"), "{log}");
}

#[test]
fn native_histograms_that_are_refused_keep_nothing_else_from_being_written() {
    let _watchdog =
        Watchdog::new("native_histograms_that_are_refused_keep_nothing_else_from_being_written");
    let prometheus = prometheus("exemplar-storage");
    let on = ["--remote-write.native-histograms=on"];
    let mut service = service("refused", prometheus.address(), &on);
    service.work(&[0.5, 2.5]);
    until(|| {
        let failed = service.own("tallyboard_export_samples_failed_total", TARGET);
        (failed > 0.0).then_some(())
    });
    until(|| (prometheus.value("work_done_total") == Some(2.0)).then_some(()));
    let log = service.stop().stderr;
    assert!(log.contains("answered 500: native histograms are disabled"), "{log}");
}

#[test]
fn one_sample_that_prometheus_refuses_keeps_no_other_from_being_written() {
    let _watchdog = Watchdog::new("one_sample_that_prometheus_refuses");
    let prometheus = prometheus("exemplar-storage");
    // Somebody has written to one of the series as of a later time.
    let url = format!("http://{}/api/v1/write", prometheus.address());
    let other = RemoteWrite::new(Receiver::new(&url).expect("a URL"));
    let other = other.external_label("job", "service").external_label("instance", "here");
    let mut done = FamilySamples::new(Type::Counter, "work_done", "Done.");
    let by = vec![("by".to_owned(), ODD.to_owned())];
    done.samples.push(Sample::new("_total", by, Value::Whole(1_000_000)));
    let batch = other.encode(&[done], unix_ms() as i64 + 600_000).remove(0);
    let taken = blocking::run(other.send(&batch)).expect("a runtime");
    assert!(matches!(taken, Outcome::Taken { left_out: 0, .. }), "{taken:?}");

    let mut service = service("halves", prometheus.address(), &[]);
    service.work(&[0.5, 2.5]);
    let mut expected = service.expected(Shown::Classic);
    expected.retain(|(name, _), _| name != "work_done_total");
    until_good(|| {
        let mut found = known(&prometheus).numbers;
        found.retain(|(name, _), _| name != "work_done_total");
        if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
    });
    // It is counted once the last request of a snapshot is answered, when the rest is known long.
    let given_up = until(|| {
        let page = get(service.metrics(), "/metrics").expect("the page is served");
        let page = Page::parse(&page.body).expect("the page reads");
        let given_up = page.of("tallyboard_export_samples_given_up_total");
        let named = given_up.map(|(labels, value)| (labels.get("metric").cloned(), value));
        let named: Vec<(Option<String>, f64)> = named.collect();
        (!named.is_empty()).then_some(named)
    });
    assert_eq!(given_up.len(), 1, "{given_up:?}");
    assert!(
        given_up[0].0.as_deref() == Some("work_done_total") && given_up[0].1 >= 1.0,
        "{given_up:?}"
    );
    let own = |name: &str| service.own(&format!("tallyboard_export_{name}_total"), TARGET);
    assert!(own("samples_sent") > 0.0 && own("samples_dropped") == 0.0);
    // What was refused is what was given up, and was found in few requests of each snapshot.
    let (requests, failed) = (own("requests"), own("requests_failed"));
    assert!(failed > 0.0 && requests > failed, "{requests} {failed}");
    let log = service.stop().stderr;
    let line = "the rest of their request was sent without them";
    assert_eq!(log.matches(line).count(), 1, "{log}");
    assert!(log.contains("metric=work_done_total") && log.contains("out of order"), "{log}");
}

#[test]
fn the_last_values_of_a_service_that_stops_are_written() {
    let _watchdog = Watchdog::new("the_last_values_of_a_service_that_stops_are_written");
    let prometheus = prometheus("exemplar-storage");
    // The first export is at the start, and the second one would be in an hour.
    let mut service = service_at("stops", prometheus.address(), "1h", &[]);
    service.work(&[0.5, 2.5]);
    let expected = service.expected(Shown::Classic);
    let ended = service.stop();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(known(&prometheus).numbers, expected);
}

/// How Prometheus is reached: with a certificate that it trusts, and a password.
const SECURED: &str = "tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
basic_auth_users:
  me: $2b$04$aaaaaaaaaaaaaaaaaaaaaOCkZMol40ualqd/rmQjbPoeqGtJo3QjK
";

#[test]
fn who_writes_shows_a_certificate_and_a_password_and_wants_to_see_one_that_it_trusts() {
    let _watchdog = Watchdog::new("who_writes_shows_a_certificate_and_a_password");
    let directory = Directory::new("secured");
    let file = |name: &str| directory.file(name).display().to_string();
    certificates(&directory);
    fs::write(file("web.yml"), SECURED).expect("the configuration is written");
    fs::write(file("prometheus.yml"), "global: {}\n").expect("the configuration is written");
    fs::write(file("good"), "pass-word\n").expect("the password is written");
    fs::write(file("bad"), "pass-phrase").expect("the password is written");
    let address = free_address();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file("prometheus.yml")));
    command.arg(format!("--storage.tsdb.path={}", file("data")));
    command.arg(format!("--web.config.file={}", file("web.yml")));
    command.arg(format!("--web.listen-address={address}")).arg(RECEIVER);
    let mut prometheus = Running::start(&mut command);
    until(|| {
        assert!(prometheus.is_running(), "expected Prometheus on {address}");
        TcpStream::connect(address).ok()
    });
    // Which authority is trusted, whose certificate is shown, which password; and what comes of it.
    for (number, (ca, client, password, expect)) in [
        ("ca", Some("client"), "good", None),
        ("other", Some("client"), "good", Some("UnknownIssuer")),
        ("ca", None, "good", Some("gave no HTTP answer")),
        ("ca", Some("client"), "bad", Some("answered 401")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut flags = vec![
            format!("--remote-write.url=https://{address}/api/v1/write"),
            "--remote-write.interval=250ms".to_owned(),
            "--remote-write.username=me".to_owned(),
            format!("--remote-write.password-file={}", file(password)),
            format!("--remote-write.tls.ca={}", file(&format!("{ca}.pem"))),
        ];
        if let Some(client) = client {
            flags.push(format!("--remote-write.tls.cert={}", file(&format!("{client}.pem"))));
            flags.push(format!("--remote-write.tls.key={}", file(&format!("{client}.key"))));
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let service = Service::start_with(&format!("secured-{number}"), INSTRUMENTS, &flags, &[]);
        let figure = if expect.is_some() { "requests_failed_total" } else { "samples_sent_total" };
        let figure = format!("tallyboard_export_{figure}");
        until(|| (service.own(&figure, TARGET) > 0.0).then_some(()));
        let is_good = service.own("tallyboard_export_samples_sent_total", TARGET) > 0.0;
        assert_eq!(is_good, expect.is_none(), "{expect:?}");
        let log = service.stop().stderr;
        assert!(log.contains(expect.unwrap_or_default()), "{expect:?}: {log}");
        assert!(!log.contains("pass-"), "{log}");
    }
}
