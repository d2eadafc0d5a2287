//! Two series that have become one, by the rule of their type: what counts is added up, and began with
//! the earlier of the two. What somebody has set (gauges, states) and what cannot be added (quantiles,
//! buckets with other bounds) is not joined, because nobody can say which of two is right.

use std::collections::BTreeMap;

use crate::native::spans;
use crate::sample::{NativeBuckets, NativeHistogram, Sample, Type, Value};

/// Joins the samples of a series with those of another; `false`, and nothing has changed, where that
/// cannot be.
pub(crate) fn join(kind: Type, into: &mut [Sample], from: &[Sample]) -> bool {
    let Some(places) = partners(kind, into, from) else { return false };
    for (place, sample) in places.into_iter().zip(from) {
        if let Some(place) = place {
            add(kind, &mut into[place], sample);
        }
    }
    true
}

/// Which sample of `into` each of `from` belongs to; `None` when they cannot be joined. Only when a
/// series began may one of them not say.
fn partners(kind: Type, into: &[Sample], from: &[Sample]) -> Option<Vec<Option<usize>>> {
    let counted = |samples: &[Sample]| samples.iter().filter(|s| s.suffix != "_created").count();
    if counted(into) != counted(from) {
        return None;
    }
    let partner = |sample: &Sample| {
        let place = into.iter().position(|other| is_same(other, sample));
        match place {
            Some(place) => may_add(kind, &into[place], sample).then_some(Some(place)),
            None => (sample.suffix == "_created").then_some(None),
        }
    };
    from.iter().map(partner).collect()
}

/// Whether two samples have the same suffix and labels.
fn is_same(one: &Sample, other: &Sample) -> bool {
    let has = |(name, value): (&str, &str)| other.labels().any(|of| of == (name, value));
    one.suffix == other.suffix && one.labels.len() == other.labels.len() && one.labels().all(has)
}

fn may_add(kind: Type, one: &Sample, other: &Sample) -> bool {
    let is_quantile = one.suffix.is_empty();
    match (kind, &one.native, &other.native) {
        (Type::Histogram, Some(one), Some(other)) => {
            one.schema == other.schema && one.zero_threshold == other.zero_threshold
        }
        (Type::Counter | Type::Histogram, None, None) => true,
        (Type::Summary, None, None) => !is_quantile,
        (Type::Info, None, None) => one.value.as_f64() == other.value.as_f64(),
        _ => false,
    }
}

fn add(kind: Type, into: &mut Sample, from: &Sample) {
    let earlier = from.value.as_f64() < into.value.as_f64();
    match (kind, &*into.suffix) {
        (Type::Info, _) => {}
        (_, "_created") if earlier => into.value = from.value,
        (_, "_created") => {}
        _ => into.value = sum(into.value, from.value),
    }
    if let (Some(into), Some(from)) = (&mut into.native, &from.native) {
        add_native(into, from);
    }
    let moment = |sample: &Sample| sample.exemplar.as_ref().map(|exemplar| exemplar.timestamp);
    if moment(from) > moment(into) {
        into.exemplar.clone_from(&from.exemplar);
    }
}

fn sum(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Whole(one), Value::Whole(other)) => Value::Whole(one.saturating_add(other)),
        _ => Value::Float(one.as_f64() + other.as_f64()),
    }
}

fn add_native(into: &mut NativeHistogram, from: &NativeHistogram) {
    into.zero_count = sum(into.zero_count, from.zero_count);
    into.sum += from.sum;
    into.positive = added(&into.positive, &from.positive);
    into.negative = added(&into.negative, &from.negative);
    into.exemplars.extend_from_slice(&from.exemplars);
}

