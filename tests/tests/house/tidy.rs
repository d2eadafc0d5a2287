//! Habits that hold for every file. Each rule is a function from text to complaints; each has a
//! test with a bad sample that it must find, because a rule that cannot fail is worth nothing.
//!
//! One word per thing: the words of the design (arena, segment, slot, generation, cell, series log,
//! catalog, prefix, archive, bank, fold, reclaim, attach, pump, keeper) have no second names. The
//! list of [`SECOND_WORDS`] holds those that people reach for; a word is on it only when it has no
//! other honest use here.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use tallyboard_tests::build::root;

const MOST_LINES_OF_A_FUNCTION: usize = 70;
/// Outside tests a longer file is a missing folder.
const MOST_LINES_OF_A_FILE: usize = 500;

/// Parts of identifiers that would be a second word, and the word there is.
const SECOND_WORDS: &[(&str, &str)] = &[
    ("evict", "reclaim"),
    ("garbage", "reclaim"),
    ("gc", "reclaim"),
    ("guardian", "keeper"),
    ("heartbeat", "pidfd"),
    ("incarnation", "generation"),
    ("janitor", "reclaim"),
    ("journal", "series log"),
    ("lease", "attach"),
    ("nanny", "keeper"),
    ("region", "segment"),
    ("scoreboard", "arena"),
    ("shard", "slot"),
    ("timeseries", "series"),
    ("tombstone", "removal"),
];

/// The same in prose: comments and pages. The README's first sentence may say once what an arena
/// is like.
const SECOND_PHRASES: &[(&str, &str)] = &[
    ("garbage collect", "reclaim"),
    ("scoreboard", "arena"),
    ("shared memory block", "segment"),
    ("shared-memory block", "segment"),
    ("shm block", "segment"),
    ("shm_block", "segment"),
    ("tombstone", "removal"),
    ("write-ahead log", "series log"),
];

/// `epoch` numbers the banks of the archive; elsewhere the turn of something is its generation.
const FILES_WITH_EPOCHS: &[&str] = &["archive.rs", "layout.rs", "removal.rs", "proto/tests/"];

/// Text that names the machine or the place where something was written.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("artifac", "tory"),
    concat!(".inter", "nal/"),
];

/// Files of the repository whose names end in one of `ends`, with their paths from the root.
fn files(ends: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(root(), &mut |path| {
        let name = path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned();
        if ends.iter().any(|end| name.ends_with(end)) {
            // What is no text has no lines to look at.
            found.extend(fs::read_to_string(path).ok().map(|text| (name, text)));
        }
    });
    found.sort();
    assert!(!found.is_empty(), "no file ends in {ends:?}");
    found
}

fn walk(directory: &Path, each: &mut impl FnMut(&Path)) {
    let entries = fs::read_dir(directory).expect("a directory of the repository is readable");
    let paths = entries.map(|entry| entry.expect("an entry is readable").path());
    for path in paths.collect::<Vec<PathBuf>>() {
        let is_built = path.file_name().is_some_and(|name| name == "target" || name == ".git");
        if path.is_dir() && !is_built {
            walk(&path, each);
        } else if path.is_file() {
            each(&path);
        }
    }
}

fn complaints(ends: &[&str], rule: impl Fn(&str, &str) -> Vec<String>) -> String {
    let files = files(ends);
    let of = |(name, text): &(String, String)| -> Vec<String> {
        rule(name, text).into_iter().map(|complaint| format!("{name}:{complaint}\n")).collect()
    };
    files.iter().flat_map(of).collect()
}

fn parse(source: &str) -> syn::File {
    syn::parse_file(source).expect("a source file parses")
}

/// What one walk over a syntax tree collects.
#[derive(Default)]
struct Findings<'a> {
    lines: Vec<&'a str>,
    /// First lines of the statements and items around the visitor.
    begins: Vec<usize>,
    long: Vec<String>,
    unexplained: Vec<String>,
    unfinished: Vec<String>,
}

impl<'a> Findings<'a> {
    fn of(source: &'a str) -> Self {
        let mut findings = Self { lines: source.lines().collect(), ..Self::default() };
        findings.visit_file(&parse(source));
        findings
    }

