//! What goes over the wire, byte by byte and field by field.

#![forbid(unsafe_code)]

mod otlp;
mod remote_write;

use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::FamilySamples;

/// When the snapshots of these tests were taken, in milliseconds since 1970.
const AT: i64 = 1_700_000_000_123;

/// The families of a document in OpenMetrics 2.0, but for its end.
fn families(text: &str) -> Vec<FamilySamples> {
    let text = format!("{text}# EOF\n");
    let families = parse(text.as_bytes(), Format::OpenMetrics200, &Options::default());
    families.unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Holds messages against the bytes that they had when other decoders read them as they are meant:
/// `opentelemetry-proto` for OTLP, Prometheus and VictoriaMetrics for remote write.
fn check_golden(messages: &[(&str, Vec<u8>)]) {
    for (name, message) in messages {
        let bytes = message.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let found = format!("{name} {bytes}");
        let golden = include_str!("golden.txt");
        assert!(golden.lines().any(|line| line == found), "{name} has other bytes: {found}");
    }
}