/// The buckets of one side of two histograms.
fn added(one: &NativeBuckets, other: &NativeBuckets) -> NativeBuckets {
    let mut all = BTreeMap::new();
    for side in [one, other] {
        let mut next = 0_i32;
        let mut counts = side.counts.iter();
        for span in &side.spans {
            next = next.saturating_add(span.offset);
            for count in counts.by_ref().take(span.length as usize) {
                all.entry(next).and_modify(|of| *of = sum(*of, *count)).or_insert(*count);
                next = next.saturating_add(1);
            }
        }
    }
    spans(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Exemplar, Span, Timestamp};

    fn sample(suffix: &'static str, labels: &[(&str, &str)], value: f64) -> Sample {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Sample::new(suffix, labels.collect(), Value::Float(value))
    }

    fn check(kind: Type, one: &[Sample], other: &[Sample], expect: Option<&[f64]>) {
        let mut into = one.to_vec();
        let is_joined = join(kind, &mut into, other);
        assert_eq!(is_joined, expect.is_some(), "{one:?} {other:?}");
        let values: Vec<f64> = into.iter().map(|sample| sample.value.as_f64()).collect();
        let before: Vec<f64> = one.iter().map(|sample| sample.value.as_f64()).collect();
        assert_eq!(values, expect.unwrap_or(&before), "{one:?} {other:?}");
    }

    #[test]
    fn what_counts_is_added_up_and_began_with_the_earlier() {
        let total = |value| sample("_total", &[("a", "1"), ("b", "2")], value);
        let turned = sample("_total", &[("b", "2"), ("a", "1")], 5.0);
        let created = |value| sample("_created", &[("a", "1"), ("b", "2")], value);
        check(Type::Counter, &[total(1.0)], &[turned], Some(&[6.0]));
        let one = [total(1.0), created(9.0)];
        check(Type::Counter, &one, &[total(2.0), created(7.0)], Some(&[3.0, 7.0]));
        check(Type::Counter, &one, &[total(2.0), created(11.0)], Some(&[3.0, 9.0]));
        check(Type::Counter, &one, &[total(2.0)], Some(&[3.0, 9.0]));
        check(Type::Counter, &[total(2.0)], &one, Some(&[3.0]));
        let summary = [sample("_count", &[], 2.0), sample("_sum", &[], 0.5)];
        check(Type::Summary, &summary, &summary, Some(&[4.0, 1.0]));
        check(Type::Info, &[sample("_info", &[], 1.0)], &[sample("_info", &[], 1.0)], Some(&[1.0]));
    }

    #[test]
    fn what_cannot_be_added_is_left_as_it_is() {
        let plain = [sample("", &[], 1.0)];
        for kind in [Type::Gauge, Type::StateSet, Type::Unknown, Type::Summary] {
            check(kind, &plain, &plain, None);
        }
        let bucket = |bound| sample("_bucket", &[("le", bound)], 1.0);
        let one = [bucket("1.0"), bucket("+Inf")];
        check(Type::Histogram, &one, &one, Some(&[2.0, 2.0]));
        check(Type::Histogram, &one, &[bucket("2.0"), bucket("+Inf")], None);
        check(Type::Histogram, &one, &one[..1], None);
        check(Type::Histogram, &one[..1], &one, None);
    }

    #[test]
    fn native_histograms_of_one_schema_are_added_bucket_by_bucket() {
        let native = |schema, offset, counts: &[u64]| {
            let length = counts.len() as u32;
            let counts = counts.iter().copied().map(Value::Whole).collect();
            let positive = NativeBuckets { spans: vec![Span { offset, length }], counts };
            let native = NativeHistogram { schema, sum: 1.5, positive, ..Default::default() };
            Sample { native: Some(Box::new(native)), ..sample("", &[], 3.0) }
        };
        let mut into = [native(0, -1, &[1, 2])];
        assert!(join(Type::Histogram, &mut into, &[native(0, 0, &[4, 8])]));
        let joined = into[0].native.as_ref().expect("a native histogram");
        assert_eq!((joined.sum, into[0].value.as_f64()), (3.0, 6.0));
        assert_eq!(joined.positive.spans, [Span { offset: -1, length: 3 }]);
        assert_eq!(joined.positive.counts, [1, 6, 8].map(Value::Whole));
        assert!(!join(Type::Histogram, &mut into, &[native(1, 0, &[1])]));
    }

    #[test]
    fn the_newer_exemplar_stays() {
        let at = |millis| {
            let timestamp = Some(Timestamp::from_millis(millis));
            let exemplar = Some(Exemplar { labels: Vec::new(), value: 1.0, timestamp });
            Sample { exemplar, ..sample("_total", &[], 1.0) }
        };
        let without = sample("_total", &[], 1.0);
        for (one, other, expect) in [
            (at(1), at(2), at(2)),
            (at(2), at(1), at(2)),
            (at(1), without.clone(), at(1)),
            (without, at(1), at(1)),
        ] {
            let mut into = [one];
            assert!(join(Type::Counter, &mut into, &[other]));
            assert_eq!(into[0].exemplar, expect.exemplar);
        }
    }
}
