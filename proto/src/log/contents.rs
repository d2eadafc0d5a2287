//! What a log says, parsed.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::error::LogError;
use super::record::{Record, Removal};
use crate::cell::Shape;
use crate::family::{BUCKET_PREFIX, Family, Kind};
use crate::native::Bucket;

/// A series of a [`Contents`].
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Ordinal of the family.
    pub family: u32,
    /// When it began, in milliseconds of Unix time; 0 when nobody knows.
    pub created_ms: u64,
    /// Label values.
    pub values: Box<[Box<str>]>,
    /// Its first cell.
    pub cell: usize,
}

/// The state of a log after one of its records: where a prefix may end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Words up to here.
    pub words: usize,
    /// Families begun up to here.
    pub families: usize,
    /// Series begun up to here.
    pub series: usize,
    /// Cells owned up to here.
    pub cells: usize,
}

/// What a log says, parsed: families and series by ordinal, by name and by label values.
#[derive(Clone, Debug)]
pub struct Contents {
    families: Vec<Family>,
    series: Vec<Series>,
    series_of_family: Vec<u32>,
    marks: Vec<Mark>,
    by_name: HashTable<u32>,
    by_values: HashTable<u32>,
    /// The buckets of each native histogram, by ordinal of its series.
    buckets: HashMap<u32, Vec<(Bucket, u32)>>,
    hasher: DefaultHashBuilder,
    cell_limit: usize,
}

/// What a record began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The family of this ordinal.
    Family(usize),
    /// The series of this ordinal.
    Series(usize),
    /// Cells that nobody owns.
    Gap,
    /// Nothing: a series that there is was removed, reset or is held again.
    Nothing,
}

impl Contents {
    /// An empty log over `cell_limit` cells.
    #[must_use]
    pub fn new(cell_limit: usize) -> Self {
        Self {
            families: Vec::new(),
            series: Vec::new(),
            series_of_family: Vec::new(),
            marks: Vec::new(),
            by_name: HashTable::new(),
            by_values: HashTable::new(),
            buckets: HashMap::new(),
            hasher: DefaultHashBuilder::default(),
            cell_limit,
        }
    }

    /// Allows cells up to `cell_limit`; those that are owned already stay.
    pub fn set_cell_limit(&mut self, cell_limit: usize) {
        self.cell_limit = cell_limit;
    }

    /// Parses `words` as the log that follows what is here already.
    ///
    /// # Errors
    /// [`LogError`] at the first record that does not parse; the records before it are here.
    pub fn extend(&mut self, words: &[u64]) -> Result<(), LogError> {
        let start = self.end().words;
        let mut rest = words;
        while !rest.is_empty() {
            let at = start + words.len() - rest.len();
            let (record, length) = Record::parse(rest, at, |family| self.values_of(family))?;
            self.push(record, length)?;
            rest = &rest[length..];
        }
        Ok(())
    }

    fn values_of(&self, family: u32) -> Option<usize> {
        self.families.get(family as usize).map(Family::values)
    }

    /// Takes in one record of `length` words.
    ///
    /// # Errors
    /// [`LogError`] when its family is unknown or its cells do not fit; nothing changed.
    pub fn push(&mut self, record: Record, length: usize) -> Result<Begun, LogError> {
        let mut mark = self.end();
        let at = mark.words;
        if let Record::Series { family, values, .. } = &record
            && self.values_of(*family) != Some(values.len())
        {
            return Err(LogError::Series { at, family: *family, found: values.len() });
        }
        if let Record::Series { family, values, .. } = &record {
            check_values(&self.families[*family as usize], values, at)?;
        }
        if let Record::Removal(removal) = &record {
            self.check(removal, at)?;
        }
        let (needed, limit) = (mark.cells + self.cells_of(&record), self.cell_limit);
        if needed > limit {
            return Err(LogError::Cells { at, needed, limit });
        }
        let begun = self.begin(record, mark.cells);
        mark.words += length;
        mark.families = self.families.len();
        mark.series = self.series.len();
        mark.cells = needed;
        self.marks.push(mark);
        Ok(begun)
    }

