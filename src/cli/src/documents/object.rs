//! What a document says, as JSON.

use serde_json::{Map, Value, json};
use tallyboard_exposition::sample::{
    Exemplar, FamilySamples, Labels, NativeBuckets, NativeHistogram, Sample, Timestamp,
};
use tallyboard_exposition::text::float_text;

/// A family with its samples.
pub fn family_object(family: &FamilySamples) -> Value {
    let samples = family.samples.iter();
    let samples: Vec<Value> = samples.map(|sample| sample_object(&family.name, sample)).collect();
    json!({
        "name": family.name,
        "type": family.kind.name(),
        "unit": family.unit,
        "help": family.help,
        "samples": samples,
    })
}

/// A sample. Numbers are texts, as in Prometheus' own JSON, which has no NaN and no infinity.
fn sample_object(family: &str, sample: &Sample) -> Value {
    let mut object = Map::new();
    object.insert("name".into(), format!("{family}{}", sample.suffix).into());
    object.insert("labels".into(), labels_object(&sample.labels));
    object.insert("value".into(), value_text(sample.value).into());
    if let Some(timestamp) = sample.timestamp {
        object.insert("timestamp".into(), seconds_text(timestamp).into());
    }
    if let Some(exemplar) = &sample.exemplar {
        object.insert("exemplar".into(), exemplar_object(exemplar));
    }
    if let Some(native) = &sample.native {
        object.insert("histogram".into(), native_object(native));
    }
    object.into()
}

fn native_object(native: &NativeHistogram) -> Value {
    let exemplars: Vec<Value> = native.exemplars.iter().map(exemplar_object).collect();
    json!({
        "schema": native.schema,
        "zero_threshold": number_text(native.zero_threshold),
        "zero_count": value_text(native.zero_count),
        "sum": number_text(native.sum),
        "positive": buckets_object(&native.positive),
        "negative": buckets_object(&native.negative),
        "exemplars": exemplars,
    })
}

fn buckets_object(buckets: &NativeBuckets) -> Value {
    let spans = buckets.spans.iter().map(|span| json!([span.offset, span.length]));
    let counts = buckets.counts.iter().map(|count| value_text(*count));
    json!({ "spans": spans.collect::<Vec<_>>(), "counts": counts.collect::<Vec<_>>() })
}

fn exemplar_object(exemplar: &Exemplar) -> Value {
    let mut object = Map::new();
    object.insert("labels".into(), labels_object(&exemplar.labels));
    object.insert("value".into(), number_text(exemplar.value).into());
    if let Some(timestamp) = exemplar.timestamp {
        object.insert("timestamp".into(), seconds_text(timestamp).into());
    }
    object.into()
}

fn labels_object(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect()
}

fn value_text(value: tallyboard_exposition::sample::Value) -> String {
    match value {
        tallyboard_exposition::sample::Value::Whole(value) => value.to_string(),
        tallyboard_exposition::sample::Value::Float(value) => number_text(value),
    }
}

fn number_text(value: f64) -> String {
    let text = float_text(value);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Seconds with nanoseconds, which round down: -0.5 is half a second behind -1.
fn seconds_text(timestamp: Timestamp) -> String {
    let nanos = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_with_nanoseconds() {
        for (seconds, nanos, expect) in [
            (0, 0, "0.000000000"),
            (1, 5, "1.000000005"),
            (-1, 500_000_000, "-0.500000000"),
            (-2, 750_000_000, "-1.250000000"),
        ] {
            assert_eq!(seconds_text(Timestamp { seconds, nanos }), expect);
        }
    }
}
