//! Families on their way into one page, where no two samples have the same name and labels although
//! their names have become alike.
//!
//! Rules: what kept its name comes first, and what came first stays. Series of one family that have
//! become alike are joined as their type has it ([`crate::join`]), or else the later one is left out as
//! a whole. Nothing is joined or left out without being counted under the name that it really has.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use crate::join::join;
use crate::sample::{FamilySamples, Labels, Sample, Timestamp};
use crate::series::{points, series_labels};

/// Families whose names a scheme allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Escaped<'a> {
    /// The families, in the order they had; the merged ones where the first of them was.
    pub families: Cow<'a, [FamilySamples]>,
    /// Families that are now part of another one, which had the same name after escaping.
    pub merged: usize,
    /// What has become like something else, by name.
    pub collisions: Vec<Collision>,
    /// The names that families really have, where it is another one.
    origins: HashMap<String, String>,
}

/// Series that have the name and labels of others after escaping, or one label twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    /// The name of their family, as it really is.
    pub family: String,
    /// What became of them.
    pub outcome: Outcome,
    /// How many they are.
    pub series: usize,
}

/// What becomes of series that are like others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// They are part of the others.
    Joined,
    /// They are not shown.
    LeftOut,
}

impl Outcome {
    /// The value of a label that says so.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::LeftOut => "left_out",
        }
    }
}

impl<'a> Escaped<'a> {
    /// Families that stay as they are.
    pub(crate) fn unchanged(families: &'a [FamilySamples]) -> Self {
        let families = Cow::Borrowed(families);
        Self { families, merged: 0, collisions: Vec::new(), origins: HashMap::new() }
    }

    /// The name that a family really has; of several, that of the first.
    #[must_use]
    pub fn origin<'n>(&'n self, escaped: &'n str) -> &'n str {
        self.origins.get(escaped).map_or(escaped, String::as_str)
    }

    /// How many series were left out.
    #[must_use]
    pub fn left_out(&self) -> usize {
        let left_out = self.collisions.iter().filter(|of| of.outcome == Outcome::LeftOut);
        left_out.map(|of| of.series).sum()
    }
}

/// Families under other names, for a receiver with names of its own: `word` makes a name of a family or
/// of a label one that it has, and leaves one that it has already. What becomes alike is merged, joined
/// and left out as by [`Escaping::apply`](crate::escaping::Escaping::apply).
#[must_use]
pub fn renamed<'a>(families: &'a [FamilySamples], word: impl Fn(&str) -> String) -> Escaped<'a> {
    let is_new = |name: &str| word(name) != name;
    let has_new = |family: &FamilySamples| {
        let mut labels = family.samples.iter().flat_map(Sample::labels);
        is_new(&family.name) || labels.any(|(name, _)| is_new(name))
    };
    if !families.iter().any(has_new) {
        return Escaped::unchanged(families);
    }
    let sample = |sample: &Sample| {
        let labels = sample.labels().map(|(name, value)| (word(name), value.to_owned()));
        Sample { labels: labels.collect(), ..sample.clone() }
    };
    let family = |of: &FamilySamples| FamilySamples {
        name: word(&of.name),
        samples: of.samples.iter().map(sample).collect(),
        ..header(of)
    };
    merged(families, families.iter().map(family).collect(), |_| true)
}

/// The page of families that have become `changed`, and which of them may be joined with others. What has
/// kept its name has the older right to it.
pub(crate) fn merged(
    families: &[FamilySamples],
    changed: Vec<FamilySamples>,
    may_join: impl Fn(&str) -> bool,
) -> Escaped<'static> {
    let mut merge = Merge::of(&changed);
    let each = changed.into_iter().zip(families).enumerate();
    let (kept, changed): (Vec<_>, Vec<_>) =
        each.partition(|(_, (changed, family))| changed.name == family.name);
    for (at, (changed, family)) in kept.into_iter().chain(changed) {
        let origin = Origin { at, name: &family.name, may_join: may_join(&family.name) };
        // Where each label has a name of its own, series that differed differ.
        let may_be_alike = labels(&changed) != labels(family);
        merge.add(origin, changed, may_be_alike);
    }
    merge.finish()
}

/// How many names the labels of a family have.
fn labels(family: &FamilySamples) -> usize {
    let labels = family.samples.iter().flat_map(Sample::labels);
    labels.map(|(name, _)| name).collect::<HashSet<_>>().len()
}

/// What a family is without its escaped name.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    /// Where it is among the others.
    at: usize,
    /// Its real name.
    name: &'a str,
    /// Whether its series may be joined with those of others.
    may_join: bool,
}

/// What there is once in a page: a name with labels, in order, and a moment.
type Key = (String, Labels, Option<Timestamp>);

/// A series that is taken in: where its samples are, and whether others may be joined with it.
type Taken = (Range<usize>, bool);

