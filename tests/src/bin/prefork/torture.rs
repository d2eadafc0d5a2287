//! SIGKILL at random: workers that count as fast as they can are killed at whatever instruction
//! they are at, replaced at once, and every increment is accounted for.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tallyboard::{Counter, Family, Histogram, NativeHistogram, Registry};
use tallyboard_tests::read::page::Page;
use tallyboard_tests::start::child::until;

use crate::board::{Board, fork, scrape, scrape_when_taken, settled_supervisor};
use crate::flags::flag;
use crate::ledger::{Ledger, What};
use crate::settings::{self, Settings};

/// What is observed each time: a power of two, so that sums of it are exact.
const OBSERVATION: f64 = 0.5;

/// What a native histogram observes in turn: more buckets than it may have, on both sides of zero.
const SIZES: [f64; 24] = {
    let mut sizes = [0.0; 24];
    let mut at = 1;
    while at < sizes.len() {
        let sign = if at % 3 == 0 { -1.0 } else { 1.0 };
        sizes[at] = sign * (1_u64 << (2 * at)) as f64;
        at += 1;
    }
    sizes
};

/// How many label values there are for workers; a long run uses each several times.
const LABELS: usize = 4096;
/// How often a worker counts between two rests.
const BURST: usize = 2000;

struct Torture {
    ledger: Ledger,
    own: Family<Counter>,
    shared: Counter,
    seconds: Histogram,
    sizes: NativeHistogram,
    settings: Settings,
    /// How many threads of a worker count.
    threads: usize,
    random: u64,
    born: usize,
    /// Pid and number of each living worker.
    living: Vec<(u32, usize)>,
}

pub(crate) fn run() -> Result<Value, String> {
    let workers = flag("workers", 16) as usize;
    let threads = flag("threads", 4).max(1) as usize;
    let kills = flag("kills", 1000);
    let supervisor_kills = flag("supervisor-kills", 0);
    let early_ms = flag("early-ms", 0);
    let seed = flag("seed", u64::from(std::process::id())) | 1;
    eprintln!("seed {seed}");
    let keeper_kills = flag("keeper-kills", 0);
    let mut board = Board::open()?;
    let (metrics, address) = (board.metrics(), board.address());
    let born = workers + (kills + 8 * supervisor_kills + 2 * keeper_kills) as usize;
    let mut torture = Torture::new(born, threads, seed)?;
    let scraper = fork(|| watch(&torture.ledger, metrics))?;
    for _ in 0..workers {
        torture.bear()?;
    }
    for _ in 0..kills {
        torture.kill_one(early_ms)?;
    }
    for _ in 0..supervisor_kills {
        let supervisor = settled_supervisor(&address)?;
        (0..4).try_for_each(|_| torture.kill_one(early_ms))?;
        send_kill(supervisor)?;
        (0..4).try_for_each(|_| torture.kill_one(early_ms))?;
    }
    for _ in 0..keeper_kills {
        torture.kill_keeper(&mut board)?;
    }
    torture.end_all()?;
    torture.ledger.stop();
    wait_for(scraper)?;
    // This process has a slot too: it registered the metrics.
    let page = scrape_when_taken(metrics, 1.0)?;
    let mut found = torture.judge(&page, kills)?;
    found["supervisor_kills"] = supervisor_kills.into();
    found["keeper_kills"] = keeper_kills.into();
    board.stop();
    let [scrapes, failures, decreases] = torture.ledger.scrapes();
    // A supervisor that is killed takes the answer under way with it, and no other; while there is
    // no keeper, nobody answers.
    let may_fail = if keeper_kills > 0 { u64::MAX } else { supervisor_kills };
    let is_clean = failures <= may_fail && decreases == 0 && scrapes > 0;
    if is_clean { Ok(found) } else { Err(found.to_string()) }
}

