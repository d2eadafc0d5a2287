//! What a row may hold beside the row before it: the checks of cells, before anything is believed.

use std::collections::BTreeSet;

use tallyboard_proto::cell::{CellKind, MAX_COUNT, Run, Shape};

use crate::board::slot::Quarantine;

/// A cell that holds more than a count can, while it is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its index in the slot.
    pub cell: usize,
    /// Its index in the catalog.
    pub place: usize,
    /// What it held when it was last read.
    pub last_good: u64,
    /// What it holds now.
    pub found: u64,
}

/// Checks that the cells of a run have not done what no writer does. `before` may be shorter than
/// the row: cells that are new were 0. Counts that hold too much are made 0 in `row`; gives those that
/// `known` does not have.
pub fn check_run(
    run: &Run,
    before: &[u64],
    row: &mut [u64],
    known: &BTreeSet<usize>,
    again: impl Fn() -> Vec<u64>,
) -> Result<Vec<Judged>, Quarantine> {
    let mut judged = Vec::new();
    if !run.shape.counts() {
        return Ok(judged);
    }
    let (now, was) = (&row[run.row()], before.get(run.row()));
    if known.is_empty() && was.is_some_and(|was| has_risen(run.shape, was, now)) {
        return Ok(judged);
    }
    let width = run.shape.width();
    for at in 0..run.cells() {
        let (cell, in_series) = (run.from + at, at % width);
        let (was, now) = (before.get(cell).copied().unwrap_or(0), row[cell]);
        match run.shape.cell(in_series) {
            CellKind::Whole if known.contains(&cell) => row[cell] = 0,
            CellKind::Whole if now > MAX_COUNT && run.shape.is_count(in_series) => {
                judged.push(Judged { cell, place: run.to + at, last_good: was, found: now });
                row[cell] = 0;
            }
            CellKind::Whole if now < was => return Err(Quarantine::Fell),
            CellKind::Float if float_fell(was, now) => {
                let odd = at - in_series + width - 1;
                let may_fall = run.shape != Shape::Counter && again()[odd] != 0;
                if !may_fall {
                    return Err(Quarantine::Fell);
                }
            }
            _ => {}
        }
    }
    Ok(judged)
}

/// Whether all cells of a run have plainly done what writers do, as nearly all have at nearly every
/// look. Bits of floats of one sign are in the order of their numbers, and those of `-0` and less, and
/// of NaN, are above those of infinity.
fn has_risen(shape: Shape, was: &[u64], now: &[u64]) -> bool {
    const INFINITY: u64 = f64::INFINITY.to_bits();
    if shape == Shape::Counter {
        let mut pairs = was.as_chunks::<2>().0.iter().zip(now.as_chunks::<2>().0);
        return pairs.all(|(was, now)| was[0] <= now[0] && was[1] <= now[1] && now[1] <= INFINITY);
    }
    let width = shape.width();
    let float = (0..width).find(|&at| shape.cell(at) == CellKind::Float);
    let mut series = was.chunks_exact(width).zip(now.chunks_exact(width));
    series.all(|(was, now)| {
        let mut cells = was.iter().zip(now).enumerate();
        cells.all(|(at, (was, now))| {
            let most = if Some(at) == float { INFINITY } else { MAX_COUNT };
            was <= now && *now <= most
        })
    })
}

fn float_fell(was: u64, now: u64) -> bool {
    // Equal bits are the common case, and NaN falls too: no sum that only rises becomes NaN.
    #[allow(clippy::neg_cmp_op_on_partial_ord)]
    let fell = was != now && !(f64::from_bits(now) >= f64::from_bits(was));
    fell
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: Shape, before: &[u64], row: &[u64]) -> Result<(), Quarantine> {
        let run = Run { shape, series: row.len() / shape.width(), from: 0, to: 0 };
        let again = || row.to_vec();
        check_run(&run, before, &mut row.to_vec(), &BTreeSet::new(), again).map(|judged| {
            assert_eq!(judged, [], "{row:?}");
        })
    }

    #[test]
    fn cells_that_do_what_no_writer_does_are_found() {
        let float = f64::to_bits;
        let counter = Shape::Counter;
        assert_eq!(check(counter, &[], &[5, float(0.5)]), Ok(()));
        assert_eq!(check(counter, &[5, float(0.5)], &[5, float(0.5)]), Ok(()));
        assert_eq!(check(counter, &[5, 0], &[4, 0]), Err(Quarantine::Fell));
        assert_eq!(check(counter, &[5, 0], &[u64::MAX, 0]), Ok(()));
        assert_eq!(check(counter, &[5, 0, 7, 0], &[5, 0, 6, 0]), Err(Quarantine::Fell));
        assert_eq!(check(counter, &[5, 0], &[5, 0, 6, 0]), Ok(()));
        assert_eq!(check(counter, &[5, float(0.5)], &[5, float(0.4)]), Err(Quarantine::Fell));
        assert_eq!(check(counter, &[5, float(0.5)], &[5, float(f64::NAN)]), Err(Quarantine::Fell));
        let summary = Shape::Summary;
        assert_eq!(check(summary, &[1, float(2.0), 0], &[2, float(1.0), 0]), Err(Quarantine::Fell));
        assert_eq!(check(summary, &[1, float(2.0), 0], &[2, float(1.0), 1]), Ok(()));
        assert_eq!(check(summary, &[], &[1, float(-1.0), 1]), Ok(()));
    }

    #[test]
    fn what_has_plainly_risen_passes_every_check() {
        let floats = [0.0, 0.5, f64::MAX, f64::INFINITY, f64::NAN, -0.0, -1.0].map(f64::to_bits);
        let values = [&[1, 2, MAX_COUNT, MAX_COUNT + 1, u64::MAX], &floats[..]].concat();
        let mut passed = 0;
        for shape in [Shape::Counter, Shape::Summary, Shape::Bucket] {
            let width = shape.width();
            for (was, now) in
                values.iter().flat_map(|was| values.iter().map(move |now| (*was, *now)))
            {
                for at in 0..width {
                    let [mut before, mut row] = [vec![0; width], vec![0; width]];
                    (before[at], row[at]) = (was, now);
                    if has_risen(shape, &before, &row) {
                        // A cell of another run that is judged already: each cell is looked at.
                        let run = Run { shape, series: 1, from: 0, to: 0 };
                        let other = BTreeSet::from([width]);
                        let found = check_run(&run, &before, &mut row.clone(), &other, Vec::new);
                        assert_eq!(found, Ok(vec![]), "{shape:?}: cell {at} from {was} to {now}");
                        passed += 1;
                    }
                }
            }
        }
        assert!(passed > 100, "{passed}");
    }

    #[test]
    fn counts_that_hold_too_much_are_judged_one_by_one() {
        let (shape, most) = (Shape::Histogram { buckets: 2 }, MAX_COUNT);
        let run = Run { shape, series: 2, from: 1, to: 11 };
        let before = [0, 5, 6, 0, 0, 7];
        let mut row = vec![9, 6, most + 1, 0, 1, 3, u64::MAX, most, 0, 0];
        let known = BTreeSet::from([5]);
        let found = check_run(&run, &before, &mut row, &known, || panic!("no sum fell"));
        let judged = |cell, last_good, found| Judged { cell, place: cell + 10, last_good, found };
        assert_eq!(found, Ok(vec![judged(2, 6, most + 1), judged(6, 0, u64::MAX)]));
        assert_eq!(row, [9, 6, 0, 0, 1, 0, 0, most, 0, 0]);
    }
}
