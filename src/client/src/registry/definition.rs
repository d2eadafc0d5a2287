//! What a program registered, and the series of it that were handed out.

use tallyboard_proto::exemplar;
use tallyboard_proto::family::{Family, Kind, MAX_VALUE_BYTES};
use tallyboard_proto::layout::{DropReason, slot_header};
use tallyboard_proto::log::Action;
use tallyboard_segment::fork::{CellWords, Cells};
use tallyboard_segment::process;

use super::children::{Children, Values};
use crate::error::LabelError;
use crate::instrument::native::Buckets;
use super::registry::Registry;
use super::set::Number;

/// What a program registered. It lives as long as the process, as registries do.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) family: Family,
    /// `None` when the log had no room for it.
    pub(crate) ordinal: Option<u32>,
    pub(crate) children: Children,
}

/// A family of a registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FamilyRef {
    pub(crate) registry: &'static Registry,
    pub(crate) definition: &'static Definition,
}

impl FamilyRef {
    pub(crate) fn family(&self) -> &'static Family {
        &self.definition.family
    }

    /// The series with these label values; it begins when nobody had it yet.
    #[inline]
    pub(crate) fn series(&self, values: &(impl Values + ?Sized)) -> Result<SeriesRef, LabelError> {
        if !self.registry.page.is_published() {
            self.registry.first_use();
        }
        match self.definition.children.find(values) {
            Some(series) => Ok(series),
            None => {
                let mut copied: Vec<Box<str>> = Vec::new();
                values.each(|value| copied.push(value.into()));
                self.begin(&copied)
            }
        }
    }

    #[cold]
    fn begin(&self, values: &[Box<str>]) -> Result<SeriesRef, LabelError> {
        self.check_count(values.len())?;
        let family = || self.family().name.to_string();
        if let Some(long) = values.iter().find(|value| value.len() > MAX_VALUE_BYTES) {
            return Err(LabelError::Length { family: family(), found: long.len() });
        }
        let registry = self.registry;
        // An info begins without pairs; those that are set begin a series of their own each.
        let pairs = (self.family().kind == Kind::Info).then(Box::default);
        let values: Vec<Box<str>> = values.iter().cloned().chain(pairs).collect();
        Ok(self.cells(&values).unwrap_or_else(|reason| SeriesRef {
            cells: Cells::nowhere(),
            registry,
            refused: Some(reason),
            buckets: None,
        }))
    }

    /// Checks that the family has so many labels.
    pub(crate) fn check_count(&self, found: usize) -> Result<(), LabelError> {
        if found == self.family().labels.len() {
            return Ok(());
        }
        let (family, expected) = (self.family().name.to_string(), self.label_names());
        Err(LabelError::Count { family, expected, found })
    }

    pub(crate) fn label_names(&self) -> Vec<String> {
        self.family().labels.iter().map(ToString::to_string).collect()
    }

    /// Finds or begins a series by all its values.
    pub(crate) fn cells(&self, values: &[Box<str>]) -> Result<SeriesRef, DropReason> {
        let family = self.definition.ordinal.ok_or(DropReason::Full)?;
        let mut state = self.registry.state.lock();
        let found = state.contents.find_series(family, values);
        let series = match found {
            Some(series) => {
                if state.ended.get(&series).is_some_and(|ended| ended.is_removed)
                    && let Some(mapping) = state.page().mapping()
                {
                    state.end(mapping, series, Action::Hold)?;
                }
                Ok(series as usize)
            }
            None => {
                let mapping = state.page().mapping();
                state.begin_series(mapping, family, values)
            }
        };
        let series = series.map(|series| {
            let cell = state.contents.series()[series].cell;
            let cells = state.page().cells(slot_header::WORDS + cell, self.family().kind.cells());
            let is_native = matches!(self.family().kind, Kind::NativeHistogram(_));
            let buckets = is_native.then(|| state.buckets_of(series));
            let series = SeriesRef { cells, registry: self.registry, refused: None, buckets };
            let labels = self.family().labels.len();
            self.definition.children.insert(&values[..labels], series);
            series
        });
        if found.is_none() {
            self.registry.check_now_and_then(state);
        }
        series
    }
}

