//! What collectors say, written into the cells of a slot.
//!
//! It is written again and again: by the thread of `refresh.rs`, or by a binding that asks collectors of
//! its own (`raw.rs`).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tallyboard_exposition::cells::type_of;
use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
use tallyboard_proto::cell::stamp;
use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::layout::DropReason;
use tallyboard_proto::pairs;

use crate::error::RegisterError;
use crate::registry::registry::Registry;

impl Registry {
    /// Writes what the collector of a number says into the slot. The values of series that it has
    /// given before and gives no more are forgotten; what they have counted stays.
    pub(crate) fn write_collected(
        &'static self,
        number: u64,
        mode: GaugeMode,
        families: &[FamilySamples],
    ) {
        let mut present = Vec::new();
        for collected in families {
            let family = family_for(collected, mode).ok().flatten();
            let written = family.map_or(Err(DropReason::Conflict), |family| {
                self.write_family(&family, collected, &mut present)
            });
            if let Err(reason) = written {
                self.drop_one(reason);
            }
        }
        let present: BTreeSet<usize> = present.into_iter().collect();
        let mut state = self.state.lock();
        let Some(mapping) = state.page().mapping() else { return };
        let before = state.questions.given.insert(number, present.clone()).unwrap_or_default();
        for absent in before.difference(&present) {
            if let Some(series) = state.series_at(*absent) {
                state.forget_value(mapping, series);
            }
        }
    }

    fn write_family(
        &'static self,
        family: &Family,
        collected: &FamilySamples,
        present: &mut Vec<usize>,
    ) -> Result<(), DropReason> {
        let mut samples = &collected.samples[..];
        while let Some(first) = samples.first() {
            let labels = own_labels(collected, first);
            let same = |sample: &&Sample| own_labels(collected, sample) == labels;
            let (point, rest) = samples.split_at(samples.iter().take_while(same).count());
            samples = rest;
            let mut values = values_for(family, &labels).ok_or(DropReason::Conflict)?;
            if family.kind == Kind::Info {
                let pairs: Vec<(&str, &str)> = labels.clone();
                values.push(pairs::encode(&pairs).ok_or(DropReason::Conflict)?.into());
            }
            let series = self.series_of(family, &values)?;
            present.push(series.first());
            let Some(words) = series.words() else { continue };
            let cells: Vec<&AtomicU64> = (0..family.kind.cells()).map(|at| words.at(at)).collect();
            write_point(family, point, &cells, series.now_ns());
        }
        Ok(())
    }
}

/// The labels of a sample that are not of its place in the family.
fn own_labels<'a>(family: &FamilySamples, sample: &'a Sample) -> Vec<(&'a str, &'a str)> {
    let inner = match family.kind {
        Type::Histogram | Type::GaugeHistogram => "le",
        Type::Summary => "quantile",
        Type::StateSet => family.name.as_str(),
        _ => "",
    };
    sample.labels().filter(|(name, _)| *name != inner).collect()
}

/// The values of `labels` in the order of the family's; `None` when they are not its labels.
fn values_for(family: &Family, labels: &[(&str, &str)]) -> Option<Vec<Box<str>>> {
    if family.kind == Kind::Info {
        return Some(Vec::new());
    }
    let value = |name: &str| labels.iter().find(|(label, _)| *label == name);
    let values = family.labels.iter().map(|name| value(name).map(|(_, value)| (*value).into()));
    let values: Option<Vec<Box<str>>> = values.collect();
    values.filter(|values| values.len() == labels.len())
}

/// The family of an arena that can hold what was collected; `None` when none can.
pub(crate) fn family_for(
    collected: &FamilySamples,
    mode: GaugeMode,
) -> Result<Option<Family>, RegisterError> {
    let kind = match collected.kind {
        Type::Counter => Kind::Counter,
        Type::Gauge | Type::Unknown => Kind::Gauge(mode),
        Type::Summary => Kind::Summary,
        Type::Histogram => Kind::Histogram(bounds_of(collected).into()),
        Type::Info => Kind::Info,
        Type::StateSet => Kind::StateSet(states_of(collected).into()),
        Type::GaugeHistogram => return Ok(None),
    };
    debug_assert!(type_of(&kind).is_some());
    let first = collected.samples.first();
    let labels = first.map(|sample| own_labels(collected, sample)).unwrap_or_default();
    let labels: Vec<&str> = match kind {
        Kind::Info => Vec::new(),
        _ => labels.iter().map(|(name, _)| *name).collect(),
    };
    Ok(Some(Family::new(kind, &collected.name, &collected.unit, &collected.help, &labels)?))
}

