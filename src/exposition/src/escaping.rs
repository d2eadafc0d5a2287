//! Names that are not made of `[a-zA-Z0-9_:]`, for readers that know no others
//! (<https://prometheus.io/docs/instrumenting/escaping_schemes/>). Where that page and Prometheus'
//! Go code (`model/metric.go` of `prometheus/common`) differ, this does what the code does.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::sample::{FamilySamples, Labels, Sample, Timestamp, Type};
use crate::series::{points, series_labels};

/// What becomes of a name that a legacy reader does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// It stays, in quotes.
    AllowUtf8,
    /// Each wrong character becomes `_`.
    #[default]
    Underscores,
    /// A dot becomes `_dot_`, an underscore and any other wrong character `__`.
    Dots,
    /// `U__`, then the name with wrong characters as `_hex_` and underscores doubled.
    Values,
}

/// Whether a name matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[must_use]
pub fn is_legacy_name(name: &str) -> bool {
    is_legacy(name, true)
}

/// Whether the name of a label matches `[a-zA-Z_][a-zA-Z0-9_]*`.
#[must_use]
pub fn is_legacy_label(name: &str) -> bool {
    is_legacy(name, false)
}

fn is_legacy(name: &str, colons: bool) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || colons && byte == b':';
    let starts_well = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    starts_well && name.bytes().all(is_good)
}

fn is_legacy_char(at: usize, character: char, colons: bool) -> bool {
    character.is_ascii_alphabetic()
        || character == '_'
        || colons && character == ':'
        || at > 0 && character.is_ascii_digit()
}

