//! What the formats forbid. Readers refuse a document for it, and writers leave it out, in that format
//! alone: so what is written can be read. Each rule is here once, for both.

use crate::number;
use crate::sample::{Labels, NativeBuckets, NativeHistogram, Sample, Type, Value};

/// Characters of an exemplar's label names and values together, in OpenMetrics 1.0.
pub(crate) const MOST_EXEMPLAR_CHARACTERS: usize = 128;

/// The value of a label.
pub(crate) fn label<'a>(labels: &'a Labels, name: &str) -> Option<&'a str> {
    labels.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

/// What OpenMetrics 1.0 says of one sample, of a family of this type and name, which has this suffix
/// there. Gives the bound of a bucket, and 0 for everything else.
pub(crate) fn sample(
    kind: Type,
    family: &str,
    suffix: &str,
    sample: &Sample,
) -> Result<f64, &'static str> {
    let bound = bound(kind, family, suffix, &sample.labels)?;
    value(kind, suffix, sample.value)?;
    Ok(bound)
}

/// Refuses a sample without the label that its type needs.
fn bound(kind: Type, family: &str, suffix: &str, labels: &Labels) -> Result<f64, &'static str> {
    match (kind, suffix) {
        (Type::StateSet, _) if label(labels, family).is_none() => {
            Err("expected a label with the name of the stateset")
        }
        (Type::Histogram | Type::GaugeHistogram, "_bucket") => {
            let text = label(labels, "le").ok_or("expected a label \"le\"")?;
            let bound = number::float(text).filter(|bound| !bound.is_nan());
            let bound = bound.filter(|bound| *bound != f64::INFINITY || text == "+Inf");
            bound.ok_or("expected a number in \"le\", \"+Inf\" for infinity")
        }
        (Type::Summary, "") => {
            let text = label(labels, "quantile");
            let text = text.ok_or("expected a label \"quantile\"")?;
            match number::float(text).filter(|quantile| (0.0..=1.0).contains(quantile)) {
                Some(_) => Ok(0.0),
                None => Err("expected a number from 0 to 1 in \"quantile\""),
            }
        }
        _ => Ok(0.0),
    }
}

/// Refuses a value that a sample of this type and suffix cannot have.
fn value(kind: Type, suffix: &str, number: Value) -> Result<(), &'static str> {
    let value = number.as_f64();
    let is_quantile = kind == Type::Summary && suffix.is_empty();
    let counts = matches!(suffix, "_total" | "_sum" | "_count" | "_bucket" | "_gcount");
    if kind == Type::StateSet && value != 0.0 && value != 1.0 {
        return Err("expected 0 or 1 as the value of a state");
    }
    if kind == Type::Info && value != 1.0 {
        return Err("expected 1 as the value of an info");
    }
    if is_quantile && value < 0.0 {
        return Err("expected a quantile that is not negative");
    }
    if matches!(suffix, "_bucket" | "_count" | "_gcount") && !is_whole(number) {
        return Err("expected a whole number as the value of a bucket or a count");
    }
    if (counts || suffix == "_gsum") && value.is_nan() {
        return Err("expected a number, found NaN, which nothing that counts has");
    }
    if counts && value < 0.0 {
        return Err("expected a number that is not negative");
    }
    Ok(())
}

pub(crate) fn is_whole(value: Value) -> bool {
    match value {
        Value::Whole(_) => true,
        Value::Float(value) => value.is_finite() && value.fract() == 0.0,
    }
}

/// What was seen of one histogram of OpenMetrics 1.0 at one moment: its buckets, count and sum are
/// samples beside each other.
#[derive(Default)]
pub(crate) struct Seen {
    bucket: Option<f64>,
    value: f64,
    count: Option<f64>,
    has_sum: bool,
    has_negative_sum: bool,
    has_gauge_sum: bool,
    has_negative_bucket: bool,
}

impl Seen {
    /// Takes a sample; `bound` is the label `le` of a bucket.
    pub(crate) fn take(
        &mut self,
        suffix: &str,
        bound: f64,
        value: f64,
    ) -> Result<(), &'static str> {
        match suffix {
            "_bucket" => {
                if self.bucket.is_some_and(|last| bound <= last) {
                    return Err("expected buckets in increasing order of \"le\"");
                }
                if value < self.value {
                    return Err("expected as much in a bucket as in the one before it");
                }
                self.has_negative_bucket |= bound < 0.0;
                self.bucket = Some(bound);
                self.value = value;
            }
            "_count" | "_gcount" => self.count = Some(value),
            "_sum" => self.has_sum = true,
            "_gsum" => {
                self.has_gauge_sum = true;
                self.has_negative_sum |= value < 0.0;
            }
            _ => {}
        }
        Ok(())
    }

    /// Judges the histogram when its last sample was taken.
    pub(crate) fn finish(&self) -> Result<(), &'static str> {
        let has_sum = self.has_sum || self.has_gauge_sum;
        if self.bucket != Some(f64::INFINITY) {
            Err("expected a last bucket with le=\"+Inf\" in this histogram")
        } else if self.count.is_some_and(|count| count != self.value) {
            Err("expected the count of this histogram to be that of its bucket \"+Inf\"")
        } else if has_sum && self.count.is_none() {
            Err("expected a count beside the sum of this histogram")
        } else if self.count.is_some() && !has_sum {
            Err("expected a sum beside the count of this histogram")
        } else if self.has_negative_bucket && self.has_sum {
            Err("a histogram with negative bounds of buckets has no sum")
        } else if !self.has_negative_bucket && self.has_negative_sum {
            Err("a histogram without negative bounds of buckets has no negative sum")
        } else {
            Ok(())
        }
    }
}

