//! Lines of the log that repeat: the first few are written, then those whose number is a power of
//! two, and each says how many it stands for. So nobody who makes a line repeat fills a disk with it,
//! whichever line it is.
//!
//! Two lines are the same when they are of the same place in the code and differ in numbers alone: a
//! pid, a slot, how many milliseconds. What is asked for by `--log.level debug` is not limited.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::flags::LogFormat;

/// How many of the same lines are written as they come.
const FIRST: u64 = 5;
/// A line that still repeats is written once in this time at least, and one that has not come for so
/// long is new when it comes again.
const LONGEST: Duration = Duration::from_secs(600);
/// How long a line has not come when what was left out of it is told.
const CALM: Duration = Duration::from_secs(10);
/// How many different lines of one place in the code are told apart, and in all. Those beyond share
/// one count for each place.
const MOST_OF_ONE: usize = 16;
const MOST: usize = 256;
/// Bytes of a line that tell it apart.
const MOST_BYTES: usize = 256;
/// Where lines are from that say how many others were left out.
const TARGET: &str = "tallyboard::repeats";

/// What was written and left out in this process.
static REPEATS: Mutex<Option<Repeats>> = Mutex::new(None);

/// Formats events as `F` does, but for those that repeat.
pub struct Limited<F> {
    inner: F,
    format: LogFormat,
}

/// What is known of all lines.
#[derive(Debug, Default)]
struct Repeats {
    lines: HashMap<Key, Line>,
}

/// What makes two lines the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    place: Identifier,
    said: String,
}

/// A line that has come before.
#[derive(Debug)]
struct Line {
    level: Level,
    count: u64,
    left_out: u64,
    written: Instant,
    came: Instant,
}

/// What becomes of a line: written, for as many as were left out before it, or left out.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Write { left_out: u64 },
    LeaveOut,
}

impl<F> Limited<F> {
    /// Events as `inner` formats them, which is this format.
    pub fn new(inner: F, format: LogFormat) -> Self {
        Self { inner, format }
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == TARGET {
            return self.inner.format_event(context, writer, event);
        }
        let mut said = Said::default();
        event.record(&mut said);
        let key = Key { place: metadata.callsite(), said: said.0 };
        let turn = repeats().get_or_insert_default().turn(key, *metadata.level(), Instant::now());
        match turn {
            Turn::LeaveOut => Ok(()),
            Turn::Write { left_out: 0 } => self.inner.format_event(context, writer, event),
            Turn::Write { left_out } => {
                let mut line = String::new();
                self.inner.format_event(context, Writer::new(&mut line), event)?;
                writer.write_str(&counted(line, self.format, left_out + 1))
            }
        }
    }
}

/// A line with how many it stands for.
fn counted(mut line: String, format: LogFormat, stands_for: u64) -> String {
    let end = line.trim_end().len();
    let (at, count) = match format {
        LogFormat::Logfmt => (end, format!(" stands_for={stands_for}")),
        // Before the brace at the end.
        LogFormat::Json => (end.saturating_sub(1), format!(",\"stands_for\":{stands_for}")),
    };
    line.insert_str(at, &count);
    line
}

/// Tells of lines that were left out and come no longer; at the end of a process, of all.
pub fn tell(is_end: bool) {
    let now = Instant::now();
    let is_due = |line: &Line| is_end || now.saturating_duration_since(line.came) >= CALM;
    // Told when nothing is held: what is told is a line of the log.
    let due = repeats().as_mut().map(|repeats| repeats.due(is_due)).unwrap_or_default();
    for (level, said, stands_for) in due {
        match level {
            Level::ERROR => {
                tracing::error!(target: TARGET, said, stands_for, "more lines like one before")
            }
            Level::WARN => {
                tracing::warn!(target: TARGET, said, stands_for, "more lines like one before")
            }
            _ => tracing::info!(target: TARGET, said, stands_for, "more lines like one before"),
        }
    }
}

fn repeats() -> MutexGuard<'static, Option<Repeats>> {
    // Counts are good whatever has panicked.
    REPEATS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Repeats {
    fn turn(&mut self, key: Key, level: Level, now: Instant) -> Turn {
        let key = self.bounded(key, now);
        let new = || Line { level, count: 0, left_out: 0, written: now, came: now };
        let line = self.lines.entry(key).or_insert_with(new);
        if now.saturating_duration_since(line.came) >= LONGEST {
            line.count = 0;
        }
        line.count += 1;
        line.came = now;
        let is_old = now.saturating_duration_since(line.written) >= LONGEST;
        if line.count > FIRST && !line.count.is_power_of_two() && !is_old {
            line.left_out += 1;
            return Turn::LeaveOut;
        }
        line.written = now;
        Turn::Write { left_out: std::mem::take(&mut line.left_out) }
    }

    /// The key, or the one that all lines of its place share when there are too many.
    fn bounded(&mut self, key: Key, now: Instant) -> Key {
        if self.lines.contains_key(&key) {
            return key;
        }
        if self.lines.len() >= MOST {
            let is_known = |line: &Line| now.saturating_duration_since(line.came) < LONGEST;
            self.lines.retain(|_, line| line.left_out > 0 || is_known(line));
        }
        let of_place = self.lines.keys().filter(|other| other.place == key.place).count();
        if of_place < MOST_OF_ONE && self.lines.len() < MOST {
            return key;
        }
        Key { said: "(of many kinds)".to_owned(), ..key }
    }

    /// What was left out of the lines that are due, which is told then.
    fn due(&mut self, is_due: impl Fn(&Line) -> bool) -> Vec<(Level, String, u64)> {
        let lines = self.lines.iter_mut();
        let due = lines.filter(|(_, line)| line.left_out > 0 && is_due(line));
        due.map(|(key, line)| (line.level, key.said.clone(), std::mem::take(&mut line.left_out)))
            .collect()
    }
}

