//! What is said when something is in the way: what happened, and what to do. Every case is brought
//! about for real.

#![forbid(unsafe_code)]

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use tallyboard_proto::control::{Attached, Description, MAX_MESSAGE_BYTES, Reply, encode};
use tallyboard_proto::layout::{Geometry, Layout};
use tallyboard_segment::memfd;
use tallyboard_segment::pass::{Address, Listener, Socket};
use tallyboard_supervisor::ask;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::start::child::{Ended, Running, Watchdog, until};
use tallyboard_tests::start::copied::Copied;
use tallyboard_tests::start::directory::Directory;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const HOSTILE: &str = env!("CARGO_BIN_EXE_hostile");
const LONG: Duration = Duration::from_secs(60);
/// A user that nobody is.
const APP: u32 = 64_101;

fn says(ended: &Ended, parts: &[&str], case: &str) {
    for part in parts {
        assert!(ended.stderr.contains(part), "{case}: {part:?} is not in {}", ended.stderr);
    }
}

/// Runs a worker; it counts privately, and says why.
fn worker_says(command: &mut Command, address: &str, parts: &[&str]) {
    command.args(["1", "end"]).env("TALLYBOARD", address).current_dir("/");
    let ended = Running::start(command).end();
    let case = format!("{command:?}");
    assert!(ended.status.success(), "nothing in an application fails: {case}: {ended:?}");
    assert!(ended.stdout.contains(" private"), "{case}: {ended:?}");
    says(&ended, parts, &case);
    says(&ended, &["this process counts privately"], &case);
    println!("{}", ended.stderr.trim_end());
}

/// A worker that waits for an answer however much the machine has to do.
fn worker() -> Command {
    let mut command = Command::new(WORKER);
    command.env("TALLYBOARD_ATTACH_TIMEOUT_MS", "60000");
    command
}

/// One that waits for none.
fn hasty() -> Command {
    let mut command = Command::new(WORKER);
    command.env("TALLYBOARD_ATTACH_TIMEOUT_MS", "60");
    command
}

fn name(test: &str) -> String {
    format!("unix:@tallyboard/test/messages-{test}-{}", std::process::id())
}

fn scrape(address: &str) -> Ended {
    let mut command = Command::new(tallyboard());
    command.args(["scrape", "--control", address]).env_remove("TALLYBOARD");
    Running::start(&mut command).end()
}

/// The same words when somebody asks with the program.
fn scrape_says(address: &str, parts: &[&str]) {
    let ended = scrape(address);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    says(&ended, parts, address);
}

#[test]
fn an_address_where_nobody_is_says_what_is_there() {
    let _watchdog = Watchdog::new("messages of addresses");
    let directory = Directory::new("messages");
    let at = |name: &str| format!("unix:{}", directory.file(name).display());
    drop(Listener::bind(&at("left").parse().expect("an address")).expect("a socket is made"));
    let _stream = UnixListener::bind(directory.file("stream")).expect("a socket is made");
    directory.write("file", "a text");
    let correct = "correct TALLYBOARD";
    for (address, parts) in [
        (name("nobody"), &["no supervisor listens on", "Connection refused", correct][..]),
        (at("none"), &["no supervisor listens on", "No such file", "start `tallyboard serve`"]),
        (at("no/folder"), &["in a folder that does not exist here", "mount its folder"]),
        (at("left"), &["left from somebody who did", "start `tallyboard serve`"]),
        (at("file"), &["left from somebody who did", correct]),
        (at("stream"), &["a socket of another kind", correct]),
    ] {
        worker_says(&mut worker(), &address, parts);
        scrape_says(&address, parts);
    }
    worker_says(
        &mut worker(),
        "tcp:127.0.0.1:1",
        &["unix:/absolute/path or unix:@name of at most 107 bytes", "found \"tcp:127.0.0.1:1\""],
    );
}

