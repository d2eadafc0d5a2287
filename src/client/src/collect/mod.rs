//! What is looked up rather than counted, and what a process shows of both.
//!
//! From the ground up; each file knows only files above it in this list, and the rooms of instruments
//! and of the registry:
//!
//! | file | what it has |
//! |---|---|
//! | `collector`, `process` | what a collector is, and two that come with the crate |
//! | `parts` | what a collector says, as the families that it is kept in |
//! | `errors`, `asked`, `written`, `sources` | asking callbacks and collectors, and what becomes of it |
//! | `refresh` | the thread that asks |
//! | `register` | how a program has something asked |
//! | `gather` | families of a process, expositions of it and of the service |

pub(crate) mod asked;
pub(crate) mod collector;
pub(crate) mod errors;
pub(crate) mod gather;
pub(crate) mod parts;
pub(crate) mod process;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod sources;
pub(crate) mod written;
