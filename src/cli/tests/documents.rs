//! `tallyboard parse` and `tallyboard check` as their users meet them: a document, where it comes
//! from, an exit status.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tallyboard");

/// Exit status, standard output and standard error.
type Answer = (Option<i32>, String, String);

fn run(arguments: &[&str], document: &[u8]) -> Answer {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command line that is none ends the program before it reads.
    let _ = child.stdin.take().unwrap().write_all(document);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn check(arguments: &[&str], document: &str, expect: (i32, &str, &str)) {
    let (status, out, err) = run(arguments, document.as_bytes());
    let found = (status.unwrap_or(-1), out.as_str(), err.as_str());
    assert_eq!(found, expect, "{arguments:?} {document:?}");
}

#[test]
fn a_document_is_summed_up_or_its_error_has_a_place() {
    let openmetrics = "# TYPE a counter\na_total 1\n# EOF\n";
    let ordered = "# TYPE a summary\na {count:1,sum:2,quantile:[]}\n# EOF\n";
    for (format, document, line) in [
        ("auto", "a 1\n", "text: 1 families, 1 samples\n"),
        ("text", "a 1\nb 2\n", "text: 2 families, 2 samples\n"),
        ("text-1.0", "{\"a.b\"} 1\n", "text-1.0: 1 families, 1 samples\n"),
        ("auto", openmetrics, "openmetrics: 1 families, 1 samples\n"),
        ("openmetrics", openmetrics, "openmetrics: 1 families, 1 samples\n"),
        ("auto", ordered, "openmetrics-2.0: 1 families, 2 samples\n"),
        ("protobuf", "", "protobuf: 0 families, 0 samples\n"),
    ] {
        check(&["parse", "--format", format, "-"], document, (0, line, ""));
    }
    let missing = "2:1: expected \"# EOF\", found the end of the document\n";
    check(&["parse", "--format", "openmetrics"], "a 1\n", (1, "", missing));
    check(&["parse"], "a b\n", (1, "", "1:3: expected a number, found \"b\"\n"));
}

#[test]
fn what_is_no_exposition_is_status_1_with_its_place() {
    for (document, expect) in [
        (&b"a 1\r\n"[..], "1:3: expected a number, found \"1\\r\""),
        (b"\xef\xbb\xbfa 1\n", "1:1: expected a metric name, found '\\u{feff}'"),
        (b"a 1\nb\xff 1\n", "2:2: expected UTF-8, found the byte 0xff"),
        (b"\0", "1:1: expected a metric name, found '\\0'"),
        (b"a 1", "1:4: expected a line feed, found the end of the document"),
        (b"a 1 1.5\n", "1:5: expected a timestamp in whole milliseconds, found \"1.5\""),
        (b"# HELP a b\n# HELP a b\n", "2:10: the family \"a\" has a line HELP already"),
        (b"a 1 \n# EOF\n", "1:5: expected a timestamp in seconds, found the end of the line"),
        (b"a{b=\"c\",} 1\n# EOF\n", "1:9: expected a label name, found '}'"),
        (b"a 1\nb 1\na 2\n# EOF\n", "3:1: the name \"a\" of this family is taken by another one"),
        (b"# TYPE a counter\na_total -1\n# EOF\n", "2:1: expected a number that is not negative"),
        (
            b"# TYPE a counter\na 1 st@1 2\n# EOF\n",
            "2:10: expected '#' before an exemplar, found '2'",
        ),
    ] {
        for command in ["parse", "check"] {
            let (status, out, err) = run(&[command], document);
            let found = (status, out.as_str(), err.trim_end());
            assert_eq!(found, (Some(1), "", expect), "{command} {document:?}");
        }
    }
}

#[test]
fn odd_documents_are_expositions_too() {
    for (document, families) in [
        ("", "text: 0 families, 0 samples"),
        ("\n \t\n#\n", "text: 0 families, 0 samples"),
        ("# EOF", "openmetrics: 0 families, 0 samples"),
        ("# EOF\n", "openmetrics: 0 families, 0 samples"),
        ("a{b=\"\0\"}NaN -5\n", "text: 1 families, 1 samples"),
        ("a 1\na 1\nb 1\na 2\n", "text: 2 families, 4 samples"),
        ("{\"a b\"} 1\n# EOF", "openmetrics: 1 families, 1 samples"),
        ("# TYPE a counter\na 1 5 st@1\n# EOF\n", "openmetrics-2.0: 1 families, 2 samples"),
    ] {
        check(&["parse"], document, (0, &format!("{families}\n"), ""));
    }
    let long = format!("a{{b=\"{}\"}} 1\n", "c".repeat(1 << 20));
    check(&["parse"], &long, (0, "text: 1 families, 1 samples\n", ""));
    let labels: Vec<String> = (0..1000).map(|at| format!("b{at}=\"\"")).collect();
    let many = format!("a{{{}}} 1\n", labels.join(","));
    check(&["parse"], &many, (0, "text: 1 families, 1 samples\n", ""));
}

#[test]
fn a_document_is_written_as_json() {
    let document = "# HELP a b\n# TYPE a counter\na_total{c=\"d\"} 1 2.5 # {e=\"f\"} NaN 3\n\
        # TYPE h histogram\nh {count:2,sum:3,schema:0,zero_threshold:0.5,zero_count:0,\
        positive_spans:[0:1],positive_deltas:[2]}\n# EOF\n";
    let (status, out, err) = run(&["parse", "--json"], document.as_bytes());
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let total = json!({
        "name": "a_total",
        "labels": { "c": "d" },
        "value": "1",
        "timestamp": "2.500000000",
        "exemplar": { "labels": { "e": "f" }, "value": "NaN", "timestamp": "3.000000000" },
    });
    let histogram = json!({
        "schema": 0,
        "zero_threshold": "0.5",
        "zero_count": "0",
        "sum": "3",
        "positive": { "spans": [[0, 1]], "counts": ["2"] },
        "negative": { "spans": [], "counts": [] },
        "exemplars": [],
    });
    let native = json!({ "name": "h", "labels": {}, "value": "2", "histogram": histogram });
    let expect = json!({
        "format": "openmetrics",
        "families": [
            { "name": "a", "type": "counter", "unit": "", "help": "b", "samples": [total] },
            { "name": "h", "type": "histogram", "unit": "", "help": "", "samples": [native] },
        ],
    });
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expect);
}

