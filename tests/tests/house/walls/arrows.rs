//! Which file of a crate knows which: every path in its tokens, those of macros and tests as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module that has a file of its own: the names on the way to it. The root has none.
pub type Module = Vec<String>;

/// The files of a crate, and for each those whose names it uses.
#[derive(Debug, Default)]
pub struct Arrows(pub BTreeMap<Module, BTreeSet<Module>>);

impl Arrows {
    /// Of the files below `folder`, the `src` of a crate; those of its programs are crates of their own.
    pub fn of_crate(folder: &Path) -> Self {
        let mut sources = BTreeMap::new();
        collect(folder, &mut Vec::new(), &mut sources);
        Self::of(&sources)
    }

    /// Of files given with their paths below `src`.
    pub fn of(sources: &BTreeMap<String, String>) -> Self {
        let files: BTreeSet<Module> = sources.keys().map(|path| module(path)).collect();
        let arrows = sources.iter().map(|(path, source)| {
            let file = module(path);
            let tokens: TokenStream = source.parse().unwrap_or_else(|e| panic!("{path}: {e}"));
            let mut reader = Reader { files: &files, file: &file, found: BTreeSet::new() };
            reader.read(&tokens.into_iter().collect::<Vec<_>>(), &mut Vec::new());
            let mut found = reader.found;
            found.remove(&file);
            (file, found)
        });
        Self(arrows.collect())
    }

    /// The files that know each other in a ring, ring by ring.
    pub fn rings(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<_, _> =
            self.0.keys().map(|file| (file, self.reached(file))).collect();
        let ring = |file: &Module| -> Vec<String> {
            let both = reached[file].iter().filter(|other| reached[*other].contains(file));
            both.map(shown).collect()
        };
        let rings: BTreeSet<_> = self.0.keys().map(ring).filter(|ring| ring.len() > 1).collect();
        rings.into_iter().collect()
    }

    fn reached(&self, from: &Module) -> BTreeSet<Module> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            let further = self.0.get(file).into_iter().flatten();
            open.extend(further.filter(|file| reached.insert((*file).clone())));
        }
        reached
    }
}

/// A file as it is named in a complaint.
pub fn shown(module: &Module) -> String {
    if module.is_empty() { "the root".to_owned() } else { module.join("/") }
}

fn collect(folder: &Path, way: &mut Vec<String>, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder of this project") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if way.is_empty() && name == "bin" {
            continue;
        }
        way.push(name);
        if path.is_dir() {
            collect(&path, way, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.insert(way.join("/"), fs::read_to_string(&path).expect("a source"));
        }
        way.pop();
    }
}

fn module(path: &str) -> Module {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut names: Module = path.split('/').map(str::to_owned).collect();
    let is_folder = names.last().is_some_and(|name| name == "mod");
    if is_folder || path == "lib" || path == "main" {
        names.pop();
    }
    names
}

/// Reads the tokens of a file.
struct Reader<'a> {
    files: &'a BTreeSet<Module>,
    file: &'a Module,
    found: BTreeSet<Module>,
}

impl Reader<'_> {
    /// `within` are the modules in the file itself that the tokens stand in.
    fn read(&mut self, tokens: &[TokenTree], within: &mut Vec<String>) {
        let mut at = 0;
        while at < tokens.len() {
            let (here, next) = (&tokens[at], tokens.get(at + 1));
            match here {
                TokenTree::Ident(word) if word == "mod" => {
                    if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(group))) =
                        (next, tokens.get(at + 2))
                    {
                        within.push(name.to_string());
                        self.read(&group.stream().into_iter().collect::<Vec<_>>(), within);
                        within.pop();
                    }
                    // A file that says which folders and files there are does not know them by that.
                    at += 3;
                }
                TokenTree::Ident(word) if word == "use" => {
                    let end = tokens[at..].iter().position(|token| is_punct(token, ';'));
                    let end = end.map_or(tokens.len(), |end| at + end);
                    self.read_tree(&tokens[at + 1..end], &[], within);
                    at = end;
                }
                TokenTree::Ident(_) => {
                    let path = path_from(&tokens[at..]);
                    at += 3 * path.len() - 2;
                    // One word alone is who may see something, or this file itself.
                    if path.len() > 1 {
                        self.found_path(&path, within);
                    }
                }
                TokenTree::Group(group) => {
                    self.read(&group.stream().into_iter().collect::<Vec<_>>(), within);
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// A tree of a `use`: what stands before its braces stands before each of its branches.
    fn read_tree(&mut self, tokens: &[TokenTree], before: &[String], within: &[String]) {
        for branch in tokens.split(|token| is_punct(token, ',')) {
            let mut path = before.to_vec();
            let mut is_whole = true;
            for token in branch {
                match token {
                    TokenTree::Ident(name) if name == "as" => break,
                    TokenTree::Ident(name) => path.push(name.to_string()),
                    TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                        let tokens: Vec<_> = group.stream().into_iter().collect();
                        self.read_tree(&tokens, &path, within);
                        is_whole = false;
                    }
                    _ => {}
                }
            }
            if is_whole {
                self.found_path(&path, within);
            }
        }
    }

    /// Takes down the file that a path leads to, if it is one of this crate.
    fn found_path(&mut self, path: &[String], within: &[String]) {
        let mut here = self.file.clone();
        here.extend_from_slice(within);
        let Some(first) = path.first() else { return };
        let mut way = match first.as_str() {
            "crate" => Module::new(),
            "self" | "super" => here,
            _ => {
                here.push(first.clone());
                // A name of its own folder, and not one from elsewhere.
                if !self.files.contains(&here) {
                    return;
                }
                here
            }
        };
        for name in path {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => _ = way.pop(),
                name if way.last().is_some_and(|last| last == name) && name == first => {}
                name => way.push(name.to_owned()),
            }
        }
        while !self.files.contains(&way) {
            if way.pop().is_none() {
                return;
            }
        }
        self.found.insert(way);
    }
}

