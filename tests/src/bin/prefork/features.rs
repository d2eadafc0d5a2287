//! Every instrument across processes: what is shown is what workers did, while they live, after one
//! of them was killed, and after the supervisor was.
//!
//! A table has a row for each feature: see [`row`].

// An act is one expression, and most end in an operation that gives nothing.
#![allow(clippy::unit_arg)]

mod collected;
mod counters;
mod ended;
mod gauges;
mod labelled;
mod native;
mod observed;
mod row;
pub(crate) mod shown;
mod spent;
mod told;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tallyboard::{GaugeMode, Registry, RegistryBuilder};
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::FamilySamples;
use tallyboard_segment::pass::Address;
use tallyboard_segment::process::unix_ms;
use tallyboard_tests::read::http::get_bytes;
use tallyboard_tests::start::child::until;

use crate::board::{Board, fork, restart, scrape_when_taken};
use crate::flags::text_flag;
use crate::stage::{Stage, killed, text};
use row::{Moment, Row, family};
use shown::{ACCEPTED, Shown};

pub(crate) use spent::run as spent;

pub(crate) fn run() -> Result<Value, String> {
    told::hold_a_private_counter();
    let rows = [counters::ROWS, gauges::ROWS, observed::ROWS, told::ROWS, ended::ROWS];
    let rows = [&rows.concat(), native::ROWS, collected::ROWS].concat();
    drive(&rows, &[], Registry::builder().refresh_interval(Duration::from_millis(10)))
}

/// The same with constant labels, and slots instead of pids.
pub(crate) fn labelled() -> Result<Value, String> {
    let labels = ["--worker-label", "slot", "--label", "area=eu", "--label", "shop=a"];
    let flags = [&["--slots", "2"], &labels[..]].concat();
    drive(labelled::ROWS, &flags, Registry::builder())
}

/// The same where gauges have another mode than `all` unless they name one.
pub(crate) fn default_mode() -> Result<Value, String> {
    drive(gauges::BY_DEFAULT, &[], Registry::builder().gauge_mode(GaugeMode::LiveMax))
}

fn drive(rows: &[Row], flags: &[&str], registry: RegistryBuilder) -> Result<Value, String> {
    let board = Board::serve(&text_flag("program", "tallyboard"), flags, registry)?;
    let found = Stand::new(rows, &board).and_then(|mut stand| stand.drive(&board.address()));
    board.stop();
    found
}

/// Words of the stage; behind them one for each worker, the last moment that it acted in.
const AGAIN: usize = 0;
const ACTED: usize = 1;

struct Stand<'a> {
    rows: &'a [Row],
    stage: Stage,
    metrics: SocketAddr,
    /// Workers in the order of their birth.
    pids: Vec<u32>,
    /// When each worker's turn began, in milliseconds of Unix time, with the moment.
    turns: Vec<(Moment, u64)>,
    lines: usize,
    wrong: Vec<String>,
}

