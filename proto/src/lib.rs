//! The contract of a Tallyboard arena: everything that the supervisor, the workers and a reader
//! outside both must agree on, and nothing else.
//!
//! Rules of this crate, numbered so that comments can name them:
//!
//! 1. Every word has one writing process: the supervisor writes the control segment, a worker its
//!    own slot. The one exception is the scrub of a slot whose worker the kernel has declared dead.
//! 2. What is published is published last: plain stores first, then one Release store of one word
//!    (a log's commit word, a slot's state word, the archive's commit word).
//! 3. The archive's commit word decides which bank counts. Whatever a fold changes is in the bank.
//! 4. Nothing here does I/O, reads a clock, allocates shared memory or is unsafe. Memory comes in
//!    as [`word::Words`], time and identity as arguments, so that a test owns all three.
//! 5. Indices come from [`layout::Layout`] (private geometry), never from shared memory.
//!
//! A room is a file or a folder here. They stand in this order: a room uses only rooms above it in
//! this table, and no two files use each other in a ring.
//!
//! | room | owns |
//! |---|---|
//! | [`word`] | `Words`, the memory that the protocol runs on |
//! | [`life`] | when a series began, and whether it is hidden |
//! | `limits`, `names` | how much a family may have of anything, and what it may be called; public in [`family`] |
//! | [`pairs`] | label pairs as one text |
//! | [`native`] | which buckets a native histogram has, and what a number is counted in |
//! | `turn` | words that are read together while they are written |
//! | [`exemplar`] | the cells of an exemplar, and how they are written and read |
//! | [`cell`] | shapes: the cells of a series, how they are written and merged |
//! | [`offset`] | what is taken off when a process takes back what it has counted |
//! | [`family`] | kinds, what a family is, and which there may be |
//! | [`layout`] | geometry, offsets, layout version |
//! | [`slot`] | the slot table's words, the states of a slot, the slot header |
//! | [`log`] | records, append and read of a series log, and the parsed [`log::Contents`] |
//! | [`lane`] | rows of a slot that one thread writes, and what is in all of them |
//! | [`archive`] | banks, commit word, fold, recovery, the reader outside |
//! | [`control`] | the messages between worker and supervisor |
//! | [`abi`] | the fingerprint: one number that changes with all others |

#![forbid(unsafe_code)]

#[cfg(not(target_has_atomic = "64"))]
compile_error!("Tallyboard needs a target with 64-bit atomics");

pub mod abi;
pub mod archive;
pub mod cell;
pub mod control;
pub mod exemplar;
pub mod family;
pub mod lane;
pub mod layout;
pub mod life;
mod limits;
pub mod log;
mod names;
pub mod native;
pub mod offset;
pub mod pairs;
pub mod slot;
mod turn;
pub mod word;
