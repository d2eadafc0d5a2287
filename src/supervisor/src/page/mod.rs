//! What is shown: families and the lines of a page, of the state and of what the system says of
//! processes. It reads the state and asks for nothing: sockets and files of others are not known here.

pub(crate) mod collector;
pub(crate) mod exposed;
pub mod labels;
mod lines;
pub mod own;
pub(crate) mod process;
mod processes;
mod render;
pub mod scrape;
