//! An arena in private memory, the core on it, and workers that are only words.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::archive::Archive;
use tallyboard_proto::control::{Attached, Hello, Refused, Rejoin};
use tallyboard_proto::family::{BUCKET_PREFIX, Family, GaugeMode, Kind};
use tallyboard_proto::layout::{Geometry, LAYOUT_VERSION, Layout, slot_header};
use tallyboard_proto::life::Life;
use tallyboard_proto::log::{self, Action, Begun, Contents, Record, Removal};
use tallyboard_proto::native::Native;
use tallyboard_proto::slot::SlotHeader;
use tallyboard_proto::word::Words;
use tallyboard_segment::private;
use tallyboard_supervisor::core::{Caller, Core, Origin, Rules, format};

pub(crate) const GEOMETRY: Geometry = Geometry {
    slots: 6,
    cells: 256,
    log_words: 512,
    ring_rows: 3,
    row_cells: 8,
    unit: 1,
    lanes: 0,
};
const ORIGIN: Origin = Origin {
    arena_id: 77,
    boot_id: [1, 2],
    pid_namespace: 3,
    keeper_pid: 4,
    uid: 0,
    unix_offset_ns: 5,
};

/// A core and the memory that outlives it.
pub(crate) struct Board {
    pub(crate) core: Core,
    pub(crate) layout: Layout,
    rules: Rules,
}

/// A worker: what its client would know.
pub(crate) struct Worker {
    pub(crate) slot: usize,
    pub(crate) generation: u64,
    contents: Contents,
    prefix_families: usize,
    prefix_series: usize,
    pub(crate) log_words: usize,
    /// What a test has counted through it.
    pub(crate) counted: f64,
}

/// An exposition: values by everything in front of them, in the order of the lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) values: BTreeMap<String, f64>,
    pub(crate) order: Vec<String>,
}

pub(crate) fn counter(name: &str) -> Family {
    Family::new(Kind::Counter, name, "", "Help.", &["l"]).expect("a good family")
}

pub(crate) fn gauge(name: &str, mode: GaugeMode) -> Family {
    Family::new(Kind::Gauge(mode), name, "", "Help.", &["l"]).expect("a good family")
}

pub(crate) fn summary(name: &str) -> Family {
    Family::new(Kind::Summary, name, "", "Help.", &["l"]).expect("a good family")
}

pub(crate) fn histogram(name: &str) -> Family {
    let kind = Kind::Histogram([1.0, 2.0].into());
    Family::new(kind, name, "", "Help.", &["l"]).expect("a good family")
}

/// A native histogram of so many buckets, with one classic bound.
pub(crate) fn native(name: &str, max_buckets: u16) -> Family {
    let native = Native { schema: 0, zero_threshold: 0.5, max_buckets, bounds: [2.0].into() };
    Family::new(Kind::NativeHistogram(native), name, "", "Help.", &["l"]).expect("a good family")
}

pub(crate) fn caller(pid: u32) -> Caller {
    Caller { pid, uid: 0, admitted_as: 0, pidfs_inode: u64::from(pid) + 1000, start_time: 1 }
}

pub(crate) fn hello(attach_id: u64) -> Hello {
    Hello { layout: LAYOUT_VERSION, fingerprint: FINGERPRINT, image: 9, attach_id, rejoin: None }
}

impl Board {
    pub(crate) fn new() -> Self {
        Self::with(GEOMETRY, 10_000)
    }

    pub(crate) fn with(geometry: Geometry, label_limit: usize) -> Self {
        Self::with_rules(geometry, Rules::new(vec![0], label_limit))
    }

    pub(crate) fn with_rules(geometry: Geometry, rules: Rules) -> Self {
        let layout = Layout::new(geometry);
        let arena = private::arena(layout.arena_words()).expect("memory");
        format(&arena, &layout, &ORIGIN).expect("private memory is real");
        Self { core: Core::new(arena, layout, ORIGIN, rules.clone()), layout, rules }
    }

    /// The supervisor dies, and the next one finds the memory as it is.
    pub(crate) fn restart(self) -> Self {
        let arena = private::arena(self.layout.arena_words()).expect("memory");
        let mut words = Vec::new();
        self.core.arena().read(0..self.layout.arena_words(), &mut words);
        words.iter().enumerate().for_each(|(at, &word)| arena.store(at, word, Relaxed));
        let core = Core::recover(arena, self.layout, ORIGIN, self.rules.clone());
        Self { core: core.expect("the arena is whole"), ..self }
    }

    pub(crate) fn grant(&mut self, caller: &Caller, hello: &Hello) -> Result<Attached, Refused> {
        self.core.attach(caller, hello, 5, |_, _| Ok(()))
    }

