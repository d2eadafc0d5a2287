//! Metrics on their way to whoever does not scrape: a Pushgateway, Graphite, a text file, an
//! OpenTelemetry collector, a store with remote write.
//!
//! Rules. 1: a bridge takes a snapshot, families with their samples, and does not know where it is
//! from: a private registry, an arena, a page that was read. 2: every wait has a limit, and nothing
//! grows without a bound. 3: an error names the receiver and what it answered, and says what to do;
//! nothing here panics at what a receiver says. 4: a secret is a [`Secret`], which nothing prints,
//! and a URL is shown without what stands before its `@`. 5: what waits is `async`; beside it is a twin
//! whose name begins with `blocking_`, for a program that has no runtime.
//!
//! | module | owns |
//! |---|---|
//! | [`pushgateway`] | a group of metrics in a Pushgateway |
//! | [`graphite`] | lines over TCP for Graphite, once or at intervals |
//! | [`textfile`] | a file for the node exporter |
//! | [`neighbours`] | other files that are read with it |
//! | [`receiver`] | where an HTTP receiver is, how it is spoken to, and what it answered |
//! | [`tls`] | whom a client trusts, and who it says that it is |
//! | [`backoff`] | how long to wait before something is tried again |
//! | [`blocking`] | a runtime for one call |
//! | `page` | families in text 0.0.4, for those who take nothing else |
//! | [`export`] | snapshots that are sent again and again |
//! | [`otlp`] | snapshots for OpenTelemetry |
//! | [`remote_write`] | snapshots for Prometheus and stores like it |

#![forbid(unsafe_code)]

pub mod backoff;
pub mod blocking;
mod connect;
pub mod export;
pub mod graphite;
mod http;
pub mod neighbours;
pub mod otlp;
mod page;
pub mod pushgateway;
pub mod receiver;
pub mod remote_write;
pub mod textfile;
pub mod tls;

pub use backoff::Backoff;
pub use blocking::BlockingError;
pub use graphite::{Graphite, GraphiteError};
pub use otlp::Otlp;
pub use pushgateway::{PushError, PushRequest, Pushgateway, instance_ip_grouping_key};
pub use receiver::{Answer, Receiver, ReceiverError, Secret, SendError};
pub use remote_write::RemoteWrite;
pub use textfile::{Textfile, TextfileError};
pub use tls::Tls;
