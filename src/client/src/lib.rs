//! Metrics of prefork servers: what a worker links.
//!
//! Each process of a service counts in a slot of its own in shared memory, with plain atomic
//! operations; the supervisor (`tallyboard exec -- COMMAND`) adds the slots up, keeps what the dead
//! have counted, and serves the whole service as one.
//!
//! ```
//! use std::sync::LazyLock;
//! use tallyboard::{Counter, Family, Histogram};
//!
//! static REQUESTS: LazyLock<Family<Counter>> = LazyLock::new(|| {
//!     Counter::builder("app_requests_total", "Requests answered.")
//!         .labels(&["route", "status"])
//!         .family()
//!         .expect("the metric is well formed")
//! });
//! static SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
//!     Histogram::new("app_request_seconds", "Time to answer a request.")
//!         .expect("the metric is well formed")
//! });
//!
//! REQUESTS.with(&["/", "200"])?.inc();
//! SECONDS.observe(0.012);
//! # Ok::<(), tallyboard::LabelError>(())
//! ```
//!
//! What a metric does when something is missing: without `TALLYBOARD` it counts in this process
//! alone. With an address on which nobody answers, it counts privately after one warning. What
//! cannot be counted (no room, too many label sets, a refused amount) is counted as dropped. No
//! operation panics, and none but the first use in a process makes a system call.
//!
//! A handle may be made before a fork and used after it, from any thread. A child counts from zero
//! in a slot of its own; what its parent counted stays the parent's.

#![forbid(unsafe_code)]

mod asked;
mod attach;
mod background;
mod children;
mod collector;
mod definition;
mod detached;
mod error;
mod exemplar;
mod family;
mod gather;
mod info;
mod labels;
mod lookup;
mod metric;
mod native;
mod outcome;
mod process;
mod progress;
#[cfg(feature = "push")]
pub mod push;
#[doc(hidden)]
pub mod raw;
mod refresh;
mod registry;
#[cfg(feature = "serve")]
mod serve;
mod set;
mod state;
mod timer;

pub use attach::AttachError;
pub use collector::Collector;
pub use error::{LabelError, RegisterError};
pub use exemplar::ExemplarError;
pub use family::{Builder, Family};
pub use gather::{EXPOSITION_TIMEOUT, Exposition, exposition};
pub use info::{Info, InfoError, StateError, StateSet};
#[doc(hidden)]
pub use labels::label_name;
pub use labels::{LabelBuffer, LabelSet, LabelValue};
pub use metric::{
    AmountError, Counter, DEFAULT_BUCKETS, Gauge, Histogram, Summary, TimestampError,
};
pub use native::NativeHistogram;
pub use process::{PlatformCollector, ProcessCollector};
pub use progress::InProgress;
pub use registry::{
    AlreadyInUse, Attachment, DEFAULT_ATTACH_TIMEOUT, DEFAULT_LABEL_LIMIT,
    DEFAULT_REFRESH_INTERVAL, Registry, RegistryBuilder,
};
#[cfg(feature = "serve")]
pub use serve::{Server, serve};
pub use tallyboard_exposition::sample;
pub use tallyboard_proto::control::{Refused, RefusedReason};
pub use tallyboard_proto::family::{FamilyError, GaugeMode};
pub use timer::{Timed, Timer};
