//! What collectors say, written into the cells of a slot.
//!
//! It is written again and again: by the thread of `refresh.rs`, or by a binding that asks collectors of
//! its own (`raw.rs`).

use std::collections::BTreeSet;

use tallyboard_exposition::sample::{FamilySamples, Sample, Timestamp};
use tallyboard_proto::cell::{self, Join, Shape};
use tallyboard_proto::exemplar;
use tallyboard_proto::family::{Family, GaugeMode, MAX_VALUE_BYTES};
use tallyboard_proto::layout::DropReason;
use tallyboard_proto::log::Action;
use tallyboard_proto::pairs;
use tallyboard_segment::mapping::SlotMapping;

use super::parts::{Part, parts};
use crate::instrument::exemplars;
use crate::registry::questions::LeftOut;
use crate::registry::registry::Registry;
use crate::registry::state::State;

impl Registry {
    /// Writes what the collector of a number says into the slot. The values of samples that it has
    /// given before and gives no more are forgotten; what they have counted stays.
    pub(crate) fn write_collected(
        &'static self,
        number: u64,
        mode: GaugeMode,
        families: &[FamilySamples],
    ) -> LeftOut {
        self.first_use();
        let stamp = self.now_ns().max(1);
        let mut state = self.state.lock();
        let Some(mapping) = state.page().mapping() else { return LeftOut::new() };
        let before = state.questions.given.get(&number).cloned().unwrap_or_default();
        let mut writing = Writing {
            state: &mut state,
            mapping,
            number,
            stamp,
            present: BTreeSet::new(),
            dropped: Vec::new(),
            left_out: LeftOut::new(),
        };
        for part in families.iter().flat_map(|collected| parts(collected, mode)) {
            writing.part(&part);
        }
        let Writing { mut present, dropped, left_out, .. } = writing;
        for absent in before.difference(&present.clone()) {
            match state.series_at(*absent) {
                Some(series) if is_added(&state, series) => _ = present.insert(*absent),
                Some(series) => state.forget_value(mapping, series),
                None => {}
            }
        }
        state.questions.given.insert(number, present);
        drop(state);
        dropped.into_iter().for_each(|reason| self.drop_one(reason));
        left_out
    }

    /// Ends all that the collector of a number has said: this process says none of it any more.
    pub(crate) fn end_collected(&'static self, number: u64) {
        self.first_use();
        let mut state = self.state.lock();
        let given = state.questions.given.remove(&number).unwrap_or_default();
        let Some(mapping) = state.page().mapping() else { return };
        let mut failed = None;
        for first in given {
            if let Some(series) = state.series_at(first)
                && let Err(reason) = state.end(mapping, series, Action::Remove)
            {
                failed = Some(reason);
            }
        }
        drop(state);
        failed.into_iter().for_each(|reason| self.drop_one(reason));
    }
}

/// Whether what a series has said is a count, which stays when nobody says it any more.
fn is_added(state: &State, series: u32) -> bool {
    let entry = &state.contents.series()[series as usize];
    state.contents.shape(entry) == Shape::Sample(Join::Add)
}

/// What a collector says, on its way into the slot.
struct Writing<'a> {
    state: &'a mut State,
    mapping: &'static SlotMapping,
    number: u64,
    stamp: u64,
    /// The first cells of what was said.
    present: BTreeSet<usize>,
    dropped: Vec<DropReason>,
    left_out: LeftOut,
}

