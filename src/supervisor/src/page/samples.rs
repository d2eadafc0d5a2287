//! What collectors say, as families: sample by sample, joined over all processes.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use tallyboard_exposition::cells::type_of;
use tallyboard_exposition::sample::{
    Exemplar, FamilySamples, Labels, Sample, Timestamp, Type, Value,
};
use tallyboard_exposition::series::{bound, series_labels};
use tallyboard_proto::cell::{self, Join, MAX_WHOLE, Shape};
use tallyboard_proto::family::{Declared, Family, Kind};
use tallyboard_proto::pairs;

use crate::board::floors::Held;
use crate::page::exposed::Core;
use crate::page::lines::SeriesLines;
use crate::page::processes::ProcessValues;

/// By what part of itself a sum may fall when its addends are added in another order.
const ADDING_ERROR: f64 = 1e-12;

/// The exemplars of series, by number of the line.
type Exemplars = HashMap<u32, Vec<(usize, Exemplar)>>;

impl Core {
    /// The families of what collectors say, of those that `is_shown` names by their ordinal.
    pub(crate) fn said_families(
        &mut self,
        is_shown: impl Fn(u32) -> bool,
        totals: &[u64],
        processes: &HashMap<u32, ProcessValues>,
        exemplars: &Exemplars,
    ) -> Vec<FamilySamples> {
        let mut families = Vec::new();
        for at in 0..self.page.lines.families.len() {
            let page = &self.page.lines.families[at];
            let family = &self.catalog.contents().families()[page.family as usize];
            let Kind::Samples(samples) = family.kind else { continue };
            if !is_shown(page.family) {
                continue;
            }
            let family = family.clone();
            let current = self.current_only(samples.declared, at, totals);
            let mut said = Vec::new();
            for series in 0..self.page.lines.families[at].series.len() {
                let lines = &self.page.lines.families[at].series[series];
                let (ordinal, cell) = (lines.series, lines.cell);
                let is_hidden = self.archive.life(ordinal as usize).is_hidden;
                if !is_hidden && current.as_ref().is_none_or(|all| all.contains(&ordinal)) {
                    let exemplar = exemplars.get(&ordinal).and_then(|all| all.first());
                    let exemplar = exemplar.map(|(_, exemplar)| exemplar.clone());
                    let rows = processes.get(&ordinal).map_or(&[][..], Vec::as_slice);
                    said.extend(self.said(ordinal, cell, totals, rows, exemplar));
                }
            }
            families.extend(family_of(&family, said));
        }
        families
    }

    /// The samples of a series: one, or one for each process.
    fn said(
        &mut self,
        ordinal: u32,
        at: usize,
        totals: &[u64],
        rows: &[(String, f64)],
        exemplar: Option<Exemplar>,
    ) -> Vec<Sample> {
        let series = &self.catalog.contents().series()[ordinal as usize];
        let [suffix, own] = &series.values[..] else { return Vec::new() };
        let (suffix, own) = (suffix.to_string(), pairs::decode(own).unwrap_or_default());
        let shape = self.catalog.shape(ordinal);
        let of = |labels: Labels, value: f64, at_ns: Option<i64>| Sample {
            suffix: suffix.clone().into(),
            labels,
            value: number(value),
            timestamp: at_ns.and_then(|at| Timestamp::from_nanos(at.into())),
            exemplar: exemplar.clone(),
            native: None,
        };
        // One that has a time of its own is that of all processes.
        match cell::Sample::of_cells(&totals[at..at + shape.width()]) {
            Some(cell::Sample { value, at_ns, .. }) => {
                let is_added = shape == Shape::Sample(Join::Add) && at_ns.is_none();
                let value = if is_added { self.held(at, value) } else { value };
                vec![of(self.labelled(own, None), value, at_ns)]
            }
            None => rows
                .iter()
                .map(|(process, value)| of(self.labelled(own.clone(), Some(process)), *value, None))
                .collect(),
        }
    }