    /// A worker that has attached, confirmed and begun.
    pub(crate) fn worker(&mut self, pid: u32) -> Worker {
        self.attach(pid, hello(u64::from(pid)))
    }

    /// The same for one that has handles already, all of them begun in its own log.
    pub(crate) fn worker_without_prefix(&mut self, pid: u32) -> Worker {
        let rejoin = Some(Rejoin { arena_id: ORIGIN.arena_id, prefix: 0 });
        self.attach(pid, Hello { rejoin, ..hello(u64::from(pid)) })
    }

    fn attach(&mut self, pid: u32, hello: Hello) -> Worker {
        let attached = self.grant(&caller(pid), &hello).expect("a free slot");
        let (slot, generation) = (attached.slot as usize, attached.generation);
        self.core.confirm(slot, generation);
        self.occupy(slot, generation, attached.prefix)
    }

    /// A worker that was granted its slot by [`Board::grant`].
    pub(crate) fn occupy(&self, slot: usize, generation: u64, prefix: u64) -> Worker {
        let header = SlotHeader { generation, arena_id: ORIGIN.arena_id, prefix };
        header.write(self.core.arena(), self.layout.slot(slot));
        let mut words = Vec::new();
        log::read(self.core.arena(), self.layout.catalog_log(), 0, &mut words).expect("a catalog");
        let mut contents = Contents::new(self.layout.geometry.cells);
        contents.extend(&words[..prefix as usize]).expect("a prefix of whole records");
        let (prefix_families, prefix_series) = (contents.families().len(), contents.series().len());
        let (log_words, counted) = (0, 0.0);
        Worker { slot, generation, contents, prefix_families, prefix_series, log_words, counted }
    }

    /// The first cell of a series of `worker`, which begins family and series where it must.
    pub(crate) fn series(&self, worker: &mut Worker, family: &Family, label: &str) -> usize {
        self.series_of(worker, family, &[label])
    }

    /// The cell of a bucket of a series, which begins where it must.
    pub(crate) fn bucket(
        &self,
        worker: &mut Worker,
        of: &Family,
        label: &str,
        bucket: &str,
    ) -> usize {
        let Kind::NativeHistogram(native) = &of.kind else { panic!("{of:?}") };
        let (kind, name) = (Kind::Bucket(native.clone()), format!("{BUCKET_PREFIX}{}", of.name));
        let family = Family::new(kind, &name, "", "", &["l", "le"]).expect("a good family");
        self.series_of(worker, &family, &[label, bucket])
    }

    /// The same with any number of labels.
    pub(crate) fn series_of(&self, worker: &mut Worker, family: &Family, values: &[&str]) -> usize {
        let known = worker.contents.find(family);
        if worker.must_word(family) {
            self.append(worker, Record::Family(family.clone()));
        }
        let ordinal =
            known.unwrap_or_else(|| match self.append(worker, Record::Family(family.clone())) {
                Begun::Family(ordinal) => ordinal as u32,
                other => panic!("{other:?}"),
            });
        let series = worker.contents.find_series(ordinal, values).map(|series| series as usize);
        let series = series.unwrap_or_else(|| {
            let values = values.iter().map(|&value| value.into()).collect();
            match self.append(worker, Record::Series { family: ordinal, created_ms: 1, values }) {
                Begun::Series(series) => series,
                other => panic!("{other:?}"),
            }
        });
        worker.contents.series()[series].cell
    }

    pub(crate) fn append(&self, worker: &mut Worker, record: Record) -> Begun {
        let words = record.to_words();
        let area = self.layout.slot_log(worker.slot);
        let appended = log::append(self.core.arena(), area, worker.log_words, &words);
        worker.log_words = appended.expect("room in the log");
        worker.contents.push(record, words.len()).expect("a good record")
    }

    /// The worker says something of the series whose first cell is `cell`, as its client would: a
    /// value is forgotten first.
    pub(crate) fn say(&self, worker: &mut Worker, cell: usize, action: Action, at_ms: u64) {
        let series = worker.contents.series().iter().position(|series| series.cell == cell);
        let series = series.expect("a series that the worker has");
        let shape = worker.contents.shape(&worker.contents.series()[series]);
        let cells = cell..cell + shape.width();
        if !shape.counts() && action != Action::Hold {
            cells.clone().for_each(|cell| self.set(worker, cell, 0));
        }
        let load = |cell| self.core.arena().load(self.cell(worker, cell), Relaxed);
        let series = series as u32;
        let buckets = worker.contents.buckets_of(series).iter().map(|(_, bucket)| *bucket);
        let buckets = buckets.flat_map(|bucket| {
            let cell = worker.contents.series()[bucket as usize].cell;
            [u64::from(bucket), load(cell)]
        });
        let cells = cells.map(load).chain(buckets).collect();
        self.append(worker, Record::Removal(Removal { series, action, at_ms, cells }));
    }

