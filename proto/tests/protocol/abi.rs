//! Every number that two programs must agree on, as `abi.golden` has them.

use std::fmt::Write;
use std::path::Path;

use tallyboard_proto::abi;
use tallyboard_proto::cell::{self, Join, Sample, Shape};
use tallyboard_proto::control::{self, Attached, Description, Hello, Refused, RefusedReason};
use tallyboard_proto::control::{Rejoin, Reply, Request, SlotRow};
use tallyboard_proto::exemplar;
use tallyboard_proto::family::{self, Declared, Family, GaugeMode, Kind, Samples};
use tallyboard_proto::layout::{self, DropReason, Geometry, Layout};
use tallyboard_proto::layout::{bank, entry, header, row, slot_header};
use tallyboard_proto::life::{self, Life};
use tallyboard_proto::log::{self, Action, Record, Removal};
use tallyboard_proto::native::{self, Bucket, Native, cells, upper_bound};
use tallyboard_proto::slot::{STATE_BITS, SlotWord, State};
use tallyboard_proto::word::Words;

use crate::memory::VecWords;

/// Writes lines `group.name = value` for constants of one module.
macro_rules! numbers {
    ($out:expr, $group:literal, $module:path, [$($name:ident),* $(,)?]) => {{
        use $module as module;
        $(writeln!($out, "{}.{} = {}", $group, stringify!($name).to_lowercase(), module::$name)
            .expect("a string takes all");)*
    }};
}

fn line(out: &mut String, name: &str, value: impl std::fmt::Display) {
    writeln!(out, "{name} = {value}").expect("a string takes all");
}

fn hex(out: &mut String, name: &str, words: &[u64]) {
    let words: Vec<_> = words.iter().map(|word| format!("{word:016x}")).collect();
    line(out, name, words.join(" "));
}

fn dump() -> String {
    let mut out = String::new();
    dump_layout(&mut out);
    dump_numbers(&mut out);
    dump_records(&mut out);
    dump_messages(&mut out);
    out
}

fn dump_layout(out: &mut String) {
    out.push_str("# Positions are in words of 8 bytes. Words are little-endian, in hex.\n\n");
    hex(out, "magic", &[layout::MAGIC]);
    line(out, "layout_version", layout::LAYOUT_VERSION);
    hex(out, "fingerprint", &[abi::FINGERPRINT]);
    numbers!(out, "layout", layout, [PAGE_WORDS, EXTENT_WORDS, DROP_REASONS]);
    numbers!(
        out,
        "header",
        header,
        [
            MAGIC,
            VERSION,
            FINGERPRINT,
            GEOMETRY,
            ARENA_ID,
            BOOT_ID_HIGH,
            BOOT_ID_LOW,
            PID_NAMESPACE,
            KEEPER_PID,
            UID,
            UNIX_OFFSET,
            ARCHIVE_COMMIT,
            CATALOG_COMMIT,
            WORDS,
        ]
    );
    numbers!(
        out,
        "entry",
        entry,
        [STATE, PID, PIDFS_INODE, START_TIME, UID, IMAGE, ATTACH_ID, PREFIX, ATTACHED_AT, WORDS,]
    );
    numbers!(out, "bank", bank, [EPOCH, CELLS, ROWS, ROWS_DROPPED, OFFSETS, LIVES, DROPPED, WORDS]);
    numbers!(out, "row", row, [PID, SLOT, GENERATION, CELLS, WORDS]);
    let words = [GENERATION, ARENA_ID, PREFIX, LANES, DROPPED, LOG_COMMIT, WORDS];
    let names = ["generation", "arena_id", "prefix", "lanes", "dropped", "log_commit", "words"];
    for (name, word) in names.iter().zip(words) {
        line(out, &format!("slot_header.{name}"), word);
    }
    dump_geometry(out);
}

use slot_header::{ARENA_ID, DROPPED, GENERATION, LANES, LOG_COMMIT, PREFIX, WORDS};

