//! Names of several definitions on a page: their lines, and what is written of them.

use std::collections::{HashMap, HashSet};

use tallyboard_exposition::cells::{has_created, is_per_process, values};
use tallyboard_exposition::native::Counted;
use tallyboard_exposition::sample::Exemplar;
use tallyboard_proto::cell::GAUGE_CELLS;
use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::native::cells;

use crate::board::floors::Held;
use crate::board::unions::bounds_of;
use crate::page::exposed::{Core, Page};
use crate::page::groups::{Group, JoinedPage};
use crate::page::join;
use crate::page::lines::{FamilyPage, SeriesLines};
use crate::page::processes::ProcessValues;
use crate::page::render::{Shown, Sink};

/// What a scrape has added up.
pub(crate) struct Added<'a> {
    pub(crate) totals: &'a [u64],
    pub(crate) processes: &'a HashMap<u32, ProcessValues>,
    pub(crate) exemplars: &'a HashMap<u32, Vec<(usize, Exemplar)>>,
}

impl Core {
    /// Makes the lines of names that are joined, where there are none or they are old.
    pub(crate) fn follow_joined(&mut self) {
        let (contents, names) = (self.catalog.contents(), &self.catalog.names);
        let Page { joined, style, .. } = &mut self.page;
        for (name, shown) in self.definitions.joined() {
            let count = shown.joined.iter().map(|&base| names.series_of(base).len()).sum();
            let is_new = joined.get(name).is_none_or(|known| {
                known.count != count || known.joined != shown.joined || known.family != shown.family
            });
            if is_new {
                let page = JoinedPage::new(contents, names, shown, &style.labels);
                joined.insert(name.into(), page);
            }
        }
    }

    /// Writes a name of several definitions.
    pub(crate) fn collect_joined(&mut self, sink: &mut impl Sink, name: &str, added: &Added<'_>) {
        // Every float first: what holds them is not to be asked while the rest is read.
        let floats = self.hold_joined(name, added.totals);
        let contents = self.catalog.contents();
        let Some(JoinedPage { family, page, groups, joined, .. }) = self.page.joined.get(name)
        else {
            return;
        };
        // What collectors say is written apart.
        if matches!(family.kind, Kind::Samples(_)) {
            return;
        }
        sink.family(page, family);
        let process = joined.iter().flat_map(|&of| contents.families()[of as usize].labels.iter());
        let process = self.page.style.worker_label.name(process.map(|label| &**label));
        let mut written = HashSet::new();
        let mut numbers = Vec::new();
        for group in groups {
            let is_shown = |series: &&u32| !self.archive.life(**series as usize).is_hidden;
            let shown: Vec<u32> = group.series.iter().filter(is_shown).copied().collect();
            let Some(lines) = self.lines_of(page, family, group, &shown, added) else { continue };
            let entry = &contents.series()[lines.series as usize];
            let labels = contents.families()[entry.family as usize].labels.clone();
            let own = Family { labels, ..family.clone() };
            if is_per_process(&family.kind) {
                let rows = self.joined_processes(&family.kind, &shown, added.processes);
                sink.processes(&own, entry, &self.page.style, process, &rows);
                continue;
            }
            let native = self.joined_native(&family.kind, &shown, added.totals, &floats);
            numbers.clear();
            match &native {
                Some(native) => numbers.extend(native.values()),
                None => {
                    let cells =
                        self.joined_cells(&family.kind, &shown, lines, added.totals, &floats);
                    values(&family.kind, 0, &cells, |_, value| value, &mut numbers);
                }
            }
            if family.kind == Kind::Info && !written.insert(self.page.style.labels_of(&own, entry))
            {
                continue;
            }
            let created_ms = if has_created(&family.kind) { self.created_of(&shown) } else { 0 };
            let exemplars = &joined_exemplars(&family.kind, &shown, added.exemplars)[..];
            let (family, series, values) = (&own, entry, &numbers[..]);
            let all = Shown { family, page, lines, series, values, native, created_ms, exemplars };
            sink.series(all, &self.page.style);
        }
        sink.end_family();
    }

    /// The floats of the series of a name that only rise, as they are to be shown.
    fn hold_joined(&mut self, name: &str, totals: &[u64]) -> HashMap<u32, f64> {
        let contents = self.catalog.contents();
        let mut floats = HashMap::new();
        let Some(JoinedPage { groups, .. }) = self.page.joined.get(name) else {
            return floats;
        };
        let series = || {
            let all = groups.iter().flat_map(|group| &group.series).copied();
            all.filter(|&series| !self.archive.life(series as usize).is_hidden).map(|series| {
                let entry = &contents.series()[series as usize];
                (series, entry.cell, &contents.families()[entry.family as usize].kind)
            })
        };
        let is_odd = |(_, cell, kind): (u32, usize, &Kind)| {
            join::is_odd(kind, &totals[cell..cell + kind.cells()])
        };
        let mut held = Held {
            has_floor: !series().any(is_odd),
            floors: &mut self.floors,
            arena: &self.arena,
            start: self.layout.floors,
            applied: 0,
        };
        for (series, cell, kind) in series() {
            if let Some(at) = float_of(kind) {
                floats.insert(series, held.hold(cell + at, f64::from_bits(totals[cell + at])));
            }
        }
        self.figures.floors_applied += held.applied;
        floats
    }

