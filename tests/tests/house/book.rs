//! The pages that users read: what they link to is there, what they show is run or says that it is
//! not, and the tables that repeat a table of the code have its rows.
//!
//! A block of commands or of a file has a comment above it: `run:` with the names of the tests that run
//! it, or `not run:` with the reason. Blocks of Rust have none: they are examples that
//! run, because `tests/src/lib.rs` includes their page.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use tallyboard_bridges::export::figures::Figures;
use tallyboard_exposition::sample::Type;
use tallyboard_supervisor::own::{Own, SERVICE_TABLE, TABLE};
use tallyboard_tests::build::{root, tallyboard};

/// The book, and the pages in front of it.
const BOOK: &str = "docs";
const FRONT: [&str; 3] = ["README.md", "CONTRIBUTING.md", "SECURITY.md"];
/// Other pages of the repository, whose links are followed too.
const INSIDE: [&str; 5] = [
    "CHANGELOG.md",
    "findings/README.md",
    "proto/README.md",
    "src/README.md",
    "src/python/README.md",
];

/// A page and what stands in it.
#[derive(Debug, Default)]
struct Page {
    /// Anchors of the headings.
    anchors: BTreeSet<String>,
    /// Targets of links and pictures.
    links: Vec<String>,
    blocks: Vec<Block>,
}

/// A block of code, with what the comment above it says.
#[derive(Debug, Default)]
struct Block {
    language: String,
    text: String,
    comment: String,
}

impl Page {
    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let (mut heading, mut block) = (None::<String>, None::<Block>);
        let mut comment = String::new();
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.anchor(&heading.take().expect("a heading began"));
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.into_string(),
                        CodeBlockKind::Indented => "indented".to_owned(),
                    };
                    let comment = std::mem::take(&mut comment);
                    block = Some(Block { language, comment, ..Block::default() });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::HtmlBlock) => comment.clear(),
                Event::Html(html) => comment.push_str(&html),
                Event::End(TagEnd::HtmlBlock) => {}
                Event::Text(text) => match (&mut heading, &mut block) {
                    (Some(heading), _) => heading.push_str(&text),
                    (_, Some(block)) => block.text.push_str(&text),
                    _ => {}
                },
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&code);
                    }
                }
                Event::Start(_) => comment.clear(),
                _ => {}
            }
        }
        page
    }

    /// Adds the anchor of a heading, as mdBook and the hosting platforms write it.
    fn anchor(&mut self, heading: &str) {
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        assert!(self.anchors.insert(anchor), "two headings of a page are called {heading:?}");
    }
}

impl Block {
    /// What is wrong with the comment above it, given what there is to run.
    fn complaint(&self, is_test: impl Fn(&str) -> bool) -> Option<String> {
        if self.language.starts_with("rust") || self.language == "text" {
            return None;
        }
        let begin = self.text.lines().next().unwrap_or_default();
        let comment = self.comment.trim();
        let said = comment.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
        let said = said.unwrap_or_default().trim();
        if let Some(tests) = said.strip_prefix("run:") {
            let mut tests = tests.split_whitespace();
            let missing = tests.find(|test| !is_test(test));
            return missing.map(|test| format!("{begin:?}: there is no test {test}"));
        }
        match said.strip_prefix("not run:") {
            Some(reason) if !reason.trim().is_empty() => None,
            _ => Some(format!("{begin:?}: no comment says which test runs it, or why none does")),
        }
    }
}

/// Names of all tests, in Rust and in Python, wherever their files stand.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["tests", "src", "proto"] {
        walk(&root().join(folder), &mut |path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            match path.extension().and_then(|end| end.to_str()) {
                Some("rs") => names.extend(marked(&text)),
                Some("py") => names.extend(text.lines().filter_map(|line| name(line, "def test_"))),
                _ => {}
            }
        });
    }
    names
}

/// The functions of a source that are marked as tests.
fn marked(source: &str) -> Vec<String> {
    let mut is_marked = false;
    let mut names = Vec::new();
    for line in source.lines().map(str::trim_start) {
        is_marked |= line.starts_with("#[test]");
        if let Some(name) = name(line, "fn ") {
            names.extend(is_marked.then_some(name));
            is_marked = false;
        }
    }
    names
}

/// What the function of a line is called, if its line begins so.
fn name(line: &str, begin: &str) -> Option<String> {
    let keyword = begin.split_inclusive(' ').next()?;
    let name =
        line.starts_with(begin).then(|| line[keyword.len()..].split(['(', '<']).next())??;
    Some(name.to_owned())
}

fn walk(folder: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a folder of the repository is readable") {
        let path = entry.expect("an entry is readable").path();
        match path.is_dir() {
            true => walk(&path, each),
            false => each(&path),
        }
    }
}

