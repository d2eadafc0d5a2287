//! A supervisor that runs, and what it passes on.
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | has |
//! |---|---|
//! | `flags` | the flags that `serve` and `exec` share |
//! | `passed` | what `exec` passes on to its command |
//! | `swept` | what killed processes of Python leave |
//! | `serve` | `serve` |
//! | `exec` | `exec` |

pub mod exec;
pub mod flags;
mod passed;
pub mod serve;
mod swept;
