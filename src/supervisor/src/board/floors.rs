//! The floors, under which what is exposed does not fall.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::layout::Layout;
use tallyboard_proto::word::Words;
use tallyboard_segment::mapping::Arena;

/// Floats as they were exposed last, by cell of the catalog; they do not fall while the life of
/// their series lasts.
#[derive(Debug, Default)]
pub(crate) struct Floors(Vec<f64>);

impl Floors {
    /// The floors of an arena whose floats were exposed before.
    pub(crate) fn recovered(arena: &Arena, layout: &Layout, cells: usize) -> Self {
        let mut floors = Vec::new();
        arena.read(layout.floors..layout.floors + cells, &mut floors);
        Self(floors.into_iter().map(f64::from_bits).collect())
    }

    /// There are so many cells by now; new ones have no floor yet.
    pub(crate) fn cover(&mut self, cells: usize) {
        self.0.resize(cells, 0.0);
    }

    /// What the float of a cell was exposed as last; 0 when it was not.
    pub(crate) fn at(&self, cell: usize) -> f64 {
        self.0.get(cell).copied().unwrap_or(0.0)
    }

    /// Lets the floats of these cells fall: the life in which they were exposed has ended.
    pub(crate) fn forget(&mut self, arena: &Arena, layout: &Layout, cells: Range<usize>) {
        for cell in cells {
            arena.store(layout.floors + cell, 0, Relaxed);
            self.0.get_mut(cell).into_iter().for_each(|floor| *floor = 0.0);
        }
    }
}

/// What was exposed last of each float, in the heap and in the control segment, while a family is
/// written.
pub(crate) struct Held<'a> {
    pub(crate) floors: &'a mut Floors,
    pub(crate) arena: &'a Arena,
    /// Where the floors begin in the control segment.
    pub(crate) start: usize,
    /// How often a floor was exposed instead of a value.
    pub(crate) applied: u64,
    /// A family that saw a negative or non-finite amount may fall: it has no floor.
    pub(crate) has_floor: bool,
}

impl Held<'_> {
    /// The value to expose for `value`: never less than the last one.
    pub(crate) fn hold(&mut self, cell: usize, value: f64) -> f64 {
        let floor = self.floors.0[cell];
        if !self.has_floor || value == floor {
            return value;
        }
        if value < floor {
            self.applied += 1;
            return floor;
        }
        // A sum that was infinite before a reset is none afterwards: nothing to stay above.
        if !value.is_finite() {
            return value;
        }
        self.floors.0[cell] = value;
        // Before the bytes leave, so that a later supervisor does not undercut them.
        self.arena.store(self.start + cell, value.to_bits(), Relaxed);
        value
    }
}