impl Escaping {
    /// Every scheme.
    pub const EVERY: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// Its name in the parameter `escaping` of a media type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The scheme of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|scheme| scheme.name() == name)
    }

    /// A name in this scheme: what Go's `EscapeName` makes of it.
    #[must_use]
    pub fn escape(self, name: &str) -> Cow<'_, str> {
        self.escape_any(name, true)
    }

    fn escape_any(self, name: &str, colons: bool) -> Cow<'_, str> {
        let stays = match self {
            Self::AllowUtf8 => true,
            Self::Underscores | Self::Values => is_legacy(name, colons),
            // What is legal is escaped too, because of its underscores.
            Self::Dots => false,
        };
        if stays || name.is_empty() {
            return Cow::Borrowed(name);
        }
        let mut escaped = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            escaped.push_str("U__");
        }
        for (at, character) in name.char_indices() {
            match (self, character) {
                (Self::Dots | Self::Values, '_') => escaped.push_str("__"),
                (Self::Dots, '.') => escaped.push_str("_dot_"),
                _ if is_legacy_char(at, character, colons) => escaped.push(character),
                (Self::Dots, _) => escaped.push_str("__"),
                (Self::Values, _) => escaped.push_str(&format!("_{:x}_", u32::from(character))),
                _ => escaped.push('_'),
            }
        }
        Cow::Owned(escaped)
    }

    /// The name that `escaped` was, where the scheme keeps it; else `escaped` itself: what Go's
    /// `UnescapeName` makes of it.
    #[must_use]
    pub fn unescape(self, escaped: &str) -> Cow<'_, str> {
        match self {
            Self::AllowUtf8 | Self::Underscores => Cow::Borrowed(escaped),
            Self::Dots if !escaped.contains('_') => Cow::Borrowed(escaped),
            Self::Dots => Cow::Owned(escaped.replace("_dot_", ".").replace("__", "_")),
            Self::Values => unescape_values(escaped).map_or(Cow::Borrowed(escaped), Cow::Owned),
        }
    }

    /// The families with names that this scheme allows. Of what has the same name then, families
    /// of one type are merged, and what still contradicts something else is left out and counted.
    #[must_use]
    pub fn apply(self, families: &[FamilySamples]) -> Escaped<'_> {
        let needs = |family: &FamilySamples| needs_escaping(family);
        if self == Self::AllowUtf8 || !families.iter().any(needs) {
            let families = Cow::Borrowed(families);
            return Escaped { families, merged: 0, refused_families: 0, refused_samples: 0 };
        }
        let escaped: Vec<FamilySamples> =
            families.iter().map(|family| self.family(family)).collect();
        let mut merge = Merge { owners: owners(&escaped), ..Merge::default() };
        // Names that need no escaping have the older right to them.
        let pairs = escaped.into_iter().zip(families).enumerate();
        let (kept, changed): (Vec<_>, Vec<_>) =
            pairs.partition(|(_, (escaped, family))| escaped.name == family.name);
        for (at, (escaped, family)) in kept.into_iter().chain(changed) {
            let has_new_labels = family.samples.iter().any(|sample| !has_legacy_labels(sample));
            merge.add(at, escaped, has_new_labels);
        }
        merge.finish()
    }

    fn family(self, family: &FamilySamples) -> FamilySamples {
        let name = self.family_name(family);
        let samples = family.samples.iter().map(|sample| self.sample(family, &name, sample));
        let samples = samples.collect();
        let (unit, help) = (family.unit.clone(), family.help.clone());
        FamilySamples { kind: family.kind, name, unit, help, samples }
    }

    /// The name of a family: as in Go, a legal one stays as it is, and what a counter and an info
    /// are called there ends as their samples do. A set of states is also called as one of its
    /// labels is, which must not have a colon.
    fn family_name(self, family: &FamilySamples) -> String {
        let colons = family.kind != Type::StateSet;
        if is_legacy(&family.name, colons) {
            return family.name.clone();
        }
        let suffix = match family.kind {
            Type::Counter => "_total",
            Type::Info => "_info",
            _ => "",
        };
        let has_suffix = family.samples.iter().all(|sample| !sample.suffix.is_empty());
        let suffix = if has_suffix { suffix } else { "" };
        let name = format!("{}{suffix}", family.name);
        let escaped = self.escape_any(&name, colons);
        escaped.strip_suffix(suffix).unwrap_or(&escaped).to_owned()
    }

    fn sample(self, family: &FamilySamples, name: &str, sample: &Sample) -> Sample {
        let label = |label: &str| {
            // The states of a set are in the label that has the family's name.
            if family.kind == Type::StateSet && label == family.name {
                name.to_owned()
            } else if is_legacy_label(label) {
                label.to_owned()
            } else {
                self.escape_any(label, false).into_owned()
            }
        };
        let labels = |labels: &Labels| -> Labels {
            labels.iter().map(|(name, value)| (label(name), value.clone())).collect()
        };
        let mut escaped = Sample { labels: labels(&sample.labels), ..sample.clone() };
        let native = escaped.native.iter_mut().flat_map(|native| &mut native.exemplars);
        for exemplar in escaped.exemplar.iter_mut().chain(native) {
            exemplar.labels = labels(&exemplar.labels);
        }
        escaped
    }
}

fn needs_escaping(family: &FamilySamples) -> bool {
    let is_legacy_set = family.kind != Type::StateSet || is_legacy_label(&family.name);
    let is_legacy = is_legacy_name(&family.name) && is_legacy_set;
    !is_legacy || !family.samples.iter().all(has_legacy_labels)
}

/// Whether the names of the labels of a sample and of its exemplars stay as they are.
fn has_legacy_labels(sample: &Sample) -> bool {
    let of_native = sample.native.iter().flat_map(|native| &native.exemplars);
    let exemplars = sample.exemplar.iter().chain(of_native).map(|exemplar| &exemplar.labels);
    exemplars.chain([&sample.labels]).flatten().all(|(name, _)| is_legacy_label(name))
}

/// How many families a name belongs to, as that of a family or of a sample.
fn owners(families: &[FamilySamples]) -> HashMap<String, usize> {
    let mut owners = HashMap::new();
    for family in families {
        for name in names(family) {
            *owners.entry(name).or_default() += 1;
        }
    }
    owners
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

/// Families whose names a scheme allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Escaped<'a> {
    /// The families, in the order they had; the merged ones where the first of them was.
    pub families: Cow<'a, [FamilySamples]>,
    /// Families that are now part of another one, which had the same name after escaping.
    pub merged: usize,
    /// Families left out because one of another type has the same name after escaping.
    pub refused_families: usize,
    /// Samples left out because they, or their series, have the name and labels of other ones after
    /// escaping, or one label twice.
    pub refused_samples: usize,
}

