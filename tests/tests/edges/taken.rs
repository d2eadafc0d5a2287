//! Names that somebody has already: socket files, lock files and objects. What is not ours is left
//! alone, and what is ours is in nobody's way, whatever its owner died at.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, geteuid};
use tallyboard_segment::pass::{Address, Listener};
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::service::named::{Named, leave_behind};
use tallyboard_tests::service::served::answering;
use tallyboard_tests::start::child::{Ended, HANG, Running, Watchdog};
use tallyboard_tests::start::directory::Directory;
use tallyboard_tests::start::long::times;
use tallyboard_tests::start::program::{OWN_SHM, behind, program};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// Numbers that are the same for the same seed, which a test prints.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = u64::from(std::process::id()) | 1;
        println!("seed {seed}");
        Self(seed)
    }

    /// A moment below `most`, so that a signal finds a program at any instruction.
    fn moment(&mut self, most: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_nanos(self.0 % most.as_nanos() as u64)
    }
}

/// A `tallyboard serve` with a socket file, in anonymous memory.
fn at(socket: &Path) -> Command {
    let name = format!("taken-{}", std::process::id());
    let control = format!("unix:{}", socket.display());
    let words = ["serve", "--name", &name, "--backing", "memfd", "--control", &control];
    program(&[&words[..], &["--web.listen-address", "127.0.0.1:0"]].concat())
}

fn address(socket: &Path) -> Address {
    Address::Path(socket.to_owned())
}

/// What is in a directory: names, inodes, and what files say.
fn contents(directory: &Directory) -> Vec<(PathBuf, u64, Option<String>)> {
    let entries = fs::read_dir(directory.path()).expect("a directory");
    let mut found: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            let text = metadata.is_file().then(|| fs::read_to_string(&path).unwrap_or_default());
            (path, metadata.ino(), text)
        })
        .collect();
    found.sort();
    found
}

/// A socket file that nobody listens on.
fn dead(path: &Path) {
    drop(UnixListener::bind(path).expect("a socket is made"));
}

/// Puts something at a path in a directory; what must be kept meanwhile is given back.
type Put = fn(&Directory, &Path) -> Option<Box<dyn std::any::Any>>;

/// What may be at a control path, or beside it, and is not ours; and what is said of it.
const FOREIGN: &[(&str, Put, &str)] = &[
    (
        "file",
        |_, path| {
            fs::write(path, "mine").unwrap();
            None
        },
        "found a file",
    ),
    (
        "directory",
        |_, path| {
            fs::create_dir(path).unwrap();
            None
        },
        "found a directory",
    ),
    (
        "link to a file",
        |directory, path| {
            symlink(directory.write("other", "mine"), path).unwrap();
            None
        },
        "found a link",
    ),
    (
        "link to a socket",
        |directory, path| {
            dead(&directory.file("other"));
            symlink(directory.file("other"), path).unwrap();
            None
        },
        "found a link",
    ),
    (
        "living socket of a stream",
        |_, path| Some(Box::new(UnixListener::bind(path).unwrap())),
        "found a socket",
    ),
    (
        "living socket of packets",
        |_, path| Some(Box::new(Listener::bind(&address(path)).unwrap())),
        "listens on",
    ),
    (
        "dead socket of who knows whom",
        |_, path| {
            dead(path);
            None
        },
        "does not show",
    ),
    (
        "dead socket that the lock does not name",
        |directory, path| {
            dead(path);
            directory.write("a.lock", "socket 1:1\n");
            None
        },
        "does not show",
    ),
    (
        "dead socket beside a file that is no lock",
        |directory, path| {
            dead(path);
            directory.write("a.lock", "mine");
            None
        },
        "not a lock of ours",
    ),
    (
        "nothing beside a file that is no lock",
        |directory, _| {
            directory.write("a.lock", "mine");
            None
        },
        "not a lock of ours",
    ),
];

