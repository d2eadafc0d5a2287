//! The native module `tallyboard._native`: the client's registry, families and single cells as
//! Python objects.
//!
//! Rules. 1: nothing here waits while it is attached to the interpreter, or holds its lock: first uses,
//! expositions and registrations let go of it. 2: no thread of the client ever calls into Python, or
//! knows of it; what is asked of Python, Python asks (`collector.rs`). 3: what is called for each request never raises. 4:
//! objects are frozen, and what they count in is atomic or behind a lock of the client, so threads use
//! them at once without the interpreter's lock, which the module does not ask for (`gil_used = false`).

#![forbid(unsafe_code)]

mod collector;
mod error;
mod family;
mod numbers;
mod own;
mod registry;
mod value;

use pyo3::pymodule;

/// What the Python package is made of.
#[pymodule(name = "_native", gil_used = false)]
mod native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::collector::{Asked, Collected};
    #[pymodule_export]
    use crate::error::Unavailable;
    #[pymodule_export]
    use crate::family::Family;
    use crate::registry::EXPOSITION_SECONDS;
    #[pymodule_export]
    use crate::registry::Registry;
    #[pymodule_export]
    use crate::value::Value;

    /// Number of the calling thread, as the kernel has it: that of the main thread is the pid.
    #[pyfunction]
    fn thread_id() -> u32 {
        tallyboard::raw::thread_id()
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("EXPOSITION_SECONDS", EXPOSITION_SECONDS)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
