//! What a program counts with: handles on the cells of a series, and what is made of them.

pub(crate) mod exemplars;
pub(crate) mod family;
pub(crate) mod info;
pub(crate) mod labels;
pub(crate) mod metric;
pub(crate) mod native;
pub(crate) mod outcomes;
pub(crate) mod progress;
pub(crate) mod timers;