#[test]
fn what_is_at_a_control_path_and_not_ours_is_left_alone() {
    let _watchdog = Watchdog::new("what_is_at_a_control_path_and_not_ours_is_left_alone");
    for &(what, put, expect) in FOREIGN {
        let directory = Directory::new("control");
        let socket = directory.file("a.sock");
        let living = put(&directory, &socket);
        let before = contents(&directory);
        let ended = Running::start(&mut at(&socket)).end();
        assert_eq!(ended.status.code(), Some(1), "{what}: {ended:?}");
        for part in [expect, "choose another --control"] {
            assert!(ended.stderr.contains(part), "{what}: {part:?} is not in {}", ended.stderr);
        }
        assert_eq!(contents(&directory), before, "{what}");
        drop(living);
    }
}

#[test]
fn a_dead_socket_of_ours_is_replaced() {
    let _watchdog = Watchdog::new("a_dead_socket_of_ours_is_replaced");
    let directory = Directory::new("dead");
    let socket = directory.file("a.sock");
    // One of 0.1, whose lock file is empty.
    dead(&socket);
    directory.write("a.lock", "");
    for _ in 0..3 {
        let (serve, described) = answering(Running::start(&mut at(&socket)), &address(&socket));
        leave_behind(serve, &described);
        assert!(socket.exists());
    }
    // What those leave who are killed while they remove one; of it, what is alive or somebody's stays.
    dead(&directory.file("a.sock.0123456789abcdef"));
    directory.write("a.lock.0123456789abcdef", "socket 1:1\n");
    let living = UnixListener::bind(directory.file("a.sock.00000000000000aa")).expect("a socket");
    directory.write("a.lock.00000000000000aa", "mine");
    let (serve, _) = answering(Running::start(&mut at(&socket)), &address(&socket));
    serve.signal(Signal::SIGTERM);
    assert!(serve.end().status.success());
    let left: Vec<_> = contents(&directory).into_iter().map(|(path, ..)| path).collect();
    assert_eq!(
        left,
        ["a.lock.00000000000000aa", "a.sock.00000000000000aa"].map(|n| directory.file(n))
    );
    drop(living);
}

#[test]
fn at_the_end_only_the_socket_that_was_made_is_removed() {
    let _watchdog = Watchdog::new("at_the_end_only_the_socket_that_was_made_is_removed");
    let directory = Directory::new("end");
    let socket = directory.file("a.sock");
    let (serve, _) = answering(Running::start(&mut at(&socket)), &address(&socket));
    fs::remove_file(&socket).expect("it is there");
    directory.write("a.sock", "mine");
    serve.signal(Signal::SIGTERM);
    let ended = serve.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("it is left alone"), "{}", ended.stderr);
    let left = contents(&directory);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read_to_string(&socket).expect("a file"), "mine");
}

#[test]
fn a_server_that_is_killed_at_its_start_can_be_started_again() {
    let kills = times(60, 1000);
    let _watchdog = Watchdog::with_limit("killed at its start", HANG * kills.div_ceil(60));
    let directory = Directory::new("start");
    let socket = directory.file("a.sock");
    let named = Named::new("killed-at-its-start", WORKER);
    let control = format!("unix:{}", socket.display());
    let mut random = Random::new();
    for _ in 0..kills {
        let mut command = named.command(&["--control", &control]);
        let mut serve = Running::start(command.process_group(0));
        // A random instant of its first ones, so that the signal finds it at a random instruction.
        std::thread::sleep(random.moment(Duration::from_millis(10)));
        killpg(Pid::from_raw(serve.pid()), Signal::SIGKILL).expect("its group is there");
        assert!(!serve.is_running() || serve.end().status.code().is_none());
        let mut command = named.command(&["--control", &control]);
        let (serve, _) = answering(Running::start(command.process_group(0)), &address(&socket));
        killpg(Pid::from_raw(serve.pid()), Signal::SIGKILL).expect("its group is there");
        drop(serve.end());
    }
    let mut command = named.command(&["--control", &control]);
    let (serve, _) = answering(Running::start(&mut command), &address(&socket));
    serve.signal(Signal::SIGTERM);
    assert!(serve.end().status.success());
    assert_eq!((named.inode(), contents(&directory)), (None, vec![]));
}