fn dump_geometry(out: &mut String) {
    let geometry = Geometry::for_series(256, 65_536).expect("the default is a geometry");
    let layout = Layout::new(geometry);
    out.push_str("\n# The default: 256 slots, 65,536 series.\n\n");
    let names = ["slots", "cells", "log_words", "ring_rows", "row_cells", "unit", "lanes"];
    for (name, word) in names.iter().zip(geometry.to_words()) {
        line(out, &format!("geometry.{name}"), word);
    }
    line(out, "geometry.words", Geometry::WORDS);
    for (name, at) in [
        ("table", layout.table),
        ("entry(1)", layout.entry(1)),
        ("catalog", layout.catalog),
        ("bank(0)", layout.bank(0)),
        ("folded(0)", layout.folded(0)),
        ("applied(0)", layout.applied(0)),
        ("bank_cells(0)", layout.bank_cells(0)),
        ("offsets(0)", layout.offsets(0)),
        ("lives(0)", layout.lives(0)),
        ("ring_row(0, 1)", layout.ring_row(0, 1)),
        ("bank(1)", layout.bank(1)),
        ("bank_words", layout.bank_words),
        ("floors", layout.floors),
        ("control_words", layout.control_words),
        ("slot(1)", layout.slot(1)),
        ("slot_cells(1)", layout.slot_cells(1)),
        ("slot_log(1).commit", layout.slot_log(1).commit),
        ("slot_log(1).start", layout.slot_log(1).start),
        ("lane_cells(1, 2)", layout.lane_cells(1, 2)),
        ("slot_words", layout.slot_words),
        ("arena_words", layout.arena_words()),
    ] {
        line(out, &format!("layout.{name}"), at);
    }
}

fn dump_numbers(out: &mut String) {
    out.push_str("\n# Numbers.\n\n");
    for state in State::EVERY {
        line(out, &format!("state.{}", state.name()), state as u64);
    }
    line(out, "state.bits", STATE_BITS);
    hex(out, "state word of live(5)", &[SlotWord { state: State::Live, generation: 5 }.to_word()]);
    for reason in DropReason::ALL {
        line(out, &format!("drop_reason.{}", reason.name()), reason as usize);
    }
    for mode in GaugeMode::EVERY {
        line(out, &format!("gauge_mode.{}", mode.name()), mode as u8);
    }
    numbers!(
        out,
        "cells",
        cell,
        [
            COUNTER_CELLS,
            GAUGE_CELLS,
            SUMMARY_CELLS,
            HISTOGRAM_EXTRA_CELLS,
            INFO_CELLS,
            STATESET_CELLS,
            BUCKET_CELLS,
            SAMPLE_CELLS,
            SAMPLE_WORDS,
            NO_TIME,
        ]
    );
    dump_samples(out);
    dump_buckets(out);
    let histogram = Shape::Histogram { buckets: 3 };
    line(out, "cells of a histogram of 2 bounds", histogram.width());
    let kinds: Vec<_> =
        (0..histogram.width()).map(|at| format!("{:?}", histogram.cell(at))).collect();
    line(out, "kinds of its cells", kinds.join(" "));
    hex(out, "cells.abi", &[cell::CELL_ABI]);
    numbers!(out, "cells", cell, [MAX_WHOLE, MIN_LARGE, MAX_COUNT]);
    numbers!(
        out,
        "exemplar",
        exemplar,
        [EXEMPLAR_CELLS, BUFFER_WORDS, MAX_PAIR_BYTES, MAX_CHARACTERS]
    );
    hex(out, "cells of the second exemplar", &second_exemplar());
    numbers!(
        out,
        "family",
        family,
        [
            MAX_NAME_BYTES,
            MAX_HELP_BYTES,
            MAX_VALUE_BYTES,
            MAX_LABELS,
            MAX_BOUNDS,
            MAX_STATES,
            RESERVED_PREFIX,
            COLLECTOR_ERRORS,
            COLLECTOR_LABEL,
            EXEMPLAR_PREFIX,
            BUCKET_PREFIX,
        ]
    );
    dump_lives(out);
}

fn dump_lives(out: &mut String) {
    for action in Action::EVERY {
        line(out, &format!("action.{}", format!("{action:?}").to_lowercase()), action as u64);
    }
    numbers!(out, "life", life, [LIFE_BITS, MAX_CREATED_MS]);
    let begun = Life { created_ms: 5, ..Life::default() };
    for (name, life) in [
        ("begun", begun),
        ("renewed", Life { is_renewed: true, ..begun }),
        ("removed", Life { is_removed: true, ..begun }),
        ("hidden", Life { is_hidden: true, ..begun }),
        ("lead", Life { lead: 2, ..begun }),
    ] {
        hex(out, &format!("life.{name}"), &[life.to_word()]);
    }
}

/// How samples are joined by type and suffix, and the cells of one that was said twice.
fn dump_samples(out: &mut String) {
    for declared in Declared::EVERY {
        let name = declared.name();
        line(out, &format!("declared.{name}"), declared as u8);
        let samples = Samples::new(declared, GaugeMode::All);
        for suffix in declared.suffixes() {
            let join = samples.join_of(suffix);
            line(out, &format!("join of {name} \"{suffix}\" of mode all"), format!("{join:?}"));
        }
    }
    for join in [Join::Gauge(GaugeMode::All), Join::Add] {
        line(out, &format!("number of {join:?}"), join.number().expect("a number"));
    }
    let cells = VecWords::new(cell::SAMPLE_CELLS);
    for (value, at_ns) in [(0.5, Some(-3)), (1.0, None)] {
        Sample { value, stamp: 7, at_ns }.write(&cells, 0);
    }
    let mut copy = Vec::new();
    cells.read(0..cell::SAMPLE_CELLS, &mut copy);
    hex(out, "cells of the second sample", &copy);
}

