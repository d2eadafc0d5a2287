//! Exemplars: what was counted, by example. They are written in formats that have a place for them.

use tallyboard_proto::exemplar::{self, MAX_CHARACTERS, MAX_PAIR_BYTES};
use thiserror::Error;

use super::metric::{AmountError, Counter, Histogram, Metric};
use super::native::NativeHistogram;

/// Labels that an exemplar cannot have. What it was an example of has been counted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "the labels of an exemplar match [a-zA-Z_][a-zA-Z0-9_]*, come once, and have at most {MAX_CHARACTERS} characters and {MAX_PAIR_BYTES} bytes together, found {found:?}; shorten or rename them"
)]
pub struct ExemplarError {
    /// The labels found.
    pub found: Vec<(String, String)>,
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
        self.series().exemplify(None, amount as f64, &encode(labels)?);
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
            self.series().exemplify(None, amount, &labels);
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
            self.series().exemplify(Some(self.bucket(value)), value, &labels);
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
            self.series().exemplify(Some(self.classic(value)), value, &labels);
        }
        Ok(())
    }
}