#[test]
fn an_object_that_was_never_made_whole_is_replaced() {
    let _watchdog = Watchdog::new("an_object_that_was_never_made_whole_is_replaced");
    let directory = Directory::new("never-whole");
    // With a name it is as `serve`, and it ends by itself.
    let script = "cp $1 /dev/shm/tallyboard-$(id -u)-whole; $0 exec --name whole --backing posix \
        --web.listen-address none -- ls /dev/shm; ls /dev/shm";
    for (at, (bytes, why)) in [
        (vec![], "it is empty"),
        (vec![0; 1 << 20], "it was never made whole"),
        (b"TALLYBRD".to_vec(), "its 8 bytes are no arena"),
        (b"something else".repeat(100), "its 1400 bytes are no arena"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = directory.file(&at.to_string());
        fs::write(&file, bytes).expect("a file");
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(tallyboard()).arg(file);
        // Whoever starts something removes it too.
        let ended = Running::start(&mut behind(OWN_SHM, &command)).end();
        assert_eq!(ended.stdout, format!("tallyboard-{}-whole\n", geteuid()), "{ended:?}");
        let is_said = |line: &str| line.contains("level=warn") && line.contains(why);
        assert!(ended.stderr.lines().any(is_said), "{why:?} is not in {}", ended.stderr);
    }
    // What is no object is somebody's, whatever its name.
    let named = Named::new("never-whole", WORKER);
    fs::create_dir(&named.object).expect("a /dev/shm");
    let ended = Running::start(&mut named.command(&["--discard-arena"])).end();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("is a directory, expected an object"), "{}", ended.stderr);
    fs::remove_dir(&named.object).expect("it is still there");
}

#[test]
fn a_limit_of_file_sizes_is_an_error_that_says_so() {
    let _watchdog = Watchdog::new("a_limit_of_file_sizes_is_an_error_that_says_so");
    let limited = |words: &[&str]| -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 1000; exec \"$@\"", "sh"]).arg(tallyboard());
        command.args(words).env_remove("TALLYBOARD");
        Running::start(&mut command).end()
    };
    let control = format!("unix:@tallyboard/test/limit-{}", std::process::id());
    let listen = "--web.listen-address=127.0.0.1:0";
    let name = format!("limit-{}", std::process::id());
    for (words, status) in [
        (&["serve", "--name", &name, "--backing", "posix", "--control", &control, listen][..], 1),
        (&["serve", "--name", &name, "--backing", "memfd", "--control", &control, listen], 1),
        (&["exec", "--backing", "auto", listen, "--", "true"], 125),
        (&["exec", "--backing", "posix", listen, "--", "true"], 125),
    ] {
        let ended = limited(words);
        assert_eq!(ended.status.code(), Some(status), "{words:?}: {ended:?}");
        for part in ["ulimit -f", "--max-series"] {
            assert!(ended.stderr.contains(part), "{words:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_server_that_lost_its_name_leaves_that_of_the_next_one() {
    let _watchdog = Watchdog::new("a_server_that_lost_its_name_leaves_that_of_the_next_one");
    let named = Named::new("lost", WORKER);
    let (first, _) = named.serve(&[]);
    fs::remove_file(&named.object).expect("it has an object");
    let other = Address::Abstract(format!("tallyboard/test/lost-2-{}", std::process::id()));
    let elsewhere = other.to_string();
    let more = ["--control", &elsewhere, "--web.listen-address", "127.0.0.1:0"];
    let (second, _) = answering(Running::start(&mut named.command(&more)), &other);
    let object = named.inode().expect("there is another object");
    first.signal(Signal::SIGTERM);
    let ended = first.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("is left alone"), "{}", ended.stderr);
    assert_eq!(named.inode(), Some(object));
    second.signal(Signal::SIGTERM);
    assert!(second.end().status.success());
    assert_eq!(named.inode(), None);
}

#[test]
fn a_server_ends_as_it_should_on_each_signal_that_means_so() {
    let _watchdog = Watchdog::new("a_server_ends_as_it_should_on_each_signal_that_means_so");
    let named = Named::new("signals", WORKER);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let (serve, _) = named.serve(&[]);
        serve.signal(signal);
        assert!(serve.end().status.success(), "{signal}");
        assert_eq!(named.inode(), None, "{signal}");
    }
}

