//! The native module `tallyboard._native`: the client's registry, families and single cells as
//! Python objects.
//!
//! Rules. 1: nothing here waits while it holds the interpreter's lock: first uses, expositions and
//! registrations let go of it. 2: the client calls into Python only from its own threads and only
//! while it holds no lock of its own. 3: what is called for each request never raises.

#![forbid(unsafe_code)]

mod collector;
mod family;
mod registry;
mod value;

use pyo3::pymodule;

/// What the Python package is made of.
#[pymodule(name = "_native")]
mod native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::family::Family;
    #[pymodule_export]
    use crate::registry::{Registry, Unavailable};
    #[pymodule_export]
    use crate::value::Value;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
