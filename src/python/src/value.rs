//! One number of a series, as prometheus_client's values are: a counter, a gauge, a bucket, a sum.

use std::time::{Duration, SystemTime};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tallyboard::raw::{self, Series};
use tallyboard::{Counter, Gauge, Histogram, Summary};

use crate::own::Own;

/// What `prometheus_client.values.ValueClass` makes, counted in shared memory.
#[pyclass(frozen, module = "tallyboard._native")]
pub(crate) struct Value {
    part: Part,
    /// What the metric shows by itself, where it is exposed by itself.
    own: Option<Box<Own>>,
}

/// A number, and the series that it is in.
pub(crate) struct Part {
    number: Number,
    series: Series,
}

enum Number {
    Counter(Counter),
    Gauge(Gauge),
    /// The integer cell at this index, and whether it is a bucket.
    Count(usize, bool),
    /// The float cell at this index.
    Sum(usize),
    /// What is done to a number that the arena does not take.
    Refused(Counter),
}

impl Part {
    pub(crate) fn counter(counter: Counter) -> Self {
        Self { series: Series::of(&counter), number: Number::Counter(counter) }
    }

    /// A number that the arena does not take: the counter says how often it was used.
    pub(crate) fn refused(counter: Counter) -> Self {
        Self { series: Series::of(&counter), number: Number::Refused(counter) }
    }

    /// A gauge begins at 0, as those of prometheus_client do, in the modes in which a 0 of a process
    /// that never set it does not hide what others have set.
    pub(crate) fn gauge(gauge: Gauge, begins_at_0: bool) -> Self {
        if begins_at_0 {
            gauge.add(0.0);
        }
        Self { series: Series::of(&gauge), number: Number::Gauge(gauge) }
    }

    /// The count of a summary.
    pub(crate) fn count(summary: &Summary) -> Self {
        Self { series: Series::of(summary), number: Number::Count(0, false) }
    }

    /// The sum of a summary.
    pub(crate) fn summary_sum(summary: &Summary) -> Self {
        Self { series: Series::of(summary), number: Number::Sum(1) }
    }

    pub(crate) fn bucket(histogram: &Histogram, bucket: usize) -> Self {
        Self { series: Series::of(histogram), number: Number::Count(bucket, true) }
    }

    /// The sum of a histogram with so many buckets.
    pub(crate) fn histogram_sum(histogram: &Histogram, buckets: usize) -> Self {
        Self { series: Series::of(histogram), number: Number::Sum(buckets) }
    }
}

#[pymethods]
impl Value {
    /// What prometheus_client asks of a class of values.
    #[classattr]
    #[pyo3(name = "_multiprocess")]
    const MULTIPROCESS: bool = true;

    /// Adds an amount. What a counter cannot take is counted as dropped.
    fn inc(&self, py: Python<'_>, amount: f64) {
        self.arrive(py);
        self.add(amount);
        // The client drops what is no number of a sum, and counts that.
        let is_dropped = amount.is_nan() && matches!(self.part.number, Number::Sum(_));
        if let Some(own) = self.own.as_ref().filter(|_| !is_dropped) {
            own.add(amount);
        }
    }

    /// Sets a gauge, or what this process has counted of anything else.
    #[pyo3(signature = (value, timestamp=None))]
    fn set(&self, py: Python<'_>, value: f64, timestamp: Option<f64>) {
        // prometheus_client says when, which is now; the registry's clock is the same in all
        // processes, and never goes back. A time of the application's own comes to `set_at`.
        match (&self.own, timestamp) {
            (Some(own), Some(timestamp)) => own.set_at(value, timestamp),
            (Some(own), None) => own.set(value),
            (None, _) => {}
        }
        self.arrive(py);
        let number = match &self.part.number {
            Number::Gauge(gauge) => return gauge.set(value),
            Number::Refused(uses) => return uses.inc(),
            Number::Counter(_) => raw::Number::Counter,
            Number::Count(cell, _) => raw::Number::Count(*cell),
            Number::Sum(cell) => raw::Number::Sum(*cell),
        };
        py.detach(|| self.part.series.set(number, value));
    }