fn is_punct(token: &TokenTree, of: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == of)
}

/// The names with `::` between them that the tokens begin with.
fn path_from(tokens: &[TokenTree]) -> Vec<String> {
    let mut path = Vec::new();
    for three in tokens.chunks(3) {
        let [TokenTree::Ident(name), rest @ ..] = three else { break };
        path.push(name.to_string());
        if rest.len() < 2 || !rest.iter().all(|token| is_punct(token, ':')) {
            break;
        }
    }
    path
}

fn sources(files: &[(&str, &str)]) -> Arrows {
    Arrows::of(&files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect())
}

fn known(arrows: &Arrows, file: &str) -> Vec<String> {
    arrows.0[&module(file)].iter().map(shown).collect()
}

#[test]
fn every_way_to_name_another_file_is_an_arrow() {
    for (source, expected) in [
        ("use crate::board::slots::Slot;", vec!["board/slots"]),
        (
            "use crate::{board::{rows, slots::{self as s, Slot}}, page};",
            vec!["board/rows", "board/slots", "page"],
        ),
        ("use super::rows;", vec!["board/rows"]),
        ("pub use super::rows::*;", vec!["board/rows"]),
        ("fn f() -> crate::page::Page { super::slots::new() }", vec!["board/slots", "page"]),
        ("fn f() { println!(\"{}\", crate::page::TITLE); }", vec!["page"]),
        ("macro_rules! m { () => { $crate::page::TITLE } }", vec!["page"]),
        (
            "#[cfg(test)] mod tests { use super::*; use super::super::slots::Slot; use crate::page; }",
            vec!["board/slots", "page"],
        ),
        ("use super::Board; use crate::Run;", vec!["the root", "board"]),
        ("pub(crate) struct A(pub(super) u8, self::B); struct B;", vec![]),
        ("use std::rows; use other::crate_page; fn f() { rows::new() }", vec![]),
        ("/// See [`crate::page`].\nfn f() { let page = \"crate::page\"; }", vec![]),
    ] {
        let files = [
            ("lib.rs", "mod board; mod page;"),
            ("board/mod.rs", "mod rows; mod slots; mod here; pub use rows::Row;"),
            ("board/rows.rs", ""),
            ("board/slots.rs", ""),
            ("page.rs", ""),
            ("board/here.rs", source),
        ];
        let arrows = sources(&files);
        assert_eq!(known(&arrows, "board/here.rs"), expected, "{source}");
        assert_eq!(known(&arrows, "lib.rs"), [""; 0], "a declaration is no arrow");
        assert_eq!(known(&arrows, "board/mod.rs"), ["board/rows"], "a re-export is one");
    }
}

#[test]
fn a_ring_is_found_however_it_is_closed() {
    let ring = |one: &str, other: &str, door: &str| {
        let files = [("lib.rs", ""), ("a/mod.rs", door), ("a/one.rs", one), ("a/other.rs", other)];
        sources(&files).rings()
    };
    assert_eq!(ring("use super::other::Other;", "", ""), [[""; 0]; 0]);
    assert_eq!(ring("use super::other::Other;", "use super::one;", ""), [["a/one", "a/other"]]);
    let in_tests = "#[cfg(test)] mod tests { use super::super::one::One; }";
    assert_eq!(ring("use super::other::Other;", in_tests, ""), [["a/one", "a/other"]]);
    // Through the folder's door.
    let rings = ring("use super::Other;", "use super::One;", "pub use {one::One, other::Other};");
    assert_eq!(rings, [["a", "a/one", "a/other"]]);
    assert_eq!(ring("use super::Other;", "", "pub use other::Other;"), [[""; 0]; 0]);
}
