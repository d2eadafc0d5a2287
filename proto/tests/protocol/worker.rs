//! A worker in a few lines: the product's code in the order that the protocol says.

use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::cell::{SAMPLE_CELLS, Sample, Shape};
use tallyboard_proto::family::{BUCKET_PREFIX, Family, Kind};
use tallyboard_proto::lane;
use tallyboard_proto::layout::Layout;
use tallyboard_proto::log::{self, Action, Contents, Record, Removal};
use tallyboard_proto::native::Bucket;
use tallyboard_proto::slot::{SlotHeader, SlotWord, State};
use tallyboard_proto::word::Words;

use crate::party::{BEGUN_MS, key};

/// What a worker is told.
pub struct Grant {
    pub slot: usize,
    pub generation: u64,
    pub prefix: Vec<u64>,
}

/// A worker, counting as one whose cells have a single writing thread: load, then store.
pub struct Worker<'a, W: ?Sized> {
    words: &'a W,
    layout: Layout,
    slot: usize,
    committed: usize,
    contents: Contents,
    /// Whether it counts in its first lane.
    is_in_lane: bool,
}

impl<'a, W: Words + ?Sized> Worker<'a, W> {
    pub fn begin(words: &'a W, layout: Layout, grant: &Grant) -> Self {
        let prefix = grant.prefix.len() as u64;
        let header = SlotHeader { generation: grant.generation, arena_id: 1, prefix };
        header.write(words, layout.slot(grant.slot));
        let mut contents = Contents::new(layout.geometry.cells);
        contents.extend(&grant.prefix).expect("a catalog parses");
        Self { words, layout, slot: grant.slot, committed: 0, contents, is_in_lane: false }
    }

    /// Counts in the first lane from here on.
    pub fn begin_lane(&mut self) {
        lane::begin(self.words, self.layout.slot(self.slot), 1);
        self.is_in_lane = true;
    }

    /// The worker that has `slot` now and goes on in it; `None` when nobody has begun to.
    pub fn resume(words: &'a W, layout: Layout, slot: usize) -> Option<Self> {
        let word = SlotWord::read(words, &layout, slot)?;
        let header = SlotHeader::read(words, layout.slot(slot))?;
        if word.state != State::Live || header.generation != word.generation {
            return None;
        }
        let prefix = layout.catalog..layout.catalog + header.prefix as usize;
        let mut log_words = Vec::new();
        words.read(prefix, &mut log_words);
        let area = layout.slot_log(slot);
        let committed = log::read(words, area, 0, &mut log_words).expect("its own log");
        let mut contents = Contents::new(layout.geometry.cells);
        contents.extend(&log_words).expect("its own log");
        let is_in_lane = lane::used(words, layout.slot(slot)) > 0;
        Some(Self { words, layout, slot, committed, contents, is_in_lane })
    }

    fn append(&mut self, record: Record) {
        let (words, area) = (record.to_words(), self.layout.slot_log(self.slot));
        self.committed = log::append(self.words, area, self.committed, &words)
            .expect("a log that is large enough");
        self.contents.push(record, words.len()).expect("cells enough");
    }

    /// The series, made when it is not there yet.
    pub fn series(&mut self, kind: Kind, name: &str, route: &str) -> log::Series {
        self.series_of(kind, name, &["route"], &[route])
    }

    /// A bucket of a series, made when it is not there yet.
    pub fn bucket(&mut self, of: &log::Series, bucket: Bucket) -> log::Series {
        let of_family = &self.contents.families()[of.family as usize];
        let name = format!("{BUCKET_PREFIX}{}", of_family.name);
        let Kind::NativeHistogram(native) = &of_family.kind else { panic!("a native histogram") };
        let kind = Kind::Bucket(native.clone());
        let values = [&*of.values[0], &bucket.to_string()];
        self.series_of(kind, &name, &["route", "le"], &values)
    }

