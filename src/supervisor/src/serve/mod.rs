//! The supervisor's process: sockets, pidfds and timers push an event, and one loop acts on it. Only
//! this room knows the runtime. What it has from its keeper comes in as values.

pub mod alone;
pub mod ask;
pub mod coding;
mod connections;
pub(crate) mod control;
mod headers;
pub(crate) mod http;
pub(crate) mod lost;
mod outlets;
pub(crate) mod places;
mod reactor;
pub(crate) mod supervise;
