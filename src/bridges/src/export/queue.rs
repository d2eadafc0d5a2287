//! What waits to be sent: snapshots in the order in which they were taken, each as requests.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Batch;

/// Most bytes that wait, unless they are all of one snapshot.
const MOST_BYTES: usize = 64 << 20;

/// Snapshots that wait to be sent. Where there is no room, the oldest is dropped, unless a part of it
/// is under way or was taken: else a slow receiver would get the first part of each, and never the
/// rest.
#[derive(Debug)]
pub(super) struct Queue {
    snapshots: VecDeque<Waiting>,
    most: usize,
    bytes: usize,
    /// The number of the next snapshot.
    next: u64,
    /// When the first of the snapshots was taken that came after the last one that was sent.
    behind_ms: Option<i64>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    at_ms: i64,
    batches: VecDeque<Rc<Batch>>,
    /// Whether a part of it was taken.
    has_begun: bool,
    /// Whether the first of its batches is under way.
    is_sending: bool,
}

impl Waiting {
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
        let waiting = Waiting { number, at_ms, batches, has_begun: false, is_sending: false };
        self.bytes += waiting.bytes();
        self.snapshots.push_back(waiting);
        self.behind_ms.get_or_insert(at_ms);
        let mut dropped = 0_u64;
        loop {
            let front = self.snapshots.front();
            let kept = front.is_some_and(|front| front.has_begun || front.is_sending);
            let has_room = self.snapshots.len() - usize::from(kept) <= self.most;
            let is_only = self.snapshots.len() <= 1 + usize::from(kept);
            if is_only || (has_room && self.bytes <= MOST_BYTES) {
                return dropped;
            }
            if let Some(oldest) = self.snapshots.remove(usize::from(kept)) {
                self.bytes -= oldest.bytes();
                dropped = dropped.saturating_add(oldest.samples());
            }
        }
    }

    /// What is to be sent now, with the number of its snapshot.
    pub(super) fn send(&mut self) -> Option<(u64, Rc<Batch>)> {
        let front = self.snapshots.front_mut()?;
        front.is_sending = true;
        Some((front.number, Rc::clone(front.batches.front()?)))
    }

    /// What was under way, of the snapshot of this number, has come to an end.
    pub(super) fn taken(&mut self, number: u64) {
        let Some(front) = self.of(number) else { return };
        (front.is_sending, front.has_begun) = (false, true);
        let bytes = front.batches.pop_front().map_or(0, |batch| batch.body.len());
        let is_empty = front.batches.is_empty();
        self.bytes -= bytes;
        if is_empty {
            self.snapshots.pop_front();
            self.behind_ms = self.snapshots.front().map(|front| front.at_ms);
        }
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

    /// Since when the receiver has not got what there was: one that has dropped snapshots behind it is
    /// no nearer for that.
    pub(super) fn behind_ms(&self) -> Option<i64> {
        self.behind_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn batches(samples: &[u64]) -> Vec<Batch> {
        let batch = |&samples: &u64| Batch { body: Bytes::from(vec![0; 10]), samples };
        samples.iter().map(batch).collect()
    }

    fn sent(queue: &mut Queue) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        while let Some((number, batch)) = queue.send() {
            all.push((number, batch.samples));
            queue.taken(number);
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
        queue.taken(number);
        assert_eq!(queue.push(3, batches(&[16])), 0);
        assert_eq!(queue.push(4, batches(&[32])), 16);
        assert_eq!(queue.send().map(|(number, batch)| (number, batch.samples)), Some((1, 8)));
        queue.taken(1);
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
        queue.taken(number);
        assert_eq!((queue.clear(), queue.bytes()), (16, 0));
    }

    #[test]
    fn bytes_are_bounded_but_for_the_newest_snapshot() {
        let large = || vec![Batch { body: Bytes::from(vec![0; MOST_BYTES]), samples: 1 }];
        let mut queue = Queue::new(10);
        assert_eq!((queue.push(1, large()), queue.push(2, large())), (0, 1));
        assert_eq!(queue.bytes(), MOST_BYTES);
        assert_eq!(sent(&mut queue), [(1, 1)]);
    }
}
