//! A native histogram as one of OTLP with buckets that grow by a factor: the same buckets, but
//! without gaps, and called by their lower bounds.

use tallyboard_exposition::sample::{NativeBuckets, NativeHistogram, Sample};

use super::counts::whole;
use super::messages::{Buckets, ExponentialHistogramDataPoint};

/// Most buckets on one side: where there would be more, with the empty ones in between, they become
/// twice as wide.
const MOST_BUCKETS: i64 = 1000;
/// Widest and narrowest buckets that are taken.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// The point of a sample, without labels and times; `None` when its histogram is none that OTLP can
/// have.
pub(super) fn point(sample: &Sample) -> Option<ExponentialHistogramDataPoint> {
    let native: &NativeHistogram = sample.native.as_deref()?;
    if !SCHEMAS.contains(&native.schema) {
        return None;
    }
    let mut sides = [indexed(&native.positive)?, indexed(&native.negative)?];
    let mut scale = native.schema;
    while sides.iter().any(|side| width(side) > MOST_BUCKETS) {
        sides
            .iter_mut()
            .for_each(|side| side.iter_mut().for_each(|(index, _)| *index = half(*index)));
        scale -= 1;
    }
    whole(sample.value)?;
    let zero_count = whole(native.zero_count)?;
    let counts = sides.iter().flatten().map(|(_, count)| *count);
    // An observation that is no number is in no bucket, and the count must be that of the buckets.
    let count = counts.fold(zero_count, u64::saturating_add);
    let [positive, negative] = sides.map(|side| dense(&side));
    Some(ExponentialHistogramDataPoint {
        count,
        sum: Some(native.sum),
        scale,
        zero_count,
        positive: Some(positive?),
        negative: Some(negative?),
        zero_threshold: native.zero_threshold,
        ..ExponentialHistogramDataPoint::default()
    })
}

/// The buckets with their numbers, by which each ends; in rising order.
fn indexed(buckets: &NativeBuckets) -> Option<Vec<(i64, u64)>> {
    let mut all = Vec::new();
    let mut counts = buckets.counts.iter();
    let mut next = 0_i64;
    for (at, span) in buckets.spans.iter().enumerate() {
        if at > 0 && span.offset < 0 {
            return None;
        }
        next += i64::from(span.offset);
        for _ in 0..span.length {
            all.push((next, counts.next().copied().and_then(whole)?));
            next += 1;
        }
    }
    counts.next().is_none().then_some(all)
}

fn width(side: &[(i64, u64)]) -> i64 {
    side.first().zip(side.last()).map_or(0, |(first, last)| last.0 - first.0 + 1)
}

/// The number of the bucket twice as wide that a bucket is in: that of the end of both.
fn half(index: i64) -> i64 {
    (index + 1) >> 1
}

fn dense(side: &[(i64, u64)]) -> Option<Buckets> {
    let Some((first, _)) = side.first() else { return Some(Buckets::default()) };
    let mut bucket_counts = vec![0_u64; usize::try_from(width(side)).ok()?];
    for (index, count) in side {
        let total = bucket_counts.get_mut(usize::try_from(index - first).ok()?)?;
        *total = total.saturating_add(*count);
    }
    Some(Buckets { offset: i32::try_from(first - 1).ok()?, bucket_counts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallyboard_exposition::sample::{Span, Value};

    fn buckets(spans: &[(i32, u32)], counts: &[u64]) -> NativeBuckets {
        let spans = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
        NativeBuckets { spans, counts: counts.iter().copied().map(Value::Whole).collect() }
    }

    fn point_of(schema: i32, positive: NativeBuckets) -> Option<ExponentialHistogramDataPoint> {
        let native = NativeHistogram { schema, positive, sum: 1.5, ..NativeHistogram::default() };
        let sample = Sample::new("", vec![], Value::Whole(11));
        point(&Sample { native: Some(Box::new(native)), ..sample })
    }

    fn check(schema: i32, spans: &[(i32, u32)], counts: &[u64], expect: (i32, i32, &[u64])) {
        let found = point_of(schema, buckets(spans, counts)).expect("a histogram");
        let positive = found.positive.expect("buckets");
        assert_eq!((found.scale, positive.offset, &positive.bucket_counts[..]), expect);
        // Whatever the sample says of those that are in no bucket.
        assert_eq!(found.count, counts.iter().sum::<u64>());
    }

    #[test]
    fn gaps_are_filled_and_the_first_bucket_is_called_by_its_lower_bound() {
        check(3, &[(-2, 2), (3, 2)], &[3, 5, 2, 1], (3, -3, &[3, 5, 0, 0, 0, 2, 1]));
        check(0, &[(1, 1)], &[7], (0, 0, &[7]));
        check(0, &[], &[], (0, 0, &[]));
    }

    #[test]
    fn buckets_that_are_far_apart_become_wider() {
        // 2^(1/256) to 2^(2000/256): at half the width there are 1,000 of them.
        let mut expect = vec![0; 1000];
        (expect[0], expect[999]) = (2, 4);
        check(8, &[(1, 1), (1998, 1)], &[2, 4], (7, 0, &expect));
        // Two that become one are added up, on both sides of the bound at 1.
        let mut expect = vec![0; 1000];
        (expect[0], expect[1], expect[999]) = (6, 1, 8);
        check(8, &[(-1, 3), (1996, 1)], &[2, 4, 1, 8], (7, -1, &expect));
        let far = point_of(8, buckets(&[(i32::MIN, 1), (i32::MAX, 1), (i32::MAX, 1)], &[1, 1, 1]));
        let positive = far.expect("a histogram").positive.expect("buckets");
        assert!(positive.bucket_counts.len() <= 1000);
        assert_eq!(positive.bucket_counts.iter().sum::<u64>(), 3);
    }

    #[test]
    fn what_is_no_histogram_of_whole_numbers_is_no_point() {
        assert_eq!(point_of(9, buckets(&[], &[])), None);
        assert_eq!(point_of(-53, buckets(&[], &[])), None);
        assert_eq!(point_of(0, buckets(&[(0, 2)], &[1])), None);
        assert_eq!(point_of(0, buckets(&[(0, 1)], &[1, 2])), None);
        assert_eq!(point_of(0, buckets(&[(0, 1), (-1, 1)], &[1, 2])), None);
        assert_eq!(point_of(0, buckets(&[(0, u32::MAX)], &[1])), None);
        let mut half = buckets(&[(0, 1)], &[1]);
        half.counts[0] = Value::Float(0.5);
        assert_eq!(point_of(0, half), None);
    }
}
