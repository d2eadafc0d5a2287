//! Inspections of arenas in anonymous memory: sound ones, damaged ones, and what is none. The
//! workers are words that the test writes.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::cell::{SAMPLE_CELLS, SAMPLE_WORDS, Sample};
use tallyboard_proto::control::Hello;
use tallyboard_proto::exemplar::{self, BUFFER_WORDS, EXEMPLAR_CELLS};
use tallyboard_proto::family::{Declared, Family, GaugeMode, Kind, Samples};
use tallyboard_proto::lane;
use tallyboard_proto::layout::{
    Geometry, LAYOUT_VERSION, Layout, bank, entry, header, row, slot_header,
};
use tallyboard_proto::log::{self, Action, Record, Removal};
use tallyboard_proto::slot::SlotHeader;
use tallyboard_proto::word::Words;
use tallyboard_segment::memfd;
use tallyboard_supervisor::core::{Caller, Core, Origin, Rules, format};
use tallyboard_supervisor::inspect::{Damage, InspectError, Inspection, inspect};

const GEOMETRY: Geometry = Geometry {
    slots: 5,
    cells: 256,
    log_words: 512,
    ring_rows: 3,
    row_cells: 8,
    unit: 8192,
    lanes: 2,
};
const ORIGIN: Origin = Origin {
    arena_id: 77,
    boot_id: [1, 2],
    pid_namespace: 3,
    keeper_pid: 4,
    uid: 0,
    unix_offset_ns: 5,
};
/// First cells of the series, in the order of the log: counter, gauge, summary, live gauge, info,
/// stateset, exemplar of the counter, a counter that the worker with a log has removed, and a sample that
/// collectors say, which is added.
const COUNTER: usize = 0;
const GAUGE: usize = 2;
const SUMMARY: usize = 4;
const LIVE: usize = 7;
const INFO: usize = 9;
const STATES: usize = 10;
const EXEMPLAR: usize = 12;
const REMOVED: usize = EXEMPLAR + EXEMPLAR_CELLS;
const SAID: usize = REMOVED + 2;
const CELLS: usize = SAID + SAMPLE_CELLS;
/// The ordinal of the removed counter.
const REMOVED_SERIES: u32 = 7;

struct Board {
    core: Core,
    layout: Layout,
}

impl Board {
    /// An arena of which two workers live (slots 1 and 2), one has died (slot 0), and whose
    /// totals were exposed. The first has a log, in which it resets one counter and removes
    /// another; the second has the catalog's prefix. Three commits: bank 1 is in use.
    fn new() -> Self {
        let layout = Layout::new(GEOMETRY);
        let arena = memfd::create(layout.arena_words()).unwrap();
        format(&arena, &layout, &ORIGIN).unwrap();
        let rules = Rules::new(vec![0], 100);
        let mut board = Self { core: Core::new(arena, layout, ORIGIN, rules), layout };
        for (slot, pid) in [(0, 11), (1, 12)] {
            assert_eq!(board.attach(pid), slot);
            board.write_log(slot);
            board.count(slot);
        }
        board.say(0, Action::Reset);
        board.core.expose(&[]);
        board.core.exited(0, 1);
        board.core.reclaim();
        board.say(REMOVED_SERIES, Action::Remove);
        board.store(board.layout.slot_cells(1) + REMOVED, 3);
        assert_eq!(board.attach(13), 2);
        board.count(2);
        board.core.expose(&[]);
        board
    }

    fn attach(&mut self, pid: u32) -> usize {
        let (layout, fingerprint) = (LAYOUT_VERSION, FINGERPRINT);
        let hello = Hello { layout, fingerprint, image: 9, attach_id: pid.into(), rejoin: None };
        let caller = Caller { pid, uid: 0, admitted_as: 0, pidfs_inode: pid.into(), start_time: 1 };
        let granted = self.core.attach(&caller, &hello, 5, |_, _| Ok(())).unwrap();
        let (slot, generation) = (granted.slot as usize, granted.generation);
        self.core.confirm(slot, generation);
        let header = SlotHeader { generation, arena_id: 77, prefix: granted.prefix };
        header.write(self.core.arena(), self.layout.slot(slot));
        slot
    }

