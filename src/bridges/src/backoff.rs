//! How long to wait before something is tried again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// Growing pauses, each of which is cut by up to half at random, so that many who failed together do
/// not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    from: Duration,
    to: Duration,
    failures: u32,
    random: RandomState,
}

impl Backoff {
    /// Pauses of about `from` first and `to` at most.
    #[must_use]
    pub fn new(from: Duration, to: Duration) -> Self {
        Self { from, to, failures: 0, random: RandomState::new() }
    }

    /// The pause after one more failure. A receiver that said how long to wait is not asked before,
    /// and not later than the longest pause.
    pub fn failed(&mut self, told: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled = self.from.saturating_mul(1 << (self.failures - 1).min(20)).min(self.to);
        // A hash of the count under keys of this value's own is random enough for a pause.
        let part = self.random.hash_one(self.failures) as f64 / u64::MAX as f64;
        let pause = doubled.mul_f64(0.5 + part / 2.0);
        told.map_or(pause, |told| told.clamp(pause.min(self.to), self.to))
    }

    /// Begins anew after a success.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How often it has failed since it last succeeded.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_begin_anew_after_a_success() {
        let (from, to) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(from, to);
        for doubled in [100, 200, 400, 800, 1600, 2000, 2000, 2000] {
            let doubled = Duration::from_millis(doubled);
            let pause = backoff.failed(None);
            assert!(pause >= doubled / 2 && pause <= doubled, "{pause:?} for {doubled:?}");
        }
        assert_eq!(backoff.failures(), 8);
        backoff.succeeded();
        assert!(backoff.failed(None) <= from);
    }

    #[test]
    fn a_receiver_that_says_when_is_not_asked_before_and_not_waited_for_beyond_the_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let second = Duration::from_secs(1);
        assert_eq!(backoff.failed(Some(second)), second);
        assert_eq!(backoff.failed(Some(Duration::from_secs(3600))), Duration::from_secs(2));
        assert!(backoff.failed(Some(Duration::ZERO)) > Duration::ZERO);
    }

    #[test]
    fn a_thousand_failures_are_no_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::MAX);
        (0..1000).for_each(|_| assert!(backoff.failed(None) > Duration::ZERO));
    }
}
