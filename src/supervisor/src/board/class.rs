//! Layout classes: how the cells of a slot map to those of the catalog.
//!
//! Slots of equal prefix and equal log have the same map and aggregate together. A class is found
//! by the words that determine it, so the children of a preloading parent share one without having
//! to say so.

use std::collections::HashMap;
use std::rc::Rc;

use tallyboard_proto::cell::{Run, Shape};
use tallyboard_proto::family::Family;
use tallyboard_proto::layout::Layout;
use tallyboard_proto::log::{LogError, Mark, Record, check_values};
use tallyboard_segment::mapping::Arena;

use crate::board::catalog::{Catalog, Unplaced};

/// One map from the cells of a slot to those of the catalog.
#[derive(Clone, Debug)]
pub struct Class {
    prefix: Mark,
    /// What determines cells in the slot's own log, and with the prefix everything below.
    structure: Vec<u64>,
    /// How many cells the slot has, those of the prefix included.
    pub cells: usize,
    /// The series of the slot's own log, in order.
    pub own_series: Vec<Place>,
    /// Which of them has which series of the catalog.
    own_by_series: HashMap<u32, usize>,
    /// Runs of series that have a place in the catalog. A run belongs to one family.
    pub runs: Vec<Run>,
    /// The family of each run, by ordinal in the catalog.
    pub families: Vec<u32>,
    /// Series of per-process gauges: ordinal in the catalog, first cell in the slot.
    pub gauges: Vec<(u32, usize)>,
    /// Families of the slot's own log: what they are, and where they are in the catalog.
    own: Vec<(Family, Result<u32, Unplaced>)>,
}

impl Class {
    /// The families that the slot's own log begins, by ordinal in the catalog.
    pub(crate) fn own_families(&self) -> impl Iterator<Item = u32> + '_ {
        self.own.iter().filter_map(|(_, placed)| placed.ok())
    }

    /// Whether a run is one of series that the slot's own log begins.
    pub(crate) fn is_own(&self, run: &Run) -> bool {
        run.from >= self.prefix.cells
    }
}

/// Where a series of a slot has its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Ordinal in the catalog, when it has a place there.
    pub series: Option<u32>,
    /// First cell in the slot.
    pub from: usize,
    /// Its shape.
    pub shape: Shape,
}

/// All classes that some slot is of.
#[derive(Debug, Default)]
pub struct Classes {
    by_words: HashMap<(usize, Vec<u64>), Rc<Class>>,
}

impl Class {
    /// How many words of structure the slot's own log has, as far as it was read.
    pub(crate) fn structure_words(&self) -> usize {
        self.structure.len()
    }

    fn of_prefix(catalog: &Catalog, prefix: Mark) -> Self {
        let mut class = Self {
            prefix,
            structure: Vec::new(),
            cells: 0,
            own_series: Vec::new(),
            own_by_series: HashMap::new(),
            runs: Vec::new(),
            families: Vec::new(),
            gauges: Vec::new(),
            own: Vec::new(),
        };
        let contents = catalog.contents();
        for (ordinal, series) in contents.series()[..prefix.series].iter().enumerate() {
            let shape = contents.shape(series);
            // The prefix has no gaps of its own, so its cells are the catalog's.
            class.cells = series.cell;
            class.place(shape, series.family, ordinal as u32, series.cell);
        }
        class.cells = prefix.cells;
        class
    }

    /// Adds a series at the next cells of the slot, with its place in the catalog.
    fn place(&mut self, shape: Shape, family: u32, series: u32, to: usize) {
        let run = Run { shape, series: 1, from: self.cells, to };
        self.cells += shape.width();
        if shape.is_per_process() {
            self.gauges.push((series, run.from));
        }
        match (self.runs.last_mut(), self.families.last()) {
            (Some(last), Some(&last_family))
                if last_family == family && last.continues_with(&run) =>
            {
                last.series += 1;
            }
            _ => {
                self.runs.push(run);
                self.families.push(family);
            }
        }
    }