impl Torture {
    fn new(born: usize, threads: usize, seed: u64) -> Result<Self, String> {
        let text = |error: tallyboard::RegisterError| error.to_string();
        let own = Counter::builder("torture_own_total", "Counted by one worker.");
        let sizes = NativeHistogram::builder("torture_sizes", "Observed by all.");
        Ok(Self {
            ledger: Ledger::with_threads(born, threads)?,
            threads,
            own: own.labels(&["worker"]).family().map_err(text)?,
            shared: Counter::new("torture_shared_total", "Counted by all.").map_err(text)?,
            seconds: Histogram::new("torture_seconds", "Observed by all.").map_err(text)?,
            sizes: sizes.max_buckets(16).register().map_err(text)?,
            settings: Settings::new().map_err(text)?,
            random: seed,
            born: 0,
            living: Vec::new(),
        })
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn bear(&mut self) -> Result<(), String> {
        let number = self.born;
        let pid = fork(|| self.work(number))?;
        self.born += 1;
        self.living.push((pid, number));
        Ok(())
    }

    /// A worker's life: it ends by SIGKILL only.
    fn work(&self, number: usize) -> i32 {
        if let Err(error) = Registry::shared().attach() {
            eprintln!("worker {number} is not attached: {error}");
            return 3;
        }
        let Ok(own) = self.own.with(&[(number % LABELS).to_string()]) else { return 4 };
        let Ok(settings) = self.settings.of(number) else { return 5 };
        self.ledger.set_attached(number);
        std::thread::scope(|scope| {
            for thread in 1..self.threads {
                scope.spawn(move || {
                    loop {
                        // The last is another thread each time: it goes on in the lane of the one before.
                        match thread + 1 == self.threads {
                            true => std::thread::scope(|scope| {
                                scope.spawn(|| self.burst(number, thread, &own));
                            }),
                            false => self.burst(number, thread, &own),
                        }
                    }
                });
            }
            loop {
                settings.set_all(&self.ledger, number);
                self.burst(number, 0, &own);
            }
        })
    }

    /// What a thread of a worker does between two rests.
    fn burst(&self, number: usize, thread: usize, own: &Counter) {
        let count = |what, operation: &dyn Fn()| {
            self.ledger.count_in(number, thread, what, operation);
        };
        for round in 0..BURST {
            count(What::Own, &|| own.inc());
            count(What::Shared, &|| self.shared.inc());
            count(What::Observation, &|| self.seconds.observe(OBSERVATION));
            let size = SIZES[(number + round) % SIZES.len()];
            count(What::Size, &|| self.sizes.observe(size));
        }
        // Many workers on few processors: those that are not about to die make room.
        if !self.ledger.is_hunted(number) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills one worker and bears another before the first is even reaped. With `early_ms` the
    /// youngest is killed within that many milliseconds of its birth, attached or not.
    fn kill_one(&mut self, early_ms: u64) -> Result<(), String> {
        let at = if early_ms == 0 {
            let at = self.random(self.living.len() as u64) as usize;
            let number = self.living[at].1;
            self.until_attached(at)?;
            self.ledger.hunt(number);
            // A random instant, so that the signal finds it at a random instruction.
            std::thread::sleep(Duration::from_micros(self.random(2000)));
            at
        } else {
            let pause = Duration::from_micros(self.random(early_ms * 1000));
            std::thread::sleep(pause);
            self.living.len() - 1
        };
        let (pid, _) = self.living.swap_remove(at);
        send_kill(pid)?;
        self.bear()?;
        expect_killed(pid)
    }

    /// Kills keeper and supervisor together, a worker before and a worker while nobody watches, and
    /// has somebody else serve the arena. The dead are replaced when there is somebody to ask.
    fn kill_keeper(&mut self, board: &mut Board) -> Result<(), String> {
        for at in 0..self.living.len() {
            self.until_attached(at)?;
        }
        self.kill_without_heir()?;
        board.kill()?;
        self.kill_without_heir()?;
        board.serve_again()?;
        self.bear()?;
        self.bear()
    }

    fn kill_without_heir(&mut self) -> Result<(), String> {
        let at = self.random(self.living.len() as u64) as usize;
        let (pid, _) = self.living.swap_remove(at);
        send_kill(pid)?;
        expect_killed(pid)
    }

    /// Waits until a living worker is attached; one that ended instead is an error.
    fn until_attached(&self, at: usize) -> Result<(), String> {
        let (pid, number) = self.living[at];
        let pid = Pid::from_raw(pid as i32);
        until(|| {
            if self.ledger.is_attached(number) {
                return Some(Ok(()));
            }
            match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => None,
                other => Some(Err(format!("expected an attached worker, found {other:?}"))),
            }
        })
    }

    fn end_all(&mut self) -> Result<(), String> {
        for (pid, _) in std::mem::take(&mut self.living) {
            send_kill(pid)?;
            expect_killed(pid)?;
        }
        Ok(())
    }

    /// Compares what was counted with what was intended and acknowledged.
    fn judge(&self, page: &Page, kills: u64) -> Result<Value, String> {
        let mut own_sum = 0;
        for label in 0..LABELS.min(self.born) {
            let name = label.to_string();
            let counted = page.value("torture_own_total", &[("worker", &name)]).unwrap_or(0.0);
            let workers = (label..self.born).step_by(LABELS);
            let bounds = workers.map(|worker| self.ledger.bounds(worker, What::Own));
            let (acknowledged, intended) = bounds.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
            within(&format!("worker {label}"), counted, acknowledged, intended)?;
            own_sum += counted as u64;
        }
        let shared = page.value("torture_shared_total", &[]).unwrap_or(0.0);
        let (acknowledged, intended) = self.ledger.sums(self.born, What::Shared);
        within("the shared series", shared, acknowledged, intended)?;
        // Each thread counts its own series first, and may die between the two.
        let most_amid = (self.born * self.threads) as u64;
        within("the shared series", shared, own_sum - most_amid, own_sum)?;
        let count = page.value("torture_seconds_count", &[]).unwrap_or(0.0);
        let (acknowledged, intended) = self.ledger.sums(self.born, What::Observation);
        within("the histogram's count", count, acknowledged, intended)?;
        let sum = page.value("torture_seconds_sum", &[]).unwrap_or(0.0) / OBSERVATION;
        within("the histogram's sum", sum, count as u64 - most_amid, count as u64)?;
        let sizes = page.value("torture_sizes_count", &[]).unwrap_or(0.0);
        let (acknowledged, intended) = self.ledger.sums(self.born, What::Size);
        within("the native histogram's count", sizes, acknowledged, intended)?;
        let settings = settings::judge(page, &self.ledger, self.born)?;
        let [scrapes, failures, decreases] = self.ledger.scrapes();
        let own = |name| page.sum(name);
        Ok(json!({
            "born": self.born, "kills": kills, "own": own_sum, "shared": shared,
            "observations": count, "sizes": sizes, "settings": settings, "scrapes": scrapes, "failures": failures,
            "decreases": decreases,
            "reclaims": own("tallyboard_reclaims_total"),
            "quarantines": own("tallyboard_quarantines_total"),
            "dropped": own("tallyboard_dropped_total"),
            "refused": own("tallyboard_attaches_refused_total"),
            "floors_applied": own("tallyboard_floors_applied_total"),
            "supervisor_starts": own("tallyboard_supervisor_starts_total"),
        }))
    }
}

fn within(what: &str, counted: f64, least: u64, most: u64) -> Result<(), String> {
    if (least as f64..=most as f64).contains(&counted) {
        return Ok(());
    }
    Err(format!("{what}: counted {counted}, expected from {least} to {most}"))
}

fn send_kill(pid: u32) -> Result<(), String> {
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).map_err(|error| error.to_string())
}

