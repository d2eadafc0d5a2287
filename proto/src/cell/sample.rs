//! Samples: what a collector says of one line of an exposition, and how those of many processes
//! become one.
//!
//! ```text
//! cells    | turn | buffer 0 | buffer 1 |
//! buffer   | value (float) | stamp | own time (ns of Unix time) |
//! ```
//!
//! A value, its stamp and its own time are read together, see `turn.rs`. A stamp of 0 says that nobody
//! says this sample any more in this process.

use super::mode::GaugeMode;
use crate::turn;
use crate::word::Words;

/// Words of a buffer.
pub const SAMPLE_WORDS: usize = 3;
/// Cells of a sample.
pub const SAMPLE_CELLS: usize = turn::cells(SAMPLE_WORDS);
/// What stands in the place of a time that nobody has said.
pub const NO_TIME: u64 = 1 << 63;

/// How a sample that many processes say becomes one. Whatever this is: those that have a time of their
/// own stand above those that have none, and of them the newest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Join {
    /// As the gauges of this mode do.
    Gauge(GaugeMode),
    /// All are added, and what a process that has ended said last with them.
    Add,
    /// The least counts: when something began.
    Earliest,
}

impl Join {
    /// Its number in a record; [`Earliest`](Self::Earliest) has none, no family is joined so.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        match self {
            Self::Gauge(mode) => Some(mode as u32),
            Self::Add => Some(GaugeMode::EVERY.len() as u32),
            Self::Earliest => None,
        }
    }

    /// The one of a number.
    #[must_use]
    pub fn of_number(number: u32) -> Option<Self> {
        match GaugeMode::EVERY.get(number as usize) {
            Some(mode) => Some(Self::Gauge(*mode)),
            None => (number as usize == GaugeMode::EVERY.len()).then_some(Self::Add),
        }
    }

    /// Whether each process has a sample of its own, where none has a time of its own.
    #[must_use]
    pub fn is_per_process(self) -> bool {
        matches!(self, Self::Gauge(mode) if mode.is_per_process())
    }

    /// Whether what the dead have said counts.
    #[must_use]
    pub fn outlives_its_process(self) -> bool {
        !matches!(self, Self::Gauge(mode) if !mode.outlives_its_process())
    }
}

/// What a process says of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Its value.
    pub value: f64,
    /// When it was said, for those of which the newest counts; never 0.
    pub stamp: u64,
    /// When it had this value, in nanoseconds of Unix time, where the collector says so.
    pub at_ns: Option<i64>,
}

impl Sample {
    fn words(self) -> [u64; SAMPLE_WORDS] {
        [self.value.to_bits(), self.stamp, self.at_ns.map_or(NO_TIME, |at| at as u64)]
    }

    fn of_buffer(buffer: &[u64]) -> Option<Self> {
        let &[value, stamp, at] = buffer else { return None };
        let at_ns = (at != NO_TIME).then_some(at as i64);
        (stamp != 0).then_some(Self { value: f64::from_bits(value), stamp, at_ns })
    }

    /// Writes it into the cells that begin at word `at`. One thread of the process at a time does.
    pub fn write<W: Words + ?Sized>(self, words: &W, at: usize) {
        turn::write(words, at, SAMPLE_WORDS, self.words().into_iter());
    }

    /// Says of the cells that begin at word `at` that nobody says this sample any more.
    pub fn forget<W: Words + ?Sized>(words: &W, at: usize) {
        turn::write(words, at, SAMPLE_WORDS, [0; SAMPLE_WORDS].into_iter());
    }

    /// Reads the cells that begin at word `at`, while their worker may write them, into `cells` in one
    /// form for each sample: nothing but the buffer that counts, and only zeros when nobody says it.
    /// Where there was always a newer one, `cells` stay as they are.
    pub fn copy<W: Words + ?Sized>(words: &W, at: usize, cells: &mut [u64]) -> bool {
        let mut copy = Vec::with_capacity(SAMPLE_WORDS);
        let Some(turn) = turn::read(words, at, SAMPLE_WORDS, &mut copy) else { return false };
        cells.fill(0);
        if turn != 0 && Self::of_buffer(&copy).is_some() {
            turn::place(cells, &copy);
        }
        true
    }

    /// The sample in cells that nobody writes.
    #[must_use]
    pub fn of_cells(cells: &[u64]) -> Option<Self> {
        Self::of_buffer(turn::current(cells, SAMPLE_WORDS)?)
    }

    /// The two as one.
    fn joined(self, other: Self, join: Join) -> Self {
        let stamp = self.stamp.max(other.stamp);
        let takes = match (self.at_ns, other.at_ns) {
            (None, None) => join.takes(&self, &other),
            (before, after) => after > before,
        };
        let both = self.at_ns.is_none() && other.at_ns.is_none();
        let value = match join {
            Join::Add | Join::Gauge(GaugeMode::Sum | GaugeMode::LiveSum) if both => {
                self.value + other.value
            }
            _ if takes => other.value,
            _ => self.value,
        };
        Self { value, stamp, at_ns: self.at_ns.max(other.at_ns) }
    }
}

