//! A scrape: totals over archive and live slots, and what is written of them.

use std::collections::{HashMap, HashSet};

use tallyboard_exposition::cells::{has_created, is_per_process, type_of, values};
use tallyboard_exposition::clash::settled;
use tallyboard_exposition::escaping::{Escaping, is_legacy_label, needs_escaping};
use tallyboard_exposition::format::{Choices, Format};
use tallyboard_exposition::native::Counted;
use tallyboard_exposition::openmetrics::is_short;
use tallyboard_exposition::sample::{Exemplar, FamilySamples, Value};
use tallyboard_proto::cell::Shape;
use tallyboard_proto::exemplar::{self, EXEMPLAR_CELLS};
use tallyboard_proto::family::{BUCKET_PREFIX, Family, Kind};
use tallyboard_proto::layout::DropReason;
use tallyboard_proto::log::{Contents, Series};
use tallyboard_proto::native;
use tallyboard_proto::slot::State;

use crate::board::catalog::is_selected;
use crate::board::class::Class;
use crate::board::figures::{ByFamily, Ended};
use crate::board::floors::Held;
use crate::page::exposed::{Core, Page};
use crate::page::joined::Added;
use crate::page::lines::SeriesLines;
use crate::page::own;
use crate::page::render::{Shown, Sink, Text, Whole, moment};

impl Core {
    /// The exposition of the arena: of everything, or of the families that `metrics` names by
    /// their own name or that of a sample. Names are as they are.
    pub fn expose_as(&mut self, format: Format, metrics: &[String]) -> Vec<u8> {
        self.expose_escaped(format, Escaping::AllowUtf8, metrics)
    }

    /// The same with escaped names.
    pub fn expose_escaped(
        &mut self,
        format: Format,
        escaping: Escaping,
        metrics: &[String],
    ) -> Vec<u8> {
        let choices = &self.choices();
        let stay = |core: &Self| escaping == Escaping::AllowUtf8 || !core.has_new_names();
        let text = Text::new(format, choices, escaping);
        if let Some(mut text) = text.filter(|_| stay(self)) {
            self.collect(metrics, &mut text);
            // A name may just have begun.
            if stay(self) {
                return text.end();
            }
        }
        let mut whole = Whole::default();
        self.collect(metrics, &mut whole);
        // What the supervisor says of itself is not what a worker has counted under another name.
        let escaped = escaping.apply_with(&whole.families, |name| !whole.own.contains(name));
        let settled = settled(format, &escaped.families);
        self.page.collisions.see(&escaped, &settled);
        format.encode_settled(&settled.families, choices)
    }

    /// Whether there is a name that old readers do not know, but for those in exemplars.
    fn has_new_names(&self) -> bool {
        let Page { lines, style, .. } = &self.page;
        let mut own = self.figures.outside.iter().chain(&self.figures.fresh);
        lines.has_new_names
            || style.labels.pairs().any(|(name, _)| !is_legacy_label(name))
            || own.any(needs_escaping)
    }

    pub(crate) fn choices(&self) -> Choices {
        self.page.style.choices
    }

    /// The same in text 0.0.4.
    pub fn expose(&mut self, metrics: &[String]) -> Vec<u8> {
        self.expose_as(Format::Text004, metrics)
    }

    /// The same as families.
    pub fn families(&mut self, metrics: &[String]) -> Vec<FamilySamples> {
        let mut whole = Whole::default();
        self.collect(metrics, &mut whole);
        whole.families
    }

    fn collect(&mut self, metrics: &[String], sink: &mut impl Sink) {
        self.figures.scrape_cells = 0;
        let selected = (!metrics.is_empty()).then(|| {
            self.read_logs();
            self.selection(metrics)
        });
        let selected = selected.as_deref();
        self.read_rows(selected);
        self.page.lines.follow(self.catalog.contents(), &self.page.style.labels);
        self.floors.cover(self.catalog.cells());
        let totals = self.totals(selected);
        let processes = self.per_process();
        let exemplars = match sink.has_exemplars() {
            true => self.exemplars(sink.escaping()),
            false => HashMap::new(),
        };
        let own = self.own_families(metrics).into_iter().map(|family| (family, true));
        let led = self.said_otherwise();
        let shown = |family| is_selected(selected, family) && !led.contains(&family);
        let said = self.said_families(shown, &totals, &processes, &exemplars);
        let mut own: Vec<_> = own.chain(said.into_iter().map(|family| (family, false))).collect();
        own.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        let mut own = own.into_iter().peekable();
        let has_target = self.has_target();
        self.follow_joined();
        let added = Added { totals: &totals, processes: &processes, exemplars: &exemplars };
        for at in 0..self.page.lines.families.len() {
            let next = &self.page.lines.families[at];
            while let Some((family, is_own)) = own.next_if(|own| *own.0.name < *next.name) {
                sink.whole(family, is_own);
            }
            let family = &self.catalog.contents().families()[next.family as usize];
            if !is_selected(selected, next.family) || (has_target && is_target(family)) {
                continue;
            }
            match self.definitions.of(&next.name) {
                None => self.collect_family(sink, at, next.family, &added),
                // Each name once: with the first family that it is joined of.
                Some(shown) if shown.is_shown && shown.joined.first() == Some(&next.family) => {
                    let (leader, name) = (shown.leader, next.name.clone());
                    match shown.joined.len() {
                        1 => self.collect_family(sink, at, leader, &added),
                        _ => self.collect_joined(sink, &name, &added),
                    }
                }
                Some(_) => {}
            }
        }
        own.for_each(|(family, is_own)| sink.whole(family, is_own));
    }

