//! Who is refused, and what the one who is refused is told.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tallyboard_supervisor::ask;
use tallyboard_tests::build;
use tallyboard_tests::service::served::Served;
use tallyboard_tests::start::child::{Running, Watchdog};
use tallyboard_tests::start::copied::Copied;

const NOBODY: u32 = 65534;

#[test]
fn a_worker_of_another_user_is_refused_logged_and_counts_privately() {
    let _watchdog = Watchdog::new("a worker of another user");
    assert!(nix::unistd::geteuid().is_root(), "expected root, who may start a process as another");
    let served = Served::start("refusals-uid", &[]);
    let worker = Copied::new(Path::new(env!("CARGO_BIN_EXE_worker")));
    let mut command = Command::new(worker.path());
    command.args(["5", "end"]).uid(NOBODY).current_dir("/");
    let ended = Running::start(command.env("TALLYBOARD", served.control.to_string())).end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.ends_with(" private\n"), "{ended:?}");
    for part in ["found 65534", "--worker-uid 65534", "this process counts privately"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
    }
    let page = served.page();
    let refused = page.value("tallyboard_attaches_refused_total", &[("reason", "uid")]);
    assert!(refused >= Some(1.0), "{refused:?}");
    assert_eq!(page.sum("app_done_total"), 0.0);
    let ended = served.stop();
    assert!(ended.stderr.contains("refused a connection"), "{}", ended.stderr);
    assert!(ended.stderr.contains("uid=65534"), "{}", ended.stderr);
}

#[test]
fn a_name_that_somebody_else_has_is_not_taken_from_him() {
    let _watchdog = Watchdog::new("a name that somebody else has");
    assert!(nix::unistd::geteuid().is_root(), "expected root, who may give a file away");
    let name = format!("foreign-{}", std::process::id());
    let object = PathBuf::from(format!("/dev/shm/tallyboard-0-{name}"));
    // It gets its name when it is whole: whoever starts removes what is empty and ours.
    let draft = PathBuf::from(format!("/dev/shm/{name}"));
    std::fs::write(&draft, "his").expect("a /dev/shm");
    std::os::unix::fs::chown(&draft, Some(NOBODY), None).expect("root may");
    std::fs::rename(&draft, &object).expect("the same file system");
    for more in [&[][..], &["--discard-arena"]] {
        let mut command = Command::new(build::tallyboard());
        command.args(["serve", "--backing", "posix", "--name", &name]);
        command.args(["--web.listen-address", "127.0.0.1:0"]).args(more);
        let ended = Running::start(&mut command).end();
        assert!(!ended.status.success(), "{ended:?}");
        for part in ["belongs to uid 65534", "expected uid 0", "choose another --name"] {
            assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
        }
    }
    assert_eq!(std::fs::read_to_string(&object).ok().as_deref(), Some("his"));
    std::fs::remove_file(&object).expect("it is still there");
}

#[test]
fn a_name_that_a_supervisor_holds_is_refused_whatever_the_control_address() {
    let _watchdog = Watchdog::new("a name that is held");
    let served = Served::start("refusals-held", &["--backing", "posix"]);
    let described = ask::describe(&served.control, Duration::from_secs(10)).expect("it serves");
    for (control, part) in [
        (
            "unix:@tallyboard-another-address".to_owned(),
            format!("held by another supervisor, with pid {}", described.keeper_pid),
        ),
        (
            served.control.to_string(),
            format!("held by the supervisor with pid {}", described.keeper_pid),
        ),
    ] {
        let mut command = Command::new(build::tallyboard());
        command.args(["serve", "--backing", "posix", "--name", &described.name]);
        command.args(["--control", &control, "--web.listen-address", "127.0.0.1:0"]);
        let ended = Running::start(&mut command).end();
        assert!(!ended.status.success(), "{ended:?}");
        assert!(ended.stderr.contains(&part), "{part:?} is not in {}", ended.stderr);
    }
    assert!(served.stop().status.success());
}