impl FamilyRef {
    /// Removes the series with these values from this process, if it has it. A later use of the
    /// same values begins it anew.
    pub(crate) fn remove(&self, values: &[&str]) -> bool {
        self.end_all(|series| series.iter().map(|value| &**value).eq(values.iter().copied())) != 0
    }

    /// Removes all series from this process; gives how many there were.
    pub(crate) fn clear(&self) -> usize {
        self.end_all(|_| true)
    }

    /// Registers the family no longer, so that its name is free for another definition: it has no
    /// series in this process from now on.
    pub(crate) fn retire(&self) {
        self.clear();
        let mut state = self.registry.state.lock();
        state.registered.retain(|known| !std::ptr::eq(*known, self.definition));
    }

    fn end_all(&self, is_meant: impl Fn(&[Box<str>]) -> bool) -> usize {
        self.registry.first_use();
        let labels = self.family().labels.len();
        let mut state = self.registry.state.lock();
        let Some((mapping, family)) = state.page().mapping().zip(self.definition.ordinal) else {
            return 0;
        };
        let (mut removed, mut cells) = (0, Vec::new());
        for series in state.held(mapping, family) {
            let entry = &state.contents.series()[series as usize];
            let (values, cell) = (&entry.values[..labels], slot_header::WORDS + entry.cell);
            if is_meant(values) {
                self.definition.children.forget(values);
                cells.push(cell);
                match state.end(mapping, series, Action::Remove) {
                    Ok(()) => removed += 1,
                    Err(reason) => self.registry.drop_one(reason),
                }
            }
        }
        let ended = state.end_callbacks(&cells);
        drop(state);
        // A callback may use metrics while it is dropped.
        drop(ended);
        removed
    }

    /// The label values of the series that this process holds.
    pub(crate) fn held(&self) -> Vec<Box<[Box<str>]>> {
        self.registry.first_use();
        let labels = self.family().labels.len();
        let state = self.registry.state.lock();
        let Some((mapping, family)) = state.page().mapping().zip(self.definition.ordinal) else {
            return Vec::new();
        };
        let values = |series: u32| state.contents.series()[series as usize].values[..labels].into();
        let mut held: Vec<Box<[Box<str>]>> =
            state.held(mapping, family).into_iter().map(values).collect();
        // An info has a series for each set of pairs that it had.
        held.sort();
        held.dedup();
        held
    }
}

impl Registry {
    /// The series with these values of a family that is no metric of the program's own.
    pub(crate) fn series_of(
        &'static self,
        family: &Family,
        values: &[Box<str>],
    ) -> Result<SeriesRef, DropReason> {
        self.first_use();
        let mut state = self.state.lock();
        let mapping = state.page().mapping().ok_or(DropReason::Reentered)?;
        let ordinal = state.family(mapping, family)?;
        let series = match state.contents.find_series(ordinal, values) {
            Some(series) => series as usize,
            None => state.begin_series(Some(mapping), ordinal, values)?,
        };
        let cell = state.contents.series()[series].cell;
        let cells = state.page().cells(slot_header::WORDS + cell, family.kind.cells());
        Ok(SeriesRef { cells, registry: self, refused: None, buckets: None })
    }
}

/// A series of a registry: what every metric is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesRef {
    pub(crate) cells: Cells,
    pub(crate) registry: &'static Registry,
    pub(crate) refused: Option<DropReason>,
    /// Those of a native histogram.
    pub(crate) buckets: Option<&'static Buckets>,
}

