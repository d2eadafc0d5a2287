//! `tallyboard inspect`: every byte of an arena held against what the protocol says can be there.
//!
//! 1. The object is opened for reading and read by pread. Nothing is mapped, written or locked, and
//!    a hole stays a hole.
//! 2. What is found wrong is a [`Damage`] with its place; the inspection goes on behind it where it
//!    can. Nothing that was read chooses an index, length or allocation before it was checked.
//! 3. A living arena changes meanwhile. Each part is read between two looks at the words that
//!    govern it (the archive's commit word, a slot's state word), as a reader outside does, and
//!    only what is wrong each time is damage.
//!
//! | module | owns |
//! |---|---|
//! | `file` | a file as words |
//! | `catalog` | series logs |
//! | `archive` | the banks, the floors, folded generations |
//! | `lives` | what removals and resets have left in a bank |
//! | `kinds` | cells whose meaning is in their family: states and exemplars |
//! | `slots` | entries of the slot table, and slots |

mod archive;
mod catalog;
mod file;
mod kinds;
mod lives;
mod slots;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::layout::{
    DROP_REASONS, Geometry, GeometryError, LAYOUT_VERSION, Layout, MAGIC, entry, header,
};
use thiserror::Error;

use catalog::Catalog;
use file::{FileWords, Snapshot};

/// Something in an arena that no writer of it wrote.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("byte {offset}: {field}: expected {expected}, found {found}")]
pub struct Damage {
    /// Where it is, in bytes from the start of the object.
    pub offset: u64,
    /// What should be there, by the names of `proto/abi.golden`.
    pub field: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// An object that cannot be inspected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InspectError {
    /// It cannot be opened or read.
    #[error("cannot read {path}: {source}; name an arena of this user, or a file that it may read")]
    Read {
        /// The object.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no file.
    #[error("{path} is no file; name an arena, its object, or a copy of that")]
    NoFile {
        /// The object.
        path: PathBuf,
    },
    /// It is no arena, or one of another layout.
    #[error("{path} is no arena of this release: {damage}; use the release that made it")]
    NoArena {
        /// The object.
        path: PathBuf,
        /// The first word that says so.
        damage: Damage,
    },
}

/// What an arena holds, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// What was read.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes of it that are no holes.
    pub allocated_bytes: u64,
    /// What the header says.
    pub header: HeaderFacts,
    /// What the catalog says.
    pub catalog: CatalogFacts,
    /// The slots that are not free.
    pub slots: Vec<SlotFacts>,
    /// How many slots are free.
    pub free: usize,
    /// What the dead have left.
    pub archive: ArchiveFacts,
    /// Parts that changed each time they were read, so that nothing is known of them.
    pub unsettled: Vec<String>,
    /// What is wrong, in order of its place.
    pub damages: Vec<Damage>,
    /// How much more is wrong that was not written down.
    pub more_damages: u64,
}

/// The header of an arena.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderFacts {
    /// The layout version.
    pub version: u64,
    /// The layout's fingerprint.
    pub fingerprint: u64,
    /// Its sizes; `None` when they are none, and then nothing else was looked at.
    pub geometry: Option<Geometry>,
    /// Random number of the arena.
    pub arena_id: u64,
    /// The kernel's boot id.
    pub boot_id: [u64; 2],
    /// Inode of the pid namespace of supervisor and keeper.
    pub pid_namespace: u64,
    /// Who keeps it.
    pub keeper_pid: u64,
    /// Uid of the supervisor.
    pub uid: u64,
    /// Nanoseconds of Unix time at which CLOCK_MONOTONIC was 0.
    pub unix_offset_ns: u64,
}

/// The catalog of an arena.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogFacts {
    /// Words that are committed.
    pub words: u64,
    /// Families.
    pub families: u64,
    /// Series.
    pub series: u64,
    /// Cells that the series own.
    pub cells: u64,
    /// Bytes behind the commit word that a writer stored and never committed.
    pub uncommitted_bytes: u64,
}

