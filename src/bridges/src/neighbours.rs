//! The other files in the directory of a text file. An exporter makes one page of all of them, and of two
//! that describe a family differently it shows one: the other's series are missing, and what the exporter
//! says of errors may stay 0.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use tallyboard_exposition::clash::own_suffix;
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Limits, Options, parse};
use tallyboard_exposition::sample::FamilySamples;
use tallyboard_exposition::text::kind_name;

/// Bytes of a file that is looked at.
const MOST_BYTES: usize = 16 << 20;
/// Files of a directory that are looked at.
const MOST_FILES: usize = 1000;

/// A family that another file in the directory describes differently.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Differing {
    /// Name of the metric.
    pub metric: String,
    /// The other file.
    pub file: PathBuf,
    /// What differs: TYPE or HELP.
    pub line: &'static str,
    /// What this file says, and the other one; nothing when it has no such line.
    pub texts: [String; 2],
}

impl fmt::Display for Differing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, line, texts: [here, there], .. } = self;
        let file = self.file.display();
        write!(out, "{line} of {metric} is {here:?} here and {there:?} in {file}")
    }
}

/// What the families of a page are, by the name that they have there.
type Descriptions = HashMap<String, [(&'static str, String); 2]>;

/// Where the page of a file differs from the other files that are read with it, by name of the metric.
/// What cannot be read differs in nothing.
pub(crate) fn differing(path: &Path, page: &[u8]) -> Vec<Differing> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(parent.unwrap_or(Path::new("."))) else { return Vec::new() };
    let own = descriptions(page);
    let others = entries.flatten().map(|entry| entry.path());
    let is_read = |other: &PathBuf| {
        other.extension() == Some(OsStr::new("prom")) && other.file_name() != path.file_name()
    };
    let mut all = Vec::new();
    for file in others.filter(is_read).take(MOST_FILES) {
        let is_small = fs::metadata(&file)
            .is_ok_and(|found| found.is_file() && found.len() <= MOST_BYTES as u64);
        let Some(text) = is_small.then(|| fs::read(&file).ok()).flatten() else { continue };
        let theirs = descriptions(&text);
        for (metric, lines) in &own {
            let pairs = theirs.get(metric).into_iter().flat_map(|theirs| lines.iter().zip(theirs));
            let differing = pairs.filter(|((_, here), (_, there))| here != there);
            all.extend(differing.map(|((line, here), (_, there))| Differing {
                metric: metric.clone(),
                file: file.clone(),
                line,
                texts: [here.clone(), there.clone()],
            }));
        }
    }
    all.sort();
    all
}

fn descriptions(page: &[u8]) -> Descriptions {
    let limits = Limits { bytes: MOST_BYTES, ..Limits::default() };
    let options = Options { limits, exact: true };
    let families = parse(page, Format::Text004, &options).unwrap_or_default();
    let description = |family: FamilySamples| {
        let name = format!("{}{}", family.name, own_suffix(&family));
        (name, [("TYPE", kind_name(family.kind).to_owned()), ("HELP", family.help)])
    };
    // Nobody sees a family without samples.
    let seen = families.into_iter().filter(|family| !family.samples.is_empty());
    seen.map(description).collect()
}