    /// A sum as it is exposed: not less than before because of the order in which it is added up.
    fn held(&mut self, cell: usize, value: f64) -> f64 {
        let floor = self.floors.at(cell);
        if !value.is_finite() || value < floor - floor.abs() * ADDING_ERROR {
            self.floors.forget(&self.arena, &self.layout, cell..cell + 1);
            return value;
        }
        if value <= 0.0 {
            return value;
        }
        let mut held = Held {
            floors: &mut self.floors,
            arena: &self.arena,
            start: self.layout.floors,
            applied: 0,
            has_floor: true,
        };
        let value = held.hold(cell, value);
        self.figures.floors_applied += held.applied;
        value
    }

    /// Labels with those of all samples, and with what tells its process apart.
    fn labelled(&self, mut own: Labels, process: Option<&String>) -> Labels {
        let style = &self.page.style;
        let name = style.worker_label.name(own.iter().map(|(name, _)| name.as_str()));
        for (name, value) in style.labels.pairs() {
            if own.iter().all(|(taken, _)| taken != name) {
                own.push((name.to_owned(), value.to_owned()));
            }
        }
        own.extend(process.map(|process| (name.to_owned(), process.clone())));
        own
    }

    /// Of an info or a stateset the series that a living worker says now; while none does, those
    /// that were said last. Of all others nothing is left out.
    fn current_only(&self, declared: Declared, at: usize, totals: &[u64]) -> Option<BTreeSet<u32>> {
        if !matches!(declared, Declared::Info | Declared::StateSet) {
            return None;
        }
        let series = &self.page.lines.families[at].series;
        let is_said = |lines: &&SeriesLines| {
            let mut places = self.places(lines.series);
            places.any(|(slot, place, _)| {
                let taken = &self.slots[slot];
                !taken.exited && taken.row[place.from..][..place.shape.width()] != [0; WIDTH]
            })
        };
        let living: BTreeSet<u32> = series.iter().filter(is_said).map(|of| of.series).collect();
        if !living.is_empty() {
            return Some(living);
        }
        let stamp = |lines: &SeriesLines| {
            let said = cell::Sample::of_cells(&totals[lines.cell..lines.cell + WIDTH]);
            said.map_or(0, |said| said.stamp)
        };
        let last = series.iter().map(stamp).max().unwrap_or(0);
        let is_last = |lines: &&SeriesLines| last != 0 && stamp(lines) == last;
        Some(series.iter().filter(is_last).map(|of| of.series).collect())
    }
}

/// A value as one that is counted, where it is a whole number that a float has exactly.
fn number(value: f64) -> Value {
    let is_whole = value.fract() == 0.0 && value.is_sign_positive() && value < MAX_WHOLE;
    if is_whole { Value::Whole(value as u64) } else { Value::Float(value) }
}

/// Cells of a sample.
const WIDTH: usize = cell::SAMPLE_CELLS;

/// A family with its samples, those of one label set beside each other; nothing when nobody says any.
fn family_of(family: &Family, mut samples: Vec<Sample>) -> Option<FamilySamples> {
    let kind = type_of(&family.kind).filter(|_| !samples.is_empty())?;
    samples.sort_by(|a, b| in_order(kind, a, b));
    Some(FamilySamples {
        kind,
        name: family.name.to_string(),
        unit: family.unit.to_string(),
        help: family.help.to_string(),
        samples,
    })
}

/// The order of samples: by label set, then buckets and quantiles by what they are of, then the rest.
fn in_order(kind: Type, a: &Sample, b: &Sample) -> Ordering {
    let labels = |sample| series_labels(kind, sample);
    let place = |sample: &Sample| ["", "_bucket"].contains(&&*sample.suffix);
    let inner = |sample: &Sample| bound(kind, sample).unwrap_or(f64::NAN);
    labels(&a.labels)
        .cmp(labels(&b.labels))
        .then_with(|| a.timestamp.cmp(&b.timestamp))
        .then_with(|| place(b).cmp(&place(a)))
        .then_with(|| inner(a).total_cmp(&inner(b)))
        .then_with(|| rank(a).cmp(&rank(b)))
}

/// Where a sample stands behind buckets and quantiles: when a series began comes last.
fn rank(sample: &Sample) -> (bool, &str) {
    (sample.suffix == "_created", &sample.suffix)
}
