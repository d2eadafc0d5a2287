//! Statesets, which say in which of a few states something is.

use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::cell::stamp;
use tallyboard_proto::family::{Family, Kind};
use thiserror::Error;

use super::family::Builder;
use super::metric::{Metric, sealed::Sealed};
use crate::error::RegisterError;
use crate::registry::registered::FamilyRef;
use crate::registry::series::SeriesRef;

/// In which of a few states something is. Of all processes the one that set it last counts, dead or
/// alive.
#[doc(alias = "Enum")]
#[derive(Clone, Copy, Debug)]
pub struct StateSet {
    series: SeriesRef,
    family: &'static Family,
}

/// A state that a stateset does not have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{family:?} has the states {expected:?}, found {found:?}; use one of these")]
pub struct StateError {
    /// The family.
    pub family: String,
    /// Its states.
    pub expected: Vec<String>,
    /// The state found.
    pub found: String,
}

impl StateSet {
    /// Registers a stateset without labels.
    ///
    /// ```
    /// use tallyboard::StateSet;
    ///
    /// let task = StateSet::new("app_task", "What the task does.", &["starting", "running", "stopped"])?;
    /// task.set("running")?;
    /// assert!(task.set("asleep").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Builder::family`].
    pub fn new(name: &str, help: &str, states: &[&str]) -> Result<Self, RegisterError> {
        Self::builder(name, help, states).register()
    }

    /// Describes a stateset.
    pub fn builder(name: &str, help: &str, states: &[&str]) -> Builder<Self> {
        let states = states.iter().map(|&state| state.into()).collect();
        Builder::new(Kind::StateSet(states), name, help)
    }

    /// Says which state holds from now on.
    ///
    /// # Errors
    /// [`StateError`] for a state that it does not have.
    pub fn set(&self, state: &str) -> Result<(), StateError> {
        let states: &[Box<str>] = match &self.family.kind {
            Kind::StateSet(states) => states,
            _ => &[],
        };
        let Some(number) = states.iter().position(|known| **known == *state) else {
            let expected = states.iter().map(ToString::to_string).collect();
            let (family, found) = (self.family.name.to_string(), state.to_owned());
            return Err(StateError { family, expected, found });
        };
        if let Some(cells) = self.series.words() {
            cells.at(0).store(number as u64, Relaxed);
            stamp(cells.at(1), self.series.now_ns());
        }
        Ok(())
    }
}

impl Sealed for StateSet {}

impl Metric for StateSet {
    #[allow(private_interfaces)]
    fn of(series: SeriesRef, family: FamilyRef) -> Self {
        Self { series, family: family.family() }
    }

    #[inline]
    #[allow(private_interfaces)]
    fn series(&self) -> &SeriesRef {
        &self.series
    }
}
