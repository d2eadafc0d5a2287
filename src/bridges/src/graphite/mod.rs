//! Graphite: samples as lines of its plaintext protocol over TCP
//! (<https://graphite.readthedocs.io/en/latest/feeding-carbon.html#the-plaintext-protocol>).
//!
//! Rules. 1: lines are those of `GraphiteBridge` of `prometheus_client`; where they are not, [`Lines`]
//! says why. 2: a receiver of this protocol never answers. What it shows is the end of the connection:
//! each snapshot has a connection of its own, which is ended on this side behind the last line, and
//! the snapshot counts as pushed when the receiver, having read that far, ends the other side. One
//! that hangs up before, or has been restarted, or never reads, has not taken it. 3: what was not
//! taken is sent again as a whole, with the time that it had: Graphite keeps the last of several
//! values of one second, and these are the same. 4: what waits is bounded; the oldest goes first, and
//! is counted.
//!
//! | module | owns |
//! |---|---|
//! | `lines` | samples as lines |
//! | `receiver` | where lines go, once |
//! | `waiting` | snapshots that wait to be sent, and what is known of them |
//! | `regular` | pushes at intervals |

mod lines;
mod receiver;
mod regular;
mod waiting;

pub use lines::{LeftOut, Lines, MOST_LINE_BYTES};
pub use receiver::{DEFAULT_BUFFER_BYTES, Graphite, GraphiteError, Pushed};
pub use regular::{Regular, Started};
pub use waiting::{Counts, Status};
