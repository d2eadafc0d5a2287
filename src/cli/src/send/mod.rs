//! Snapshots on their way to others, from a command or from a supervisor.

pub mod export;
pub mod graphite;
pub mod push;
mod repeat;
mod source;
pub mod textfile;