fn wait_for(pid: u32) -> Result<WaitStatus, String> {
    waitpid(Pid::from_raw(pid as i32), None).map_err(|error| error.to_string())
}

/// A worker that ended by itself was not attached.
fn expect_killed(pid: u32) -> Result<(), String> {
    match wait_for(pid)? {
        WaitStatus::Signaled(_, Signal::SIGKILL, _) => Ok(()),
        other => Err(format!("expected a worker that was killed, found {other:?}")),
    }
}

/// Scrapes without a pause until the ledger says stop, and looks for anything that went down.
fn watch(ledger: &Ledger, metrics: SocketAddr) -> i32 {
    let mut last = Page::default();
    while !ledger.is_stopped() {
        match scrape(metrics) {
            Ok(page) => {
                // The supervisor's own counters begin anew with each supervisor.
                let mut decreases = page.decreases_since(&last);
                // The sizes are negative too: their sum falls while one of these is the newest.
                let may_fall = |series: &str| series.starts_with("torture_sizes_sum ");
                decreases.retain(|series| series.starts_with("torture_") && !may_fall(series));
                decreases.iter().for_each(|series| eprintln!("{series}"));
                ledger.add_scrape(false, decreases.len() as u64);
                last = page;
            }
            Err(error) => {
                eprintln!("{error}");
                ledger.add_scrape(true, 0);
            }
        }
    }
    0
}
