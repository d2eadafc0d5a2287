//! A scrape: totals over archive and live slots, floors, and the page of text.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_exposition::prefixes::Prefixes;
use tallyboard_exposition::sample::{FamilySamples, Type, Value};
use tallyboard_exposition::text;
use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::layout::{DROP_REASONS, DropReason};
use tallyboard_proto::log::Contents;
use tallyboard_proto::slot::State;
use tallyboard_proto::word::Words;

use crate::core::{Core, Rules};
use crate::labels::{Labels, ProcessValues};
use crate::own;
use crate::rows::is_selected;

/// The page, prepared: for each family its header, for each series its lines without numbers.
#[derive(Debug, Default)]
pub struct Pages {
    /// In order of name once they are sorted.
    families: Vec<FamilyPage>,
    /// Where each family of the catalog is in `families`.
    place: HashMap<u32, usize>,
    /// How much of the catalog is here.
    families_taken: usize,
    series_taken: usize,
    /// Floats as they were exposed last, by cell of the catalog; they do not fall.
    floors: Vec<f64>,
}

#[derive(Debug)]
struct FamilyPage {
    family: u32,
    name: Box<str>,
    header: Vec<u8>,
    series: Vec<SeriesLines>,
    /// Lines of its series, in their order.
    lines: Prefixes,
    is_sorted: bool,
}

#[derive(Debug)]
struct SeriesLines {
    series: u32,
    cell: usize,
    /// Its first line, in the lines of its family.
    line: usize,
}

fn type_of(kind: &Kind) -> Type {
    match kind {
        Kind::Counter => Type::Counter,
        Kind::Gauge(_) => Type::Gauge,
        Kind::Histogram(_) => Type::Histogram,
        Kind::Summary => Type::Summary,
    }
}

fn is_per_process(kind: &Kind) -> bool {
    matches!(kind, Kind::Gauge(mode) if mode.is_per_process())
}

impl Pages {
    /// Pages of an arena whose floats were exposed before.
    pub(crate) fn with_floors(floors: Vec<f64>) -> Self {
        Self { floors, ..Self::default() }
    }

    /// Takes in what the catalog has begun since the last time.
    fn follow(&mut self, contents: &Contents, labels: &Labels) {
        let families = &contents.families()[self.families_taken..];
        for (family, ordinal) in families.iter().zip(self.families_taken as u32..) {
            let mut header = Vec::new();
            text::write_header(&mut header, type_of(&family.kind), &family.name, &family.help);
            let (name, series) = (family.name.clone(), Vec::new());
            self.families.push(FamilyPage {
                family: ordinal,
                name,
                header,
                series,
                lines: Prefixes::default(),
                is_sorted: true,
            });
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
            let line = page.lines.len();
            push_lines(&mut page.lines, family, labels.behind(family, &series.values));
            page.series.push(SeriesLines { series: ordinal, cell: series.cell, line });
            page.is_sorted = false;
        }
        self.series_taken = contents.series().len();
        for page in self.families.iter_mut().filter(|page| !page.is_sorted) {
            let values = |lines: &SeriesLines| &contents.series()[lines.series as usize].values;
            page.series.sort_by(|a, b| values(a).cmp(values(b)));
            page.gather();
        }
        self.floors.resize(contents.end().cells, 0.0);
    }
}

impl FamilyPage {
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

/// Adds the lines of a series, in the order of its samples; all series of a family have as many.
fn push_lines<'a>(
    lines: &mut Prefixes,
    family: &Family,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) {
    let labels: Vec<(&str, &str)> = labels.collect();
    let mut push = |suffix: &str, le: Option<&str>| {
        let labels = labels.iter().copied().chain(le.map(|le| ("le", le)));
        lines.push(&family.name, suffix, labels);
    };
    match &family.kind {
        Kind::Counter => push("_total", None),
        Kind::Gauge(mode) if mode.is_per_process() => {}
        Kind::Gauge(_) => push("", None),
        Kind::Histogram(_) | Kind::Summary => {
            if let Kind::Histogram(bounds) = &family.kind {
                for bound in bounds.iter().copied().chain([f64::INFINITY]) {
                    push("_bucket", Some(&text::float_text(bound)));
                }
            }
            push("_count", None);
            push("_sum", None);
        }
    }
}

impl Core {
    /// The exposition of the arena: of everything, or of the families that `metrics` names by
    /// their own name or that of a sample.
    pub fn expose(&mut self, metrics: &[String]) -> Vec<u8> {
        self.figures.scrape_cells = 0;
        let selected = (!metrics.is_empty()).then(|| {
            self.read_logs();
            self.selection(metrics)
        });
        let selected = selected.as_deref();
        self.read_rows(selected);
        self.pages.follow(self.catalog.contents(), &self.rules.labels);
        let mut totals = vec![0; self.catalog.cells()];
        totals[..self.archive.cells().len()].copy_from_slice(self.archive.cells());
        self.add_rows(&mut totals, selected);
        let processes = self.per_process();
        let mut page = Vec::with_capacity(1 << 16);
        let own = self.own_families(metrics);
        let mut own = own.iter().peekable();
        for at in 0..self.pages.families.len() {
            let next = &self.pages.families[at];
            while let Some(own) = own.next_if(|own| *own.name < *next.name) {
                text::write_family(&mut page, own);
            }
            if is_selected(selected, next.family) {
                self.write_family(&mut page, at, &totals, &processes);
            }
        }
        own.for_each(|own| text::write_family(&mut page, own));
        page
    }