    /// The families of what collectors say whose name another definition leads.
    fn said_otherwise(&self) -> HashSet<u32> {
        let is_otherwise = |(family, ordinal): (&Family, u32)| {
            let shown = self.definitions.of(&family.name)?;
            let leads = shown.is_shown && self.catalog.names.base(shown.leader) == ordinal;
            (matches!(family.kind, Kind::Samples(_)) && !leads).then_some(ordinal)
        };
        self.catalog.contents().families().iter().zip(0..).filter_map(is_otherwise).collect()
    }

    /// The newest exemplars of each series, by number of the line, with their labels escaped.
    fn exemplars(&self, escaping: Escaping) -> HashMap<u32, Vec<(usize, Exemplar)>> {
        let of_series = |(series, of): (&u32, &Vec<(usize, u32)>)| {
            let newest = |&(line, exemplar): &(usize, u32)| {
                let newest = self.newest_exemplar(exemplar)?;
                // What a collector gives may have no time.
                let timestamp = (newest.at_ms != 0).then(|| moment(newest.at_ms));
                let is_its_own = self.may_be_of(*series, line, &newest);
                let exemplar::Exemplar { labels, value, .. } = newest;
                let exemplar = escaping.exemplar(Exemplar { labels, value, timestamp })?;
                let fits = escaping == Escaping::AllowUtf8 || is_short(&exemplar);
                (is_its_own && fits).then_some((line, exemplar))
            };
            (*series, of.iter().filter_map(newest).collect())
        };
        self.page.lines.exemplars.iter().map(of_series).collect()
    }

    /// Whether an exemplar may be one of a line of a series. Definitions of a name that have the same
    /// labels share their exemplars, and may have other bounds and other times.
    fn may_be_of(&self, series: u32, line: usize, exemplar: &exemplar::Exemplar) -> bool {
        let contents = self.catalog.contents();
        let family = &contents.families()[contents.series()[series as usize].family as usize];
        if !self.catalog.names.definitions().contains_key(&family.name) {
            return true;
        }
        let bounds = match &family.kind {
            Kind::Histogram(bounds) => bounds,
            Kind::NativeHistogram(native) => &native.bounds,
            _ => &[][..],
        };
        let above = line.checked_sub(1).and_then(|below| bounds.get(below));
        let is_within = bounds.get(line).is_none_or(|bound| exemplar.value <= *bound)
            && above.is_none_or(|bound| exemplar.value > *bound);
        is_within && exemplar.at_ms >= self.archive.life(series as usize).created_ms
    }

    fn newest_exemplar(&self, series: u32) -> Option<exemplar::Exemplar> {
        let cell = self.catalog.contents().series()[series as usize].cell;
        let archived = self.archive.cells().get(cell..cell + EXEMPLAR_CELLS);
        let archived = archived.and_then(exemplar::of_cells);
        let living = self.places(series).filter_map(|(slot, place, _)| {
            exemplar::read(&self.arena, self.layout.slot_cells(slot) + place.from)
        });
        living.chain(archived).max_by_key(|exemplar| exemplar.at_ms)
    }

    /// The cells of the selected families over archive and slots, without what earlier lives of their
    /// series had counted.
    fn totals(&self, selected: Option<&[bool]>) -> Vec<u64> {
        let mut totals = vec![0; self.catalog.cells()];
        totals[..self.archive.cells().len()].copy_from_slice(self.archive.cells());
        self.add_rows(&mut totals, selected);
        let offsets = self.archive.offsets();
        if offsets.is_empty() {
            return totals;
        }
        let contents = self.catalog.contents();
        for series in contents.series() {
            let shape = contents.shape(series);
            let cells = series.cell..series.cell + shape.width();
            if let Some(offset) = offsets.get(cells.clone()) {
                shape.take_off(&mut totals[cells], offset);
            }
        }
        totals
    }

