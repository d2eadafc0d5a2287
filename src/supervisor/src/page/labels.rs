//! Labels that the supervisor adds: constant ones, on every sample, and the one that tells the
//! processes of a gauge apart.
//!
//! Rules: a label of the family's own is never replaced or repeated, escaped or not; the names of the constant
//! labels and of the label that tells processes apart cannot be the same.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::sample::FamilySamples;
use tallyboard_proto::family::{Family, LAST_WORKER_LABEL, MAX_VALUE_BYTES, is_name};
use thiserror::Error;

/// What tells the processes of a gauge of mode `all` or `liveall` apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkerLabel {
    /// `pid`, as the supervisor sees it.
    #[default]
    Pid,
    /// `worker`, the number of the slot: as many values as there are slots.
    Slot,
}

impl fmt::Display for WorkerLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pid => "pid",
            Self::Slot => "slot",
        })
    }
}

impl WorkerLabel {
    /// The name of the label on a sample with the labels `own`: the first that is free.
    pub(crate) fn name<'a>(self, own: impl Iterator<Item = &'a str> + Clone) -> &'static str {
        let names = match self {
            Self::Pid => &["pid", "worker"][..],
            Self::Slot => &["worker"][..],
        };
        let is_free = |name: &&&str| own.clone().all(|own| own != **name);
        names.iter().find(is_free).copied().unwrap_or(LAST_WORKER_LABEL)
    }

    /// Its value for a process: the pid, or slot and generation where the pid is not known or not
    /// its own; with `slot`, the slot.
    pub(crate) fn value(self, pid: u64, is_shared: bool, slot: u64, generation: u64) -> String {
        match self {
            Self::Slot => slot.to_string(),
            Self::Pid if pid == 0 || is_shared => format!("s{slot}g{generation}"),
            Self::Pid => pid.to_string(),
        }
    }
}

/// A constant label, `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    name: String,
    value: String,
}

/// A label that cannot be constant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// Not a name and a value.
    #[error("a label is NAME=VALUE, found {found:?}; for example region=eu")]
    Form {
        /// What was found.
        found: String,
    },
    /// The name is none, or is one that the exposition needs itself.
    #[error("names of constant labels {expected}, found {found:?}; rename the label")]
    Name {
        /// What was expected.
        expected: &'static str,
        /// The name found.
        found: String,
    },
    /// The value is too long.
    #[error("a label's value has at most {MAX_VALUE_BYTES} bytes, found {found}; shorten it")]
    Value {
        /// How many bytes were found.
        found: usize,
    },
    /// Two labels have one name.
    #[error("each label is given once, found {found:?} twice; leave one out")]
    Twice {
        /// The name found.
        found: String,
    },
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(LabelError::Form { found: text.to_owned() });
        };
        let expected = if !is_name(name) {
            "have from 1 to 256 bytes, none of them 0"
        } else if name.starts_with("__") {
            "do not begin with __, which Prometheus keeps for itself"
        } else if ["le", "quantile"].contains(&name) {
            "are not le and quantile, which histograms and summaries have"
        } else if ["pid", "worker", LAST_WORKER_LABEL].contains(&name) {
            "are not pid, worker and tallyboard_worker, which tell processes apart"
        } else if value.len() > MAX_VALUE_BYTES {
            return Err(LabelError::Value { found: value.len() });
        } else {
            return Ok(Self { name: name.to_owned(), value: value.to_owned() });
        };
        Err(LabelError::Name { expected, found: name.to_owned() })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// Constant labels, each of another name, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// The labels, or which of them has the name of an earlier one.
    ///
    /// # Errors
    /// [`LabelError::Twice`].
    pub fn new(labels: Vec<Label>) -> Result<Self, LabelError> {
        let mut names = HashSet::new();
        match labels.iter().find(|label| !names.insert(&label.name)) {
            Some(label) => Err(LabelError::Twice { found: label.name.clone() }),
            None => Ok(Self(labels)),
        }
    }

    /// Names and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|label| (label.name.as_str(), label.value.as_str()))
    }

    /// The labels of a sample: those of `family` with these values, and behind them the constant
    /// ones whose names the family does not use itself.
    pub(crate) fn behind<'a>(
        &'a self,
        family: &'a Family,
        values: &'a [Box<str>],
    ) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        let own = family.labels.iter().map(|label| &**label).zip(values.iter().map(|v| &**v));
        let is_free = |name: &str| family.labels.iter().all(|own| Escaping::are_apart(own, name));
        own.chain(self.pairs().filter(move |(name, _)| is_free(name)))
    }

    /// Adds the constant labels to every sample of a family of the supervisor's own.
    pub(crate) fn add_to(&self, family: &mut FamilySamples) {
        for sample in &mut family.samples {
            for (name, value) in self.pairs() {
                if sample.labels.iter().all(|(own, _)| Escaping::are_apart(own, name)) {
                    sample.labels.push((name.to_owned(), value.to_owned()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&str, &str>) {
        let found = text.parse::<Label>();
        match expect {
            Ok(label) => assert_eq!(found.map(|found| found.to_string()).as_deref(), Ok(label)),
            Err(part) => {
                let error = found.expect_err(text).to_string();
                assert!(error.contains(part), "{text}: {error}, expected {part}");
            }
        }
    }

    #[test]
    fn constant_labels_have_good_names_that_nothing_else_needs() {
        check("region=eu", Ok("region=eu"));
        check("_a9=", Ok("_a9="));
        check("a=b=c \"d\"", Ok("a=b=c \"d\""));
        check("region", Err("NAME=VALUE"));
        check("", Err("NAME=VALUE"));
        check("=eu", Err("have from 1 to 256 bytes"));
        check("a\0=eu", Err("have from 1 to 256 bytes"));
        check("9a.é b=eu", Ok("9a.é b=eu"));
        check(&format!("{}=eu", "a".repeat(257)), Err("from 1 to 256 bytes"));
        check("__a=eu", Err("do not begin with __"));
        check("le=1", Err("are not le and quantile"));
        check("quantile=1", Err("are not le and quantile"));
        check("pid=1", Err("tell processes apart"));
        check("worker=1", Err("tell processes apart"));
        check("tallyboard_worker=1", Err("tell processes apart"));
        check(&format!("a={}", "v".repeat(4097)), Err("at most 4096 bytes, found 4097"));
    }

    #[test]
    fn each_constant_label_is_given_once() {
        let labels =
            |texts: &[&str]| Labels::new(texts.iter().map(|text| text.parse().unwrap()).collect());
        let pairs = [("b", "1"), ("a", "1")];
        assert_eq!(labels(&["b=1", "a=1"]).unwrap().pairs().collect::<Vec<_>>(), pairs);
        let twice = labels(&["a=1", "b=1", "a=1"]).unwrap_err().to_string();
        assert!(twice.contains("found \"a\" twice"), "{twice}");
    }

    #[test]
    fn the_label_of_processes_has_the_first_name_that_is_free() {
        for (kind, own, expect) in [
            (WorkerLabel::Pid, &["l"][..], "pid"),
            (WorkerLabel::Pid, &["l", "pid"], "worker"),
            (WorkerLabel::Pid, &["worker", "pid"], "tallyboard_worker"),
            (WorkerLabel::Slot, &["pid"], "worker"),
            (WorkerLabel::Slot, &["worker"], "tallyboard_worker"),
        ] {
            assert_eq!(kind.name(own.iter().copied()), expect, "{kind} {own:?}");
        }
    }
}
