//! What a family is, and which names and labels it may have. A [`Family`] that exists is valid:
//! both the worker that registers it and the supervisor that reads it from a log made it here.
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | has |
//! |---|---|
//! | `error` | what is wrong with a family |
//! | `samples` | families of what collectors say |
//! | `kind` | the kinds, with what each is made with |
//! | `rules` | names, labels and bounds that may be |

mod error;
mod kind;
mod rules;
mod samples;

pub use crate::cell::GaugeMode;
use crate::cell::Shape;
pub use crate::limits::{
    MAX_BOUNDS, MAX_HELP_BYTES, MAX_LABELS, MAX_NAME_BYTES, MAX_STATES, MAX_VALUE_BYTES,
};
pub use crate::names::{
    BUCKET_PREFIX, COLLECTOR_ERRORS, COLLECTOR_LABEL, EXEMPLAR_PREFIX, LAST_WORKER_LABEL,
    RESERVED_PREFIX, SAMPLE_LABELS, is_name,
};
use crate::native::Bucket;
use crate::pairs;
pub use error::FamilyError;
pub use kind::Kind;
pub use samples::{Declared, Samples};

/// A family: everything about a metric but its label values.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Type, and what only that type has.
    pub kind: Kind,
    /// Name without the suffix `_total` of a counter or `_info` of an info.
    pub name: Box<str>,
    /// Unit, or nothing.
    pub unit: Box<str>,
    /// Help text, or nothing.
    pub help: Box<str>,
    /// Label names, in the order of their values in a series.
    pub labels: Box<[Box<str>]>,
}

impl Family {
    /// Makes a family, or says what is wrong with it. A counter's name may be given with or
    /// without `_total` and is kept without.
    ///
    /// # Errors
    /// [`FamilyError`] names what was expected and what was found.
    pub fn new(
        kind: Kind,
        name: &str,
        unit: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Self, FamilyError> {
        let name = match kind {
            Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
            Kind::Info => name.strip_suffix("_info").unwrap_or(name),
            _ => name,
        };
        Self::named(kind, name, unit, help, labels)
    }

    /// Makes a family of a name as it is kept: one that ends in `_total` or `_info` still has the
    /// suffix behind it in its samples.
    ///
    /// # Errors
    /// As [`Family::new`].
    pub fn named(
        kind: Kind,
        name: &str,
        unit: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Self, FamilyError> {
        rules::check(&kind, name, unit, help, labels)?;
        Ok(Self {
            kind,
            name: name.into(),
            unit: unit.into(),
            help: help.into(),
            labels: labels.iter().map(|&label| label.into()).collect(),
        })
    }

    /// How many values a series of this family has: one per label, and those of its kind.
    #[must_use]
    pub fn values(&self) -> usize {
        let more = match self.kind {
            Kind::Info => 1,
            Kind::Samples(_) => 2,
            _ => 0,
        };
        self.labels.len() + more
    }

    /// The shape of a series with these values.
    #[must_use]
    pub fn shape(&self, values: &[Box<str>]) -> Shape {
        match (&self.kind, values.first()) {
            (Kind::Samples(samples), Some(suffix)) => Shape::Sample(samples.join_of(suffix)),
            (kind, _) => Shape::of(kind),
        }
    }

    /// The bucket of a native histogram that a series of this family is; `None` when it is none.
    #[must_use]
    pub fn bucket_of(&self, values: &[Box<str>]) -> Option<Bucket> {
        let Kind::Bucket(native) = &self.kind else { return None };
        values.last()?.parse().ok().filter(|bucket| native.has(*bucket))
    }

    /// What the last of the values of a series should have been, when the kind says more of it than
    /// that it is a text: the pairs of an info, which are none of its labels, and the text of a
    /// bucket. `None` when nothing is wrong.
    #[must_use]
    pub fn wrong_value(&self, values: &[Box<str>]) -> Option<&'static str> {
        let last = || values.last().map_or("", |value| &**value);
        let is_own = |name: &str| self.labels.iter().any(|label| **label == *name);
        match &self.kind {
            Kind::Info => match pairs::decode(last()) {
                None => Some("label pairs of an info"),
                Some(pairs) if pairs.iter().any(|(name, _)| is_own(name)) => {
                    Some("label pairs that are none of the info's labels")
                }
                Some(_) => None,
            },
            Kind::Samples(samples) => {
                let suffix = values.first().map_or("", |value| &**value);
                match (samples.declared.suffixes().contains(&suffix), pairs::decode(last())) {
                    (true, Some(_)) => None,
                    (true, None) => Some("label pairs of a sample"),
                    (false, _) => Some("a sample of a suffix that the type has"),
                }
            }
            Kind::Bucket(_) if self.bucket_of(values).is_none() => {
                Some("a bucket of the histogram")
            }
            _ => None,
        }
    }

    /// Whether two processes that both have this name mean the same: type, mode, bounds, labels
    /// and unit agree. The help text may differ; the first one counts.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.labels == other.labels
            && self.unit == other.unit
    }

