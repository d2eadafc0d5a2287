//! What a reader must know of a service: made from the numbers that its workers were given, by addition
//! and comparison alone.

use std::collections::BTreeSet;

use crate::read::page::Labels;
use crate::read::prometheus::{Bucket, Native, Samples, Series};
use crate::service::arena::Service;
use crate::start::child::until;

/// Bounds of the classic buckets of all histograms that have any.
pub const BOUNDS: &[f64] = &[1.0, 10.0];
/// A text with all that has to be escaped somewhere.
pub const ODD: &str = "a \"b\" \\ c\nü {d}";
/// How many buckets the native histogram `work_wide` may have before they become wider.
pub const WIDEST: u16 = 8;

/// The native histograms: the first has classic buckets too, and the last observes what `offsets` says.
pub(crate) const NATIVES: [&str; 3] = ["work_native_seconds", "work_wide", "work_offset"];

/// What a reader makes of native histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Classic histograms.
    Classic,
    /// Native histograms, without the classic buckets that one of them has.
    Native,
    /// Native histograms, and beside them the classic ones of those that have any.
    Both,
    /// None.
    Neither,
}

impl Service {
    /// Waits until what a reader knows, which `read` gets, is what was counted.
    ///
    /// # Panics
    /// As [`check`](Self::check).
    pub fn until_known(&self, shown: Shown, read: impl Fn() -> Samples) {
        until_good(|| self.check(read(), shown));
    }

    /// All numbers that were counted, in order, as `work_offset` observes them.
    #[must_use]
    pub fn offsets(&self) -> Vec<f64> {
        self.numbers().iter().flat_map(|number| [*number, 0.0, -number / 2.0]).collect()
    }

    /// The numbers that must be known of it now: every series whose name begins with `work_`.
    ///
    /// # Panics
    /// When nothing has been counted.
    #[must_use]
    pub fn expected(&self, shown: Shown) -> Series<f64> {
        let numbers = self.numbers();
        let (count, sum) = (numbers.len() as f64, numbers.iter().sum());
        let mut series = Series::new();
        let mut add = |name: &str, labels: &[(&str, &str)], value: f64| {
            let labels = labels.iter().map(|(name, value)| (String::from(*name), (*value).into()));
            series.insert((name.to_owned(), labels.collect()), value);
        };
        add("work_done_total", &[("by", ODD)], count);
        add("work_spent_seconds_total", &[], sum);
        add("work_level", &[], count);
        for (pid, numbers) in self.counted() {
            add("work_here", &[("pid", &pid.to_string())], numbers.len() as f64);
        }
        add("work_last", &[], *numbers.last().expect("something was counted"));
        add("work_size_count", &[], count);
        add("work_size_sum", &[], sum);
        add("work_build_info", &[("version", "1"), ("notes", ODD)], 1.0);
        add("work_state", &[("work_state", "busy")], 0.0);
        add("work_state", &[("work_state", "idle")], 1.0);
        let mut add_classic = |name: &str, numbers: &[f64], bounds: &[f64]| {
            for bound in bounds.iter().chain(&[f64::INFINITY]) {
                let below = numbers.iter().filter(|number| *number <= bound).count();
                let le = if bound.is_infinite() { "+Inf".into() } else { format!("{bound:?}") };
                add(&format!("{name}_bucket"), &[("le", &le)], below as f64);
            }
            add(&format!("{name}_count"), &[], numbers.len() as f64);
            add(&format!("{name}_sum"), &[], numbers.iter().sum());
        };
        add_classic("work_seconds", &numbers, BOUNDS);
        if matches!(shown, Shown::Classic | Shown::Both) {
            add_classic("work_native_seconds", &numbers, BOUNDS);
        }
        if shown == Shown::Classic {
            add_classic("work_wide", &numbers, &[]);
            add_classic("work_offset", &self.offsets(), &[]);
        }
        series
    }

    /// Holds what is known of it, with `shown` as native histograms are there, against what was
    /// counted.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, mut found: Samples, shown: Shown) -> Result<(), String> {
        // OpenMetrics has them, and so they are series like any other to Prometheus.
        found.numbers.retain(|(name, _), _| !name.ends_with("_created"));
        let wrong = differences(&self.expected(shown), &found.numbers);
        if !wrong.is_empty() {
            return Err(wrong.join("\n"));
        }
        let (numbers, offsets) = (self.numbers(), self.offsets());
        let natives: &[&[f64]] = match shown {
            Shown::Classic | Shown::Neither => &[],
            Shown::Native | Shown::Both => &[&numbers, &numbers, &offsets],
        };
        for (name, values) in NATIVES.iter().zip(natives) {
            let native = found.natives.remove(&((*name).to_owned(), Labels::new()));
            let native = native.ok_or_else(|| format!("expected {name}, found none"))?;
            is_of(&native, values).map_err(|error| format!("{name}: {error}"))?;
        }
        match found.natives.is_empty() {
            true => Ok(()),
            false => Err(format!("expected no others, found {:?}", found.natives)),
        }
    }
}

/// Waits until something is as it should be, and shows what is not yet: a watchdog leaves that to be
/// read.
pub fn until_good(mut check: impl FnMut() -> Result<(), String>) {
    let mut last = String::new();
    until(|| match check() {
        Ok(()) => Some(()),
        Err(error) => {
            if error != last {
                eprintln!("not yet: {error}");
            }
            last = error;
            None
        }
    });
}

/// What is not the same in two sets of series.
fn differences(expected: &Series<f64>, found: &Series<f64>) -> Vec<String> {
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differing = keys.into_iter().filter(|key| expected.get(key) != found.get(key));
    let difference = |key: &(String, Labels)| {
        format!("{key:?}: expected {:?}, found {:?}", expected.get(key), found.get(key))
    };
    differing.map(difference).collect()
}

/// Whether a native histogram is one of these values: each bucket has as many as lie in it, and
/// each value lies in one.
///
/// # Errors
/// What differs.
pub fn is_of(native: &Native, values: &[f64]) -> Result<(), String> {
    let sum: f64 = values.iter().sum();
    let inside = |bucket: &Bucket| values.iter().filter(|value| bucket.has(**value)).count();
    let is_right = |bucket: &Bucket| bucket.count == inside(bucket) as f64;
    let in_buckets: f64 = native.buckets.iter().map(|bucket| bucket.count).sum();
    let is_all = [native.count, in_buckets].iter().all(|count| *count == values.len() as f64);
    match is_all && native.sum == sum && native.buckets.iter().all(is_right) {
        true => Ok(()),
        false => Err(format!("expected the sum {sum} of {values:?}, found {native:#?}")),
    }
}

/// The schema of a native histogram, by the width of its bucket above zero that begins furthest from
/// it; `None` if there is no such bucket.
#[must_use]
pub fn schema(native: &Native) -> Option<i32> {
    let last = native.buckets.iter().rev().find(|bucket| bucket.lower > 0.0)?;
    // The width of a bucket is 2^(2^-schema).
    Some(-(last.upper / last.lower).log2().log2().round() as i32)
}