impl<'a> Stand<'a> {
    fn new(rows: &'a [Row], board: &Board) -> Result<Self, String> {
        let (stage, metrics) = (Stage::new()?, board.metrics());
        let (pids, turns, wrong) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { rows, stage, metrics, pids, turns, lines: 0, wrong })
    }

    fn drive(&mut self, address: &Address) -> Result<Value, String> {
        let anew = ", with another supervisor";
        self.bear(Moment::First)?;
        self.check(Moment::First, "")?;
        self.bear(Moment::Second)?;
        self.check(Moment::Second, "")?;
        self.act_again()?;
        self.check(Moment::Again, "")?;
        restart(address)?;
        self.check(Moment::Again, anew)?;
        killed(self.pids[1])?;
        scrape_when_taken(self.metrics, 1.0)?;
        self.check(Moment::Killed, "")?;
        restart(address)?;
        self.check(Moment::Killed, anew)?;
        self.bear(Moment::Last)?;
        self.check(Moment::Last, "")?;
        restart(address)?;
        self.check(Moment::Last, anew)?;
        let page = scrape_when_taken(self.metrics, 2.0)?;
        let refused = page.value("tallyboard_dropped_total", &[("reason", "amount")]);
        let dropped = page.sum("tallyboard_dropped_total") - refused.unwrap_or(0.0);
        [0, 2].iter().try_for_each(|&worker| killed(self.pids[worker]))?;
        if !self.wrong.is_empty() {
            return Err(self.wrong.join("\n"));
        }
        Ok(json!({ "rows": self.rows.len(), "lines": self.lines, "dropped": dropped }))
    }

    /// From here on it is another millisecond than before.
    fn turn(&mut self, moment: Moment) {
        let before = unix_ms();
        let now = until(|| Some(unix_ms()).filter(|now| *now > before + 2));
        self.turns.push((moment, now - 1));
    }

    fn bear(&mut self, moment: Moment) -> Result<(), String> {
        self.turn(moment);
        let worker = self.pids.len();
        let pid = fork(|| match self.work(moment, worker) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("worker {worker}: {error}");
                3
            }
        })?;
        self.pids.push(pid);
        self.stage.wait_for(pid, ACTED + worker, moment as u64)
    }

    fn act_again(&mut self) -> Result<(), String> {
        self.turn(Moment::Again);
        self.stage.say(AGAIN, 1);
        self.stage.wait_for(self.pids[0], ACTED, Moment::Again as u64)
    }

    /// A worker's life, which somebody else ends.
    fn work(&self, moment: Moment, worker: usize) -> Result<(), String> {
        self.act(moment)?;
        self.stage.say(ACTED + worker, moment as u64);
        if moment == Moment::First {
            self.stage.wait(AGAIN, 1);
            self.act(Moment::Again)?;
            self.compare_expositions()?;
            self.stage.say(ACTED + worker, Moment::Again as u64);
        }
        loop {
            std::thread::park();
        }
    }

    fn act(&self, moment: Moment) -> Result<(), String> {
        let act = |row: &Row| {
            (row.act)(row.name, moment).map_err(|e| format!("{} {moment:?}: {e}", row.name))
        };
        self.rows.iter().try_for_each(act)
    }

    /// A worker gets the page that HTTP serves.
    fn compare_expositions(&self) -> Result<(), String> {
        let of_workers = |page: &[u8], format| -> Result<Vec<FamilySamples>, String> {
            let mut families = parse(page, format, &Options::default()).map_err(text)?;
            families.retain(|family| family.name.starts_with("feat_"));
            Ok(families)
        };
        for &(accept, format) in ACCEPTED {
            let named = family(self.rows[0].name);
            for names in [&[][..], &[named.as_str()]] {
                let ours = Registry::shared().exposition(accept, names).map_err(text)?;
                let queries: Vec<String> =
                    names.iter().map(|name| format!("?name[]={name}")).collect();
                let path = format!("/metrics{}", queries.concat());
                let served = get_bytes(self.metrics, &path, accept).map_err(text)?;
                let content_type = format!("content-type: {}", ours.0.to_ascii_lowercase());
                if !served.headers.lines().any(|line| line == content_type) {
                    return Err(format!("expected {content_type:?}, found {:?}", served.headers));
                }
                let ours = of_workers(&ours.1, format)?;
                let served = of_workers(&served.body, format)?;
                if ours != served || ours.len() < names.len() {
                    return Err(format!("expected {served:#?} as {accept}, found {ours:#?}"));
                }
            }
        }
        Ok(())
    }

    /// Holds the page in each format against what the rows say.
    fn check(&mut self, moment: Moment, after: &str) -> Result<(), String> {
        for (accept, format) in ACCEPTED {
            let names: Vec<&str> = self.rows.iter().map(|row| row.name).collect();
            let mut found = Shown::get(self.metrics, accept, *format)?;
            let mut lines = found.lines(&names, &self.pids, &self.turns)?;
            for row in self.rows {
                let found = lines.remove(row.name).unwrap_or_default();
                self.lines += found.len();
                let expected = row.shown_at(moment);
                if let Err(expected) = shown::is_as(&found, &expected, *format, &self.turns) {
                    self.wrong.push(format!(
                        "{} at {moment:?}{after}, {format:?}: expected {expected:?}, found {found:?}",
                        row.name
                    ));
                }
            }
            self.wrong.extend(lines.into_keys().map(|name| format!("{moment:?}: no row {name}")));
        }
        Ok(())
    }
}