impl Writing<'_> {
    fn part(&mut self, part: &Part<'_>) {
        let family = match &part.family {
            Ok(family) => family,
            Err(error) => return self.leave_out(&part.name, error),
        };
        for (suffix, sample) in &part.samples {
            let name = format!("{}{suffix}", part.name);
            match self.sample(family, suffix, sample) {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => {
                    self.dropped.push(reason);
                    self.leave_out(&name, &format!("it has no place: {}", reason.name()));
                }
                Err(why) => self.leave_out(&name, &why),
            }
        }
    }

    fn leave_out(&mut self, name: &str, why: &impl ToString) {
        self.left_out.entry(name.to_owned()).or_insert_with(|| why.to_string());
    }

    /// Writes a sample. What cannot be shown is the collector's, what has no place the arena's.
    fn sample(
        &mut self,
        family: &Family,
        suffix: &str,
        sample: &Sample,
    ) -> Result<Result<(), DropReason>, &'static str> {
        let labels: Vec<(&str, &str)> = sample.labels().collect();
        let pairs = pairs::encode(&labels).ok_or("the names of its labels are none")?;
        if pairs.len() > MAX_VALUE_BYTES {
            return Err("its labels have more than 4096 bytes together");
        }
        let at_ns = sample.timestamp.map(nanos).transpose()?;
        let values: [Box<str>; 2] = [suffix.into(), pairs.into()];
        let series = match self.series(family, &values) {
            Ok(series) => series,
            Err(reason) => return Ok(Err(reason)),
        };
        let first = self.state.first_of(series);
        let mut given = self.state.questions.given.iter();
        if given.any(|(of, given)| *of != self.number && given.contains(&first)) {
            return Err("another collector says it");
        }
        if !self.present.insert(first) {
            return Err("it is said twice with the same labels");
        }
        let value = self.value(first, suffix, is_added(self.state, series), sample);
        cell::Sample { value, stamp: self.stamp, at_ns }.write(self.mapping, first);
        if let Some(given) = &sample.exemplar {
            self.exemplar(series, given)?;
        }
        Ok(Ok(()))
    }

    /// The series of a sample, which this process holds from now on.
    fn series(&mut self, family: &Family, values: &[Box<str>]) -> Result<u32, DropReason> {
        let ordinal = self.state.family(self.mapping, family)?;
        let Some(series) = self.state.contents.find_series(ordinal, values) else {
            let begun = self.state.begin_series(Some(self.mapping), ordinal, values)?;
            return Ok(begun as u32);
        };
        if self.state.ended.get(&series).is_some_and(|ended| ended.is_removed) {
            self.state.end(self.mapping, series, Action::Hold)?;
        }
        Ok(series)
    }

    /// The value to write: a count that another process or library keeps never goes down here.
    fn value(&self, first: usize, suffix: &str, is_added: bool, sample: &Sample) -> f64 {
        let value = sample.value.as_f64();
        let mut cells = [0; cell::SAMPLE_CELLS];
        cell::Sample::copy(self.mapping, first, &mut cells);
        let before = cell::Sample::of_cells(&cells).filter(|_| is_added);
        match before {
            // A sum of negative amounts is none that only rises.
            Some(before) if suffix != "_sum" || value >= 0.0 => {
                if before.value > value {
                    before.value
                } else {
                    value
                }
            }
            _ => value,
        }
    }

    fn exemplar(
        &mut self,
        series: u32,
        given: &tallyboard_exposition::sample::Exemplar,
    ) -> Result<(), &'static str> {
        let labels: Vec<(&str, &str)> =
            given.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let labels = exemplar::labels(&labels).ok_or("the labels of its exemplar are too long")?;
        let at_ms = given.timestamp.map_or(0, |at| u64::try_from(at.millis()).unwrap_or(0));
        let (state, mapping) = (&mut *self.state, self.mapping);
        match exemplars::room(state, mapping, series, None) {
            Ok(at) => exemplar::write(mapping, at, &labels, given.value, at_ms),
            Err(reason) => self.dropped.push(reason),
        }
        Ok(())
    }
}

/// A moment as the arena has it.
fn nanos(at: Timestamp) -> Result<i64, &'static str> {
    let nanos = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    let nanos = i64::try_from(nanos).ok().filter(|nanos| *nanos != i64::MIN);
    nanos.ok_or("its time is further from 1970 than 292 years")
}