#[test]
fn a_signal_at_any_moment_leaves_nothing_behind() {
    let _watchdog = Watchdog::new("a_signal_at_any_moment_leaves_nothing_behind");
    let mut random = Random::new();
    let (mut early, mut late) = (0, 0);
    for round in 0..times(100, 1000) {
        let directory = Directory::new("signal");
        let name = format!("signal-{}-{round}", std::process::id());
        let control = format!("unix:{}", directory.file("a.sock").display());
        let words = ["exec", "--name", &name, "--backing", "posix", "--control", &control];
        let more = ["--web.listen-address=127.0.0.1:0", "--", "sleep", "300"];
        let exec = Running::start(&mut program(&[&words[..], &more].concat()));
        std::thread::sleep(random.moment(Duration::from_millis(15)));
        exec.signal(Signal::SIGTERM);
        let ended = exec.end();
        match ended.status.code() {
            // The command was told, and ended by it.
            Some(143) => late += 1,
            // The program was, before it made anything.
            None => early += 1,
            other => panic!("{other:?}: {ended:?}"),
        }
        assert_eq!(contents(&directory), []);
        let object = format!("/dev/shm/tallyboard-{}-{name}", geteuid());
        assert!(!Path::new(&object).exists(), "{ended:?}");
    }
    println!("{early} before anything was made, {late} after");
}

#[test]
fn an_arena_of_one_run_has_no_name_that_a_kill_could_leave() {
    let _watchdog = Watchdog::new("an_arena_of_one_run_has_no_name_that_a_kill_could_leave");
    for backing in ["auto", "memfd", "posix"] {
        let words = ["exec", "--backing", backing, "--web.listen-address=127.0.0.1:0", "--"];
        let script = ["sh", "-c", "echo $TALLYBOARD; echo $$; exec sleep 300"];
        let mut command = program(&[&words[..], &script].concat());
        let mut exec = Running::start(command.process_group(0));
        let control: Address = exec.line(|_| true).parse().expect("an address");
        let command: i32 = exec.line(|_| true).parse().expect("a pid");
        let (exec, described) = answering(exec, &control);
        let expect = if backing == "posix" { "posix" } else { "memfd" };
        assert_eq!(described.backing, expect);
        let is_named =
            |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains(&described.name);
        let named =
            || fs::read_dir("/dev/shm").expect("a /dev/shm").flatten().any(|e| is_named(&e));
        assert!(!named(), "{described:?}");
        killpg(Pid::from_raw(exec.pid()), Signal::SIGKILL).expect("its group is there");
        kill(Pid::from_raw(command), Signal::SIGKILL).expect("the command lives");
        drop(exec.end());
        assert!(!named(), "{described:?}");
    }
}

#[test]
fn the_next_start_removes_dead_arenas_that_nobody_can_go_on_with() {
    let _watchdog = Watchdog::new("the_next_start_removes_dead_arenas");
    // What 0.1 leaves of a killed exec is an arena like any other; its name alone tells.
    let script = "t=\"$0 serve --web.listen-address 127.0.0.1:0 --backing posix\"; u=$(id -u); \
        for name in shop exec-1; do \
            $t --name $name --control unix:@tallyboard/$u/$$-$name 2>/dev/null & pid=$!; \
            until $0 scrape --control unix:@tallyboard/$u/$$-$name >/dev/null 2>&1; do :; done; \
            kill -9 $pid; wait $pid || true; \
        done; \
        while $0 prune --dry-run | grep -q 'has it'; do :; done; \
        : >/dev/shm/tallyboard-$u.0123456789abcdef; \
        : >/dev/shm/tallyboard-$u-empty; \
        echo mine >/dev/shm/tallyboard-$u-notes; \
        echo others >/dev/shm/tallyboard-1$u-exec-2; \
        exec $0 exec --web.listen-address 127.0.0.1:0 -- ls /dev/shm";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(tallyboard());
    let ended = Running::start(&mut behind(OWN_SHM, &command)).end();
    assert!(ended.status.success(), "{ended:?}");
    let uid = geteuid();
    let left: Vec<&str> = ended.stdout.lines().collect();
    let expect = ["0-notes", "0-shop", "10-exec-2"]
        .map(|name| format!("tallyboard-{}", name.replacen('0', &uid.to_string(), 1)));
    assert_eq!(left, expect, "{}", ended.stderr);
    for part in ["-exec-1 ", "-empty ", "0123456789abcdef ", "made up for one run"] {
        let is_said = |line: &str| line.contains("removed a dead arena") && line.contains(part);
        assert!(ended.stderr.lines().any(is_said), "{part:?} is not in {}", ended.stderr);
    }
}

