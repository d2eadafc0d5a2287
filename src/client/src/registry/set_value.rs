//! Values that are set: what this process has counted of a number becomes another.
//!
//! The cells of a series that counts only rise, and others read them at any moment. So a value that
//! is higher is an addition. For one that is lower the cells stay, and a record in the log says how
//! much is taken off them: that is one step, which the supervisor applies once, whoever dies when.
//! The registry's lock is held meanwhile; what other threads add in between comes on top. When the
//! log has no room for the record, the value stays as it was, and that is counted as dropped.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::cell::{MAX_COUNT, MAX_WHOLE, MIN_LARGE, add_float};
use tallyboard_proto::layout::DropReason;
use tallyboard_proto::log::{Action, Removal};
use tallyboard_segment::mapping::SlotMapping;
use tallyboard_segment::process;

use super::ended::Ended;
use super::state::State;

/// Which number of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// The value of a counter.
    Counter,
    /// The count in the integer cell of this index: a bucket, or the count of a summary.
    Count(usize),
    /// The sum in the float cell of this index.
    Sum(usize),
}

/// A series of which a number is set.
struct Part<'a> {
    mapping: &'a SlotMapping,
    series: u32,
    /// Its first word in the slot.
    first: usize,
    /// Its cells.
    cells: Vec<u64>,
    /// What of them this process has counted since the series began anew.
    own: Vec<u64>,
}

impl Part<'_> {
    fn word(&self, cell: usize) -> &AtomicU64 {
        self.mapping.word(self.first + cell)
    }

    fn float(&self, cell: usize) -> f64 {
        f64::from_bits(self.own[cell])
    }
}

/// Whether a number is one that counts in ones.
#[inline]
pub(crate) fn is_count(value: f64) -> bool {
    (0.0..MAX_WHOLE).contains(&value) && value.fract() == 0.0
}

/// Adds to a cell that counts in ones, which never holds more than such a cell can.
#[inline]
pub(crate) fn add_count(word: &AtomicU64, amount: u64) -> Result<(), DropReason> {
    let has_room = || word.load(Relaxed).saturating_add(amount) <= MAX_COUNT;
    if amount >= MIN_LARGE && !has_room() {
        return Err(DropReason::Amount);
    }
    word.fetch_add(amount, Relaxed);
    Ok(())
}

impl State {
    /// Makes a number of a series what this process has counted of it.
    pub(crate) fn set(
        &mut self,
        mapping: &SlotMapping,
        series: u32,
        number: Number,
        value: f64,
    ) -> Result<(), DropReason> {
        let part = self.part(mapping, series);
        let is_amount = match number {
            Number::Counter => (0.0..f64::INFINITY).contains(&value),
            Number::Count(_) => is_count(value),
            Number::Sum(_) => value.is_finite(),
        };
        match number {
            _ if !is_amount => Err(DropReason::Amount),
            Number::Counter => self.set_counter(&part, value),
            Number::Count(cell) => self.set_count(&part, cell, value as u64),
            Number::Sum(cell) => self.set_sum(part, cell, value),
        }
    }

