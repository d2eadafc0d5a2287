//! The rooms of each crate, and which may use which. A room is a folder of the crate, or a file beside
//! the folders. They stand in order: a room uses only rooms above it in its table, and only those
//! that it names. No files know each other in a ring, in one room or over several.

use std::path::Path;

use crate::arrows::{Arrows, shown};

/// A room, and the rooms that it may use.
type Room = (&'static str, &'static [&'static str]);

/// The crates, each with its rooms.
const HOUSES: &[(&str, &[Room])] = &[
    (
        "proto/src",
        &[
            ("life", &[]),
            ("limits", &[]),
            ("word", &[]),
            ("names", &["limits"]),
            ("native", &["limits"]),
            ("pairs", &["names"]),
            ("turn", &["word"]),
            ("exemplar", &["pairs", "turn", "word"]),
            ("cell", &["exemplar", "native", "turn", "word"]),
            ("family", &["cell", "limits", "names", "native", "pairs"]),
            ("layout", &["cell", "word"]),
            ("offset", &["cell"]),
            ("control", &["layout"]),
            ("log", &["cell", "family", "layout", "life", "native", "word"]),
            ("slot", &["layout", "word"]),
            ("abi", &["cell", "layout", "log", "slot", "word"]),
            ("lane", &["cell", "layout", "word"]),
            ("archive", &["cell", "lane", "layout", "life", "slot", "word"]),
        ],
    ),
    (
        "src/segment/src",
        &[
            ("descriptors", &[]),
            ("opened", &[]),
            ("mapping", &["opened"]),
            ("names", &[]),
            ("pidfd", &[]),
            ("process", &[]),
            ("rights", &[]),
            ("stat", &[]),
            ("clock", &["process"]),
            ("memfd", &["descriptors", "mapping"]),
            ("posix", &["mapping", "names", "process"]),
            ("private", &["mapping"]),
            ("fork", &["mapping", "private", "process"]),
            ("pass", &["memfd", "rights"]),
            ("trust", &["memfd", "pass", "pidfd"]),
            ("reach", &["descriptors", "pass", "trust"]),
        ],
    ),
    (
        "src/exposition/src",
        &[
            ("format", &[]),
            ("number", &[]),
            ("sample", &[]),
            ("synthetic", &[]),
            ("whole", &["sample"]),
            ("clash", &["format", "sample"]),
            ("lint", &["sample", "synthetic"]),
            ("native", &["sample"]),
            ("rules", &["number", "sample"]),
            ("series", &["sample"]),
            ("join", &["native", "sample"]),
            ("merge", &["join", "sample", "series"]),
            ("escaping", &["merge", "sample"]),
            ("negotiation", &["escaping", "format"]),
            ("text", &["clash", "escaping", "format", "number", "rules", "sample", "series"]),
            ("cells", &["escaping", "sample", "text"]),
            ("openmetrics", &["format", "rules", "sample", "series", "text"]),
            ("prefixes", &["text"]),
            ("protobuf", &["clash", "format", "rules", "sample", "series", "text"]),
            (
                "openmetrics2",
                &["clash", "format", "openmetrics", "rules", "sample", "series", "text"],
            ),
            (
                "parse",
                &["clash", "escaping", "format", "number", "protobuf", "rules", "sample", "text"],
            ),
            (
                "encode",
                &["clash", "format", "openmetrics", "openmetrics2", "protobuf", "sample", "text"],
            ),
        ],
    ),
    (
        "src/client/src",
        &[
            ("error", &[]),
            ("push", &[]),
            ("registry", &["error"]),
            ("instrument", &["error", "registry"]),
            ("serve", &["registry"]),
            ("collect", &["error", "instrument", "registry"]),
            ("raw", &["instrument", "registry"]),
        ],
    ),
    (
        "src/supervisor/src",
        &[
            ("board", &[]),
            ("inspect", &[]),
            ("outlet", &[]),
            ("page", &["board"]),
            ("config", &["outlet", "page"]),
            ("keep", &["board", "config", "outlet", "page"]),
            ("serve", &["board", "config", "keep", "outlet", "page"]),
            ("start", &["config", "keep", "serve"]),
        ],
    ),
    (
        "src/bridges/src",
        &[
            ("backoff", &[]),
            ("blocking", &[]),
            ("connect", &[]),
            ("neighbours", &[]),
            ("page", &[]),
            ("tls", &[]),
            ("http", &["connect"]),
            ("textfile", &["blocking", "neighbours", "page"]),
            ("receiver", &["http", "tls"]),
            ("export", &["backoff", "receiver"]),
            ("pushgateway", &["blocking", "page", "receiver"]),
            ("graphite", &["backoff", "blocking", "connect", "export", "receiver"]),
            ("otlp", &["export", "receiver"]),
            ("remote_write", &["export", "page", "receiver"]),
        ],
    ),
    (
        "src/cli/src",
        &[
            ("demo", &[]),
            ("errors", &[]),
            ("fetch", &[]),
            ("flags", &[]),
            ("output", &[]),
            ("proc", &[]),
            ("documents", &["fetch", "flags", "output"]),
            ("find", &["flags", "proc"]),
            ("log", &["flags"]),
            ("send", &["errors", "fetch", "find", "flags"]),
            ("run", &["errors", "flags", "log", "proc", "send"]),
            ("look", &["find", "flags", "output", "proc", "run"]),
            ("line", &["demo", "documents", "errors", "flags", "look", "run", "send"]),
        ],
    ),
    (
        "src/python/src",
        &[
            ("collector", &[]),
            ("error", &[]),
            ("numbers", &[]),
            ("own", &[]),
            ("value", &["own"]),
            ("family", &["collector", "error", "value"]),
            ("registry", &["collector", "error", "family", "numbers"]),
        ],
    ),
    (
        "tests/src",
        &[
            ("build", &[]),
            ("start", &["build"]),
            ("read", &["build", "start"]),
            ("receive", &["read", "start"]),
            ("service", &["read", "start"]),
        ],
    ),
];

/// What is wrong with the arrows of a crate that has these rooms.
fn wrong_rooms(arrows: &Arrows, rooms: &[Room]) -> Vec<String> {
    let mut wrong: Vec<String> =
        arrows.rings().iter().map(|ring| format!("a ring: {}", ring.join(", "))).collect();
    let allowed = |room: &str| rooms.iter().find(|(name, _)| *name == room);
    for (at, (room, uses)) in rooms.iter().enumerate() {
        let above = &rooms[..at];
        let later = uses.iter().filter(|used| !above.iter().any(|(name, _)| name == *used));
        wrong.extend(later.map(|used| format!("{room} is no floor above {used}")));
        if !arrows.0.keys().any(|file| file.first().is_some_and(|name| name == room)) {
            wrong.push(format!("there is no room {room}"));
        }
    }
    for (file, uses) in &arrows.0 {
        let Some(room) = file.first() else { continue };
        let Some((_, allowed)) = allowed(room) else {
            wrong.push(format!("the table has no room {room}"));
            continue;
        };
        for used in uses {
            let is_allowed = match used.first() {
                Some(other) => other == room || allowed.contains(&other.as_str()),
                None => false,
            };
            if !is_allowed {
                wrong.push(format!("{} must not use {}", shown(file), shown(used)));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

#[test]
fn rooms_use_those_below_them_and_no_files_know_each_other_in_a_ring() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut wrong = Vec::new();
    for (house, rooms) in HOUSES {
        let arrows = Arrows::of_crate(&root.join(house));
        assert!(arrows.0.len() > rooms.len(), "{house} has files");
        wrong.extend(wrong_rooms(&arrows, rooms).iter().map(|wrong| format!("{house}: {wrong}")));
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn an_arrow_through_a_wall_is_found() {
    let rooms: &[Room] = &[("board", &[]), ("page", &["board"]), ("serve", &["page"])];
    let wrong = |board: &str, serve: &str| {
        let files = [
            ("lib.rs", "pub use serve::run;"),
            ("board/mod.rs", ""),
            ("board/rows.rs", board),
            ("page.rs", "use crate::board::rows::Row;"),
            ("serve/mod.rs", ""),
            ("serve/http.rs", serve),
        ];
        let files = files.map(|(path, source)| (path.to_owned(), source.to_owned()));
        wrong_rooms(&Arrows::of(&files.into()), rooms)
    };
    assert_eq!(wrong("", "use crate::page::Page;"), [""; 0]);
    let skipped = wrong("", "use crate::board::rows;");
    assert_eq!(skipped, ["serve/http must not use board/rows"]);
    let upwards = wrong("fn f() { crate::serve::run() }", "");
    assert_eq!(upwards, ["board/rows must not use serve"]);
    let ring = wrong("#[cfg(test)] mod tests { use crate::page; }", "");
    assert_eq!(ring, ["a ring: board/rows, page", "board/rows must not use page"]);
    assert_eq!(wrong("use crate::run;", "").len(), 1, "the root is nobody's floor");
}

#[test]
fn a_table_that_is_not_that_of_its_crate_is_found() {
    let files = [("lib.rs", ""), ("a.rs", ""), ("b.rs", "")];
    let files = files.map(|(path, source)| (path.to_owned(), source.to_owned()));
    let arrows = Arrows::of(&files.into());
    assert_eq!(wrong_rooms(&arrows, &[("a", &[]), ("b", &["a"])]), [""; 0]);
    assert_eq!(wrong_rooms(&arrows, &[("a", &[])]), ["the table has no room b"]);
    let more: &[Room] = &[("a", &["b"]), ("b", &[]), ("c", &[])];
    assert_eq!(wrong_rooms(&arrows, more), ["a is no floor above b", "there is no room c"]);
}