    fn write_log(&self, slot: usize) {
        let kinds = [
            ("c", Kind::Counter),
            ("g", Kind::Gauge(GaugeMode::All)),
            ("s", Kind::Summary),
            ("l", Kind::Gauge(GaugeMode::LiveSum)),
            ("i", Kind::Info),
            ("t", Kind::StateSet(["a".into(), "b".into()].into())),
            ("tallyboard_exemplar:c", Kind::Exemplar),
            ("r", Kind::Counter),
            ("x", Kind::Samples(Samples::new(Declared::Summary, GaugeMode::All))),
        ];
        let family = |(name, kind)| Record::Family(Family::new(kind, name, "", "", &[]).unwrap());
        let series = |family| {
            let values: &[&str] = match family {
                4 => &["v=\"1\""],
                8 => &["_sum", "l=\"1\""],
                _ => &[],
            };
            let values = values.iter().map(|&value| value.into()).collect();
            Record::Series { family, created_ms: 1, values }
        };
        let records = kinds.map(family).into_iter().chain((0..9).map(series));
        records.for_each(|record| self.append(slot, &record));
    }

    fn append(&self, slot: usize, record: &Record) {
        let area = self.layout.slot_log(slot);
        let committed = self.load(area.commit) as usize;
        log::append(self.core.arena(), area, committed, &record.to_words()).unwrap();
    }

    /// The worker with a log says something of a counter, which had counted 3 by then.
    fn say(&self, series: u32, action: Action) {
        let removal = Removal { series, action, at_ms: 2, cells: [3, 0].into() };
        self.append(1, &Record::Removal(removal));
    }

    fn count(&self, slot: usize) {
        let half = 0.5_f64.to_bits();
        for (cell, word) in [
            (COUNTER, 3),
            (COUNTER + 1, half),
            (GAUGE, half),
            (GAUGE + 1, 1),
            (SUMMARY, 1),
            (SUMMARY + 1, half),
            (LIVE, half),
            (LIVE + 1, 1),
            (INFO, 9),
            (STATES, 1),
            (STATES + 1, 9),
        ] {
            self.store(self.layout.slot_cells(slot) + cell, word);
        }
        if slot != 0 {
            let (lane, half) = (self.layout.lane_cells(slot, 0), (-0.5_f64).to_bits());
            lane::begin(self.core.arena(), self.layout.slot(slot), 1);
            self.store(lane + COUNTER, 2);
            if slot == 2 {
                // A handler that came into an addition of the lane has added beside it.
                self.store(lane + SUMMARY + 2, 1);
                self.store(self.layout.slot_cells(slot) + SUMMARY + 1, half);
            }
        }
        if slot != 2 {
            let at = self.layout.slot_cells(slot) + EXEMPLAR;
            exemplar::write(self.core.arena(), at, "id=\"1\"", 2.0, 9);
            let at = self.layout.slot_cells(slot) + SAID;
            Sample { value: 0.5, stamp: 9, at_ns: None }.write(self.core.arena(), at);
        }
    }

    fn store(&self, at: usize, word: u64) {
        self.core.arena().store(at, word, Relaxed);
    }

    fn load(&self, at: usize) -> u64 {
        self.core.arena().load(at, Relaxed)
    }

    fn path(&self) -> PathBuf {
        let object = self.core.arena().object().unwrap().as_raw_fd();
        format!("/proc/self/fd/{object}").into()
    }

    fn inspect(&self) -> Inspection {
        inspect(&self.path()).unwrap()
    }
}

