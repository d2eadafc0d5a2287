//! Graphite, with the real carbon: what `whisper-fetch` reads is what was pushed, over restarts of
//! carbon and of nothing else; and receivers that are no carbon.
//!
//! | module | owns |
//! |---|---|
//! | `carbon` | the real carbon, and what it has stored |
//! | `fake` | receivers that are no carbon |
//! | `snapshots` | what is sent |
//! | `stored` | what was sent is what whisper has |
//! | `refused` | receivers that are slow, gone, or none |
//! | `program` | the program `tallyboard graphite` |

#![forbid(unsafe_code)]

mod carbon;
mod fake;
mod program;
mod refused;
mod snapshots;
mod stored;
