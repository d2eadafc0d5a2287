//! Callbacks that are asked for the values of gauges: while a gauge has one it shows what that says, and
//! nothing else.
//!
//! Who asks: a registry without supervisor when it is exposed, the thread of `refresh.rs` in the
//! shared one, and where a binding has the callback, that (`raw.rs`). What sets a gauge by hand looks
//! first whether it is asked, without a lock.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::cell::stamp;
use tallyboard_proto::family::Kind;

use crate::registry::questions::{Callback, Function, new_number};
use crate::registry::registry::Registry;
use crate::registry::series::SeriesRef;

impl Registry {
    /// Has a series be asked for from now on; gives the number of its callback.
    pub(crate) fn ask(&'static self, series: &SeriesRef, function: Option<Function>) -> u64 {
        let number = new_number();
        self.first_use();
        // What cannot be set has nobody to ask for.
        if let Some(reason) = series.refusal() {
            self.drop_one(reason);
            return number;
        }
        let mut state = self.state.lock();
        let is_asked = self.asked.begin(series.first());
        let callback = Callback { number, function, is_asked };
        let replaced = state.questions.callbacks.insert(series.first(), callback);
        drop(state);
        // A callback may use metrics while it is dropped.
        drop(replaced);
        number
    }

    /// Asks the callbacks that this crate has, but those whose numbers are `known`, which has them
    /// afterwards.
    pub(crate) fn run_callbacks(&'static self, known: &mut BTreeSet<u64>) {
        let callbacks = self.state.lock().questions.callbacks.clone();
        for (first, Callback { number, function, .. }) in callbacks {
            let Some(function) = function.filter(|_| known.insert(number)) else { continue };
            let value = catch_unwind(AssertUnwindSafe(|| function())).ok();
            self.answer(first, number, value);
            if value.is_none() {
                self.count_error(&self.name_of(first));
            }
        }
    }

    /// Whether the callback of this number is still the one that the series at a cell asks.
    pub(crate) fn is_wanted(&self, first: usize, number: u64) -> bool {
        let state = self.state.lock();
        state.questions.callbacks.get(&first).is_some_and(|callback| callback.number == number)
    }

    /// Shows what a callback has said, or nothing when it failed, unless it is wanted no more: the
    /// series may have been removed while it was asked.
    pub(crate) fn answer(&self, first: usize, number: u64, value: Option<f64>) {
        let state = self.state.lock();
        let callback = state.questions.callbacks.get(&first);
        let is_wanted = callback.is_some_and(|callback| callback.number == number);
        let series = state.page().mapping().zip(state.series_at(first));
        let Some((mapping, series)) = series.filter(|_| is_wanted) else { return };
        let Some(value) = value else { return state.forget_value(mapping, series) };
        let family = state.contents.series()[series as usize].family;
        let kind = &state.contents.families()[family as usize].kind;
        let is_ordered = matches!(kind, Kind::Gauge(mode) if mode.is_ordered());
        mapping.word(first).store(value.to_bits(), Relaxed);
        stamp(mapping.word(first + 1), if is_ordered { self.now_ns() } else { 1 });
    }

    /// What the family of the series at a cell is called.
    fn name_of(&self, first: usize) -> String {
        let state = self.state.lock();
        let families = state.contents.families();
        let family = state.series_at(first).map(|at| state.contents.series()[at as usize].family);
        family.map_or_else(String::new, |family| families[family as usize].name.to_string())
    }
}