#[test]
fn a_sound_arena_has_no_damage_and_is_described() {
    let board = Board::new();
    let found = board.inspect();
    assert_eq!((&found.damages[..], &found.unsettled[..]), (&[][..], &[][..]));
    assert_eq!(found.header.geometry, Some(GEOMETRY));
    assert_eq!((found.header.arena_id, found.header.keeper_pid), (77, 4));
    let catalog = &found.catalog;
    assert_eq!((catalog.families, catalog.series, catalog.cells as usize), (9, 9, CELLS));
    let archive = &found.archive;
    assert_eq!((archive.folds, archive.bank, archive.lives, archive.rows), (3, 1, 1, 1));
    assert_eq!((archive.removed, archive.hidden, archive.renewed), (1, 1, 1));
    assert_eq!(found.header.unix_offset_ns, 5);
    assert_eq!(found.archive.floors, 3);
    assert_eq!(found.free, 3);
    let slots = found.slots.iter().map(|s| (s.slot, s.pid, s.series, s.removals, s.cells));
    let cells = CELLS as u64;
    assert_eq!(slots.collect::<Vec<_>>(), [(1, 12, 9, 2, cells), (2, 13, 0, 0, cells)]);
}

#[test]
fn bytes_that_a_killed_writer_left_are_no_damage_and_are_said() {
    let board = Board::new();
    for (area, name) in [(board.layout.catalog_log(), 0), (board.layout.slot_log(1), 1)] {
        let committed = board.load(area.commit) as usize;
        board.store(area.start + committed + 1, 7);
        let found = board.inspect();
        assert_eq!(found.damages, []);
        let bytes = [found.catalog.uncommitted_bytes, found.slots[0].uncommitted_bytes];
        assert_eq!(bytes[name], 16);
    }
}

#[test]
fn an_inspection_makes_no_hole_real() {
    let board = Board::new();
    let before = board.core.arena().allocated_bytes().unwrap();
    let found = board.inspect();
    assert_eq!(board.core.arena().allocated_bytes().unwrap(), before);
    assert_eq!(found.allocated_bytes, before);
    assert!(before < found.bytes, "{before} of {} bytes are real", found.bytes);
}

/// Words of control, a bad value, and the field that it is found in.
fn bad_control(layout: &Layout) -> Vec<(usize, u64, &'static str)> {
    let e = layout.entry(1);
    vec![
        (header::MAGIC, 0, "header.magic"),
        (header::VERSION, LAYOUT_VERSION + 1, "header.version"),
        (header::FINGERPRINT, 2, "header.fingerprint"),
        (header::GEOMETRY, 0, "header.geometry.slots"),
        (header::GEOMETRY + 1, 0, "header.geometry.cells"),
        (header::GEOMETRY + 2, 0, "header.geometry.log_words"),
        (header::GEOMETRY + 3, 1 << 20, "header.geometry.ring_rows"),
        (header::GEOMETRY + 4, 1 << 40, "header.geometry.row_cells"),
        (header::GEOMETRY + 5, 0, "header.geometry.unit"),
        (header::ARENA_ID, 0, "header.arena_id"),
        (header::PID_NAMESPACE, 1 << 40, "header.pid_namespace"),
        (header::KEEPER_PID, 1 << 40, "header.keeper_pid"),
        (header::UID, 1 << 40, "header.uid"),
        (header::UNIX_OFFSET, 1 << 63, "header.unix_offset"),
        (header::ARCHIVE_COMMIT + 1, 1, "header.reserved[25]"),
        (header::ARCHIVE_COMMIT, 2, "header.archive_commit"),
        (header::CATALOG_COMMIT + 1, 1, "header.reserved[33]"),
        (header::CATALOG_COMMIT, 10_000, "catalog.commit"),
        (e + entry::STATE, 7, "entry[1].state"),
        (e + entry::STATE, 0, "entry[1].state"),
        (e + entry::PID, 1 << 40, "entry[1].pid"),
        (e + entry::START_TIME, 1 << 60, "entry[1].start_time"),
        (e + entry::UID, 1 << 40, "entry[1].uid"),
        (e + entry::PREFIX, 1, "entry[1].prefix"),
        (e + entry::ATTACHED_AT, 1 << 60, "entry[1].attached_at"),
        (e + entry::ATTACHED_AT + 1, 1, "entry[1].reserved"),
        (layout.catalog - 1, 1, "table.padding"),
        (layout.catalog, 9, "catalog.record"),
        (layout.catalog + 1, u64::MAX, "catalog.record"),
    ]
}

