//! What an arena and its supervisor are made with: the flags that `serve` and `exec` both take.

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};
use tallyboard_exposition::format::Choices;
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::config::DEFAULT_MAX_CONNECTIONS;
use tallyboard_supervisor::{Backing, Config, Label, Labels, ListenAddress, WorkerLabel};

use crate::flags::Switch;
use crate::log::repeats;
use crate::send::export::ExportFlags;

/// What `serve` and `exec` both take.
#[derive(Args, Clone, Debug)]
pub struct ArenaFlags {
    /// What the arena is made of: auto, posix or memfd.
    #[arg(long, value_name = "BACKING", default_value = "auto")]
    pub backing: Backing,
    /// How many workers can be attached at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 256)]
    pub slots: usize,
    /// How many series the arena has room for.
    #[arg(long, value_name = "NUMBER", default_value_t = 65_536)]
    pub max_series: usize,
    /// How many label sets a metric may have.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    pub label_limit: usize,
    /// What tells the processes of a gauge of mode all or liveall apart: pid, or slot for a label
    /// `worker` with the number of the slot, which has as many values as there are slots.
    #[arg(long, value_name = "LABEL", default_value = "pid")]
    pub worker_label: WorkerLabel,
    /// A label of every sample, NAME=VALUE; repeatable. A metric that has a label of this name itself
    /// keeps its own.
    #[arg(long = "label", value_name = "NAME=VALUE", value_delimiter = ',')]
    pub labels: Vec<Label>,
    /// A label of the metric `target_info`, NAME=VALUE; repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub target_info: Vec<Label>,
    /// Whether to expose what /proc says of the workers: of each, and of all as process_*.
    #[arg(
        long,
        value_name = "SWITCH",
        default_value = "on",
        action = ArgAction::Set,
        value_parser = Switch
    )]
    pub process_metrics: bool,
    /// Whether to write when native histograms began: Prometheus 3.5 cannot read it.
    #[arg(
        long,
        value_name = "SWITCH",
        default_value = "off",
        action = ArgAction::Set,
        value_parser = Switch
    )]
    pub native_histogram_starts: bool,
    /// Whether OpenMetrics 1.0 has the samples _created: a Prometheus stores them as one more
    /// series of each counter, histogram and summary, unless its feature
    /// created-timestamp-zero-ingestion is on.
    #[arg(
        long,
        value_name = "SWITCH",
        default_value = "on",
        action = ArgAction::Set,
        value_parser = Switch
    )]
    pub created_samples: bool,
    /// Whether protocol buffers have native histograms as such: a Prometheus that reads
    /// protocol buffers without its feature native-histograms stores nothing of one that has classic
    /// buckets too. When off, their classic buckets are written, or count and sum.
    #[arg(
        long = "protobuf.native-histograms",
        value_name = "SWITCH",
        default_value = "on",
        action = ArgAction::Set,
        value_parser = Switch
    )]
    pub protobuf_native_histograms: bool,
    /// A uid of workers, besides that of the supervisor; repeatable. They believe a supervisor that is
    /// not root when TALLYBOARD_SUPERVISOR_UID says its uid, or its socket is a file in folders that
    /// nobody else can write into.
    #[arg(long = "worker-uid", value_name = "UID", value_delimiter = ',')]
    pub worker_uids: Vec<u32>,
    /// Leave a named object behind when the supervisor stops.
    #[arg(long)]
    pub keep_arena: bool,
    /// Remove a named object that was left behind, with what it counted.
    #[arg(long)]
    pub discard_arena: bool,
    /// Where metrics are served, HOST:PORT or :PORT; repeatable. none opens no port: they are had
    /// from the application, with `tallyboard scrape`, or are sent.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = ":9500"
    )]
    pub listen: Vec<Listen>,
    /// Path of the metrics.
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = "/metrics",
        value_parser = telemetry_path
    )]
    pub telemetry_path: String,
    /// HTTP connections that may be open at once. When one more comes, one that does nothing is ended.
    #[arg(
        long = "web.max-connections",
        value_name = "N",
        default_value_t = DEFAULT_MAX_CONNECTIONS as u64,
        value_parser = clap::value_parser!(u64).range(1..=65_536)
    )]
    pub max_connections: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub export: ExportFlags,
}

/// Where metrics are served, or that they are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Nowhere,
    /// There.
    At(ListenAddress),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Nowhere),
            _ => match text.parse() {
                Ok(address) => Ok(Self::At(address)),
                Err(error) => Err(format!("{error}, or none")),
            },
        }
    }
}

impl ArenaFlags {
    /// The configuration of an arena with this name and control address.
    ///
    /// # Errors
    /// When two flags exclude each other, or a label is given twice.
    pub fn config(&self, name: &str, control: Address, must_listen: bool) -> Result<Config> {
        if self.keep_arena && self.backing == Backing::Memfd {
            bail!(
                "--keep-arena needs a named object, found --backing memfd, which ends with its \
                 supervisor; use --backing posix, or leave --keep-arena out"
            );
        }
        let mut config = Config::new(name, control);
        config.backing = self.backing;
        config.slots = self.slots;
        config.max_series = self.max_series;
        config.label_limit = self.label_limit;
        config.worker_label = self.worker_label;
        config.labels = Labels::new(self.labels.clone()).context("--label")?;
        config.target_info = Labels::new(self.target_info.clone()).context("--target-info")?;
        config.process_metrics = self.process_metrics;
        config.choices = self.choices();
        config.worker_uids.clone_from(&self.worker_uids);
        config.listen = self.addresses()?;
        config.must_listen = must_listen;
        config.telemetry_path.clone_from(&self.telemetry_path);
        config.max_connections = self.max_connections as usize;
        config.keep_arena = self.keep_arena;
        config.discard_arena = self.discard_arena;
        config.tell_left_out = repeats::tell;
        Ok(config)
    }

    fn addresses(&self) -> Result<Vec<ListenAddress>> {
        let address = |listen: &Listen| match listen {
            Listen::Nowhere => None,
            Listen::At(address) => Some(address.clone()),
        };
        let addresses: Vec<ListenAddress> = self.listen.iter().filter_map(address).collect();
        if !addresses.is_empty() && addresses.len() < self.listen.len() {
            bail!(
                "--web.listen-address is none or addresses, found both; leave out none, or {}",
                addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
            );
        }
        Ok(addresses)
    }

    /// What pages have or have not.
    fn choices(&self) -> Choices {
        Choices {
            created: self.created_samples,
            native_starts: self.native_histogram_starts,
            native_buckets: self.protobuf_native_histograms,
        }
    }
}

fn telemetry_path(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    let reserved = ["/", "/-/healthy", "/-/ready"].contains(&text);
    if text.starts_with('/') && text.bytes().all(plain) && !reserved {
        return Ok(text.to_owned());
    }
    Err("the path of the metrics begins with / and is neither /, /-/healthy nor /-/ready; for \
         example /metrics"
        .to_owned())
}