    /// Which families of the catalog `metrics` names.
    fn selection(&self, metrics: &[String]) -> Vec<bool> {
        let named = |family: &Family| {
            metrics.iter().any(|metric| family.sample_names().any(|name| name == *metric))
        };
        let contents = self.catalog.contents();
        let is_selected = |family: &Family| match family.name.strip_prefix(BUCKET_PREFIX) {
            // The buckets of a histogram are read with it.
            Some(of) => {
                let of = contents.families_named(of);
                of.iter().any(|&of| named(&contents.families()[of as usize]))
            }
            None => named(family),
        };
        contents.families().iter().map(is_selected).collect()
    }

    /// Adds the selected families of all taken slots, class by class, so that a run of cells is added for every
    /// slot of a class while it is in the cache.
    fn add_rows(&self, totals: &mut [u64], selected: Option<&[bool]>) {
        let mut classes: Vec<(&Class, Vec<&[u64]>)> = Vec::new();
        let mut place: HashMap<*const Class, usize> = HashMap::new();
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
            // The exemplars of the living are read one by one, when a format has them.
            let runs = runs.filter(|(run, _)| run.shape != Shape::Exemplar);
            for (run, _) in runs.filter(|(_, family)| is_selected(selected, **family)) {
                rows.iter().for_each(|row| run.merge(totals, row));
            }
        }
    }

    /// Writes a family in the words of `worded`, which is the same or differs in its help text.
    fn collect_family(&mut self, sink: &mut impl Sink, at: usize, worded: u32, added: &Added<'_>) {
        let Added { totals, processes, exemplars } = *added;
        let contents = self.catalog.contents();
        let family = &contents.families()[worded as usize];
        self.page.lines.families[at].word(family, worded);
        let page = &self.page.lines.families[at];
        if type_of(&family.kind).is_none() || matches!(family.kind, Kind::Samples(_)) {
            return;
        }
        sink.family(page, family);
        let width = family.kind.cells();
        let mut held = Held {
            floors: &mut self.floors,
            arena: &self.arena,
            start: self.layout.floors,
            applied: 0,
            has_floor: has_floor(&family.kind, &page.series, totals),
        };
        let mut numbers = Vec::new();
        for lines in newest_only(contents, family, &page.series, totals) {
            let life = self.archive.life(lines.series as usize);
            if life.is_hidden {
                continue;
            }
            let series = &contents.series()[lines.series as usize];
            if family.kind == Kind::Info && is_target(family) && has_no_pairs(series) {
                continue;
            }
            if is_per_process(&family.kind) {
                let rows = processes.get(&lines.series).map_or(&[][..], Vec::as_slice);
                let own = family.labels.iter().map(|label| &**label);
                let process = self.page.style.worker_label.name(own);
                sink.processes(family, series, &self.page.style, process, rows);
                continue;
            }
            let cells = &totals[lines.cell..lines.cell + width];
            let mut hold = |cell, value| held.hold(cell, value);
            let native = match &family.kind {
                Kind::NativeHistogram(native) => {
                    let sum = native::cells::SUM;
                    let sum = hold(lines.cell + sum, f64::from_bits(cells[sum]));
                    let buckets = contents.buckets_of(lines.series).iter();
                    let count = |series: u32| totals[contents.series()[series as usize].cell];
                    let buckets = buckets.map(|&(bucket, series)| (bucket, count(series)));
                    Some(Counted::new(native, cells, sum, buckets))
                }
                _ => None,
            };
            match &native {
                Some(native) => {
                    numbers.clear();
                    numbers.extend(native.values());
                }
                None => values(&family.kind, lines.cell, cells, hold, &mut numbers),
            }
            let created_ms = if has_created(&family.kind) { life.created_ms } else { 0 };
            let exemplars = exemplars.get(&lines.series).map_or(&[][..], Vec::as_slice);
            let values = &numbers;
            let shown =
                Shown { family, page, lines, series, values, native, created_ms, exemplars };
            sink.series(shown, &self.page.style);
        }
        self.figures.floors_applied += held.applied;
        sink.end_family();
    }

    /// The supervisor's own metrics, in order of name: all, or those that `metrics` names. What
    /// workers expose under a name of their samples comes from the workers alone, but for
    /// `target_info`: who runs the service knows better what it is than any of its processes.
    fn own_families(&self, metrics: &[String]) -> Vec<FamilySamples> {
        let is_taken = |family: &FamilySamples| {
            family.name != own::TARGET_INFO.name
                && sample_names(family).any(|name| self.catalog.has_sample(&name))
        };
        let mut families = self.figures_families();
        families.extend(self.figures.outside.iter().chain(&self.figures.fresh).cloned());
        families.retain(|family| {
            !is_taken(family)
                && (metrics.is_empty() || sample_names(family).any(|name| metrics.contains(&name)))
        });
        families.iter_mut().for_each(|family| self.page.style.labels.add_to(family));
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    /// Whether the supervisor has a `target_info` of its own.
    fn has_target(&self) -> bool {
        self.figures.outside.iter().any(|family| family.name == own::TARGET_INFO.name)
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
        let ended = Ended::ALL
            .map(|reason| (reason.name(), whole(figures.ended.get(&reason).copied().unwrap_or(0))));
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
        let unexposed = self.catalog.conflicts() + self.definitions_left_out();
        let changes = figures.definition_changes.counts().map(|([metric, from, to], count)| {
            ([("metric", metric), ("from", from), ("to", to)], whole(count))
        });
        let mut families = vec![
            own::ARENA_BYTES.value(whole(self.arena.allocated_bytes().unwrap_or(0))),
            own::ATTACHES.value(whole(figures.attaches)),
            own::ATTACHES_REFUSED.labelled(refused),
            own::CONVERSATIONS_ENDED.labelled(ended),
            own::CATALOG_FILL.value(Value::Float(self.catalog.fill(&self.layout))),
            own::CATALOG_SERIES.value(whole(self.series() as u64)),
            own::DEAD_ROWS_DROPPED.value(whole(self.archive.rows_dropped())),
            own::DEFINITION_CHANGES.rows(changes),
            own::DROPPED.labelled(reasons),
            own::DROPPED_SERIES.labelled(series),
            own::FLOORS_APPLIED.value(whole(figures.floors_applied)),
            own::FOLDS.value(whole(figures.folds)),
            own::GIVEN_UP.labelled(by_family(&figures.given_up)),
            own::JUDGED_CELLS.labelled(by_family(&figures.judged)),
            own::LAYOUT_CLASSES.value(whole(classes.len() as u64)),
            own::LEFT_OUT_GAUGES.labelled(by_family(&figures.left_out_gauges)),
            own::QUARANTINED_FAMILIES.value(whole(unexposed as u64)),
            own::QUARANTINED_SLOTS.value(whole(quarantined as u64)),
            own::QUARANTINES.value(whole(figures.quarantined)),
            own::RECLAIMS.value(whole(figures.reclaims)),
            own::SCRAPE_CELLS.value(whole(figures.scrape_cells)),
            own::SCRAPE_SECONDS.summary(figures.scrapes, figures.scrape_seconds),
            own::SLOTS.labelled(states),
            own::WAITING_SLOTS.value(whole(self.waiting().count() as u64)),
            own::WORKER_EXITS.value(whole(figures.worker_exits)),
        ];
        let met = self.catalog.limits.met();
        let met = own::LIMITS_MET
            .rows(met.map(|(limit, metric, n)| ([("limit", limit), ("metric", metric)], whole(n))));
        let alike = own::NAME_COLLISIONS.rows(self.page.collisions.seen().map(
            |(outcome, metric, series)| ([("metric", metric), ("outcome", outcome)], whole(series)),
        ));
        families.extend([met, alike].into_iter().filter(|family| !family.samples.is_empty()));
        families
    }
}

