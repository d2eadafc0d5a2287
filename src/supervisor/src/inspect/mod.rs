//! `tallyboard inspect`: every byte of an arena held against what the protocol says can be there.
//!
//! 1. The object is opened for reading and read by pread. Nothing is mapped, written or locked, and
//!    a hole stays a hole.
//! 2. What is found wrong is a [`Damage`] with its place; the inspection goes on behind it where it
//!    can. Nothing that was read chooses an index, length or allocation before it was checked.
//! 3. A living arena changes meanwhile. Each part is read between two looks at the words that
//!    govern it (the archive's commit word, a slot's state word), as a reader outside does, and
//!    only what is wrong each time is damage.
//!
//! | module | owns |
//! |---|---|
//! | `facts` | what is said of an arena, and what is wrong with it |
//! | `findings` | what was found wrong so far |
//! | `file` | a file as words |
//! | `catalog` | series logs |
//! | `bank` | one bank while it is looked at |
//! | `archive` | the banks, the floors, folded generations |
//! | `lives` | what removals and resets have left in a bank |
//! | `kinds` | cells whose meaning is in their family: states and exemplars |
//! | `slots` | entries of the slot table, and slots |
//! | `whole` | the header, and part after part |
//!
//! It stands apart: it knows nothing of the rooms beside it, and takes nothing of them on trust.

mod archive;
mod bank;
mod catalog;
mod facts;
mod file;
mod findings;
mod kinds;
mod lives;
mod slots;
mod whole;

pub use facts::{ArchiveFacts, CatalogFacts, Damage, HeaderFacts, Inspection, SlotFacts};
pub use whole::{InspectError, inspect};