    /// The lines of series that are one: of an info, of the one that was set last.
    fn lines_of<'a>(
        &self,
        page: &'a FamilyPage,
        family: &Family,
        group: &Group,
        shown: &[u32],
        added: &Added<'_>,
    ) -> Option<&'a SeriesLines> {
        let first = shown.first()?;
        if family.kind != Kind::Info {
            return page.series.get(group.lines);
        }
        let stamp =
            |series: u32| added.totals[self.catalog.contents().series()[series as usize].cell];
        let newest = shown.iter().copied().max_by_key(|&series| stamp(series)).unwrap_or(*first);
        let at = group.series.iter().position(|&series| series == newest)?;
        page.series.get(group.lines + at)
    }

    /// The cells of series that are one, all definitions together.
    fn joined_cells(
        &self,
        joined: &Kind,
        shown: &[u32],
        lines: &SeriesLines,
        totals: &[u64],
        floats: &HashMap<u32, f64>,
    ) -> Vec<u64> {
        let contents = self.catalog.contents();
        let mut into = vec![0; joined.cells()];
        if *joined == Kind::Info {
            into[0] = totals[lines.cell];
            return into;
        }
        for &series in shown {
            let entry = &contents.series()[series as usize];
            let kind = &contents.families()[entry.family as usize].kind;
            let is_other =
                matches!((joined, kind), (Kind::Gauge(_), Kind::Gauge(_))) && joined != kind;
            if is_other {
                // Of another mode only the living count.
                for (_, cells) in self.living_gauges(series) {
                    join::add(joined, &mut into, kind, &cells, |_, value| value);
                }
                continue;
            }
            let cells = &totals[entry.cell..entry.cell + kind.cells()];
            let hold = |_, value| floats.get(&series).copied().unwrap_or(value);
            join::add(joined, &mut into, kind, cells, hold);
        }
        into
    }

    /// What each slot has of a gauge that it has set.
    fn living_gauges(&self, series: u32) -> impl Iterator<Item = (usize, [u64; GAUGE_CELLS])> + '_ {
        self.taken().filter_map(move |slot| {
            let taken = &self.slots[slot];
            let class = taken.class.as_deref().filter(|class| taken.row.len() == class.cells)?;
            let (place, _) = class.find(&self.catalog, series)?;
            let cells = [taken.row[place.from], taken.row[place.from + 1]];
            (cells[1] != 0).then_some((slot, cells))
        })
    }

    /// The values of each process, all definitions together: where a process has set several, that of
    /// the one that began last.
    fn joined_processes(
        &self,
        joined: &Kind,
        shown: &[u32],
        processes: &HashMap<u32, ProcessValues>,
    ) -> ProcessValues {
        let contents = self.catalog.contents();
        let kind = self.page.style.worker_label;
        let mut rows = ProcessValues::new();
        let mut seen = HashSet::new();
        for &series in shown.iter().rev() {
            let entry = &contents.series()[series as usize];
            let own = &contents.families()[entry.family as usize].kind;
            let found = match own == joined || *own == Kind::Gauge(GaugeMode::LiveAll) {
                true => processes.get(&series).cloned().unwrap_or_default(),
                false => {
                    let of = |(slot, cells): (usize, [u64; GAUGE_CELLS])| {
                        let taken = &self.slots[slot];
                        let (pid, generation) = (taken.tenant.pid, taken.word.generation);
                        let label = kind.value(pid, taken.shares_pid, slot as u64, generation);
                        (label, f64::from_bits(cells[0]))
                    };
                    self.living_gauges(series).map(of).collect()
                }
            };
            rows.extend(found.into_iter().filter(|(label, _)| seen.insert(label.clone())));
        }
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows
    }

    /// The buckets of native histograms that are one.
    fn joined_native(
        &self,
        joined: &Kind,
        shown: &[u32],
        totals: &[u64],
        floats: &HashMap<u32, f64>,
    ) -> Option<Counted> {
        let Kind::NativeHistogram(joined) = joined else { return None };
        let contents = self.catalog.contents();
        let count = |series: u32| totals[contents.series()[series as usize].cell];
        let part = |&series: &u32| {
            let entry = &contents.series()[series as usize];
            let Kind::NativeHistogram(native) = &contents.families()[entry.family as usize].kind
            else {
                return None;
            };
            let buckets = contents.buckets_of(series).iter();
            let buckets = buckets.map(|&(bucket, series)| (bucket, count(series))).collect();
            let cells = &totals[entry.cell..entry.cell + cells::COUNT];
            Some(join::Part { native, cells, buckets })
        };
        let parts: Vec<join::Part<'_>> = shown.iter().filter_map(part).collect();
        let (native, own, buckets) = join::natives(joined, &parts);
        let sum = shown.iter().filter_map(|series| floats.get(series)).sum();
        Some(Counted::new(&native, &own, sum, buckets.into_iter()))
    }
}

/// Which cell of a kind is a float that only rises.
fn float_of(kind: &Kind) -> Option<usize> {
    match kind {
        Kind::Counter | Kind::Summary => Some(1),
        Kind::Histogram(bounds) => Some(bounds.len() + 1),
        Kind::NativeHistogram(_) => Some(cells::SUM),
        _ => None,
    }
}

/// The newest exemplar of each line of series that are one; those of a histogram by what they are
/// worth, since bounds differ.
fn joined_exemplars(
    joined: &Kind,
    shown: &[u32],
    all: &HashMap<u32, Vec<(usize, Exemplar)>>,
) -> Vec<(usize, Exemplar)> {
    let mut newest: Vec<(usize, Exemplar)> = Vec::new();
    for (line, exemplar) in shown.iter().filter_map(|series| all.get(series)).flatten() {
        let line = match bounds_of(joined) {
            Some(bounds) => bounds.partition_point(|bound| *bound < exemplar.value),
            None => *line,
        };
        match newest.iter_mut().find(|(of, _)| *of == line) {
            Some((_, known)) if known.timestamp < exemplar.timestamp => *known = exemplar.clone(),
            Some(_) => {}
            None => newest.push((line, exemplar.clone())),
        }
    }
    newest
}
