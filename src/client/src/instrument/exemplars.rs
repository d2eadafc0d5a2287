//! Exemplars: what was counted, by example. They are written in formats that have a place for them.

use tallyboard_proto::exemplar::{self, MAX_CHARACTERS, MAX_PAIR_BYTES};
use tallyboard_proto::family::{EXEMPLAR_PREFIX, Kind};
use tallyboard_proto::layout::DropReason;
use tallyboard_segment::mapping::SlotMapping;
use tallyboard_segment::process;
use thiserror::Error;

use super::counter::{AmountError, Counter};
use super::histogram::Histogram;
use super::metric::Metric;
use super::native::NativeHistogram;
use crate::registry::series::SeriesRef;
use crate::registry::state::State;

/// Labels that an exemplar cannot have. What it was an example of has been counted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "the labels of an exemplar have names of 1 to 256 bytes without a 0, come once, and have at most {MAX_CHARACTERS} characters and {MAX_PAIR_BYTES} bytes together, found {found:?}; shorten or rename them"
)]
pub struct ExemplarError {
    /// The labels found.
    pub found: Vec<(String, String)>,
}

/// Keeps an exemplar of what was counted: in a bucket of a histogram, or of the whole series.
pub(crate) fn keep(series: &SeriesRef, bucket: Option<usize>, value: f64, labels: &str) {
    let kept = series.locked(|state, mapping, ordinal| {
        let at = room(state, mapping, ordinal, bucket)?;
        exemplar::write(mapping, at, labels, value, process::unix_ms());
        Ok(())
    });
    if let Some(Err(reason)) = kept {
        series.drop_one(reason);
    }
}

/// Where the exemplars of a series are, or of one of its buckets; they begin when nobody had them yet.
pub(crate) fn room(
    state: &mut State,
    mapping: &SlotMapping,
    series: u32,
    bucket: Option<usize>,
) -> Result<usize, DropReason> {
    let of = &state.contents.series()[series as usize];
    let bucket = bucket.map(|bucket| bucket.to_string().into());
    let values: Vec<Box<str>> = of.values.iter().cloned().chain(bucket).collect();
    let family = state.part_of(mapping, of.family, EXEMPLAR_PREFIX, Kind::Exemplar)?;
    let known = state.contents.find_series(family, &values);
    let begin = || state.begin_series(Some(mapping), family, &values).map(|begun| begun as u32);
    let series = known.map_or_else(begin, Ok)?;
    Ok(state.first_of(series))
}

fn encode(labels: &[(&str, &str)]) -> Result<String, ExemplarError> {
    exemplar::labels(labels).ok_or_else(|| ExemplarError {
        found: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
    })
}

impl Counter {
    /// Adds a whole amount and keeps it as an example, with labels that lead to more: a trace,
    /// mostly. The newest example of all processes is exposed. It costs a lock of this process.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let errors = Counter::new("app_errors_total", "Requests that failed.")?;
    /// errors.inc_by_with_exemplar(1, &[("trace_id", "4bf92f3577b34da6")])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ExemplarError`] for labels that an exemplar cannot have. The amount has been added.
    pub fn inc_by_with_exemplar(
        &self,
        amount: u64,
        labels: &[(&str, &str)],
    ) -> Result<(), ExemplarError> {
        self.inc_by(amount);
        keep(self.series(), None, amount as f64, &encode(labels)?);
        Ok(())
    }

    /// The same for an amount with a fraction.
    ///
    /// # Errors
    /// [`ExemplarError`], as for whole amounts. An amount that a counter cannot take is no example:
    /// see [`Counter::add`].
    pub fn add_with_exemplar(
        &self,
        amount: f64,
        labels: &[(&str, &str)],
    ) -> Result<Result<(), AmountError>, ExemplarError> {
        let added = self.add(amount);
        let labels = encode(labels)?;
        if added.is_ok() {
            keep(self.series(), None, amount, &labels);
        }
        Ok(added)
    }
}

impl Histogram {
    /// Counts an observation and keeps it as an example of its bucket, with labels that lead to
    /// more: a trace, mostly. The newest example of all processes is exposed. It costs a lock of
    /// this process.
    ///
    /// ```
    /// use tallyboard::Histogram;
    ///
    /// let seconds = Histogram::new("app_seconds", "Time to answer.")?;
    /// seconds.observe_with_exemplar(0.3, &[("trace_id", "4bf92f3577b34da6")])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ExemplarError`] for labels that an exemplar cannot have. The observation has been counted.
    /// What is not, because it is NaN, is no example.
    pub fn observe_with_exemplar(
        &self,
        value: f64,
        labels: &[(&str, &str)],
    ) -> Result<(), ExemplarError> {
        self.observe(value);
        let labels = encode(labels)?;
        if !value.is_nan() {
            keep(self.series(), Some(self.bucket(value)), value, &labels);
        }
        Ok(())
    }
}

impl NativeHistogram {
    /// Counts an observation and keeps it as an example, of its classic bucket where there are such:
    /// see [`Histogram::observe_with_exemplar`].
    ///
    /// ```
    /// use tallyboard::NativeHistogram;
    ///
    /// let bytes = NativeHistogram::new("app_answer_bytes", "Size of an answer.")?;
    /// bytes.observe_with_exemplar(51_200.0, &[("trace_id", "4bf92f3577b34da6")])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ExemplarError`] for labels that an exemplar cannot have. The observation has been counted.
    pub fn observe_with_exemplar(
        &self,
        value: f64,
        labels: &[(&str, &str)],
    ) -> Result<(), ExemplarError> {
        self.observe(value);
        let labels = encode(labels)?;
        if !value.is_nan() {
            keep(self.series(), Some(self.classic(value)), value, &labels);
        }
        Ok(())
    }
}