/// The same of the archive: bank 1 is the active one.
fn bad_archive(layout: &Layout) -> Vec<(usize, u64, &'static str)> {
    let nan = f64::NAN.to_bits();
    let minus = (-1.0_f64).to_bits();
    let b = layout.bank(1);
    let (cells, ring) = (layout.bank_cells(1), layout.ring_row(1, 0));
    vec![
        (b, 9, "bank[1].epoch"),
        (b + bank::CELLS, 1, "bank[1].cells"),
        (b + bank::CELLS, 99, "bank[1].cells"),
        (b + bank::ROWS, 99, "bank[1].rows"),
        (b + bank::ROWS_DROPPED, 1, "bank[1].rows_dropped"),
        (b + bank::OFFSETS, 1, "bank[1].offsets"),
        (b + bank::OFFSETS, CELLS as u64 + 1, "bank[1].offsets"),
        (b + bank::LIVES, 10, "bank[1].lives"),
        (b + bank::LIVES + 1, 1, "bank[1].reserved"),
        (b + bank::WORDS - 1, 1, "bank[1].dropped"),
        (layout.folded(1), 2, "bank[1].folded[0]"),
        (layout.folded(1) + 3, 1, "bank[1].folded[3]"),
        (cells + COUNTER + 1, nan, "bank[1].cells[1]"),
        (cells + SUMMARY + 1, minus, "bank[1].cells[5]"),
        (cells + GAUGE, 1, "bank[1].cells[2]"),
        (cells + LIVE, 1, "bank[1].cells[7]"),
        (cells + CELLS, 1, "bank[1].cells beyond"),
        (cells + STATES, 2, "bank[1].cells[10]"),
        (cells + EXEMPLAR, 2, "bank[1].cells[12]"),
        (cells + EXEMPLAR + 1, 1, "bank[1].cells[13]"),
        (cells + EXEMPLAR + 1 + BUFFER_WORDS + 1, 1 << 60, "bank[1].cells[49]"),
        (cells + EXEMPLAR + 1 + BUFFER_WORDS + 2, 257, "bank[1].cells[50]"),
        (cells + EXEMPLAR + 1 + BUFFER_WORDS + 3, u64::MAX, "bank[1].cells[51]"),
        (cells + SAID, 2, "bank[1].cells[85]"),
        (cells + SAID + 1, 1, "bank[1].cells[86]"),
        (cells + SAID + 1 + SAMPLE_WORDS + 1, 0, "bank[1].cells[90]"),
        (layout.applied(1), 1, "bank[1].applied[0]"),
        (layout.applied(1) + 1, 1, "bank[1].applied[1]"),
        (layout.applied(1) + 1, 10_000, "bank[1].applied[1]"),
        (layout.applied(1) + 2, 1, "bank[1].applied[2]"),
        (layout.applied(1) + 4, 1, "bank[1].applied[4]"),
        (layout.offsets(1) + COUNTER + 1, nan, "bank[1].offsets[1]"),
        (layout.offsets(1) + GAUGE, 1, "bank[1].offsets[2]"),
        (layout.offsets(1) + SUMMARY + 1, minus, "bank[1].offsets[5]"),
        (layout.offsets(1) + INFO, 1, "bank[1].offsets[9]"),
        (layout.offsets(1) + CELLS, 1, "bank[1].offsets beyond"),
        (layout.lives(1) + 2, 1, "bank[1].lives[2]"),
        (layout.lives(1) + 2, 9 << 3, "bank[1].lives[2]"),
        (layout.lives(1) + 9, 8, "bank[1].lives beyond"),
        (ring + row::PID, 1 << 40, "bank[1].row[0].pid"),
        (ring + row::SLOT, 5, "bank[1].row[0].slot"),
        (ring + row::GENERATION, 2, "bank[1].row[0].generation"),
        (ring + row::CELLS, 3, "bank[1].row[0].cells"),
        (ring + row::WORDS + 1, 2, "bank[1].row[0].stamp[0]"),
        (ring + row::WORDS + 2, 1, "bank[1].row[0].beyond"),
        (layout.ring_row(1, 1), 1, "bank[1].row[1].beyond"),
        (layout.floors - 1, 1, "bank[1].padding"),
        (layout.floors, 1, "floors[0]"),
        (layout.floors + COUNTER + 1, nan, "floors[1]"),
        (layout.floors + SUMMARY + 1, minus, "floors[5]"),
        (layout.floors + REMOVED + 1, 1, "floors of hidden cells 83"),
        (layout.floors + SAID, nan, "floors[85]"),
        (layout.floors + SAID + 1, 1, "floors[86]"),
        (layout.floors + CELLS, 1, "floors[92]"),
        (layout.control_words - 1, 1, "floors.padding"),
    ]
}

