//! The series log: append-only records, made visible by one commit word.
//!
//! ```text
//! record   | kind: 8 | words: 24 | operand: 32 |  payload, (words - 1) * 8 bytes
//! Family   operand = type | mode << 8;  payload = name, unit, help, labels, bounds
//! Series   operand = ordinal of the family; payload = when it began, one value per label
//! Gap      operand = cells;             payload = nothing
//! Removal  operand = ordinal of the series; payload = what, when, its cells (lower: their amounts)
//!          behind those of a native histogram its buckets: ordinal of the series, its cell
//! ```
//!
//! A moment is milliseconds of Unix time in eight bytes; a string is its length in four bytes and
//! its UTF-8 bytes; a list is its length in four bytes and its items; a bound is the eight bytes of
//! a float; all little-endian, zero-padded to whole words. Families and series are numbered in log
//! order and own their cells in log order, so a log determines its cell layout. A slot's log
//! continues the prefix that it took from the catalog.
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | has |
//! |---|---|
//! | `error` | what is wrong with a log |
//! | `payload` | bytes of a record |
//! | `record` | a record, written and read |
//! | `commit` | appending and reading behind the commit word |
//! | `contents` | what a log says |
//! | `parts` | a log taken apart: what begins series, and what ends them |

mod commit;
mod contents;
mod error;
mod parts;
mod payload;
mod record;

pub use commit::{append, read};
pub use contents::{Begun, Contents, Mark, Series, check_values};
pub use error::{LogError, LogFull};
pub use parts::{Parts, take_apart, up_to};
pub use payload::MAX_RECORD_WORDS;
pub use record::{Action, Record, Removal};

use self::record::{FAMILY, GAP, REMOVAL, SERIES};
use crate::life::LIFE_BITS;
use crate::word::fnv;

/// Number that changes with the encoding of records, part of the layout fingerprint.
pub const RECORD_ABI: u64 = fnv(&[
    5,
    FAMILY as u64,
    SERIES as u64,
    GAP as u64,
    REMOVAL as u64,
    MAX_RECORD_WORDS as u64,
    LIFE_BITS as u64,
]);
