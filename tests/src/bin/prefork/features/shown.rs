//! What a page shows, as lines that a table can say beforehand:
//!
//! - `_total{area='eu'} 3`: what stands behind the row's name, the labels and the value. The pid of a
//!   worker is `w1`, `w2` or `w3`, in the order of birth.
//! - `_total 3 @2`: its series was created in the second turn; `# {trace='a'} 1 @4` is an exemplar of
//!   the turn of that number. Both are left out where a format has neither.
//! - `!` in front of a line that formats with native histograms have, `?` in front of one that the
//!   others have: ` 3 1: z1 +2:1,3:1 -5:1` is one of 3 of schema 1, with 1 in the zero bucket, 1 in
//!   buckets 2 and 3 above zero, and 1 in bucket 5 below.
//! - `*` for a value is any that is not negative, and `~2` a time in the second turn.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::{FamilySamples, NativeBuckets, NativeHistogram, Sample, Value};
use tallyboard_tests::read::http::get_bytes;

use super::row::Moment;
use crate::stage::text;

/// The formats that are asked for, and how.
pub(crate) const ACCEPTED: &[(&str, Format)] = &[
    ("application/openmetrics-text; version=1.0.0", Format::OpenMetrics100),
    ("text/plain; version=0.0.4", Format::Text004),
    ("application/openmetrics-text; version=2.0.0", Format::OpenMetrics200),
    ("text/plain; version=1.0.0; escaping=allow-utf-8", Format::Text100),
    (
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
         encoding=delimited",
        Format::Protobuf,
    ),
];

/// The labels that tell processes apart.
const OF_PROCESSES: [&str; 3] = ["pid", "worker", "tallyboard_worker"];

/// A page as families.
pub(crate) struct Shown {
    pub(crate) families: Vec<FamilySamples>,
}

/// When turns began.
type Turns = [(Moment, u64)];

impl Shown {
    pub(crate) fn get(address: SocketAddr, accept: &str, format: Format) -> Result<Self, String> {
        let answer = get_bytes(address, "/metrics", accept).map_err(text)?;
        let content_type = format!("content-type: {}", format.content_type().to_ascii_lowercase());
        if answer.status != 200 || !answer.headers.contains(&content_type) {
            return Err(format!("expected {content_type}, found {answer:?}"));
        }
        let families = parse(&answer.body, format, &Options::default());
        let page = String::from_utf8_lossy(&answer.body);
        let families = families.map_err(|error| format!("{error} in {page}"))?;
        Ok(Self { families })
    }

    /// All lines of the rows called `names`, by name of the row; what begins with `feat_` and is of
    /// no row stands under its own name.
    pub(crate) fn lines(
        &mut self,
        names: &[&str],
        pids: &[u32],
        turns: &Turns,
    ) -> Result<BTreeMap<String, Vec<String>>, String> {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for family in &self.families {
            for sample in family.samples.iter().filter(|sample| sample.suffix != "_created") {
                let name = format!("{}{}", family.name, sample.suffix);
                let Some(name) = name.strip_prefix("feat_") else { continue };
                let is_of = |row: &&&str| {
                    let rest = name.strip_prefix(**row);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
                };
                let row = names.iter().filter(is_of).max_by_key(|row| row.len());
                let row = row.copied().unwrap_or(name);
                let native = sample.native.as_deref();
                let line = [
                    name[row.len()..].to_owned(),
                    labels(&sample.labels, pids),
                    format!(" {}", number(sample.value)),
                    native.map(buckets).unwrap_or_default(),
                    created(family, sample, turns)?,
                    exemplar(sample, turns),
                ];
                lines.entry(row.to_owned()).or_default().push(line.concat());
            }
        }
        lines.values_mut().for_each(|lines| lines.sort());
        Ok(lines)
    }
}

/// Whether `found` is what was `expected` of a page in `format`; if not, what was.
pub(crate) fn is_as<'a>(
    found: &[String],
    expected: &'a [String],
    format: Format,
    turns: &Turns,
) -> Result<(), Vec<&'a str>> {
    let has_all = !matches!(format, Format::Text004 | Format::Text100);
    let has_native = matches!(format, Format::OpenMetrics200 | Format::Protobuf);
    let of_format = |line: &&String| match line.as_bytes().first() {
        Some(b'!') => has_native,
        Some(b'?') => !has_native,
        _ => true,
    };
    let without = |line: &'a str| {
        let end = [line.find(" @"), line.find(" #")].into_iter().flatten().min();
        &line[..end.unwrap_or(line.len())]
    };
    let cut = |line: &'a str| if has_all { line } else { without(line) };
    let bare = |line: &'a str| line.trim_start_matches(['!', '?']);
    let expected = expected.iter().filter(of_format);
    let mut expected: Vec<&str> = expected.map(|line| bare(cut(line))).collect();
    expected.sort_unstable();
    let same = |(found, expected): (&String, &&str)| is_line(found, expected, turns);
    if found.len() == expected.len() && found.iter().zip(&expected).all(same) {
        return Ok(());
    }
    Err(expected)
}

