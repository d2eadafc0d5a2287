//! Registries: where a process counts, and what is exposed of it.

use std::fmt::Display;

use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallyboard::{AttachError, Attachment, GaugeMode};

use crate::collector::Bridge;
use crate::family::{Definition, Family};

pyo3::create_exception!(
    tallyboard,
    Unavailable,
    PyConnectionError,
    "The supervisor does not answer, or refuses."
);

/// Where metrics are counted: the shared registry, or another one at the same or another supervisor.
#[pyclass(frozen, module = "tallyboard._native")]
pub(crate) struct Registry {
    registry: &'static tallyboard::Registry,
}

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
    /// are named. Gives the content type and the bytes.
    #[pyo3(signature = (accept="", names=Vec::new()))]
    fn exposition<'py>(
        &self,
        py: Python<'py>,
        accept: &str,
        names: Vec<String>,
    ) -> PyResult<(String, Bound<'py, PyBytes>)> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (content_type, page) =
            py.detach(|| self.registry.exposition(accept, &names)).map_err(unavailable)?;
        Ok((content_type, PyBytes::new(py, &page)))
    }

    /// Has a collector of prometheus_client asked every few seconds, and what it says counted here.
    #[pyo3(signature = (collector, mode="all"))]
    fn register_collector(&self, py: Python<'_>, collector: Py<PyAny>, mode: &str) -> PyResult<()> {
        let mode: GaugeMode = mode.parse().map_err(refused)?;
        let bridge = Bridge::new(collector, mode);
        py.detach(|| self.registry.register_collector(bridge)).map_err(refused)
    }
}

fn place(attachment: Attachment) -> Place {
    (attachment.slot, attachment.generation, attachment.arena_id)
}

fn unavailable(error: AttachError) -> PyErr {
    Unavailable::new_err(error.to_string())
}

/// What the client refuses, in its words.
pub(crate) fn refused(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}
