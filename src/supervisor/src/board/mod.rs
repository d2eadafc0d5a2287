//! The state: slots, catalog and archive of one arena.
//!
//! Rule: no sockets, no clock, no text of formats. Time and identity come in as arguments, what others
//! know comes in as samples, and what is made of the state for its readers is not known here.
//!
//! | file | owns, each above what it needs |
//! |---|---|
//! | `recover` | what a supervisor that has died left, as a core |
//! | `attach` | who has a slot: granted, taken, released, left by the dead |
//! | `reclaim` | the dead: drain, fold, scrub, free |
//! | `rows` | reading slots: the last good row of each |
//! | `removal` | removals and resets, applied once each |
//! | `definitions` | by which definition a name is exposed, and what is joined with it |
//! | `alike` | series of several definitions that are shown as one |
//! | `fold` | slots into the archive |
//! | `core` | the truth: [`core::Core`] |
//! | `check` | what a row may hold beside the row before it |
//! | `slot`, `said` | a slot as it is known, and what its worker said and is not applied |
//! | `shown` | how names are shown that have several definitions |
//! | `class` | how the cells of a slot map to those of the catalog |
//! | `catalog` | the series of all slots, in global order |
//! | `names` | which families and series of the catalog are one to a reader of pages |
//! | `unions`, `differences` | definitions of one type as one; what differs in two, in words |
//! | `limits_met`, `figures` | which metrics have met a limit; what was counted |
//! | `floors` | under which nothing that was exposed falls |
//! | `guests`, `origin` | whose processes may attach; who made the arena, and where |

mod alike;
pub(crate) mod attach;
pub mod catalog;
mod check;
pub mod class;
pub(crate) mod core;
mod definitions;
mod differences;
pub(crate) mod figures;
pub(crate) mod floors;
mod fold;
pub mod guests;
mod limits_met;
pub(crate) mod names;
pub(crate) mod origin;
mod reclaim;
pub(crate) mod recover;
mod removal;
mod rows;
mod said;
pub(crate) mod shown;
pub(crate) mod slot;
pub(crate) mod unions;
#[cfg(test)]
mod writers;
