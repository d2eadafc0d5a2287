//! Families of every kind, and what can be said of one of their series.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use tallyboard::raw::{Series, retire};
use tallyboard::{Counter, Gauge, GaugeMode, Histogram, Info, StateSet, Summary};

use crate::collector::Asked;
use crate::error::refused;
use crate::value::{Part, Value};

/// What a family is registered with; what its kind does not have is not looked at.
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) unit: String,
    pub(crate) labels: Vec<String>,
    pub(crate) mode: GaugeMode,
    pub(crate) bounds: Vec<f64>,
    pub(crate) states: Vec<String>,
}

/// A metric with its labels, which may be none.
#[pyclass(frozen, module = "tallyboard._native")]
pub(crate) struct Family {
    metrics: Metrics,
}

enum Metrics {
    Counter(tallyboard::Family<Counter>),
    Gauge(tallyboard::Family<Gauge>, GaugeMode),
    Histogram(tallyboard::Family<Histogram>, Vec<f64>),
    Summary(tallyboard::Family<Summary>),
    Info(tallyboard::Family<Info>),
    StateSet(tallyboard::Family<StateSet>),
}

impl Definition {
    /// Registers it as the kind that prometheus_client names so.
    pub(crate) fn register(
        self,
        kind: &str,
        registry: &'static tallyboard::Registry,
    ) -> Result<Family, String> {
        let (name, help) = (&*self.name, &*self.help);
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let states: Vec<&str> = self.states.iter().map(String::as_str).collect();
        macro_rules! register {
            ($builder:expr) => {
                $builder.unit(&self.unit).labels(&labels).registry(registry).reuse().family()
            };
        }
        let metrics = match kind {
            // The suffix of the samples, which is left out of the name once, is not of this name.
            "counter" => {
                register!(Counter::builder(&format!("{name}_total"), help)).map(Metrics::Counter)
            }
            "gauge" => register!(Gauge::builder(name, help).mode(self.mode))
                .map(|family| Metrics::Gauge(family, self.mode)),
            "histogram" => register!(Histogram::builder(name, help).buckets(&self.bounds))
                .map(|family| Metrics::Histogram(family, self.bounds)),
            "summary" => register!(Summary::builder(name, help)).map(Metrics::Summary),
            "info" => register!(Info::builder(&format!("{name}_info"), help)).map(Metrics::Info),
            "stateset" => register!(StateSet::builder(name, help, &states)).map(Metrics::StateSet),
            _ => {
                return Err(format!(
                    "expected counter, gauge, histogram, summary, info or stateset, found {kind:?}"
                ));
            }
        };
        metrics.map(|metrics| Family { metrics }).map_err(|error| error.to_string())
    }
}

#[pymethods]
impl Family {
    /// One number of the series with these label values. `part` is the suffix of its sample in
    /// prometheus_client: `_count` and `_sum` of a summary, `_sum` and `_bucket` of a histogram, of
    /// which `bound` is the upper bound. One that `is_by_itself` also keeps what is done by it alone.
    #[pyo3(signature = (values, part="", bound=f64::INFINITY, is_by_itself=false))]
    fn value(
        &self,
        py: Python<'_>,
        values: Vec<String>,
        part: &str,
        bound: f64,
        is_by_itself: bool,
    ) -> PyResult<Value> {
        let found = py.detach(|| self.part(&values, part, bound)).map_err(refused)?;
        let part = found.ok_or_else(|| self.no_such_part(part))?;
        Ok(Value::new(part, is_by_itself))
    }

    /// A number that the arena does not take, of a metric that is exposed by itself. The counter with
    /// these values says how often it was used.
    #[pyo3(signature = (values, begins_at=0.0))]
    fn refused(&self, py: Python<'_>, values: Vec<String>, begins_at: f64) -> PyResult<Value> {
        let Metrics::Counter(family) = &self.metrics else {
            return Err(self.no_such_part("refused"));
        };
        let uses = py.detach(|| family.with(&values)).map_err(refused)?;
        Ok(Value::beginning_at(Part::refused(uses), begins_at))
    }

    /// Removes the series with these label values from this process; says whether it was there.
    fn remove(&self, py: Python<'_>, values: Vec<String>) -> PyResult<bool> {
        py.detach(|| match &self.metrics {
            Metrics::Counter(family) => family.remove(&values),
            Metrics::Gauge(family, _) => family.remove(&values),
            Metrics::Histogram(family, _) => family.remove(&values),
            Metrics::Summary(family) => family.remove(&values),
            Metrics::Info(family) => family.remove(&values),
            Metrics::StateSet(family) => family.remove(&values),
        })
        .map_err(refused)
    }

