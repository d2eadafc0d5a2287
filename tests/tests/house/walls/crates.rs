//! The walls between the crates: which may know which, which may know a runtime, which may be
//! unsafe, and what a worker links.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tallyboard_tests::build::cargo;

/// Who may depend on whom, in any way; `*` is everything. The program names proto, segment and
/// exposition beside what it is made of, for addresses, messages and pages.
const EDGES: &[(&str, &[&str])] = &[
    ("tallyboard-proto", &[]),
    ("tallyboard-segment", &["tallyboard-proto"]),
    ("tallyboard-exposition", &["tallyboard-proto"]),
    ("tallyboard", &["tallyboard-proto", "tallyboard-segment", "tallyboard-exposition"]),
    ("tallyboard-supervisor", &["tallyboard-proto", "tallyboard-segment", "tallyboard-exposition"]),
    ("tallyboard-bridges", &["tallyboard-proto", "tallyboard-exposition"]),
    (
        "tallyboard-cli",
        &[
            "tallyboard",
            "tallyboard-supervisor",
            "tallyboard-bridges",
            "tallyboard-proto",
            "tallyboard-segment",
            "tallyboard-exposition",
        ],
    ),
    ("tallyboard-python", &["tallyboard", "tallyboard-exposition", "tallyboard-bridges"]),
    ("tallyboard-tests", &["*"]),
    ("tallyboard-bench", &["*"]),
];

/// Edges that exist only behind a feature that is off by default.
const OPTIONAL_EDGES: &[(&str, &str)] =
    &[("tallyboard", "tallyboard-supervisor"), ("tallyboard", "tallyboard-bridges")];

/// Crates that only some may depend on directly: a runtime, and the raw system.
const GUARDED: &[(&[&str], &[&str])] = &[
    (
        &["axum", "tokio", "hyper", "hyper-util", "http-body-util", "tokio-rustls"],
        &[
            "tallyboard-supervisor",
            "tallyboard-bridges",
            "tallyboard-cli",
            "tallyboard-tests",
            "tallyboard-bench",
        ],
    ),
    (
        &["flate2", "structured-zstd"],
        &["tallyboard-supervisor", "tallyboard-bridges", "tallyboard-tests"],
    ),
    (&["libc", "shared_memory"], &["tallyboard-segment"]),
    (&["bincode"], &["tallyboard-proto"]),
];

/// Crates in the default tree of a worker, its own included.
const WORKER_CRATES: usize = 26;
const NOT_IN_A_WORKER: &[&str] = &["tokio", "hyper", "serde", "shared_memory"];

/// A dependency as cargo reports it.
#[derive(Clone, Debug)]
struct Edge {
    from: String,
    to: String,
    is_optional: bool,
}

/// What `cargo metadata` says of the members.
fn metadata() -> Value {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn edges(metadata: &Value) -> Vec<Edge> {
    let of = |package: &Value| -> Vec<Edge> {
        let edge = |dependency: &Value| Edge {
            from: text(package, "name").to_owned(),
            to: text(dependency, "name").to_owned(),
            is_optional: dependency["optional"] == true,
        };
        list(package, "dependencies").iter().map(edge).collect()
    };
    list(metadata, "packages").iter().flat_map(of).collect()
}

/// Edges between our own crates that the table above does not have.
fn wrong_edges(edges: &[Edge]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let is_ours = |name: &str| name == "tallyboard" || name.starts_with("tallyboard-");
    let is_wrong = |edge: &&Edge| {
        if !is_ours(&edge.to) {
            return false;
        }
        let of = allowed.get(edge.from.as_str()).copied().unwrap_or_default();
        let optional = (edge.from.as_str(), edge.to.as_str());
        let is_optional = edge.is_optional && OPTIONAL_EDGES.contains(&optional);
        let is_allowed = of.contains(&"*") || of.contains(&edge.to.as_str()) || is_optional;
        !is_allowed
    };
    let edges = edges.iter().filter(is_wrong);
    edges.map(|edge| format!("{} must not depend on {}", edge.from, edge.to)).collect()
}

/// Members that depend on something that is not theirs to use.
fn wrong_guests(edges: &[Edge]) -> Vec<String> {
    let mut wrong = Vec::new();
    for edge in edges {
        for (guarded, allowed) in GUARDED {
            if guarded.contains(&edge.to.as_str()) && !allowed.contains(&edge.from.as_str()) {
                wrong.push(format!("{} must not depend on {}", edge.from, edge.to));
            }
        }
    }
    wrong
}

/// What is wrong with the names in the tree of a worker.
fn wrong_tree(tree: &str) -> Vec<String> {
    let crates: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|n| !n.is_empty()).collect();
    let refused = NOT_IN_A_WORKER.iter().filter(|name| crates.contains(*name));
    let mut wrong: Vec<String> = refused.map(|name| format!("a worker links {name}")).collect();
    if crates.len() > WORKER_CRATES {
        let found = crates.len();
        wrong.push(format!("expected at most {WORKER_CRATES} crates, found {found}: {crates:?}"));
    }
    wrong
}

