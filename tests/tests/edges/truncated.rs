//! An arena whose object somebody cuts off: nobody may touch it any more, and everybody is told.

#![forbid(unsafe_code)]

use std::fs::File;
use std::net::SocketAddr;
use std::process::Command;

use nix::sys::signal::Signal;
use tallyboard_supervisor::ask;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::http::{Answer, get};
use tallyboard_tests::service::named::Named;
use tallyboard_tests::service::served::answering;
use tallyboard_tests::start::child::{HANG, Running, Watchdog, free_address, until};
use tallyboard_tests::start::program::{OWN_SHM, behind, program};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// Cuts off the object of an arena, as any process of its user can.
fn cut_off(named: &Named, bytes: u64) {
    let object = File::options().write(true).open(&named.object).expect("it has an object");
    object.set_len(bytes).expect("it can be cut off");
}

/// Asks for a page until there is a supervisor that answers with this status.
fn answered(listen: SocketAddr, path: &str, status: u16) -> Answer {
    // The one that touches what is cut off ends, and so do its connections.
    until(|| get(listen, path).ok().filter(|answer| answer.status == status))
}

#[test]
fn a_server_whose_object_is_cut_off_ends_with_an_error_and_can_be_started_again() {
    let _watchdog = Watchdog::new("a_server_whose_object_is_cut_off");
    for bytes in [0, 1 << 16] {
        let named = Named::new(&format!("cut-off-{bytes}"), WORKER);
        let (serve, described) = named.serve(&["--keep-arena"]);
        let mut worker = named.worker(&["3"]);
        assert!(worker.line(|_| true).contains("slot"));
        cut_off(&named, bytes);
        // Whether this asks one that still runs, one that tells, or nobody, is all the same.
        ask::scrape(&named.control, &[], HANG).ok();
        let ended = serve.end();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let said = ended.stderr.lines().last().expect("it says why").to_owned();
        for part in ["tallyboard: ", "cut off", "--backing memfd"] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert_eq!(named.inode(), None, "{}", ended.stderr);
        let (serve, anew) = named.serve(&[]);
        assert_ne!(anew.arena_id, described.arena_id);
        serve.signal(Signal::SIGTERM);
        assert!(serve.end().status.success());
        drop(worker);
    }
}

#[test]
fn an_object_that_was_cut_off_while_nobody_served_it_is_replaced() {
    let _watchdog = Watchdog::new("an_object_that_was_cut_off_while_nobody_served_it");
    // With a name `exec` is as `serve`, and ends by itself.
    let script = "t=\"$0 exec --name cut --backing posix --web.listen-address none\"; \
        $t --keep-arena -- true; truncate --size 65536 /dev/shm/tallyboard-*-cut; $t -- true; \
        ls /dev/shm";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(tallyboard());
    let ended = Running::start(&mut behind(OWN_SHM, &command)).end();
    let is_said = |line: &str| line.contains("level=warn") && line.contains("cut it off: 65536 of");
    assert!(ended.stderr.lines().any(is_said), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "{ended:?}");
}

#[test]
fn exec_follows_its_command_to_the_end_and_says_that_nothing_counts() {
    let _watchdog = Watchdog::new("exec_follows_its_command_to_the_end");
    let named = Named::new("cut-off-exec", WORKER);
    let (control, listen) = (named.control.to_string(), free_address());
    let mut command = program(&["exec", "--name", &named.name, "--control", &control]);
    command.args(["--backing", "posix", "--web.listen-address", &listen.to_string()]);
    command.args(["--", "sh", "-c", "echo $$; trap 'exit 7' TERM; while :; do sleep 0.1; done"]);
    let (exec, _) = answering(Running::start(&mut command), &named.control);
    assert_eq!(answered(listen, "/metrics", 200).status, 200);
    cut_off(&named, 0);
    for (path, status) in [("/metrics", 503), ("/-/ready", 503), ("/-/healthy", 200)] {
        let answer = answered(listen, path, status);
        assert_eq!(answer.body.contains("cut off its object"), status == 503, "{answer:?}");
    }
    for told in [
        ask::scrape(&named.control, &[], HANG).map(drop).expect_err("nothing is counted"),
        ask::describe(&named.control, HANG).map(drop).expect_err("nothing is counted"),
    ] {
        assert!(told.to_string().contains("cut off its object"), "{told}");
    }
    // Who begins now is refused at once, and counts for itself.
    let worker = named.worker(&["3", "end"]).end();
    assert!(worker.status.success() && worker.stdout.contains("private"), "{worker:?}");
    exec.signal(Signal::SIGTERM);
    let ended = exec.end();
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    let is_said = |line: &&str| line.contains("level=error") && line.contains("cut off its object");
    assert_eq!(ended.stderr.lines().filter(is_said).count(), 1, "{}", ended.stderr);
    assert_eq!(named.inode(), None);
}
