//! A supervisor that runs, and what it passes on.

pub mod arena;
pub mod exec;
mod passed;
pub mod serve;
mod swept;
