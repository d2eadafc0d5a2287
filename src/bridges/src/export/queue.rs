//! What waits to be sent: snapshots in the order in which they were taken, each as requests.

use std::collections::VecDeque;
use std::rc::Rc;

use super::target::Batch;

/// Most bytes that wait, unless they are all of one snapshot.
const MOST_BYTES: usize = 64 << 20;

/// How many snapshots one may see dropped for its sake whose rest is not taken.
const MOST_PASSED: u32 = 8;

/// Snapshots that wait to be sent. Where there is no room, the oldest is dropped, unless a part of it
/// is under way or was taken: else a slow receiver would get the first part of each, and never the
/// rest. One that gets no further does not stand in the way for ever.
#[derive(Debug)]
pub(super) struct Queue {
    snapshots: VecDeque<Waiting>,
    most: usize,
    bytes: usize,
    /// The number of the next snapshot.
    next: u64,
    /// When the first of the snapshots was made that came after the last one that was taken.
    behind_ms: Option<i64>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    at_ms: i64,
    batches: VecDeque<Rc<Batch>>,
    /// Whether a part of it was taken or refused.
    has_begun: bool,
    /// Whether a part of it was taken.
    has_arrived: bool,
    /// How many snapshots were dropped for its sake since the last part of it was.
    passed: u32,
    /// Whether the first of its batches is under way.
    is_sending: bool,
}

impl Waiting {
    fn is_kept(&self) -> bool {
        self.is_sending || (self.has_begun && self.passed < MOST_PASSED)
    }

    fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.body.len()).sum()
    }

    fn samples(&self) -> u64 {
        self.batches.iter().map(|batch| batch.samples).sum()
    }
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self { snapshots: VecDeque::new(), most, bytes: 0, next: 0, behind_ms: None }
    }

    /// Lets a snapshot wait behind the others; gives how many samples were dropped for it.
    #[must_use]
    pub(super) fn push(&mut self, at_ms: i64, batches: Vec<Batch>) -> u64 {
        let batches: VecDeque<_> = batches.into_iter().map(Rc::new).collect();
        if batches.is_empty() {
            return 0;
        }
        let number = self.next;
        self.next += 1;
        let waiting = Waiting {
            number,
            at_ms,
            batches,
            has_begun: false,
            has_arrived: false,
            passed: 0,
            is_sending: false,
        };
        self.bytes += waiting.bytes();
        self.snapshots.push_back(waiting);
        self.behind_ms.get_or_insert(at_ms);
        let mut dropped = 0_u64;
        loop {
            let kept = self.snapshots.front().is_some_and(Waiting::is_kept);
            let has_room = self.snapshots.len() - usize::from(kept) <= self.most;
            let is_only = self.snapshots.len() <= 1 + usize::from(kept);
            if is_only || (has_room && self.bytes <= MOST_BYTES) {
                return dropped;
            }
            if let Some(oldest) = self.snapshots.remove(usize::from(kept)) {
                self.bytes -= oldest.bytes();
                dropped = dropped.saturating_add(oldest.samples());
            }
            if let Some(front) = self.snapshots.front_mut().filter(|_| kept) {
                front.passed += 1;
            }
        }
    }

    /// What is to be sent now, with the number of its snapshot.
    pub(super) fn send(&mut self) -> Option<(u64, Rc<Batch>)> {
        let front = self.snapshots.front_mut()?;
        front.is_sending = true;
        Some((front.number, Rc::clone(front.batches.front()?)))
    }

    /// What was under way, of the snapshot of this number, was taken by the receiver or refused.
    pub(super) fn ended(&mut self, number: u64, is_taken: bool) {
        let Some(front) = self.of(number) else { return };
        (front.is_sending, front.has_begun, front.passed) = (false, true, 0);
        front.has_arrived |= is_taken;
        let has_arrived = front.has_arrived;
        let bytes = front.batches.pop_front().map_or(0, |batch| batch.body.len());
        let is_empty = front.batches.is_empty();
        self.bytes -= bytes;
        if is_empty {
            self.snapshots.pop_front();
            if has_arrived {
                self.behind_ms = self.snapshots.front().map(|front| front.at_ms);
            }
        }
    }

    /// Of what was under way, of the snapshot of this number, a part was settled and this is left.
    pub(super) fn shrink(&mut self, number: u64, rest: Batch, is_taken: bool) {
        let Some(front) = self.of(number) else { return };
        let before = front.bytes();
        (front.is_sending, front.has_begun, front.passed) = (false, true, 0);
        front.has_arrived |= is_taken;
        if let Some(batch) = front.batches.front_mut() {
            *batch = Rc::new(rest);
        }
        let now = front.bytes();
        self.bytes = self.bytes - before + now;
    }

    /// What was under way waits again.
    pub(super) fn put_back(&mut self, number: u64) {
        if let Some(front) = self.of(number) {
            front.is_sending = false;
        }
    }

    /// Drops everything; gives how many samples that were.
    pub(super) fn clear(&mut self) -> u64 {
        self.bytes = 0;
        let all = self.snapshots.drain(..).flat_map(|waiting| waiting.batches);
        all.map(|batch| batch.samples).sum()
    }

    fn of(&mut self, number: u64) -> Option<&mut Waiting> {
        self.snapshots.front_mut().filter(|front| front.number == number)
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the receiver has not taken what there was: one that has refused snapshots, or has
    /// dropped ones behind it, is no nearer for that.
    pub(super) fn behind_ms(&self) -> Option<i64> {
        self.behind_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn batch(bytes: usize, samples: u64) -> Batch {
        Batch { body: Bytes::from(vec![0; bytes]), samples, is_optional: false }
    }

    fn batches(samples: &[u64]) -> Vec<Batch> {
        samples.iter().map(|samples| batch(10, *samples)).collect()
    }

    fn sent(queue: &mut Queue) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        while let Some((number, batch)) = queue.send() {
            all.push((number, batch.samples));
            queue.ended(number, true);
        }
        all
    }

    #[test]
    fn what_waits_is_sent_in_order() {
        let mut queue = Queue::new(2);
        assert_eq!((queue.push(7, batches(&[1, 2])), queue.push(8, batches(&[4]))), (0, 0));
        assert_eq!(queue.push(9, vec![]), 0);
        assert_eq!((queue.bytes(), queue.behind_ms()), (30, Some(7)));
        assert_eq!(sent(&mut queue), [(0, 1), (0, 2), (1, 4)]);
        assert_eq!((queue.bytes(), queue.behind_ms()), (0, None));
    }

    #[test]
    fn the_oldest_makes_room_unless_a_part_of_it_was_taken() {
        let mut queue = Queue::new(1);
        assert_eq!(queue.push(1, batches(&[1, 2])), 0);
        assert_eq!(queue.push(2, batches(&[4, 8])), 3);
        assert_eq!(queue.behind_ms(), Some(1));
        let (number, _) = queue.send().expect("something waits");
        queue.ended(number, true);
        assert_eq!(queue.push(3, batches(&[16])), 0);
        assert_eq!(queue.push(4, batches(&[32])), 16);
        assert_eq!(queue.send().map(|(number, batch)| (number, batch.samples)), Some((1, 8)));
        queue.ended(1, true);
        assert_eq!(queue.behind_ms(), Some(4));
        assert_eq!(sent(&mut queue), [(3, 32)]);
        assert_eq!(queue.behind_ms(), None);
    }

    #[test]
    fn what_is_under_way_is_not_dropped() {
        let mut queue = Queue::new(1);
        assert_eq!(queue.push(1, batches(&[1, 2])), 0);
        let (number, _) = queue.send().expect("something waits");
        assert_eq!(queue.push(2, batches(&[4])), 0);
        assert_eq!(queue.push(3, batches(&[8])), 4);
        queue.put_back(number);
        assert_eq!(queue.push(4, batches(&[16])), 11);
        // What was dropped cannot come to an end.
        queue.ended(number, true);
        assert_eq!((queue.clear(), queue.bytes()), (16, 0));
    }

    #[test]
    fn what_is_left_of_a_batch_waits_in_its_place() {
        let mut queue = Queue::new(1);
        assert_eq!(queue.push(1, vec![batch(10, 5), batch(10, 7)]), 0);
        let (number, _) = queue.send().expect("something waits");
        queue.shrink(number, batch(4, 2), true);
        assert_eq!(queue.bytes(), 14);
        assert_eq!(sent(&mut queue), [(0, 2), (0, 7)]);
        assert_eq!((queue.bytes(), queue.behind_ms()), (0, None));
    }

    #[test]
    fn one_that_gets_no_further_is_dropped_in_the_end() {
        let mut queue = Queue::new(1);
        assert_eq!(queue.push(0, batches(&[1, 2, 4])), 0);
        let end_first = |queue: &mut Queue| {
            let (number, _) = queue.send().expect("something waits");
            queue.ended(number, true);
        };
        end_first(&mut queue);
        assert_eq!(queue.push(1, batches(&[8])), 0);
        let push = |queue: &mut Queue, at: i64| queue.push(at, batches(&[8]));
        for at in 2..=i64::from(MOST_PASSED) {
            assert_eq!(push(&mut queue, at), 8);
        }
        // A part of it that is taken is a step on.
        end_first(&mut queue);
        for at in 1..i64::from(MOST_PASSED) {
            assert_eq!(push(&mut queue, 100 + at), 8);
        }
        assert_eq!(push(&mut queue, 200), 4 + 8);
        assert_eq!(sent(&mut queue).len(), 1);
    }

    #[test]
    fn a_snapshot_of_which_nothing_was_taken_leaves_the_receiver_behind() {
        let mut queue = Queue::new(2);
        assert_eq!((queue.push(7, batches(&[1, 2])), queue.push(8, batches(&[4, 8]))), (0, 0));
        for (is_taken, expect) in
            [(false, Some(7)), (false, Some(7)), (false, Some(7)), (true, None)]
        {
            let (number, _) = queue.send().expect("something waits");
            queue.ended(number, is_taken);
            assert_eq!(queue.behind_ms(), expect);
        }
    }

    #[test]
    fn bytes_are_bounded_but_for_the_newest_snapshot() {
        let large = || vec![batch(MOST_BYTES, 1)];
        let mut queue = Queue::new(10);
        assert_eq!((queue.push(1, large()), queue.push(2, large())), (0, 1));
        assert_eq!(queue.bytes(), MOST_BYTES);
        assert_eq!(sent(&mut queue), [(1, 1)]);
    }
}
