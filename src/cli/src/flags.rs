//! What several commands can be told, and how a text becomes that: no command is known here.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args, ValueEnum};
use tallyboard_bridges::Tls;
use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::format::Format;
use tallyboard_segment::pass::Address;

/// How lines are logged. Every command has these beside its own, so they say by what name they are kept:
/// another flag may be called `format` too.
#[derive(Args, Clone, Copy, Debug)]
pub struct LogFlags {
    /// Least severity of the lines that are logged [default: info, for demo: warn].
    #[arg(
        id = "log_level",
        long = "log.level",
        value_name = "LEVEL",
        global = true,
        hide_possible_values = false
    )]
    pub level: Option<LogLevel>,
    /// Form of the lines that are logged.
    #[arg(
        id = "log_format",
        long = "log.format",
        value_name = "FORMAT",
        global = true,
        default_value = "logfmt"
    )]
    pub format: LogFormat,
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

/// What a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatFlag {
    /// What it looks like.
    Auto,
    /// Prometheus text 0.0.4.
    Text,
    /// Prometheus text 1.0.0.
    #[value(name = "text-1.0")]
    TextV1,
    /// OpenMetrics 1.0.0 or 0.0.1.
    Openmetrics,
    /// OpenMetrics 2.0.0.
    #[value(name = "openmetrics-2.0")]
    Openmetrics2,
    /// Prometheus' protocol buffers, each behind its length.
    Protobuf,
}

impl FormatFlag {
    /// The format; `None` for the one that there is.
    #[must_use]
    pub fn format(self) -> Option<Format> {
        match self {
            Self::Auto => None,
            Self::Text => Some(Format::Text004),
            Self::TextV1 => Some(Format::Text100),
            Self::Openmetrics => Some(Format::OpenMetrics100),
            Self::Openmetrics2 => Some(Format::OpenMetrics200),
            Self::Protobuf => Some(Format::Protobuf),
        }
    }

    /// The name of a format.
    #[must_use]
    pub fn name(format: Format) -> String {
        let flags = Self::value_variants().iter();
        let flag = flags.copied().find(|flag| flag.format() == Some(format));
        let value = flag.and_then(|flag| flag.to_possible_value());
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
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

/// Reads the name of an arena.
///
/// # Errors
/// What a name is.
pub fn arena_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("an arena's name has 1 to 64 letters, digits, dots, dashes and underscores and does not \
         begin with a dot; choose such a name"
        .to_owned())
}

/// Reads a duration that is longer than nothing: `15s`, `500ms`, `1m30s`, `2h`.
///
/// # Errors
/// What was expected instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let (mut rest, mut millis) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let unit = units.iter().find(|(name, _)| *name == unit);
        let part = number.parse().ok().zip(unit);
        let part = part.and_then(|(number, (_, millis)): (u64, _)| number.checked_mul(*millis));
        millis = part.and_then(|part| millis.checked_add(part)).ok_or_else(wanted)?;
        rest = behind;
    }
    if millis == 0 { Err(wanted()) } else { Ok(Duration::from_millis(millis)) }
}

/// How names are written that old readers do not know, by its name.
pub fn escaping() -> impl TypedValueParser<Value = Escaping> {
    let schemes = PossibleValuesParser::new(Escaping::EVERY.map(Escaping::name));
    schemes.map(|name| Escaping::named(&name).unwrap_or_default())
}

fn wanted() -> String {
    "expected a number above 0 with a unit of ms, s, m, h or d, for example 15s".to_owned()
}

/// Whom to trust, and the certificate to show with its key. The one without the other is refused with
/// the flags.
#[must_use]
pub fn tls(ca: Option<PathBuf>, identity: Option<(PathBuf, PathBuf)>) -> Tls {
    let tls = Tls::default();
    let tls = ca.into_iter().fold(tls, Tls::trust);
    identity.into_iter().fold(tls, |tls, (certificate, key)| tls.identity(certificate, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_name_and_is_found_by_it() {
        for format in Format::EVERY.iter().filter(|format| **format != Format::OpenMetrics001) {
            let name = FormatFlag::name(*format);
            let flag = FormatFlag::from_str(&name, false).expect("a flag of this name");
            assert_eq!(flag.format(), Some(*format), "{name}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, expect) in [
            ("15s", Some(15_000)),
            ("500ms", Some(500)),
            ("1m30s", Some(90_000)),
            ("2h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("0s", None),
            ("15", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("15x", None),
            ("1sä", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            let found = duration(text).ok();
            assert_eq!(found, expect.map(Duration::from_millis), "{text}");
        }
        assert!(duration("15").unwrap_err().contains("for example 15s"));
    }
}
