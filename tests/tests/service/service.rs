//! Under a service manager: what it is told, what it keeps for the next keeper, and what it passes to
//! the command of `exec`.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::http::get;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::start::child::{HANG, Running, Watchdog, free_address, until};

const ACTIVATED: &str = env!("CARGO_BIN_EXE_activated");

/// A service manager as far as a service sees it.
struct Manager {
    directory: PathBuf,
    socket: UnixDatagram,
}

impl Manager {
    fn new(test: &str) -> Self {
        let name = format!("tallyboard-{test}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory is made");
        let socket = UnixDatagram::bind(directory.join("notify")).expect("a socket is made");
        Self { directory, socket }
    }

    /// Waits for the next message.
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("the service says something");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Waits for a message with this line.
    fn hear(&self, line: &str) {
        while !self.next().lines().any(|found| found == line) {}
    }

    /// All messages that were sent before this and not heard yet.
    fn said(&self) -> Vec<String> {
        let mark = "as far as this";
        let socket = UnixDatagram::unbound().expect("a socket is made");
        socket.send_to(mark.as_bytes(), self.directory.join("notify")).expect("it is heard");
        std::iter::from_fn(|| Some(self.next()).filter(|message| message != mark)).collect()
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
    let manager = Manager::new("service");
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

/// A `serve` that the service manager wants to hear of within a time.
struct Watched {
    serve: Running,
    control: Address,
    log: PathBuf,
}

impl Watched {
    /// Starts it. `pid` is the process that is to say that it works, in the words of a shell.
    fn start(manager: &Manager, pid: &str, within_us: u32) -> Self {
        let log = manager.directory.join("log");
        let address = format!("unix:{}", manager.directory.join("control").display());
        let script = format!(
            "WATCHDOG_PID={pid}; export WATCHDOG_PID; test \"$WATCHDOG_PID\" || unset WATCHDOG_PID; \
             exec \"$@\" 2>\"$0\""
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(&log).arg(tallyboard());
        command.args(["serve", "--name", "watched", "--backing", "memfd", "--control", &address]);
        command.args(["--web.listen-address", "127.0.0.1:0"]).env_remove("TALLYBOARD");
        command.env("NOTIFY_SOCKET", manager.directory.join("notify"));
        command.env("WATCHDOG_USEC", within_us.to_string());
        let serve = Running::start(&mut command);
        manager.hear("READY=1");
        Self { serve, control: address.parse().expect("an address"), log }
    }

    fn supervisor(&self) -> Pid {
        let described = ask::describe(&self.control, HANG).expect("the supervisor answers");
        Pid::from_raw(described.supervisor_pid as i32)
    }

    /// How often the keeper has found that its supervisor gives no sign of life.
    fn silences(&self) -> usize {
        let log = fs::read_to_string(&self.log).expect("there is a log");
        log.matches("gives no sign of life").count()
    }
}

#[test]
fn the_service_manager_hears_of_a_supervisor_that_answers_and_of_no_other() {
    let _watchdog = Watchdog::new("a watched service");
    for pid in ["", "$$"] {
        let manager = Manager::new("watched");
        let watched = Watched::start(&manager, pid, 100_000);
        manager.hear("WATCHDOG=1");
        manager.hear("WATCHDOG=1");

        // One that hangs is silent, however long; the keeper, which does not, says nothing for it.
        let supervisor = watched.supervisor();
        kill(supervisor, Signal::SIGSTOP).expect("the supervisor runs");
        let stat = format!("/proc/{supervisor}/stat");
        until(|| fs::read_to_string(&stat).ok()?.contains(") T ").then_some(()));
        // What it had answered before may be under way until the keeper finds an answer missing.
        let silences = watched.silences();
        until(|| (watched.silences() > silences).then_some(()));
        manager.said();
        until(|| (watched.silences() > silences + 4).then_some(()));
        assert_eq!(manager.said(), [""; 0]);
        kill(supervisor, Signal::SIGCONT).expect("the supervisor lives");
        manager.hear("WATCHDOG=1");

        // One that dies is replaced, which is as it should be.
        kill(supervisor, Signal::SIGKILL).expect("the supervisor lives");
        manager.hear("READY=1");
        manager.hear("WATCHDOG=1");
        manager.hear("WATCHDOG=1");
        assert_ne!(watched.supervisor(), supervisor);
        watched.serve.signal(Signal::SIGTERM);
        manager.hear("STOPPING=1");
        assert!(watched.serve.end().status.success());
    }
}

#[test]
fn a_process_that_is_not_to_say_that_it_works_does_not() {
    let _watchdog = Watchdog::new("an unwatched service");
    for (pid, within_us) in [("1", 2_000), ("$$", 0)] {
        let manager = Manager::new("unwatched");
        let watched = Watched::start(&manager, pid, within_us);
        // Long enough for hundreds of messages, were there any.
        let mut said = Vec::new();
        for _ in 0..200 {
            watched.supervisor();
            said.extend(manager.said());
        }
        watched.serve.signal(Signal::SIGTERM);
        assert!(watched.serve.end().status.success());
        said.extend(manager.said());
        assert!(said.iter().any(|message| message == "STOPPING=1\n"), "{said:?}");
        assert!(!said.iter().any(|message| message.contains("WATCHDOG")), "{said:?}");
    }
}

/// What the command of `exec` finds, started as `script` says, with the command line in `"$@"`; and
/// what it would find without `exec`.
fn found(script: &str) -> [Value; 2] {
    let program = tallyboard().to_str().expect("a path is text");
    let exec = [program, "exec", "--web.listen-address", "127.0.0.1:0", "--", ACTIVATED];
    [&exec[..], &[ACTIVATED]].map(|words| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(words).env_remove("TALLYBOARD");
        let ended = Running::start(&mut command).end();
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    })
}

#[test]
fn what_was_passed_for_somebody_else_stays_so() {
    let _watchdog = Watchdog::new("passed for somebody else");
    let [found, without] = found(
        "export LISTEN_PID=1 LISTEN_FDS=2 LISTEN_FDNAMES=a:b LISTEN_PIDFDID=5 WATCHDOG_PID=2 \
         WATCHDOG_USEC=3 NOTIFY_SOCKET=@x; exec \"$@\" 3</dev/null",
    );
    assert_eq!(without["variables"].as_object().map(serde_json::Map::len), Some(7), "{without}");
    assert_eq!(found["variables"], without["variables"]);
    assert_eq!(found["descriptors"], without["descriptors"]);
}

#[test]
fn what_was_passed_for_this_process_is_the_commands() {
    let _watchdog = Watchdog::new("passed for this process");
    let [found, without] = found(
        "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_PIDFDID=5 WATCHDOG_PID=$$ WATCHDOG_USEC=3; \
         exec \"$@\" 3</dev/null",
    );
    let pid = found["pid"].to_string();
    let (listener, watched) =
        (&found["variables"]["LISTEN_PID"], &found["variables"]["WATCHDOG_PID"]);
    assert_eq!((listener, watched), (&json!(pid), &json!(pid)));
    let inode = found["inode"].as_u64().filter(|&inode| inode != 0).map(|inode| inode.to_string());
    assert_eq!(found["variables"].get("LISTEN_PIDFDID"), inode.map(Value::from).as_ref());
    assert_eq!(found["descriptors"], without["descriptors"]);
}

#[test]
fn a_descriptor_that_was_promised_and_not_passed_is_none_of_the_programs_own() {
    let _watchdog = Watchdog::new("a promised descriptor");
    // The program's own take the numbers behind the first, so the command must not find them there,
    // and the program must not close them: it serves.
    let script = "export LISTEN_PID=$$ LISTEN_FDS=99; exec \"$@\" 3</dev/null";
    let [found, without] = found(script);
    assert_eq!(found["descriptors"], without["descriptors"]);
    let metrics = free_address();
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(tallyboard()).args(["exec", "--web.listen-address"]);
    command.arg(metrics.to_string()).args(["--", "sleep", "300"]).env_remove("TALLYBOARD");
    let exec = Running::start(&mut command);
    until(|| get(metrics, "/-/ready").ok().filter(|answer| answer.status == 200));
    exec.signal(Signal::SIGTERM);
    assert_eq!(exec.end().status.code(), Some(143));
}

/// Sends one line; gives the answer.
fn ask_line(address: SocketAddr, words: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    writeln!(stream, "{words}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

/// The sockets that a process has open.
fn sockets(pid: u32) -> Vec<PathBuf> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
    let targets = links.flatten().filter_map(|link| fs::read_link(link.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).collect()
}

#[test]
fn a_socket_that_was_passed_is_the_commands_and_nobody_keeps_it_open() {
    let _watchdog = Watchdog::new("a passed socket");
    let manager = Manager::new("activated");
    let (address, metrics) = (free_address(), free_address());
    let control = format!("unix:@tallyboard/test/activated-{}", std::process::id());
    let notify = format!("NOTIFY_SOCKET={}", manager.directory.join("notify").display());
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--listen", &address.to_string(), "--fdname", "web", "--setenv", &notify]);
    command.arg(tallyboard()).args(["exec", "--control", &control, "--web.listen-address"]);
    let mut exec = Running::start(command.arg(metrics.to_string()).args(["--", ACTIVATED]));
    // The first connection starts it, and waits in the socket meanwhile.
    let mut asks = until(|| TcpStream::connect(address).ok());
    let found: Value = serde_json::from_str(&exec.line(|_| true)).expect("what it finds");
    let (pid, variables) = (&found["pid"], &found["variables"]);
    assert_ne!(*pid, exec.pid());
    assert_eq!(variables["LISTEN_PID"], pid.to_string());
    assert_eq!(
        (&variables["LISTEN_FDS"], &variables["LISTEN_FDNAMES"]),
        (&json!("1"), &json!("web"))
    );
    assert_eq!(found["descriptors"], json!([0, 1, 2, 3]));

    // All is ready but the command, so nobody has said that the service is.
    until(|| get(metrics, "/-/ready").ok().filter(|answer| answer.status == 200));
    assert_eq!(manager.said(), [""; 0]);
    writeln!(asks, "count").expect("it is connected");
    manager.hear("READY=1");
    assert_eq!(ask_line(address, "count").expect("it serves"), "count");
    let counted = || {
        let page = get(metrics, "/metrics").expect("the supervisor answers").body;
        Page::parse(&page).expect("a page").sum("app_asked_total")
    };
    assert_eq!(counted(), 2.0);

    let passed = fs::read_link(format!("/proc/{pid}/fd/3")).expect("the command has the socket");
    let control: Address = control.parse().expect("an address");
    let supervisor = || ask::describe(&control, HANG).ok().map(|found| found.supervisor_pid);
    let keeps = |pid: u32| {
        let sockets = sockets(pid);
        assert!(!sockets.is_empty(), "process {pid} has none at all");
        sockets.contains(&passed)
    };
    let first = until(supervisor);
    assert!(!keeps(exec.pid() as u32) && !keeps(first));
    kill(Pid::from_raw(first as i32), Signal::SIGKILL).expect("the supervisor lives");
    let second = until(|| supervisor().filter(|&pid| pid != first));
    assert!(!keeps(second));
    assert_eq!(ask_line(address, "close").expect("it serves"), "close");
    assert!(TcpStream::connect(address).is_err(), "a socket that the command closed is closed");

    assert_eq!(counted(), 2.0);
    exec.signal(Signal::SIGTERM);
    assert_eq!(exec.end().status.code(), Some(143));
    assert_eq!(manager.said(), [""; 0], "only the command speaks");
}
