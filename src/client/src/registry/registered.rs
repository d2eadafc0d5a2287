//! A family that is registered, and its series.

use tallyboard_proto::family::{Family, Kind, MAX_VALUE_BYTES};
use tallyboard_proto::layout::DropReason;
use tallyboard_proto::log::{Action, Begun, Record};
use tallyboard_segment::fork::ForkMutexGuard;

use super::children::{Children, Place, Values};
use super::definition::{Definition, describe, shares_a_name};
use super::parts::Parts;
use super::registry::{About, Registry};
use super::series::SeriesRef;
use super::state::State;
use crate::error::{LabelError, RegisterError};

impl Registry {
    /// Registers a family; `has_parts` says whether parts of its series begin after them. With
    /// `reuse` one that this program registered before under the same definition is taken instead.
    pub(crate) fn register(
        &'static self,
        family: Family,
        has_parts: bool,
        reuse: bool,
    ) -> Result<FamilyRef, RegisterError> {
        self.first_use();
        let mut state = self.state.lock();
        let is_same = |mine: &&&Definition| shares_a_name(&mine.family, &family);
        if let Some(&definition) = state.registered.iter().find(is_same) {
            let (existing, found) = (describe(&definition.family), describe(&family));
            return match definition.family.agrees_with(&family) {
                true if reuse => Ok(FamilyRef { registry: self, definition }),
                true => Err(RegisterError::Duplicate { existing, found }),
                false => {
                    let name = family.name.to_string();
                    Err(RegisterError::Conflict { name, existing, found })
                }
            };
        }
        let mut collected = state.questions.sources.iter().flat_map(|known| known.families.iter());
        if let Some(existing) = collected.find(|existing| shares_a_name(existing, &family)) {
            let (existing, found) = (describe(existing), describe(&family));
            return Err(RegisterError::Duplicate { existing, found });
        }
        drop(collected);
        let ordinal = self.begin_family(&mut state, &family);
        let children = Children::new();
        let definition = Definition { family, ordinal, has_parts, children };
        let definition: &'static Definition = Box::leak(Box::new(definition));
        state.registered.push(definition);
        self.check_now_and_then(state);
        Ok(FamilyRef { registry: self, definition })
    }

    /// Finds or begins a family of the program's own; `None` when there is no room for it.
    fn begin_family(&self, state: &mut ForkMutexGuard<'_, State>, family: &Family) -> Option<u32> {
        // Another process may have begun the same family; it came with the prefix.
        let known = state.contents.find(family);
        let mapping = state.page().mapping();
        if let Some((known, mapping)) = known.zip(mapping) {
            state.word(mapping, known, family);
        }
        if known.is_some() {
            return known;
        }
        if let Some(other) = state.defined_otherwise(family) {
            self.warn(About::Definition, &format!(
                "metric {:?}: expected the definition that other processes of the service have, {}, found {}; both are counted, and shown as one where the type is the same: when all run one release there is one definition",
                family.name, describe(other), describe(family)
            ));
        }
        match state.begin(mapping?, Record::Family(family.clone())) {
            Ok(Begun::Family(begun)) => Some(begun as u32),
            _ => None,
        }
    }

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
            Some(series) => series,
            None => state.begin_series(Some(mapping), ordinal, values)? as u32,
        };
        let cells = state.page().cells(state.first_of(series), family.kind.cells());
        Ok(SeriesRef::at(Place { cells, parts: None }, self))
    }
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
            Some(place) => Ok(SeriesRef::at(place, self.registry)),
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
        Ok(self.cells(&values).unwrap_or_else(|reason| SeriesRef::refused(reason, registry)))
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
            let first = state.first_of(series as u32);
            let cells = state.page().cells(first, self.family().kind.cells());
            let (children, labels) =
                (&self.definition.children, &values[..self.family().labels.len()]);
            let fresh = || &*Box::leak(Box::new(Parts::new()));
            let parts = self.definition.has_parts;
            let parts = parts.then(|| children.parts(labels).unwrap_or_else(fresh));
            let place = Place { cells, parts };
            children.insert(labels, place);
            SeriesRef::at(place, self.registry)
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
            let values = &state.contents.series()[series as usize].values[..labels];
            if is_meant(values) {
                self.definition.children.forget(values);
                cells.push(state.first_of(series));
                match state.end(mapping, series, Action::Remove) {
                    Ok(()) => removed += 1,
                    Err(reason) => self.registry.drop_one(reason),
                }
            }
        }
        let ended = state.questions.end(&cells);
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
