//! Series logs: the catalog, and what all logs are checked for.

use std::ops::Range;
use std::sync::atomic::Ordering::Acquire;

use tallyboard_proto::cell::{CellKind, Shape};
use tallyboard_proto::family::Family;
use tallyboard_proto::layout::{Layout, LogArea};
use tallyboard_proto::log::{self, Contents, LogError, MAX_RECORD_WORDS, Record};
use tallyboard_proto::word::Words;

use super::facts::CatalogFacts;
use super::file::{FileWords, Snapshot};
use super::findings::{Findings, MOST_MS};

/// The catalog, as far as it was read.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) contents: Contents,
    /// Whether a record or the commit word is none; then nobody knows what comes behind.
    pub(super) is_damaged: bool,
}

/// The words of a log up to its commit word, and what stands behind it.
pub(super) struct LogWords {
    pub(super) words: Vec<u64>,
    /// How many words the commit word says there are.
    pub(super) committed: usize,
    /// Bytes behind the commit word that a writer stored and never committed.
    pub(super) uncommitted: u64,
}

impl LogWords {
    /// Where each removal ends, in words from the start of the log; none of a log that is damaged.
    pub(super) fn removal_ends(&self) -> Vec<usize> {
        let parts = log::take_apart(&self.words, 0).unwrap_or_default();
        parts.removals.iter().map(|(end, _)| *end).collect()
    }

    /// How many removals there are.
    pub(super) fn removals(&self) -> u64 {
        self.removal_ends().len() as u64
    }
}

/// Reads a log. `section` is all that belongs to it, its padding included; `name` is what it is
/// called in a finding.
pub(super) fn read_log(
    words: &FileWords,
    area: LogArea,
    section: Range<usize>,
    name: &str,
    findings: &mut Findings,
) -> LogWords {
    // What stands behind is read before the commit word: what is committed in between is not
    // taken for what never was.
    let behind = words.snapshot(section.clone());
    // Acquire: LOG-COMMIT.
    let found = words.load(area.commit, Acquire);
    let committed = usize::try_from(found).unwrap_or(usize::MAX);
    if committed > area.words {
        let expected = format!("at most {}", area.words);
        findings.add(area.commit, || format!("{name}.commit"), expected, found);
        return LogWords { words: Vec::new(), committed: area.words, uncommitted: 0 };
    }
    // A damaged commit word may claim more than was ever stored. Zeros are no record, so a parser
    // that has the longest record's worth of them ends there.
    let end = area.start + committed;
    let stored = words.data_end(area.start..end) + MAX_RECORD_WORDS;
    let log = words.all(area.start..end.min(stored));
    let last = behind.set(end..area.start + area.words).last().map_or(end, |(at, _)| at + 1);
    // Behind the commit word there is at most the record of a writer that was killed.
    let most = (end + MAX_RECORD_WORDS).min(area.start + area.words);
    findings.zero(&behind, most..section.end, || format!("{name}.padding"));
    LogWords { words: log, committed, uncommitted: ((last - end) * size_of::<u64>()) as u64 }
}

/// What was expected and what was found.
pub(super) type Wrong = (String, String);

/// Parses one record of a worker behind `contents` and takes it in; gives its length.
pub(super) fn take(contents: &mut Contents, rest: &[u64], at: usize) -> Result<usize, Wrong> {
    let (record, length) = parse(contents, rest, at)?;
    check_told(&record)?;
    contents.push(record, length).map_err(|error| explain(&error))?;
    Ok(length)
}

fn parse(contents: &Contents, rest: &[u64], at: usize) -> Result<(Record, usize), Wrong> {
    let labels = |family: u32| contents.families().get(family as usize).map(Family::values);
    Record::parse(rest, at, labels).map_err(|error| explain(&error))
}

/// Checks what a worker says in a record that parses: when.
fn check_told(record: &Record) -> Result<(), Wrong> {
    let told_ms = match record {
        Record::Series { created_ms, .. } => *created_ms,
        Record::Removal(removal) => removal.at_ms,
        Record::Family(_) | Record::Gap { .. } => 0,
    };
    if told_ms > MOST_MS {
        return Err((format!("a time up to {MOST_MS} ms"), format!("{told_ms} ms")));
    }
    Ok(())
}

/// What was expected and what was found, of a log that does not parse.
fn explain(error: &LogError) -> Wrong {
    match error {
        LogError::Length { most, found, .. } => {
            (format!("a record of 1 to {most} words"), format!("{found} words"))
        }
        LogError::Unknown { what, found, .. } => {
            (format!("a known {what} of a record"), found.to_string())
        }
        LogError::Payload { what, .. } => (format!("a whole {what}"), "a damaged one".to_owned()),
        LogError::Family { source, .. } => ("a family".to_owned(), source.to_string()),
        LogError::Series { family, found, .. } => {
            ("a series of a family before it".to_owned(), format!("{found} values of {family}"))
        }
        LogError::Value { expected, found, .. } => ((*expected).to_owned(), format!("{found:?}")),
        LogError::Cells { needed, limit, .. } => {
            (format!("cells up to {limit}"), format!("cells up to {needed}"))
        }
        LogError::Removal { series, expected: 0, .. } => {
            ("a series before it".to_owned(), format!("a removal of series {series}"))
        }
        LogError::Removal { series, expected, found, .. } => {
            (format!("{expected} cells of series {series}"), format!("{found} cells"))
        }
        other => ("a record".to_owned(), other.to_string()),
    }
}