/// A slot that is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotFacts {
    /// Its number.
    pub slot: usize,
    /// Its generation.
    pub generation: u64,
    /// The name of its state.
    pub state: &'static str,
    /// Pid of its worker, as the supervisor sees it; 0 when it cannot.
    pub pid: u64,
    /// Uid of its worker.
    pub uid: u64,
    /// When it was assigned, in milliseconds of Unix time.
    pub attached_at_ms: u64,
    /// Whether its worker has begun to write.
    pub has_begun: bool,
    /// Whether the archive has it: it is being scrubbed, or was quarantined.
    pub is_folded: bool,
    /// Words of the catalog that it took over.
    pub prefix: u64,
    /// Words of its own log.
    pub log_words: u64,
    /// Series of its own log.
    pub series: u64,
    /// What its log says of series after they began: removals, resets and the like.
    pub removals: u64,
    /// Cells that its series own, those of the prefix included.
    pub cells: u64,
    /// What its worker could not count, by reason.
    pub dropped: [u64; DROP_REASONS],
    /// Bytes behind the commit word of its log that were stored and never committed.
    pub uncommitted_bytes: u64,
}

/// The archive of an arena: its active bank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveFacts {
    /// How often it was committed: by folds, and by removals and resets.
    pub folds: u64,
    /// Which bank counts.
    pub bank: usize,
    /// Cells it holds.
    pub cells: u64,
    /// How many lives of slots are in it.
    pub lives: u64,
    /// Dead rows of gauges of mode `all`.
    pub rows: u64,
    /// Dead rows that fell out of the ring.
    pub rows_dropped: u64,
    /// What the dead could not count, by reason.
    pub dropped: [u64; DROP_REASONS],
    /// Floats that were exposed and do not fall any more.
    pub floors: u64,
    /// Series that a worker has removed, the hidden ones among them.
    pub removed: u64,
    /// Series that are not exposed: no worker holds them any more.
    pub hidden: u64,
    /// Series that began anew after a reset or a removal.
    pub renewed: u64,
}

/// Damages that are written down; a file that is no arena behind its header has very many.
const MOST_DAMAGES: usize = 1000;
/// How often a part is read that changes each time.
const MOST_ATTEMPTS: u32 = 500;
/// How often a part is read in which something is wrong, though what governs it stood still.
const CONFIRMATIONS: u32 = 4;

