//! What is shown: families and the lines of pages, of the state and of what /proc says of processes.
//!
//! Rule: it reads the state and knows formats. It has no sockets, and decides nothing of slots.
//!
//! | file | owns, each above what it needs |
//! |---|---|
//! | `scrape` | totals, and the page of them |
//! | `joined` | the same of names that have several definitions |
//! | `samples` | what collectors say, as families |
//! | `render` | what is written, line by line or as families |
//! | `processes` | gauges of which each process has a sample |
//! | `join` | cells of several definitions as those of one |
//! | `exposed` | the state with what its pages are made with |
//! | `collisions` | which metrics have become alike under the names of a page |
//! | `groups` | lines of names that have several definitions, and which series are one |
//! | `lines` | lines without their numbers |
//! | `collector`, `process` | the processes of the workers, and the supervisor's own |
//! | `labels` | what tells processes apart, and the labels of every sample |
//! | `own` | the table of the supervisor's own metrics |

pub(crate) mod collector;
mod collisions;
pub(crate) mod exposed;
mod groups;
mod join;
mod joined;
pub mod labels;
mod lines;
pub mod own;
pub(crate) mod process;
mod processes;
mod render;
mod samples;
pub mod scrape;