    /// The names of the samples that a family of this kind writes, beside or instead of its own.
    /// Two families whose samples share a name cannot be in one exposition.
    pub fn sample_names(&self) -> impl Iterator<Item = String> + '_ {
        let suffixes: &[&str] = match self.kind {
            Kind::Counter => &["", "_total", "_created"],
            Kind::Gauge(_) | Kind::StateSet(_) => &[""],
            Kind::Histogram(_) | Kind::NativeHistogram(_) => {
                &["", "_bucket", "_count", "_sum", "_created"]
            }
            Kind::Summary => &["", "_count", "_sum", "_created"],
            Kind::Info => &["", "_info"],
            Kind::Samples(samples) => match samples.declared {
                Declared::Counter => &["", "_total", "_created"],
                Declared::Histogram => &["", "_bucket", "_count", "_sum", "_created"],
                Declared::GaugeHistogram => &["", "_bucket", "_gcount", "_gsum"],
                Declared::Info => &["", "_info"],
                Declared::Summary | Declared::Gauge | Declared::StateSet | Declared::Unknown => {
                    samples.declared.suffixes()
                }
            },
            Kind::Exemplar | Kind::Bucket(_) => &[],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::Native;

    fn check(kind: Kind, name: &str, unit: &str, labels: &[&str], expect: &str) {
        let found = match Family::new(kind, name, unit, "help", labels) {
            Ok(family) => format!("ok {}", family.name),
            Err(error) => error.to_string(),
        };
        assert!(found.starts_with(expect), "{name} {labels:?}: {found:?}, expected {expect:?}");
    }

    #[test]
    fn every_bad_family_is_refused_with_what_was_expected_and_found() {
        let histogram = |bounds: &[f64]| Kind::Histogram(bounds.into());
        check(Kind::Counter, "requests_total", "", &[], "ok requests");
        check(Kind::Counter, "requests", "", &["route", "status"], "ok requests");
        check(Kind::Gauge(GaugeMode::Sum), "requests_total", "", &[], "ok requests_total");
        let names = "metric names have from 1 to 256 bytes";
        check(Kind::Counter, "", "", &[], names);
        check(Kind::Counter, "_total", "", &[], names);
        check(Kind::Counter, "a\0b", "", &[], names);
        check(Kind::Counter, &"a".repeat(257), "", &[], names);
        check(Kind::Counter, &"é".repeat(129), "", &[], names);
        check(Kind::Counter, "1st", "", &[], "ok 1st");
        check(Kind::Counter, "a b", "", &[], "ok a b");
        check(Kind::Counter, "a\nb\u{7f}", "", &[], "ok a\nb\u{7f}");
        check(Kind::Counter, "http.requests_total", "", &["http.route"], "ok http.requests");
        check(Kind::Counter, &"é".repeat(128), "", &[&"é".repeat(128)], "ok éé");
        let reserved = "names beginning with tallyboard_";
        for name in ["tallyboard_x", "tallyboard.x", "tallyboard-x", "tallyboardé", "tallyboard "]
        {
            check(Kind::Counter, name, "", &[], reserved);
        }
        check(Kind::Counter, "tallyboards.x", "", &[], "ok tallyboards.x");
        check(Kind::Counter, "tallyboard:x", "", &[], "ok tallyboard:x");
        check(Kind::Counter, "é.tallyboard_x", "", &[], "ok é.tallyboard_x");
        let (errors, label) = (COLLECTOR_ERRORS, COLLECTOR_LABEL);
        check(Kind::Counter, errors, "", &[label], "ok tallyboard_collector_errors");
        check(Kind::Counter, errors, "", &[], reserved);
        check(Kind::Counter, errors, "", &[label, "a"], reserved);
        check(Kind::Counter, errors, "errors", &[label], reserved);
        check(Kind::Counter, "tallyboard_collector_error", "", &[label], reserved);
        check(Kind::Gauge(GaugeMode::Sum), errors, "", &[label], reserved);
        check(Kind::Counter, "a", "", &["a:b"], "ok a");
        check(Kind::Counter, "a", "", &[""], "label names have from 1 to 256 bytes");
        check(Kind::Counter, "a", "", &["b\0"], "label names have from 1 to 256 bytes");
        check(Kind::Counter, "a", "", &["__a"], "label names do not begin with __");
        check(Kind::Counter, "a", "", &["b", "b"], "label names differ");
        check(Kind::Counter, "a", "", &["b"; 65], "a metric has at most 64 labels");
        check(Kind::Counter, "a", "", &["pid"], "ok a");
        check(Kind::Gauge(GaugeMode::Sum), "a", "", &["pid"], "ok a");
        check(Kind::Gauge(GaugeMode::All), "a", "", &["pid", "worker"], "ok a");
        let all = "label names of a gauge of mode all";
        check(Kind::Gauge(GaugeMode::LiveAll), "a", "", &[LAST_WORKER_LABEL], all);
        check(Kind::Gauge(GaugeMode::Sum), "a", "", &[LAST_WORKER_LABEL], "ok a");
        check(Kind::Summary, "a", "", &["quantile"], "label names of a summary");
        check(Kind::Summary, "a", "", &["le"], "ok a");
        check(histogram(&[1.0]), "a", "", &["le"], "label names of a histogram");
        check(histogram(&[]), "a", "", &[], "histogram bounds are");
        check(histogram(&[2.0, 1.0]), "a", "", &[], "histogram bounds are");
        check(histogram(&[1.0, 1.0]), "a", "", &[], "histogram bounds are");
        check(histogram(&[1.0, f64::INFINITY]), "a", "", &[], "histogram bounds are");
        check(histogram(&[f64::NAN]), "a", "", &[], "histogram bounds are");
        check(histogram(&[-1.0, 0.0]), "a", "", &[], "ok a");
        check(Kind::Counter, "wait_seconds_total", "seconds", &[], "ok wait_seconds");
        check(Kind::Counter, "wait", "seconds", &[], "a unit is the last part");
        let states = |states: &[&str]| Kind::StateSet(states.iter().map(|&s| s.into()).collect());
        check(Kind::Info, "build_info", "", &["a"], "ok build");
        check(Kind::Info, "build_info", "info", &[], "a family of type info has no unit");
        check(states(&["on", "off"]), "switch", "", &[], "ok switch");
        check(states(&["on", "on"]), "switch", "", &[], "a stateset has");
        check(states(&[]), "switch", "", &[], "a stateset has");
        check(states(&[""]), "switch", "", &[], "a stateset has");
        check(states(&["on"]), "switch", "", &["switch"], "label names of a stateset");
        check(Kind::Exemplar, "tallyboard_exemplar:a", "", &["le"], "ok tallyboard_exemplar:a");
        check(Kind::Exemplar, "a", "", &[], "metric names have");
        check(Kind::Exemplar, "tallyboard_exemplar:é.a", "", &["le"], "ok tallyboard_exemplar:é.a");
        check(Kind::Exemplar, "tallyboard_exemplar:", "", &[], "metric names have");
        check(Kind::Exemplar, "tallyboard_exemplar:tallyboard_a", "", &[], "names beginning");
    }

    #[test]
    fn every_bad_native_histogram_is_refused_with_what_was_expected_and_found() {
        let of = |schema, zero_threshold, max_buckets, bounds: &[f64]| {
            let bounds = bounds.into();
            Native { schema, zero_threshold, max_buckets, bounds }
        };
        let bucket = || Kind::Bucket(of(3, 0.0, 160, &[]));
        check(bucket(), "tallyboard_bucket:a", "", &["le"], "ok tallyboard_bucket:a");
        check(bucket(), "tallyboard_exemplar:a", "", &["le"], "metric names have");
        check(bucket(), "tallyboard_bucket:a_s", "s", &[], "a family of type bucket has no unit");
        let native = |s, z, m, bounds| Kind::NativeHistogram(of(s, z, m, bounds));
        check(native(8, 0.0, 1, &[]), "a_s", "s", &[], "ok a_s");
        check(native(-4, 0.5, 4096, &[-1.0, 1.0]), "a", "", &["b"], "ok a");
        check(native(3, 0.0, 160, &[]), "a", "", &["le"], "label names of a histogram");
        for (schema, zero, buckets, bounds) in [
            (9, 0.0, 160, &[][..]),
            (-5, 0.0, 160, &[]),
            (3, -1.0, 160, &[]),
            (3, f64::NAN, 160, &[]),
            (3, f64::INFINITY, 160, &[]),
            (3, 0.0, 0, &[]),
            (3, 0.0, 4097, &[]),
            (3, 0.0, 160, &[1.0, 1.0]),
            (3, 0.0, 160, &[f64::INFINITY]),
        ] {
            check(native(schema, zero, buckets, bounds), "a", "", &[], "a native histogram has");
        }
    }
}
