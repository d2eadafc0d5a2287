//! Native histograms: buckets of exponential size, as many as there is something in.
//!
//! A series of a native histogram owns four cells ([`cells`]). Its buckets are series of a family of
//! their own, [`Kind::Bucket`](crate::family::Kind::Bucket), which has the labels of the histogram
//! and `le`, the text of a [`Bucket`]. A bucket begins when the first observation falls into it; it
//! is one integer cell, and what any number of processes have in it is added up like any count.
//!
//! Bucket `i` of schema `s` holds what is greater than `2^((i - 1) * 2^-s)` and at most
//! `2^(i * 2^-s)`. A worker whose buckets become too many goes on in buckets of the next *level*,
//! each twice as wide as one of the level before, and leaves the counts that there are where they
//! are. A reader adds everything up at the widest level that anything was counted at: two buckets of
//! one level are exactly one bucket of the next, so nothing is moved, and nothing is rounded.
//!
//! Where a histogram has classic buckets beside the native ones, a bucket is the part of a native
//! one that lies in one classic one: a single count is in both.
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | has |
//! |---|---|
//! | `cells` | the cells of the histogram itself |
//! | `index` | which bucket a number falls into |
//! | `bucket` | a bucket and its text |

mod bucket;
pub mod cells;
mod index;

pub use bucket::{Bucket, DEFAULT_ZERO_THRESHOLD, MAX_BUCKETS, Native, NotABucket, Side};
pub use index::{MAX_SCHEMA, MIN_SCHEMA, index, upper_bound};
