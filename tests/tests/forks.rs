//! Forks of a process whose callbacks and collectors are asked at that moment: no child hangs, and each
//! has its own asked.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use tallyboard::sample::{FamilySamples, Sample, Type, Value};
use tallyboard::{Collector, Gauge, GaugeMode, Registry};
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::build;
use tallyboard_tests::child::{Running, Watchdog, until};

const CHILDREN: u64 = 300;

/// How often this process was asked.
static ASKED: AtomicU64 = AtomicU64::new(0);

struct Pool;

impl Collector for Pool {
    fn collect(&self) -> Vec<FamilySamples> {
        ASKED.fetch_add(1, Relaxed);
        let mut family = FamilySamples::new(Type::Gauge, "pool_connections", "Open connections.");
        for pool in 0..50 {
            let labels = vec![("pool".to_owned(), pool.to_string())];
            family.samples.push(Sample::new("", labels, Value::Whole(pool)));
        }
        vec![family]
    }
}

/// Forks, has the child run, and end with what it says.
fn in_child(child: impl FnOnce() -> i32) -> Pid {
    // SAFETY: the child uses nothing but what says that it holds over a fork, and ends.
    match unsafe { fork() }.expect("a child") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // One that hangs ends with who waits for it.
            let status = if set_pdeathsig(Signal::SIGKILL).is_ok() { child() } else { 1 };
            // SAFETY: ends the process without running anything else.
            unsafe { nix::libc::_exit(status) }
        }
    }
}

#[test]
fn children_that_are_forked_while_a_thread_asks_ask_by_themselves() {
    let _watchdog = Watchdog::new("children of a process that is asked");
    let name = format!("forks-{}", std::process::id());
    let address = Address::Abstract(format!("tallyboard/test/{name}")).to_string();
    let mut command = Command::new(build::tallyboard());
    command.args(["serve", "--backing", "memfd", "--name", &name, "--control", &address]);
    command.args(["--web.listen-address", "none"]).env_remove("TALLYBOARD");
    let _serving = Running::start(&mut command);
    let parsed = address.parse().expect("an address");
    until(|| ask::describe(&parsed, Duration::from_secs(10)).ok());
    let often = Duration::from_millis(1);
    let registry = Registry::builder().address(&address).refresh_interval(often).build();
    registry.register_collector(Pool).expect("nobody has the name");
    for at in 0..50 {
        let gauge = Gauge::builder(&format!("level_{at}"), "").mode(GaugeMode::LiveSum);
        let gauge = gauge.registry(registry).register().expect("a good gauge");
        gauge.set_function(|| ASKED.fetch_add(1, Relaxed) as f64);
    }
    let counted = Gauge::builder("counted", "").registry(registry).register().expect("a gauge");
    until(|| (ASKED.load(Relaxed) > 100).then_some(()));
    for _ in 0..CHILDREN {
        let child = in_child(|| {
            ASKED.store(0, Relaxed);
            counted.inc();
            while ASKED.load(Relaxed) < 60 {
                std::thread::yield_now();
            }
            i32::from(registry.attachment().is_none())
        });
        let ended = until(|| match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => None,
            ended => Some(ended),
        });
        assert_eq!(ended, Ok(WaitStatus::Exited(child, 0)));
    }
}