    /// Checks that a removal at word `at` is one of a series that is here, and of no buckets but its
    /// own.
    ///
    /// # Errors
    /// [`LogError::Removal`] when it is not.
    pub fn check(&self, removal: &Removal, at: usize) -> Result<(), LogError> {
        let series = self.series.get(removal.series as usize);
        let shape = series.map_or(Shape::Gap { cells: 0 }, |series| self.shape(series));
        let own = self.buckets_of(removal.series);
        let is_own =
            |bucket: u64| own.binary_search_by_key(&bucket, |&(_, at)| u64::from(at)).is_ok();
        if removal.fits(shape, is_own) {
            return Ok(());
        }
        let (expected, found) = (shape.width(), removal.cells.len());
        Err(LogError::Removal { at, series: removal.series, expected, found })
    }

    /// The series of a native histogram that a series is a bucket of, if it is one, and which one.
    fn histogram_of(&self, series: usize) -> Option<(u32, Bucket)> {
        let entry = &self.series[series];
        let family = &self.families[entry.family as usize];
        let bucket = family.bucket_of(&entry.values)?;
        let Kind::Bucket(native) = &family.kind else { return None };
        let name = family.name.strip_prefix(BUCKET_PREFIX)?;
        // A log may use a name for different things: the first that is the same and has the series is
        // meant.
        let is_histogram = |ordinal: &u32| {
            let of = &self.families[*ordinal as usize];
            let is_same = matches!(&of.kind, Kind::NativeHistogram(of) if of == native);
            is_same
                && *of.name == *name
                && family.labels.split_last().is_some_and(|(_, l)| *l == *of.labels)
        };
        let named = self.by_name.iter_hash(self.hasher.hash_one(name)).copied();
        let mut histograms: Vec<u32> = named.filter(is_histogram).collect();
        histograms.sort_unstable();
        let (_, values) = entry.values.split_last()?;
        let series = histograms.into_iter().find_map(|of| self.find_series(of, values))?;
        Some((series, bucket))
    }

    /// The buckets of the series of a native histogram, with the ordinals of their series, which
    /// rise.
    #[must_use]
    pub fn buckets_of(&self, histogram: u32) -> &[(Bucket, u32)] {
        self.buckets.get(&histogram).map_or(&[], Vec::as_slice)
    }

    /// How many cells `record` would own here; none for a series of a family that is not here.
    #[must_use]
    pub fn cells_of(&self, record: &Record) -> usize {
        match record {
            Record::Family(_) | Record::Removal(_) => 0,
            Record::Gap { cells } => *cells as usize,
            Record::Series { family, .. } => {
                self.families.get(*family as usize).map_or(0, |family| family.kind.cells())
            }
        }
    }

    fn begin(&mut self, record: Record, cell: usize) -> Begun {
        match record {
            Record::Family(family) => {
                let ordinal = self.families.len();
                let (hasher, families) = (&self.hasher, &self.families);
                let hash = hasher.hash_one(&*family.name);
                self.by_name.insert_unique(hash, ordinal as u32, |&other| {
                    hasher.hash_one(&*families[other as usize].name)
                });
                self.families.push(family);
                self.series_of_family.push(0);
                Begun::Family(ordinal)
            }
            Record::Series { family, created_ms, values } => {
                let ordinal = self.series.len();
                let (hasher, series) = (&self.hasher, &self.series);
                let hash = hash_values(hasher, family, values.iter().map(|value| &**value));
                self.by_values.insert_unique(hash, ordinal as u32, |&other| {
                    let other = &series[other as usize];
                    hash_values(hasher, other.family, other.values.iter().map(|value| &**value))
                });
                self.series.push(Series { family, created_ms, values, cell });
                self.series_of_family[family as usize] += 1;
                if let Some((histogram, bucket)) = self.histogram_of(ordinal) {
                    self.buckets.entry(histogram).or_default().push((bucket, ordinal as u32));
                }
                Begun::Series(ordinal)
            }
            Record::Gap { .. } => Begun::Gap,
            Record::Removal(_) => Begun::Nothing,
        }
    }

    /// Where the log ends.
    #[must_use]
    pub fn end(&self) -> Mark {
        self.marks.last().copied().unwrap_or_default()
    }

    /// The state after the first `words` words; `None` when no record ends there.
    #[must_use]
    pub fn mark(&self, words: usize) -> Option<Mark> {
        if words == 0 {
            return Some(Mark::default());
        }
        let at = self.marks.binary_search_by_key(&words, |mark| mark.words).ok()?;
        Some(self.marks[at])
    }

