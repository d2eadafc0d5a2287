//! The whole of an arena: its header, and part after part.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::layout::{
    Geometry, GeometryError, LAYOUT_VERSION, Layout, MAGIC, entry, header,
};
use thiserror::Error;

use super::archive;
use super::catalog::Catalog;
use super::facts::{ArchiveFacts, CatalogFacts, Damage, HeaderFacts, Inspection};
use super::file::FileWords;
use super::findings::{Findings, MOST_PID, damage_at, hex};
use super::slots;

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
    ["slots", "cells", "log words", "ring rows", "row cells", "unit", "lanes"];
/// The latest time that is believed, in nanoseconds, which the kernel counts as signed: the year
/// 2262.
const MOST_NS: u64 = i64::MAX as u64;
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
            expected: format!("{expected} bytes, as the geometry in bytes 24 to 79 says"),
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