    /// What collectors say of a suffix, made when it is not there yet.
    pub fn sample(&mut self, kind: Kind, name: &str, suffix: &str) -> log::Series {
        self.series_of(kind, name, &[], &[suffix, ""])
    }

    /// Says a sample; gives the cells that it has then.
    pub fn write_sample(&self, series: &log::Series, sample: Sample) -> Vec<u64> {
        let at = self.layout.slot_cells(self.slot) + series.cell;
        sample.write(self.words, at);
        let mut cells = Vec::new();
        self.words.read(at..at + SAMPLE_CELLS, &mut cells);
        cells
    }

    /// The buckets of a series that there are.
    pub fn buckets(&self, of: &log::Series) -> Vec<log::Series> {
        let ordinal = self.contents.find_series(of.family, &of.values).expect("its own");
        let buckets = self.contents.buckets_of(ordinal).iter();
        buckets.map(|(_, bucket)| self.contents.series()[*bucket as usize].clone()).collect()
    }

    fn series_of(
        &mut self,
        kind: Kind,
        name: &str,
        labels: &[&str],
        values: &[&str],
    ) -> log::Series {
        let family = self.contents.find_family(name).unwrap_or_else(|| {
            let family = Family::new(kind, name, "", "", labels).expect("a good family");
            self.append(Record::Family(family));
            self.contents.families().len() as u32 - 1
        });
        let series = self.contents.find_series(family, values).unwrap_or_else(|| {
            let values = values.iter().map(|&value| value.into()).collect();
            self.append(Record::Series { family, created_ms: BEGUN_MS, values });
            self.contents.series().len() as u32 - 1
        });
        self.contents.series()[series as usize].clone()
    }

    pub fn key(&self, series: &log::Series) -> (String, Shape) {
        (key(&self.contents, series), self.contents.shape(series))
    }

    /// Changes a cell of a series; gives what it holds now, in all rows.
    pub fn change(&self, series: &log::Series, cell: usize, by: impl Fn(u64) -> u64) -> u64 {
        let counts = self.contents.shape(series).counts();
        let row = match self.is_in_lane && counts {
            true => self.layout.lane_cells(self.slot, 0),
            false => self.layout.slot_cells(self.slot),
        };
        let at = row + series.cell + cell;
        self.words.store(at, by(self.words.load(at, Relaxed)), Relaxed);
        self.cells(series)[cell]
    }

    /// The cells of a series, in all rows.
    fn cells(&self, series: &log::Series) -> Vec<u64> {
        let shape = self.contents.shape(series);
        let read = |row: usize| {
            let mut cells = Vec::new();
            self.words.read(row + series.cell..row + series.cell + shape.width(), &mut cells);
            cells
        };
        let mut cells = read(self.layout.slot_cells(self.slot));
        if self.is_in_lane && shape.counts() {
            shape.merge(&mut cells, &read(self.layout.lane_cells(self.slot, 0)));
        }
        cells
    }

    /// Takes back a part of what it has counted of a series.
    pub fn lower(&mut self, series: &log::Series, amounts: &[u64], at_ms: u64) {
        let ordinal = self.contents.find_series(series.family, &series.values).expect("its own");
        let (action, cells) = (Action::Lower, amounts.into());
        self.append(Record::Removal(Removal { series: ordinal, action, at_ms, cells }));
    }

    /// Says something of a series that it has.
    pub fn say(&mut self, series: &log::Series, action: Action, at_ms: u64) {
        let ordinal = self.contents.find_series(series.family, &series.values).expect("its own");
        let mut now = self.cells(series);
        for &(_, bucket) in self.contents.buckets_of(ordinal) {
            now.push(bucket.into());
            now.extend(self.cells(&self.contents.series()[bucket as usize]));
        }
        let removal = Removal { series: ordinal, action, at_ms, cells: now.into() };
        self.append(Record::Removal(removal));
    }
}
