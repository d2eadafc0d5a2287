//! `tallyboard check` beside the `promtool check metrics` that Debian has, of version 2.42: the same
//! verdict on every document that no later version judges otherwise.

#![forbid(unsafe_code)]

use std::path::Path;

use tallyboard_tests::read::linter::{DOCUMENTS, compare};

#[test]
fn a_document_has_the_verdict_that_promtool_gives_it() {
    let seen = compare(Path::new("promtool"), DOCUMENTS);
    assert!(seen[0] > 5 && seen[1] > 20 && seen[2] == 0 && seen[3] > 10, "{seen:?}");
}
