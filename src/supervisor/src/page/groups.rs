//! The lines of names that have several definitions: which of their series are one.

use std::collections::HashMap;

use tallyboard_proto::family::{Family, Kind};
use tallyboard_proto::log::Contents;

use crate::board::names::{Names, Pairs};
use crate::board::shown::Shown;
use crate::page::labels::Labels;
use crate::page::lines::FamilyPage;

/// The lines of a name of several definitions.
#[derive(Debug)]
pub(crate) struct JoinedPage {
    /// How it was shown, and how many series there were, when the lines were made.
    pub(crate) family: Family,
    pub(crate) joined: Box<[u32]>,
    pub(crate) count: usize,
    pub(crate) page: FamilyPage,
    /// Series that are one on the page. Each has the lines of its first; of an info, whose pairs are
    /// in its lines, each series has its own.
    pub(crate) groups: Vec<Group>,
}

/// Series that are one on the page.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) series: Vec<u32>,
    /// Where its lines are in `page.series`.
    pub(crate) lines: usize,
}

impl JoinedPage {
    pub(crate) fn new(contents: &Contents, names: &Names, shown: &Shown, labels: &Labels) -> Self {
        let mut page = FamilyPage::new(&shown.family, shown.leader);
        let mut grouped: HashMap<Pairs, usize> = HashMap::new();
        let mut series: Vec<Vec<u32>> = Vec::new();
        let mut all: Vec<u32> =
            shown.joined.iter().flat_map(|&base| names.series_of(base)).copied().collect();
        all.sort_unstable();
        let count = all.len();
        for ordinal in all {
            let entry = &contents.series()[ordinal as usize];
            let family = &contents.families()[entry.family as usize];
            let key = names.labels_of(family, &entry.values);
            let at = *grouped.entry(key).or_insert(series.len());
            if at == series.len() {
                series.push(Vec::new());
            }
            series[at].push(ordinal);
        }
        let values = |group: &Vec<u32>| &contents.series()[group[0] as usize].values;
        series.sort_by(|a, b| values(a).cmp(values(b)));
        let mut groups = Vec::new();
        for series in series {
            let lines = page.series.len();
            let each = if shown.family.kind == Kind::Info { series.len() } else { 1 };
            for &ordinal in &series[..each] {
                let entry = &contents.series()[ordinal as usize];
                page.push(&worded(contents, shown, entry.family), entry, ordinal, labels);
            }
            groups.push(Group { series, lines });
        }
        Self { family: shown.family.clone(), joined: shown.joined.clone(), count, page, groups }
    }
}

/// The family of a series of one definition, as it is shown: with its own labels, and else what all
/// definitions are.
fn worded(contents: &Contents, shown: &Shown, family: u32) -> Family {
    let labels = contents.families()[family as usize].labels.clone();
    Family { labels, ..shown.family.clone() }
}
