//! Cells of alike series of several definitions as those of one: see `board/definitions.rs`.

use tallyboard_proto::cell::Shape;
use tallyboard_proto::family::Kind;
use tallyboard_proto::native::{Bucket, Native, Side, cells, upper_bound};

use crate::board::unions::{bounds_of, bucket_in};

/// Adds `cells` of a series of `own` to those of one of `joined`, the kind of all definitions. `hold`
/// gives the float to show for one that only rises, by its number among the cells.
pub(crate) fn add(
    joined: &Kind,
    into: &mut [u64],
    own: &Kind,
    cells: &[u64],
    mut hold: impl FnMut(usize, f64) -> f64,
) {
    let mut add_float = |into: &mut u64, at: usize| {
        let sum = f64::from_bits(*into) + hold(at, f64::from_bits(cells[at]));
        *into = sum.to_bits();
    };
    match (joined, own) {
        (Kind::Counter, _) => {
            into[0] = into[0].saturating_add(cells[0]);
            add_float(&mut into[1], 1);
        }
        (Kind::Summary, _) => {
            into[0] = into[0].saturating_add(cells[0]);
            add_float(&mut into[1], 1);
            into[2] = into[2].saturating_add(cells[2]);
        }
        (Kind::Histogram(union), Kind::Histogram(bounds)) => {
            for (bucket, &count) in cells[..=bounds.len()].iter().enumerate() {
                let total = &mut into[bucket_in(union, bounds, bucket)];
                *total = total.saturating_add(count);
            }
            let (sum, of) = (union.len() + 1, bounds.len() + 1);
            add_float(&mut into[sum], of);
            into[sum + 1] = into[sum + 1].saturating_add(cells[of + 1]);
        }
        (Kind::Gauge(mode), _) => Shape::Gauge(*mode).merge(into, cells),
        (Kind::StateSet(union), Kind::StateSet(states)) => {
            let state = states.get(usize::try_from(cells[0]).unwrap_or(usize::MAX));
            let place = state.and_then(|state| union.iter().position(|known| known == state));
            if let Some(place) = place.filter(|_| cells[1] > into[1]) {
                (into[0], into[1]) = (place as u64, cells[1]);
            }
        }
        _ => {}
    }
}

/// A native histogram of one definition, with what is in its buckets.
pub(crate) struct Part<'a> {
    pub(crate) native: &'a Native,
    /// The cells of its series.
    pub(crate) cells: &'a [u64],
    pub(crate) buckets: Vec<(Bucket, u64)>,
}

