//! What is looked up rather than counted, and what a process shows of both.

pub(crate) mod asked;
pub(crate) mod collector;
pub(crate) mod gather;
pub(crate) mod process;
pub(crate) mod refresh;