#[test]
fn what_cannot_be_read_or_meant_is_status_2() {
    for arguments in [
        &["parse", "--format", "xml"][..],
        &["parse", "a", "b"],
        &["parse", "/no/such/file"],
        &["check", "/no/such/file"],
        &["check", "https://127.0.0.1/metrics"],
        &["check", "http://127.0.0.1:1/metrics"],
        &["check", "--json"],
    ] {
        let (status, out, err) = run(arguments, b"");
        assert_eq!((status, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_check_has_the_exit_status_of_promtool() {
    let good = "# HELP a_total b\n# TYPE a_total counter\na_total 1\n";
    check(&["check"], good, (0, "", ""));
    check(&["check", "-"], "a 1\n", (3, "", "a no help text\n"));
    check(&["check"], "a\n", (1, "", "1:2: expected a number, found the end of the line\n"));
    let openmetrics = "# HELP a b\n# TYPE a counter\na_total 1\n# EOF\n";
    check(&["check"], openmetrics, (0, "", ""));
    let wrong = "# HELP a b\n# TYPE a counter\na_total NaN\n# EOF\n";
    let number = "3:1: expected a number, found NaN, which nothing that counts has\n";
    check(&["check"], wrong, (1, "", number));
    // Version 2.0 has counters that are called otherwise.
    let two = "# HELP a b\n# TYPE a counter\na 1\n# EOF\n";
    let suffix = "a counter metrics should have \"_total\" suffix\n";
    check(&["check"], two, (3, "", suffix));
    check(&["check"], "# HELP q_gauge_size h\nq_gauge_size 3\n", (0, "", ""));
    let up = "# HELP up h\n# TYPE up gauge\nup 1\n";
    let own = "up samples called \"up\" replace those that Prometheus adds to each target\n";
    check(&["check"], up, (3, "", own));
    // Any names are for OpenMetrics and for text 1.0.0.
    let text = "# HELP \"a.b\" c\n# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n";
    let name = "1:8: expected a metric name of [a-zA-Z0-9_:], found \"a.b\"\n";
    check(&["check"], text, (1, "", name));
    check(&["check"], &format!("{text}# EOF\n"), (0, "", ""));
    check(&["check"], "", (0, "", ""));
    check(&["check"], "# EOF", (0, "", ""));
    let camel = "# HELP aB_ms c\n# TYPE aB_ms gauge\naB_ms{cD=\"e\"} 1\n";
    let problems = "aB_ms label names should be written in 'snake_case' not 'camelCase'\n\
        aB_ms metric names should be written in 'snake_case' not 'camelCase'\n\
        aB_ms metric names should not contain abbreviated units\n";
    check(&["check"], camel, (3, "", problems));
    check(&["check"], &format!("{camel}# EOF\n"), (3, "", problems));
}

#[test]
fn a_document_comes_from_a_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics?x=y", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in [
            "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\na 1\n",
            "HTTP/1.0 503 Service Unavailable\r\n\r\na 1\n",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap();
            asked.push(String::from_utf8_lossy(&head[..length]).into_owned());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    check(&["check", &url], "", (3, "", "a no help text\n"));
    let (status, _, err) = run(&["check", &url], b"");
    assert_eq!(status, Some(2));
    // A query may have a token in it.
    assert!(err.contains("/metrics?… answered 503"), "{err}");
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("GET /metrics?x=y HTTP/1.1\r\n"), "{asked:?}");
    assert!(asked[0].contains("application/openmetrics-text"), "{asked:?}");
}
