//! Snapshots that wait to be sent, and what is known of those that were.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tallyboard_exposition::sample::{FamilySamples, Timestamp};
use tokio::sync::Notify;
use tracing::warn;

use super::lines::{LeftOut, Lines};
use super::receiver::Graphite;
use crate::export::figures::{self, now_ms};

/// What was pushed at intervals, and what was not. Everything but what waits and the error only
/// goes up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Snapshots that the receiver has taken.
    pub sent: u64,
    /// Their lines.
    pub sent_lines: u64,
    /// Attempts that failed, each of which is made again unless its snapshot is dropped.
    pub failed: u64,
    /// Snapshots that were given up: the oldest for want of room, and what was left at the end.
    pub dropped: u64,
    /// Their lines.
    pub dropped_lines: u64,
    /// How often the source had no snapshot.
    pub missed: u64,
    /// Samples that no line was made of.
    pub left_out: LeftOut,
    /// Snapshots that wait, with the one on its way.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// What went wrong last, until a snapshot is sent.
    pub error: Option<String>,
}

/// A view of pushes that are under way.
#[derive(Clone, Debug)]
pub struct Status(Arc<Shared>);

impl Status {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let buffer = self.0.buffer();
        Counts {
            waiting: buffer.waiting.len() + usize::from(buffer.on_its_way.is_some()),
            waiting_bytes: buffer.bytes,
            ..buffer.counts.clone()
        }
    }

    /// The same as families, which can be sent with the others: those of `tallyboard_export_*`, with
    /// lines for samples and attempts for requests.
    #[must_use]
    pub fn families(&self) -> Vec<FamilySamples> {
        let buffer = self.0.buffer();
        let Counts { sent, sent_lines, failed, dropped_lines, left_out, .. } = buffer.counts;
        let counts = figures::Counts {
            sent: sent_lines,
            failed: left_out.total(),
            dropped: dropped_lines,
            requests: sent + failed,
            requests_failed: failed,
            queue_bytes: buffer.bytes as u64,
            behind_ms: buffer.behind_ms,
            success_ms: buffer.success_ms,
        };
        drop(buffer);
        counts.families("graphite")
    }
}

/// What both tasks and those who look on share.
#[derive(Debug)]
pub(super) struct Shared {
    buffer: Mutex<Buffer>,
    /// A snapshot was added.
    pub(super) added: Notify,
}

impl Shared {
    /// Room for so many bytes.
    pub(super) fn new(most_bytes: usize) -> Self {
        let buffer = Buffer { most_bytes, ..Buffer::default() };
        Self { buffer: Mutex::new(buffer), added: Notify::new() }
    }

    pub(super) fn buffer(&self) -> MutexGuard<'_, Buffer> {
        // Nothing that holds it can panic half-way.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the oldest snapshot to send it.
    pub(super) fn begin(&self) -> Option<Arc<Lines>> {
        self.buffer().begin()
    }

    /// Adds a snapshot for a receiver.
    pub(super) fn add(&self, receiver: &Graphite, lines: Lines) {
        let mut buffer = self.buffer();
        let (dropped, left_out) = (buffer.counts.dropped, buffer.counts.left_out);
        buffer.add(lines);
        let (dropped_now, left_out_now) = (buffer.counts.dropped, buffer.counts.left_out);
        drop(buffer);
        if left_out.total() == 0 && left_out_now.total() > 0 {
            warn!(%receiver, samples = %left_out_now, "samples are left out");
        }
        if dropped == 0 && dropped_now > 0 {
            warn!(%receiver, "too much waits: the oldest snapshots are dropped");
        }
        self.added.notify_one();
    }
}

/// Snapshots that wait, oldest first, the one on its way apart.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    waiting: VecDeque<Arc<Lines>>,
    on_its_way: Option<Arc<Lines>>,
    /// Of all of them.
    bytes: usize,
    most_bytes: usize,
    /// Nothing is sent any more.
    is_over: bool,
    /// When the first snapshot was taken that the receiver has not, in milliseconds since 1970: one
    /// that is dropped brings nothing nearer.
    behind_ms: Option<u64>,
    /// When the receiver has taken the last one.
    success_ms: u64,
    pub(super) counts: Counts,
}

impl Buffer {
    fn add(&mut self, lines: Lines) {
        self.counts.left_out.add(lines.left_out);
        // Nothing would be sent, and nothing is to wait.
        if lines.count == 0 {
            return;
        }
        self.bytes += lines.text.len();
        self.behind_ms.get_or_insert(millis(lines.at));
        self.waiting.push_back(Arc::new(lines));
        if self.is_over { self.give_up() } else { self.trim() }
    }

    /// Takes the oldest snapshot to send it.
    fn begin(&mut self) -> Option<Arc<Lines>> {
        debug_assert!(self.on_its_way.is_none());
        self.on_its_way = self.waiting.pop_front();
        self.on_its_way.clone()
    }

