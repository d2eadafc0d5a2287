//! The backing `posix`: a named object that survives its supervisor.
//!
//! An object is made under a passing name, which nobody looks for, and gets its own name when it is
//! locked and whole: whoever finds a name finds an arena, whatever its creator died at. What creators
//! that were killed leave behind has a passing name and no lock, and is pruned by the next who starts. A lock
//! is worth something when the name still leads to what was locked; else it is begun again.
//!
//! `object` is a name and its lock, `left` what a name leads to, `draft` an object that is made.

mod draft;
mod left;
mod object;

pub use draft::{CreateError, Draft, too_long};
pub use left::{Left, ReopenError, Taken};
pub use object::{ArenaLock, MOUNT, ObjectName, remove, room_bytes};
