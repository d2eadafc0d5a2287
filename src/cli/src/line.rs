//! The command line: what the program can be told to do. Each flag has an environment variable beside
//! it: `TALLYBOARD_` and the flag's name in capitals, with dots and dashes as underscores. `TALLYBOARD`
//! alone is no flag: it is the control address that workers attach to.

use clap::builder::OsStr as Name;
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::demo::flags::DemoFlags;
use crate::documents::check::CheckFlags;
use crate::documents::parse::ParseFlags;
use crate::flags::{LogFlags, LogLevel, Switch};
use crate::look::inspect::InspectFlags;
use crate::look::ls::LsFlags;
use crate::look::prune::PruneFlags;
use crate::look::scrape::ScrapeFlags;
use crate::look::slots::SlotsFlags;
use crate::run::exec::ExecFlags;
use crate::run::serve::ServeFlags;
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
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogFlags,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
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
        after_help = "Exit status: 0 when nothing is bad, else 1; 2 when the command line is wrong. With --control, \
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
        the command line is wrong."
    )]
    Inspect(InspectFlags),
    /// Read an exposition strictly and say what is in it.
    #[command(
        after_help = "Exit status: 0 when it is an exposition, 1 when it is not (line:column: message on \
        standard error), 2 when it cannot be read or the command line is wrong."
    )]
    Parse(ParseFlags),
    /// Read an exposition as Prometheus does and say what is bad taste in it, as promtool would.
    #[command(
        after_help = "Exit status: 0 when it is good, 1 when it is no exposition, 3 when something is bad \
        taste, 2 when it cannot be read or the command line is wrong."
    )]
    Check(CheckFlags),
    /// Push the metrics of an arena, or of a document, to a Pushgateway.
    #[command(
        after_help = "Exit status: 0 when the last push was taken, else 1; 2 when the command line is wrong.\n\
        A password stands in a file rather than in the URL, which every user of the machine can read."
    )]
    Push(PushFlags),
    /// Send the metrics of an arena, or of a document, to Graphite.
    #[command(
        after_help = "Exit status: 0 when Graphite has read everything, with --interval everything that was \
        left at the end; else 1; 2 when the command line is wrong."
    )]
    Graphite(GraphiteFlags),
    /// Write the metrics of an arena, or of a document, to a file for the node exporter.
    #[command(
        after_help = "Exit status: 0 when the last write succeeded, else 1; 2 when the command line is wrong."
    )]
    Textfile(TextfileFlags),
    /// Run a prefork HTTP application that is loaded, killed and scraped, and check its counts.
    #[command(
        after_help = "Exit status: 0 when answered <= counted <= sent and nothing ever went down, else 1."
    )]
    Demo(DemoFlags),
}

impl Flags {
    /// Reads the command line and the environment; ends the program when they cannot be read, or
    /// when help or the version was asked for.
    #[must_use]
    pub fn read() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Least severity of the lines that are logged.
    #[must_use]
    pub fn log_level(&self) -> LogLevel {
        self.log.level.unwrap_or(match self.command {
            // The demo has a progress line of its own on standard error.
            Command::Demo(_) => LogLevel::Warn,
            _ => LogLevel::Info,
        })
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

/// The environment variable of a flag.
fn variable_of(flag: &str) -> String {
    format!("TALLYBOARD_{}", flag.to_ascii_uppercase().replace(['.', '-'], "_"))
}

/// Names of variables live as long as the command line, which is as long as the program.
fn leak(name: String) -> &'static str {
    name.leak()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use tallyboard_exposition::format::Choices;
    use tallyboard_supervisor::{Backing, Config, Labels, WorkerLabel};

    use super::*;
    use crate::run::flags::ArenaFlags;

    fn read(line: &[&str]) -> Result<Flags, clap::Error> {
        let line = std::iter::once("tallyboard").chain(line.iter().copied());
        Flags::from_arg_matches(&command().try_get_matches_from(line)?)
    }

    fn config(arena: &ArenaFlags) -> anyhow::Result<Config> {
        arena.config("n", "unix:@n".parse().unwrap(), true)
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
        let config = config(&flags.arena).unwrap();
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
            assert_eq!(flags.log.level, Some(LogLevel::Debug));
            let Command::Serve(serve) = flags.command else { panic!() };
            let found = config(&serve.arena).unwrap().listen;
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
            config(&flags.arena).map(|config| config.listen).map_err(|error| error.to_string())
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
        let read_config = |line: &[&str]| {
            let Command::Serve(flags) = read(line).unwrap().command else { panic!() };
            config(&flags.arena)
        };
        let line = ["serve", "--label", "a=1", "--label=b=2,c=3", "--target-info", "a=4"];
        let found = read_config(
            &[&line[..], &["--process-metrics=off", "--native-histogram-starts=on"]].concat(),
        );
        let found = found.unwrap();
        assert_eq!(found.labels.pairs().collect::<Vec<_>>(), [("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(found.target_info.pairs().collect::<Vec<_>>(), [("a", "4")]);
        assert!(!found.process_metrics && found.choices.native_starts);
        for (flag, other) in [("--label", "--target-info"), ("--target-info", "--label")] {
            let error =
                read_config(&["serve", flag, "a=1", flag, "a=2", other, "a=1"]).unwrap_err();
            assert_eq!(
                crate::errors::text_of(&error),
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
                Command::Serve(flags) => config(&flags.arena).unwrap().choices,
                Command::Exec(flags) => config(&flags.arena).unwrap().choices,
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
        let error = config(&keep.arena).unwrap_err();
        assert!(error.to_string().contains("--keep-arena needs a named object"));
    }
}