/// Native histograms of several definitions as one, but for the sum: its definition, the cells of its
/// series, and its buckets.
pub(crate) fn natives(
    joined: &Native,
    parts: &[Part<'_>],
) -> (Native, [u64; cells::COUNT], Vec<(Bucket, u64)>) {
    let zero_threshold = reaching_threshold(joined.zero_threshold, parts);
    let native = Native { zero_threshold, ..joined.clone() };
    let mut own = [0_u64; cells::COUNT];
    let mut buckets = Vec::new();
    for part in parts {
        let classic = |bucket: u16| {
            bucket_in(&native.bounds, &part.native.bounds, usize::from(bucket)) as u16
        };
        for at in [cells::NAN, cells::ODD] {
            own[at] = own[at].saturating_add(part.cells[at]);
        }
        let zero = |of: u16| Bucket { classic: classic(of), side: Side::Zero, index: 0, level: 0 };
        buckets.push((zero(part.native.classic(0.0)), part.cells[cells::ZERO]));
        for &(bucket, count) in &part.buckets {
            let is_zero = bucket.side == Side::Zero || upper(part.native, bucket) <= zero_threshold;
            let bucket = match is_zero {
                true => zero(bucket.classic),
                false => {
                    // At the level that is level 0 of the joined one, or at a wider one.
                    let first = (part.native.schema - native.schema).unsigned_abs();
                    let wide = bucket.at_level(bucket.level.max(first));
                    Bucket { classic: classic(bucket.classic), level: wide.level - first, ..wide }
                }
            };
            buckets.push((bucket, count));
        }
    }
    (native, own, buckets)
}

/// The zero threshold from `least` on that no bucket lies across in which a definition of a lesser one
/// has counted: what is in such a bucket may be on either side.
fn reaching_threshold(least: f64, parts: &[Part<'_>]) -> f64 {
    let across = |threshold: f64| {
        let lesser = parts.iter().filter(|part| part.native.zero_threshold < threshold);
        let buckets = lesser.flat_map(|part| {
            let counted = part.buckets.iter().filter(|(_, count)| *count != 0);
            counted.map(|(bucket, _)| (part.native, *bucket))
        });
        let uppers = buckets
            .filter(|(native, bucket)| {
                bucket.side != Side::Zero && lower(native, *bucket) < threshold
            })
            .map(|(native, bucket)| upper(native, bucket));
        uppers.filter(|upper| *upper > threshold && upper.is_finite()).reduce(f64::max)
    };
    let mut threshold = least;
    while let Some(further) = across(threshold) {
        threshold = further;
    }
    threshold
}

/// How far from zero a bucket reaches.
fn upper(native: &Native, bucket: Bucket) -> f64 {
    upper_bound(bucket.index, native.schema - bucket.level as i8)
}

fn lower(native: &Native, bucket: Bucket) -> f64 {
    upper_bound(bucket.index - 1, native.schema - bucket.level as i8)
}

/// Whether the cells of a series say that its sum may fall.
pub(crate) fn is_odd(kind: &Kind, cells: &[u64]) -> bool {
    let has_odd = bounds_of(kind).is_some() || *kind == Kind::Summary;
    has_odd && cells.last() != Some(&0)
}

#[cfg(test)]
mod tests {
    use tallyboard_exposition::native::Counted;

    use super::*;

    fn histogram(bounds: &[f64]) -> Kind {
        Kind::Histogram(bounds.into())
    }

    fn joined(joined: &Kind, parts: &[(&Kind, &[u64])]) -> Vec<u64> {
        let mut into = vec![0; joined.cells()];
        for (own, cells) in parts {
            add(joined, &mut into, own, cells, |_, value| value);
        }
        into
    }

    #[test]
    fn a_histogram_keeps_count_and_sum_whatever_bounds_it_is_shown_by() {
        let float = f64::to_bits;
        let (old, new) = (histogram(&[1.0, 5.0]), histogram(&[1.0, 5.0, 30.0]));
        let parts: [(&Kind, &[u64]); 2] =
            [(&old, &[1, 2, 10, float(2.5), 0]), (&new, &[3, 0, 10, 4, float(0.5), 7])];
        assert_eq!(joined(&new, &parts), [4, 2, 10, 14, float(3.0), 7]);
        // A bound that is left out is counted in the next.
        let shown = histogram(&[1.0, 30.0]);
        assert_eq!(joined(&shown, &parts), [4, 12, 14, float(3.0), 7]);
        // Whatever the union, cumulative counts of a bound are those of the definitions that have it.
        for bounds in [&[1.0][..], &[5.0], &[0.5, 1.0, 2.0, 5.0, 7.0, 30.0, 90.0]] {
            let cells = joined(&histogram(bounds), &parts);
            assert_eq!(cells[..=bounds.len()].iter().sum::<u64>(), 30, "{bounds:?}");
            for (at, bound) in bounds.iter().enumerate() {
                let of = |kind: &Kind, cells: &[u64]| -> u64 {
                    let below = bounds_of(kind).unwrap().iter().filter(|own| *own <= bound);
                    cells[..below.count()].iter().sum()
                };
                let expect: u64 = parts.iter().map(|(kind, cells)| of(kind, cells)).sum();
                assert_eq!(cells[..=at].iter().sum::<u64>(), expect, "{bounds:?} {bound}");
            }
        }
    }

    #[test]
    fn counters_summaries_gauges_and_states_join_by_the_rule_of_their_kind() {
        use tallyboard_proto::family::GaugeMode as Mode;
        let float = f64::to_bits;
        let counter = Kind::Counter;
        let parts: [(&Kind, &[u64]); 2] = [(&counter, &[3, 0]), (&counter, &[4, float(0.5)])];
        assert_eq!(joined(&counter, &parts), [7, float(0.5)]);
        let summary = Kind::Summary;
        let parts: [(&Kind, &[u64]); 2] =
            [(&summary, &[3, float(1.0), 0]), (&summary, &[1, float(2.0), 1])];
        assert_eq!(joined(&summary, &parts), [4, float(3.0), 1]);
        let (max, sum) = (Kind::Gauge(Mode::Max), Kind::Gauge(Mode::Sum));
        let parts: [(&Kind, &[u64]); 2] = [(&max, &[float(3.0), 1]), (&sum, &[float(1.0), 1])];
        assert_eq!(joined(&max, &parts), [float(3.0), 1]);
        assert_eq!(joined(&sum, &parts), [float(4.0), 1]);
        let states = |states: &[&str]| Kind::StateSet(states.iter().map(|&s| s.into()).collect());
        let (old, new, union) =
            (states(&["a", "b"]), states(&["b", "c"]), states(&["b", "c", "a"]));
        assert_eq!(joined(&union, &[(&old, &[0, 5]), (&new, &[1, 4])]), [2, 5]);
        assert_eq!(joined(&union, &[(&old, &[0, 5]), (&new, &[1, 6])]), [1, 6]);
        assert_eq!(joined(&union, &[(&old, &[9, 5]), (&new, &[0, 0])]), [0, 0], "no such state");
    }

    fn native(schema: i8, zero_threshold: f64, bounds: &[f64]) -> Native {
        Native { schema, zero_threshold, max_buckets: 160, bounds: bounds.into() }
    }

    fn buckets(of: &[(&str, u64)]) -> Vec<(Bucket, u64)> {
        of.iter().map(|(text, count)| (text.parse().unwrap(), *count)).collect()
    }

    #[test]
    fn a_native_histogram_is_shown_by_the_coarser_schema_with_every_observation_once() {
        let (fine, coarse) = (native(2, 0.25, &[2.0]), native(0, 0.25, &[1.0]));
        let union = native(0, 0.25, &[1.0, 2.0]);
        let parts = [
            // Bucket 9 of schema 2 is from 4 to 4.75, and so in bucket 3 of schema 0.
            Part {
                native: &fine,
                cells: &[1, 2, 0, 0],
                buckets: buckets(&[("1+9/0", 4), ("1+5/1", 8)]),
            },
            Part {
                native: &coarse,
                cells: &[16, 0, 0, 3],
                buckets: buckets(&[("1+3/0", 32), ("0-1/0", 64)]),
            },
        ];
        let (native, own, found) = natives(&union, &parts);
        assert_eq!((native.schema, native.zero_threshold), (0, 0.25));
        assert_eq!(own[cells::NAN], 2);
        assert_eq!(own[cells::ODD], 3);
        let counted = Counted::new(&native, &own, 0.0, found.into_iter());
        assert_eq!(counted.count, 1 + 2 + 4 + 8 + 16 + 32 + 64);
        // What is at most 2 in the one, and at most 1 in the other.
        assert_eq!(counted.classic, [80, 81, 127]);
        assert_eq!(counted.histogram.positive.spans[0].offset, 3);
    }

    #[test]
    fn the_zero_bucket_reaches_to_the_end_of_what_lies_across_its_threshold() {
        let (narrow, wide) = (native(0, 0.25, &[]), native(0, 3.0, &[]));
        // Bucket 2 is from 2 to 4, bucket 1 from 1 to 2.
        let parts = [
            Part {
                native: &narrow,
                cells: &[1, 0, 0, 0],
                buckets: buckets(&[("0+1/0", 2), ("0+2/0", 4), ("0-3/0", 8)]),
            },
            Part {
                native: &wide,
                cells: &[16, 0, 0, 0],
                buckets: buckets(&[("0+2/0", 32), ("0+4/0", 64)]),
            },
        ];
        let (native, own, found) = natives(&wide, &parts);
        assert_eq!(native.zero_threshold, 4.0);
        let counted = Counted::new(&native, &own, 0.0, found.into_iter());
        assert_eq!(counted.count, 127);
        assert_eq!(counted.histogram.zero_count.as_f64(), f64::from(1 + 2 + 4 + 16 + 32));
        // Nothing lies across where nothing was counted.
        let parts = [Part { native: &narrow, cells: &[0; 4], buckets: buckets(&[("0+2/0", 0)]) }];
        assert_eq!(natives(&wide, &parts).0.zero_threshold, 3.0);
    }
}
