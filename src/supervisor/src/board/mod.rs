//! The state: slots, catalog and archive of one arena. No sockets, no clock, no text of formats:
//! time and identity come in as arguments, and what others make of the state is not known here.

pub(crate) mod attach;
pub mod catalog;
pub mod class;
pub(crate) mod core;
mod definitions;
pub(crate) mod figures;
pub(crate) mod floors;
mod fold;
pub mod guests;
mod limits;
pub(crate) mod origin;
mod reclaim;
pub(crate) mod recover;
mod removal;
mod rows;
mod said;
pub(crate) mod slot;
#[cfg(test)]
mod writers;
