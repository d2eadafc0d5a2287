//! Families that have the same name in a format, which a reader refuses: a gauge `a_total` and a counter
//! `a`, a summary `a` and a gauge `a_sum`. One of them is left out, rather one that has no samples.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::format::Format;
use crate::sample::{FamilySamples, Type};

/// Families with names of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled<'a> {
    /// The families, in the order that they had.
    pub families: Cow<'a, [FamilySamples]>,
    /// The names of those that are left out.
    pub left_out: Vec<String>,
}

/// The families that can stand beside each other in a page of this format: of those that share a name
/// the first one that has samples.
#[must_use]
pub fn settled(format: Format, families: &[FamilySamples]) -> Settled<'_> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut kept = vec![false; families.len()];
    for is_empty in [false, true] {
        let each = families.iter().zip(&mut kept);
        for (family, kept) in each.filter(|(family, _)| family.samples.is_empty() == is_empty) {
            let names = names(format, family);
            *kept = !names.iter().any(|name| taken.contains(name));
            if *kept {
                taken.extend(names);
            }
        }
    }
    if kept.iter().all(|kept| *kept) {
        return Settled { families: Cow::Borrowed(families), left_out: Vec::new() };
    }
    let (some, others): (Vec<_>, Vec<_>) = families.iter().zip(kept).partition(|(_, kept)| *kept);
    Settled {
        families: some.into_iter().map(|(family, _)| family.clone()).collect(),
        left_out: others.into_iter().map(|(family, _)| family.name.clone()).collect(),
    }
}

/// The names that nothing else may have beside this family.
fn names(format: Format, family: &FamilySamples) -> Vec<String> {
    let name = |suffix: &&str| format!("{}{suffix}", family.name);
    let own = own_suffix(family);
    match format {
        Format::Text004 | Format::Text100 => {
            let counts: &[&str] = match family.kind {
                Type::Summary => &["_sum", "_count"],
                Type::Histogram => &["_bucket", "_sum", "_count"],
                Type::GaugeHistogram => &["_bucket", "_sum", "_count", "_gcount", "_gsum"],
                _ => &[],
            };
            [own].iter().chain(counts).map(name).collect()
        }
        Format::OpenMetrics001 | Format::OpenMetrics100 => {
            let suffixes = openmetrics_suffixes(family.kind).iter();
            [""].iter().chain(suffixes.filter(|suffix| !suffix.is_empty())).map(name).collect()
        }
        _ => vec![name(&own)],
    }
}

/// What the names of the samples of a type have behind the name of the family, in OpenMetrics 1.0.
pub(crate) fn openmetrics_suffixes(kind: Type) -> &'static [&'static str] {
    match kind {
        Type::Counter => &["_total", "_created"],
        Type::Summary => &["", "_count", "_sum", "_created"],
        Type::Histogram => &["_bucket", "_count", "_sum", "_created"],
        Type::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        Type::Info => &["_info"],
        Type::Gauge | Type::StateSet | Type::Unknown => &[""],
    }
}

/// What a family is called behind its name in the formats that call it as its samples. A counter that
/// has none is taken for one whose samples would be totals.
#[must_use]
pub fn own_suffix(family: &FamilySamples) -> &'static str {
    let is_total = |suffix: &str| suffix == "_total";
    match family.kind {
        Type::Counter if family.samples.is_empty() => "_total",
        Type::Counter if family.samples.iter().any(|sample| is_total(&sample.suffix)) => "_total",
        Type::Info => "_info",
        _ => "",
    }
}