/// What a line says, without its numbers.
#[derive(Default)]
struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = match field.name() {
            "message" => String::new(),
            name => format!("{name}="),
        };
        let separator = if self.0.is_empty() { "" } else { " " };
        // Writing into a text does not fail.
        let _ = write!(Bounded(&mut self.0), "{separator}{name}{value:?}");
    }
}

/// A text of so many bytes in which a number of any length is one sign.
struct Bounded<'a>(&'a mut String);

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for sign in text.chars() {
            let sign = if sign.is_ascii_digit() { '#' } else { sign };
            let repeats = sign == '#' && self.0.ends_with('#');
            if !repeats && self.0.len() + sign.len_utf8() <= MOST_BYTES {
                self.0.push(sign);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing::callsite::Callsite as _;

    use super::*;

    /// A place in the code.
    fn place() -> Identifier {
        tracing::callsite! { name: "here", kind: tracing::metadata::Kind::EVENT, fields: message }
            .metadata()
            .callsite()
    }

    fn key(said: &str) -> Key {
        Key { place: place(), said: said.to_owned() }
    }

    #[test]
    fn thirty_thousand_lines_are_a_few_and_each_is_accounted_for() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let (mut written, mut stood_for) = (0_u64, 0);
        for _ in 0..30_000 {
            if let Turn::Write { left_out } = repeats.turn(key("a"), Level::WARN, now) {
                written += 1;
                stood_for += left_out + 1;
            }
        }
        // Five, and 8, 16, ... 16,384.
        assert_eq!(written, 5 + 12);
        let due = repeats.due(|_| true);
        assert_eq!(due, [(Level::WARN, "a".to_owned(), 30_000 - stood_for)]);
        assert_eq!(repeats.due(|_| true), []);
    }

    #[test]
    fn a_line_that_goes_on_is_written_now_and_then_and_one_that_was_away_is_new() {
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        let mut turn = |seconds| {
            let at = begin + Duration::from_secs(seconds);
            repeats.turn(key("a"), Level::WARN, at)
        };
        // Once a minute for an hour and a half: five, then 8, then one in ten minutes.
        let written: Vec<u64> =
            (0..90).filter(|minute| turn(minute * 60) != Turn::LeaveOut).collect();
        assert_eq!(written, [0, 1, 2, 3, 4, 7, 15, 25, 31, 41, 51, 61, 63, 73, 83]);
        // What was left out before is told with the first that comes again.
        assert_eq!(turn(100_000), Turn::Write { left_out: 6 });
        assert_eq!(turn(100_001), Turn::Write { left_out: 0 });
    }

    #[test]
    fn what_differs_in_numbers_alone_is_the_same_and_the_rest_is_bounded() {
        let text = |text: &str| {
            let mut said = String::new();
            write!(Bounded(&mut said), "{text}").unwrap();
            said
        };
        assert_eq!(text("pid=12 uid=7"), text("pid=9 uid=65534"));
        assert_ne!(text("reason=uid"), text("reason=memory"));
        assert_eq!(text(&"ü".repeat(400)).len(), MOST_BYTES);

        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let turns = (0..10_000).map(|at| {
            let letters: String =
                format!("{at}").bytes().map(|digit| char::from(digit + 49)).collect();
            repeats.turn(key(&letters), Level::WARN, now)
        });
        let written = turns.filter(|turn| *turn != Turn::LeaveOut).count();
        assert!(written < 40, "{written}");
        assert_eq!(repeats.lines.len(), MOST_OF_ONE + 1);
    }

    #[test]
    fn a_line_says_how_many_it_stands_for_in_its_own_format() {
        let logfmt = counted("level=warn msg=\"a b\"\n".to_owned(), LogFormat::Logfmt, 7);
        assert_eq!(logfmt, "level=warn msg=\"a b\" stands_for=7\n");
        let json = counted("{\"message\":\"a\"}\n".to_owned(), LogFormat::Json, 7);
        assert_eq!(json, "{\"message\":\"a\",\"stands_for\":7}\n");
    }
}
