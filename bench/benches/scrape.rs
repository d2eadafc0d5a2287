//! What a scrape costs in the supervisor's loop: reading the slots, adding them up, writing the
//! page. HTTP and compression are not part of it.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_bench::{Outcome, Race, finish};
use tallyboard_exposition::format::Format;
use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::control::{Attached, Hello};
use tallyboard_proto::family::{Family, Kind};
use tallyboard_proto::layout::{Geometry, LAYOUT_VERSION, Layout};
use tallyboard_proto::log::{Record, append};
use tallyboard_proto::slot::SlotHeader;
use tallyboard_proto::word::Words;
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::memfd;
use tallyboard_supervisor::core::{Caller, Core, Origin, Rules, format};

const SLOTS: usize = 64;
const SERIES: usize = 1_000;

fn main() -> ExitCode {
    finish(&[
        scrape("counters", &Kind::Counter),
        scrape("histograms", &Kind::Histogram([0.1, 1.0].into())),
    ])
}

/// Workers with the same series, each with cells that are not zero.
fn scrape(what: &str, kind: &Kind) -> Outcome {
    let mut core = core();
    for worker in 0..SLOTS {
        let granted = attach(&mut core, worker);
        begin(&core, &granted, kind, worker);
        // From here on the catalog holds the series, and the next worker takes them over.
        core.expose(&[]);
    }
    let expected = format!("app_0_total{{route=\"/items/7\",status=\"200\"}} {}\n", SLOTS * 8);
    let page = String::from_utf8(core.expose(&[])).expect("a page is text");
    assert!(*kind != Kind::Counter || page.contains(&expected), "{page}");
    let name = format!("a scrape of {SLOTS} slots x {SERIES} {what}, {} bytes", page.len());
    let none = ["tallyboard_none".to_owned()];
    let core = RefCell::new(core);
    let limit = if *kind == Kind::Counter { 1_000_000.0 } else { f64::INFINITY };
    Race::new(&name)
        .enter("all series", || core.borrow_mut().expose(black_box(&[])))
        .at_most_ns(limit)
        .enter("all series, each worker having counted in each", || {
            let mut core = core.borrow_mut();
            count(core.arena(), kind);
            core.expose(black_box(&[]))
        })
        .enter("all series, OpenMetrics 1.0", || {
            core.borrow_mut().expose_as(Format::OpenMetrics100, black_box(&[]))
        })
        .enter("all series, protocol buffers", || {
            core.borrow_mut().expose_as(Format::Protobuf, black_box(&[]))
        })
        .enter("no series", || core.borrow_mut().expose(black_box(&none)))
        .run()
}

fn core() -> Core {
    let layout = Layout::new(geometry());
    let arena = memfd::create(layout.arena_words()).expect("a memfd is made");
    let origin = Origin { arena_id: 1, ..Origin::default() };
    format(&arena, &layout, &origin).expect("the arena is made real");
    Core::new(arena, layout, origin, Rules::new(vec![0], 10_000))
}

fn geometry() -> Geometry {
    Geometry::for_series(SLOTS, 8 * SERIES).expect("the geometry can be")
}

fn attach(core: &mut Core, worker: usize) -> Attached {
    let pid = worker as u32 + 1;
    let caller = Caller { pid, uid: 0, admitted_as: 0, pidfs_inode: u64::from(pid), start_time: 1 };
    let hello = Hello {
        layout: LAYOUT_VERSION,
        fingerprint: FINGERPRINT,
        image: 1,
        attach_id: u64::from(pid),
        rejoin: None,
    };
    let granted = core.attach(&caller, &hello, 0, |_, _| Ok(())).expect("there is a slot");
    core.confirm(granted.slot as usize, granted.generation);
    granted
}

/// Does what a worker does: header, log, cells. The first one begins the series.
fn begin(core: &Core, granted: &Attached, kind: &Kind, worker: usize) {
    let layout = Layout::new(Geometry::from_words(granted.geometry).expect("the core's own"));
    let (slot, arena) = (granted.slot as usize, core.arena());
    let cells = SERIES * kind.cells();
    let start = layout.slot_cells(slot);
    arena.make_real(layout.slot(slot)..start + cells).expect("there is memory");
    let header = SlotHeader {
        generation: granted.generation,
        arena_id: granted.arena_id,
        prefix: granted.prefix,
    };
    header.write(arena, layout.slot(slot));
    if worker == 0 {
        let log = layout.slot_log(slot);
        arena.make_real(log.start..log.start + log.words).expect("there is memory");
        let mut committed = 0;
        for record in records(kind) {
            let words = record.to_words();
            committed = append(arena, log, committed, &words).expect("the log has room");
        }
    }
    for cell in 0..cells {
        let is_whole = *kind != Kind::Counter || cell % kind.cells() == 0;
        let series = (cell / kind.cells()) as u64;
        arena.store(start + cell, if is_whole { series % 100 + 1 } else { 0 }, Relaxed);
    }
}

/// Each worker counts once in each series. Its time is a part of what is measured.
fn count(arena: &Arena, kind: &Kind) {
    let layout = Layout::new(geometry());
    for slot in 0..SLOTS {
        let start = layout.slot_cells(slot);
        for cell in (start..start + SERIES * kind.cells()).step_by(kind.cells()) {
            arena.store(cell, arena.load(cell, Relaxed) + 1, Relaxed);
        }
    }
}

/// Ten families of a hundred series each.
fn records(kind: &Kind) -> Vec<Record> {
    let mut records = Vec::new();
    for family in 0..10 {
        let name = format!("app_{family}");
        let described = Family::new(kind.clone(), &name, "", "Requests.", &["route", "status"]);
        records.push(Record::Family(described.expect("the family is well formed")));
        for route in 0..SERIES / 10 {
            let values = [format!("/items/{route}").into(), "200".into()].into();
            records.push(Record::Series { family, created_ms: 1, values });
        }
    }
    records
}
