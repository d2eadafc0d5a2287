//! The cells of each kind: which words a series owns, how a worker writes them, and how the rows
//! of many processes become one.
//!
//! | kind | cells, in order |
//! |---|---|
//! | counter | whole (integer), fraction (float) |
//! | gauge | value (float bits), stamp |
//! | histogram | one integer per bucket, +Inf last; sum (float); odd |
//! | native histogram | see [`crate::native::cells`] |
//! | bucket | count (integer) |
//! | summary | count (integer); sum (float); odd |
//! | info | stamp |
//! | stateset | number of the state, stamp |
//! | exemplar | see [`crate::exemplar`] |
//! | sample | turn, two buffers of value (float), stamp, own time |
//!
//! A counter's value is whole + fraction: an amount below 2^53 without a fractional part goes to the
//! whole cell, so whole counts are exact and do not depend on the order in which they are added. Once
//! that cell holds 2^53, amounts from 2^32 on go to the fraction, so that it does not wrap. `odd`
//! counts the observations that were negative or not finite: while it is 0 the sum only rises.
//! A stamp of 0 says that the gauge was never set in this process.
//!
//! All cell accesses are Relaxed. A cell is a number that only one process writes and that nothing
//! else is published through: what makes a cell reachable at all is the log's commit word, and
//! what makes the cells of the dead stand still is the kernel's word that the writer is dead.
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | has |
//! |---|---|
//! | `mode` | how the gauges of many processes become one |
//! | `sample` | the cells of a sample of a collector, and how many become one |
//! | `shape` | how the cells of a series are laid out and merged |
//! | `run` | where cells of a slot are in the catalog |
//! | `write` | how a worker writes them |

mod mode;
mod run;
mod sample;
mod shape;
mod write;

use crate::exemplar::EXEMPLAR_CELLS;
use crate::native;
use crate::word::fnv;
pub use mode::GaugeMode;
pub use run::Run;
pub use sample::{Join, NO_TIME, SAMPLE_CELLS, SAMPLE_WORDS, Sample};
pub use shape::{
    BUCKET_CELLS, COUNTER_CELLS, CellKind, GAUGE_CELLS, HISTOGRAM_EXTRA_CELLS, INFO_CELLS,
    STATESET_CELLS, SUMMARY_CELLS, Shape, float_sum,
};
pub use write::{MAX_COUNT, MAX_WHOLE, MIN_LARGE, add_float, add_whole, is_odd, stamp};

/// Number that changes with the meaning of cells, part of the layout fingerprint.
pub const CELL_ABI: u64 = fnv(&[
    5,
    COUNTER_CELLS as u64,
    GAUGE_CELLS as u64,
    SUMMARY_CELLS as u64,
    HISTOGRAM_EXTRA_CELLS as u64,
    INFO_CELLS as u64,
    STATESET_CELLS as u64,
    EXEMPLAR_CELLS as u64,
    native::cells::COUNT as u64,
    BUCKET_CELLS as u64,
    SAMPLE_CELLS as u64,
    NO_TIME,
    MAX_WHOLE as u64,
    MIN_LARGE,
    MAX_COUNT,
]);
