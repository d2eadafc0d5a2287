//! Snapshots on their way to others, from a command or from a supervisor.
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | has |
//! |---|---|
//! | `source` | where a snapshot is from |
//! | `repeat` | once, or in an interval |
//! | `push`, `textfile`, `graphite` | the commands |
//! | `export` | the flags of a supervisor that sends by itself |

pub mod export;
pub mod graphite;
pub mod push;
mod repeat;
mod source;
pub mod textfile;
