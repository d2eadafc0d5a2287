//! The keeper, and what outlives a supervisor: the arena's object, the sockets, who has a slot.
//!
//! Rule: one thread, no runtime. It parses nothing, serves nothing, and does not know what its
//! supervisor does: that is a function which it is given.
//!
//! | file | owns, each above what it needs |
//! |---|---|
//! | `spawn` | a keeper for the parent of a prefork server |
//! | `keeper` | descriptors, signals, its supervisor's life |
//! | `inheritance` | what a supervisor has from it |
//! | `open` | the sockets on which a supervisor is found, and then the arena |
//! | `prune` | dead arenas, and what becomes of them |
//! | `made` | which backing; making an arena, or going on with one that was left |
//! | `listen` | the sockets |
//! | `child`, `holders` | the supervisor that runs now; who has a slot |
//! | `left` | what can be done with an object that was left |
//! | `link` | the fixed-size messages between keeper and supervisor |
//! | `service` | what systemd is told, and what it keeps |
//! | `unopened` | why an arena cannot be opened |

mod child;
pub(crate) mod holders;
pub(crate) mod inheritance;
pub mod keeper;
mod left;
pub(crate) mod link;
pub(crate) mod listen;
pub(crate) mod made;
mod open;
pub mod prune;
pub(crate) mod service;
pub mod spawn;
pub(crate) mod unopened;
