//! What readers get, by what they ask for.

#![forbid(unsafe_code)]

use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::negotiation::{Encoding, Negotiated, accepts_encoding, negotiate};

/// Text 0.0.4 with underscores.
const DEFAULT: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_100: &str = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores";
const OM_001: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";
const OM_100: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
const OM_200: &str =
    "application/openmetrics-text; version=2.0.0; charset=utf-8; escaping=underscores";

fn check(rows: &[(&str, &str)]) {
    for (accept, expect) in rows {
        assert_eq!(negotiate(accept).content_type(), *expect, "{accept:?}");
    }
}

#[test]
fn prometheus_gets_what_it_prefers() {
    const UTF8_OM: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
    check(&[
        // 1.x, and 2.0 to 2.4.
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", DEFAULT),
        // 2.5 to 2.33.
        (
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OM_001,
        ),
        // 2.34 to 2.48: 2.42 among them.
        (
            "application/openmetrics-text;version=1.0.0,\
             application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,\
             */*;q=0.1",
            OM_100,
        ),
        // 2.49 to 2.55: 2.53 among them.
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,\
             */*;q=0.2",
            OM_100,
        ),
        // 3.x.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,\
             */*;q=0.2",
            UTF8_OM,
        ),
        // 3.x that is told to scrape text, and one that validates names as 2.x did.
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,\
             */*;q=0.4",
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        ("text/plain;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.4", TEXT_100),
    ]);
}

#[cfg(feature = "protobuf")]
#[test]
fn protocol_buffers_are_for_those_who_name_all_of_it() {
    const PROTOBUF: &str = "application/vnd.google.protobuf; \
        proto=io.prometheus.client.MetricFamily; encoding=delimited";
    check(&[
        // 2.40 to 2.48 with native histograms.
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,\
             application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,\
             */*;q=0.1",
            PROTOBUF,
        ),
        // 3.x with native histograms.
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,\
             */*;q=0.1",
            PROTOBUF,
        ),
        ("application/vnd.google.protobuf", DEFAULT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily", DEFAULT),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=text",
            DEFAULT,
        ),
        ("application/vnd.google.protobuf;proto=a.B;encoding=delimited", DEFAULT),
    ]);
}

#[test]
fn nobody_is_refused() {
    check(&[
        ("", DEFAULT),
        (" ", DEFAULT),
        (",;,", DEFAULT),
        ("*", DEFAULT),
        ("*/*", DEFAULT),
        ("text/*", DEFAULT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", DEFAULT),
        ("application/json", DEFAULT),
        ("image/png, nonsense, /, a/b/c", DEFAULT),
        ("text/plain;q=0", DEFAULT),
        ("*/*;q=0", DEFAULT),
        ("text/plain;version=3.0.0", DEFAULT),
        ("application/openmetrics-text;version=7.0.0", DEFAULT),
        ("application/openmetrics-text;version=\"", DEFAULT),
    ]);
}

#[test]
fn versions_are_those_that_are_named() {
    check(&[
        ("text/plain", DEFAULT),
        ("text/plain;version=", DEFAULT),
        ("text/plain; version=0.0.4; charset=utf-8", DEFAULT),
        ("text/plain;version=1.0.0", TEXT_100),
        ("application/openmetrics-text", OM_100),
        ("application/openmetrics-text;version=1.0.0", OM_100),
        ("application/openmetrics-text;version=0.0.1", OM_001),
        ("application/openmetrics-text;version=2.0.0", OM_200),
        ("application/openmetrics-text;version=2.0.0;q=0.1,application/json", OM_200),
        ("application/*", OM_100),
        ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OM_100),
        ("application/openmetrics-text ; version = 1.0.0", OM_100),
        ("application/openmetrics-text;a=\"b,c;d\\\"\";version=\"0\\.0.1\"", OM_001),
    ]);
}

