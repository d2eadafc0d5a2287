//! The command line. Each flag has an environment variable beside it: `TALLYBOARD_` and the flag's
//! name in capitals, with dots and dashes as underscores. `TALLYBOARD` alone is no flag: it is the
//! control address that workers attach to.

use std::ffi::{OsStr, OsString};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::builder::{OsStr as Name, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use tallyboard_exposition::format::Choices;
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::config::DEFAULT_MAX_CONNECTIONS;
use tallyboard_supervisor::{Backing, Config, Label, Labels, ListenAddress, WorkerLabel};

use crate::documents::parse::{CheckFlags, FormatFlag, ParseFlags};
use crate::log::repeats;
use crate::send::export::ExportFlags;
use crate::send::graphite::GraphiteFlags;
use crate::send::push::PushFlags;
use crate::send::textfile::TextfileFlags;

/// Metrics of prefork servers in shared memory: workers count, a supervisor adds them up, keeps
/// what the dead have counted, and serves the whole application as one.
#[derive(Debug, Parser)]
#[command(
    name = "tallyboard",
    version,
    after_help = "Each flag can also be given as an environment variable, shown beside it."
)]
pub struct Flags {
    /// Least severity of the lines that are logged [default: info, for demo: warn].
    #[arg(long = "log.level", value_name = "LEVEL", global = true, hide_possible_values = false)]
    pub log_level: Option<LogLevel>,
    /// Form of the lines that are logged.
    #[arg(long = "log.format", value_name = "FORMAT", global = true, default_value = "logfmt")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What changes.
    Info,
    /// What somebody should look at.
    Warn,
    /// What failed.
    Error,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a supervisor for workers that are started elsewhere, with TALLYBOARD set to its control
    /// address.
    Serve(ServeFlags),
    /// Run a command with a supervisor of its own, and end with the command's exit status.
    #[command(
        after_help = "Exit status: the command's, 128+n when signal n killed it; 127 when the command is \
        not found, 126 when it cannot be executed, 125 when the supervisor cannot be started."
    )]
    Exec(ExecFlags),
    /// Look at what `exec` with the same words would find, and say what to do about what is wrong.
    #[command(
        after_help = "Exit status: 0 when nothing is bad, else 1; 2 when the command line is none. With --control, \
        or where TALLYBOARD is set, the supervisor that listens there is asked; else exec would make one."
    )]
    Doctor(ExecFlags),
    /// Write the exposition of an arena to standard output.
    Scrape(ScrapeFlags),
    /// List the workers of an arena.
    Slots(SlotsFlags),
    /// List the arenas of this user.
    Ls(LsFlags),
    /// Remove the objects in /dev/shm that nobody can go on with, of this user.
    #[command(
        after_help = "Exit status: 0 when all is removed that was to be, else 1; 2 when the command line is \
        none. A supervisor that starts removes them too, but for those that are named here."
    )]
    Prune(PruneFlags),
    /// Hold every byte of an arena against what can be there, without writing or mapping it.
    #[command(
        after_help = "Exit status: 0 when the arena is sound, 1 when it is damaged or cannot be read, 2 when \
        the command line is none."
    )]
    Inspect(InspectFlags),
    /// Read an exposition strictly and say what is in it.
    #[command(
        after_help = "Exit status: 0 when it is an exposition, 1 when it is none (line:column: message on \
        standard error), 2 when it cannot be read or the command line is none."
    )]
    Parse(ParseFlags),
    /// Read an exposition as Prometheus does and say what is bad taste in it, as promtool would.
    #[command(
        after_help = "Exit status: 0 when it is good, 1 when it is no exposition, 3 when something is bad \
        taste, 2 when it cannot be read or the command line is none."
    )]
    Check(CheckFlags),
    /// Push the metrics of an arena, or of a document, to a Pushgateway.
    #[command(
        after_help = "Exit status: 0 when the last push was taken, else 1; 2 when the command line is none.\n\
        A password stands in a file rather than in the URL, which every user of the machine can read."
    )]
    Push(PushFlags),
    /// Send the metrics of an arena, or of a document, to Graphite.
    #[command(
        after_help = "Exit status: 0 when Graphite has read everything, with --interval everything that was \
        left at the end; else 1; 2 when the command line is none."
    )]
    Graphite(GraphiteFlags),
    /// Write the metrics of an arena, or of a document, to a file for the node exporter.
    #[command(
        after_help = "Exit status: 0 when the last write succeeded, else 1; 2 when the command line is none."
    )]
    Textfile(TextfileFlags),
    /// Run a prefork HTTP application that is loaded, killed and scraped, and check its counts.
    #[command(
        after_help = "Exit status: 0 when answered <= counted <= sent and nothing ever went down, else 1."
    )]
    Demo(DemoFlags),
}

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

