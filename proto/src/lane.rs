//! Lanes: rows of a slot's cells that one thread at a time writes.
//!
//! Who has a lane is a matter of one process, in its private memory: a word for each lane, 0 while
//! nobody has it. A thread takes one under its client's lock and gives it back when it ends, without a
//! lock. What it has counted stays there, and the next thread goes on from it.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::cell::Shape;
use crate::layout::{Layout, slot_header};
use crate::word::Words;

/// Takes the first lane that nobody has. The caller holds the lock of the client, so nobody else takes
/// one now.
pub fn take<W: Words + ?Sized>(owners: &W) -> Option<usize> {
    // Acquire: LANE-HANDOVER; whoever takes a lane sees all that was counted in it.
    let free = (0..owners.len()).find(|&lane| owners.load(lane, Acquire) == 0)?;
    owners.store(free, 1, Relaxed);
    Some(free)
}

/// Gives a lane back. The thread that has it counts nothing in it from here on.
pub fn give_back<W: Words + ?Sized>(owners: &W, lane: usize) {
    // Release: LANE-HANDOVER; its other side is in `take`.
    owners.store(lane, 0, Release);
}

/// Says in the header of the slot at `base` that its first `used` lanes are used, before the calling
/// thread counts in one of them. The caller holds the lock of the client, has made their cells real, and
/// never says fewer than before.
pub fn begin<W: Words + ?Sized>(words: &W, base: usize, used: usize) {
    // Release fence: SLOT-BEGIN, for this thread, which stores plainly from here on. A reader outside may
    // still read the lanes of the slot's last worker; its other side is in `read_outside`.
    words.fence(Release);
    // Release: whoever sees that a lane is used finds its cells real. LANE-BEGIN; its other side is in `used`.
    words.store(base + slot_header::LANES, used as u64, Release);
}

/// Reads how many lanes the worker of the slot at `base` has said that it uses.
pub fn used<W: Words + ?Sized>(words: &W, base: usize) -> u64 {
    // Acquire: LANE-BEGIN; its other side is in `begin`.
    words.load(base + slot_header::LANES, Acquire)
}

/// What the worker of `slot` has counted in a series, in lanes and beside them: its cells, of which
/// `first` is the first in the slot.
pub fn counted<W: Words + ?Sized>(
    words: &W,
    layout: &Layout,
    slot: usize,
    first: usize,
    shape: Shape,
) -> Vec<u64> {
    let read = |row: usize| {
        let mut cells = Vec::with_capacity(shape.width());
        words.read(row + first..row + first + shape.width(), &mut cells);
        cells
    };
    let mut all = read(layout.slot_cells(slot));
    let lanes = used(words, layout.slot(slot)).min(layout.geometry.lanes as u64);
    for lane in (0..lanes as usize).filter(|_| shape.counts()) {
        shape.merge(&mut all, &read(layout.lane_cells(slot, lane)));
    }
    all
}