/// Whether the root of a crate forbids unsafe code.
fn forbids_unsafe(source: &str) -> bool {
    source.lines().any(|line| line == "#![forbid(unsafe_code)]")
}

fn edge(from: &str, to: &str) -> Edge {
    Edge { from: from.into(), to: to.into(), is_optional: false }
}

#[test]
fn crates_depend_on_each_other_as_the_design_says() {
    let edges = edges(&metadata());
    assert!(edges.iter().any(|edge| edge.from == "tallyboard" && edge.to == "tallyboard-segment"));
    assert_eq!(wrong_edges(&edges), [""; 0]);
}

#[test]
fn an_edge_through_a_wall_is_found() {
    let optional = Edge { is_optional: true, ..edge("tallyboard", "tallyboard-supervisor") };
    let good = [optional, edge("tallyboard-cli", "tallyboard"), edge("tallyboard", "libc")];
    assert_eq!(wrong_edges(&good), [""; 0]);
    for (from, to) in [
        ("tallyboard-proto", "tallyboard-segment"),
        ("tallyboard-segment", "tallyboard-exposition"),
        ("tallyboard", "tallyboard-supervisor"),
        ("tallyboard-supervisor", "tallyboard"),
        ("tallyboard-python", "tallyboard-cli"),
        ("somebody-new", "tallyboard-proto"),
    ] {
        assert_eq!(wrong_edges(&[edge(from, to)]).len(), 1, "{from} -> {to}");
    }
}

#[test]
fn only_some_know_a_runtime_or_the_raw_system() {
    assert_eq!(wrong_guests(&edges(&metadata())), [""; 0]);
}

#[test]
fn a_guest_in_the_wrong_house_is_found() {
    for (from, to) in [
        ("tallyboard", "tokio"),
        ("tallyboard-exposition", "hyper"),
        ("tallyboard", "axum"),
        ("tallyboard", "flate2"),
        ("tallyboard-supervisor", "libc"),
        ("tallyboard", "bincode"),
    ] {
        assert_eq!(wrong_guests(&[edge(from, to)]).len(), 1, "{from} -> {to}");
    }
    assert_eq!(wrong_guests(&[edge("tallyboard-supervisor", "tokio")]), [""; 0]);
}

#[test]
fn every_crate_but_segment_forbids_unsafe_code() {
    let metadata = metadata();
    let mut roots = 0;
    for package in list(&metadata, "packages") {
        let name = text(package, "name");
        for target in list(package, "targets") {
            let kinds = list(target, "kind");
            let is_root =
                kinds.iter().any(|kind| kind == "lib" || kind == "bin" || kind == "cdylib");
            let path = text(target, "src_path");
            let source = std::fs::read_to_string(path).expect("a root is readable");
            if is_root && name != "tallyboard-segment" {
                assert!(
                    forbids_unsafe(&source),
                    "{name}: expected #![forbid(unsafe_code)] in {path}"
                );
                roots += 1;
            }
        }
    }
    assert!(roots >= 4, "only {roots} roots were found");
}

#[test]
fn a_root_that_allows_unsafe_code_is_found() {
    assert!(forbids_unsafe("//! A.\n\n#![forbid(unsafe_code)]\n"));
    assert!(!forbids_unsafe("//! A.\n\n// #![forbid(unsafe_code)]\n"));
    assert!(!forbids_unsafe("#![deny(unsafe_code)]\n"));
}

#[test]
fn a_worker_links_few_crates_and_no_runtime() {
    let tree = ["tree", "-p", "tallyboard", "-e", "normal,build", "--prefix", "none"];
    let output = cargo().args(tree).output().expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("cargo tree writes UTF-8");
    assert!(tree.lines().any(|line| line.starts_with("tallyboard-segment ")), "{tree}");
    assert_eq!(wrong_tree(&tree), [""; 0]);
}

#[test]
fn a_tree_that_grew_is_found() {
    let few = "a v1\nb v1\n\na v1 (*)\n".to_owned();
    assert_eq!(wrong_tree(&few), [""; 0]);
    assert_eq!(wrong_tree(&(few.clone() + "serde v1.0\n")), ["a worker links serde"]);
    let many: String = (0..WORKER_CRATES).map(|number| format!("c{number} v1\n")).collect();
    assert_eq!(wrong_tree(&many), [""; 0]);
    assert_eq!(wrong_tree(&(many + &few)).len(), 1);
}
