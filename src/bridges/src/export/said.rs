//! A line of the log that would come again and again.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// How long a line is not said again.
const PAUSE: Duration = Duration::from_secs(60);

/// When a line was said last, and how often it was not since then.
#[derive(Debug, Default)]
pub(super) struct Said {
    last: Cell<Option<Instant>>,
    kept_back: Cell<u64>,
}

impl Said {
    /// How often the line was kept back since it was said last, if it may be said now.
    pub(super) fn again(&self) -> Option<u64> {
        if self.last.get().is_some_and(|last| last.elapsed() < PAUSE) {
            self.kept_back.set(self.kept_back.get() + 1);
            return None;
        }
        self.last.set(Some(Instant::now()));
        Some(self.kept_back.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_is_said_once_in_a_while_with_how_often_it_was_not() {
        let said = Said::default();
        let found: Vec<Option<u64>> = (0..4).map(|_| said.again()).collect();
        assert_eq!(found, [Some(0), None, None, None]);
        tokio::time::advance(PAUSE).await;
        assert_eq!((said.again(), said.again()), (Some(3), None));
    }
}