/// The same of the bank that is not active.
fn bad_idle_bank(layout: &Layout) -> Vec<(usize, u64, &'static str)> {
    let idle = layout.bank(0);
    vec![
        (idle, 5, "bank[0].epoch"),
        (idle + bank::CELLS, 99, "bank[0].cells"),
        (idle + bank::ROWS, 99, "bank[0].rows"),
        (idle + bank::OFFSETS, 99, "bank[0].offsets"),
        (idle + bank::LIVES, 99, "bank[0].lives"),
        (layout.bank_cells(0) + CELLS, 1, "bank[0].cells beyond"),
        (layout.offsets(0) + CELLS, 1, "bank[0].offsets beyond"),
        (layout.lives(0) + 9, 1, "bank[0].lives beyond"),
    ]
}

/// The same of slots: 0 is free, 1 has a log, 2 the catalog's prefix.
fn bad_slots(layout: &Layout) -> Vec<(usize, u64, &'static str)> {
    let nan = f64::NAN.to_bits();
    let (s, cells, log) = (layout.slot(1), layout.slot_cells(1), layout.slot_log(1));
    let prefixed = layout.slot_cells(2);
    let buffer = cells + EXEMPLAR + 1 + BUFFER_WORDS;
    let (lane, minus) = (layout.lane_cells(1, 0), (-1.0_f64).to_bits());
    vec![
        (s + slot_header::GENERATION, 2, "slot[1].header.generation"),
        (s + slot_header::ARENA_ID, 78, "slot[1].header.arena_id"),
        (s + slot_header::PREFIX, 1, "slot[1].header.prefix"),
        (s + slot_header::LANES, 3, "slot[1].header.lanes"),
        (s + slot_header::LANES + 1, 1, "slot[1].header.reserved"),
        (s + slot_header::LOG_COMMIT - 1, 1, "slot[1].header.dropped"),
        (s + slot_header::LOG_COMMIT + 1, 1, "slot[1].header.padding"),
        (s + slot_header::LOG_COMMIT, 10_000, "slot[1].log.commit"),
        (log.start, 9, "slot[1].log.record"),
        (log.start + 1, u64::MAX, "slot[1].log.record"),
        (cells + COUNTER + 1, nan, "slot[1].cells[1]"),
        (cells + SUMMARY + 1, nan, "slot[1].cells[5]"),
        (cells + GAUGE + 1, 2, "slot[1].cells[3]"),
        (cells + STATES, 2, "slot[1].cells[10]"),
        (cells + EXEMPLAR + 2, 1 << 60, "slot[1].cells[14]"),
        (cells + EXEMPLAR + 3, 257, "slot[1].cells[15]"),
        (buffer + 1, 1 << 60, "slot[1].cells[49]"),
        (buffer + 2, 257, "slot[1].cells[50]"),
        (buffer + 3, u64::MAX, "slot[1].cells[51]"),
        (prefixed + STATES, 2, "slot[2].cells[10]"),
        (prefixed + EXEMPLAR + 1, 1, "slot[2].cells[13]"),
        (prefixed + SAID + 1, 1, "slot[2].cells[86]"),
        (cells + CELLS, 1, "slot[1].cells beyond"),
        (log.start - 1, 1, "slot[1].cells beyond"),
        (prefixed + COUNTER + 1, nan, "slot[2].cells[1]"),
        (prefixed + CELLS, 1, "slot[2].cells beyond"),
        (layout.slot(0), 1, "slot[0].header"),
        (layout.slot(0) + 500, 1, "slot[0].header"),
        (layout.slot_cells(4), 1, "slot[4].cells"),
        (layout.slot_log(4).start, 1, "slot[4].log"),
        (layout.lane_cells(4, 0) - 513, 1, "slot[4].log"),
        (layout.arena_words() - 1, 1, "slot[4].lanes"),
        (lane - 1, 1, "slot[1].lanes[0] before its cells"),
        (lane + COUNTER + 1, nan, "slot[1].lanes[0].cells[1]"),
        (lane + SUMMARY, u64::MAX, "slot[1].lanes[0].cells[4]"),
        (lane + SUMMARY + 1, minus, "slot[1].lanes[0].cells[5]"),
        (lane + GAUGE, 1, "slot[1].lanes[0].cells[2]"),
        (lane + CELLS, 1, "slot[1].lanes[0].cells[92]"),
        (layout.lane_cells(1, 1), 1, "slot[1].lanes[1].cells[0]"),
    ]
}

