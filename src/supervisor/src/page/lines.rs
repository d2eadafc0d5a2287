//! The page, prepared: for each family its header, for each series its lines without numbers.

use std::collections::HashMap;

use tallyboard_exposition::cells::{labels_of, lines, type_of};
use tallyboard_exposition::escaping::{is_legacy_label, is_legacy_name};
use tallyboard_exposition::prefixes::Prefixes;
use tallyboard_exposition::{openmetrics, text};
use tallyboard_proto::family::{EXEMPLAR_PREFIX, Family, Kind, SAMPLE_LABELS};
use tallyboard_proto::log::{Contents, Series};
use tallyboard_proto::pairs;

use crate::page::labels::Labels;

/// Everything of an exposition but its numbers.
#[derive(Debug, Default)]
pub struct Pages {
    /// In order of name once they are sorted.
    pub(crate) families: Vec<FamilyPage>,
    /// Where each family of the catalog is in `families`.
    place: HashMap<u32, usize>,
    /// How much of the catalog is here.
    families_taken: usize,
    series_taken: usize,
    /// Whether a family or a label has a name that old readers do not know.
    pub(crate) has_new_names: bool,
    /// The exemplars of a series, by its ordinal: of which of its lines, and their own ordinal.
    pub(crate) exemplars: HashMap<u32, Vec<(usize, u32)>>,
}

/// A family of the page.
#[derive(Debug)]
pub(crate) struct FamilyPage {
    /// Its ordinal in the catalog.
    pub(crate) family: u32,
    pub(crate) name: Box<str>,
    pub(crate) header: Vec<u8>,
    pub(crate) openmetrics_header: Vec<u8>,
    /// The family whose help text the headers have.
    worded: u32,
    /// In order of label values once they are sorted.
    pub(crate) series: Vec<SeriesLines>,
    /// Lines of its series, in their order.
    pub(crate) lines: Prefixes,
    is_sorted: bool,
}

/// A series of the page.
#[derive(Debug)]
pub(crate) struct SeriesLines {
    /// Its ordinal in the catalog.
    pub(crate) series: u32,
    /// Its first cell.
    pub(crate) cell: usize,
    /// Its first line, in the lines of its family.
    pub(crate) line: usize,
}

impl Pages {
    /// Takes in what the catalog has begun since the last time.
    pub(crate) fn follow(&mut self, contents: &Contents, labels: &Labels) {
        let families = &contents.families()[self.families_taken..];
        for (family, ordinal) in families.iter().zip(self.families_taken as u32..) {
            self.has_new_names |= has_new_name(family);
            self.families.push(FamilyPage::new(family, ordinal));
        }
        if !families.is_empty() {
            self.families.sort_by(|a, b| a.name.cmp(&b.name));
            let pages = self.families.iter().enumerate();
            self.place = pages.map(|(at, page)| (page.family, at)).collect();
        }
        self.families_taken = contents.families().len();
        let series = &contents.series()[self.series_taken..];
        for (series, ordinal) in series.iter().zip(self.series_taken as u32..) {
            let family = &contents.families()[series.family as usize];
            let page = &mut self.families[self.place[&series.family]];
            self.has_new_names |= page.push(family, series, ordinal, labels);
        }
        self.follow_exemplars(contents, self.series_taken);
        self.series_taken = contents.series().len();
        for page in self.families.iter_mut().filter(|page| !page.is_sorted) {
            let values = |lines: &SeriesLines| &contents.series()[lines.series as usize].values;
            page.series.sort_by(|a, b| values(a).cmp(values(b)));
            page.gather();
        }
    }

    /// Takes in the exemplars that have begun since there were so many series. Where a name has several
    /// definitions an exemplar may be of a series that has begun after it.
    fn follow_exemplars(&mut self, contents: &Contents, taken: usize) {
        let is_same = |pair: &[FamilyPage]| pair[0].name == pair[1].name;
        let from = match self.families.windows(2).any(is_same) {
            true if taken < contents.series().len() => {
                self.exemplars.clear();
                0
            }
            _ => taken,
        };
        for (series, ordinal) in contents.series()[from..].iter().zip(from as u32..) {
            let family = &contents.families()[series.family as usize];
            if family.kind == Kind::Exemplar {
                self.take_exemplar(contents, family, series, ordinal);
            }
        }
    }