    /// Sets a gauge as it was at a time, in seconds since 1970: of all processes the newest counts,
    /// and what is not newer changes nothing. In the modes that have no order it is set as always.
    fn set_at(&self, py: Python<'_>, value: f64, timestamp: f64) {
        let Number::Gauge(gauge) = &self.part.number else {
            return self.set(py, value, Some(timestamp));
        };
        if let Some(own) = &self.own {
            own.set_at(value, timestamp);
        }
        self.arrive(py);
        // What is no time since 1970 is older than all others.
        let since = Duration::try_from_secs_f64(timestamp).ok();
        let Some(at) = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)) else {
            return;
        };
        if gauge.set_at(value, at).is_err() {
            gauge.set(value);
        }
    }

    /// What this process has counted: this metric alone, where it is exposed by itself.
    fn get(&self, py: Python<'_>) -> f64 {
        if let Some(own) = &self.own {
            return own.get();
        }
        let own = |cell| self.part.series.own(cell);
        py.detach(|| match &self.part.number {
            Number::Counter(_) => own(0) as f64 + f64::from_bits(own(1)),
            Number::Gauge(_) => f64::from_bits(own(0)),
            Number::Count(cell, _) => own(*cell) as f64,
            Number::Sum(cell) => f64::from_bits(own(*cell)),
            Number::Refused(_) => 0.0,
        })
    }

    /// Keeps an exemplar of prometheus_client. One that is not well formed is left out.
    fn set_exemplar(&self, exemplar: &Bound<'_, PyAny>) {
        if let Some(own) = &self.own {
            own.set_exemplar(exemplar.clone().unbind());
        }
        let bucket = match &self.part.number {
            Number::Counter(_) => None,
            Number::Count(cell, true) => Some(*cell),
            _ => return,
        };
        if let Some((labels, value)) = labels_and_value(exemplar) {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
            exemplar.py().detach(|| self.part.series.exemplify(bucket, value, &labels));
        }
    }

    /// The exemplar of a metric that is exposed by itself; those of others are in the exposition of
    /// the service alone.
    fn get_exemplar(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.own.as_ref()?.exemplar(py)
    }
}

impl Value {
    /// A number, which keeps what is done by it alone where its metric is exposed by itself.
    pub(crate) fn new(part: Part, is_by_itself: bool) -> Self {
        Self { part, own: is_by_itself.then(Box::default) }
    }

    /// A number that keeps what is done by it alone, and was this before.
    pub(crate) fn beginning_at(part: Part, before: f64) -> Self {
        let own = Own::default();
        own.set(before);
        Self { part, own: Some(Box::new(own)) }
    }

    /// Lets go of the interpreter's lock for the first use in this process.
    #[inline]
    fn arrive(&self, py: Python<'_>) {
        if !self.part.series.is_ready() {
            py.detach(|| self.part.series.arrive());
        }
    }

    #[inline]
    fn add(&self, amount: f64) {
        match &self.part.number {
            // The client has counted a refused amount as dropped.
            Number::Counter(counter) => _ = counter.add(amount),
            Number::Gauge(gauge) => gauge.add(amount),
            Number::Count(cell, _) => self.part.series.count(*cell, amount),
            Number::Sum(cell) => self.part.series.sum(*cell, amount),
            Number::Refused(uses) => uses.inc(),
        }
    }
}

fn labels_and_value(exemplar: &Bound<'_, PyAny>) -> Option<(Vec<(String, String)>, f64)> {
    let labels = pairs(&exemplar.getattr("labels").ok()?).ok()?;
    Some((labels, exemplar.getattr("value").ok()?.extract().ok()?))
}

/// Names and values of labels, from a copy of the dictionary: whatever makes text of one of them may
/// change it, and so may another thread.
fn pairs(labels: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let pair = |item: Bound<'_, PyAny>| {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        Ok((name.str()?.to_string(), value.str()?.to_string()))
    };
    labels.cast::<PyDict>()?.items().iter().map(pair).collect()
}
