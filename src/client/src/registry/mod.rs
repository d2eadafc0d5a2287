//! What this process counts in: families and series, the slot that they are in, and how it is got.

pub(crate) mod attach;
pub(crate) mod background;
pub(crate) mod children;
pub(crate) mod definition;
pub(crate) mod detached;
pub(crate) mod lookup;
#[expect(clippy::module_inception, reason = "the registry itself is a file of its room")]
pub(crate) mod registry;
pub(crate) mod set;
pub(crate) mod state;
