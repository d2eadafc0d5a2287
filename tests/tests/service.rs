//! Under a service manager: what it is told, and what it keeps for the next keeper.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::child::{HANG, Running, Watchdog, free_address, until};

/// A service manager as far as a service sees it.
struct Manager {
    directory: PathBuf,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let name = format!("tallyboard-service-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory is made");
        let socket = UnixDatagram::bind(directory.join("notify")).expect("a socket is made");
        Self { directory, socket }
    }

    /// Waits for a message with this line.
    fn hear(&self, line: &str) {
        let mut bytes = [0; 4096];
        loop {
            let length = self.socket.recv(&mut bytes).expect("the service says something");
            let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if said.lines().any(|found| found == line) {
                return;
            }
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// A path to the arena of the keeper `pid` that stays good: what a store of descriptors is.
fn stored(pid: u32) -> fs::File {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).expect("the keeper runs");
    let is_arena = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("memfd:tallyboard "))
    };
    let mut paths = links.flatten().map(|link| link.path()).filter(is_arena);
    let path = paths.next().expect("the keeper has the arena open");
    fs::OpenOptions::new().read(true).write(true).open(path).expect("the arena is opened")
}

#[test]
fn a_service_says_when_it_is_ready_and_goes_on_with_the_arena_that_was_kept() {
    let _watchdog = Watchdog::new("service");
    let manager = Manager::new();
    let address = format!("unix:@tallyboard/test/service-{}", std::process::id());
    let control: Address = address.parse().expect("an address");
    let metrics = free_address().to_string();
    let words = |command: &mut Command| {
        command.args(["serve", "--name", "service", "--backing", "memfd"]);
        command.args(["--control", &address, "--web.listen-address", &metrics]);
        command.env_remove("TALLYBOARD").env("NOTIFY_SOCKET", manager.directory.join("notify"));
    };
    let mut command = Command::new(tallyboard());
    words(&mut command);
    let first = Running::start(&mut command);
    manager.hear("FDSTORE=1");
    manager.hear("READY=1");
    let described = ask::describe(&control, HANG).expect("the supervisor answers");
    let arena = stored(described.keeper_pid);
    let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
    let mut worker = Running::start(worker.arg("1000").env("TALLYBOARD", &address));
    worker.line(|line| line.starts_with("worker "));
    for pid in [described.keeper_pid, described.supervisor_pid] {
        // The supervisor may have ended already, without its keeper.
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).ok();
    }
    drop(first.end());

    let script = format!(
        "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=tallyboard-arena; \
         exec \"$0\" \"$@\" 3<>/proc/{}/fd/{}",
        std::process::id(),
        arena.as_raw_fd()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(tallyboard());
    words(&mut command);
    let second = Running::start(&mut command);
    manager.hear("READY=1");
    let again = ask::describe(&control, HANG).expect("the supervisor answers");
    assert_eq!(again.arena_id, described.arena_id);
    let page = || {
        let page = ask::scrape(&control, &[], HANG).expect("the supervisor answers");
        String::from_utf8_lossy(&page).into_owned()
    };
    let counted =
        |page: &str| page.lines().any(|line| line == "app_done_total{by=\"worker\"} 1000");
    assert!(counted(&page()), "{}", page());
    drop(worker);
    until(|| page().contains("tallyboard_slots{state=\"live\"} 0").then_some(()));
    assert!(counted(&page()), "{}", page());
    second.signal(Signal::SIGTERM);
    manager.hear("STOPPING=1");
    manager.hear("FDSTOREREMOVE=1");
    assert!(second.end().status.success());
}