/// Inspects the arena whose object is at `path`.
///
/// # Errors
/// [`InspectError`] when it cannot be read or is no arena of this layout.
pub fn inspect(path: &Path) -> Result<Inspection, InspectError> {
    let read = |source| InspectError::Read { path: path.to_owned(), source };
    // A pipe would wait for a writer, so the kind is looked at before it is opened.
    if !std::fs::metadata(path).map_err(read)?.is_file() {
        return Err(InspectError::NoFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    let words = FileWords::new(file, metadata.len());
    let mut findings = Findings::default();
    let header = words.all(0..header::WORDS);
    if let Some(error) = words.failure() {
        return Err(read(error));
    }
    recognise(&header).map_err(|damage| InspectError::NoArena { path: path.to_owned(), damage })?;
    let mut inspection = Inspection {
        path: path.to_owned(),
        bytes: metadata.len(),
        allocated_bytes: metadata.blocks() * 512,
        header: check_header(&header, &mut findings),
        catalog: CatalogFacts::default(),
        slots: Vec::new(),
        free: 0,
        archive: ArchiveFacts::default(),
        unsettled: Vec::new(),
        damages: Vec::new(),
        more_damages: 0,
    };
    if let Some(geometry) = inspection.header.geometry {
        check_parts(&words, &Layout::new(geometry), &mut inspection, &mut findings);
    }
    if let Some(error) = words.failure() {
        return Err(read(error));
    }
    findings.damages.sort_by_key(|damage| damage.offset);
    (inspection.damages, inspection.more_damages) = (findings.damages, findings.more);
    Ok(inspection)
}

/// Says whether words are an arena's: two of the first three must be right, so that damage to one
/// of them is damage, and another layout is another layout.
fn recognise(words: &[u64]) -> Result<(), Damage> {
    let wrong: Vec<Damage> = FIRST_WORDS
        .into_iter()
        .filter(|(_, at, expected)| words[*at] != *expected)
        .map(|(field, at, expected)| damage_at(at, field, hex(expected), hex(words[at])))
        .collect();
    if wrong.len() > 1 { Err(wrong[0].clone()) } else { Ok(()) }
}

const FIRST_WORDS: [(&str, usize, u64); 3] = [
    ("header.magic", header::MAGIC, MAGIC),
    ("header.version", header::VERSION, LAYOUT_VERSION),
    ("header.fingerprint", header::FINGERPRINT, FINGERPRINT),
];

fn check_header(words: &[u64], findings: &mut Findings) -> HeaderFacts {
    for (field, at, expected) in FIRST_WORDS {
        findings.check(words[at] == expected, at, field, || hex(expected), || hex(words[at]));
    }
    let id = words[header::ARENA_ID];
    findings.check(id != 0, header::ARENA_ID, "header.arena_id", || "any but 0".into(), || hex(id));
    for (field, at, most) in [
        ("header.pid_namespace", header::PID_NAMESPACE, u64::from(u32::MAX)),
        ("header.keeper_pid", header::KEEPER_PID, MOST_PID),
        ("header.uid", header::UID, u64::from(u32::MAX)),
        ("header.unix_offset", header::UNIX_OFFSET, MOST_NS),
    ] {
        findings.at_most(at, || field.to_owned(), most, words[at]);
    }
    let known = |at: usize| {
        at <= header::UNIX_OFFSET || at == header::ARCHIVE_COMMIT || at == header::CATALOG_COMMIT
    };
    for at in (0..header::WORDS).filter(|at| !known(*at)) {
        let field = format!("header.reserved[{at}]");
        findings.check(words[at] == 0, at, &field, || "0".into(), || hex(words[at]));
    }
    let sizes = std::array::from_fn(|at| words[header::GEOMETRY + at]);
    let geometry = Geometry::from_words(sizes);
    if let Err(GeometryError::OutOfRange { name, min, max, found }) = &geometry {
        let at = GEOMETRY_NAMES.iter().position(|known| known == name).unwrap_or(0);
        let field = || format!("header.geometry.{}", name.replace(' ', "_"));
        findings.add(header::GEOMETRY + at, field, format!("from {min} to {max}"), found);
    }
    HeaderFacts {
        version: words[header::VERSION],
        fingerprint: words[header::FINGERPRINT],
        geometry: geometry.ok(),
        arena_id: id,
        boot_id: [words[header::BOOT_ID_HIGH], words[header::BOOT_ID_LOW]],
        pid_namespace: words[header::PID_NAMESPACE],
        keeper_pid: words[header::KEEPER_PID],
        uid: words[header::UID],
        unix_offset_ns: words[header::UNIX_OFFSET],
    }
}

/// The sizes of a geometry in the order of their words, as its errors name them.
const GEOMETRY_NAMES: [&str; Geometry::WORDS] =
    ["slots", "cells", "log words", "ring rows", "row cells", "unit"];
/// The greatest pid that a process can have.
const MOST_PID: u64 = i32::MAX as u64;
/// The latest time that is believed, in nanoseconds, which the kernel counts as signed: the year
/// 2262.
const MOST_NS: u64 = i64::MAX as u64;
/// The latest time that is believed in milliseconds: the year 10889.
const MOST_MS: u64 = 1 << 48;

/// Everything behind the header.
fn check_parts(
    words: &FileWords,
    layout: &Layout,
    inspection: &mut Inspection,
    findings: &mut Findings,
) {
    let expected = (layout.arena_words() * size_of::<u64>()) as u64;
    if inspection.bytes != expected {
        findings.damages.push(Damage {
            offset: inspection.bytes.min(expected),
            field: "size".to_owned(),
            expected: format!("{expected} bytes, as the geometry in bytes 24 to 71 says"),
            found: format!("{} bytes", inspection.bytes),
        });
    }
    let end_of_table = layout.table + layout.geometry.slots * entry::WORDS;
    let behind = words.snapshot(end_of_table..layout.catalog);
    findings.zero(&behind, end_of_table..layout.catalog, || "table.padding".to_owned());
    let read = |findings: &mut Findings| (Catalog::read(words, layout, findings), true);
    let Some((mut catalog, facts)) = settled("catalog", inspection, findings, read) else {
        return;
    };
    inspection.catalog = facts;
    let read = |findings: &mut Findings| archive::check(words, layout, &mut catalog, findings);
    if let Some(facts) = settled("archive", inspection, findings, read) {
        inspection.archive = facts;
    }
    let mut logs = slots::Logs::default();
    for slot in 0..layout.geometry.slots {
        let mut look = slots::Look {
            words,
            layout,
            slot,
            arena_id: inspection.header.arena_id,
            catalog: &mut catalog,
            logs: &mut logs,
        };
        let read = |findings: &mut Findings| look.check(findings);
        match settled(&format!("slot {slot}"), inspection, findings, read) {
            Some(Some(taken)) => inspection.slots.push(taken),
            Some(None) => inspection.free += 1,
            None => {}
        }
    }
}

/// Reads a part until it is sound, or wrong in the same places each time although what governs it
/// stood still. `attempt` gives what it read and whether it stood still.
fn settled<T>(
    part: &str,
    inspection: &mut Inspection,
    findings: &mut Findings,
    mut attempt: impl FnMut(&mut Findings) -> (T, bool),
) -> Option<T> {
    let mut always: Option<BTreeSet<(u64, String)>> = None;
    let mut confirmed = 0;
    for number in 0..MOST_ATTEMPTS {
        let mut found = Findings::default();
        let (read, stood_still) = attempt(&mut found);
        if stood_still {
            confirmed += 1;
            let now = found.damages.iter().map(|d| (d.offset, d.field.clone())).collect();
            let both = match always.take() {
                None => now,
                Some(before) => before.intersection(&now).cloned().collect(),
            };
            if both.is_empty() || confirmed == CONFIRMATIONS {
                found.damages.retain(|d| both.contains(&(d.offset, d.field.clone())));
                findings.more += if both.is_empty() { 0 } else { found.more };
                findings.take(found.damages);
                return Some(read);
            }
            always = Some(both);
        }
        // The first attempts follow at once; later ones leave the writer time to finish.
        std::thread::sleep(Duration::from_micros(if number < 20 { 100 } else { 1000 }));
    }
    inspection.unsettled.push(part.to_owned());
    None
}

/// What was found wrong so far.
#[derive(Debug, Default)]
struct Findings {
    damages: Vec<Damage>,
    more: u64,
}

impl Findings {
    fn is_empty(&self) -> bool {
        self.damages.is_empty()
    }

    fn take(&mut self, damages: Vec<Damage>) {
        let room = MOST_DAMAGES.saturating_sub(self.damages.len());
        self.more += damages.len().saturating_sub(room) as u64;
        self.damages.extend(damages.into_iter().take(room));
    }

    /// Notes what is wrong in word `at`.
    fn add(
        &mut self,
        at: usize,
        field: impl FnOnce() -> String,
        expected: impl Display,
        found: impl Display,
    ) {
        if self.damages.len() >= MOST_DAMAGES {
            self.more += 1;
            return;
        }
        self.damages.push(damage_at(at, &field(), expected.to_string(), found.to_string()));
    }

    fn check(
        &mut self,
        is_right: bool,
        at: usize,
        field: &str,
        expected: impl FnOnce() -> String,
        found: impl FnOnce() -> String,
    ) {
        if !is_right {
            self.add(at, || field.to_owned(), expected(), found());
        }
    }

    fn at_most(
        &mut self,
        at: usize,
        field: impl FnOnce() -> String,
        most: u64,
        found: u64,
    ) -> bool {
        if found > most {
            self.add(at, field, format!("at most {most}"), found);
        }
        found <= most
    }

    /// Notes the first byte of `range` that is not 0, and how many words there are.
    fn zero(&mut self, words: &Snapshot, range: Range<usize>, field: impl FnOnce() -> String) {
        if range.is_empty() {
            return;
        }
        let mut set = words.set(range);
        let Some((at, word)) = set.next() else { return };
        let found = match set.count() {
            0 => hex(word),
            more => format!("{} and {more} more words", hex(word)),
        };
        let known = self.damages.len();
        self.add(at, field, "zeros", found);
        if let Some(damage) = self.damages.get_mut(known) {
            damage.offset += u64::from(word.trailing_zeros() / 8);
        }
    }
}

fn damage_at(at: usize, field: &str, expected: String, found: String) -> Damage {
    Damage { offset: (at * size_of::<u64>()) as u64, field: field.to_owned(), expected, found }
}

fn hex(word: u64) -> String {
    format!("{word:#018x}")
}
