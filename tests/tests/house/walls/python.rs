//! The floors of the Python package: which of its modules knows which, in functions too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::arrows::{Arrows, Module};

const PACKAGE: &str = "tallyboard";

/// The modules of a package, by name, with what stands in each.
fn arrows(sources: &BTreeMap<String, String>) -> Arrows {
    let known = |name: &str| -> Option<Module> {
        match name {
            "" | "__init__" => Some(Module::new()),
            name => sources.contains_key(name).then(|| vec![name.to_owned()]),
        }
    };
    let of = |(name, source): (&String, &String)| {
        let own = known(name).expect("it is one of them");
        let mut found = BTreeSet::new();
        for statement in statements(source) {
            for (module, names) in imports(&statement) {
                let inner =
                    names.iter().filter_map(|name| known(name)).filter(|_| module.is_empty());
                let inner: Vec<Module> = inner.collect();
                let is_of_root = inner.len() < names.len();
                found.extend(inner);
                found.extend(known(&module).filter(|_| !module.is_empty() || is_of_root));
            }
        }
        found.remove(&own);
        (own, found)
    };
    Arrows(sources.iter().map(of).collect())
}

/// The lines of a source, those of one pair of parentheses as one.
fn statements(source: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in source.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        match statements.last_mut().filter(|_| is_open) {
            Some(last) => last.push_str(line),
            None => statements.push(line.to_owned()),
        }
        let last = statements.last().map_or("", String::as_str);
        is_open = last.starts_with("from ") && last.contains('(') && !last.contains(')');
    }
    statements
}

/// The modules of this package that a statement imports, each with the names that it takes from it;
/// the package itself has no name.
fn imports(statement: &str) -> Vec<(String, Vec<String>)> {
    let of_package = |name: &str| -> Option<String> {
        let name = name.split(" as ").next().unwrap_or_default().trim();
        match name.strip_prefix(PACKAGE) {
            Some("") => Some(String::new()),
            Some(rest) => rest.strip_prefix('.').map(str::to_owned),
            None => name.strip_prefix('.').map(str::to_owned),
        }
    };
    if let Some((module, names)) =
        statement.strip_prefix("from ").and_then(|rest| rest.split_once(" import "))
    {
        let names = names.trim_matches(['(', ')', ' ']).split(',');
        let first = |name: &str| name.trim().split(' ').next().unwrap_or_default().to_owned();
        let names = names.map(first).filter(|name| !name.is_empty()).collect();
        return of_package(module.trim()).map(|module| (module, names)).into_iter().collect();
    }
    if let Some(names) = statement.strip_prefix("import ") {
        let modules = names.split(',').filter_map(of_package);
        return modules.map(|module| (module, vec!["*".to_owned()])).collect();
    }
    // A module that is named by a string is loaded by it.
    let named = statement.split('"').skip(1).step_by(2);
    let named = named.filter_map(|text| text.strip_prefix("tallyboard.").map(str::to_owned));
    named.map(|module| (module, vec!["*".to_owned()])).collect()
}

fn package() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/python").join(PACKAGE);
    let mut sources = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the package") {
        let path = entry.expect("an entry").path();
        let is_source = path.extension().is_some_and(|e| e == "py" || e == "pyi");
        if is_source {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            sources.insert(name, fs::read_to_string(&path).expect("a source"));
        }
    }
    sources
}

#[test]
fn no_modules_of_the_package_import_each_other_in_a_ring() {
    let arrows = arrows(&package());
    assert!(arrows.0.values().map(BTreeSet::len).sum::<usize>() > 30, "{arrows:?}");
    assert_eq!(arrows.rings(), [[""; 0]; 0]);
}

#[test]
fn every_way_to_import_a_module_of_the_package_is_an_arrow() {
    for (source, expected) in [
        ("from . import _a, _b as other", vec!["_a", "_b"]),
        ("from . import (\n    _a,  # why\n    _b,\n)", vec!["_a", "_b"]),
        ("def f():\n    from ._a import name", vec!["_a"]),
        ("from tallyboard._a import name\nimport tallyboard._b as b, os", vec!["_a", "_b"]),
        ("import tallyboard", vec![""]),
        ("from . import __version__, _a", vec!["", "_a"]),
        ("import_module(\"tallyboard._b\")", vec!["_b"]),
        ("import os\nfrom prometheus_client import values", vec![]),
    ] {
        let sources = [("__init__", ""), ("_a", ""), ("_b", ""), ("_here", source)];
        let sources = sources.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let found = arrows(&sources.into());
        let found: Vec<String> =
            found.0[&vec!["_here".to_owned()]].iter().map(|module| module.join("/")).collect();
        assert_eq!(found, expected, "{source}");
    }
}

#[test]
fn a_ring_of_modules_is_found() {
    let sources = [("__init__", "from . import _a"), ("_a", "def f():\n    from ._b import x")];
    let mut sources: BTreeMap<String, String> =
        sources.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    sources.insert("_b".to_owned(), String::new());
    assert_eq!(arrows(&sources).rings(), [[""; 0]; 0]);
    sources.insert("_b".to_owned(), "import tallyboard".to_owned());
    assert_eq!(arrows(&sources).rings(), [["the root", "_a", "_b"]]);
}
