//! What a program registered.

use tallyboard_proto::family::Family;

use super::children::Children;

/// What a program registered. It lives as long as the process, as registries do.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) family: Family,
    /// `None` when the log had no room for it.
    pub(crate) ordinal: Option<u32>,
    /// Whether parts of its series begin after them.
    pub(crate) has_parts: bool,
    pub(crate) children: Children,
}

pub(crate) fn describe(family: &Family) -> String {
    format!("{} {:?} with labels {:?}", family.kind.name(), family.name, family.labels)
}

/// Whether samples of two families have the same name.
pub(crate) fn shares_a_name(one: &Family, other: &Family) -> bool {
    one.sample_names().any(|name| other.sample_names().any(|other| other == name))
}