/// What there is once in a page: a name with labels, in order, and a moment.
type Key = (String, Labels, Option<Timestamp>);

/// Families on their way into one page, where no two samples have the same name and labels.
#[derive(Default)]
struct Merge {
    families: Vec<(usize, FamilySamples)>,
    /// How many families a name belongs to.
    owners: HashMap<String, usize>,
    /// Where the family of a name is.
    places: HashMap<String, usize>,
    /// Samples, and series under the name of their family with a space behind it.
    taken: HashSet<Key>,
    merged: usize,
    refused_families: usize,
    refused_samples: usize,
}

impl Merge {
    fn add(&mut self, at: usize, mut family: FamilySamples, has_new_labels: bool) {
        let place = self.places.get(&family.name).copied();
        if place.is_some_and(|place| self.families[place].1.kind != family.kind) {
            self.refused_families += 1;
            return;
        }
        let is_shared = |name: &String| self.owners.get(name).is_some_and(|owners| *owners > 1);
        if has_new_labels || names(&family).iter().any(is_shared) {
            self.retain_new(&mut family);
        }
        match place {
            Some(place) => {
                let (first, into) = &mut self.families[place];
                *first = at.min(*first);
                into.samples.append(&mut family.samples);
                self.merged += 1;
            }
            None => {
                self.places.insert(family.name.clone(), self.families.len());
                self.families.push((at, family));
            }
        }
    }

    /// Leaves out what is there already.
    fn retain_new(&mut self, family: &mut FamilySamples) {
        let points = points(family).into_iter();
        let new: Vec<Sample> =
            points.filter(|point| self.is_new(family, point)).flatten().cloned().collect();
        self.refused_samples += family.samples.len() - new.len();
        family.samples = new;
    }

    /// Whether nothing of a point is there yet; then all of it is. What belongs together is taken
    /// or refused together: buckets of two histograms are no histogram.
    fn is_new(&mut self, family: &FamilySamples, point: &[Sample]) -> bool {
        let sorted = |labels: &mut dyn Iterator<Item = (&str, &str)>| -> Labels {
            let mut labels: Labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            labels.sort();
            labels
        };
        let series = |sample: &Sample| {
            let labels = sorted(&mut series_labels(family.kind, &sample.labels));
            (format!("{} ", family.name), labels, sample.timestamp)
        };
        let name = |sample: &Sample| {
            let name = format!("{}{}", family.name, sample.suffix);
            (name, sorted(&mut sample.labels()), sample.timestamp)
        };
        let mut keys: Vec<Key> = point.iter().map(name).collect();
        keys.extend(point.first().map(series));
        let is_twice = |labels: &Labels| labels.windows(2).any(|two| two[0].0 == two[1].0);
        let is_new = keys.iter().all(|key| !is_twice(&key.1) && !self.taken.contains(key));
        if is_new {
            self.taken.extend(keys);
        }
        is_new
    }

    fn finish(mut self) -> Escaped<'static> {
        self.families.sort_by_key(|(at, _)| *at);
        Escaped {
            families: self.families.into_iter().map(|(_, family)| family).collect(),
            merged: self.merged,
            refused_families: self.refused_families,
            refused_samples: self.refused_samples,
        }
    }
}

fn unescape_values(escaped: &str) -> Option<String> {
    /// The Go code reads no more digits, so that it leaves characters from U+100000 escaped.
    const MOST_DIGITS: usize = 5;
    let mut rest = escaped.strip_prefix("U__")?;
    let mut name = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        let (code, after) = rest[at + 1..].split_once('_')?;
        if code.is_empty() {
            name.push('_');
        } else {
            let is_hex = code.bytes().all(|digit| digit.is_ascii_hexdigit());
            if !is_hex || code.len() > MOST_DIGITS {
                return None;
            }
            name.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}
