//! Metrics for those who do not scrape: the bridges of the crate `tallyboard-bridges`, under the
//! feature `push`.
//!
//! A batch job ends before anybody scrapes it, so it pushes what it has counted. It does so with a
//! registry of its own: the shared one may have metrics of libraries, which say nothing of the job.
//!
//! ```no_run
//! use tallyboard::push::Pushgateway;
//! use tallyboard::{Gauge, Registry};
//!
//! let registry = Registry::new();
//! let finished = Gauge::builder("job_last_success_unixtime", "When the job succeeded last.");
//! finished.registry(registry).register()?.set_to_current_time();
//! Pushgateway::new("localhost:9091", "batch")?.blocking_push(&registry.gather())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`push`](Pushgateway::push) replaces all that was pushed under the same job and grouping key,
//! [`push_add`](Pushgateway::push_add) what has the same names, and
//! [`delete`](Pushgateway::delete) removes it. Each of them is a future; those that begin with
//! `blocking_` are for programs without a runtime. What the gateway says when it refuses is in the
//! error.
//!
//! [`Registry::families`](crate::Registry::families) is the whole service, from any of its processes:
//!
//! ```
//! use tallyboard::push::Textfile;
//! use tallyboard::{Counter, Registry};
//!
//! Counter::new("mail_sent_total", "Letters sent.")?.inc_by(3);
//! let path = std::env::temp_dir().join(format!("mail-{}.prom", std::process::id()));
//! Textfile::new(&path)?.blocking_write(&Registry::shared().families()?)?;
//! assert!(std::fs::read_to_string(&path)?.contains("mail_sent_total 3\n"));
//! # std::fs::remove_file(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use tallyboard_bridges::*;
