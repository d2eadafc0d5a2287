//! What is there: arenas, their workers, their bytes, and what a command would find.
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | has |
//! |---|---|
//! | `ls` | `ls` |
//! | `slots` | `slots` |
//! | `scrape` | `scrape` |
//! | `inspect` | `inspect` |
//! | `prune` | `prune` |
//! | `python` | what an interpreter says of itself |
//! | `doctor` | `doctor` |

pub mod doctor;
pub mod inspect;
pub mod ls;
pub mod prune;
mod python;
pub mod scrape;
pub mod slots;