impl Join {
    /// Whether the later one of two samples counts instead of the other, where they are not added.
    fn takes(self, before: &Sample, after: &Sample) -> bool {
        let is_less = after.value < before.value || before.value.is_nan();
        match self {
            Self::Earliest | Self::Gauge(GaugeMode::Min | GaugeMode::LiveMin) => is_less,
            Self::Gauge(GaugeMode::Max | GaugeMode::LiveMax) => {
                after.value > before.value || before.value.is_nan()
            }
            _ => after.stamp > before.stamp,
        }
    }
}

/// Joins the sample of one process to those of many. One of its own for each process is left alone,
/// unless it has a time of its own.
pub(super) fn merge(join: Join, into: &mut [u64], from: &[u64]) {
    let is_alone = |said: &Sample| said.at_ns.is_none() && join.is_per_process();
    let Some(said) = Sample::of_cells(from).filter(|said| !is_alone(said)) else { return };
    let before = Sample::of_cells(into);
    turn::place(into, &before.map_or(said, |before| before.joined(said, join)).words());
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    fn said(value: f64, stamp: u64, at_ns: Option<i64>) -> Vec<u64> {
        let cells: Vec<AtomicU64> = (0..SAMPLE_CELLS).map(|_| AtomicU64::new(0)).collect();
        // What was said before is no part of it, whichever buffer it is in.
        Sample { value: 99.0, stamp: 1, at_ns: None }.write(&cells[..], 0);
        Sample { value, stamp, at_ns }.write(&cells[..], 0);
        let mut copy = vec![7; SAMPLE_CELLS];
        assert!(Sample::copy(&cells[..], 0, &mut copy));
        let raw: Vec<u64> = cells.iter().map(|cell| cell.load(Relaxed)).collect();
        let bits = |cells: &[u64]| Sample::of_cells(cells).map(|sample| sample.words());
        assert_eq!(bits(&copy), bits(&raw));
        copy
    }

    fn joined(join: Join, all: &[(f64, u64, Option<i64>)]) -> Option<(f64, Option<i64>)> {
        let mut into = vec![0; SAMPLE_CELLS];
        all.iter().for_each(|&(value, stamp, at)| merge(join, &mut into, &said(value, stamp, at)));
        Sample::of_cells(&into).map(|sample| (sample.value, sample.at_ns))
    }

    #[test]
    fn samples_are_joined_as_the_table_says() {
        use GaugeMode as Mode;
        let plain = [(2.0, 5, None), (-3.5, 9, None), (1e9, 0, None), (4.0, 1, None)];
        let timed = [(2.0, 5, None), (7.0, 1, Some(-8)), (3.0, 2, Some(0)), (1e9, 9, Some(-1))];
        for (join, expect) in [
            (Join::Add, Some(2.5)),
            (Join::Gauge(Mode::Sum), Some(2.5)),
            (Join::Gauge(Mode::LiveSum), Some(2.5)),
            (Join::Gauge(Mode::Max), Some(4.0)),
            (Join::Gauge(Mode::LiveMin), Some(-3.5)),
            (Join::Gauge(Mode::MostRecent), Some(-3.5)),
            (Join::Earliest, Some(-3.5)),
            (Join::Gauge(Mode::All), None),
        ] {
            assert_eq!(joined(join, &plain), expect.map(|value| (value, None)), "{join:?}");
            // The newest time counts, in whatever order they come.
            for turned in 0..timed.len() {
                let mut timed = timed;
                timed.rotate_left(turned);
                assert_eq!(joined(join, &timed), Some((3.0, Some(0))), "{join:?}");
            }
        }
        let not = [(f64::NAN, 1, None), (1.0, 1, None)];
        assert_eq!(joined(Join::Gauge(Mode::Max), &not), Some((1.0, None)));
        assert_eq!(joined(Join::Earliest, &not), Some((1.0, None)));
    }

    #[test]
    fn what_is_forgotten_is_none_and_its_number_is_that_of_a_record() {
        let cells: Vec<AtomicU64> = (0..SAMPLE_CELLS).map(|_| AtomicU64::new(0)).collect();
        let mut copy = vec![7; SAMPLE_CELLS];
        assert!(Sample::copy(&cells[..], 0, &mut copy));
        assert_eq!(copy, [0; SAMPLE_CELLS]);
        Sample { value: 1.0, stamp: 1, at_ns: None }.write(&cells[..], 0);
        Sample::forget(&cells[..], 0);
        copy.fill(7);
        assert!(Sample::copy(&cells[..], 0, &mut copy));
        assert_eq!(copy, [0; SAMPLE_CELLS]);
        for number in 0..=10 {
            assert_eq!(Join::of_number(number).and_then(Join::number), Some(number));
        }
        assert_eq!((Join::of_number(11), Join::Earliest.number()), (None, None));
    }
}