    fn function(&mut self, name: &syn::Ident, whole: proc_macro2::Span, end: proc_macro2::Span) {
        let lines = end.end().line + 1 - whole.start().line;
        if lines > MOST_LINES_OF_A_FUNCTION {
            let line = whole.start().line;
            self.long.push(format!("{line}: {name} has {lines} lines, at most 70"));
        }
    }

    /// Whether a comment with `SAFETY:` ends right above `line`, or above what begins around it.
    fn is_explained(&self, line: usize) -> bool {
        let above = |line: usize| {
            let lines = self.lines[..line - 1].iter().rev().map(|line| line.trim_start());
            let mut comment =
                lines.take_while(|line| line.starts_with("//") || line.starts_with("#["));
            comment.any(|line| line.contains("SAFETY:"))
        };
        above(line) || self.begins.last().is_some_and(|&begin| above(begin))
    }

    fn explain(&mut self, span: proc_macro2::Span) {
        let line = span.start().line;
        if !self.is_explained(line) {
            self.unexplained.push(format!("{line}: unsafe without a SAFETY comment above it"));
        }
    }

    fn within(&mut self, span: proc_macro2::Span, visit: impl FnOnce(&mut Self)) {
        self.begins.push(span.start().line);
        visit(self);
        self.begins.pop();
    }
}

impl<'ast> Visit<'ast> for Findings<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.sig.span(), item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, item.sig.span(), item.block.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.sig.ident, item.sig.span(), item.span());
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_stmt(&mut self, stmt: &'ast syn::Stmt) {
        self.within(stmt.span(), |findings| visit::visit_stmt(findings, stmt));
    }

    fn visit_expr_unsafe(&mut self, expr: &'ast syn::ExprUnsafe) {
        self.explain(expr.span());
        visit::visit_expr_unsafe(self, expr);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.unsafety.is_some() {
            self.explain(item.span());
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let name = mac.path.segments.last().map(|part| part.ident.to_string()).unwrap_or_default();
        if name == "todo" || name == "unimplemented" {
            self.unfinished.push(format!("{}: {name}!", mac.span().start().line));
        }
        visit::visit_macro(self, mac);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        // The body of a process that a test starts, by running its own binary again, is no test.
        let tokens = attribute.meta.to_token_stream().to_string();
        let is_process = tokens.starts_with("ignore = \"not a test: ");
        if attribute.path().is_ident("ignore") && !is_process {
            let line = attribute.span().start().line;
            self.unfinished.push(format!("{line}: a test that is not run"));
        }
        visit::visit_attribute(self, attribute);
    }
}