impl Catalog {
    /// Reads and checks the whole catalog.
    pub(super) fn read(
        words: &FileWords,
        layout: &Layout,
        findings: &mut Findings,
    ) -> (Self, CatalogFacts) {
        let area = layout.catalog_log();
        let log = read_log(words, area, layout.catalog..layout.banks, "catalog", findings);
        let mut catalog = Self {
            contents: Contents::new(layout.geometry.cells),
            is_damaged: !findings.is_empty(),
        };
        let mut at = 0;
        while at < log.committed && !catalog.is_damaged {
            let rest = log.words.get(at..).unwrap_or_default();
            match catalog.check_record(rest, at) {
                Ok(length) => at += length,
                Err((expected, found)) => {
                    let field = || "catalog.record".to_owned();
                    findings.add(layout.catalog + at, field, expected, found);
                    catalog.is_damaged = true;
                }
            }
        }
        let facts = CatalogFacts {
            words: log.committed as u64,
            families: catalog.contents.families().len() as u64,
            series: catalog.contents.series().len() as u64,
            cells: catalog.contents.end().cells as u64,
            uncommitted_bytes: log.uncommitted,
        };
        (catalog, facts)
    }

    /// Takes in one record, which no supervisor appends twice, and never as a gap.
    fn check_record(&mut self, rest: &[u64], at: usize) -> Result<usize, Wrong> {
        let contents = &self.contents;
        let (record, length) = parse(contents, rest, at)?;
        let wrong = |expected: &str, found: String| Err((expected.to_owned(), found));
        match &record {
            Record::Family(family) if contents.find_worded(family).is_some() => {
                return wrong(
                    "each definition of a family once",
                    format!("{:?} again", family.name),
                );
            }
            Record::Series { family, values, .. }
                if contents.find_series(*family, values).is_some() =>
            {
                return wrong("each series once", format!("{values:?} of family {family} again"));
            }
            Record::Series { created_ms, .. } if *created_ms != 0 => {
                return wrong("a series without a time", format!("one of {created_ms} ms"));
            }
            Record::Gap { cells } => {
                return wrong("a family or a series", format!("a gap of {cells} cells"));
            }
            Record::Removal(removal) => {
                let found = format!("a removal of series {}", removal.series);
                return wrong("a family or a series", found);
            }
            _ => {}
        }
        self.contents.push(record, length).map_err(|error| explain(&error))?;
        Ok(length)
    }

    /// Takes in what was appended since: committed records do not change, and what does not parse
    /// was found by [`Catalog::read`] or is not there yet.
    pub(super) fn follow(&mut self, words: &FileWords, layout: &Layout) {
        let area = layout.catalog_log();
        let from = self.contents.end().words;
        // Acquire: LOG-COMMIT.
        let committed = words.load(area.commit, Acquire);
        if self.is_damaged || committed <= from as u64 || committed > area.words as u64 {
            return;
        }
        let log = words.all(area.start + from..area.start + committed as usize);
        let mut at = 0;
        while let Some(rest) = log.get(at..).filter(|rest| !rest.is_empty()) {
            let Ok((record, length)) = parse(&self.contents, rest, from + at) else { return };
            if self.contents.push(record, length).is_err() {
                return;
            }
            at += length;
        }
    }

    /// How many series of mode `all` there are: as many gauges may a dead row have.
    pub(super) fn all_gauges(&self) -> usize {
        let series = self.contents.series().iter();
        series.filter(|series| self.contents.shape(series).is_in_rows()).count()
    }

    /// Whether a series ends at `cells`, so that a bank can have been written with so many.
    pub(super) fn ends_at(&self, cells: usize) -> bool {
        cells == 0
            || owner(&self.contents, cells - 1)
                .is_some_and(|(first, shape)| first + shape.width() == cells)
    }
}

/// The series that owns a cell: its first cell and its shape.
pub(super) fn owner(contents: &Contents, cell: usize) -> Option<(usize, Shape)> {
    let at = contents.series().partition_point(|series| series.cell <= cell).checked_sub(1)?;
    let series = &contents.series()[at];
    let shape = contents.shape(series);
    (cell < series.cell + shape.width()).then_some((series.cell, shape))
}

/// What is wrong with `word` in cell `at` of a series, if anything: expected and found. `odd` is
/// the last cell of the series, which a sum that is no plain sum of amounts has set.
pub(super) fn wrong_cell(shape: Shape, at: usize, word: u64, odd: u64) -> Option<Wrong> {
    let found = f64::from_bits(word);
    match (shape.cell(at), shape) {
        (CellKind::Float, _) if shape != Shape::Counter && odd != 0 => None,
        (CellKind::Float, _) if found.is_nan() || found < 0.0 => {
            Some(("a sum of amounts from 0 on".to_owned(), found.to_string()))
        }
        (CellKind::Free, Shape::Gauge(mode)) if at == 1 && !mode.is_ordered() && word > 1 => {
            Some((format!("the stamp 0 or 1 of mode {}", mode.name()), word.to_string()))
        }
        _ => None,
    }
}

/// The last cell of the series whose first cell is word `first` of a snapshot.
pub(super) fn odd_of(cells: &Snapshot, first: usize, shape: Shape) -> u64 {
    cells.word(first + shape.width().max(1) - 1)
}