    /// The receiver has what was on its way.
    pub(super) fn sent(&mut self) {
        let Some(lines) = self.on_its_way.take() else { return };
        self.bytes -= lines.text.len();
        self.behind_ms = self.waiting.front().map(|lines| millis(lines.at));
        self.success_ms = now_ms();
        self.counts.sent += 1;
        self.counts.sent_lines += lines.count;
        self.counts.error = None;
    }

    /// What was on its way did not arrive: it is the oldest again.
    pub(super) fn put_back(&mut self) {
        if let Some(lines) = self.on_its_way.take() {
            self.waiting.push_front(lines);
            self.trim();
        }
    }

    /// Drops the oldest until there is room, but never the newest.
    fn trim(&mut self) {
        while self.bytes > self.most_bytes && self.waiting.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Drops everything, and what comes late.
    pub(super) fn give_up(&mut self) {
        self.is_over = true;
        if let Some(lines) = self.on_its_way.take() {
            self.waiting.push_front(lines);
        }
        while !self.waiting.is_empty() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(lines) = self.waiting.pop_front() else { return };
        self.bytes -= lines.text.len();
        self.counts.dropped += 1;
        self.counts.dropped_lines += lines.count;
    }
}

fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(length: usize) -> Lines {
        Lines { text: "x".repeat(length), count: length as u64, ..Lines::default() }
    }

    fn lengths(buffer: &Buffer) -> Vec<usize> {
        buffer.waiting.iter().map(|lines| lines.text.len()).collect()
    }

    fn buffer(most_bytes: usize, snapshots: &[usize]) -> Buffer {
        let mut buffer = Buffer { most_bytes, ..Buffer::default() };
        snapshots.iter().for_each(|length| buffer.add(lines(*length)));
        buffer
    }

    #[test]
    fn the_oldest_goes_first_and_the_newest_never() {
        for (most, snapshots, expect, dropped) in [
            (10, &[][..], &[][..], (0, 0)),
            (10, &[4, 4], &[4, 4], (0, 0)),
            (10, &[4, 6], &[4, 6], (0, 0)),
            (10, &[4, 4, 3], &[4, 3], (1, 4)),
            (10, &[1, 2, 3, 10], &[10], (3, 6)),
            (10, &[11], &[11], (0, 0)),
            (10, &[11, 12], &[12], (1, 11)),
            (0, &[1, 0, 2], &[2], (1, 1)),
            (0, &[0, 0], &[], (0, 0)),
        ] {
            let buffer = buffer(most, snapshots);
            assert_eq!(lengths(&buffer), expect, "{snapshots:?}");
            assert_eq!(buffer.bytes, expect.iter().sum());
            assert_eq!((buffer.counts.dropped, buffer.counts.dropped_lines), dropped);
        }
    }

    #[test]
    fn a_receiver_is_behind_until_it_has_the_newest() {
        let mut buffer = buffer(10, &[]);
        let add = |buffer: &mut Buffer, seconds| {
            let at = Timestamp { seconds, nanos: 0 };
            buffer.add(Lines { at, ..lines(4) });
        };
        (1..4).for_each(|seconds| add(&mut buffer, seconds));
        // The first one was dropped.
        assert_eq!((lengths(&buffer), buffer.behind_ms), (vec![4, 4], Some(1000)));
        for expect in [Some(3000), None] {
            buffer.begin();
            buffer.sent();
            assert_eq!(buffer.behind_ms, expect);
        }
    }

    #[test]
    fn what_is_on_its_way_is_never_dropped_and_is_the_oldest_when_it_did_not_arrive() {
        let mut buffer = buffer(10, &[4, 4]);
        assert_eq!(buffer.begin().map(|lines| lines.count), Some(4));
        buffer.add(lines(5));
        buffer.add(lines(6));
        assert_eq!((lengths(&buffer), buffer.bytes, buffer.counts.dropped), (vec![6], 10, 2));
        buffer.put_back();
        assert_eq!((lengths(&buffer), buffer.bytes), (vec![4, 6], 10));
        buffer.begin();
        buffer.sent();
        assert_eq!((lengths(&buffer), buffer.bytes, buffer.counts.sent), (vec![6], 6, 1));
        assert_eq!(buffer.counts.sent_lines, 4);
        // Put back into a buffer that is full, it is what is dropped.
        buffer.begin();
        buffer.add(lines(8));
        buffer.put_back();
        assert_eq!((lengths(&buffer), buffer.counts.dropped), (vec![8], 3));
        buffer.begin();
        buffer.give_up();
        assert_eq!((lengths(&buffer), buffer.bytes, buffer.counts.dropped), (vec![], 0, 4));
        assert_eq!(buffer.counts.dropped_lines, 4 + 5 + 6 + 8);
        buffer.add(lines(1));
        assert_eq!((lengths(&buffer), buffer.bytes, buffer.counts.dropped), (vec![], 0, 5));
    }
}