    /// Which families of the catalog `metrics` names.
    fn selection(&self, metrics: &[String]) -> Vec<bool> {
        let named = |family: &Family| {
            metrics.iter().any(|metric| family.sample_names().any(|name| name == *metric))
        };
        self.catalog.contents().families().iter().map(named).collect()
    }

    /// Adds the selected families of all taken slots, class by class, so that a run of cells is added for every
    /// slot of a class while it is in the cache.
    fn add_rows(&self, totals: &mut [u64], selected: Option<&[bool]>) {
        let mut classes: Vec<(&crate::class::Class, Vec<&[u64]>)> = Vec::new();
        let mut place: HashMap<*const crate::class::Class, usize> = HashMap::new();
        for slot in self.taken() {
            let taken = &self.slots[slot];
            let Some(class) = taken.class.as_deref().filter(|c| taken.row.len() == c.cells) else {
                continue;
            };
            let at = *place.entry(std::ptr::from_ref(class)).or_insert_with(|| {
                classes.push((class, Vec::new()));
                classes.len() - 1
            });
            classes[at].1.push(&taken.row);
        }
        for (class, rows) in classes {
            let runs = class.runs.iter().zip(&class.families);
            for (run, _) in runs.filter(|(_, family)| is_selected(selected, **family)) {
                rows.iter().for_each(|row| run.merge(totals, row));
            }
        }
    }

    fn write_family(
        &mut self,
        page: &mut Vec<u8>,
        at: usize,
        totals: &[u64],
        processes: &HashMap<u32, ProcessValues>,
    ) {
        let ordinal = self.pages.families[at].family;
        let family = &self.catalog.contents().families()[ordinal as usize];
        let lines = &self.pages.families[at];
        let width = family.kind.cells();
        let start = page.len();
        page.extend_from_slice(&lines.header);
        let header_end = page.len();
        // A family that saw a negative or non-finite amount may fall, so it has no floor.
        let has_floor = match family.kind {
            Kind::Histogram(_) | Kind::Summary => {
                lines.series.iter().all(|series| totals[series.cell + width - 1] == 0)
            }
            _ => true,
        };
        let mut floors = Floors {
            floors: &mut self.pages.floors,
            arena: &self.arena,
            start: self.layout.floors,
            applied: 0,
            has_floor,
        };
        for series in &lines.series {
            let cells = &totals[series.cell..series.cell + width];
            if is_per_process(&family.kind) {
                let values = &self.catalog.contents().series()[series.series as usize].values;
                let rows = processes.get(&series.series).map_or(&[][..], Vec::as_slice);
                write_processes(page, family, values, &self.rules, rows);
            } else {
                write_series(page, &family.kind, (&lines.lines, series), cells, &mut floors);
            }
        }
        self.figures.floors_applied += floors.applied;
        if page.len() == header_end {
            page.truncate(start);
        }
    }

