//! Expositions that are read, for which nothing has to run.

pub mod check;
mod document;
mod object;
pub mod parse;
