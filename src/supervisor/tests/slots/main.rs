//! The supervisor's core over private memory, with the test as its workers: they write words into
//! their slots, good ones and bad ones.

mod board;
mod definitions;
mod hostile;
mod kinds;
mod labels;
mod lowered;
mod model;
mod page;
mod refusals;
mod removal;
mod said;
