//! The catalog: the series of all slots, in global order.
//!
//! It grows by what slots say in their logs, and by nothing else. A name may have several definitions,
//! with another type, labels, bounds or help text: all have a place here and are counted, and what can
//! be joined is exposed as one (see `definitions.rs`). What a name means beyond so many definitions is
//! quarantined: its series have no place in the catalog, its counts are not exposed, and how many such
//! families there are is.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use tallyboard_exposition::cells::type_of;
use tallyboard_exposition::synthetic::is_synthetic;
use tallyboard_proto::cell::Shape;
use tallyboard_proto::family::{Family, Kind};
use tallyboard_proto::layout::{DropReason, Layout};
use tallyboard_proto::log::{self, Begun, Contents, LogError, Record, append};
use tallyboard_segment::mapping::Arena;

use crate::board::limits_met::{Limit, Limits};
use crate::board::names::{Names, Pairs};

/// The catalog, as the supervisor knows it; the control segment holds a copy for others.
#[derive(Debug)]
pub struct Catalog {
    contents: Contents,
    committed: usize,
    /// The names of all samples.
    sample_names: HashSet<String>,
    /// Series of gauges of mode `all`, in order: their place is that of their cells in a dead row.
    all_gauges: Vec<u32>,
    conflicts: HashSet<String>,
    /// What the families have to do with each other.
    pub(crate) names: Names,
    dropped_series: HashMap<DropReason, u64>,
    pub(crate) limits: Limits,
    label_limit: usize,
    real: Real,
    /// What the system said when it had no memory for the catalog last.
    no_memory: Option<String>,
}

/// How far each part of the control segment has been made real, in words from its start.
#[derive(Debug, Default)]
struct Real {
    log: usize,
    cells: usize,
    row_cells: usize,
}

/// Most definitions of one name that have a place: a name that means something else each time would
/// fill the catalog.
const MOST_DEFINITIONS: usize = 32;
/// So many of them may be there before one that differs in its help text alone has none: a text that is
/// another in each process leaves room for what matters.
const MOST_WORDED: usize = 16;

/// Why a family or series has no place in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// The family contradicts another one.
    Conflict,
    /// There is no room in the arena, or too many label sets.
    Dropped(DropReason),
    /// The system has no memory for the catalog just now: it is placed when there is some.
    NoMemory,
}

impl Catalog {
    /// An empty catalog. Series that differ in nothing but `constant` labels are alike.
    pub(crate) fn new(layout: &Layout, label_limit: usize, constant: Pairs) -> Self {
        Self {
            contents: Contents::new(layout.geometry.cells),
            committed: 0,
            sample_names: HashSet::new(),
            all_gauges: Vec::new(),
            conflicts: HashSet::new(),
            names: Names::new(constant),
            dropped_series: HashMap::new(),
            limits: Limits::default(),
            label_limit,
            real: Real::default(),
            no_memory: None,
        }
    }

    /// The catalog that a dead supervisor left in the control segment.
    ///
    /// # Errors
    /// [`LogError`] when it does not parse: then the arena is damaged.
    pub(crate) fn recover(
        arena: &Arena,
        layout: &Layout,
        label_limit: usize,
        constant: Pairs,
    ) -> Result<Self, LogError> {
        let mut catalog = Self::new(layout, label_limit, constant);
        let mut words = Vec::new();
        catalog.committed = log::read(arena, layout.catalog_log(), 0, &mut words)?;
        catalog.contents.extend(&words)?;
        for ordinal in 0..catalog.contents.families().len() {
            catalog.take_name(ordinal as u32);
        }
        let Self { contents, all_gauges, .. } = &mut catalog;
        let series = contents.series().iter().zip(0..);
        let in_rows = series.filter(|(series, _)| contents.shape(series).is_in_rows());
        all_gauges.extend(in_rows.map(|(_, ordinal)| ordinal));
        Ok(catalog)
    }

