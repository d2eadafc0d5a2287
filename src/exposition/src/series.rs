//! Which samples of a family belong together.

use crate::sample::{FamilySamples, Labels, Sample, Timestamp, Type};

/// The samples of a family, one slice for each series and moment: the buckets, count, sum and start
/// of a histogram are one, as are the count and start of a counter.
#[must_use]
pub fn points(family: &FamilySamples) -> Vec<&[Sample]> {
    let samples = &family.samples[..];
    if is_simple(family.kind) {
        return samples.chunks(1).collect();
    }
    let mut points = Vec::new();
    let mut start = 0;
    let mut moment = None;
    for (at, sample) in samples.iter().enumerate() {
        // The start of a series has no moment of its own.
        let is_timed = sample.suffix != "_created";
        let is_later = is_timed && moment.is_some_and(|moment| moment != sample.timestamp);
        if is_later || !is_same_series(family.kind, &samples[start], sample) {
            points.push(&samples[start..at]);
            start = at;
            moment = None;
        }
        if is_timed {
            moment.get_or_insert(sample.timestamp);
        }
    }
    points.extend(Some(&samples[start..]).filter(|rest| !rest.is_empty()));
    points
}

/// Whether each sample of the type stands for itself.
fn is_simple(kind: Type) -> bool {
    match kind {
        Type::Gauge | Type::Info | Type::StateSet | Type::Unknown => true,
        Type::Counter | Type::Histogram | Type::GaugeHistogram | Type::Summary => false,
    }
}

fn is_same_series(kind: Type, a: &Sample, b: &Sample) -> bool {
    series_labels(kind, &a.labels).eq(series_labels(kind, &b.labels))
}

/// The label that tells the samples of one series apart.
#[must_use]
pub fn inner_label(kind: Type) -> Option<&'static str> {
    match kind {
        Type::Histogram | Type::GaugeHistogram => Some("le"),
        Type::Summary => Some("quantile"),
        _ => None,
    }
}

/// The labels of a sample without `le` and `quantile` where they are not the series' own.
pub fn series_labels(kind: Type, labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    let inner = inner_label(kind);
    let labels = labels.iter().filter(move |(name, _)| Some(name.as_str()) != inner);
    labels.map(|(name, value)| (name.as_str(), value.as_str()))
}

/// The label that tells a sample apart from the others of its series, as a number.
#[must_use]
pub fn bound(kind: Type, sample: &Sample) -> Option<f64> {
    let inner = inner_label(kind)?;
    let (_, value) = sample.labels.iter().find(|(name, _)| name == inner)?;
    value.parse().ok()
}

/// Whether a sample is of a classic histogram.
#[must_use]
pub fn is_classic(sample: &Sample) -> bool {
    ["_bucket", "_count", "_sum", "_gcount", "_gsum"].contains(&&*sample.suffix)
}

/// When the series of a point began, if somebody said a moment that there is.
#[must_use]
pub fn start(point: &[Sample]) -> Option<Timestamp> {
    let sample = point.iter().find(|sample| sample.suffix == "_created")?;
    Timestamp::from_seconds(sample.value.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Value;

    /// Suffix, labels and moment of a sample.
    type Row<'a> = (&'static str, &'a [(&'a str, &'a str)], Option<i64>);

    fn check(kind: Type, samples: &[Row<'_>], expect: &[usize]) {
        let sample = |&(suffix, labels, millis): &Row<'_>| {
            let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            let mut sample = Sample::new(suffix, labels.collect(), Value::Whole(1));
            sample.timestamp = millis.map(Timestamp::from_millis);
            sample
        };
        let samples = samples.iter().map(sample).collect();
        let family = FamilySamples { kind, samples, ..FamilySamples::default() };
        let lengths: Vec<usize> = points(&family).iter().map(|point| point.len()).collect();
        assert_eq!(lengths, expect, "{family:?}");
    }

    #[test]
    fn samples_of_one_series_and_moment_belong_together() {
        check(Type::Histogram, &[], &[]);
        let bucket = |le| ("_bucket", le, None);
        let (one, all) = (&[("le", "1")][..], &[("le", "+Inf")][..]);
        let (count, created) = (("_count", &[][..], None), ("_created", &[][..], None));
        check(Type::Histogram, &[bucket(one), bucket(all), count, created], &[4]);
        let of = |labels| ("_count", labels, None);
        let (a, b) = (&[("a", "1")][..], &[("a", "2")][..]);
        check(Type::Histogram, &[of(a), of(b)], &[1, 1]);
        check(Type::Summary, &[("", &[("quantile", "0.5")], None), count], &[2]);
        check(Type::Summary, &[bucket(one), count], &[1, 1]);
        check(Type::Counter, &[("_total", &[], None), created], &[2]);
        check(Type::Gauge, &[("", &[], None), ("", &[], None)], &[1, 1]);
    }

    #[test]
    fn each_moment_is_a_point_of_its_own_and_the_start_is_part_of_one() {
        let total = |millis| ("_total", &[][..], Some(millis));
        let created = ("_created", &[][..], None);
        check(Type::Counter, &[total(1), total(2)], &[1, 1]);
        check(Type::Counter, &[total(1), created, total(2), created], &[2, 2]);
        check(Type::Counter, &[created, total(1)], &[2]);
    }
}
