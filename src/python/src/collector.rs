//! Collectors and callables of Python, asked by the client's own thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tallyboard::sample::{FamilySamples, Sample, Type, Value};
use tallyboard::{Collector, GaugeMode};

/// A collector of prometheus_client.
pub(crate) struct Bridge {
    collector: Py<PyAny>,
    mode: GaugeMode,
}

impl Bridge {
    pub(crate) fn new(collector: Py<PyAny>, mode: GaugeMode) -> Self {
        Self { collector, mode }
    }
}

impl Collector for Bridge {
    fn collect(&self) -> Vec<FamilySamples> {
        // An interpreter that is ending is asked nothing any more.
        let collected = Python::try_attach(|py| {
            let metrics = self.collector.bind(py).call_method0("collect")?.try_iter()?;
            metrics.map(|metric| family(&metric?)).collect::<PyResult<Vec<_>>>()
        });
        collected.and_then(Result::ok).unwrap_or_default()
    }

    fn gauge_mode(&self) -> GaugeMode {
        self.mode
    }
}

/// A callable that a gauge asks. One that raises leaves the gauge as it was.
pub(crate) fn callback(function: Py<PyAny>) -> impl Fn() -> f64 + Send + Sync + 'static {
    let last = AtomicU64::new(0);
    move || {
        let asked = Python::try_attach(|py| function.bind(py).call0()?.extract::<f64>());
        if let Some(Ok(value)) = asked {
            last.store(value.to_bits(), Relaxed);
        }
        f64::from_bits(last.load(Relaxed))
    }
}

/// A `Metric` of prometheus_client as a family.
fn family(metric: &Bound<'_, PyAny>) -> PyResult<FamilySamples> {
    let text = |name: &str| metric.getattr(name)?.extract::<String>();
    let (name, kind) = (text("name")?, text("type")?);
    let kind = Type::EVERY.into_iter().find(|known| known.name() == kind).unwrap_or_default();
    let mut family = FamilySamples::new(kind, &name, &text("documentation")?);
    family.unit = text("unit")?;
    for sample in metric.getattr("samples")?.try_iter()? {
        family.samples.push(self::sample(&sample?, &name)?);
    }
    Ok(family)
}

fn sample(sample: &Bound<'_, PyAny>, family: &str) -> PyResult<Sample> {
    let name: String = sample.getattr("name")?.extract()?;
    let labels = pairs(&sample.getattr("labels")?)?;
    let value = Value::Float(sample.getattr("value")?.extract()?);
    let mut converted = Sample::new("", labels, value);
    let suffix = name.strip_prefix(family).unwrap_or_default();
    converted.suffix = suffix.to_owned().into();
    Ok(converted)
}

/// Names and values of labels, from a copy of the dictionary: whatever makes text of one of them may
/// change it, and so may another thread.
pub(crate) fn pairs(labels: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let pair = |item: Bound<'_, PyAny>| {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        Ok((name.str()?.to_string(), value.str()?.to_string()))
    };
    labels.cast::<PyDict>()?.items().iter().map(pair).collect()
}