    /// The worker takes back a part of what it has counted of the series whose first cell is `cell`.
    pub(crate) fn lower(&self, worker: &mut Worker, cell: usize, amounts: &[u64], at_ms: u64) {
        let series = worker.contents.series().iter().position(|series| series.cell == cell);
        let series = series.expect("a series that the worker has") as u32;
        let (action, cells) = (Action::Lower, amounts.into());
        self.append(worker, Record::Removal(Removal { series, action, at_ms, cells }));
    }

    /// The life of a series of the catalog, as it is committed.
    pub(crate) fn life(&self, series: usize) -> Life {
        Archive::recover(self.core.arena(), &self.layout).expect("a sound bank").life(series)
    }

    pub(crate) fn cell(&self, worker: &Worker, cell: usize) -> usize {
        self.layout.slot_cells(worker.slot) + cell
    }

    pub(crate) fn set(&self, worker: &Worker, cell: usize, value: u64) {
        self.core.arena().store(self.cell(worker, cell), value, Relaxed);
    }

    pub(crate) fn set_gauge(&self, worker: &Worker, cell: usize, value: f64, stamp: u64) {
        self.set(worker, cell, value.to_bits());
        self.set(worker, cell + 1, stamp);
    }

    pub(crate) fn add(&self, worker: &Worker, cell: usize, amount: u64) {
        let was = self.core.arena().load(self.cell(worker, cell), Relaxed);
        self.set(worker, cell, was + amount);
    }

    pub(crate) fn add_float(&self, worker: &Worker, cell: usize, amount: f64) {
        let was = f64::from_bits(self.core.arena().load(self.cell(worker, cell), Relaxed));
        self.set(worker, cell, (was + amount).to_bits());
    }

    pub(crate) fn set_dropped(&self, worker: &Worker, reason: usize, amount: u64) {
        let at = self.layout.slot(worker.slot) + slot_header::DROPPED + reason;
        self.core.arena().store(at, amount, Relaxed);
    }

    pub(crate) fn kill(&mut self, worker: &Worker) {
        self.core.exited(worker.slot, worker.generation);
        self.core.reclaim();
    }

    pub(crate) fn page(&mut self) -> Page {
        Page::parse(&self.core.expose(&[]))
    }
}

impl Worker {
    /// How many cells it has.
    pub(crate) fn cells(&self) -> usize {
        self.contents.end().cells
    }

    /// Whether its prefix has the family with another help text, and its own log does not have it.
    fn must_word(&self, family: &Family) -> bool {
        let families = self.contents.families();
        let named = self.contents.families_named(&family.name).into_iter();
        let same: Vec<u32> =
            named.filter(|of| families[*of as usize].agrees_with(family)).collect();
        same.iter().all(|of| (*of as usize) < self.prefix_families)
            && same.iter().any(|of| families[*of as usize].help != family.help)
    }

    /// Whether it has begun the series in its own log.
    pub(crate) fn began(&self, family: &str, label: &str) -> bool {
        let family = self.contents.find_family(family);
        let series = family.and_then(|family| self.contents.find_series(family, &[label]));
        series.is_some_and(|series| series as usize >= self.prefix_series)
    }
}

impl Page {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut page = Self::default();
        let text = std::str::from_utf8(bytes).expect("an exposition is UTF-8");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line.rsplit_once(' ').expect("a sample has a value");
            let value: f64 = value.parse().expect("a value is a number");
            assert!(page.values.insert(key.into(), value).is_none(), "{key} comes twice:\n{text}");
            page.order.push(key.into());
        }
        page
    }

    pub(crate) fn get(&self, key: &str) -> Option<f64> {
        self.values.get(key).copied()
    }

    /// Samples of `earlier` that count and have fallen here. Names that end in `_total`, `_count`,
    /// `_sum` or have the label `le` count; the supervisor's own do so until it is replaced.
    pub(crate) fn assert_not_below(&self, earlier: &Self, context: &str) {
        for (key, &before) in &earlier.values {
            let name = key.split('{').next().unwrap_or_default();
            let counts =
                ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
            let is_own =
                name.starts_with("tallyboard_") && !name.starts_with("tallyboard_dropped_total");
            if counts && !is_own {
                let now = self.get(key);
                assert!(
                    now.is_some_and(|now| now >= before),
                    "{context}: {key} {before} -> {now:?}"
                );
            }
        }
    }
}

/// A generator of test numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.word() % below
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
