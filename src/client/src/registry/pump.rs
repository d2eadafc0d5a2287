//! The pump: it moves what is counted through an old base into the slot.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::cell::{CellKind, Shape, add_float, float_sum, stamp};
use tallyboard_proto::layout::{DROP_REASONS, slot_header};
use tallyboard_proto::log::Contents;
use tallyboard_segment::mapping::SlotMapping;

use super::ended::Ended;

/// Moves what is counted through an old base into the slot.
pub(crate) struct Pump {
    from: &'static SlotMapping,
    cells: Vec<Moved>,
}

/// One cell: how it moves, and how much of it has.
struct Moved {
    at: usize,
    how: How,
    moved: u64,
    /// What is to be added beside: this process has set the value, and that much is left of it.
    left: u64,
}

#[derive(Clone, Copy)]
enum How {
    /// An integer that is added.
    Whole,
    /// A float that is added.
    Float,
    /// A stamp, of which the newest counts.
    Stamp,
    /// A word that is copied as it is.
    Word,
}

impl Pump {
    /// A pump out of `from` for all series of `contents`, which has moved nothing yet. What was
    /// counted in a life that has `ended` stays where it is.
    pub(crate) fn new(
        contents: &Contents,
        ended: &BTreeMap<u32, Ended>,
        from: &'static SlotMapping,
    ) -> Self {
        let cell = |at, how| Moved { at, how, moved: 0, left: 0 };
        let mut cells: Vec<Moved> = (0..DROP_REASONS)
            .map(|reason| cell(slot_header::DROPPED + reason, How::Whole))
            .collect();
        let buckets: HashMap<u32, u64> =
            ended.values().flat_map(|ended| ended.buckets.iter().map(|(&b, &n)| (b, n))).collect();
        for (ordinal, series) in (0..).zip(contents.series()) {
            let shape = contents.shape(series);
            let ended = ended.get(&ordinal).filter(|_| shape.counts());
            let in_bucket = buckets.get(&ordinal).copied();
            let moved = |at| {
                let how = match (shape.cell(at), shape) {
                    (CellKind::Whole, _) => How::Whole,
                    (CellKind::Float, _) => How::Float,
                    (_, Shape::Gauge(_)) if at == 0 => How::Float,
                    (_, Shape::Gauge(_) | Shape::Info) => How::Stamp,
                    (_, Shape::StateSet) if at == 1 => How::Stamp,
                    (CellKind::Free, _) => How::Word,
                };
                let at_word = slot_header::WORDS + series.cell + at;
                let moved = ended.map(|ended| ended.cells[at]).or(in_bucket).unwrap_or(0);
                let left = ended.map_or(0, |ended| ended.left[at]);
                Moved { at: at_word, how, moved, left }
            };
            // A value is set before it is stamped; a sum is marked odd before it may fall, and an
            // exemplar is whole before its turn.
            match shape {
                Shape::Gauge(_) | Shape::StateSet => cells.extend((0..shape.width()).map(moved)),
                _ => cells.extend((0..shape.width()).rev().map(moved)),
            }
        }
        // A series that the private memory has no cells for was never counted there.
        cells.retain(|cell| from.is_open(cell.at..cell.at + 1));
        Self { from, cells }
    }

    /// Moves what has come since the last time; says whether anything had.
    pub(crate) fn turn(&mut self, to: &SlotMapping) -> bool {
        let mut any = false;
        for cell in &mut self.cells {
            let now = match cell.how {
                How::Whole => self.from.rows(cell.at).fold(0, u64::wrapping_add),
                How::Float => self.from.rows(cell.at).reduce(float_sum).unwrap_or(0),
                How::Stamp | How::Word => self.from.word(cell.at).load(Relaxed),
            };
            let left = std::mem::take(&mut cell.left);
            if now == cell.moved && left == 0 {
                continue;
            }
            any = true;
            let into = to.word(cell.at);
            match cell.how {
                How::Whole => {
                    into.fetch_add(now.wrapping_sub(cell.moved).wrapping_add(left), Relaxed);
                }
                How::Float => {
                    let [now, moved, left] = [now, cell.moved, left].map(f64::from_bits);
                    add_float(into, left + (now - moved));
                }
                How::Stamp => stamp(into, now),
                How::Word => into.store(now, Relaxed),
            }
            cell.moved = now;
        }
        any
    }
}

/// A pump that has moved what there was, and the slot that what comes late belongs into.
pub(crate) type Late = (Pump, &'static SlotMapping);
