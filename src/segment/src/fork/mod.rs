//! What a fork wipes, and what it copies whole.
//!
//! `lock` knows nobody; `lane` has what a thread knows of its lanes, `cells` has those; `page` has all of
//! it, and `mutex` has the page.

mod base;
mod cells;
mod lane;
mod lock;
mod mutex;
mod page;

pub use cells::{CellWords, Cells, LaneWords};
pub use mutex::{ForkMutex, ForkMutexGuard};
pub use page::{FirstUse, FirstUseTurn, ForkGuard, ForkPage};