/// The buckets that some numbers are in, as the values of the label `le`.
fn dump_buckets(out: &mut String) {
    numbers!(out, "native.cells", cells, [ZERO, NAN, SUM, ODD, COUNT]);
    numbers!(out, "native", native, [MAX_SCHEMA, MIN_SCHEMA, DEFAULT_ZERO_THRESHOLD, MAX_BUCKETS]);
    let bounds = [-1.0, 0.0, 0.25];
    for schema in [-4, 0, 3, 8] {
        let native =
            Native { schema, zero_threshold: 1e-9, max_buckets: 160, bounds: bounds.into() };
        for value in [0.0, 1e-9, -1e-9, 0.25, 0.3, 1.0, 1e300, -2.5, f64::INFINITY] {
            let bucket = native.bucket(value).expect("a number");
            line(out, &format!("bucket of {value} of schema {schema}"), bucket);
        }
    }
    let wide = "3+-12/0".parse::<Bucket>().expect("a bucket").at_level(3);
    line(out, "bucket 3+-12/0 at level 3", wide);
    let mantissas = (0..256).map(|at| upper_bound(at, 8).to_bits()).collect::<Vec<_>>();
    hex(out, "hash of the bounds of schema 8 from 1 to 2", &[layout::fnv(&mantissas)]);
}

/// The cells of an exemplar that was given twice: turn 2, and both buffers.
fn second_exemplar() -> Vec<u64> {
    let cells = VecWords::new(exemplar::EXEMPLAR_CELLS);
    for (value, at_ms) in [(0.5, 3), (1.0, 4)] {
        let labels = exemplar::labels(&[("trace_id", "ab")]).expect("short labels");
        exemplar::write(&cells, 0, &labels, value, at_ms);
    }
    let mut copy = Vec::new();
    cells.read(0..exemplar::EXEMPLAR_CELLS, &mut copy);
    copy
}

/// One record of each kind and type.
pub fn records() -> Vec<(&'static str, Record)> {
    let family = |kind, name, unit, labels: &[&str]| {
        Record::Family(Family::new(kind, name, unit, "Help.", labels).expect("a good family"))
    };
    let series = |family, created_ms, values: &[&str]| {
        let values = values.iter().map(|&value| value.into()).collect();
        Record::Series { family, created_ms, values }
    };
    let removal = |series, action, cells: &[u64]| {
        Record::Removal(Removal { series, action, at_ms: 6, cells: cells.into() })
    };
    let histogram = Kind::Histogram([0.5, 1.0].into());
    let native =
        || Native { schema: -1, zero_threshold: 0.001, max_buckets: 160, bounds: [1.0].into() };
    let states = Kind::StateSet(["on".into(), "off".into()].into());
    vec![
        ("family, counter", family(Kind::Counter, "requests_total", "", &["route", "status"])),
        ("family, gauge all", family(Kind::Gauge(GaugeMode::All), "load", "", &[])),
        ("family, histogram", family(histogram, "took_seconds", "seconds", &["route"])),
        ("family, summary", family(Kind::Summary, "sizes", "", &[])),
        ("family, info", family(Kind::Info, "build_info", "", &["part"])),
        ("family, stateset", family(states, "switch", "", &[])),
        ("family, exemplar", family(Kind::Exemplar, "tallyboard_exemplar:sizes", "", &["le"])),
        (
            "family, native histogram",
            family(Kind::NativeHistogram(native()), "waited_seconds", "seconds", &["route"]),
        ),
        (
            "family, bucket",
            family(
                Kind::Bucket(native()),
                "tallyboard_bucket:waited_seconds",
                "",
                &["route", "le"],
            ),
        ),
        (
            "family, samples of a summary",
            family(Kind::Samples(Samples::new(Declared::Summary, GaugeMode::Max)), "x", "", &[]),
        ),
        (
            "family, samples of no type",
            family(Kind::Samples(Samples::new(Declared::Unknown, GaugeMode::Max)), "y", "", &[]),
        ),
        ("family, any name", family(Kind::Counter, "é.requests", "", &["http.route", "a:b"])),
        ("series", series(0, 1_700_000_000_000, &["/é", "200"])),
        ("series without labels", series(3, 0, &[])),
        ("series of an info", series(4, 5, &["api", "branch=\"a\",version=\"1\""])),
        ("series of a native histogram", series(7, 5, &["/"])),
        ("series of a bucket", series(8, 5, &["/", "0+3/0"])),
        ("series of an info, any name", series(4, 5, &["api", "\"a.\\\"\"=\"1\",\"é\"=\"\""])),
        ("series of a sample", series(9, 5, &["", "quantile=\"0.5\""])),
        ("gap", Record::Gap { cells: 17 }),
        ("remove", removal(0, Action::Remove, &[7, 0])),
        ("reset", removal(1, Action::Reset, &[3, 0.5_f64.to_bits(), 1])),
        ("hold", removal(2, Action::Hold, &[6])),
        ("lower", removal(0, Action::Lower, &[7, (-0.5_f64).to_bits()])),
        ("reset with a bucket", removal(3, Action::Reset, &[1, 0, 0.5_f64.to_bits(), 0, 4, 2])),
    ]
}

