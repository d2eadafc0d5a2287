//! The keeper and what outlives a supervisor: the arena's object, the sockets, and who has a slot.
//! One thread, no runtime; it parses nothing, serves nothing, and knows nothing of what its supervisor
//! does.

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
