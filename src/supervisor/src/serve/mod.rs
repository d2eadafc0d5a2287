//! The supervisor's process: sockets, pidfds and timers push an event, and one loop acts on it. Only
//! this room knows the runtime. What it has from its keeper comes in as values.

pub mod alone;
pub mod ask;
mod attach;
pub mod coding;
mod connections;
mod control;
mod door;
mod events;
mod headers;
mod http;
pub(crate) mod lost;
mod outlets;
mod outside;
mod places;
mod reactor;
mod restart;
pub(crate) mod supervise;
