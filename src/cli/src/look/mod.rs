//! What is there: arenas, their workers, their bytes, and what a command would find.

pub mod doctor;
pub mod inspect;
pub mod ls;
pub mod prune;
mod python;
pub mod scrape;
pub mod slots;
