//! The supervisor of an arena, and the keeper that holds its descriptors.
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | what a supervisor is started with |
//! | `open`, `listen` | the sockets on which a supervisor is found, and then the arena |
//! | `made`, `left` | which backing; making an arena, or going on with one that was left |
//! | [`prune`] | dead arenas, and what becomes of them |
//! | [`keeper`] | the small parent: descriptors, signals, its supervisor's life |
//! | `link` | the fixed-size messages between the two |
//! | [`spawn`] | a keeper for the parent of a prefork server |
//! | `supervise` | the runtime: everything becomes an event, one loop acts |
//! | `lost` | a supervisor whose arena was cut off |
//! | [`core`] | the state behind the loop: slots, archive; no sockets, no clock |
//! | [`catalog`] | the series of all slots, in global order, and their conflicts |
//! | `limits` | which metrics have met one |
//! | `definitions` | which definition of a name is exposed |
//! | [`class`] | how the cells of a slot map to those of the catalog |
//! | `rows` | reading slots: the last good row of each, quarantine |
//! | `reclaim` | the dead: drain, fold, scrub, free |
//! | [`labels`] | what tells processes apart, and the labels of every sample |
//! | [`scrape`] | totals, floors, and the page |
//! | [`own`] | the table of the supervisor's own metrics |
//! | `collector`, `stat` | the processes of the workers, as /proc describes them |
//! | [`outlet`] | those who take families elsewhere, each in a thread of its own |
//! | `service` | what systemd is told, and what it keeps |
//! | [`coding`], `headers` | how a page is coded, and what the headers of a scrape ask for |
//! | `http`, `control`, `process`, `reactor` | what the loop is asked over sockets, and what /proc says |
//! | [`ask`] | the control conversation from the other side |
//! | [`mod@inspect`] | an arena's object held against the protocol, read-only |
//!
//! Rules: sockets, pidfds and timers only push an event; the loop alone changes
//! state. Nothing read from a slot is used before it was copied out and checked. The keeper parses
//! nothing and serves nothing. What is sent elsewhere is encoded and sent in other threads.

#![forbid(unsafe_code)]

mod board;
pub mod config;
pub mod inspect;
mod keep;
pub mod outlet;
mod page;
mod serve;
mod start;

pub use board::{catalog, class, guests};
pub use config::{Backing, Config, ListenAddress, random_address};
pub use keep::keeper::{Happening, Keeper};
pub use keep::made::Foreseen;
pub use keep::service::control_address;
pub use keep::spawn::{Builder, Handle, SpawnError};
pub use keep::unopened::OpenError;
pub use keep::{keeper, prune, spawn};
pub use outlet::{Outlet, Snapshots};
pub use page::labels::{Label, LabelError, Labels, WorkerLabel};
pub use page::{labels, own, scrape};
pub use serve::{alone, ask, coding};
pub use tallyboard_segment::process::ForkError;

/// The state behind the loop, and what an arena says of itself.
pub mod core {
    pub use crate::board::attach::Caller;
    pub use crate::board::origin::{Origin, format};
    pub use crate::board::recover::RecoverError;
    pub use crate::page::exposed::{Core, Page, Rules};
}
