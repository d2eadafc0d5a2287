//! Where the cells of a client are.

use std::sync::atomic::{AtomicPtr, AtomicU64};

/// Where the cells of a client are in this process. All zero is nowhere.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Base {
    /// The slot's words; null while this process has none.
    pub(super) words: AtomicPtr<u64>,
    /// The number that threads know their lanes in these words by; 0 where they have none.
    pub(super) lanes: AtomicU64,
}
