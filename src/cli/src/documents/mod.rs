//! Expositions that are read, for which nothing has to run.
//!
//! From the ground up; each file knows only files above it in this list:
//!
//! | file | has |
//! |---|---|
//! | `document` | the bytes of a document |
//! | `object` | a document as JSON |
//! | `parse`, `check` | the commands |

pub mod check;
mod document;
mod object;
pub mod parse;