/// The pages of the book by their paths from the root.
fn book() -> BTreeMap<String, Page> {
    let entries = fs::read_dir(root().join(BOOK)).expect("the book is there");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().unwrap());
    let pages = names.filter(|name| name.ends_with(".md"));
    pages.map(|name| format!("{BOOK}/{name}")).map(|path| (path.clone(), read(&path))).collect()
}

fn read(path: &str) -> Page {
    Page::parse(&fs::read_to_string(root().join(path)).expect(path))
}

fn all() -> BTreeMap<String, Page> {
    let others = FRONT.into_iter().chain(INSIDE).map(|path| (path.to_owned(), read(path)));
    book().into_iter().chain(others).collect()
}

/// A relative path, seen from the folder of a page, from the root.
fn joined(page: &str, target: &str) -> PathBuf {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

/// Links of the pages that lead nowhere.
fn broken(pages: &BTreeMap<String, Page>, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, page) in pages {
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { PathBuf::from(name) } else { joined(name, file) };
            let known = pages.get(path.to_str().unwrap_or_default());
            let has_anchor = || known.is_some_and(|page| page.anchors.contains(anchor));
            if !exists(&path) || (!anchor.is_empty() && !has_anchor()) {
                broken.push(format!("{name}: nothing is at {link}"));
            }
            // The book is read by itself, too.
            if name.starts_with(BOOK) && !path.starts_with(BOOK) {
                broken.push(format!("{name}: {link} leads out of the book"));
            }
        }
    }
    broken
}

#[test]
fn every_link_leads_to_a_page_and_to_a_heading() {
    assert_eq!(broken(&all(), |path| root().join(path).exists()), [""; 0]);
}

#[test]
fn a_link_to_nothing_is_found() {
    let broken = |of_a: &str, of_readme: &str| {
        let pages =
            [("docs/a.md", of_a), ("docs/b.md", "# One `two`-3\n"), ("README.md", of_readme)];
        let pages = pages.map(|(name, text)| (name.to_owned(), Page::parse(text)));
        broken(&pages.into(), |path| path.starts_with("docs") && path.ends_with("b.md")).len()
    };
    assert_eq!(broken("[b](b.md) [b](./b.md#one-two-3) [out](https://e.example)\n", ""), 0);
    assert_eq!(broken("", "[b](docs/b.md#one-two-3)\n"), 0);
    assert_eq!(broken("[b](c.md)\n", ""), 1, "no file");
    assert_eq!(broken("[b](b.md#one)\n", ""), 1, "no heading");
    assert_eq!(broken("![b](c.svg)\n", ""), 1, "no picture");
    assert_eq!(broken("", "[b][c]\n\n[c]: docs/b.md#four\n"), 1, "no heading");
    assert_eq!(broken("[b](../src/b.md)\n", ""), 2, "no file, and out of the book");
}

#[test]
fn every_page_of_the_book_is_in_its_summary_once() {
    let pages = book();
    let mut listed = pages["docs/SUMMARY.md"].links.clone();
    let known: BTreeSet<&str> = pages
        .keys()
        .map(|path| &path["docs/".len()..])
        .filter(|name| *name != "SUMMARY.md")
        .collect();
    listed.sort();
    assert_eq!(listed, Vec::from_iter(known));
}

#[test]
fn what_is_shown_is_run_or_says_that_it_is_not() {
    let mut complaints = Vec::new();
    let tests = tests();
    for (name, page) in book().into_iter().chain(FRONT.map(|path| (path.to_owned(), read(path)))) {
        let of_blocks =
            page.blocks.iter().filter_map(|block| block.complaint(|test| tests.contains(test)));
        complaints.extend(of_blocks.map(|complaint| format!("{name}: {complaint}")));
    }
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn a_block_that_nobody_runs_is_found() {
    let check = |text: &str, expect: bool| {
        let page = Page::parse(text);
        let complaints =
            page.blocks.iter().filter_map(|block| block.complaint(|test| test == "ab"));
        assert_eq!(complaints.count() == 0, expect, "{text}");
    };
    let block = "```sh\nls\n```\n";
    check(block, false);
    check(&format!("<!-- run: ab -->\n{block}"), true);
    check(&format!("<!-- run: ab\nac -->\n{block}"), false);
    check(&format!("<!-- not run: it takes an hour -->\n{block}"), true);
    check(&format!("<!-- not run: -->\n{block}"), false);
    check(&format!("<!-- run: ab -->\n{block}\nText.\n\n{block}"), false);
    check("    ls\n", false);
    check("```rust\nlet a = 1;\n```\n", true);
}

#[test]
fn every_page_with_examples_in_rust_is_run() {
    let runs = fs::read_to_string(root().join("tests/src/lib.rs")).expect("the examples");
    let has_rust = |page: &Page| page.blocks.iter().any(|block| block.language.starts_with("rust"));
    let pages = book().into_iter().chain([("README.md".to_owned(), read("README.md"))]);
    for (name, page) in pages {
        let included = runs.contains(&format!("include_str!(\"../../{name}\")"));
        assert_eq!(included, has_rust(&page), "{name}");
    }
}

#[test]
fn only_what_is_marked_as_a_test_is_one() {
    let source = "fn a() {}\n#[test]\nfn b() {}\nfn c() {}\n    #[test]\n    #[x]\n    fn d() {}\n";
    assert_eq!(marked(source), ["b", "d"]);
    assert_eq!(name("def test_a(board):", "def test_"), Some("test_a".to_owned()));
    assert_eq!(name("def a(board):", "def test_"), None);
}

/// A table of metrics as the book has it.
fn rows<'a>(metrics: impl IntoIterator<Item = (&'a str, Type, Vec<&'a str>, &'a str)>) -> String {
    let row = |(name, kind, labels, help): (&str, Type, Vec<&str>, &str)| {
        let total = if kind == Type::Counter { "_total" } else { "" };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{kind:?}").to_lowercase();
        format!("| `{name}{total}` | {kind} | {} | {help} |\n", labels.join(", "))
    };
    metrics.into_iter().map(row).collect()
}

