//! The supervisor of an arena, and the keeper that holds its descriptors.
//!
//! | room | owns | uses |
//! |---|---|---|
//! | `board` | the state: slots, catalog, archive | nothing of this crate |
//! | `page` | what is shown of the state, and of processes | `board` |
//! | [`outlet`] | what takes families elsewhere | nothing of this crate |
//! | [`config`] | what keeper and supervisor are started with | `page`, `outlet` |
//! | `keep` | the keeper, and what outlives a supervisor | `board`, `page`, `outlet`, `config` |
//! | `serve` | the supervisor's process: sockets, and the one loop | all of these |
//! | `start` | gives keepers what their supervisors do | `config`, `keep`, `serve` |
//! | [`mod@inspect`] | an arena's object held against the protocol, read-only | nothing of this crate |
//!
//! A room uses only what stands above it here, and inside a room no two files need each other. What
//! goes the other way goes as a value: samples into the state, a function into the keeper, a channel
//! into an outlet.
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
