//! What is bad taste in the names, labels and texts of families, though it can be read: the rules
//! and words of `promlint` as it is in version 1.20 of Prometheus' `client_golang` and later
//! (<https://pkg.go.dev/github.com/prometheus/client_golang@v1.20.0/prometheus/testutil/promlint>), which
//! is that of `promtool` 3. Until its version 1.19, as in `promtool` 2.42, it minded the name of any type
//! in a name, of untyped metrics too, and two samples of one series it did not.
//!
//! One rule is none of promlint's: a name that is [the scraper's own](crate::synthetic).

use std::collections::{BTreeSet, HashSet};

use crate::sample::{FamilySamples, Sample, Type};
use crate::synthetic::is_synthetic;

/// Something that is bad taste.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Name of the metric.
    pub metric: String,
    /// What is wrong with it.
    pub text: String,
}

/// What is wrong with these families, by name, each thing once. A family without samples has no
/// problems, because Prometheus does not see it.
#[must_use]
pub fn lint(families: &[FamilySamples]) -> Vec<Problem> {
    let seen = families.iter().filter(|family| !family.samples.is_empty());
    let mut problems = BTreeSet::new();
    for family in seen {
        let metric = metric_name(family);
        let texts = texts(family, &metric);
        problems.extend(texts.into_iter().map(|text| Problem { metric: metric.clone(), text }));
    }
    problems.into_iter().collect()
}

/// The name as the text format has it.
fn metric_name(family: &FamilySamples) -> String {
    let has = |suffix: &str| family.samples.iter().any(|sample| sample.suffix == suffix);
    let suffix = match family.kind {
        Type::Counter if has("_total") => "_total",
        Type::Info if has("_info") => "_info",
        _ => "",
    };
    format!("{}{suffix}", family.name)
}

fn texts(family: &FamilySamples, name: &str) -> Vec<String> {
    let mut texts = Vec::new();
    if family.help.is_empty() {
        texts.push("no help text".to_owned());
    }
    if let Some((unit, base)) = unit(name).filter(|(unit, base)| unit != base) {
        texts.push(format!("use base unit {base:?} instead of {unit:?}"));
    }
    texts.extend(suffix_texts(family.kind, name).map(str::to_owned));
    texts.extend(label_texts(family).map(str::to_owned));
    let lower = name.to_lowercase();
    if let Some(kind) = type_name(family.kind).filter(|kind| has_word(&lower, kind)) {
        texts.push(format!("metric name should not include type '{kind}'"));
    }
    if name.contains(':') {
        texts.push("metric names should not contain ':'".to_owned());
    }
    if is_camel_case(name) {
        let text = "metric names should be written in 'snake_case' not 'camelCase'";
        texts.push(text.to_owned());
    }
    if ABBREVIATIONS.iter().any(|short| has_word(&lower, short)) {
        texts.push("metric names should not contain abbreviated units".to_owned());
    }
    let full = |sample: &Sample| format!("{}{}", family.name, sample.suffix);
    if let Some(name) = family.samples.iter().map(full).find(|name| is_synthetic(name)) {
        texts.push(format!(
            "samples called {name:?} replace those that Prometheus adds to each target"
        ));
    }
    if has_twins(family) {
        texts.push("metric not unique".to_owned());
    }
    texts
}

/// What a name ends with that its type should have, or should leave to another.
fn suffix_texts(kind: Type, name: &str) -> impl Iterator<Item = &'static str> {
    let is_typed = kind != Type::Unknown;
    // A gauge histogram has these suffixes too, but to promlint it is another type.
    let has_buckets = kind == Type::Histogram;
    let counts = has_buckets || kind == Type::Summary;
    let ends = |suffix| name.ends_with(suffix);
    [
        (kind == Type::Counter && !ends("_total"), "counter metrics should have \"_total\" suffix"),
        (
            is_typed && kind != Type::Counter && ends("_total"),
            "non-counter metrics should not have \"_total\" suffix",
        ),
        (
            is_typed && !has_buckets && ends("_bucket"),
            "non-histogram metrics should not have \"_bucket\" suffix",
        ),
        (
            is_typed && !counts && ends("_count"),
            "non-histogram and non-summary metrics should not have \"_count\" suffix",
        ),
        (
            is_typed && !counts && ends("_sum"),
            "non-histogram and non-summary metrics should not have \"_sum\" suffix",
        ),
    ]
    .into_iter()
    .filter_map(|(is_wrong, text)| is_wrong.then_some(text))
}

fn label_texts(family: &FamilySamples) -> impl Iterator<Item = &'static str> {
    let has = |is_meant: &dyn Fn(&str) -> bool| {
        family.samples.iter().any(|sample| sample.labels().any(|(name, _)| is_meant(name)))
    };
    let is_typed = family.kind != Type::Unknown;
    [
        (
            is_typed && !is_histogram(family.kind) && has(&|name| name == "le"),
            "non-histogram metrics should not have \"le\" label",
        ),
        (
            is_typed && family.kind != Type::Summary && has(&|name| name == "quantile"),
            "non-summary metrics should not have \"quantile\" label",
        ),
        (has(&is_camel_case), "label names should be written in 'snake_case' not 'camelCase'"),
    ]
    .into_iter()
    .filter_map(|(is_wrong, text)| is_wrong.then_some(text))
}

/// The name that a name should not include; none of untyped metrics.
fn type_name(kind: Type) -> Option<&'static str> {
    match kind {
        Type::Unknown => None,
        Type::GaugeHistogram => Some("gauge_histogram"),
        _ if is_gauge(kind) => Some("gauge"),
        _ => Some(kind.name()),
    }
}

fn is_histogram(kind: Type) -> bool {
    matches!(kind, Type::Histogram | Type::GaugeHistogram)
}

/// Whether the text format calls it a gauge.
fn is_gauge(kind: Type) -> bool {
    matches!(kind, Type::Gauge | Type::Info | Type::StateSet)
}

/// Whether two series have the same labels. The samples of a histogram or summary make one series.
fn has_twins(family: &FamilySamples) -> bool {
    if is_histogram(family.kind) || family.kind == Type::Summary {
        return false;
    }
    let mut seen = HashSet::new();
    let is_value = |sample: &&Sample| sample.suffix != "_created";
    !family.samples.iter().filter(is_value).all(|sample| seen.insert(&sample.labels))
}

fn has_word(name: &str, word: &str) -> bool {
    let mut words = name.match_indices(word);
    words.any(|(at, _)| {
        let rest = &name[at + word.len()..];
        name[..at].ends_with('_') && (rest.is_empty() || rest.starts_with('_'))
    })
}

fn is_camel_case(name: &str) -> bool {
    let is_hump = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    name.as_bytes().windows(2).any(is_hump)
}

/// The first unit in a name, and the base unit to use for it.
fn unit(name: &str) -> Option<(&str, &'static str)> {
    let base = |word: &str| UNITS.iter().find(|(unit, _)| *unit == word).map(|(_, base)| *base);
    name.split('_').find_map(|word| {
        let prefixed = || PREFIXES.iter().find_map(|prefix| base(word.strip_prefix(prefix)?));
        base(word).or_else(prefixed).map(|base| (word, base))
    })
}

/// Units, each with its base unit.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];