/// Every identifier with its line; doc comments and strings are none.
fn identifiers(stream: TokenStream, each: &mut impl FnMut(usize, &str)) {
    for token in stream {
        match token {
            TokenTree::Group(group) => identifiers(group.stream(), each),
            TokenTree::Ident(ident) => each(ident.span().start().line, &ident.to_string()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// `shmBlock`, `ShmBlock`, `SHM_BLOCK` and `shm_block` are made of `shm` and `block`.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for letter in identifier.chars() {
        if letter == '_' || (letter.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if letter != '_' {
            parts.last_mut().expect("there is a part").extend(letter.to_lowercase());
        }
    }
    parts
}

fn second_words(name: &str, source: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let has_epochs = FILES_WITH_EPOCHS.iter().any(|file| name.contains(file));
    let stream: TokenStream = source.parse().expect("a source file is made of tokens");
    identifiers(stream, &mut |line, identifier| {
        let parts = parts(identifier);
        for (second, word) in SECOND_WORDS {
            if parts.iter().any(|part| part.trim_end_matches('s') == *second) {
                wrong.push(format!("{line}: {identifier} is called {word} here"));
            }
        }
        if identifier != "UNIX_EPOCH" && !has_epochs && parts.contains(&"epoch".to_owned()) {
            wrong.push(format!("{line}: {identifier} is called generation here"));
        }
    });
    wrong
}

fn second_phrases(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut allowed = usize::from(name == "README.md");
    for (line, content) in text.lines().enumerate() {
        let content = content.to_lowercase();
        for (second, word) in SECOND_PHRASES {
            if !content.contains(second) {
                continue;
            }
            if *second == "scoreboard" && allowed > 0 {
                allowed -= 1;
                continue;
            }
            wrong.push(format!("{}: {second} is called {word} here", line + 1));
        }
    }
    wrong
}

fn places(_: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    let of = |(line, content): (usize, &str)| {
        let place = PLACES.iter().find(|place| content.contains(**place))?;
        Some(format!("{}: {place} is a place of one machine", line + 1))
    };
    lines.filter_map(of).collect()
}

/// Packages of the lock file that come from elsewhere than crates.io.
fn foreign_sources(_: &str, lock: &str) -> Vec<String> {
    let public = r#"source = "registry+https://github.com/rust-lang/crates.io-index""#;
    let sources = lock.lines().enumerate().filter(|(_, line)| line.starts_with("source = "));
    let foreign = sources.filter(|(_, line)| *line != public);
    foreign.map(|(line, content)| format!("{}: {content}", line + 1)).collect()
}

/// Relative links of a page, outside of code blocks, with their lines.
fn links(page: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut links = Vec::new();
    for (line, content) in page.lines().enumerate() {
        if content.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let targets = content.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let targets = targets.filter(|target| {
            !in_code && !target.contains("://") && !target.starts_with(['#', '<'])
        });
        links.extend(targets.map(|target| (line + 1, target.split('#').next().unwrap_or(target))));
    }
    links
}

fn broken_links(name: &str, page: &str, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let directory = Path::new(name).parent().unwrap_or(Path::new(""));
    let broken = links(page).into_iter().filter(|(_, target)| !exists(&directory.join(target)));
    broken.map(|(line, target)| format!("{line}: no file {target}")).collect()
}

/// What a manifest of a member says by itself instead of taking it from the root.
fn own_settings(manifest: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for setting in ["version", "edition", "rust-version", "license", "publish"] {
        let inherited = format!("{setting}.workspace = true");
        if !manifest.lines().any(|line| line == inherited) {
            wrong.push(format!(" expected {inherited}"));
        }
    }
    if !manifest.contains("[lints]\nworkspace = true") {
        wrong.push(" expected [lints] of the workspace".to_owned());
    }
    let mut section = "";
    for (line, content) in manifest.lines().enumerate() {
        if content.starts_with('[') {
            section = content;
        } else if section.ends_with("dependencies]")
            && content.contains('=')
            && !content.starts_with([' ', '#', ']'])
            && !content.contains("workspace = true")
        {
            wrong.push(format!("{}: {content}: give the version in the root", line + 1));
        }
    }
    wrong
}

/// Why the manifest of the tests has no such test as `file` is, or is a part of: cargo would not run it.
fn undeclared(manifest: &str, file: &str) -> Option<String> {
    let root = match file.split('/').collect::<Vec<_>>()[..] {
        ["tests", room, folder, _, ..] => format!("tests/{room}/{folder}/main.rs"),
        _ => file.to_owned(),
    };
    let name = root.trim_end_matches(".rs").trim_end_matches("/main").rsplit('/').next();
    let name = name.unwrap_or_default();
    let declared = format!("[[test]]\nname = \"{name}\"\npath = \"{root}\"\n");
    (!manifest.contains(&declared)).then(|| format!("tests/{file}: expected {declared:?}"))
}

#[test]
fn no_function_is_longer_than_it_can_be_read() {
    assert_eq!(complaints(&[".rs"], |_, text| Findings::of(text).long), "");
}

#[test]
fn a_long_function_is_found_wherever_it_stands() {
    let body = |lines: usize| "\n    f();".repeat(lines) + "\n}\n";
    assert!(Findings::of(&format!("/// Doc.\nfn a() {{{}", body(68))).long.is_empty());
    for begin in
        ["fn a() {", "mod m { impl A { fn a() {", "trait A { fn a() {", "fn b() { fn a() {"]
    {
        let ends = "}".repeat(begin.matches('{').count() - 1);
        let long = format!("{begin}{}{ends}", body(69));
        assert!(!Findings::of(&long).long.is_empty(), "{begin}");
    }
}

#[test]
fn no_file_outside_tests_is_a_missing_folder() {
    let is_of_tests = |name: &str| name.contains("tests/") && !name.starts_with("tests/src/");
    let rule = |name: &str, text: &str| match text.lines().count() {
        lines if lines > MOST_LINES_OF_A_FILE && !is_of_tests(name) => {
            vec![format!("{lines} lines, at most {MOST_LINES_OF_A_FILE}")]
        }
        _ => vec![],
    };
    assert_eq!(complaints(&[".rs", ".py"], rule), "");
    assert_eq!(rule("proto/src/a.rs", &"\n".repeat(501)).len(), 1);
    assert_eq!(rule("src/segment/src/a.rs", &"\n".repeat(500)).len(), 0);
    assert_eq!(rule("proto/tests/protocol/a.rs", &"\n".repeat(501)).len(), 0);
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    assert_eq!(complaints(&[".rs"], |_, text| Findings::of(text).unexplained), "");
}

#[test]
fn an_unsafe_block_without_a_reason_is_found() {
    let check = |source: &str, expect: usize| {
        assert_eq!(Findings::of(source).unexplained.len(), expect, "{source}");
    };
    check("fn a() {\n    // SAFETY: checked.\n    unsafe { b() }\n}", 0);
    check(
        "fn a() {\n    // SAFETY: checked,\n    // twice.\n    let b =\n        unsafe { b() };\n}",
        0,
    );
    check("// SAFETY: atomics.\nunsafe impl Send for A {}", 0);
    check("fn a() {\n    unsafe { b() }\n}", 1);
    check("fn a() {\n    // Safe.\n    unsafe { b() }\n}", 1);
    check("fn a() {\n    // SAFETY: not for this one.\n    c();\n    unsafe { b() }\n}", 1);
    check("fn a() {\n    let text = \"// SAFETY: no\";\n    unsafe { b() }\n}", 1);
    check("unsafe impl Send for A {}", 1);
    check("fn a() { let text = \"unsafe { b() }\"; }", 0);
}

#[test]
fn nothing_is_left_unfinished_or_not_run() {
    assert_eq!(complaints(&[".rs"], |_, text| Findings::of(text).unfinished), "");
    let doctest = concat!("``", "`ignore");
    let rule = |_: &str, text: &str| match text.contains(doctest) {
        true => vec![" an example that is not run".to_owned()],
        false => vec![],
    };
    assert_eq!(complaints(&[".rs", ".md"], rule), "");
    assert_eq!(rule("", &format!("/// {doctest}\n")).len(), 1);
}

#[test]
fn what_is_unfinished_is_found() {
    let check = |source: &str, expect: usize| {
        assert_eq!(Findings::of(source).unfinished.len(), expect, "{source}");
    };
    check("fn a() { todo!() }", 1);
    check("fn a() { core::unimplemented!(\"later\"); }", 1);
    check("#[test]\n#[ignore]\nfn a() {}", 1);
    check("#[test]\n#[ignore = \"slow\"]\nfn a() {}", 1);
    check("#[test]\n#[ignore = \"not a test: a worker\"]\nfn a() {}", 0);
    check("/// todo!()\nfn todo() { ignore(\"todo!()\") }", 0);
}

#[test]
fn there_is_one_word_for_each_thing() {
    let is_this = |name: &str| name.ends_with("house/tidy.rs");
    let words = |name: &str, text: &str| match is_this(name) {
        true => vec![],
        false => second_words(name, text),
    };
    assert_eq!(complaints(&[".rs"], words), "");
    let phrases = |name: &str, text: &str| match is_this(name) {
        true => vec![],
        false => second_phrases(name, text),
    };
    assert_eq!(complaints(&[".rs", ".md"], phrases), "");
}

#[test]
fn a_second_word_is_found() {
    let words = |name: &str, source: &str| second_words(name, source).len();
    assert_eq!(words("a.rs", "struct ShardMap;"), 1);
    assert_eq!(words("a.rs", "fn last_heartbeat() {}"), 1);
    assert_eq!(words("a.rs", "const REGIONS: u8 = 1;"), 1);
    assert_eq!(words("a.rs", "let epoch = 1;"), 1);
    assert_eq!(words("proto/src/archive.rs", "let epoch = 1;"), 0);
    assert_eq!(words("a.rs", "/// Region.\nfn a() { UNIX_EPOCH; \"shard\"; released(); }"), 0);
    let phrases = |name: &str, text: &str| second_phrases(name, text).len();
    assert_eq!(phrases("a.md", "A Scoreboard.\n"), 1);
    assert_eq!(phrases("README.md", "A scoreboard.\n"), 0);
    assert_eq!(phrases("README.md", "A scoreboard.\nThe scoreboard.\n"), 1);
    assert_eq!(phrases("a.rs", "// Then it is garbage collected."), 1);
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let ends = [".rs", ".md", ".toml", ".lock", ".golden", ".sh", ".yml", "/run"];
    assert_eq!(complaints(&ends, places), "");
    for place in PLACES {
        assert_eq!(places("", &format!("see {place}x")).len(), 1);
    }
}

#[test]
fn every_dependency_comes_from_the_public_registry() {
    assert_eq!(complaints(&["Cargo.lock"], foreign_sources), "");
    let foreign = "source = \"registry+https://crates.example/index\"\n";
    assert_eq!(foreign_sources("", foreign).len(), 1);
    let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    assert_eq!(foreign_sources("", public).len(), 0);
}

#[test]
fn every_relative_link_leads_somewhere() {
    let rule = |name: &str, page: &str| broken_links(name, page, |path| root().join(path).exists());
    assert_eq!(complaints(&[".md"], rule), "");
}

#[test]
fn a_link_to_nowhere_is_found() {
    let page = "[a](b.md#c) [d](https://e.example) [f](#g)\n```\n[h](i.md)\n```\n[j](../k.md)\n";
    let exists = |path: &Path| path == Path::new("docs/b.md");
    assert_eq!(broken_links("docs/a.md", page, exists), ["5: no file ../k.md"]);
    assert_eq!(broken_links("docs/a.md", page, |_| false).len(), 2);
}

#[test]
fn every_file_of_tests_is_declared() {
    let manifest = fs::read_to_string(root().join("tests/Cargo.toml")).expect("our own manifest");
    let files = files(&[".rs"]);
    let tests = files.iter().filter_map(|(name, _)| name.strip_prefix("tests/"));
    let tests: Vec<&str> = tests.filter(|name| name.starts_with("tests/")).collect();
    assert!(tests.len() >= 40, "only {tests:?} were found");
    let complaints: Vec<_> = tests.iter().filter_map(|file| undeclared(&manifest, file)).collect();
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn a_test_that_is_not_declared_is_found() {
    let manifest = "autotests = false\n\n[[test]]\nname = \"b\"\npath = \"tests/a/b.rs\"\n\n\
        [[test]]\nname = \"c\"\npath = \"tests/a/c/main.rs\"\n";
    for (file, expect) in [
        ("tests/a/b.rs", true),
        ("tests/a/c/main.rs", true),
        ("tests/a/c/d.rs", true),
        ("tests/a/c/d/e.rs", true),
        ("tests/a/d.rs", false),
        ("tests/b.rs", false),
        ("tests/d/b.rs", false),
        ("tests/a/e/main.rs", false),
        ("tests/a/e/f.rs", false),
        ("tests/a/b/b.rs", false),
    ] {
        assert_eq!(undeclared(manifest, file).is_none(), expect, "{file}");
    }
}

#[test]
fn every_member_takes_its_settings_from_the_root() {
    let rule = |name: &str, manifest: &str| match name {
        // The root itself, and the rivals, which are no members.
        "Cargo.toml" | "bench/compare/Cargo.toml" => vec![],
        _ => own_settings(manifest),
    };
    assert_eq!(complaints(&["Cargo.toml"], rule), "");
}

#[test]
fn a_member_with_settings_of_its_own_is_found() {
    let good = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
        [dependencies]\nnix = { workspace = true, features = [\n  \"fs\",\n] }\nb.workspace = true\n\
        [lints]\nworkspace = true\n";
    assert_eq!(own_settings(good), [""; 0]);
    for (part, other) in [
        ("version.workspace = true\nedition", "version = \"1.0.0\"\nedition"),
        ("[lints]\nworkspace = true\n", ""),
        ("b.workspace = true", "b = \"1\""),
        ("[dependencies]\n", "[dev-dependencies]\nc = { path = \"c\" }\n"),
    ] {
        assert_eq!(own_settings(&good.replace(part, other)).len(), 1, "{other}");
    }
}