fn by_family(counted: &ByFamily) -> impl Iterator<Item = (&str, Value)> {
    counted.counts().map(|(family, count)| (family, Value::Whole(count)))
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

/// Whether a family of the workers writes `target_info`.
fn is_target(family: &Family) -> bool {
    *family.name == *own::TARGET_INFO.name
        || (family.kind == Kind::Info && format!("{}_info", family.name) == own::TARGET_INFO.name)
}

/// Whether an info was set to nothing. Of `target_info` that says that there is none any more.
fn has_no_pairs(series: &Series) -> bool {
    series.values.last().is_none_or(|pairs| pairs.is_empty())
}

/// Whether the sums of a family may not fall: so while nothing negative or not finite was observed.
fn has_floor(kind: &Kind, series: &[SeriesLines], totals: &[u64]) -> bool {
    let width = kind.cells();
    match kind {
        Kind::Histogram(_) | Kind::NativeHistogram(_) | Kind::Summary => {
            series.iter().all(|series| totals[series.cell + width - 1] == 0)
        }
        _ => true,
    }
}

/// The series of a family that are shown: of an info, of each set of label values the one that was
/// set last.
fn newest_only<'a>(
    contents: &'a Contents,
    family: &'a Family,
    series: &'a [SeriesLines],
    totals: &'a [u64],
) -> impl Iterator<Item = &'a SeriesLines> {
    let labels = family.labels.len();
    let values =
        move |series: &SeriesLines| &contents.series()[series.series as usize].values[..labels];
    let each = if family.kind == Kind::Info { usize::MAX } else { 1 };
    let mut rest = series;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let same = rest.iter().take(each).take_while(|next| values(next) == values(first)).count();
        let (same, others) = rest.split_at(same);
        rest = others;
        same.iter().max_by_key(|series| totals[series.cell])
    })
}
