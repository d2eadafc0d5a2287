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

mod collect;
mod error;
mod instrument;
#[cfg(feature = "push")]
pub mod push;
#[doc(hidden)]
pub mod raw;
mod registry;
#[cfg(feature = "serve")]
mod serve;

pub use collect::collector::Collector;
pub use collect::gather::{EXPOSITION_TIMEOUT, Exposition, exposition};
pub use collect::process::{PlatformCollector, ProcessCollector};
pub use error::{LabelError, RegisterError};
pub use instrument::exemplars::ExemplarError;
pub use instrument::family::{Builder, Family};
pub use instrument::info::{Info, InfoError, StateError, StateSet};
#[doc(hidden)]
pub use instrument::labels::label_name;
pub use instrument::labels::{LabelBuffer, LabelSet, LabelValue};
pub use instrument::metric::{
    AmountError, Counter, DEFAULT_BUCKETS, Gauge, Histogram, Summary, TimestampError,
};
pub use instrument::native::NativeHistogram;
pub use instrument::progress::InProgress;
pub use instrument::timers::{Timed, Timer};
pub use registry::attach::AttachError;
pub use registry::registry::{
    AlreadyInUse, Attachment, DEFAULT_ATTACH_TIMEOUT, DEFAULT_LABEL_LIMIT,
    DEFAULT_REFRESH_INTERVAL, Registry, RegistryBuilder,
};
#[cfg(feature = "serve")]
pub use serve::{Server, serve};
pub use tallyboard_exposition::sample;
pub use tallyboard_proto::control::{Refused, RefusedReason};
pub use tallyboard_proto::family::{FamilyError, GaugeMode};