#[test]
fn each_bad_word_is_damage_at_its_byte_in_its_field() {
    let board = Board::new();
    let layout = &board.layout;
    let rows = [bad_control(layout), bad_archive(layout), bad_idle_bank(layout), bad_slots(layout)];
    let rows = rows.concat();
    let mut missed = String::new();
    for (at, bad, field) in rows {
        let good = board.load(at);
        board.store(at, bad);
        let found = board.inspect().damages;
        board.store(at, good);
        // A record is damaged where it begins: one row is about its second word.
        let is_payload = field.ends_with(".record") && bad == u64::MAX;
        let offset = ((at - usize::from(is_payload)) * 8) as u64;
        if !found.iter().any(|damage| damage.offset == offset && damage.field == field) {
            missed += &format!("{field} at {offset} is not among {found:#?}\n");
        }
    }
    assert_eq!(missed, "");
    assert_eq!(board.inspect().damages, []);
}

/// Records that parse and that nobody appends to the log of this worker, and to the catalog.
fn bad_records() -> [Vec<Record>; 2] {
    let family = |name, kind| Record::Family(Family::new(kind, name, "", "", &[]).unwrap());
    let series = |family, created_ms, value: Option<&str>| {
        let values = value.map(Box::from).into_iter().collect();
        Record::Series { family, created_ms, values }
    };
    let removal = |series, at_ms, cells: &[u64]| {
        Record::Removal(Removal { series, action: Action::Hold, at_ms, cells: cells.into() })
    };
    let of_worker = vec![
        removal(99, 1, &[0, 0]),
        removal(0, 1, &[0]),
        removal(0, 1, &[]),
        removal(2, 1, &[0, 0, 0, 0]),
        removal(0, u64::MAX, &[0, 0]),
        series(0, u64::MAX, None),
        series(4, 1, Some("v=\"1")),
        series(4, 1, Some("w=\"1\",v=\"1\"")),
        series(99, 1, None),
    ];
    let of_catalog = vec![
        removal(0, 1, &[0, 0]),
        Record::Gap { cells: 1 },
        series(0, 0, None),
        series(4, 1, Some("v=\"2\"")),
        family("c", Kind::Counter),
    ];
    [of_worker, of_catalog]
}