    /// Finds the series whose exemplar a series is: those of the same label values, but for the
    /// number of a histogram's bucket.
    fn take_exemplar(
        &mut self,
        contents: &Contents,
        family: &Family,
        series: &Series,
        ordinal: u32,
    ) {
        let name = family.name.strip_prefix(EXEMPLAR_PREFIX).unwrap_or_default();
        for of in contents.families_named(name) {
            let Family { kind, labels, .. } = &contents.families()[of as usize];
            let has_buckets = matches!(kind, Kind::Histogram(_) | Kind::NativeHistogram(_));
            let is_said = matches!(kind, Kind::Samples(_));
            let is_of = match is_said {
                true => family.labels.iter().map(|label| &**label).eq(SAMPLE_LABELS),
                false => {
                    family.labels.len() == labels.len() + usize::from(has_buckets)
                        && family.labels.starts_with(labels)
                }
            };
            let own = if is_said { SAMPLE_LABELS.len() } else { labels.len() };
            let Some((values, rest)) = series.values.split_at_checked(own) else {
                continue;
            };
            let line = rest.first().map_or(Some(0), |bucket| bucket.parse().ok());
            let counted = contents.find_series(of, values).filter(|_| is_of);
            if let Some((line, counted)) = line.zip(counted) {
                self.exemplars.entry(counted).or_default().push((line, ordinal));
            }
        }
    }
}

impl FamilyPage {
    pub(crate) fn new(family: &Family, ordinal: u32) -> Self {
        let [header, openmetrics_header] = headers(family);
        Self {
            family: ordinal,
            name: family.name.clone(),
            header,
            openmetrics_header,
            worded: ordinal,
            series: Vec::new(),
            lines: Prefixes::default(),
            is_sorted: true,
        }
    }

    /// Takes the help text of a family that is the same but for that.
    pub(crate) fn word(&mut self, family: &Family, ordinal: u32) {
        if self.worded != ordinal {
            [self.header, self.openmetrics_header] = headers(family);
            self.worded = ordinal;
        }
    }

    /// Takes in a series; says whether a label of it has a name that old readers do not know.
    pub(crate) fn push(
        &mut self,
        family: &Family,
        series: &Series,
        ordinal: u32,
        constant: &Labels,
    ) -> bool {
        let labels = labels_of(constant.pairs(), family, series);
        let has_new_labels = match (&family.kind, series.values.last()) {
            (Kind::Samples(_), Some(own)) => {
                let own = pairs::decode(own).unwrap_or_default();
                !own.iter().all(|(name, _)| is_legacy_label(name))
            }
            (kind, _) => {
                type_of(kind).is_some() && !labels.iter().all(|(name, _)| is_legacy_label(name))
            }
        };
        let line = self.lines.len();
        for (suffix, more) in lines(family) {
            let labels = labels.iter().map(|(name, value)| (&**name, &**value));
            let more = more.iter().map(|(name, value)| (*name, value.as_str()));
            self.lines.push(&family.name, suffix, labels.chain(more));
        }
        self.series.push(SeriesLines { series: ordinal, cell: series.cell, line });
        self.is_sorted = false;
        has_new_labels
    }

    /// Puts the lines in the order of the series, so that a scrape reads them from front to back.
    fn gather(&mut self) {
        let mut lines = Prefixes::default();
        let each = self.lines.len().checked_div(self.series.len()).unwrap_or(0);
        for series in &mut self.series {
            let from = std::mem::replace(&mut series.line, lines.len());
            for line in from..from + each {
                lines.push_line(&self.lines, line);
            }
        }
        self.lines = lines;
        self.is_sorted = true;
    }
}

/// Whether old readers do not know the name of a family; that of a set of states is a label too.
fn has_new_name(family: &Family) -> bool {
    match &family.kind {
        Kind::StateSet(_) => !is_legacy_label(&family.name),
        kind => type_of(kind).is_some() && !is_legacy_name(&family.name),
    }
}

/// What stands in front of the series of a family: in text, and in OpenMetrics.
fn headers(family: &Family) -> [Vec<u8>; 2] {
    let (mut header, mut openmetrics_header) = (Vec::new(), Vec::new());
    if let Some(kind) = type_of(&family.kind) {
        let (name, unit, help) = (&family.name, &family.unit, &family.help);
        text::write_header(&mut header, kind, name, help);
        openmetrics::write_header(&mut openmetrics_header, kind, name, unit, help);
    }
    [header, openmetrics_header]
}
