//! What the cells of a native histogram and of its buckets become in an exposition.

use std::collections::BTreeMap;

use tallyboard_proto::native::{Bucket, Native, Side, cells};

use crate::sample::{Exemplar, Labels, NativeBuckets, NativeHistogram, Sample, Span, Value};

/// How many empty buckets are written rather than left out between two that are not: a span costs
/// more than they do.
const MOST_EMPTY: i32 = 2;

/// A native histogram, counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// How many observations there were.
    pub count: u64,
    /// How many of them were in each classic bucket or in one before it; the last is all.
    pub classic: Vec<u64>,
    /// The buckets.
    pub histogram: NativeHistogram,
}

impl Counted {
    /// Adds up what was counted: the cells of the series, its sum as it is to be shown, and each of
    /// its buckets with its count. The buckets are of the finest schema that all of them have, and
    /// that leaves no more of them than the histogram may have.
    ///
    /// # Panics
    /// When there are not as many cells as a native histogram has.
    pub fn new(
        native: &Native,
        own: &[u64],
        sum: f64,
        buckets: impl Iterator<Item = (Bucket, u64)>,
    ) -> Self {
        let buckets: Vec<(Bucket, u64)> = buckets.filter(|(_, count)| *count != 0).collect();
        let least = buckets.iter().map(|(bucket, _)| bucket.level).max().unwrap_or(0);
        let level = native.level(least, buckets.iter().map(|(bucket, _)| *bucket));
        let mut in_classic = vec![0_u64; native.bounds.len() + 1];
        let mut sides = [BTreeMap::new(), BTreeMap::new()];
        let mut zero = own[cells::ZERO];
        add(&mut in_classic, native.classic(0.0), own[cells::ZERO]);
        add(&mut in_classic, native.classic(f64::NAN), own[cells::NAN]);
        for (bucket, count) in buckets {
            add(&mut in_classic, bucket.classic, count);
            let side = match bucket.side {
                Side::Zero => {
                    zero = zero.saturating_add(count);
                    continue;
                }
                Side::Negative => &mut sides[0],
                Side::Positive => &mut sides[1],
            };
            let total: &mut u64 = side.entry(bucket.at_level(level).index).or_default();
            *total = total.saturating_add(count);
        }
        let mut count = 0_u64;
        let mut below = |of: u64| {
            count = count.saturating_add(of);
            count
        };
        let classic = in_classic.into_iter().map(&mut below).collect();
        let whole = |(index, count): (i32, u64)| (index, Value::Whole(count));
        let [negative, positive] = sides.map(|side| spans(side.into_iter().map(whole)));
        let histogram = NativeHistogram {
            schema: i32::from(native.schema) - i32::from(level),
            zero_threshold: native.zero_threshold,
            zero_count: Value::Whole(zero),
            sum,
            positive,
            negative,
            exemplars: Vec::new(),
        };
        Self { count, classic, histogram }
    }

    /// The values of its lines but that of its created time: the classic buckets, count and sum.
    pub fn values(&self) -> impl Iterator<Item = Value> + '_ {
        let classic = self.classic.iter().copied().map(Value::Whole);
        classic.chain([Value::Whole(self.count), Value::Float(self.histogram.sum)])
    }

    /// It as a sample of its family. The samples of its classic buckets, if it has any, come behind.
    #[must_use]
    pub fn into_sample(self, labels: Labels, exemplars: Vec<Exemplar>) -> Sample {
        let native = NativeHistogram { exemplars, ..self.histogram };
        let native = Some(Box::new(native));
        Sample { native, ..Sample::new("", labels, Value::Whole(self.count)) }
    }
}

fn add(counts: &mut [u64], at: u16, count: u64) {
    if let Some(total) = counts.get_mut(usize::from(at)) {
        *total = total.saturating_add(count);
    }
}