#[test]
fn each_bad_record_is_damage_where_it_begins() {
    let board = Board::new();
    let [of_worker, of_catalog] = bad_records();
    let logs = [
        (of_worker, board.layout.slot_log(1), "slot[1].log.record"),
        (of_catalog, board.layout.catalog_log(), "catalog.record"),
    ];
    for (records, area, field) in logs {
        let committed = board.load(area.commit);
        for record in records {
            let words = record.to_words();
            log::append(board.core.arena(), area, committed as usize, &words).unwrap();
            let found = board.inspect().damages;
            let offset = (area.start as u64 + committed) * 8;
            let is_it = |d: &Damage| d.offset == offset && d.field == field;
            assert!(found.iter().any(is_it), "{record:?} is not among {found:#?}");
            (0..words.len()).for_each(|at| board.store(area.start + committed as usize + at, 0));
            board.store(area.commit, committed);
        }
    }
    assert_eq!(board.inspect().damages, []);
}

#[test]
fn what_is_no_arena_is_refused_with_what_was_expected() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = directory.join("no-arena");
    for bytes in [&b""[..], b"TALLYBRD", &[7; 4096], &[0; 65_536]] {
        std::fs::write(&path, bytes).unwrap();
        let error = inspect(&path).unwrap_err();
        assert!(matches!(error, InspectError::NoArena { .. }), "{error}");
        assert!(error.to_string().contains("expected 0x"), "{error}");
    }
    assert!(matches!(inspect(&directory), Err(InspectError::NoFile { .. })));
    assert!(matches!(inspect(&directory.join("nowhere")), Err(InspectError::Read { .. })));
}

#[test]
fn a_truncated_copy_is_damaged_at_its_end() {
    let board = Board::new();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("truncated");
    let mut words = Vec::new();
    board.core.arena().read(0..board.layout.arena_words(), &mut words);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    File::create(&path).unwrap().write_all(&bytes).unwrap();
    assert_eq!(inspect(&path).unwrap().damages, []);
    for len in [bytes.len() - 1, bytes.len() / 2, board.layout.banks * 8, 256] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let found = inspect(&path).unwrap().damages;
        let is_size = |d: &Damage| d.field == "size";
        assert!(found.iter().any(|d| is_size(d) && d.offset == len as u64), "{len}: {found:?}");
    }
}

#[test]
fn whatever_the_bytes_are_an_inspection_ends() {
    let board = Board::new();
    let words = board.layout.arena_words() as u64;
    let mut damaged = 0;
    for seed in 0..2_000_u64 {
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        };
        let mut was = Vec::new();
        for _ in 0..1 + random() % 6 {
            // Half of them where lengths and states are.
            let reach = if random() % 2 == 0 { words } else { 1100 };
            let at = (random() % reach) as usize;
            let bad = match random() % 3 {
                0 => random(),
                1 => board.load(at) ^ 1 << (random() % 64),
                _ => random() % 2000,
            };
            was.push((at, board.load(at)));
            board.store(at, bad);
        }
        // A finding or an error, and no panic; the seed is in the message of one.
        let found = inspect(&board.path());
        damaged += usize::from(found.map_or(true, |found| !found.damages.is_empty()));
        was.into_iter().rev().for_each(|(at, word)| board.store(at, word));
    }
    assert_eq!(board.inspect().damages, []);
    assert!(damaged > 1_000, "{damaged} of 2000 are found");
}