#[test]
fn what_an_arena_that_is_gone_on_with_keeps_is_said() {
    let _watchdog = Watchdog::new("what_an_arena_that_is_gone_on_with_keeps_is_said");
    let named = Named::new("sizes", WORKER);
    let (first, described) = named.serve(&["--slots", "8", "--max-series", "1000"]);
    leave_behind(first, &described);
    let (second, again) = named.serve(&["--slots", "9", "--max-series", "2000"]);
    assert_eq!((again.arena_id, again.slots), (described.arena_id, 8));
    kill(Pid::from_raw(again.keeper_pid as i32), Signal::SIGKILL).expect("it runs");
    let ended = second.end();
    for parts in [["room for 8 slots", "--slots is 9"], ["1000 max-series", "--max-series is 2000"]]
    {
        let is_said = |line: &str| {
            line.contains("level=warn")
                && parts.iter().all(|part| line.contains(part))
                && line.contains("--discard-arena")
        };
        assert!(ended.stderr.lines().any(is_said), "{parts:?} is not in {}", ended.stderr);
    }
    // Another backing is another arena, and the old one waits.
    let (third, anew) = named.serve(&["--backing", "memfd"]);
    assert_ne!(anew.arena_id, described.arena_id);
    third.signal(Signal::SIGTERM);
    let ended = third.end();
    for part in ["--backing posix", "memfd (configured)", "--discard-arena removes it"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
    }
    assert!(named.inode().is_some());
    let (fourth, _) = named.serve(&["--backing", "memfd", "--discard-arena"]);
    assert_eq!(named.inode(), None);
    fourth.signal(Signal::SIGTERM);
    let ended = fourth.end();
    assert!(!ended.stderr.contains("level=warn"), "{}", ended.stderr);
}

#[test]
fn prune_removes_what_is_dead_or_named_and_says_what_stays() {
    let _watchdog = Watchdog::new("prune_removes_what_is_dead_or_named");
    let script = "u=$(id -u); c=unix:@tallyboard/$u/$$; \
        $0 serve --name good --control $c --backing posix --web.listen-address none 2>/dev/null & \
        until $0 scrape --control $c >/dev/null 2>&1; do :; done; \
        $0 prune good; echo $?; \
        kill -9 $!; wait $! || true; while $0 prune --dry-run | grep -q 'has it'; do :; done; \
        : >/dev/shm/tallyboard-$u-dead; \
        for words in '--dry-run good' '' good good; do \
            $0 prune $words; echo $?; ls /dev/shm; \
        done";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(tallyboard());
    let ended = Running::start(&mut behind(OWN_SHM, &command)).end();
    let (good, dead) =
        (format!("tallyboard-{}-good", geteuid()), format!("tallyboard-{}-dead", geteuid()));
    let mut lines = ended.stdout.lines().filter(|line| !line.starts_with("OBJECT"));
    let mut next = |object: &str, part: &str| {
        let line = lines.next().unwrap_or_else(|| panic!("{object}: {part}: {ended:?}"));
        assert!(line.starts_with(object) && line.contains(part), "{part:?} is not in {line}");
    };
    for (object, part) in [
        (&*good, "kept: the supervisor with pid"),
        ("1", ""),
        (&*dead, "would be removed: it is empty"),
        (&*good, "would be removed: it was named"),
        ("0", ""),
        (&*dead, ""),
        (&*good, ""),
        (&*dead, "removed: it is empty"),
        (&*good, "kept: `tallyboard serve --name good` goes on with it"),
        ("0", ""),
        (&*good, ""),
        (&*good, "removed: it was named"),
        ("0", ""),
        ("1", ""),
    ] {
        next(object, part);
    }
    assert!(ended.stderr.contains("called \"good\", found none"), "{}", ended.stderr);
}