/// The buckets of one side, which come in the order of their index.
pub(crate) fn spans(side: impl IntoIterator<Item = (i32, Value)>) -> NativeBuckets {
    let mut buckets = NativeBuckets::default();
    // The bucket behind the last one.
    let mut next = 0;
    for (index, count) in side {
        let gap = index - next;
        match buckets.spans.last_mut() {
            Some(span) if gap <= MOST_EMPTY => {
                span.length += gap as u32 + 1;
                buckets.counts.extend((0..gap).map(|_| Value::Whole(0)));
            }
            _ => buckets.spans.push(Span { offset: gap, length: 1 }),
        }
        buckets.counts.push(count);
        next = index + 1;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(max_buckets: u16, bounds: &[f64]) -> Native {
        Native { schema: 0, zero_threshold: 0.5, max_buckets, bounds: bounds.into() }
    }

    fn counted(native: &Native, own: [u64; 2], buckets: &[(&str, u64)]) -> Counted {
        let own = [own[0], own[1], 0, 0];
        let buckets = buckets.iter().map(|(text, count)| (text.parse().unwrap(), *count));
        Counted::new(native, &own, 7.0, buckets)
    }

    fn whole(counts: &[u64]) -> Vec<Value> {
        counts.iter().copied().map(Value::Whole).collect()
    }

    #[test]
    fn buckets_are_added_up_at_the_widest_level_that_anything_was_counted_at() {
        let buckets = [("0+1/0", 1), ("0+2/0", 2), ("0+3/0", 0), ("0+2/1", 4), ("0-9/0", 8)];
        let found = counted(&native(160, &[]), [16, 32], &buckets);
        assert_eq!((found.count, &found.classic[..]), (63, &[63][..]));
        let NativeHistogram { schema, zero_count, positive, negative, .. } = found.histogram;
        assert_eq!((schema, zero_count), (-1, Value::Whole(16)));
        assert_eq!(positive.spans, [Span { offset: 1, length: 2 }]);
        assert_eq!(positive.counts, whole(&[3, 4]));
        assert_eq!(negative.spans, [Span { offset: 5, length: 1 }]);
    }

    #[test]
    fn a_bucket_that_nothing_is_in_widens_nothing() {
        let found = counted(&native(160, &[]), [0, 0], &[("0+1/0", 1), ("0+2/3", 0)]);
        assert_eq!(found.histogram.schema, 0);
    }

    #[test]
    fn there_are_no_more_buckets_than_there_may_be() {
        let buckets: Vec<(String, u64)> = (0..9).map(|at| (format!("0+{at}/0"), 1)).collect();
        let buckets: Vec<(&str, u64)> = buckets.iter().map(|(text, n)| (&**text, *n)).collect();
        for (most, schema, expect) in [(9, 0, 9), (8, -1, 5), (4, -2, 3), (1, -4, 2)] {
            let found = counted(&native(most, &[]), [0, 0], &buckets);
            assert_eq!((found.histogram.schema, found.count), (schema, 9));
            assert_eq!(found.histogram.positive.counts.len(), expect);
        }
    }

    #[test]
    fn far_buckets_have_spans_of_their_own_and_near_ones_share_one() {
        let buckets = [("0+-7/0", 1), ("0+-4/0", 2), ("0+0/0", 3), ("0+1/0", 4)];
        let positive = counted(&native(160, &[]), [0, 0], &buckets).histogram.positive;
        let spans = [Span { offset: -7, length: 4 }, Span { offset: 3, length: 2 }];
        assert_eq!(positive.spans, spans);
        assert_eq!(positive.counts, whole(&[1, 0, 0, 2, 3, 4]));
    }

    #[test]
    fn each_count_is_in_one_classic_and_one_native_bucket() {
        let buckets = [("0-1/0", 1), ("0z", 2), ("1z", 4), ("1+1/0", 8), ("2+1/0", 16)];
        let found = counted(&native(160, &[-0.25, 1.5]), [32, 64], &buckets);
        // Zero is in the classic bucket from -0.25 to 1.5, what is no number in the last one.
        assert_eq!(found.classic, [3, 47, 127]);
        assert_eq!(found.histogram.zero_count, Value::Whole(38));
        assert_eq!(found.histogram.positive.counts, whole(&[24]));
        let values: Vec<Value> = found.values().collect();
        assert_eq!(values[2..], [Value::Whole(127), Value::Whole(127), Value::Float(7.0)]);
    }
}
