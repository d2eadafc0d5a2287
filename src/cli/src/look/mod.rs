pub mod doctor;
pub mod inspect;
pub mod prune;
pub mod python;
pub mod show;
