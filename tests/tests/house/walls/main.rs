//! The walls of the house: between crates, and between the rooms of each. Each rule is a function from
//! a description to complaints, and has a test with a description that breaks it.

#![forbid(unsafe_code)]

mod arrows;
mod crates;
mod python;
mod rooms;