/// Families on their way into one page.
#[derive(Debug)]
struct Merge {
    families: Vec<(usize, FamilySamples)>,
    /// How many families a name belongs to, as that of a family or of a sample.
    owners: HashMap<String, usize>,
    /// Where the family of a name is.
    places: HashMap<String, usize>,
    /// Samples that are taken in.
    samples: HashSet<Key>,
    /// Series that are taken in, under the name of their family.
    series: HashMap<Key, Taken>,
    merged: usize,
    collisions: BTreeMap<(Outcome, String), usize>,
    origins: HashMap<String, String>,
}

impl Merge {
    /// Nothing yet of these families.
    fn of(families: &[FamilySamples]) -> Self {
        let mut owners = HashMap::new();
        for name in families.iter().flat_map(names) {
            *owners.entry(name).or_default() += 1;
        }
        Self {
            families: Vec::with_capacity(families.len()),
            owners,
            places: HashMap::new(),
            samples: HashSet::new(),
            series: HashMap::new(),
            merged: 0,
            collisions: BTreeMap::new(),
            origins: HashMap::new(),
        }
    }

    /// Takes in a family; one with names that others have too, or whose series may have become alike,
    /// series by series.
    fn add(&mut self, of: Origin<'_>, mut family: FamilySamples, may_be_alike: bool) {
        let is_shared = |name: &String| self.owners.get(name).is_some_and(|owners| *owners > 1);
        let is_alone = !may_be_alike && !names(&family).iter().any(is_shared);
        let place = match self.places.get(&family.name) {
            Some(&place) if self.families[place].1.kind != family.kind => {
                return self.count(Outcome::LeftOut, of.name, points(&family).len());
            }
            Some(&place) => {
                self.merged += 1;
                place
            }
            None => {
                if family.name != of.name {
                    self.origins.insert(family.name.clone(), of.name.to_owned());
                }
                self.places.insert(family.name.clone(), self.families.len());
                let empty = FamilySamples { samples: Vec::new(), ..header(&family) };
                self.families.push((of.at, empty));
                self.families.len() - 1
            }
        };
        let (first, into) = &mut self.families[place];
        *first = of.at.min(*first);
        if is_alone {
            into.samples.append(&mut family.samples);
            return;
        }
        for point in points(&family) {
            self.take(of, place, &family, point);
        }
    }

    /// Takes in a series, joins it, or leaves it out: what belongs together is never taken apart.
    fn take(&mut self, of: Origin<'_>, place: usize, family: &FamilySamples, point: &[Sample]) {
        let Some(first) = point.first() else { return };
        let names = point.iter().map(|sample| {
            let name = format!("{}{}", family.name, sample.suffix);
            (name, sorted(sample.labels()), sample.timestamp)
        });
        let names: Vec<Key> = names.collect();
        let labels = sorted(series_labels(family.kind, &first.labels));
        let series = (family.name.clone(), labels, first.timestamp);
        let is_twice = |(_, labels, _): &Key| labels.windows(2).any(|two| two[0].0 == two[1].0);
        if names.iter().any(is_twice) {
            return self.count(Outcome::LeftOut, of.name, 1);
        }
        let into = &mut self.families[place].1.samples;
        if let Some((range, may_join)) = self.series.get(&series) {
            let is_allowed = of.may_join && *may_join;
            let is_joined = is_allowed && join(family.kind, &mut into[range.clone()], point);
            let outcome = if is_joined { Outcome::Joined } else { Outcome::LeftOut };
            return self.count(outcome, of.name, 1);
        }
        if names.iter().any(|name| self.samples.contains(name)) {
            return self.count(Outcome::LeftOut, of.name, 1);
        }
        self.samples.extend(names);
        self.series.insert(series, (into.len()..into.len() + point.len(), of.may_join));
        into.extend_from_slice(point);
    }

    fn count(&mut self, outcome: Outcome, family: &str, series: usize) {
        *self.collisions.entry((outcome, family.to_owned())).or_default() += series;
    }

    /// All of it.
    fn finish(mut self) -> Escaped<'static> {
        self.families.sort_by_key(|(at, _)| *at);
        let collisions = self.collisions.into_iter();
        let collisions =
            collisions.map(|((outcome, family), series)| Collision { family, outcome, series });
        Escaped {
            families: self.families.into_iter().map(|(_, family)| family).collect(),
            merged: self.merged,
            collisions: collisions.collect(),
            origins: self.origins,
        }
    }
}

/// A family without its samples.
fn header(family: &FamilySamples) -> FamilySamples {
    let (unit, help) = (family.unit.clone(), family.help.clone());
    FamilySamples { unit, ..FamilySamples::new(family.kind, &family.name, &help) }
}

/// The names of a family and of its samples, each once.
fn names(family: &FamilySamples) -> Vec<String> {
    let mut suffixes = vec![""];
    for sample in &family.samples {
        if !suffixes.contains(&&*sample.suffix) {
            suffixes.push(&sample.suffix);
        }
    }
    suffixes.into_iter().map(|suffix| format!("{}{suffix}", family.name)).collect()
}

fn sorted<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Labels {
    let mut labels: Labels =
        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    labels.sort();
    labels
}