#[test]
fn a_socket_that_may_not_be_used_says_whose_it_is() {
    let _watchdog = Watchdog::new("messages of permissions");
    assert!(nix::unistd::geteuid().is_root(), "expected root, who may start a process as another");
    let directory = Directory::new("messages");
    let program = Copied::new(Path::new(WORKER));
    let worker = || {
        let mut command = Command::new(program.path());
        command.uid(APP).gid(APP);
        command
    };
    let path = directory.file("private");
    let address = format!("unix:{}", path.display());
    let mut serve = Command::new(tallyboard());
    serve.args(["serve", "--control", &address, "--web.listen-address", "127.0.0.1:0"]);
    serve.args(["--backing", "memfd"]).env_remove("TALLYBOARD");
    let serving = Running::start(&mut serve);
    let control: Address = address.parse().expect("an address");
    until(|| ask::describe(&control, LONG).ok());
    let let_in = "let this one in with --worker-uid 64101";
    let parts = &["uid 64101 may not use", "which belongs to uid 0 and has mode 600", let_in];
    worker_says(&mut worker(), &address, parts);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).expect("our own");
    let folder = format!("whose folder {} belongs to uid 0", directory.path().display());
    worker_says(&mut worker(), &address, &["uid 64101 may not use", &folder, "mode 700", let_in]);
    drop(serving);
}

/// Answers each question on `address` with `answer`, or with the end of the conversation, as long as
/// somebody asks.
fn answered(address: &str, answer: Option<(&[u8], Option<OwnedFd>)>, parts: &[&str]) {
    let parsed = address.parse().expect("an address");
    // A process that another test starts just now may have the last one open still.
    let listener = until(|| Listener::bind(&parsed).ok());
    let (done, is_done) = std::sync::mpsc::channel();
    let is_answered = answer.is_some();
    std::thread::scope(|scope| {
        let asked = scope.spawn(move || {
            while is_done.try_recv().is_err() {
                let Ok(socket) = listener.accept() else {
                    std::thread::yield_now();
                    continue;
                };
                let Some((bytes, descriptor)) = &answer else { continue };
                let _ = socket.receive_until(MAX_MESSAGE_BYTES, Instant::now() + LONG);
                let _ = socket.send(bytes, descriptor.as_ref().map(AsFd::as_fd));
            }
        });
        match is_answered {
            true => worker_says(&mut worker(), address, parts),
            // A worker would ask again and again.
            false => scrape_says(address, parts),
        }
        done.send(()).expect("it is heard");
        asked.join().expect("nothing panics");
    });
}

#[test]
fn an_answer_that_is_none_says_what_it_was() {
    let _watchdog = Watchdog::new("messages of answers");
    let address = name("answers");
    let geometry = Geometry::for_series(2, 64).expect("an arena");
    let words = Layout::new(geometry).arena_words();
    let arena = || {
        let arena = memfd::create(words).expect("memory");
        arena.object().expect("an object").try_clone_to_owned().expect("a descriptor")
    };
    let attached = |slot, prefix, geometry| {
        let (generation, arena_id, label_limit, unix_offset_ns) = (1, 7, 9, 1);
        encode(&Reply::Attached(Attached {
            slot,
            generation,
            arena_id,
            prefix,
            label_limit,
            unix_offset_ns,
            geometry,
        }))
    };
    let described = encode(&Reply::Described(Description {
        name: "a".into(),
        backing: "memfd".into(),
        arena_id: 1,
        keeper_pid: 2,
        supervisor_pid: 3,
        slots: 4,
        taken: 0,
        series: 0,
        metrics: Vec::new(),
    }));
    let geometry = geometry.to_words();
    let release = "use the same release";
    answered(
        &address,
        None,
        &["ended the conversation before it answered", "stopped or replaced", "see its log"],
    );
    for (answer, descriptor, parts) in [
        (b"nothing".to_vec(), None, &["expected control protocol 3, found", release][..]),
        (vec![3, 0, 0, 0, 99, 0, 0, 0], None, &["expected a control message", "that are none"]),
        (vec![9, 0, 0, 0], None, &["expected control protocol 3, found 9", release]),
        (vec![0; MAX_MESSAGE_BYTES + 1], None, &["expected a packet of at most 65536", release]),
        (described, None, &["expected a slot and its descriptor", "found a description", release]),
        (attached(0, 0, geometry), None, &["expected a slot and its descriptor", "without one"]),
        (attached(7, 0, geometry), Some(arena()), &["cannot be: slot", "found 7", release]),
        (attached(0, 1 << 40, geometry), Some(arena()), &["cannot be: prefix", release]),
        (attached(0, 0, [0; 7]), Some(arena()), &["an arena that cannot be: slots", release]),
        (attached(0, 64, geometry), Some(arena()), &["the catalog of the arena", release]),
    ] {
        answered(&address, Some((&answer, descriptor)), parts);
    }
}

