//! Infos, which say what something is in labels.

use tallyboard_proto::cell::stamp;
use tallyboard_proto::family::{Kind, MAX_VALUE_BYTES};
use tallyboard_proto::pairs;
use thiserror::Error;

use super::family::Builder;
use super::metric::{Metric, sealed::Sealed};
use crate::error::RegisterError;
use crate::registry::registered::FamilyRef;
use crate::registry::series::SeriesRef;

/// What something is: a version, a configuration. Of all processes the one that set it last counts,
/// dead or alive.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    series: SeriesRef,
    family: FamilyRef,
}

/// Pairs that an info cannot have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InfoError {
    /// A name is none, comes twice, or is a label of the family.
    #[error(
        "the labels of an info have names of 1 to 256 bytes without a 0, come once, and are none of the family's {family:?}, found {found:?}; rename them"
    )]
    Names {
        /// Labels of the family.
        family: Vec<String>,
        /// The names found.
        found: Vec<String>,
    },
    /// The pairs are too long.
    #[error(
        "the labels of an info have at most {MAX_VALUE_BYTES} bytes, found {found}; shorten them"
    )]
    Length {
        /// How many bytes were found.
        found: usize,
    },
}

impl Info {
    /// Registers an info without labels of its family. `_info` at the end of the name is optional:
    /// the exposition always has it.
    ///
    /// ```
    /// use tallyboard::Info;
    ///
    /// let build = Info::new("app_build", "What runs here.")?;
    /// build.set(&[("version", "1.4.2"), ("revision", "8fc2a1")])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Builder::family`].
    pub fn new(name: &str, help: &str) -> Result<Self, RegisterError> {
        Self::builder(name, help).register()
    }

    /// Describes an info.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(Kind::Info, name, help)
    }

    /// Says what it is from now on, instead of what any process said before. Each new set of labels
    /// takes room, as a new label set of any family does.
    ///
    /// # Errors
    /// [`InfoError`] for names that are no labels, or too much text.
    pub fn set(&self, labels: &[(&str, &str)]) -> Result<(), InfoError> {
        let family = self.family.family();
        let own = |name: &str| family.labels.iter().any(|label| **label == *name);
        let encoded = pairs::encode(labels).filter(|_| !labels.iter().any(|(name, _)| own(name)));
        let pairs = encoded.ok_or_else(|| InfoError::Names {
            family: self.family.label_names(),
            found: labels.iter().map(|(name, _)| (*name).to_owned()).collect(),
        })?;
        if pairs.len() > MAX_VALUE_BYTES {
            return Err(InfoError::Length { found: pairs.len() });
        }
        self.series.words();
        let Some(mut values) = self.series.label_values() else { return Ok(()) };
        values.truncate(family.labels.len());
        values.push(pairs.into());
        match self.family.cells(&values) {
            Ok(series) => {
                if let Some(cells) = series.words() {
                    stamp(cells.at(0), series.now_ns());
                }
            }
            Err(reason) => self.series.drop_one(reason),
        }
        Ok(())
    }
}

impl Sealed for Info {}

impl Metric for Info {
    #[allow(private_interfaces)]
    fn of(series: SeriesRef, family: FamilyRef) -> Self {
        Self { series, family }
    }

    #[inline]
    #[allow(private_interfaces)]
    fn series(&self) -> &SeriesRef {
        &self.series
    }
}
