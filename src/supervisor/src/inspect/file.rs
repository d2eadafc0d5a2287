//! An arena's object as words that are read one call at a time. It is never mapped and its holes
//! stay holes: they are skipped, or read as the zeros that they are.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{Ordering, fence};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use tallyboard_proto::word::Words;

const WORD: usize = size_of::<u64>();
/// Words that are read at once, and forgotten again when all of them are 0.
const CHUNK: usize = 8192;

/// A file as words. What lies behind its end reads as 0; what cannot be read does so, too, and is
/// remembered for whoever asks ([`FileWords::failure`]).
#[derive(Debug)]
pub(super) struct FileWords {
    file: File,
    words: usize,
    failed: RefCell<Option<io::Error>>,
}

impl FileWords {
    pub(super) fn new(file: File, bytes: u64) -> Self {
        let words = usize::try_from(bytes).unwrap_or(usize::MAX) / WORD;
        Self { file, words, failed: RefCell::new(None) }
    }

    /// The first error of reading, once.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failed.take()
    }

    fn fill(&self, at: usize, bytes: &mut [u8]) {
        let (mut done, start) = (0, (at * WORD) as u64);
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], start + done as u64) {
                Ok(0) => return,
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed.borrow_mut().get_or_insert(error);
                    return;
                }
            }
        }
    }

    /// The words of `range`, holes as zeros.
    pub(super) fn all(&self, range: Range<usize>) -> Vec<u64> {
        let mut bytes = vec![0; range.len() * WORD];
        self.fill(range.start, &mut bytes);
        bytes.as_chunks::<WORD>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
    }

    /// The next words of `range` that are no hole.
    fn data(&self, range: Range<usize>) -> Option<Range<usize>> {
        let end = range.end.min(self.words);
        if range.start >= end {
            return None;
        }
        let seek = |at: usize, whence| lseek(&self.file, (at * WORD) as i64, whence);
        match seek(range.start, Whence::SeekData) {
            Err(Errno::ENXIO) => None,
            // A file system that knows no holes has data everywhere.
            Err(_) => Some(range.start..end),
            Ok(byte) => {
                let start = (byte as usize / WORD).max(range.start);
                let hole = seek(start, Whence::SeekHole).map_or(end, |byte| byte as usize / WORD);
                (start < end).then(|| start..hole.clamp(start + 1, end))
            }
        }
    }

    /// What is not 0 in `range`.
    pub(super) fn snapshot(&self, range: Range<usize>) -> Snapshot {
        let mut runs = Vec::new();
        let mut at = range.start;
        while let Some(data) = self.data(at..range.end) {
            for start in data.clone().step_by(CHUNK) {
                let words = self.all(start..(start + CHUNK).min(data.end));
                if words.iter().any(|&word| word != 0) {
                    runs.push((start, words));
                }
            }
            at = data.end;
        }
        Snapshot { runs }
    }

    /// Where the last data of `range` ends; its start when it is a hole.
    pub(super) fn data_end(&self, range: Range<usize>) -> usize {
        let mut at = range.start;
        while let Some(data) = self.data(at..range.end) {
            at = data.end;
        }
        at
    }
}

impl Words for FileWords {
    fn len(&self) -> usize {
        self.words
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        let mut bytes = [0; WORD];
        self.fill(at, &mut bytes);
        if order == Ordering::Acquire {
            fence(Ordering::Acquire);
        }
        u64::from_ne_bytes(bytes)
    }

    /// Nothing here writes: the file is open for reading alone, and of the protocol an inspection
    /// calls only what loads.
    ///
    /// # Panics
    /// Always: a call is a defect of the inspection.
    fn store(&self, at: usize, _: u64, _: Ordering) {
        panic!("an inspection stored into word {at}");
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }

    fn read(&self, range: Range<usize>, into: &mut Vec<u64>) {
        into.extend(self.all(range));
    }
}

/// The words of a range at one time, without those that were 0.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// First word and words, rising.
    runs: Vec<(usize, Vec<u64>)>,
}

impl Snapshot {
    /// The word at `at`.
    pub(super) fn word(&self, at: usize) -> u64 {
        let run = self.runs.partition_point(|(start, _)| *start <= at).checked_sub(1);
        let run = run.map(|run| &self.runs[run]);
        run.and_then(|(start, words)| words.get(at - start)).copied().unwrap_or(0)
    }

    /// The words in `range` that are not 0, with their positions.
    pub(super) fn set(&self, range: Range<usize>) -> impl Iterator<Item = (usize, u64)> + '_ {
        let from = self.runs.partition_point(|(start, words)| start + words.len() <= range.start);
        let words = self.runs[from..]
            .iter()
            .flat_map(|(start, words)| {
                words.iter().enumerate().map(move |(at, w)| (start + at, *w))
            })
            .skip_while({
                let start = range.start;
                move |(at, _)| *at < start
            });
        let end = range.end;
        words.take_while(move |(at, _)| *at < end).filter(|(_, word)| *word != 0)
    }
}