    fn part<'a>(&self, mapping: &'a SlotMapping, series: u32) -> Part<'a> {
        let cells = self.cells_of(mapping, series);
        let own = self.own_of(series, cells.clone());
        Part { mapping, series, first: self.first_of(series), cells, own }
    }

    fn set_counter(&mut self, part: &Part<'_>, value: f64) -> Result<(), DropReason> {
        let (whole, fraction) = (part.own[0], part.float(1));
        let more = value - (whole as f64 + fraction);
        if more > 0.0 {
            // In ones where that comes to the value exactly, as counts of ones do.
            let has_room = more < MIN_LARGE as f64 || part.cells[0] < MAX_WHOLE as u64;
            let is_whole = more < MAX_WHOLE && more.fract() == 0.0 && has_room;
            if is_whole && whole.saturating_add(more as u64) as f64 + fraction == value {
                part.word(0).fetch_add(more as u64, Relaxed);
            } else {
                self.raise(part, 1, value - whole as f64);
            }
            return Ok(());
        }
        if more == 0.0 {
            return Ok(());
        }
        let left = whole.min(value as u64);
        let of_fraction = value - left as f64;
        let amounts = [whole - left, (fraction - of_fraction).to_bits()];
        self.lower(part, &[(0, amounts[0], left), (1, amounts[1], of_fraction.to_bits())])
    }

    fn set_count(&mut self, part: &Part<'_>, cell: usize, value: u64) -> Result<(), DropReason> {
        let own = part.own[cell];
        if own <= value {
            return add_count(part.word(cell), value - own);
        }
        self.lower(part, &[(cell, own - value, value)])
    }

    fn set_sum(&mut self, part: Part<'_>, cell: usize, value: f64) -> Result<(), DropReason> {
        let own = part.float(cell);
        if value < 0.0 {
            // Marked before it is one, as an observation does.
            part.word(cell + 1).fetch_add(1, Relaxed);
        }
        if !own.is_finite() {
            // Nothing that is added to an infinite sum changes it. It is odd, so it may be anything.
            return self.replace(part, cell, value);
        }
        if value < own {
            let amount = (own - value).to_bits();
            return self.lower(&part, &[(cell, amount, value.to_bits())]);
        }
        if value > own {
            self.raise(&part, cell, value);
        }
        Ok(())
    }

    /// Makes what this process has in a float cell a higher value, bit for bit where no other
    /// thread adds to it.
    fn raise(&mut self, part: &Part<'_>, cell: usize, value: f64) {
        let (word, own) = (part.word(cell), part.float(cell));
        let ended = self.ended.get_mut(&part.series);
        let then = ended.as_ref().map_or(0.0, |ended| f64::from_bits(ended.cells[cell]));
        let left = ended.as_ref().map_or(0.0, |ended| f64::from_bits(ended.left[cell]));
        let now = f64::from_bits(part.cells[cell]).max(then + (value - left)).to_bits();
        if word.compare_exchange(part.cells[cell], now, Relaxed, Relaxed).is_err() {
            add_float(word, value - own);
        } else if let Some(ended) = ended {
            (ended.cells[cell], ended.left[cell]) = (now, value.to_bits());
        }
    }

    /// Makes an infinite sum a number again.
    fn replace(&mut self, mut part: Part<'_>, cell: usize, value: f64) -> Result<(), DropReason> {
        let ended = self.ended.get(&part.series);
        let then = ended.map_or(0.0, |ended| f64::from_bits(ended.cells[cell]));
        let then = if then.is_finite() { then } else { 0.0 };
        part.cells[cell] = (then + value).to_bits();
        self.lower(&part, &[(cell, 0.0_f64.to_bits(), value.to_bits())])?;
        // The rows that threads write alone keep what they have, which is a number.
        let rows = part.mapping.rows(part.first + cell).skip(1).map(f64::from_bits);
        part.word(cell).store((then + value - rows.sum::<f64>()).to_bits(), Relaxed);
        Ok(())
    }

    /// Takes amounts off what this process has in some cells of a series, which begins anew: of
    /// each cell how much is taken off, and what is left.
    fn lower(&mut self, part: &Part<'_>, lowered: &[(usize, u64, u64)]) -> Result<(), DropReason> {
        let (series, at_ms) = (part.series, process::unix_ms());
        let mut amounts = vec![0; part.own.len()];
        lowered.iter().for_each(|&(cell, amount, _)| amounts[cell] = amount);
        let cells = amounts.into();
        self.say(part.mapping, Removal { series, action: Action::Lower, at_ms, cells })?;
        let ended = self.ended.entry(series).or_insert_with(|| Ended::none(part.own.len()));
        ended.at_ms = at_ms;
        for &(cell, _, left) in lowered {
            (ended.cells[cell], ended.left[cell]) = (part.cells[cell], left);
        }
        Ok(())
    }
}
