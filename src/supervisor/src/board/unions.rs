//! What several definitions of one type become when they are shown as one: the bounds, states and
//! buckets that all of them have. Plain functions over definitions, without cells.

use tallyboard_proto::family::{Kind, MAX_BOUNDS};
use tallyboard_proto::native::Native;

/// A kind that has what all of `kinds` have, which are of one type. The first of them leads; where
/// there are more bounds than a histogram may have, those of the first stay. Gives the bounds that
/// were left out, too.
pub(crate) fn united<'a>(kinds: impl Iterator<Item = &'a Kind> + Clone) -> (Kind, Vec<f64>) {
    let mut rest = kinds.clone();
    let Some(first) = rest.next() else { return (Kind::Counter, Vec::new()) };
    match first {
        Kind::Histogram(_) => {
            let (bounds, left_out) = union_of_bounds(kinds.filter_map(bounds_of));
            (Kind::Histogram(bounds.into()), left_out)
        }
        Kind::NativeHistogram(native) => {
            let (bounds, left_out) = union_of_bounds(kinds.clone().filter_map(bounds_of));
            let start = Native { bounds: bounds.into(), ..native.clone() };
            (Kind::NativeHistogram(kinds.filter_map(native_of).fold(start, coarser)), left_out)
        }
        Kind::StateSet(states) => {
            let mut all = states.to_vec();
            for kind in rest {
                let Kind::StateSet(more) = kind else { continue };
                let new: Vec<_> =
                    more.iter().filter(|state| !all.contains(state)).cloned().collect();
                all.extend(new);
            }
            (Kind::StateSet(all.into()), Vec::new())
        }
        other => (other.clone(), Vec::new()),
    }
}

fn native_of(kind: &Kind) -> Option<&Native> {
    if let Kind::NativeHistogram(native) = kind { Some(native) } else { None }
}

/// The bounds of the buckets of a histogram, but for the one up to +Inf.
pub(crate) fn bounds_of(kind: &Kind) -> Option<&[f64]> {
    match kind {
        Kind::Histogram(bounds) => Some(bounds),
        Kind::NativeHistogram(native) => Some(&native.bounds),
        _ => None,
    }
}

fn coarser(of: Native, other: &Native) -> Native {
    Native {
        schema: of.schema.min(other.schema),
        zero_threshold: of.zero_threshold.max(other.zero_threshold),
        max_buckets: of.max_buckets.min(other.max_buckets),
        bounds: of.bounds,
    }
}

/// All bounds, rising, as many as a histogram may have: those that come first stay. And the others.
fn union_of_bounds<'a>(all: impl Iterator<Item = &'a [f64]>) -> (Vec<f64>, Vec<f64>) {
    let (mut union, mut left_out): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for bound in all.flatten() {
        match union.binary_search_by(|known| known.total_cmp(&(bound + 0.0))) {
            Err(at) if union.len() < MAX_BOUNDS => union.insert(at, bound + 0.0),
            Err(_) => left_out.push(*bound),
            Ok(_) => {}
        }
    }
    left_out.sort_by(f64::total_cmp);
    left_out.dedup();
    (union, left_out)
}

/// Which bucket of `union` holds what a bucket of `own` guarantees: the one of its own bound, or when
/// that was left out the next. The bucket up to +Inf is that up to +Inf.
pub(crate) fn bucket_in(union: &[f64], own: &[f64], bucket: usize) -> usize {
    own.get(bucket).map_or(union.len(), |bound| union.partition_point(|known| known < bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(bounds: &[f64]) -> Kind {
        Kind::Histogram(bounds.into())
    }

    #[test]
    fn bounds_are_united_and_each_bucket_goes_where_its_own_bound_is() {
        let kinds = [histogram(&[1.0, 5.0]), histogram(&[-0.0, 1.0, 30.0]), histogram(&[0.0])];
        let (kind, left_out) = united(kinds.iter());
        assert_eq!((bounds_of(&kind), &left_out[..]), (Some(&[0.0, 1.0, 5.0, 30.0][..]), &[][..]));
        let union = bounds_of(&kind).unwrap();
        for (own, expect) in [(&kinds[0], &[1, 2, 4][..]), (&kinds[1], &[0, 1, 3, 4])] {
            let own = bounds_of(own).unwrap();
            let found: Vec<usize> = (0..=own.len()).map(|at| bucket_in(union, own, at)).collect();
            assert_eq!(found, expect, "{own:?}");
        }
    }

    #[test]
    fn bounds_beyond_what_a_histogram_may_have_go_into_the_next() {
        let many =
            |from: usize| -> Vec<f64> { (from..from + MAX_BOUNDS).map(|n| n as f64).collect() };
        let kinds = [histogram(&many(100)), histogram(&[1.5, 611.5]), histogram(&many(0))];
        let (kind, left_out) = united(kinds.iter());
        assert_eq!(bounds_of(&kind), bounds_of(&kinds[0]));
        assert_eq!(left_out.len(), 2 + 100);
        let union = bounds_of(&kind).unwrap();
        assert_eq!(bucket_in(union, &[1.5, 611.5], 0), 0);
        assert_eq!(bucket_in(union, &[1.5, 611.5], 1), MAX_BOUNDS);
    }

    #[test]
    fn native_histograms_become_the_coarser_and_statesets_the_longer() {
        let native = |schema, zero_threshold, max_buckets, bounds: &[f64]| {
            let bounds = bounds.into();
            Kind::NativeHistogram(Native { schema, zero_threshold, max_buckets, bounds })
        };
        let kinds = [native(3, 0.5, 8, &[2.0]), native(1, 0.25, 160, &[1.0])];
        assert_eq!(united(kinds.iter()).0, native(1, 0.5, 8, &[1.0, 2.0]));
        assert_eq!(united(kinds.iter().rev()).0, native(1, 0.5, 8, &[1.0, 2.0]));
        let states = |states: &[&str]| Kind::StateSet(states.iter().map(|&s| s.into()).collect());
        let kinds = [states(&["on", "off"]), states(&["off", "broken"])];
        assert_eq!(united(kinds.iter()).0, states(&["on", "off", "broken"]));
    }
}