#[test]
fn what_is_wanted_most_is_given() {
    const BOTH: &str = "application/openmetrics-text;version=1.0.0";
    check(&[
        (&format!("text/plain,{BOTH}"), DEFAULT),
        (&format!("{BOTH},text/plain"), OM_100),
        (&format!("text/plain;q=0.5,{BOTH};q=0.6"), OM_100),
        (&format!("{BOTH};q=0.001,text/plain;q=0.002"), DEFAULT),
        (&format!("{BOTH};q=0,text/plain;q=0.1"), DEFAULT),
        (&format!("text/plain;q=0,{BOTH};q=0.1"), OM_100),
        // A range that is no range, and weights that are none.
        (&format!("{BOTH};q=x,text/plain;q=0.1"), DEFAULT),
        (&format!("{BOTH};q=NaN,text/plain;q=0.1"), DEFAULT),
        (&format!("{BOTH};q=-1,text/plain;q=0.1"), DEFAULT),
        // What is named exactly counts, whatever is said of everything.
        ("*/*,text/plain;q=0", OM_100),
        ("text/plain;q=0.1,*/*;q=0.8", OM_100),
        (&format!("*/*,{BOTH}"), OM_100),
        (&format!("{BOTH},*/*"), OM_100),
        (&format!("text/*;q=0,{BOTH};q=0.1"), OM_100),
    ]);
}

#[test]
fn escaping_is_that_of_the_range_that_is_chosen() {
    for (accept, format, escaping) in [
        ("text/plain;escaping=dots", Format::Text004, Escaping::Dots),
        ("text/plain;version=1.0.0;escaping=values", Format::Text100, Escaping::Values),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", Format::Text100, Escaping::AllowUtf8),
        ("text/plain;escaping=nothing", Format::Text004, Escaping::Underscores),
        ("*/*;escaping=allow-utf-8", Format::Text004, Escaping::AllowUtf8),
        ("text/plain;q=0.5;escaping=dots,*/*", Format::OpenMetrics100, Escaping::Underscores),
        (
            "application/json;escaping=values,application/openmetrics-text;q=0.5;escaping=dots",
            Format::OpenMetrics100,
            Escaping::Dots,
        ),
    ] {
        let expect = Negotiated { format, escaping };
        assert_eq!(negotiate(accept), expect, "{accept}");
    }
}

#[test]
fn bodies_are_coded_as_readers_want() {
    for (header, expect) in [
        ("", Encoding::Identity),
        ("identity", Encoding::Identity),
        ("gzip", Encoding::Gzip),
        ("GZIP", Encoding::Gzip),
        ("x-gzip", Encoding::Gzip),
        ("deflate, br", Encoding::Identity),
        ("gzip;q=0", Encoding::Identity),
        ("gzip;q=0.0", Encoding::Identity),
        ("gzip; q = 0.5", Encoding::Gzip),
        ("gzip;q=x", Encoding::Identity),
        ("gzip;q=0.5,identity", Encoding::Identity),
        ("identity;q=0.5,gzip;q=0.5", Encoding::Gzip),
        ("*", Encoding::Identity),
        ("*;q=0", Encoding::Identity),
        ("identity;q=0", Encoding::Identity),
        ("identity;q=0, *", Encoding::Gzip),
        ("identity;q=0, *, gzip;q=0", Encoding::Identity),
        // Browsers name Zstandard among others.
        ("gzip, deflate, br, zstd", Encoding::Gzip),
        ("zstd, gzip", Encoding::Gzip),
        ("zstd", Encoding::Zstd),
        ("zstd, gzip;q=0.9", Encoding::Zstd),
        ("zstd;q=0.5, gzip;q=0.4, identity;q=0.5", Encoding::Zstd),
        ("zstd;q=0.5, identity", Encoding::Identity),
        ("zstd;q=0", Encoding::Identity),
    ] {
        assert_eq!(accepts_encoding(header), expect, "{header:?}");
    }
}