    /// What it says.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Its cells.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.contents.end().cells
    }

    /// How full it is, from 0 to 1: the fuller of its log and its cells.
    #[must_use]
    pub fn fill(&self, layout: &Layout) -> f64 {
        let log = self.committed as f64 / layout.geometry.log_words as f64;
        let cells = self.cells() as f64 / layout.geometry.cells as f64;
        log.max(cells)
    }

    /// Series of gauges of mode `all`, in the order of their cells in a dead row.
    #[must_use]
    pub fn all_gauges(&self) -> &[u32] {
        &self.all_gauges
    }

    /// What the system said when it had no memory for the catalog last; nothing when it always had.
    pub(crate) fn no_memory(&self) -> &str {
        self.no_memory.as_deref().unwrap_or_default()
    }

    /// Whether a family of it writes samples of this name.
    pub(crate) fn has_sample(&self, name: &str) -> bool {
        self.sample_names.contains(name)
    }

    /// How many families have no place.
    #[must_use]
    pub fn conflicts(&self) -> usize {
        self.conflicts.len()
    }

    /// How many series of slots have no place, by reason.
    #[must_use]
    pub fn dropped_series(&self) -> &HashMap<DropReason, u64> {
        &self.dropped_series
    }

    /// The ordinal of a slot's family; it begins here when nobody had it.
    ///
    /// # Errors
    /// [`Unplaced`] when it contradicts another family or has no room.
    pub fn place_family(
        &mut self,
        arena: &Arena,
        layout: &Layout,
        family: &Family,
    ) -> Result<u32, Unplaced> {
        if let Some(known) = self.contents.find_worded(family) {
            return Ok(known);
        }
        let same = self.contents.find(family);
        let known = self.contents.families_named(&family.name).len();
        // Only what is exposed by itself has a help text that matters.
        let has_words = type_of(&family.kind).is_some() && known < MOST_WORDED;
        if let Some(same) = same.filter(|_| !has_words) {
            return Ok(same);
        }
        if known >= MOST_DEFINITIONS {
            self.refuse(family);
            return Err(Unplaced::Conflict);
        }
        let begun = self
            .append(arena, layout, Record::Family(family.clone()))
            .inspect_err(|&unplaced| meet(&mut self.limits, unplaced, &family.name))?;
        let Begun::Family(ordinal) = begun else { return Err(Unplaced::Conflict) };
        self.take_name(ordinal as u32);
        warn_of_synthetic(family);
        Ok(ordinal as u32)
    }

    /// Says once of a family that its name has too many definitions.
    fn refuse(&mut self, family: &Family) {
        let key = format!("{:?}", (&family.name, &family.kind, &family.labels));
        if type_of(&family.kind).is_some() && self.conflicts.insert(key) {
            tracing::warn!(
                metric = %family.name, kind = ?family.kind, labels = ?family.labels,
                "a metric has had too many definitions since the arena began, and what workers count by one more is not exposed: use one definition, or begin anew with --discard-arena"
            );
        }
    }

    /// Takes in what a family is called.
    fn take_name(&mut self, ordinal: u32) {
        let family = &self.contents.families()[ordinal as usize];
        self.sample_names.extend(family.sample_names());
        self.names.take_family(&self.contents, ordinal);
    }

    /// The first cell of a slot's series; it begins here when nobody had it.
    ///
    /// # Errors
    /// [`Unplaced`] when it has no room; its counts are not exposed, and it is counted.
    pub fn place_series(
        &mut self,
        arena: &Arena,
        layout: &Layout,
        family: u32,
        values: &[Box<str>],
    ) -> Result<u32, Unplaced> {
        let family = self.names.base(family);
        if let Some(known) = self.contents.find_series(family, values) {
            return Ok(known);
        }
        let limit = self.contents.families()[family as usize].kind.series_limit(self.label_limit);
        let placed = if self.contents.series_of_family(family) >= limit {
            Err(Unplaced::Dropped(DropReason::LabelLimit))
        } else {
            // When a series began is its life's to say: the catalog's copy of a log has no time.
            let values = values.into();
            self.append(arena, layout, Record::Series { family, created_ms: 0, values })
        };
        let name = &self.contents.families()[family as usize].name;
        match placed {
            Ok(Begun::Series(series)) => {
                if self.contents.series_of_family(family) == limit {
                    self.limits.meet(Limit::Labels, name);
                }
                if self.shape(series as u32).is_in_rows() {
                    self.all_gauges.push(series as u32);
                }
                self.names.take_series(&self.contents, series as u32);
                Ok(series as u32)
            }
            Ok(_) => Err(Unplaced::Conflict),
            Err(unplaced) => {
                meet(&mut self.limits, unplaced, name);
                self.count_unplaced(unplaced);
                Err(unplaced)
            }
        }
    }

    /// Counts a series that has no place. What contradicts another family is counted by family, and
    /// what waits for memory is counted when it is given up.
    pub(crate) fn count_unplaced(&mut self, unplaced: Unplaced) {
        if let Unplaced::Dropped(reason) = unplaced {
            *self.dropped_series.entry(reason).or_default() += 1;
        }
    }

    /// Makes real what the record needs anywhere in control, then appends it.
    fn append(
        &mut self,
        arena: &Arena,
        layout: &Layout,
        record: Record,
    ) -> Result<Begun, Unplaced> {
        let words = record.to_words();
        let cells = self.cells() + self.contents.cells_of(&record);
        let committed = self.committed + words.len();
        if cells > layout.geometry.cells || committed > layout.geometry.log_words {
            return Err(Unplaced::Dropped(DropReason::Full));
        }
        let gauges = self.all_gauges.len() + usize::from(self.is_all_gauge(&record));
        self.make_real(arena, layout, committed, cells, gauges).map_err(|error| {
            self.no_memory = Some(error.to_string());
            Unplaced::NoMemory
        })?;
        let full = |_| Unplaced::Dropped(DropReason::Full);
        self.committed =
            append(arena, layout.catalog_log(), self.committed, &words).map_err(full)?;
        self.contents.push(record, words.len()).map_err(|_| Unplaced::Dropped(DropReason::Full))
    }

    fn is_all_gauge(&self, record: &Record) -> bool {
        let Record::Series { family, values, .. } = record else { return false };
        let family = self.contents.families().get(*family as usize);
        family.is_some_and(|family| family.shape(values).is_in_rows())
    }

    /// Everything that a fold or a floor may write later is real when the series begins, so that
    /// neither can fail for want of memory.
    fn make_real(
        &mut self,
        arena: &Arena,
        layout: &Layout,
        log: usize,
        cells: usize,
        gauges: usize,
    ) -> std::io::Result<()> {
        let geometry = &layout.geometry;
        let step = |words: usize, most: usize| words.next_multiple_of(STEP).min(most);
        if log > self.real.log {
            let end = step(log, geometry.log_words);
            arena.make_real(part(layout.catalog, self.real.log, end))?;
            self.real.log = end;
        }
        if cells > self.real.cells {
            let end = step(cells, geometry.cells);
            for start in per_cell(layout) {
                arena.make_real(part(start, self.real.cells, end))?;
            }
            self.real.cells = end;
        }
        // A row keeps the gauges that fit; a fold counts the others as dropped.
        let row_cells = gauges * tallyboard_proto::cell::GAUGE_CELLS;
        let row_cells = row_cells.min(geometry.row_cells);
        if row_cells > self.real.row_cells {
            let end = step(row_cells, geometry.row_cells);
            for bank in [0, 1] {
                for row in 0..geometry.ring_rows {
                    let start = layout.ring_row(bank, row);
                    arena.make_real(start..start + tallyboard_proto::layout::row::WORDS + end)?;
                }
            }
            self.real.row_cells = end;
        }
        Ok(())
    }

    /// The shape of a series.
    #[must_use]
    pub fn shape(&self, series: u32) -> Shape {
        self.contents.shape(&self.contents.series()[series as usize])
    }
}