/// What OpenMetrics 2.0 says of a value that is one number; `name` is the whole name of its family.
pub(crate) fn number(
    kind: Type,
    name: &str,
    labels: &Labels,
    value: f64,
) -> Result<(), &'static str> {
    match kind {
        Type::Counter if value.is_nan() || value < 0.0 => {
            Err("expected a number that is not negative")
        }
        Type::Info if value != 1.0 => Err("expected 1 as the value of an info"),
        Type::StateSet if label(labels, name).is_none() => {
            Err("expected a label with the name of the stateset")
        }
        Type::StateSet if value != 0.0 && value != 1.0 => {
            Err("expected 0 or 1 as the value of a state")
        }
        _ => Ok(()),
    }
}

/// What OpenMetrics 2.0 says of the count of a summary.
pub(crate) fn summary_count(count: Value) -> Result<(), &'static str> {
    match is_whole(count) && count.as_f64() >= 0.0 {
        true => Ok(()),
        false => Err("expected a whole count that is not negative"),
    }
}

/// What OpenMetrics 2.0 says of classic buckets, each a bound and a count of all up to it.
pub(crate) fn buckets(
    kind: Type,
    count: Value,
    buckets: &[(f64, Value)],
) -> Result<(), &'static str> {
    let Some((_, last)) = buckets.last().filter(|(bound, _)| *bound == f64::INFINITY) else {
        return Err("expected a last bucket \"+Inf\"");
    };
    if last.as_f64() != count.as_f64() {
        return Err("expected the bucket \"+Inf\" to have the count of the histogram");
    }
    let falls = |pair: &[(f64, Value)]| pair[1].1.as_f64() < pair[0].1.as_f64();
    if kind == Type::Histogram && buckets.windows(2).any(falls) {
        return Err("expected as much in a bucket as in the one before it");
    }
    let is_negative = |(_, count): &(f64, Value)| count.as_f64() < 0.0;
    if kind == Type::Histogram && buckets.iter().any(is_negative) {
        return Err("expected counts that are not negative");
    }
    Ok(())
}

/// What OpenMetrics 2.0 says of the counts of a histogram.
pub(crate) fn counts(
    kind: Type,
    count: Value,
    native: Option<&NativeHistogram>,
) -> Result<(), &'static str> {
    let sides = native.iter().flat_map(|native| [&native.positive, &native.negative]);
    let counts = sides.flat_map(|side| &side.counts);
    let zero = native.iter().map(|native| &native.zero_count);
    let mut all = counts.chain(zero).chain([&count]);
    match kind == Type::Histogram && all.any(|count| count.as_f64() < 0.0) {
        true => Err("expected counts that are not negative"),
        false => Ok(()),
    }
}

/// The count that the buckets of a native histogram add up to, if `count` is another one; what is NaN
/// is in no bucket.
pub(crate) fn add_up(native: &NativeHistogram, count: Value) -> Result<(), u128> {
    let counts = native.positive.counts.iter().chain(&native.negative.counts);
    let mut total = 0_u128;
    for count in counts.chain([&native.zero_count]) {
        let Value::Whole(count) = count else { return Ok(()) };
        total += u128::from(*count);
    }
    let Value::Whole(count) = count else { return Ok(()) };
    let is_sound = match native.sum.is_nan() {
        true => total <= u128::from(count),
        false => total == u128::from(count),
    };
    if is_sound { Ok(()) } else { Err(total) }
}

/// What OpenMetrics 2.0 says of a native histogram beside its counts.
pub(crate) fn native(native: &NativeHistogram) -> Result<(), &'static str> {
    if !(-4..=8).contains(&native.schema) {
        return Err("expected a schema from -4 to 8");
    }
    if !(0.0..f64::INFINITY).contains(&native.zero_threshold) {
        return Err("expected a threshold that is not negative");
    }
    match [&native.positive, &native.negative].into_iter().all(has_spans) {
        true => Ok(()),
        false => Err("expected as many buckets as in the spans"),
    }
}

/// Whether the spans are of as many buckets as there are counts, one behind the other.
pub(crate) fn has_spans(buckets: &NativeBuckets) -> bool {
    let length: u64 = buckets.spans.iter().map(|span| u64::from(span.length)).sum();
    let is_rising = buckets.spans.iter().skip(1).all(|span| span.offset >= 0);
    let offsets: i64 = buckets.spans.iter().map(|span| i64::from(span.offset)).sum();
    is_rising && i32::try_from(offsets).is_ok() && length == buckets.counts.len() as u64
}