    /// How many labels family `ordinal` of the slot has.
    fn labels_of(&self, catalog: &Catalog, ordinal: u32) -> Option<usize> {
        self.family(catalog, ordinal).map(|(family, _)| family.values())
    }

    fn family<'a>(
        &'a self,
        catalog: &'a Catalog,
        ordinal: u32,
    ) -> Option<(&'a Family, Result<u32, Unplaced>)> {
        match (ordinal as usize).checked_sub(self.prefix.families) {
            None => Some((&catalog.contents().families()[ordinal as usize], Ok(ordinal))),
            Some(own) => self.own.get(own).map(|(family, placed)| (family, *placed)),
        }
    }

    /// Takes in `words`, which follow the slot's log, up to the first record for which the catalog
    /// has no memory. On an error the class is of no use.
    fn extend(
        &mut self,
        arena: &Arena,
        layout: &Layout,
        catalog: &mut Catalog,
        words: &[u64],
    ) -> Result<(), LogError> {
        let mut rest = words;
        while !rest.is_empty() {
            let at = self.structure.len();
            let labels = |family| self.labels_of(catalog, family);
            let (record, length) = Record::parse(rest, at, labels)?;
            if self.take(arena, layout, catalog, record, at)? == Taken::NotNow {
                break;
            }
            self.structure.extend_from_slice(&rest[..length]);
            rest = &rest[length..];
        }
        Ok(())
    }

    fn take(
        &mut self,
        arena: &Arena,
        layout: &Layout,
        catalog: &mut Catalog,
        record: Record,
        at: usize,
    ) -> Result<Taken, LogError> {
        let shape = match &record {
            Record::Family(family) => {
                let placed = catalog.place_family(arena, layout, family);
                if placed == Err(Unplaced::NoMemory) {
                    return Ok(Taken::NotNow);
                }
                self.own.push((family.clone(), placed));
                return Ok(Taken::In);
            }
            Record::Gap { cells } => Shape::Gap { cells: *cells },
            Record::Series { family, values, .. } => match self.family(catalog, *family) {
                Some((family, _)) => {
                    check_values(family, values, at)?;
                    family.shape(values)
                }
                None => Shape::Gap { cells: 0 },
            },
            Record::Removal(_) => return Ok(Taken::In),
        };
        let (needed, limit) = (self.cells + shape.width(), layout.geometry.cells);
        if needed > limit {
            return Err(LogError::Cells { at, needed, limit });
        }
        if let Record::Series { family, values, .. } = record {
            let from = self.cells;
            let (family, series) = match self.placed(arena, layout, catalog, family, &values) {
                Err(Unplaced::NoMemory) => return Ok(Taken::NotNow),
                placed => placed.ok().unzip(),
            };
            self.own_series.push(Place { series, from, shape });
            if let (Some(family), Some(series)) = (family, series) {
                let to = catalog.contents().series()[series as usize].cell;
                self.place(shape, family, series, to);
                self.own_by_series.entry(series).or_insert(self.own_series.len() - 1);
                return Ok(Taken::In);
            }
        }
        // Cells that nobody owns, or whose series has no place in the catalog.
        self.cells += shape.width();
        Ok(Taken::In)
    }

    /// Family and series of the catalog of a series of the slot; it begins there when nobody had it.
    fn placed(
        &self,
        arena: &Arena,
        layout: &Layout,
        catalog: &mut Catalog,
        family: u32,
        values: &[Box<str>],
    ) -> Result<(u32, u32), Unplaced> {
        let placed = self.family(catalog, family).map(|(_, placed)| placed);
        let family = placed.unwrap_or(Err(Unplaced::Conflict)).inspect_err(|unplaced| {
            catalog.count_unplaced(*unplaced);
        })?;
        let series = catalog.place_series(arena, layout, family, values)?;
        Ok((catalog.names.base(family), series))
    }

    /// The series that `words` begin, which follow the slot's log: the name of the family of each.
    pub(crate) fn begun_in(&self, catalog: &Catalog, words: &[u64]) -> Vec<Box<str>> {
        let mut more: Vec<Family> = Vec::new();
        let (mut names, mut rest) = (Vec::new(), words);
        let known = self.prefix.families + self.own.len();
        while !rest.is_empty() {
            let family = |ordinal: u32, more: &[Family]| {
                let own = self.family(catalog, ordinal).map(|(family, _)| family.clone());
                own.or_else(|| more.get((ordinal as usize).checked_sub(known)?).cloned())
            };
            let values = |ordinal| family(ordinal, &more).map(|family| family.values());
            let Ok((record, length)) = Record::parse(rest, 0, values) else { break };
            match record {
                Record::Series { family: ordinal, .. } => {
                    names.extend(family(ordinal, &more).map(|family| family.name));
                }
                Record::Family(family) => more.push(family),
                Record::Gap { .. } | Record::Removal(_) => {}
            }
            rest = &rest[length..];
        }
        names
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// It is taken in.
    In,
    /// The catalog has no memory for it: it is read again later.
    NotNow,
}

