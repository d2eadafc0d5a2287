//! Where log lines go: standard error, one line each, as `key=value` pairs or as JSON. Those that
//! repeat are few.

pub mod repeats;

use std::io;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::line::{Command, Flags, LogFormat, LogLevel};
use crate::log::repeats::Limited;

/// Starts logging for this process and for all that it forks.
pub fn start(flags: &Flags) {
    let registry = tracing_subscriber::registry().with(level_of(flags));
    let format = flags.log_format;
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

fn level_of(flags: &Flags) -> LevelFilter {
    match (flags.log_level, &flags.command) {
        (Some(LogLevel::Debug), _) => LevelFilter::DEBUG,
        (Some(LogLevel::Info), _) => LevelFilter::INFO,
        (Some(LogLevel::Warn), _) => LevelFilter::WARN,
        (Some(LogLevel::Error), _) => LevelFilter::ERROR,
        // The demo has a progress line of its own on standard error.
        (None, Command::Demo(_)) => LevelFilter::WARN,
        (None, _) => LevelFilter::INFO,
    }
}
