//! What a fork wipes, and what it copies whole.
//!
//! `lock` and `cells` know nobody; `page` has both, and `mutex` has the page.

mod cells;
mod lock;
mod mutex;
mod page;

pub use cells::{CellWords, Cells};
pub use mutex::{ForkMutex, ForkMutexGuard};
pub use page::{FirstUse, FirstUseTurn, ForkGuard, ForkPage};
