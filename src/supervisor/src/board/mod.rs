//! The state: slots, catalog and archive of one arena. No sockets, no clock, no text of formats:
//! time and identity come in as arguments, and what others make of the state is not known here.

pub mod catalog;
pub mod class;
pub mod core;
mod definitions;
pub(crate) mod figures;
pub mod guests;
mod limits;
mod reclaim;
mod removal;
pub(crate) mod rows;
