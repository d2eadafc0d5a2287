//! Names that are not made of `[a-zA-Z0-9_:]`, for readers that know no others
//! (<https://prometheus.io/docs/instrumenting/escaping_schemes/>). Where that page and Prometheus'
//! Go code (`model/metric.go` of `prometheus/common`) differ, this does what the code does, but for a
//! label that would begin with two underscores: see [`Escaping::escape_label`].

use std::borrow::Cow;

use crate::merge::merged;
use crate::sample::{Exemplar, FamilySamples, Sample, Type};

pub use crate::merge::{Collision, Escaped, Outcome, renamed};

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

    /// The name of a label in this scheme. One that would begin with two underscores, which no label of
    /// a page may, is the one that it has in [`Values`](Self::Values): so no reader refuses it, and it is
    /// like no other.
    #[must_use]
    pub fn escape_label(self, name: &str) -> Cow<'_, str> {
        if self == Self::AllowUtf8 || is_legacy_label(name) {
            return Cow::Borrowed(name);
        }
        let escaped = self.escape_any(name, false);
        if escaped.starts_with("__") { Self::Values.escape_any(name, false) } else { escaped }
    }

    /// Whether two labels may stand beside each other: in no scheme do they have the same name.
    #[must_use]
    pub fn are_apart(one: &str, other: &str) -> bool {
        Self::EVERY.iter().all(|scheme| scheme.escape_label(one) != scheme.escape_label(other))
    }

    /// An exemplar with labels that this scheme allows; `None` when two of them have the same name then.
    #[must_use]
    pub fn exemplar(self, mut exemplar: Exemplar) -> Option<Exemplar> {
        if exemplar.labels.iter().all(|(name, _)| is_legacy_label(name)) {
            return Some(exemplar);
        }
        for (name, _) in &mut exemplar.labels {
            *name = self.escape_label(name).into_owned();
        }
        let mut names: Vec<&String> = exemplar.labels.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let differ = names.windows(2).all(|pair| pair[0] != pair[1]);
        differ.then_some(exemplar)
    }

    /// The families with names that this scheme allows. Of what has the same name then, families
    /// of one type are merged and their series joined as the type has it; what still contradicts
    /// something else is left out. Both are counted.
    #[must_use]
    pub fn apply(self, families: &[FamilySamples]) -> Escaped<'_> {
        self.apply_with(families, |_| true)
    }

    /// The same, where only some families may be joined with others, by name.
    #[must_use]
    pub fn apply_with(
        self,
        families: &[FamilySamples],
        may_join: impl Fn(&str) -> bool,
    ) -> Escaped<'_> {
        if self == Self::AllowUtf8 || !families.iter().any(needs_escaping) {
            return Escaped::unchanged(families);
        }
        let escaped = families.iter().map(|family| self.family(family)).collect();
        merged(families, escaped, may_join)
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
            } else {
                self.escape_label(label).into_owned()
            }
        };
        let labels = sample.labels.iter().map(|(name, value)| (label(name), value.clone()));
        let mut escaped = Sample { labels: labels.collect(), ..sample.clone() };
        escaped.exemplar = escaped.exemplar.and_then(|exemplar| self.exemplar(exemplar));
        if let Some(native) = &mut escaped.native {
            let exemplars = std::mem::take(&mut native.exemplars).into_iter();
            native.exemplars = exemplars.filter_map(|exemplar| self.exemplar(exemplar)).collect();
        }
        escaped
    }
}

/// Whether a family, a label of it or one of an exemplar is called other than old readers know.
#[must_use]
pub fn needs_escaping(family: &FamilySamples) -> bool {
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
