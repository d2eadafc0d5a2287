//! What a fork copies: the families and series of a client, and where they are.
//!
//! Nothing here points into the arena. Cell indices are the same in every slot that this client ever
//! has, so handles stay valid when it moves, and in a forked child.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tallyboard_proto::cell::{Sample, Shape};
use tallyboard_proto::control::{Attached, Rejoin};
use tallyboard_proto::family::{Family, Kind, SAMPLE_LABELS};
use tallyboard_proto::layout::{DropReason, EXTENT_WORDS, Geometry, Layout, slot_header};
use tallyboard_proto::log::{
    Action, Begun, Contents, MAX_RECORD_WORDS, Mark, Record, Removal, Series, append,
};
use tallyboard_proto::word::Words;
use tallyboard_segment::mapping::SlotMapping;
use tallyboard_segment::process;

use super::background::Background;
use super::definition::Definition;
use super::ended::Ended;
use super::questions::Questions;

/// How many label sets a family of a process without supervisor may have.
pub const DEFAULT_LABEL_LIMIT: usize = 10_000;
/// How many series a process without supervisor has room for.
const PRIVATE_SERIES: usize = 65_536;

/// What a fork copies.
#[derive(Debug)]
pub(crate) struct State {
    /// All families and series: those of the prefix, then this client's own.
    pub(crate) contents: Contents,
    /// What this program registered itself: other families came with the prefix.
    pub(crate) registered: Vec<&'static Definition>,
    /// The arena that the prefix was taken from; `None` while there was none.
    pub(crate) origin: Option<Origin>,
    /// This client's own log, word for word: what stands behind the prefix. A child writes the
    /// same words as its parent, and so shares its layout class.
    pub(crate) own_log: Vec<u64>,
    /// How many words the log of the present slot has: the own log, and what was said of series
    /// after they began, which a child does not repeat.
    pub(crate) committed: usize,
    /// The series that this process has removed or reset.
    pub(crate) ended: BTreeMap<u32, Ended>,
    /// What is looked up rather than counted.
    pub(crate) questions: Questions,
    /// The threads of this client, but for the one that asks.
    pub(crate) background: Background,
    /// Layout of the published mapping.
    pub(crate) layout: Layout,
    pub(crate) label_limit: usize,
    /// The attachment of the process that wrote it; true here only when its token is.
    pub(crate) attachment: Option<Attachment>,
    /// What this process asks with, so that whoever asks at the same time gets the same slot; 0
    /// while it has asked at its first use only.
    pub(crate) attach_id: u64,
    /// When this process last asked whether its arena was replaced.
    pub(crate) checked_at: Instant,
    /// Whether a thread of this process asks that now.
    pub(crate) is_checking: bool,
}

/// The slot that this process counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The slot.
    pub slot: u64,
    /// Its generation.
    pub generation: u64,
    /// The arena.
    pub arena_id: u64,
    pub(crate) token: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) arena_id: u64,
    pub(crate) prefix: Mark,
}

/// A slot that was granted and confirmed.
pub(crate) type Taken = (SlotMapping, Layout, Attached);

impl State {
    pub(crate) fn new() -> Self {
        let layout = private_layout();
        Self {
            contents: Contents::new(layout.geometry.cells),
            registered: Vec::new(),
            origin: None,
            own_log: Vec::new(),
            committed: 0,
            ended: BTreeMap::new(),
            questions: Questions::default(),
            background: Background::default(),
            layout,
            label_limit: DEFAULT_LABEL_LIMIT,
            attachment: None,
            attach_id: 0,
            checked_at: Instant::now(),
            is_checking: false,
        }
    }

    /// Makes the cells up to `cells` and room in the log real, then appends `records` behind the
    /// first `committed` words of the log and commits them.
    pub(crate) fn write(
        layout: &Layout,
        mapping: &SlotMapping,
        committed: usize,
        records: &[u64],
        cells: usize,
    ) -> Result<(), DropReason> {
        let log = layout.log_of_slot_at(0);
        let start = log.start + committed;
        let end = start + records.len();
        if cells > layout.geometry.cells || end > log.start + log.words {
            return Err(DropReason::Full);
        }
        mapping
            .open(0..slot_header::WORDS + cells)
            .and_then(|()| mapping.open_in_lanes(slot_header::WORDS + cells))
            .and_then(|()| mapping.open(start..end))
            .map_err(|_| DropReason::Memory)?;
        append(mapping, log, committed, records).map_err(|_| DropReason::Full)?;
        Ok(())
    }

    /// Begins a family or a series: writes its record into the slot, then takes it in.
    pub(crate) fn begin(
        &mut self,
        mapping: &SlotMapping,
        record: Record,
    ) -> Result<Begun, DropReason> {
        let words = record.to_words();
        let cells = self.contents.end().cells + self.contents.cells_of(&record);
        Self::write(&self.layout, mapping, self.committed, &words, cells)?;
        self.committed += words.len();
        self.own_log.extend_from_slice(&words);
        self.contents.push(record, words.len()).map_err(|_| DropReason::Full)
    }