    /// Removes every series from this process; says how many there were.
    fn clear(&self, py: Python<'_>) -> usize {
        py.detach(|| match &self.metrics {
            Metrics::Counter(family) => family.clear(),
            Metrics::Gauge(family, _) => family.clear(),
            Metrics::Histogram(family, _) => family.clear(),
            Metrics::Summary(family) => family.clear(),
            Metrics::Info(family) => family.clear(),
            Metrics::StateSet(family) => family.clear(),
        })
    }

    /// Gives its name up for another definition: it has no series in this process from now on.
    fn retire(&self, py: Python<'_>) {
        py.detach(|| match &self.metrics {
            Metrics::Counter(family) => retire(family),
            Metrics::Gauge(family, _) => retire(family),
            Metrics::Histogram(family, _) => retire(family),
            Metrics::Summary(family) => retire(family),
            Metrics::Info(family) => retire(family),
            Metrics::StateSet(family) => retire(family),
        });
    }

    /// Says what an info is from now on.
    fn info(
        &self,
        py: Python<'_>,
        values: Vec<String>,
        pairs: Vec<(String, String)>,
    ) -> PyResult<()> {
        let Metrics::Info(family) = &self.metrics else { return Err(self.no_such_part("info")) };
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        py.detach(|| family.with(&values).map(|info| info.set(&pairs)))
            .map_err(refused)?
            .map_err(refused)
    }

    /// Shows an info or a stateset as it begins: without labels of its own, in its first state. What
    /// any process has said of it, or says later, counts instead.
    fn show_first(&self, py: Python<'_>, values: Vec<String>) -> PyResult<()> {
        py.detach(|| match &self.metrics {
            Metrics::Info(family) => {
                family.with(&values).map(|info| Series::of(&info).show_first(0))
            }
            Metrics::StateSet(family) => {
                family.with(&values).map(|set| Series::of(&set).show_first(1))
            }
            _ => Ok(()),
        })
        .map_err(refused)
    }

    /// Says in which state a stateset is from now on.
    fn state(&self, py: Python<'_>, values: Vec<String>, state: &str) -> PyResult<()> {
        let Metrics::StateSet(family) = &self.metrics else {
            return Err(self.no_such_part("state"));
        };
        py.detach(|| family.with(&values).map(|set| set.set(state)))
            .map_err(refused)?
            .map_err(refused)
    }

    /// Has a gauge show what is answered here, and nothing else.
    fn ask(&self, py: Python<'_>, values: Vec<String>) -> PyResult<Asked> {
        let Metrics::Gauge(family, _) = &self.metrics else {
            return Err(self.no_such_part("set_function"));
        };
        py.detach(|| family.with(&values).map(Asked::new)).map_err(refused)
    }
}

impl Family {
    fn part(
        &self,
        values: &[String],
        part: &str,
        bound: f64,
    ) -> Result<Option<Part>, tallyboard::LabelError> {
        Ok(match (&self.metrics, part) {
            (Metrics::Counter(family), "" | "_total") => Some(Part::counter(family.with(values)?)),
            (Metrics::Gauge(family, mode), "") => {
                Some(Part::gauge(family.with(values)?, begins_at_0(*mode)))
            }
            (Metrics::Summary(family), "_count") => Some(Part::count(&family.with(values)?)),
            (Metrics::Summary(family), "_sum") => Some(Part::summary_sum(&family.with(values)?)),
            (Metrics::Histogram(family, bounds), "_bucket") => {
                let bucket = bounds.iter().position(|known| *known >= bound);
                let histogram = family.with(values)?;
                Some(Part::bucket(&histogram, bucket.unwrap_or(bounds.len())))
            }
            (Metrics::Histogram(family, bounds), "_sum") => {
                Some(Part::histogram_sum(&family.with(values)?, bounds.len() + 1))
            }
            _ => None,
        })
    }

    fn no_such_part(&self, found: &str) -> PyErr {
        let kind = match &self.metrics {
            Metrics::Counter(_) => "counter",
            Metrics::Gauge(..) => "gauge",
            Metrics::Histogram(..) => "histogram",
            Metrics::Summary(_) => "summary",
            Metrics::Info(_) => "info",
            Metrics::StateSet(_) => "stateset",
        };
        PyTypeError::new_err(format!("a {kind} has no {found:?}; ask for what its kind has"))
    }
}

fn begins_at_0(mode: GaugeMode) -> bool {
    use GaugeMode::{All, LiveAll, LiveSum, Sum};
    matches!(mode, All | LiveAll | Sum | LiveSum)
}
