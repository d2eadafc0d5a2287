//! What all instruments are: handles on a few cells, cheap to copy, usable from statics and from any
//! thread, valid before and after a fork.

use crate::registry::registered::FamilyRef;
use crate::registry::series::SeriesRef;

/// What every instrument can do: be made of a series.
pub trait Metric: sealed::Sealed {
    /// Whether parts of its series begin after them.
    #[doc(hidden)]
    const HAS_PARTS: bool = false;

    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn of(series: SeriesRef, family: FamilyRef) -> Self;

    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn series(&self) -> &SeriesRef;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}
