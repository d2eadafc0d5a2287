//! Workers that die in the middle of the conversation. The client is played by hand, so that it
//! can be held at each step.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tallyboard::{Counter, Registry};
use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::control::{
    Attached, Hello, MAX_MESSAGE_BYTES, Reply, Request, decode, encode,
};
use tallyboard_proto::layout::{Geometry, LAYOUT_VERSION, Layout, slot_header};
use tallyboard_proto::log::Contents;
use tallyboard_proto::slot::SlotHeader;
use tallyboard_segment::mapping::{SlotMapping, pread};
use tallyboard_segment::pass::{Address, Socket};
use tallyboard_segment::process;
use tallyboard_supervisor::ask;
use tallyboard_tests::start::child::until;

use crate::board::{fork, scrape_when_taken, spawn};
use crate::flags::flag;
use crate::stage::{Stage, killed, state_of, text};

const WAIT: Duration = Duration::from_secs(60);
/// What a client that gets so far counts.
const AMOUNT: u64 = 5;
/// Words of the stage.
const OFFERED: usize = 0;
const GO_ON: usize = 1;
const WENT_ON: usize = 2;

/// How far a client gets.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// Killed with a slot that it has not taken.
    Offered,
    /// Hangs up without taking its slot, and lives on.
    HungUp,
    /// Takes its slot, counts, and is killed.
    Confirmed,
}

pub(crate) fn run() -> Result<Value, String> {
    let rounds = flag("rounds", 50);
    // So few slots that one which is not given back is missed at once.
    let handle = spawn(4)?;
    let (metrics, address) = (handle.metrics()[0], handle.address().parse().map_err(text)?);
    Counter::new("halfway_total", "Counted by hand.").map_err(text)?;
    Registry::shared().attach().map_err(text)?;
    for _ in 0..rounds {
        for end in [End::Offered, End::HungUp, End::Confirmed] {
            let stage = Stage::new()?;
            let pid = fork(|| match play(&stage, &address, end) {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("{error}");
                    3
                }
            })?;
            stage.wait_for(pid, OFFERED, 1)?;
            expect_assigned(&address, pid)?;
            stage.say(GO_ON, 1);
            if end != End::Offered {
                stage.wait_for(pid, WENT_ON, 1)?;
            }
            if end == End::HungUp {
                scrape_when_taken(metrics, 1.0)?;
                if matches!(state_of(pid), None | Some('Z')) {
                    return Err("expected a client that lives on, found it dead".to_owned());
                }
            }
            killed(pid)?;
            scrape_when_taken(metrics, 1.0)?;
        }
    }
    let page = scrape_when_taken(metrics, 1.0)?;
    handle.stop();
    Ok(json!({
        "rounds": rounds, "counted": page.value("halfway_total", &[]),
        "free": page.value("tallyboard_slots", &[("state", "free")]),
        "attaches": page.sum("tallyboard_attaches_total"),
        "refused": page.sum("tallyboard_attaches_refused_total"),
        "quarantines": page.sum("tallyboard_quarantines_total"),
        "folds": page.sum("tallyboard_folds_total"),
    }))
}

fn expect_assigned(address: &Address, pid: u32) -> Result<(), String> {
    let rows = ask::slots(address, WAIT).map_err(text)?;
    match rows.iter().find(|row| row.pid == u64::from(pid)) {
        Some(row) if row.state == "assigned" => Ok(()),
        other => Err(format!("expected a slot that was offered, found {other:?}")),
    }
}

fn play(stage: &Stage, address: &Address, end: End) -> Result<(), String> {
    let (socket, granted, object) = ask_for_slot(address)?;
    stage.say(OFFERED, 1);
    stage.wait(GO_ON, 1);
    match end {
        End::Offered => {}
        End::HungUp => drop(socket),
        End::Confirmed => {
            let (slot, cell) = map(&granted, &object)?;
            socket.send(&encode(&Request::Confirm), None).map_err(text)?;
            let Attached { generation, arena_id, prefix, .. } = granted;
            SlotHeader { generation, arena_id, prefix }.write(&slot, 0);
            slot.word(slot_header::WORDS + cell).store(AMOUNT, Relaxed);
        }
    }
    stage.say(WENT_ON, 1);
    // It ends by SIGKILL only.
    until(|| None)
}

fn ask_for_slot(address: &Address) -> Result<(Socket, Attached, File), String> {
    let deadline = Instant::now() + WAIT;
    let socket = Socket::connect(address, deadline).map_err(text)?;
    let hello = Request::Hello(Hello {
        layout: LAYOUT_VERSION,
        fingerprint: FINGERPRINT,
        image: process::image(),
        attach_id: process::random_u64().map_err(text)?,
        rejoin: None,
    });
    socket.send(&encode(&hello), None).map_err(text)?;
    let packet = socket.receive_until(MAX_MESSAGE_BYTES, deadline).map_err(text)?;
    match (decode(&packet.bytes).map_err(text)?, packet.descriptor) {
        (Reply::Attached(granted), Some(object)) => Ok((socket, granted, object.into())),
        other => Err(format!("expected a slot, found {other:?}")),
    }
}

/// Maps the slot, and finds the cell of the one series that there is.
fn map(granted: &Attached, object: &File) -> Result<(SlotMapping, usize), String> {
    let layout = Layout::new(Geometry::from_words(granted.geometry).map_err(text)?);
    let catalog = layout.catalog..layout.catalog + granted.prefix as usize;
    let mut contents = Contents::new(layout.geometry.cells);
    contents.extend(&pread(object, catalog).map_err(text)?).map_err(text)?;
    let start = layout.slot(granted.slot as usize);
    let slot = SlotMapping::of_object(object.as_fd(), start, layout.slot_words).map_err(text)?;
    slot.open(0..slot_header::WORDS + contents.end().cells).map_err(text)?;
    let series = contents.series().first().ok_or("expected a series in the catalog, found none")?;
    Ok((slot, series.cell))
}
