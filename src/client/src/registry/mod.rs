//! What this process counts in: families and series, the slot that they are in, and how it is got.
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | what it has |
//! |---|---|
//! | `lookup`, `parts`, `children` | tables that are read without a lock |
//! | `attach` | the conversation that gets a slot |
//! | `background` | the book of what threads do |
//! | `definition`, `questions`, `ended` | what was registered, what is asked, what has ended |
//! | `state`, `set_value` | all that a fork copies |
//! | `pump`, `move_in` | moving what was counted into a slot |
//! | `registry`, `builder` | what does not change of a registry, and the lock on what does |
//! | `threads`, `slot`, `detached`, `first_use` | getting a slot, at once or later |
//! | `series`, `registered` | what instruments are handed |

pub(crate) mod attach;
pub(crate) mod background;
pub(crate) mod builder;
pub(crate) mod children;
pub(crate) mod definition;
pub(crate) mod detached;
pub(crate) mod ended;
pub(crate) mod first_use;
pub(crate) mod lookup;
pub(crate) mod move_in;
pub(crate) mod parts;
pub(crate) mod pump;
pub(crate) mod questions;
pub(crate) mod registered;
#[expect(clippy::module_inception, reason = "the registry itself is a file of its room")]
pub(crate) mod registry;
pub(crate) mod series;
pub(crate) mod set_value;
pub(crate) mod slot;
pub(crate) mod state;
pub(crate) mod threads;
