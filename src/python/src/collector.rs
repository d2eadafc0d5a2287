//! What a process is asked for: answers of callbacks and collectors, on their way into the arena.
//!
//! `tallyboard/_asker.py` asks, and calls this. Nothing here runs code of Python, makes an
//! object that the interpreter's collector of garbage knows, or lets go of the interpreter's lock. So it
//! takes exact tuples, lists, strings and floats, and a thread that the interpreter ends as it waits
//! for its lock has no frame of Rust on its stack.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use tallyboard::sample::{Exemplar, FamilySamples, Labels, Sample, Timestamp, Type, Value};
use tallyboard::{GaugeMode, raw};

/// A gauge whose callback is asked.
#[pyclass(frozen, module = "tallyboard._native")]
pub(crate) struct Asked {
    asked: raw::Asked,
}

impl Asked {
    pub(crate) fn new(gauge: tallyboard::Gauge) -> Self {
        Self { asked: raw::Asked::new(gauge) }
    }
}

#[pymethods]
impl Asked {
    /// Whether its answer is still wanted: its series was not removed, and has no other callback.
    fn is_wanted(&self) -> bool {
        self.asked.is_wanted()
    }

    /// Shows what the callback said, or nothing when it failed.
    fn answer(&self, value: Option<f64>) {
        self.asked.answer(value);
    }
}

/// A collector that is asked.
#[pyclass(frozen, module = "tallyboard._native")]
pub(crate) struct Collected {
    collected: raw::Collected,
}

impl Collected {
    pub(crate) fn new(registry: &'static tallyboard::Registry, mode: GaugeMode) -> Self {
        Self { collected: raw::Collected::new(registry, mode) }
    }
}

#[pymethods]
impl Collected {
    /// Takes what it says now: families as tuples of name, type, documentation, unit and a list of
    /// samples. These are tuples of the suffix of their name, a list of pairs of a label's name and
    /// value, a float, a time and an exemplar, which has labels, a float and a time. A time is nothing,
    /// a float of seconds, or a tuple of seconds and nanoseconds. Gives a line for each
    /// sample that is not shown, which says why.
    fn write(&self, families: &Bound<'_, PyList>) -> PyResult<String> {
        let families: Vec<FamilySamples> =
            families.iter().map(|family| self::family(&family)).collect::<PyResult<_>>()?;
        let left_out = self.collected.write(&families);
        Ok(left_out.iter().map(|(name, why)| format!("{name:?}, {why}\n")).collect())
    }

    /// Ends all that it has said.
    fn end(&self) {
        self.collected.end();
    }
}

fn family(family: &Bound<'_, PyAny>) -> PyResult<FamilySamples> {
    let family = family.cast::<PyTuple>()?;
    let kind = text(family, 1)?;
    let kind = Type::EVERY.into_iter().find(|known| known.name() == kind).unwrap_or_default();
    let mut converted = FamilySamples::new(kind, &text(family, 0)?, &text(family, 2)?);
    converted.unit = text(family, 3)?;
    for sample in family.get_item(4)?.cast::<PyList>()?.iter() {
        let sample = sample.cast::<PyTuple>()?;
        let value = Value::Float(sample.get_item(2)?.extract()?);
        let mut made = Sample::new("", labels(&sample.get_item(1)?)?, value);
        made.suffix = text(sample, 0)?.into();
        made.timestamp = time(&sample.get_item(3)?)?;
        made.exemplar = exemplar(&sample.get_item(4)?)?;
        converted.samples.push(made);
    }
    Ok(converted)
}

fn labels(pairs: &Bound<'_, PyAny>) -> PyResult<Labels> {
    let pairs = pairs.cast::<PyList>()?.iter().map(|pair| {
        let pair = pair.cast::<PyTuple>()?;
        Ok((text(pair, 0)?, text(pair, 1)?))
    });
    pairs.collect()
}

/// A moment; one of so many seconds that nobody counts them is the last that there is.
fn time(moment: &Bound<'_, PyAny>) -> PyResult<Option<Timestamp>> {
    if moment.is_none() {
        return Ok(None);
    }
    let last = Timestamp { seconds: i64::MAX, nanos: 0 };
    let Ok(exact) = moment.cast::<PyTuple>() else {
        return Ok(Some(Timestamp::from_seconds(moment.extract()?).unwrap_or(last)));
    };
    let (seconds, nanos): (i64, i64) = exact.extract()?;
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Ok(Some(Timestamp::from_nanos(nanos).unwrap_or(last)))
}

fn exemplar(given: &Bound<'_, PyAny>) -> PyResult<Option<Exemplar>> {
    if given.is_none() {
        return Ok(None);
    }
    let given = given.cast::<PyTuple>()?;
    let labels = labels(&given.get_item(0)?)?;
    let (value, timestamp) = (given.get_item(1)?.extract()?, time(&given.get_item(2)?)?);
    Ok(Some(Exemplar { labels, value, timestamp }))
}

fn text(of: &Bound<'_, PyTuple>, at: usize) -> PyResult<String> {
    of.get_item(at)?.extract()
}
