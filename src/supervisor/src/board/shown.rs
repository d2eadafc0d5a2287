//! How names are shown that have several definitions: see `definitions.rs`.

use std::collections::{BTreeMap, HashMap};

use tallyboard_proto::family::Family;

/// How a name is shown that has several definitions, or shares the name of a sample with another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    /// The definition that leads, by ordinal in the catalog.
    pub(crate) leader: u32,
    /// The families whose series are joined, by ordinal in the catalog, in its order.
    pub(crate) joined: Box<[u32]>,
    /// What they are as one: the kind has what all of them have.
    pub(crate) family: Family,
    /// Whether it is shown: another name may have its samples.
    pub(crate) is_shown: bool,
    /// Bounds that one histogram has no room for.
    pub(crate) left_out: Vec<f64>,
    /// How many definitions there were.
    pub(crate) known: usize,
}

/// How names are shown that have several definitions or rivals.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    pub(crate) shown: BTreeMap<Box<str>, Shown>,
    /// When a living worker had each family last.
    pub(crate) had_ms: HashMap<u32, u64>,
}

impl Definitions {
    /// How a name is shown; nothing when it has but one definition and shares no name.
    pub(crate) fn of(&self, name: &str) -> Option<&Shown> {
        self.shown.get(name)
    }

    /// The names of which several families are joined.
    pub(crate) fn joined(&self) -> impl Iterator<Item = (&str, &Shown)> {
        let shown = self.shown.iter().filter(|(_, shown)| shown.joined.len() > 1);
        shown.map(|(name, shown)| (&**name, shown))
    }
}
