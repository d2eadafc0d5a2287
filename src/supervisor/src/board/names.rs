//! What the families of the catalog have to do with each other: which are the same but for their help
//! text, which names have several definitions or share names of samples, and which series are alike.
//!
//! Two series are alike when a reader of pages takes them for one: they have the same labels after
//! the labels that the supervisor adds are added and those with empty values are dropped, in whatever
//! order. Only names that have more than one definition are looked at; a catalog without such a name
//! keeps nothing here but a number for each family.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::discriminant;

use tallyboard_exposition::cells::type_of;
use tallyboard_proto::family::{Family, Kind};
use tallyboard_proto::log::{Contents, Series};

/// Names and values of labels.
pub(crate) type Pairs = Box<[(Box<str>, Box<str>)]>;

/// What the families of a catalog have to do with each other.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The labels that the supervisor adds.
    constant: Pairs,
    /// The first family that is the same as each, but for its help text.
    bases: Vec<u32>,
    /// All families of each name that has several, in the order in which they began.
    definitions: BTreeMap<Box<str>, Vec<u32>>,
    /// Which names write samples of a name.
    of_samples: HashMap<String, BTreeSet<Box<str>>>,
    /// The names that share a sample's name with others, and these others.
    rivals: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// The series of each base whose name is one of the above, in the order of the catalog.
    series: HashMap<u32, Vec<u32>>,
    /// Series that are alike, and where each is.
    alike: Vec<Vec<u32>>,
    place: HashMap<u32, usize>,
    by_labels: HashMap<(u32, Pairs), usize>,
}

/// Whether series of two kinds can become one.
pub(crate) fn joins(one: &Kind, other: &Kind) -> bool {
    discriminant(one) == discriminant(other)
}

impl Names {
    pub(crate) fn new(constant: Pairs) -> Self {
        Self { constant, ..Self::default() }
    }

    /// The labels of a series by which it is alike with others: those of an info without its pairs.
    pub(crate) fn labels_of(&self, family: &Family, values: &[Box<str>]) -> Pairs {
        let own = family.labels.iter().zip(values);
        let is_free = |name: &str| family.labels.iter().all(|own| **own != *name);
        let constant = self.constant.iter().filter(|(name, _)| is_free(name));
        let all = own.chain(constant.map(|(name, value)| (name, value)));
        let full = all.filter(|(_, value)| !value.is_empty());
        let mut labels: Vec<_> = full.map(|(name, value)| (name.clone(), value.clone())).collect();
        labels.sort();
        labels.into()
    }

    /// The first family that is the same as a family, but for its help text: it has the series.
    pub(crate) fn base(&self, family: u32) -> u32 {
        self.bases.get(family as usize).copied().unwrap_or(family)
    }

    /// The names that have several definitions, each with its families.
    pub(crate) fn definitions(&self) -> &BTreeMap<Box<str>, Vec<u32>> {
        &self.definitions
    }

    /// The names that share a sample's name with others.
    pub(crate) fn rivals(&self) -> &BTreeMap<Box<str>, BTreeSet<Box<str>>> {
        &self.rivals
    }

    /// Whether a family, which is a base, is one of several of its name or has rivals.
    pub(crate) fn is_tracked(&self, base: u32) -> bool {
        self.series.contains_key(&base)
    }

    /// The series of a base that is tracked.
    pub(crate) fn series_of(&self, base: u32) -> &[u32] {
        self.series.get(&base).map_or(&[], Vec::as_slice)
    }

    /// The series that are alike with a series, itself included; none where nothing is joined.
    pub(crate) fn alike(&self, series: u32) -> &[u32] {
        self.place.get(&series).map_or(&[], |&at| &self.alike[at])
    }

    /// Takes in a family that has begun.
    pub(crate) fn take_family(&mut self, contents: &Contents, ordinal: u32) {
        let families = contents.families();
        let family = &families[ordinal as usize];
        let named = Self::named(contents, &family.name, ordinal);
        let same = |known: &&u32| families[**known as usize].agrees_with(family);
        let base = named.iter().find(same).copied().unwrap_or(ordinal);
        self.bases.push(base);
        if type_of(&family.kind).is_none() {
            return;
        }
        if named.len() > 1 {
            self.definitions.insert(family.name.clone(), named.clone());
            named.iter().for_each(|&of| self.track(contents, of));
        }
        self.take_samples(contents, family);
    }

    /// Finds the names that write samples of the same name as a family.
    fn take_samples(&mut self, contents: &Contents, family: &Family) {
        let mut met = BTreeSet::new();
        for sample in family.sample_names() {
            let names = self.of_samples.entry(sample).or_default();
            met.extend(names.iter().filter(|name| **name != family.name).cloned());
            names.insert(family.name.clone());
        }
        for other in met {
            self.rivals.entry(family.name.clone()).or_default().insert(other.clone());
            self.rivals.entry(other.clone()).or_default().insert(family.name.clone());
            for name in [&family.name, &other] {
                let named = Self::named(contents, name, self.bases.len() as u32 - 1);
                named.into_iter().for_each(|of| self.track(contents, of));
            }
        }
    }

    /// The families of a name up to one: a catalog that is taken over has later ones already.
    fn named(contents: &Contents, name: &str, last: u32) -> Vec<u32> {
        let mut named = contents.families_named(name);
        named.retain(|of| *of <= last);
        named
    }

    /// From now on the series of a family are known, those that there are already, too.
    fn track(&mut self, contents: &Contents, family: u32) {
        let base = self.base(family);
        if self.series.contains_key(&base) {
            return;
        }
        self.series.insert(base, Vec::new());
        for (series, ordinal) in contents.series().iter().zip(0..) {
            if series.family == base {
                self.add(contents, series, ordinal);
            }
        }
    }

    /// Takes in a series that has begun.
    pub(crate) fn take_series(&mut self, contents: &Contents, ordinal: u32) {
        let series = &contents.series()[ordinal as usize];
        if self.series.contains_key(&series.family) {
            self.add(contents, series, ordinal);
        }
    }

    fn add(&mut self, contents: &Contents, series: &Series, ordinal: u32) {
        self.series.entry(series.family).or_default().push(ordinal);
        let family = &contents.families()[series.family as usize];
        // An info has a series for each set of pairs: the newest is shown, and each ends by itself.
        if family.kind == Kind::Info {
            return;
        }
        let named = contents.families_named(&family.name);
        let joined = |of: &&u32| joins(&contents.families()[**of as usize].kind, &family.kind);
        let first = named.iter().find(joined).copied().unwrap_or(series.family);
        let key = (first, self.labels_of(family, &series.values));
        let at = *self.by_labels.entry(key).or_insert(self.alike.len());
        if at == self.alike.len() {
            self.alike.push(Vec::new());
        }
        // A definition may be looked at after later ones: the order is that of the catalog.
        let behind = self.alike[at].partition_point(|&known| known < ordinal);
        self.alike[at].insert(behind, ordinal);
        self.place.insert(ordinal, at);
    }
}