#[test]
fn a_question_that_is_too_long_says_how_long_it_may_be() {
    let _watchdog = Watchdog::new("messages of questions");
    let address = name("questions");
    let mut serve = Command::new(tallyboard());
    serve.args(["serve", "--control", &address, "--web.listen-address", "127.0.0.1:0"]);
    let _serving = Running::start(serve.args(["--backing", "memfd"]).env_remove("TALLYBOARD"));
    let control: Address = address.parse().expect("an address");
    until(|| ask::describe(&control, LONG).ok());
    let names: Vec<String> = (0..5_000).map(|at| format!("a_metric_of_this_name_{at}")).collect();
    let error = ask::scrape(&control, &names, LONG).expect_err("it is too long").to_string();
    for part in ["a question of", "expected at most 65536", "name fewer metrics"] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    // One that is sent nevertheless is answered with what was expected.
    let socket = Socket::connect(&control, Instant::now() + LONG).expect("it listens");
    socket.send(&vec![2; MAX_MESSAGE_BYTES + 1], None).expect("it is sent");
    let answer = socket.receive_until(MAX_MESSAGE_BYTES, Instant::now() + LONG).expect("an answer");
    let answer = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert!(answer.contains("expected a packet of at most 65536 bytes"), "{answer}");
}

#[test]
fn a_supervisor_that_is_silent_or_busy_says_for_how_long() {
    let _watchdog = Watchdog::new("messages of silence");
    let address = name("silent");
    let silent = Listener::bind(&address.parse().expect("an address")).expect("a name");
    let parts = &["did not answer in 60 ms", "or raise TALLYBOARD_ATTACH_TIMEOUT_MS"];
    worker_says(&mut hasty(), &address, parts);
    drop(silent);
    // One that lets a single connection wait, and one that waits.
    let address = name("busy");
    let to = UnixAddr::new_abstract(&address.as_bytes()[6..]).expect("a name");
    let new = || {
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket")
    };
    let (busy, waiting) = (new(), new());
    bind(busy.as_raw_fd(), &to).expect("a name");
    listen(&busy, Backlog::new(0).expect("a number")).expect("it listens");
    connect(waiting.as_raw_fd(), &to).expect("there is room for one");
    worker_says(&mut hasty(), &address, &["takes no conversation", "overloaded"]);
}

#[test]
fn who_has_no_descriptor_or_memory_left_says_who_and_what_the_limit_is() {
    let _watchdog = Watchdog::new("messages of limits");
    let address = name("limits");
    let control: Address = address.parse().expect("an address");
    let mut serve = Command::new(tallyboard());
    serve.args(["serve", "--control", &address, "--web.listen-address", "127.0.0.1:0"]);
    serve.args(["--backing", "memfd", "--slots", "4", "--max-series", "4000000"]);
    let mut serving = Running::start(serve.env_remove("TALLYBOARD"));
    let described = until(|| {
        assert!(serving.is_running(), "expected a supervisor on {address}");
        ask::describe(&control, LONG).ok()
    });
    // A client that may open no socket, and one that may open nothing beside it.
    for more in ["0", "1"] {
        let mut command = Command::new(HOSTILE);
        let ended = Running::start(command.args(["short", &address, more])).end();
        says(&ended, &["has as many files open as it may", "raise its limit", "ulimit -n"], more);
        println!("{}", ended.stderr.trim_end());
    }
    let mut limited = Command::new("prlimit");
    limited.args(["--as=300000000", "--", WORKER]);
    worker_says(&mut limited, &address, &["no memory for the slot", "ulimit -v"]);
    // A supervisor that may accept, and open nothing beside it.
    let pid = described.supervisor_pid;
    let limit = |files: u32| {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &pid.to_string(), &format!("--nofile={files}:")]);
        assert!(command.status().expect("prlimit runs").success());
    };
    let is_free = |number: &u32| !Path::new(&format!("/proc/{pid}/fd/{number}")).exists();
    // What it closes meanwhile it may open again, and is short of nothing then.
    let short = |ask: &dyn Fn() -> Ended, is_short: &dyn Fn(&Ended) -> bool| {
        until(|| {
            limit((0..).filter(is_free).nth(1).expect("a number"));
            Some(ask()).filter(is_short)
        })
    };
    let counts = || {
        Running::start(worker().args(["1", "end"]).env("TALLYBOARD", &address).current_dir("/"))
            .end()
    };
    let ended = short(&counts, &|ended| !ended.stdout.contains(" slot "));
    let process = format!("process {pid} has");
    let parts = ["the supervisor cannot name who is asking", "LimitNOFILE=", &process];
    says(&ended, &[&parts[..], &["this process counts privately"]].concat(), "a worker");
    let ended = short(&|| scrape(&address), &|ended| !ended.status.success());
    says(&ended, &["the supervisor cannot answer: process", "LimitNOFILE="], "a scrape");
    limit(1024);
    ask::scrape(&control, &[], LONG).expect("it goes on");
    drop(serving);
}

