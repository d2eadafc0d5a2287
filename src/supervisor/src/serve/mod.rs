//! The supervisor's process.
//!
//! Rule: everything becomes an event, and the one loop acts on it; only this room runs in the runtime.
//! What it has from its keeper comes in as values.
//!
//! | file | owns, each above what it needs |
//! |---|---|
//! | `supervise` | the loop |
//! | `lost` | the loop of a supervisor whose arena was cut off |
//! | `alone` | the page of a process without supervisor |
//! | `restart` | what an earlier supervisor has left |
//! | `attach` | the workers: what each was offered, and who waits for their deaths |
//! | `outside` | what the state cannot know |
//! | `outlets` | those who take families elsewhere, each in a thread of its own |
//! | `control`, `http` | what is asked on the control socket, and over HTTP |
//! | `events` | everything that can happen |
//! | `door`, `places`, `identity` | who is let in, how many at once, and who is who |
//! | `connections`, `headers`, `coding` | HTTP connections; what a scrape asks for; how a page is coded |
//! | `reactor` | the runtime, and the descriptors that it waits for |
//! | `ask` | the control conversation from the other side |

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
mod identity;
pub(crate) mod lost;
mod outlets;
mod outside;
mod places;
mod reactor;
mod restart;
pub(crate) mod supervise;