/// Flags of `serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeFlags {
    /// Name of the arena.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, value_parser = arena_name)]
    pub name: String,
    /// Where workers attach, unix:/path or unix:@name [default: unix:/run/tallyboard/NAME.sock,
    /// else the same under $XDG_RUNTIME_DIR].
    #[arg(long, value_name = "ADDRESS")]
    pub control: Option<Address>,
    /// Try again every 5 s where an address for metrics is taken, as `exec` does, and do not fail.
    #[arg(long = "web.listen-retry")]
    pub listen_retry: bool,
    /// Stop when standard input ends: with the last process that holds the other end of a pipe.
    #[arg(long)]
    pub until_eof: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub arena: ArenaFlags,
}

/// Flags of `exec`.
#[derive(Args, Clone, Debug)]
pub struct ExecFlags {
    /// Name of the arena [default: exec-PID].
    #[arg(long, value_name = "NAME", value_parser = arena_name)]
    pub name: Option<String>,
    /// Where workers attach, unix:/path or unix:@name [default: a random abstract name].
    #[arg(long, value_name = "ADDRESS")]
    pub control: Option<Address>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub arena: ArenaFlags,
    /// The command and its arguments.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// Which arena is meant. The first that is given counts; without any, TALLYBOARD, else the only
/// arena of this user, else the one called `default`.
#[derive(Args, Clone, Debug, Default)]
pub struct WhichFlags {
    /// The arena with this control address.
    #[arg(long, value_name = "ADDRESS")]
    pub control: Option<Address>,
    /// The arena of this process.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// The arena of this name.
    #[arg(long, value_name = "NAME", value_parser = arena_name)]
    pub name: Option<String>,
}

/// Flags of `scrape`.
#[derive(Args, Clone, Debug)]
pub struct ScrapeFlags {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: WhichFlags,
    /// Only this metric; repeatable.
    #[arg(long = "metric", value_name = "NAME", value_delimiter = ',')]
    pub metrics: Vec<String>,
    /// What to write it in; auto is text.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: FormatFlag,
}

/// Flags of `slots`.
#[derive(Args, Clone, Debug)]
pub struct SlotsFlags {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: WhichFlags,
    /// Write a JSON array instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `ls`.
#[derive(Args, Clone, Debug)]
pub struct LsFlags {
    /// Write a JSON array instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `prune`.
#[derive(Args, Clone, Debug)]
pub struct PruneFlags {
    /// An arena to remove although `tallyboard serve` could go on with it, with what it has counted.
    #[arg(value_name = "NAME", value_parser = arena_name)]
    pub names: Vec<String>,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Flags of `inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectFlags {
    /// Name of an arena of this user, or the path of an arena's object or of a copy of one
    /// (anything with a slash); /proc/PID/fd/NUMBER for an arena in anonymous memory.
    #[arg(value_name = "NAME|PATH")]
    pub arena: OsString,
    /// Write a JSON object instead of a report.
    #[arg(long)]
    pub json: bool,
}

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

/// Name of the arena of `serve` unless a flag says otherwise.
pub const DEFAULT_NAME: &str = "default";
/// How long `scrape` and `slots` wait for a supervisor.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl Flags {
    /// Reads the command line and the environment; ends the program when they cannot be read, or
    /// when help or the version was asked for.
    #[must_use]
    pub fn read() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
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
}

impl ArenaFlags {
    /// What pages have or have not.
    fn choices(&self) -> Choices {
        Choices {
            created: self.created_samples,
            native_starts: self.native_histogram_starts,
            native_buckets: self.protobuf_native_histograms,
            ..Choices::default()
        }
    }
}

/// The command line with an environment variable for each of its flags.
fn command() -> clap::Command {
    let command = Flags::command().mut_args(with_variable);
    command.mut_subcommands(|command| command.mut_args(with_variable))
}

fn with_variable(arg: Arg) -> Arg {
    let Some(flag) = arg.get_long() else { return arg };
    let variable = Name::from(leak(variable_of(flag)));
    let arg = match arg.get_action() {
        // A variable says yes and no in more words than a flag, which is there or not.
        ArgAction::SetTrue => arg.value_parser(Switch),
        _ => arg,
    };
    // Some of them have credentials in them.
    arg.env(variable).hide_env_values(true)
}

/// Reads yes or no, in whatever case.
#[derive(Clone, Copy, Debug)]
pub struct Switch;

/// Words for yes and for no; of each the first is the one that is shown.
const SWITCH: [&[&str]; 2] =
    [&["on", "true", "yes", "y", "t", "1"], &["off", "false", "no", "n", "f", "0"]];

impl Switch {
    fn words() -> [PossibleValue; 2] {
        SWITCH.map(|words| PossibleValue::new(words[0]).aliases(&words[1..]))
    }
}

impl TypedValueParser for Switch {
    type Value = bool;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<bool, clap::Error> {
        let word = value.to_ascii_lowercase();
        let word = PossibleValuesParser::new(Self::words()).parse_ref(command, arg, &word)?;
        Ok(SWITCH[0].contains(&&*word))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Self::words().into_iter()))
    }
}

/// The environment variable of a flag.
fn variable_of(flag: &str) -> String {
    format!("TALLYBOARD_{}", flag.to_ascii_uppercase().replace(['.', '-'], "_"))
}

/// Names of variables live as long as the command line, which is as long as the program.
fn leak(name: String) -> &'static str {
    name.leak()
}

fn arena_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("an arena's name has 1 to 64 letters, digits, dots, dashes and underscores and does not \
         begin with a dot; choose such a name"
        .to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Result<Flags, clap::Error> {
        let line = std::iter::once("tallyboard").chain(line.iter().copied());
        Flags::from_arg_matches(&command().try_get_matches_from(line)?)
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_environment_variable() {
        let mut flags = 0;
        let command = command();
        let all = std::iter::once(&command).chain(command.get_subcommands());
        for arg in all.flat_map(clap::Command::get_arguments) {
            let Some(long) = arg.get_long() else { continue };
            let variable = arg.get_env().and_then(OsStr::to_str);
            assert_eq!(variable, Some(variable_of(long).as_str()));
            flags += 1;
        }
        assert!(flags > 30, "{flags}");
        for (flag, variable) in [
            ("web.listen-address", "TALLYBOARD_WEB_LISTEN_ADDRESS"),
            ("log.level", "TALLYBOARD_LOG_LEVEL"),
            ("max-series", "TALLYBOARD_MAX_SERIES"),
        ] {
            assert_eq!(variable_of(flag), variable);
        }
    }

    #[test]
    fn serve_has_the_documented_defaults() {
        let Command::Serve(flags) = read(&["serve"]).unwrap().command else { panic!() };
        assert_eq!(flags.name, "default");
        assert_eq!(flags.control, None);
        let config = flags.arena.config("n", "unix:@n".parse().unwrap(), true).unwrap();
        assert_eq!((config.slots, config.max_series, config.label_limit), (256, 65_536, 10_000));
        assert_eq!(config.backing, Backing::Auto);
        assert_eq!(config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), [":9500"]);
        assert_eq!(config.telemetry_path, "/metrics");
        assert_eq!((config.worker_label, config.process_metrics), (WorkerLabel::Pid, true));
        assert_eq!(config.choices, Choices::default());
        assert!(config.labels == Labels::default() && config.target_info == Labels::default());
        assert!(config.must_listen && !config.keep_arena && !config.discard_arena);
    }

    #[test]
    fn listen_addresses_repeat_and_log_flags_stand_before_or_behind_the_command() {
        let listen = ["--web.listen-address", "127.0.0.1:1", "--web.listen-address=[::1]:2"];
        for line in [["--log.level", "debug", "serve"], ["serve", "--log.level", "debug"]] {
            let flags = read(&[&line[..], &listen[..]].concat()).unwrap();
            assert_eq!(flags.log_level, Some(LogLevel::Debug));
            let Command::Serve(serve) = flags.command else { panic!() };
            let found = serve.arena.addresses().unwrap();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, ["127.0.0.1:1", "[::1]:2"]);
        }
    }

    #[test]
    fn no_address_is_listened_on_where_none_is_said_and_nothing_else() {
        let addresses = |text: &str| {
            let Command::Serve(flags) =
                read(&["serve", "--web.listen-address", text]).unwrap().command
            else {
                panic!()
            };
            flags.arena.addresses().map_err(|error| error.to_string())
        };
        assert_eq!(addresses("none"), Ok(Vec::new()));
        for text in ["none,:1", ":1,none"] {
            assert!(addresses(text).unwrap_err().ends_with("found both; leave out none, or :1"));
        }
        let error = read(&["serve", "--web.listen-address", "nowhere"]).unwrap_err().to_string();
        assert!(error.contains("HOST:PORT") && error.contains("or none"), "{error}");
    }

    #[test]
    fn labels_repeat_and_each_is_given_once() {
        let config = |line: &[&str]| {
            let Command::Serve(flags) = read(line).unwrap().command else { panic!() };
            flags.arena.config("n", "unix:@n".parse().unwrap(), true)
        };
        let line = ["serve", "--label", "a=1", "--label=b=2,c=3", "--target-info", "a=4"];
        let found = config(
            &[&line[..], &["--process-metrics=off", "--native-histogram-starts=on"]].concat(),
        );
        let found = found.unwrap();
        assert_eq!(found.labels.pairs().collect::<Vec<_>>(), [("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(found.target_info.pairs().collect::<Vec<_>>(), [("a", "4")]);
        assert!(!found.process_metrics && found.choices.native_starts);
        for (flag, other) in [("--label", "--target-info"), ("--target-info", "--label")] {
            let error = config(&["serve", flag, "a=1", flag, "a=2", other, "a=1"]).unwrap_err();
            assert_eq!(
                crate::text_of(&error),
                format!("{flag}: each label is given once, found \"a\" twice; leave one out")
            );
        }
    }

    #[test]
    fn created_samples_and_native_buckets_can_be_left_out_of_pages() {
        let choices = |command: &str, switch: &str| {
            let created = format!("--created-samples={switch}");
            let native = format!("--protobuf.native-histograms={switch}");
            let line = [command, &created, &native, "x"];
            match read(if command == "exec" { &line } else { &line[..3] }).unwrap().command {
                Command::Serve(flags) => flags.arena.choices(),
                Command::Exec(flags) => flags.arena.choices(),
                _ => panic!(),
            }
        };
        for command in ["serve", "exec"] {
            assert_eq!(choices(command, "on"), Choices::default());
            let off = Choices { created: false, native_buckets: false, ..Choices::default() };
            assert_eq!(choices(command, "off"), off);
        }
    }

    #[test]
    fn switches_take_and_show_on_and_off_and_other_words_for_them() {
        let found = |word: &str| {
            let line = ["serve", "--process-metrics", word];
            let Command::Serve(flags) = read(&line).unwrap().command else { panic!() };
            flags.arena.process_metrics
        };
        for yes in ["on", "ON", "true", "Yes", "1"] {
            assert!(found(yes), "{yes}");
        }
        for no in ["off", "OFF", "false", "No", "0"] {
            assert!(!found(no), "{no}");
        }
        for mut command in command().get_subcommands().cloned() {
            let help = command.render_long_help().to_string();
            for word in ["true", "false"] {
                assert!(!help.contains(&format!("[default: {word}]")), "{help}");
                assert!(!help.contains(&format!("values: {word}")), "{help}");
            }
        }
    }

    #[test]
    fn the_flags_of_an_executed_command_are_left_to_it() {
        for line in [
            &["exec", "--slots", "8", "--", "sh", "-c", "exit", "--slots", "--", "x"][..],
            &["exec", "--slots", "8", "sh", "-c", "exit", "--slots", "--", "x"][..],
        ] {
            let Command::Exec(flags) = read(line).unwrap().command else { panic!() };
            assert_eq!(flags.command, ["sh", "-c", "exit", "--slots", "--", "x"]);
            assert_eq!(flags.arena.slots, 8);
        }
        assert!(read(&["exec"]).is_err());
        assert!(read(&["exec", "--no-such-flag", "sh"]).is_err());
    }

    #[test]
    fn bad_values_are_refused_with_what_was_expected() {
        let long = "a".repeat(65);
        for (line, expect) in [
            (["serve", "--control", "/run/x"], "unix:/absolute/path"),
            (["serve", "--backing", "tmpfs"], "auto, posix or memfd"),
            (["serve", "--web.listen-address", "9500"], "HOST:PORT"),
            (["serve", "--web.telemetry-path", "metrics"], "begins with /"),
            (["serve", "--web.telemetry-path", "/-/ready"], "neither"),
            (["serve", "--name", "a/b"], "letters, digits"),
            (["serve", "--name", ""], "letters, digits"),
            (["serve", "--name", &long], "letters, digits"),
            (["serve", "--slots", "many"], "invalid digit"),
            (["serve", "--label", "region"], "NAME=VALUE"),
            (["serve", "--label", "pid=1"], "tell processes apart"),
            (["serve", "--target-info", "__a=1"], "do not begin with __"),
            (["serve", "--worker-label", "name"], "pid or slot"),
            (["serve", "--process-metrics", "some"], "[possible values: on, off]"),
            (["textfile", "--interval", "15"], "for example 15s"),
            (["push", "--method", "patch"], "put, post, delete"),
            (["push", "--grouping", "a"], "expected NAME=VALUE"),
            (["demo", "--seconds", "0"], "1..=86400"),
            (["demo", "--inject", "x"], "lost-count"),
            (["serve", "--log.format", "xml"], "logfmt"),
        ] {
            let error = read(&line).unwrap_err().to_string();
            assert!(error.contains(expect), "{line:?}: {error}");
        }
        let keep = read(&["serve", "--keep-arena", "--backing", "memfd"]).unwrap();
        let Command::Serve(keep) = keep.command else { panic!() };
        let error = keep.arena.config("n", "unix:@n".parse().unwrap(), true).unwrap_err();
        assert!(error.to_string().contains("--keep-arena needs a named object"));
    }
}
