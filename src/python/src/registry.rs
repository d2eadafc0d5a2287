//! Registries: where a process counts, and what is exposed of it.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallyboard::raw::{self, Escaping, classic_families};
use tallyboard::sample::{Exemplar, FamilySamples, Sample, Timestamp};
use tallyboard::{Attachment, EXPOSITION_TIMEOUT};

use crate::collector::Collected;
use crate::error::{not_exposed, refused, unavailable};
use crate::family::{Definition, Family};
use crate::numbers::rewritten;

/// Where metrics are counted: the shared registry, or another one at the same or another supervisor.
#[pyclass(frozen, module = "tallyboard._native")]
pub(crate) struct Registry {
    registry: &'static tallyboard::Registry,
}

/// Content types of pages that prometheus_client writes too.
const TEXTS: [&str; 3] = [
    "text/plain",
    "application/openmetrics-text; version=0.",
    "application/openmetrics-text; version=1.",
];

/// How long the supervisor is waited for, unless somebody says otherwise.
pub(crate) const EXPOSITION_SECONDS: f64 = EXPOSITION_TIMEOUT.as_secs() as f64;

/// Name, type, unit, help text, samples.
type Found = (String, &'static str, String, String, Vec<FoundSample>);
/// Name, labels, value, seconds and nanoseconds of a timestamp, exemplar.
type FoundSample = (String, Pairs, f64, Option<(i64, u32)>, Option<FoundExemplar>);
/// Labels, value, timestamp.
type FoundExemplar = (Pairs, f64, Option<(i64, u32)>);
type Pairs = Vec<(String, String)>;

/// Slot, generation and arena.
type Place = (u64, u64, u64);

#[pymethods]
impl Registry {
    /// A client of its own of the supervisor at an address; it lives as long as the process.
    #[new]
    fn new(address: &str) -> Self {
        Self { registry: tallyboard::Registry::builder().address(address).build() }
    }

    /// The registry that the environment variable TALLYBOARD configures.
    #[staticmethod]
    fn shared() -> Self {
        Self { registry: tallyboard::Registry::shared() }
    }

    /// Registers a family, or finds the one that this process has registered so before.
    #[pyo3(signature = (kind, name, help, *, unit="", labels=Vec::new(), mode="all", bounds=Vec::new(), states=Vec::new()))]
    #[allow(clippy::too_many_arguments)]
    fn family(
        &self,
        py: Python<'_>,
        kind: &str,
        name: String,
        help: String,
        unit: &str,
        labels: Vec<String>,
        mode: &str,
        bounds: Vec<f64>,
        states: Vec<String>,
    ) -> PyResult<Family> {
        let mode = mode.parse().map_err(refused)?;
        let unit = unit.to_owned();
        let definition = Definition { name, help, unit, labels, mode, bounds, states };
        let registry = self.registry;
        py.detach(|| definition.register(kind, registry)).map_err(PyValueError::new_err)
    }

    /// Attaches now rather than at the first use: slot, generation and arena. Waits for the
    /// supervisor, until the attach timeout at most.
    fn attach(&self, py: Python<'_>) -> PyResult<Place> {
        py.detach(|| self.registry.attach()).map(place).map_err(unavailable)
    }

    /// Slot, generation and arena that this process counts in; nothing while it counts privately.
    fn attachment(&self) -> Option<Place> {
        self.registry.attachment().map(place)
    }

    /// The metrics of the whole service in the format that fits a header Accept: all, or those that
    /// are named. Waits so many seconds at most. Gives the content type and the bytes, with numbers as
    /// prometheus_client writes them where they are to look like its own.
    #[pyo3(signature = (accept="", names=Vec::new(), timeout=EXPOSITION_SECONDS, looks_like_its_own=false))]
    fn exposition<'py>(
        &self,
        py: Python<'py>,
        accept: &str,
        names: Vec<String>,
        timeout: f64,
        looks_like_its_own: bool,
    ) -> PyResult<(String, Bound<'py, PyBytes>)> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let timeout = Duration::try_from_secs_f64(timeout).map_err(refused)?;
        let expose = || {
            let exposed = self.registry.exposition_within(timeout, accept, &names);
            exposed.map(|(content_type, page)| {
                let is_text = TEXTS.iter().any(|text| content_type.starts_with(text));
                let page = if is_text && looks_like_its_own { rewritten(&page) } else { page };
                (content_type, page)
            })
        };
        let (content_type, page) = py.detach(expose).map_err(not_exposed)?;
        Ok((content_type, PyBytes::new(py, &page)))
    }

    /// A collector that is asked, and how its gauges in many processes become one.
    fn collected(&self, mode: &str) -> PyResult<Collected> {
        Ok(Collected::new(self.registry, mode.parse().map_err(refused)?))
    }

    /// Whether the first use in this process was made: then nothing waits for the supervisor.
    fn is_begun(&self) -> bool {
        raw::is_begun(self.registry)
    }

    /// Makes the first use, if nobody has.
    fn arrive(&self, py: Python<'_>) {
        if !raw::is_begun(self.registry) {
            py.detach(|| raw::arrive(self.registry));
        }
    }

    /// Has a thread that knows nothing of Python make the first use; says whether there is one.
    fn begin(&self) -> bool {
        raw::begin(self.registry).is_ok()
    }

    /// Tells the threads of the module's own to leave, before the process forks; gives their numbers.
    fn before_fork(&self) -> Vec<u32> {
        raw::before_fork(self.registry)
    }

    /// Has them go on with what they had to do, in the process that has forked.
    fn after_fork(&self) {
        raw::after_fork(self.registry);
    }

    /// Counts what a collector or callback of this name failed.
    fn count_error(&self, name: &str) {
        raw::count_error(self.registry, name);
    }

    /// The metrics of the whole service: name, type, unit and help of each family, and name, labels,
    /// value, timestamp and exemplar of its samples. Names that old readers do not know are escaped so.
    #[pyo3(signature = (names=Vec::new(), timeout=EXPOSITION_SECONDS, escaping="allow-utf-8"))]
    fn families(
        &self,
        py: Python<'_>,
        names: Vec<String>,
        timeout: f64,
        escaping: &str,
    ) -> PyResult<Vec<Found>> {
        let escaping = Escaping::named(escaping).unwrap_or_default();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let timeout = Duration::try_from_secs_f64(timeout).map_err(refused)?;
        let families = py.detach(|| classic_families(self.registry, timeout, &names, escaping));
        Ok(families.map_err(not_exposed)?.into_iter().map(found).collect())
    }
}

fn found(family: FamilySamples) -> Found {
    let moment = |at: Timestamp| (at.seconds, at.nanos);
    let exemplar =
        |of: Exemplar| -> FoundExemplar { (of.labels, of.value, of.timestamp.map(moment)) };
    let sample = |of: Sample| -> FoundSample {
        let name = format!("{}{}", family.name, of.suffix);
        let value = of.value.as_f64();
        (name, of.labels, value, of.timestamp.map(moment), of.exemplar.map(exemplar))
    };
    let samples = family.samples.into_iter().map(sample).collect();
    (family.name, family.kind.name(), family.unit, family.help, samples)
}

fn place(attachment: Attachment) -> Place {
    (attachment.slot, attachment.generation, attachment.arena_id)
}
