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
//! # In `Cargo.toml`
//!
//! From a checkout of Tallyboard beside the project:
//!
//! ```toml
//! [target.'cfg(target_os = "linux")'.dependencies]
//! tallyboard = { path = "../tallyboard/src/client", features = ["serve", "push"] }
//! ```
//!
//! A worker of a supervised service needs no feature:
//!
//! | feature | what it adds |
//! |---|---|
//! | `serve` | `serve` and `Registry::serve`: `/metrics` over HTTP from this process |
//! | `push` | `push`: Pushgateway, text files, Graphite, OTLP and remote write |
//!
//! Without them it links no asynchronous runtime.
//!
//! # A process without supervisor: `serve`
#![cfg_attr(feature = "serve", doc = "\n```")]
#![cfg_attr(not(feature = "serve"), doc = "\n```text")]
//! let seconds = tallyboard::Summary::new("job_seconds", "Time that a job took.")?;
//! let server = tallyboard::serve("127.0.0.1:0".parse()?)?;
//! seconds.observe(1.5);
//! println!("metrics on http://{}/metrics", server.address());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A job that ends before it is scraped: `push`
#![cfg_attr(feature = "push", doc = "\n```no_run")]
#![cfg_attr(not(feature = "push"), doc = "\n```text")]
//! use tallyboard::push::Pushgateway;
//! use tallyboard::{Counter, Registry};
//!
//! let registry = Registry::new();
//! let rows = Counter::builder("import_rows", "Rows imported.").registry(registry).register()?;
//! rows.inc_by(1000);
//! Pushgateway::new("localhost:9091", "import")?.blocking_push(&registry.gather())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The page of the whole service, from any of its processes
//!
//! ```
//! let (content_type, page) = tallyboard::exposition("text/plain")?;
//! assert!(content_type.starts_with("text/plain; version=0.0.4"));
//! println!("{} bytes", page.len());
//! # Ok::<(), tallyboard::AttachError>(())
//! ```
//!
//! # Tests of a program
//!
//! `get` says what this process alone has counted:
//!
//! ```
//! use std::sync::LazyLock;
//! use tallyboard::Counter;
//!
//! static SENT: LazyLock<Counter> = LazyLock::new(|| {
//!     Counter::new("mail_sent_total", "Letters sent.").expect("the metric is well formed")
//! });
//!
//! fn send() {
//!     SENT.inc();
//! }
//!
//! let before = SENT.get();
//! send();
//! assert_eq!(SENT.get() - before, 1.0);
//! ```
//!
//! # When something is missing
//!
//! What a metric does when something is missing: without `TALLYBOARD` it counts in this process
//! alone. With an address on which nobody answers, it counts privately after one warning. What
//! cannot be counted (no room, too many label sets, a refused amount) is counted as dropped. No
//! operation panics, and none but the first use in a process makes a system call.
//!
//! A handle may be made before a fork and used after it, from any thread. A child counts from zero
//! in a slot of its own; what its parent counted stays the parent's.
//!
//! # Other systems than Linux
//!
//! Tallyboard counts in shared memory that a fork wipes, which Linux alone has. Built for another
//! system it is one error of the compiler, which says so. A team that also builds elsewhere has it as a
//! dependency on Linux alone, as above, and what counts behind a `cfg`:
//!
//! ```
//! #[cfg(target_os = "linux")]
//! mod metrics {
//!     use std::sync::LazyLock;
//!     use tallyboard::Counter;
//!
//!     static SENT: LazyLock<Counter> = LazyLock::new(|| {
//!         Counter::new("mail_sent_total", "Letters sent.").expect("the metric is well formed")
//!     });
//!
//!     pub fn sent() {
//!         SENT.inc();
//!     }
//! }
//!
//! #[cfg(not(target_os = "linux"))]
//! mod metrics {
//!     pub fn sent() {}
//! }
//!
//! metrics::sent();
//! ```
//!
//! # Examples
//!
//! In `examples/` there are a prefork server of one's own (`prefork.rs`), a process that serves its
//! metrics (`serve.rs`) and a job that pushes them (`push.rs`).

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
pub use instrument::counter::{AmountError, Counter};
pub use instrument::exemplars::ExemplarError;
pub use instrument::family::{Builder, Family};
pub use instrument::gauge::{Gauge, TimestampError};
pub use instrument::histogram::{DEFAULT_BUCKETS, Histogram};
pub use instrument::info::{Info, InfoError};
#[doc(hidden)]
pub use instrument::labels::label_name;
pub use instrument::labels::{LabelBuffer, LabelSet, LabelValue};
pub use instrument::native::NativeHistogram;
pub use instrument::progress::InProgress;
pub use instrument::stateset::{StateError, StateSet};
pub use instrument::summary::Summary;
pub use instrument::timers::{Timed, Timer};
pub use instrument::values::{BucketValue, HistogramValue, NativeHistogramValue, SummaryValue};
pub use registry::attach::AttachError;
pub use registry::builder::{
    AlreadyInUse, DEFAULT_ATTACH_TIMEOUT, DEFAULT_REFRESH_INTERVAL, RegistryBuilder,
};
pub use registry::registry::Registry;
pub use registry::state::{Attachment, DEFAULT_LABEL_LIMIT};
#[cfg(feature = "serve")]
pub use serve::{Server, serve};
pub use tallyboard_exposition::sample;
pub use tallyboard_proto::control::{Refused, RefusedReason};
pub use tallyboard_proto::family::{FamilyError, GaugeMode};