fn dump_records(out: &mut String) {
    out.push_str("\n# Records: the words of one of each.\n\n");
    line(out, "record.max_words", log::MAX_RECORD_WORDS);
    hex(out, "record.abi", &[log::RECORD_ABI]);
    for (name, record) in records() {
        hex(out, &format!("record {name}"), &record.to_words());
    }
}

fn dump_messages(out: &mut String) {
    out.push_str(
        "\n# Messages: the bytes of one of each. Their numbers are 1, 2, 3 and so on.\n\n",
    );
    numbers!(out, "control", control, [PROTOCOL_VERSION, MAX_MESSAGE_BYTES, MAX_SLOTS_PER_PROCESS]);
    for reason in RefusedReason::ALL {
        line(out, &format!("refused.{}", reason.name()), reason as u32);
    }
    let mut message = |name: &str, packet: Vec<u8>| {
        let bytes: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        line(out, &format!("message {name}"), bytes);
    };
    let hello = |rejoin| Hello { layout: 1, fingerprint: 2, image: 3, attach_id: 4, rejoin };
    message("hello", control::encode(&Request::Hello(hello(None))));
    let rejoin = Some(Rejoin { arena_id: 5, prefix: 6 });
    message("hello, again", control::encode(&Request::Hello(hello(rejoin))));
    message("confirm", control::encode(&Request::Confirm));
    let (metrics, accept) = (vec!["a".into()], "b".into());
    message("scrape a", control::encode(&Request::Scrape { metrics, accept }));
    message("slots", control::encode(&Request::Slots));
    message("describe", control::encode(&Request::Describe));
    let (slot, generation, arena_id, prefix, label_limit) = (1, 2, 3, 4, 5);
    let attached = Attached {
        slot,
        generation,
        arena_id,
        prefix,
        label_limit,
        unix_offset_ns: 6,
        geometry: [7, 8, 9, 10, 11, 12, 13],
    };
    message("attached", control::encode(&Reply::Attached(attached)));
    let refused = Refused { reason: RefusedReason::Uid, detail: "no".into() };
    message("refused", control::encode(&Reply::Refused(refused)));
    let body = Reply::Body { bytes: 1, content_type: "a".into() };
    message("body", control::encode(&body));
    message("described", control::encode(&Reply::Described(description())));
    message("slot table", control::encode_rows(&[slot_row()]));
}

fn description() -> Description {
    Description {
        name: "a".into(),
        backing: "memfd".into(),
        arena_id: 1,
        keeper_pid: 2,
        supervisor_pid: 3,
        slots: 4,
        taken: 5,
        series: 6,
        metrics: vec!["b".into()],
    }
}

fn slot_row() -> SlotRow {
    SlotRow {
        slot: 1,
        generation: 2,
        state: "live".into(),
        pid: 3,
        uid: 4,
        attached_at_ms: 5,
        series: 6,
        cells: 7,
        dropped: 8,
        quarantined: false,
    }
}

#[test]
fn the_numbers_of_this_build_are_those_of_the_golden_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("abi.golden");
    let found = dump();
    if std::env::var_os("TALLYBOARD_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&path, &found).expect("the golden file can be written");
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if golden != found {
        println!("{found}");
    }
    assert!(
        golden == found,
        "the ABI above is not that of abi.golden: raise LAYOUT_VERSION or PROTOCOL_VERSION, then \
         run this test with TALLYBOARD_BLESS=1"
    );
}

#[test]
fn every_record_of_the_golden_file_is_read_back_as_it_was() {
    let mut contents = log::Contents::new(100);
    for (name, record) in records() {
        let words = record.to_words();
        let values = |family| contents.families().get(family as usize).map(Family::values);
        assert_eq!(Record::parse(&words, 0, values), Ok((record.clone(), words.len())), "{name}");
        contents.push(record, words.len()).expect(name);
    }
}