fn of_table(table: &'static [Own]) -> String {
    rows(table.iter().map(|own| (own.name, own.kind, Vec::from_iter(own.label), own.help)))
}

#[test]
fn the_tables_of_metrics_are_those_of_the_code() {
    let page = fs::read_to_string(root().join("docs/metrics.md")).expect("the page");
    let exports = Figures::new("otlp").families();
    let exports = exports.iter().map(|f| (&*f.name, f.kind, vec!["target"], &*f.help));
    for table in [of_table(TABLE), of_table(SERVICE_TABLE), rows(exports)] {
        assert!(page.contains(&table), "docs/metrics.md should have these rows:\n{table}");
    }
}

/// The flags of a verb of the program, as its help has them.
fn flags(verb: &str) -> BTreeSet<String> {
    let help =
        Command::new(tallyboard()).args([verb, "--help"]).output().expect("the program runs");
    assert!(help.status.success(), "tallyboard {verb} --help");
    let help = String::from_utf8(help.stdout).expect("the help is text");
    let words = help.split_whitespace().filter(|word| word.starts_with("--"));
    let name = |word: &str| word.trim_end_matches(|c: char| !c.is_alphanumeric()).to_owned();
    words.map(|word| name(word.split('=').next().unwrap_or(word))).collect()
}

/// Command lines of a block, of which one may be of several lines.
fn commands(text: &str) -> Vec<String> {
    text.replace("\\\n", " ").lines().map(|line| line.trim_start_matches("$ ").to_owned()).collect()
}

/// Verb and flags of each `tallyboard` in a command line.
fn calls(command: &str) -> Vec<(String, Vec<String>)> {
    let mut words = command.split_whitespace().skip_while(|word| !word.ends_with("tallyboard"));
    if words.next().is_none() || command.trim_start().starts_with("#") {
        return Vec::new();
    }
    let Some(verb) = words.next().filter(|verb| verb.chars().all(char::is_alphabetic)) else {
        return Vec::new();
    };
    let own = words.take_while(|word| *word != "--" && *word != "|" && *word != "&");
    let flags = own.filter(|word| word.starts_with("--"));
    let flags = flags.map(|flag| flag.split('=').next().unwrap_or(flag).to_owned());
    vec![(verb.to_owned(), flags.collect())]
}

#[test]
fn commands_that_are_shown_have_flags_that_the_program_knows() {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut seen = 0;
    for (name, page) in book().into_iter().chain([("README.md".to_owned(), read("README.md"))]) {
        let shell = |block: &&Block| ["sh", "console", "ini"].contains(&&*block.language);
        let lines = page.blocks.iter().filter(shell).flat_map(|block| commands(&block.text));
        for (verb, used) in lines.flat_map(|line| calls(&line)) {
            let flags = known.entry(verb.clone()).or_insert_with(|| flags(&verb));
            for flag in used {
                assert!(flags.contains(&flag), "{name}: tallyboard {verb} has no {flag}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen} flags were found");
}

#[test]
fn calls_are_found_in_commands() {
    let check = |command: &str, expect: &[&str]| {
        let found = calls(command).into_iter().map(|(verb, flags)| [vec![verb], flags].concat());
        assert_eq!(found.flatten().collect::<Vec<_>>(), expect, "{command}");
    };
    check("tallyboard exec --a 1 --b=2 -- gunicorn --c", &["exec", "--a", "--b"]);
    check("TALLYBOARD=x /bin/tallyboard ls | grep --d", &["ls"]);
    check("ExecStart=/bin/tallyboard serve --name shop", &["serve", "--name"]);
    check("pip install tallyboard-*.whl", &[]);
    check("# /etc/tallyboard x", &[]);
    assert_eq!(commands("$ a \\\n  --b\nc\n"), ["a    --b", "c"]);
}