/// Makes a struct whose fields are the labels of a family: it implements [`LabelSet`]. Each field
/// is a [`LabelValue`]; one that a keyword names is written `r#type`. Looking a series up by such
/// a struct allocates nothing once the series has begun.
///
/// ```
/// use tallyboard::Counter;
///
/// tallyboard::labels! {
///     /// What is told of a request.
///     #[derive(Clone, Debug)]
///     pub struct RequestLabels<'a> {
///         /// Pattern of the path.
///         pub route: &'a str,
///         pub status: u16,
///         pub r#type: String,
///         pub cached: bool,
///     }
/// }
///
/// let requests = Counter::builder("app_requests_total", "Requests answered.");
/// let requests = requests.labels_of::<RequestLabels>().family()?;
/// let labels = RequestLabels { route: "/", status: 200, r#type: "html".into(), cached: false };
/// requests.with_labels(&labels)?.inc();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A struct may have types as parameters, each of which is a [`LabelValue`]:
///
/// ```
/// tallyboard::labels! {
///     struct Shop<'a, K> { country: &'a str, kind: K }
/// }
/// let sales = tallyboard::Counter::builder("app_sales_total", "Things sold.");
/// let sales = sales.labels_of::<Shop<i64>>().family()?;
/// sales.with_labels(&Shop { country: "NZ", kind: -7 })?.inc();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! labels {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident
        $(< $($lifetime:lifetime),* $(,)? $($parameter:ident),* $(,)? >)?
        {
            $($(#[$of_field:meta])* $visible:vis $field:ident: $value:ty),* $(,)?
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $name $(< $($lifetime,)* $($parameter),* >)? {
            $($(#[$of_field])* $visible $field: $value),*
        }

        impl $(< $($lifetime,)* $($parameter: $crate::LabelValue),* >)? $crate::LabelSet
            for $name $(< $($lifetime,)* $($parameter),* >)?
        {
            const NAMES: &'static [&'static str] =
                &[$($crate::label_name(::core::stringify!($field))),*];

            #[inline]
            fn each_value(&self, mut visit: impl FnMut(&str)) {
                $(visit($crate::LabelValue::text(
                    &self.$field,
                    &mut $crate::LabelBuffer::new(),
                ));)*
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::LabelSet;

    #[test]
    fn a_label_has_the_name_of_its_field() {
        labels! {
            struct Set { r#type: u8, route: u8, r: u8 }
        }
        assert_eq!(Set::NAMES, ["type", "route", "r"]);
        let mut values = Vec::new();
        Set { r#type: 1, route: 2, r: 3 }.each_value(|value| values.push(value.to_owned()));
        assert_eq!(values, ["1", "2", "3"]);
    }
}