    /// The supervisor's own metrics, in order of name: all, or those that `metrics` names. What
    /// workers expose under a name of their samples comes from the workers alone.
    fn own_families(&self, metrics: &[String]) -> Vec<FamilySamples> {
        let is_taken = |family: &FamilySamples| {
            sample_names(family).any(|name| self.catalog.has_sample(&name))
        };
        let mut families = self.figures_families();
        families.extend(self.figures.outside.iter().cloned());
        families.retain(|family| {
            !is_taken(family)
                && (metrics.is_empty() || sample_names(family).any(|name| metrics.contains(&name)))
        });
        families.iter_mut().for_each(|family| self.rules.labels.add_to(family));
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    /// What the core knows of itself.
    fn figures_families(&self) -> Vec<FamilySamples> {
        let whole = |value: u64| Value::Whole(value);
        let figures = &self.figures;
        let dropped = self.dropped();
        let reasons = DropReason::ALL.map(|r| (r.name(), whole(dropped[r as usize])));
        let series = self.catalog.dropped_series();
        let series =
            DropReason::ALL.map(|r| (r.name(), whole(series.get(&r).copied().unwrap_or(0))));
        let refused = tallyboard_proto::control::RefusedReason::ALL
            .map(|r| (r.name(), whole(figures.refused.get(&r).copied().unwrap_or(0))));
        let states = self.states();
        let states = State::EVERY.map(|state| (state.name(), whole(states[&state])));
        let quarantined =
            self.taken().filter(|&slot| self.slots[slot].quarantine.is_some()).count();
        let classes: HashSet<_> = self
            .taken()
            .filter_map(|slot| self.slots[slot].class.as_ref().map(std::rc::Rc::as_ptr))
            .collect();
        vec![
            own::ARENA_BYTES.value(whole(self.arena.allocated_bytes().unwrap_or(0))),
            own::ATTACHES.value(whole(figures.attaches)),
            own::ATTACHES_REFUSED.labelled(refused),
            own::CATALOG_FILL.value(Value::Float(self.catalog.fill(&self.layout))),
            own::CATALOG_SERIES.value(whole(self.series() as u64)),
            own::DEAD_ROWS_DROPPED.value(whole(self.archive.rows_dropped())),
            own::DROPPED.labelled(reasons),
            own::DROPPED_SERIES.labelled(series),
            own::FLOORS_APPLIED.value(whole(figures.floors_applied)),
            own::FOLDS.value(whole(figures.folds)),
            own::LAYOUT_CLASSES.value(whole(classes.len() as u64)),
            own::QUARANTINED_FAMILIES.value(whole(self.catalog.conflicts() as u64)),
            own::QUARANTINED_SLOTS.value(whole(quarantined as u64)),
            own::QUARANTINES.value(whole(figures.quarantined)),
            own::RECLAIMS.value(whole(figures.reclaims)),
            own::SCRAPE_CELLS.value(whole(figures.scrape_cells)),
            own::SCRAPE_SECONDS.summary(figures.scrapes, figures.scrape_seconds),
            own::SLOTS.labelled(states),
            own::WORKER_EXITS.value(whole(figures.worker_exits)),
        ]
    }

    /// What all workers, dead or alive, could not count.
    fn dropped(&self) -> [u64; DROP_REASONS] {
        let mut total = *self.archive.dropped();
        for slot in self.taken().filter(|&slot| !self.is_folded(slot)) {
            for (total, dropped) in total.iter_mut().zip(self.slots[slot].dropped) {
                *total = total.saturating_add(dropped);
            }
        }
        total
    }
}

/// The names that a family of the supervisor's own is known by: its own, and those of its samples.
fn sample_names(family: &FamilySamples) -> impl Iterator<Item = String> + '_ {
    let mut suffixes = vec![""];
    for sample in &family.samples {
        if !suffixes.contains(&&*sample.suffix) {
            suffixes.push(&sample.suffix);
        }
    }
    suffixes.into_iter().map(|suffix| format!("{}{suffix}", family.name))
}

/// What was exposed last of each float, in the heap and in the control segment.
struct Floors<'a> {
    floors: &'a mut Vec<f64>,
    arena: &'a tallyboard_segment::mapping::Arena,
    start: usize,
    applied: u64,
    has_floor: bool,
}

impl Floors<'_> {
    /// The value to expose for `value`: never less than the last one.
    fn hold(&mut self, cell: usize, value: f64) -> f64 {
        let floor = self.floors[cell];
        if !self.has_floor || value == floor {
            return value;
        }
        if value < floor {
            self.applied += 1;
            return floor;
        }
        self.floors[cell] = value;
        // Before the bytes leave, so that a later supervisor does not undercut them.
        self.arena.store(self.start + cell, value.to_bits(), Relaxed);
        value
    }
}

fn write_series(
    page: &mut Vec<u8>,
    kind: &Kind,
    (lines, series): (&Prefixes, &SeriesLines),
    cells: &[u64],
    floors: &mut Floors<'_>,
) {
    match kind {
        // A counter without fractions is a whole number, exact whatever its size.
        Kind::Counter if cells[1] == 0 => lines.write_whole(page, series.line, cells[0]),
        Kind::Counter => {
            let fraction = floors.hold(series.cell + 1, f64::from_bits(cells[1]));
            lines.write_float(page, series.line, cells[0] as f64 + fraction);
        }
        Kind::Gauge(GaugeMode::All | GaugeMode::LiveAll) => {}
        Kind::Gauge(_) if cells[1] == 0 => {}
        Kind::Gauge(_) => lines.write_float(page, series.line, f64::from_bits(cells[0])),
        Kind::Histogram(_) | Kind::Summary => {
            let sum_at = cells.len() - 2;
            let mut count = 0_u64;
            let mut line = series.line;
            for &cell in &cells[..sum_at] {
                count = count.saturating_add(cell);
                if matches!(kind, Kind::Histogram(_)) {
                    lines.write_whole(page, line, count);
                    line += 1;
                }
            }
            lines.write_whole(page, line, count);
            let sum = floors.hold(series.cell + sum_at, f64::from_bits(cells[sum_at]));
            lines.write_float(page, line + 1, sum);
        }
    }
}

fn write_processes(
    page: &mut Vec<u8>,
    family: &Family,
    values: &[Box<str>],
    rules: &Rules,
    rows: &[(String, f64)],
) {
    let process = rules.worker_label.name(family.labels.iter().map(|label| &**label));
    let labels = rules.labels.behind(family, values);
    for (label, value) in rows {
        let labels = labels.clone().chain([(process, label.as_str())]);
        text::write_prefix(page, &family.name, "", labels);
        text::write_float(page, *value);
        page.push(b'\n');
    }
}