    /// Begins a series of a family that does not have it.
    pub(crate) fn begin_series(
        &mut self,
        mapping: Option<&SlotMapping>,
        family: u32,
        values: &[Box<str>],
    ) -> Result<usize, DropReason> {
        let limit = self.contents.families()[family as usize].kind.series_limit(self.label_limit);
        if self.contents.series_of_family(family) >= limit {
            return Err(DropReason::LabelLimit);
        }
        let mapping = mapping.ok_or(DropReason::Reentered)?;
        let (created_ms, values) = (process::unix_ms(), values.into());
        match self.begin(mapping, Record::Series { family, created_ms, values })? {
            Begun::Series(series) => Ok(series),
            _ => Err(DropReason::Full),
        }
    }

    /// Forgets what was counted in lives that have ended: the cells begin at 0.
    pub(crate) fn leave_ended(&mut self) {
        self.ended.retain(|_, ended| ended.is_removed);
        for ended in self.ended.values_mut() {
            ended.cells.fill(0);
            ended.left.fill(0);
            ended.buckets.clear();
        }
    }

    /// The series whose first cell is this word of the slot.
    pub(crate) fn series_at(&self, first: usize) -> Option<u32> {
        let cell = first.checked_sub(slot_header::WORDS)?;
        let found = self.contents.series().binary_search_by_key(&cell, |series| series.cell);
        found.ok().map(|series| series as u32)
    }

    /// Finds or begins a family that is no metric of the program's own.
    pub(crate) fn family(
        &mut self,
        mapping: &SlotMapping,
        family: &Family,
    ) -> Result<u32, DropReason> {
        match self.contents.find(family) {
            Some(known) => {
                self.word(mapping, known, family);
                Ok(known)
            }
            None => match self.begin(mapping, Record::Family(family.clone()))? {
                Begun::Family(begun) => Ok(begun as u32),
                _ => Err(DropReason::Full),
            },
        }
    }

    /// Says in its own log what this process calls a family that came with the prefix, when others have
    /// called it anything else: so whoever reads the log knows whose help text this is. Once, whatever
    /// else the process calls it later. Where the log has no room, the text is that of others.
    pub(crate) fn word(&mut self, mapping: &SlotMapping, known: u32, family: &Family) {
        let first_own = self.origin.map_or(0, |origin| origin.prefix.families) as u32;
        if known >= first_own {
            return;
        }
        let families = self.contents.families();
        let named = self.contents.families_named(&family.name);
        let mut same = named.into_iter().filter(|of| families[*of as usize].agrees_with(family));
        let is_said = same.clone().any(|of| of >= first_own);
        if !is_said && same.any(|of| families[of as usize].help != family.help) {
            let _ = self.begin(mapping, Record::Family(family.clone()));
        }
    }

    /// A definition of the same name that came with the prefix and is another one.
    pub(crate) fn defined_otherwise(&self, family: &Family) -> Option<&Family> {
        let first_own = self.origin.map_or(0, |origin| origin.prefix.families) as u32;
        let named = self.contents.families_named(&family.name).into_iter();
        let others = named.filter(|of| *of < first_own).rev();
        let mut others = others.map(|of| &self.contents.families()[of as usize]);
        others.find(|of| !of.agrees_with(family))
    }

    /// The series of a family that this process holds: it began them, or has counted them, and has
    /// not removed them.
    pub(crate) fn held(&self, mapping: &SlotMapping, family: u32) -> Vec<u32> {
        let first_own = self.origin.map_or(0, |origin| origin.prefix.series);
        let is_held = |&(ordinal, series): &(usize, &Series)| {
            series.family == family
                && self.ended.get(&(ordinal as u32)).is_none_or(|ended| !ended.is_removed)
                && (ordinal >= first_own
                    || self.cells_of(mapping, ordinal as u32).iter().any(|&cell| cell != 0))
        };
        let series = self.contents.series().iter().enumerate();
        series.filter(is_held).map(|(ordinal, _)| ordinal as u32).collect()
    }

    /// The cells of a series, as they are now.
    pub(crate) fn cells_of(&self, mapping: &SlotMapping, series: u32) -> Vec<u64> {
        let entry = &self.contents.series()[series as usize];
        mapping.cells(slot_header::WORDS + entry.cell, self.contents.shape(entry))
    }

    /// The first cell of a series, as a word of the slot.
    pub(crate) fn first_of(&self, series: u32) -> usize {
        slot_header::WORDS + self.contents.series()[series as usize].cell
    }

    /// What this process has in a series, since it began anew.
    pub(crate) fn own_cells(&self, mapping: &SlotMapping, series: u32) -> Vec<u64> {
        self.own_of(series, self.cells_of(mapping, series))
    }

    /// What of the cells of a series is left without the life of it that has ended in this process.
    pub(crate) fn own_of(&self, series: u32, mut cells: Vec<u64>) -> Vec<u64> {
        if let Some(ended) = self.ended.get(&series) {
            let entry = &self.contents.series()[series as usize];
            ended.take_off(self.contents.shape(entry), &mut cells);
        }
        cells
    }

