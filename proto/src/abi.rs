//! The golden list: one number that changes with every other number of the layout.
//!
//! It stands above all that it names, so nothing in this crate knows it. `abi.golden` holds it
//! beside the numbers themselves.

use crate::cell::CELL_ABI;
use crate::layout::{
    DROP_REASONS, EXTENT_WORDS, Geometry, LAYOUT_VERSION, PAGE_WORDS, bank, entry, header, row,
    slot_header,
};
use crate::log::RECORD_ABI;
use crate::slot::STATE_BITS;
use crate::word::fnv;

/// Hash of every constant of the layout and of the record and cell encodings. Two programs with
/// the same version and another fingerprint were built from different layouts.
pub const FINGERPRINT: u64 = {
    let words = [
        LAYOUT_VERSION,
        PAGE_WORDS as u64,
        EXTENT_WORDS as u64,
        header::ARENA_ID as u64,
        header::ARCHIVE_COMMIT as u64,
        header::CATALOG_COMMIT as u64,
        header::WORDS as u64,
        entry::PREFIX as u64,
        entry::ATTACHED_AT as u64,
        entry::WORDS as u64,
        header::UNIX_OFFSET as u64,
        bank::ROWS_DROPPED as u64,
        bank::OFFSETS as u64,
        bank::LIVES as u64,
        bank::DROPPED as u64,
        bank::WORDS as u64,
        row::WORDS as u64,
        Geometry::WORDS as u64,
        slot_header::LANES as u64,
        slot_header::DROPPED as u64,
        slot_header::LOG_COMMIT as u64,
        slot_header::WORDS as u64,
        DROP_REASONS as u64,
        STATE_BITS as u64,
        RECORD_ABI,
        CELL_ABI,
    ];
    fnv(&words)
};
