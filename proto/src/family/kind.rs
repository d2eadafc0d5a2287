//! What a family measures, and the shape that its cells have for that.

use std::str::FromStr;

use super::error::FamilyError;
use super::samples::Samples;
use crate::cell::{GaugeMode, Shape};
use crate::native::Native;

/// What a family measures, with what only that kind has.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge(GaugeMode),
    /// Counts observations by size. The finite upper bounds of its buckets, rising; the bucket up
    /// to +Inf is implied.
    Histogram(Box<[f64]>),
    /// Counts observations by size in exponential buckets, see [`crate::native`].
    NativeHistogram(Native),
    /// Counts and sums observations.
    Summary,
    /// Says what something is, in labels that each process sets: a series has one more value than
    /// the family has labels, the pairs that [`crate::pairs`] writes.
    Info,
    /// Says which of these states holds.
    StateSet(Box<[Box<str>]>),
    /// What collectors say: each series is one sample, which has two values: what its name has behind
    /// that of the family, and its labels, as [`crate::pairs`] writes them. The family has none.
    Samples(Samples),
    /// Examples of what the series of another family count, see [`crate::exemplar`]. It is named
    /// [`EXEMPLAR_PREFIX`](crate::names::EXEMPLAR_PREFIX) and the name of that family, and is no
    /// family of an exposition.
    Exemplar,
    /// The buckets of the series of a native histogram, see [`crate::native`]. It is named
    /// [`BUCKET_PREFIX`](crate::names::BUCKET_PREFIX) and the name of that family, and is no family
    /// of an exposition. It says what that family is, so that the buckets of another definition are
    /// not taken for its own.
    Bucket(Native),
}

impl Kind {
    /// The name of the type in an exposition.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
            Self::NativeHistogram(_) => "native histogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet(_) => "stateset",
            Self::Samples(samples) => samples.declared.name(),
            Self::Exemplar => "exemplar",
            Self::Bucket(_) => "bucket",
        }
    }

    /// Whether its series are the buckets of other series.
    #[must_use]
    pub fn is_bucket(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }

    /// How many series a family of this kind may have where it may have so many label sets. Of a native
    /// histogram the series are limited, and so are their buckets; the samples of a label set are
    /// series each.
    #[must_use]
    pub fn series_limit(&self, label_limit: usize) -> usize {
        match self {
            Self::Bucket(_) => usize::MAX,
            Self::Samples(samples) => {
                label_limit.saturating_mul(samples.declared.samples_of_a_set())
            }
            _ => label_limit,
        }
    }

    /// How many cells a series of this kind owns.
    #[must_use]
    pub fn cells(&self) -> usize {
        Shape::of(self).width()
    }
}

impl Shape {
    /// The shape of the cells of `kind`, see [`Family::shape`](super::Family::shape).
    #[must_use]
    pub fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge(mode) => Self::Gauge(*mode),
            Kind::Histogram(bounds) => Self::Histogram { buckets: bounds.len() as u32 + 1 },
            Kind::NativeHistogram(_) => Self::NativeHistogram,
            Kind::Bucket(_) => Self::Bucket,
            Kind::Summary => Self::Summary,
            Kind::Info => Self::Info,
            Kind::StateSet(_) => Self::StateSet,
            // Of one that its suffix does not tell apart.
            Kind::Samples(samples) => Self::Sample(samples.join),
            Kind::Exemplar => Self::Exemplar,
        }
    }
}

impl FromStr for GaugeMode {
    type Err = FamilyError;

    /// Reads a mode's name; `latest` is an alias of `mostrecent`.
    fn from_str(name: &str) -> Result<Self, FamilyError> {
        let name = if name == "latest" { "mostrecent" } else { name };
        let found = Self::EVERY.into_iter().find(|mode| mode.name() == name);
        found.ok_or_else(|| FamilyError::Mode { found: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::CellKind;
    use crate::native::cells;

    #[test]
    fn a_shape_is_as_wide_as_its_kind_and_knows_its_cells() {
        let shape = Shape::of(&Kind::Histogram([1.0, 2.0].into()));
        assert_eq!(shape.width(), 5);
        let kinds: Vec<_> = (0..5).map(|at| shape.cell(at)).collect();
        use CellKind::{Float, Free, Whole};
        assert_eq!(kinds, [Whole, Whole, Whole, Float, Whole]);
        assert_eq!(Shape::Summary.cell(1), Float);
        let native = |at| Shape::NativeHistogram.cell(at);
        assert_eq!([0, 1, 2, 3].map(native), [Whole, Whole, Float, Whole]);
        assert_eq!(cells::SUM + 2, cells::COUNT);
        assert_eq!(Shape::Bucket.cell(0), Whole);
        assert_eq!(Shape::Counter.cell(1), Float);
        assert_eq!(Shape::Gauge(GaugeMode::Sum).cell(0), Free);
        let counts: Vec<_> = (0..5).map(|at| shape.is_count(at)).collect();
        assert_eq!(counts, [true, true, true, false, true]);
        let others = [Shape::Counter, Shape::Gauge(GaugeMode::Sum), Shape::Info];
        assert!(!others.iter().any(|shape| shape.is_count(0)));
    }

    #[test]
    fn gauge_modes_have_the_names_of_prometheus_client_and_an_alias() {
        for (number, mode) in GaugeMode::EVERY.into_iter().enumerate() {
            assert_eq!(mode as usize, number);
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert_eq!("latest".parse(), Ok(GaugeMode::MostRecent));
        assert!("newest".parse::<GaugeMode>().is_err());
    }
}