    /// What this process has counted in a series: its cells, and of a native histogram the buckets
    /// that something is in, by series.
    fn counted(&self, mapping: &SlotMapping, series: u32) -> (Box<[u64]>, BTreeMap<u32, u64>) {
        let buckets = self.contents.buckets_of(series).iter();
        let buckets = buckets.map(|(_, bucket)| (*bucket, self.cells_of(mapping, *bucket)[0]));
        let buckets = buckets.filter(|(_, count)| *count != 0).collect();
        (self.cells_of(mapping, series).into(), buckets)
    }

    /// Forgets what a series has been set to, if it is one that is set: its stamp goes first, and
    /// nobody shows it.
    pub(crate) fn forget_value(&self, mapping: &SlotMapping, series: u32) {
        let entry = &self.contents.series()[series as usize];
        let (shape, first) = (self.contents.shape(entry), slot_header::WORDS + entry.cell);
        if matches!(shape, Shape::Sample(_)) {
            Sample::forget(mapping, first);
        } else if !shape.counts() {
            (first..first + shape.width()).rev().for_each(|at| mapping.store(at, 0, Relaxed));
        }
    }

    /// Removes or resets a series, or holds it again: from its log on, for all who read it.
    pub(crate) fn end(
        &mut self,
        mapping: &SlotMapping,
        series: u32,
        action: Action,
    ) -> Result<(), DropReason> {
        if action != Action::Hold {
            self.forget_value(mapping, series);
        }
        let at_ms = process::unix_ms();
        let (cells, buckets) = self.counted(mapping, series);
        let pairs = buckets.iter().flat_map(|(&bucket, &count)| [u64::from(bucket), count]);
        let all = cells.iter().copied().chain(pairs).collect();
        self.say(mapping, Removal { series, action, at_ms, cells: all })?;
        if let (Action::Hold, Some(ended)) = (action, self.ended.get_mut(&series)) {
            (ended.is_removed, ended.at_ms) = (false, at_ms);
        } else {
            let is_removed = action == Action::Remove;
            let left = vec![0; cells.len()].into();
            self.ended.insert(series, Ended { at_ms, cells, left, buckets, is_removed });
        }
        Ok(())
    }

    /// Appends what this process says of a series, which begins anew where it is not removed.
    pub(crate) fn say(
        &mut self,
        mapping: &SlotMapping,
        removal: Removal,
    ) -> Result<(), DropReason> {
        let Removal { series, action, at_ms, .. } = removal;
        let words = Record::Removal(removal).to_words();
        if words.len() > MAX_RECORD_WORDS {
            return Err(DropReason::Full);
        }
        let end = self.contents.end().cells;
        Self::write(&self.layout, mapping, self.committed, &words, end)?;
        self.committed += words.len();
        if action != Action::Remove {
            self.contents.renew(series, at_ms);
        }
        Ok(())
    }

    /// Finds or begins the family of what belongs to another one: its exemplars, its buckets.
    pub(crate) fn part_of(
        &mut self,
        mapping: &SlotMapping,
        family: u32,
        prefix: &str,
        kind: Kind,
    ) -> Result<u32, DropReason> {
        let of = &self.contents.families()[family as usize];
        let name = format!("{prefix}{}", of.name);
        let inner = matches!(of.kind, Kind::Histogram(_) | Kind::NativeHistogram(_));
        // Where each sample has labels of its own, two values tell it apart.
        let is_said = matches!(of.kind, Kind::Samples(_));
        let said = SAMPLE_LABELS.into_iter().filter(|_| is_said);
        let own = of.labels.iter().map(|label| &**label);
        let labels: Vec<&str> = own.chain(inner.then_some("le")).chain(said).collect();
        let family = Family::new(kind, &name, "", "", &labels);
        self.family(mapping, &family.map_err(|_| DropReason::Full)?)
    }

    /// All families and series as one log of this client's own, at the same cells.
    pub(crate) fn whole_log(&self) -> Vec<u64> {
        let records = self.contents.records_after(Mark::default());
        records.flat_map(|record| record.to_words()).collect()
    }

    /// Where the handles of this client have their cells already; `None` while there are none.
    pub(crate) fn rejoin(&self) -> Option<Rejoin> {
        match self.origin {
            Some(Origin { arena_id, prefix }) => {
                Some(Rejoin { arena_id, prefix: prefix.words as u64 })
            }
            None if self.contents.end().words == 0 => None,
            None => Some(Rejoin { arena_id: 0, prefix: 0 }),
        }
    }
}

pub(crate) fn private_layout() -> Layout {
    let geometry = Geometry::for_series(1, PRIVATE_SERIES).unwrap_or(Geometry {
        slots: 1,
        cells: EXTENT_WORDS,
        log_words: EXTENT_WORDS,
        ring_rows: 0,
        row_cells: 0,
        unit: EXTENT_WORDS,
        lanes: 0,
    });
    Layout::new(geometry)
}