/// The finite bounds of the first series of a histogram.
fn bounds_of(collected: &FamilySamples) -> Vec<f64> {
    let first = collected.samples.first().map(|sample| own_labels(collected, sample));
    let of_first = |sample: &&Sample| Some(own_labels(collected, sample)) == first;
    let bounds = collected.samples.iter().take_while(of_first).filter_map(bound);
    let mut bounds: Vec<f64> = bounds.filter(|bound| bound.is_finite()).collect();
    bounds.dedup();
    bounds
}

fn bound(sample: &Sample) -> Option<f64> {
    let (_, bound) = sample.labels().find(|(name, _)| *name == "le")?;
    bound.parse().ok()
}

/// The states of the first series of a stateset.
fn states_of(collected: &FamilySamples) -> Vec<Box<str>> {
    let mut states: Vec<Box<str>> = Vec::new();
    for sample in &collected.samples {
        let state = sample.labels().find(|(name, _)| *name == collected.name);
        if let Some((_, state)) = state
            && !states.iter().any(|known| **known == *state)
        {
            states.push(state.into());
        }
    }
    states
}

/// Stores a count that another process or library keeps. It never goes down here: that it did there
/// would be taken for damage.
fn raise(cell: &AtomicU64, count: u64) {
    cell.fetch_max(count, Relaxed);
}

/// The same for a float from 0 on, whose bits are in the order of the numbers.
fn raise_float(cell: &AtomicU64, value: f64) {
    if (0.0..f64::INFINITY).contains(&value) {
        cell.fetch_max(value.to_bits(), Relaxed);
    }
}

/// Writes the samples of one series into its cells.
fn write_point(family: &Family, point: &[Sample], cells: &[&AtomicU64], now_ns: u64) {
    let of = |suffix: &str| point.iter().find(|sample| *sample.suffix == *suffix);
    let value = |suffix: &str| of(suffix).map(|sample| sample.value);
    match &family.kind {
        Kind::Counter => {
            // One cell for all, so that a whole number that becomes a fraction does not go down.
            let value = value("_total").or(value("")).map_or(0.0, Value::as_f64);
            raise_float(cells[1], value);
        }
        Kind::Gauge(mode) => {
            if let Some(value) = value("") {
                cells[0].store(value.as_f64().to_bits(), Relaxed);
                stamp(cells[1], if mode.is_ordered() { now_ns } else { 1 });
            }
        }
        Kind::Summary => {
            raise(cells[0], value("_count").map_or(0, whole));
            raise_float(cells[1], value("_sum").map_or(0.0, Value::as_f64));
        }
        Kind::Histogram(bounds) => {
            let mut below = 0;
            for (at, bound_at) in bounds.iter().copied().chain([f64::INFINITY]).enumerate() {
                let bucket = point.iter().find(|sample| bound(sample) == Some(bound_at));
                let count = bucket.map_or(below, |bucket| whole(bucket.value)).max(below);
                raise(cells[at], count - below);
                below = count;
            }
            raise_float(cells[bounds.len() + 1], value("_sum").map_or(0.0, Value::as_f64));
        }
        Kind::Info => _ = cells[0].fetch_max(now_ns, Relaxed),
        Kind::StateSet(states) => {
            let holds = |sample: &&Sample| sample.value.as_f64() == 1.0;
            let state = point.iter().find(holds).and_then(|sample| {
                let (_, state) = sample.labels().find(|(name, _)| *name == &*family.name)?;
                states.iter().position(|known| **known == *state)
            });
            if let Some(state) = state {
                cells[0].store(state as u64, Relaxed);
                stamp(cells[1], now_ns);
            }
        }
        // What is collected has no native buckets: it was given its classic ones.
        Kind::NativeHistogram(_) | Kind::Exemplar | Kind::Bucket(_) => {}
    }
}

fn whole(value: Value) -> u64 {
    match value {
        Value::Whole(value) => value,
        Value::Float(value) => value as u64,
    }
}
