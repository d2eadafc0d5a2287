//! A document, as the commands about documents read it.

use crate::fetch;

/// Exit status when the document cannot be read, as when the command line is wrong.
pub const UNREADABLE: u8 = 2;

/// The bytes of a document, unless it cannot be read, which is said.
pub fn document(source: &str) -> Option<Vec<u8>> {
    let bytes = fetch::read(source);
    bytes.inspect_err(|error| eprintln!("tallyboard: {error:#}")).ok()
}