/// Whether a family of the catalog is one of those that a scrape is about; without a selection all
/// are. A log may have begun a family since the selection was made: that one is not.
pub(crate) fn is_selected(selected: Option<&[bool]>, family: u32) -> bool {
    selected.is_none_or(|all| all.get(family as usize).copied().unwrap_or(false))
}

/// Takes in that a family has met a limit, if that is why something of it has no place.
fn meet(limits: &mut Limits, unplaced: Unplaced, family: &str) {
    match unplaced {
        Unplaced::Dropped(DropReason::LabelLimit) => limits.meet(Limit::Labels, family),
        Unplaced::Dropped(DropReason::Full) => limits.meet(Limit::Arena, family),
        Unplaced::Dropped(_) | Unplaced::Conflict | Unplaced::NoMemory => {}
    }
}

/// Says that samples of a family are taken for those of the scraper, if they are.
fn warn_of_synthetic(family: &Family) {
    let is_sample_itself =
        matches!(family.kind, Kind::Gauge(_) | Kind::StateSet(_) | Kind::NativeHistogram(_));
    let mut names = family.sample_names().filter(|name| is_sample_itself || *name != *family.name);
    if let Some(sample) = names.find(|name| is_synthetic(name)) {
        tracing::warn!(
            metric = %family.name, sample,
            "a metric is called as a series that Prometheus adds to each target, and its samples come instead: a healthy target may be taken for one that is down; rename it"
        );
    }
}

/// The words that the first series need, which are real before there is any: a small file system
/// that slots have filled can still show what they count.
pub(crate) fn first_words(layout: &Layout) -> impl Iterator<Item = Range<usize>> {
    [layout.catalog].into_iter().chain(per_cell(layout)).map(|start| start..start + STEP)
}

/// The sections that have a word per cell of the catalog, or per series and so less.
fn per_cell(layout: &Layout) -> [usize; 7] {
    let banks =
        [0, 1].map(|bank| [layout.bank_cells(bank), layout.offsets(bank), layout.lives(bank)]);
    let [[a, b, c], [d, e, f]] = banks;
    [a, b, c, d, e, f, layout.floors]
}

/// Memory is made real in steps of a page of 4 KiB, so that a small arena stays small.
const STEP: usize = tallyboard_proto::layout::PAGE_WORDS;

fn part(start: usize, from: usize, to: usize) -> Range<usize> {
    start + from..start + to
}
