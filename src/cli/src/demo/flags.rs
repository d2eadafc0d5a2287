//! What the demo can be told.

use clap::{Args, ValueEnum};
use tallyboard_supervisor::ListenAddress;

/// Flags of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoFlags {
    /// How long requests are sent, in seconds.
    #[arg(long, value_name = "NUMBER", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// How many workers serve at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: u32,
    /// Port of the application on 127.0.0.1; 0 for any.
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub app_port: u16,
    /// Where metrics are served, HOST:PORT; port 0 for any.
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:9500")]
    pub listen: ListenAddress,
    /// How many requests are sent a second, at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// How many connections send them.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub connections: u32,
    /// How many requests a worker answers before it is replaced.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub recycle_after: u64,
    /// Write the numbers as one JSON object in the last line, instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Go on serving the application and its metrics until interrupted.
    #[arg(long)]
    pub serve_after: bool,
    /// Falsify what the check rests on, to see it fail.
    #[arg(long, value_name = "FAULT", hide = true)]
    pub inject: Option<Inject>,
}

/// What `demo` falsifies to test its own check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Inject {
    /// Workers do not count each tenth request.
    LostCount,
    /// Workers count each request twice.
    DoubleCount,
    /// The watch remembers a counter higher than it was.
    Decrease,
    /// The watch sees none of the samples it scrapes.
    Blind,
}