fn is_line(found: &str, expected: &str, turns: &Turns) -> bool {
    let parts = |line: &str| -> Option<(String, String, String)> {
        let (name, rest) = line.split_once(' ')?;
        let (value, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        Some((name.to_owned(), value.to_owned(), behind.to_owned()))
    };
    let (Some(found), Some(expected)) = (parts(found), parts(expected)) else { return false };
    let value: f64 = found.1.parse().unwrap_or(f64::NAN);
    let is_value = match expected.1.as_str() {
        "*" => value >= 0.0,
        moment if moment.starts_with('~') => moment[1..] == turn(turns, (value * 1000.0) as u64),
        exact => found.1 == exact,
    };
    is_value && found.0 == expected.0 && found.2 == expected.2
}

/// The number of the turn in which a time is.
fn turn(turns: &Turns, ms: u64) -> String {
    let turn = turns.iter().rev().find(|(_, began)| *began <= ms);
    turn.map_or_else(|| format!("before: {ms}"), |(moment, _)| (*moment as usize).to_string())
}

/// The buckets of a native histogram.
fn buckets(native: &NativeHistogram) -> String {
    let side = |sign: char, side: &NativeBuckets| {
        let mut index = 0;
        let mut counts = side.counts.iter();
        let mut all = Vec::new();
        for span in &side.spans {
            index += span.offset;
            for count in counts.by_ref().take(span.length as usize) {
                all.push((index, number(*count)));
                index += 1;
            }
        }
        let all = all.iter().filter(|(_, count)| count != "0");
        let all: Vec<String> = all.map(|(index, count)| format!("{index}:{count}")).collect();
        if all.is_empty() { String::new() } else { format!(" {sign}{}", all.join(",")) }
    };
    let sides = [side('+', &native.positive), side('-', &native.negative)].concat();
    format!(" {}: z{}{sides}", native.schema, number(native.zero_count))
}

fn number(value: Value) -> String {
    match value {
        Value::Whole(whole) => whole.to_string(),
        Value::Float(float) => float.to_string(),
    }
}

fn labels(labels: &[(String, String)], pids: &[u32]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let label = |(name, value): &(String, String)| {
        let worker = pids.iter().position(|pid| pid.to_string() == *value);
        match worker.filter(|_| OF_PROCESSES.contains(&name.as_str())) {
            Some(worker) => format!("{name}='w{}'", worker + 1),
            None => format!("{name}='{value}'"),
        }
    };
    let labels: Vec<String> = labels.iter().map(label).collect();
    format!("{{{}}}", labels.join(","))
}

/// When a series was created; it is said of one line of it.
fn created(family: &FamilySamples, sample: &Sample, turns: &Turns) -> Result<String, String> {
    if !["_total", "_count"].contains(&&*sample.suffix) {
        return Ok(String::new());
    }
    let is_of = |other: &&Sample| other.suffix == "_created" && other.labels == sample.labels;
    let mut created = family.samples.iter().filter(is_of);
    match (created.next(), created.next()) {
        (None, _) => Ok(String::new()),
        (Some(created), None) => {
            // Times are written to the millisecond, and a float is next to it.
            let ms = (created.value.as_f64() * 1000.0).round() as u64;
            Ok(format!(" @{}", turn(turns, ms)))
        }
        _ => Err(format!("two created times of {}{:?}", family.name, sample.labels)),
    }
}

fn exemplar(sample: &Sample, turns: &Turns) -> String {
    let of_native = sample.native.iter().flat_map(|native| &native.exemplars);
    let Some(exemplar) = sample.exemplar.iter().chain(of_native).next() else {
        return String::new();
    };
    let at = exemplar.timestamp.and_then(|at| u64::try_from(at.millis()).ok());
    let at = at.map_or_else(|| "never".to_owned(), |at| turn(turns, at));
    let labels = labels(&exemplar.labels, &[]);
    format!(" # {labels} {} @{at}", exemplar.value)
}
