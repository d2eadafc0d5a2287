//! What a program counts with: handles on the cells of a series, and what is made of them.
//!
//! From the ground up; each file knows only files above it in this list, and the registry's room:
//!
//! | file | what it has |
//! |---|---|
//! | `values`, `labels`, `metric` | what was counted, label sets, what all instruments are |
//! | `family` | a metric with labels, and how one is described |
//! | `counter`, `gauge`, `histogram`, `summary`, `native`, `info`, `stateset` | the instruments |
//! | `exemplars`, `timers`, `progress`, `outcomes` | what is made of them |

pub(crate) mod counter;
pub(crate) mod exemplars;
pub(crate) mod family;
pub(crate) mod gauge;
pub(crate) mod histogram;
pub(crate) mod info;
pub(crate) mod labels;
pub(crate) mod metric;
pub(crate) mod native;
pub(crate) mod outcomes;
pub(crate) mod progress;
pub(crate) mod stateset;
pub(crate) mod summary;
pub(crate) mod timers;
pub(crate) mod values;