/// How `exec` ends that cannot start its supervisor.
fn exec_says(command: &mut Command, more: &[&str], parts: &[&str]) {
    command.arg(tallyboard()).args(["exec", "--web.listen-address", "127.0.0.1:0"]).args(more);
    let ended = Running::start(command.args(["--", "true"]).env_remove("TALLYBOARD")).end();
    let case = format!("{command:?}");
    assert_eq!(ended.status.code(), Some(125), "{case}: {ended:?}");
    says(&ended, parts, &case);
    println!("{}", ended.stderr.lines().last().unwrap_or_default());
}

/// Runs what follows where a system call says this error.
fn where_call_says(call: &str, error: &str) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:error={error}"), "--"]);
    command
}

#[test]
fn a_supervisor_that_cannot_start_says_what_is_missing() {
    let _watchdog = Watchdog::new("messages of starts");
    let memfd = &["--backing", "memfd"];
    for error in ["ENOSYS", "EPERM"] {
        let parts = &["may not make memory without a name", "allow memfd_create"];
        exec_says(&mut where_call_says("memfd_create", error), memfd, parts);
    }
    let mut command = where_call_says("ftruncate", "ENOMEM");
    exec_says(&mut command, memfd, &["no memory", "raise the memory limit"]);
    // A socket that cannot be made, and a port that cannot be had.
    let directory = Directory::new("messages");
    let missing = format!("unix:{}", directory.file("none/a.sock").display());
    let mut command = Command::new("env");
    exec_says(&mut command, &["--control", &missing], &["there is no folder", "RuntimeDirectory="]);
    let program = Copied::new(tallyboard());
    for (more, parts) in [
        (
            ["--control=unix:/run/a.sock", "--web.listen-address=127.0.0.1:0"],
            &["uid 64101 may not make a file in the folder /run", "belongs to uid 0"][..],
        ),
        (
            ["--control=unix:@tallyboard-messages", "--web.listen-address=127.0.0.1:81"],
            &["ports below 1024", "--web.listen-address"],
        ),
    ] {
        let mut command = Command::new(program.path());
        command.args(["serve", "--backing", "memfd"]).args(more).env_remove("TALLYBOARD");
        let ended = Running::start(command.uid(APP).gid(APP).current_dir("/")).end();
        assert!(!ended.status.success(), "{ended:?}");
        says(&ended, parts, &format!("{command:?}"));
        println!("{}", ended.stderr.trim_end());
    }
    // Without /proc nobody knows how many threads this process has.
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"]);
    exec_says(&mut command, memfd, &["/proc/self/task does not say", "mount /proc"]);
    let mut command = where_call_says("clone,clone3,fork,vfork", "EAGAIN");
    exec_says(&mut command, memfd, &["cannot fork", "ulimit -u"]);
}

#[test]
fn a_page_that_needs_memory_without_a_name_says_when_there_is_none() {
    let _watchdog = Watchdog::new("messages of bodies");
    let address = name("bodies");
    let control: Address = address.parse().expect("an address");
    let mut serve = where_call_says("memfd_create", "EPERM");
    serve.arg(tallyboard()).args(["serve", "--control", &address, "--backing", "posix"]);
    serve.args(["--name", &format!("bodies-{}", std::process::id())]);
    serve.args(["--web.listen-address", "127.0.0.1:0"]).env_remove("TALLYBOARD");
    let serving = Running::start(&mut serve);
    let described = until(|| ask::describe(&control, LONG).ok());
    scrape_says(&address, &["the supervisor cannot answer", "allow memfd_create"]);
    let keeper = nix::unistd::Pid::from_raw(described.keeper_pid as i32);
    nix::sys::signal::kill(keeper, nix::sys::signal::Signal::SIGTERM).expect("it runs");
    assert!(serving.end().status.success());
}
