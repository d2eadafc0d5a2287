//! What is raised: the client's errors as exceptions, in its words.

use std::fmt::Display;

use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;
use tallyboard::AttachError;

pyo3::create_exception!(
    tallyboard,
    Unavailable,
    PyConnectionError,
    "The supervisor does not answer, or refuses."
);

/// What is raised where a slot is asked for, and none is got.
pub(crate) fn unavailable(error: AttachError) -> PyErr {
    Unavailable::new_err(error.to_string())
}

/// A page of one process, where that of the service is expected, is worse than none.
pub(crate) fn not_exposed(error: AttachError) -> PyErr {
    let instead = "TALLYBOARD_LOCAL=1 has the default registry expose its process alone";
    Unavailable::new_err(format!("{error}; {instead}"))
}

/// What the client refuses, in its words.
pub(crate) fn refused(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}
