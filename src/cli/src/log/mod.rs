//! Where log lines go: standard error, one line each, as `key=value` pairs or as JSON. Those that
//! repeat are few.

pub mod repeats;

use std::io;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::flags::{LogFormat, LogLevel};
use crate::log::repeats::Limited;

/// Starts logging for this process and for all that it forks.
pub fn start(level: LogLevel, format: LogFormat) {
    let registry = tracing_subscriber::registry().with(filter_of(level));
    let started = match format {
        LogFormat::Logfmt => {
            let layer = tracing_logfmt::builder().layer().with_writer(io::stderr);
            registry.with(layer.map_event_format(|f| Limited::new(f, format))).try_init()
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
            registry
                .with(layer.with_writer(io::stderr).map_event_format(|f| Limited::new(f, format)))
                .try_init()
        }
    };
    // Only a second call in one process could fail, and there is none.
    debug_assert!(started.is_ok());
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    }
}