impl SeriesRef {
    /// The cells to count in; `None` when this cannot be counted, and that has been counted.
    #[inline]
    pub(crate) fn words(&self) -> Option<CellWords<'_>> {
        match self.cells.words() {
            Some(words) => Some(words),
            None => self.arrive(),
        }
    }

    /// The first use in this process, which may be a child of the one that made the handle.
    #[cold]
    fn arrive(&self) -> Option<CellWords<'_>> {
        if self.refused.is_none() {
            self.registry.first_use();
        }
        let words = self.cells.words();
        if words.is_none() {
            self.registry.drop_one(self.refused.unwrap_or(DropReason::Reentered));
        }
        words
    }

    /// Number of this process, for guards that a fork must not multiply.
    #[inline]
    pub(crate) fn life(&self) -> u64 {
        self.registry.page.life()
    }

    /// Now, as stamps have it: nanoseconds of Unix time by a clock that never goes back.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        self.registry.now_ns()
    }

    pub(crate) fn drop_one(&self, reason: DropReason) {
        self.registry.drop_one(reason);
    }

    /// All its values.
    pub(crate) fn label_values(&self) -> Option<Vec<Box<str>>> {
        let state = self.registry.state.lock();
        let series = state.series_at(self.cells.first().checked_sub(slot_header::WORDS)?)?;
        Some(state.contents.series()[series as usize].values.to_vec())
    }

    /// Begins the series anew, for all processes.
    pub(crate) fn reset(&self) {
        self.registry.first_use();
        let mut state = self.registry.state.lock();
        let series = self.cells.first().checked_sub(slot_header::WORDS);
        let series = series.and_then(|cell| state.series_at(cell));
        if let Some((mapping, series)) = state.page().mapping().zip(series)
            && let Err(reason) = state.end(mapping, series, Action::Reset)
        {
            drop(state);
            self.registry.drop_one(reason);
        }
    }

    /// Makes a number of the series what this process has counted of it.
    pub(crate) fn set(&self, number: Number, value: f64) {
        self.registry.first_use();
        let mut state = self.registry.state.lock();
        let series = self.cells.first().checked_sub(slot_header::WORDS);
        let series = series.and_then(|cell| state.series_at(cell));
        let set = match state.page().mapping().zip(series) {
            Some((mapping, series)) => state.set(mapping, series, number, value),
            None => Err(self.refused.unwrap_or(DropReason::Reentered)),
        };
        drop(state);
        set.unwrap_or_else(|reason| self.registry.drop_one(reason));
    }

    /// Keeps an exemplar of what was counted: in a bucket of a histogram, or of the whole series.
    pub(crate) fn exemplify(&self, bucket: Option<usize>, value: f64, labels: &str) {
        let mut state = self.registry.state.lock();
        let series = self.cells.first().checked_sub(slot_header::WORDS);
        let series = series.and_then(|cell| state.series_at(cell));
        let Some((mapping, series)) = state.page().mapping().zip(series) else { return };
        let series = &state.contents.series()[series as usize];
        let bucket = bucket.map(|bucket| bucket.to_string().into());
        let values: Vec<Box<str>> = series.values.iter().cloned().chain(bucket).collect();
        let family = series.family;
        match state.exemplar(mapping, family, &values) {
            Ok(at) => exemplar::write(mapping, at, labels, value, process::unix_ms()),
            Err(reason) => {
                drop(state);
                self.registry.drop_one(reason);
            }
        }
    }

    /// Counts an amount that was refused.
    #[cold]
    pub(crate) fn refuse_amount(&self) {
        self.registry.first_use();
        self.registry.drop_one(DropReason::Amount);
    }
}

pub(crate) fn describe(family: &Family) -> String {
    format!("{} {:?} with labels {:?}", family.kind.name(), family.name, family.labels)
}

/// Whether samples of two families have the same name.
pub(crate) fn shares_a_name(one: &Family, other: &Family) -> bool {
    one.sample_names().any(|name| other.sample_names().any(|other| other == name))
}