impl Classes {
    /// The class of a slot that has written nothing yet.
    pub fn of_prefix(&mut self, catalog: &Catalog, prefix: Mark) -> Rc<Class> {
        let key = (prefix.words, Vec::new());
        let class = self.by_words.entry(key);
        Rc::clone(class.or_insert_with(|| Rc::new(Class::of_prefix(catalog, prefix))))
    }

    /// The class of a slot of `class` whose log goes on with the structure `words`: with all of it, or
    /// with as much as the catalog has memory for.
    ///
    /// # Errors
    /// [`LogError`] when the words are no log.
    pub fn extended(
        &mut self,
        arena: &Arena,
        layout: &Layout,
        catalog: &mut Catalog,
        class: &Rc<Class>,
        words: &[u64],
    ) -> Result<Rc<Class>, LogError> {
        let key = (class.prefix.words, [&class.structure, words].concat());
        if let Some(known) = self.by_words.get(&key) {
            return Ok(Rc::clone(known));
        }
        let mut longer = Class::clone(class);
        longer.extend(arena, layout, catalog, words)?;
        if longer.structure.len() == class.structure.len() {
            return Ok(Rc::clone(class));
        }
        let key = (class.prefix.words, longer.structure.clone());
        let known = self.by_words.entry(key);
        Ok(Rc::clone(known.or_insert_with(|| Rc::new(longer))))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_words.len()
    }

    /// Forgets the classes that no slot is of; gives how many are left.
    pub fn prune(&mut self) -> usize {
        self.by_words.retain(|_, class| Rc::strong_count(class) > 1);
        self.by_words.len()
    }
}

impl Class {
    /// Where series `ordinal` of the slot is; `None` when it has no such series.
    #[must_use]
    pub fn place_of(&self, catalog: &Catalog, ordinal: u32) -> Option<Place> {
        match (ordinal as usize).checked_sub(self.prefix.series) {
            None => Some(place_in(catalog, ordinal)),
            Some(own) => self.own_series.get(own).copied(),
        }
    }

    /// Where a slot of this class has a series of the catalog, and whether it began it itself.
    #[must_use]
    pub fn find(&self, catalog: &Catalog, series: u32) -> Option<(Place, bool)> {
        if (series as usize) < self.prefix.series {
            return Some((place_in(catalog, series), false));
        }
        self.own_by_series.get(&series).map(|&own| (self.own_series[own], true))
    }
}

/// A series of the prefix, whose cells are those of the catalog.
fn place_in(catalog: &Catalog, series: u32) -> Place {
    let from = catalog.contents().series()[series as usize].cell;
    Place { series: Some(series), from, shape: catalog.shape(series) }
}