    /// The families, by ordinal.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The series, by ordinal and so by cell.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// A process begins a series anew at `created_ms`.
    pub fn renew(&mut self, series: u32, created_ms: u64) {
        if let Some(series) = self.series.get_mut(series as usize) {
            series.created_ms = created_ms;
        }
    }

    /// How many series `family` has.
    #[must_use]
    pub fn series_of_family(&self, family: u32) -> usize {
        self.series_of_family[family as usize] as usize
    }

    /// The families of that name (without `_total`), in the order in which they began: a log may use a
    /// name for different things.
    pub fn families_named(&self, name: &str) -> Vec<u32> {
        let hash = self.hasher.hash_one(name);
        let named = self.by_name.iter_hash(hash).copied();
        let mut found: Vec<u32> =
            named.filter(|&family| &*self.families[family as usize].name == name).collect();
        found.sort_unstable();
        found
    }

    /// The first family of that name (without `_total`).
    #[must_use]
    pub fn find_family(&self, name: &str) -> Option<u32> {
        self.families_named(name).first().copied()
    }

    /// The family that means the same as `family`.
    #[must_use]
    pub fn find(&self, family: &Family) -> Option<u32> {
        let agrees = |&known: &u32| self.families[known as usize].agrees_with(family);
        self.families_named(&family.name).into_iter().find(agrees)
    }

    /// The family that means the same as `family` and says so in the same words.
    #[must_use]
    pub fn find_worded(&self, family: &Family) -> Option<u32> {
        let is_it = |&known: &u32| {
            let known = &self.families[known as usize];
            known.agrees_with(family) && known.help == family.help
        };
        self.families_named(&family.name).into_iter().find(is_it)
    }

    /// The first series of `family` with these label values: a log may begin it twice.
    #[must_use]
    pub fn find_series<S: AsRef<str>>(&self, family: u32, values: &[S]) -> Option<u32> {
        let hash = hash_values(&self.hasher, family, values.iter().map(AsRef::as_ref));
        let same = |series: &u32| {
            let series = &self.series[*series as usize];
            series.family == family
                && series.values.len() == values.len()
                && series.values.iter().zip(values).all(|(a, b)| **a == *b.as_ref())
        };
        self.by_values.iter_hash(hash).copied().filter(same).min()
    }

    /// The shape of the cells of `series`.
    #[must_use]
    pub fn shape(&self, series: &Series) -> Shape {
        self.families[series.family as usize].shape(&series.values)
    }

    /// The records that make the same families and series stand at the same cells in a log that
    /// begins with the part of this one up to `prefix`: what a worker writes into a new slot.
    pub fn records_after(&self, prefix: Mark) -> impl Iterator<Item = Record> + use<'_> {
        let families =
            self.families[prefix.families..].iter().map(|family| Record::Family(family.clone()));
        let mut cell = prefix.cells;
        let series = self.series[prefix.series..].iter().flat_map(move |series| {
            let gap = (series.cell - cell) as u32;
            cell = series.cell + self.families[series.family as usize].kind.cells();
            let gap = (gap != 0).then_some(Record::Gap { cells: gap });
            let record = Record::Series {
                family: series.family,
                created_ms: series.created_ms,
                values: series.values.clone(),
            };
            gap.into_iter().chain([record])
        });
        families.chain(series)
    }
}

/// Checks the values of a series of `family` whose record stands at word `at`.
///
/// # Errors
/// [`LogError::Value`] for one that the kind of the family cannot have.
pub fn check_values(family: &Family, values: &[Box<str>], at: usize) -> Result<(), LogError> {
    let Some(expected) = family.wrong_value(values) else { return Ok(()) };
    let found = values.last().cloned().unwrap_or_default();
    Err(LogError::Value { at, expected, found })
}

/// Hashes label values so that ("ab", "c") and ("a", "bc") differ: `str` hashes end in a mark.
fn hash_values<'a>(
    hasher: &DefaultHashBuilder,
    family: u32,
    values: impl Iterator<Item = &'a str>,
) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut state = hasher.build_hasher();
    family.hash(&mut state);
    values.for_each(|value| value.hash(&mut state));
    state.finish()
}
