//! Descriptors that somebody sends along are closed, whatever they came with: in supervisor, keeper
//! and client, of those who are let in and of those who are not.

#![forbid(unsafe_code)]

use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tallyboard_proto::control::{
    Attached, Description, MAX_MESSAGE_BYTES, Refused, RefusedReason, Reply, encode,
};
use tallyboard_proto::layout::{Geometry, Layout};
use tallyboard_segment::pass::{Address, Listener};
use tallyboard_segment::{memfd, stat};
use tallyboard_supervisor::ask;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::service::served::{Served, answering};
use tallyboard_tests::start::child::{Running, Watchdog, until};
use tallyboard_tests::start::copied::Copied;
use tallyboard_tests::start::directory::Directory;

const HOSTILE: &str = env!("CARGO_BIN_EXE_hostile");
const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const SLOTS: usize = 8;
const NOBODY: u32 = 65534;
const LONG: Duration = Duration::from_secs(60);

/// `tallyboard serve`, ready to be asked.
struct Serving {
    running: Running,
    address: Address,
}

impl Serving {
    fn start(address: &str) -> Self {
        let address: Address = address.parse().expect("an address");
        let mut command = Command::new(tallyboard());
        command.args(["serve", "--backing", "memfd", "--slots", &SLOTS.to_string()]);
        command.args(["--max-series", "64", "--control", &address.to_string()]);
        command.args(["--web.listen-address", "127.0.0.1:0"]);
        // Somebody else may attach, so everybody reaches a socket file.
        command.args(["--worker-uid", "4711", "--log.level", "error"]).env_remove("TALLYBOARD");
        let (running, _) = answering(Running::start(&mut command), &address);
        let serving = Self { running, address };
        serving.use_every_slot();
        serving
    }

    /// Has a worker in every slot at once: the keeper has a pidfd for each slot that was ever taken.
    fn use_every_slot(&self) {
        let worker = |_| {
            let mut command = Command::new(WORKER);
            command.arg("7").env("TALLYBOARD", self.address.to_string());
            Running::start(command.env("TALLYBOARD_ATTACH_TIMEOUT_MS", "60000"))
        };
        let mut workers: Vec<Running> = (0..SLOTS).map(worker).collect();
        for worker in &mut workers {
            worker.line(|line| line.contains(" slot "));
        }
    }

    fn described(&self) -> Description {
        ask::describe(&self.address, LONG).expect("the supervisor answers")
    }

    /// Descriptors of keeper and supervisor when nobody converses with them.
    fn open(&self) -> [u64; 2] {
        let described = self.described();
        let pids = [described.keeper_pid, described.supervisor_pid];
        // What is under way may have one open for a moment.
        pids.map(|pid| {
            let open = |_| {
                std::thread::sleep(Duration::from_millis(1));
                stat::open_fds(pid)
            };
            (0..100).filter_map(open).min().expect("the process runs")
        })
    }

    /// The same as soon as it is no more than before: who has hung up is given up a little later.
    fn open_again(&self, before: [u64; 2]) -> [u64; 2] {
        until(|| {
            let after = self.open();
            let is_less = after.iter().zip(before).all(|(after, before)| *after <= before);
            is_less.then_some(after)
        })
    }
}

#[test]
fn hostile_packets_leave_nothing_open_in_supervisor_and_keeper() {
    const EACH: usize = 2_500;
    let _watchdog = Watchdog::new("hostile packets");
    assert!(nix::unistd::geteuid().is_root(), "expected root, who may start a process as another");
    let (hostile, directory) = (Copied::new(Path::new(HOSTILE)), Directory::new("hostile"));
    let path = format!("unix:{}", directory.file("control").display());
    let name = format!("unix:@tallyboard/test/hostile-{}", std::process::id());
    for address in [path, name] {
        let serving = Serving::start(&address);
        for uid in [0, NOBODY] {
            let send = |count: usize| {
                let mut command = Command::new(hostile.path());
                command.args(["packets", &address, &count.to_string()]).uid(uid).current_dir("/");
                let ended = Running::start(&mut command).end();
                assert!(ended.status.success(), "{ended:?}");
                ended.stdout
            };
            // What is made once is made.
            send(100);
            let before = serving.open();
            let said = send(EACH);
            let after = serving.open_again(before);
            println!(
                "{address} uid {uid}: keeper and supervisor {before:?} -> {after:?}; {}",
                said.trim()
            );
        }
    }
}

/// What a supervisor that means no good answers.
fn answers() -> Vec<Vec<u8>> {
    let geometry = Geometry::for_series(2, 64).expect("an arena").to_words();
    let attached = |slot| {
        let (generation, arena_id, prefix, label_limit, unix_offset_ns) = (1, 7, 0, 9, 1);
        let attached =
            Attached { slot, generation, arena_id, prefix, label_limit, unix_offset_ns, geometry };
        encode(&Reply::Attached(attached))
    };
    let refused = Refused { reason: RefusedReason::Unready, detail: "not yet".to_owned() };
    let body = |bytes| encode(&Reply::Body { bytes, content_type: "text/plain".to_owned() });
    vec![
        attached(0),
        attached(9),
        encode(&Reply::Refused(refused)),
        body(4),
        body(1 << 40),
        b"no message".to_vec(),
        vec![9, 0, 0, 0],
        Vec::new(),
        vec![2; MAX_MESSAGE_BYTES + 1],
    ]
}

#[test]
fn hostile_answers_leave_nothing_open_in_a_client() {
    const ANSWERS: usize = 10_000;
    let _watchdog = Watchdog::new("hostile answers");
    let address = Address::Abstract(format!("tallyboard/test/answers-{}", std::process::id()));
    let listener = Listener::bind(&address).expect("nobody has the name");
    let mut client = Command::new(HOSTILE);
    client.args(["asks", &address.to_string()]).env_remove("TALLYBOARD");
    let client = Running::start(&mut client);
    let layout = Layout::new(Geometry::for_series(2, 64).expect("an arena"));
    // One of the right size that is sealed, and some that are not what they should be.
    let arena = memfd::create(layout.arena_words()).expect("memory");
    let arena = arena.object().expect("an object").try_clone_to_owned().expect("a descriptor");
    let objects: [OwnedFd; 3] = [
        memfd::of_bytes(b"body").expect("memory"),
        arena,
        std::fs::File::open("/dev/null").expect("it is there").into(),
    ];
    let answers = answers();
    for round in 0..ANSWERS {
        let socket = until(|| listener.accept().ok());
        let _question = socket.receive_until(MAX_MESSAGE_BYTES, std::time::Instant::now() + LONG);
        let many = [0, 1, 1, 2, 3, 4, 5, 16, 253][round / answers.len() % 9];
        let fds = (0..many).map(|at| objects[(round + at) % objects.len()].as_raw_fd());
        let fds: Vec<i32> = fds.collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights[..] };
        let bytes = [IoSlice::new(&answers[round % answers.len()])];
        // Who has gone meanwhile hears nothing.
        let _ = sendmsg::<()>(socket.as_raw_fd(), &bytes, rights, MsgFlags::MSG_NOSIGNAL, None);
    }
    drop(listener);
    let ended = client.end();
    let words: Vec<&str> = ended.stdout.split_whitespace().collect();
    println!("client: {}", ended.stdout.trim());
    assert!(words.len() > 3 && words[0] == "descriptors", "{ended:?}");
    assert_eq!(words[1], words[2], "{ended:?}");
}

/// Takes the ends of the link between a keeper and its supervisor, which are their first arguments,
/// and sends on each as many messages as the third says: good ones and what is none, with any number
/// of descriptors. What has an effect is left out.
const ON_THE_LINK: &str = r#"
import ctypes, os, select, socket, struct, sys

PIDFD_GETFD = 438
libc = ctypes.CDLL(None, use_errno=True)

def link(pid):
    "The end of the link that this process has: the one socket of packets that does not listen."
    pidfd = os.pidfd_open(pid)
    for number in map(int, os.listdir(f"/proc/{pid}/fd")):
        if not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
            continue
        taken = socket.socket(fileno=libc.syscall(PIDFD_GETFD, pidfd, number, 0))
        is_packets = taken.family == socket.AF_UNIX and taken.type == socket.SOCK_SEQPACKET
        if is_packets and not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return taken
    sys.exit(f"process {pid} has no link")

keeper, supervisor, count = map(int, sys.argv[1:])
words = lambda *words: struct.pack("<4Q", *words)
# To the keeper: a slot that there is none of, ready, spent, alive. To the supervisor: a listener that
# did not come, or that came too often, and the question whether it turns.
to_keeper = [words(1, 1 << 40, 1, 1), words(2, 0, 0, 0), words(3, 0, 0, 0), words(4, 0, 0, 0)]
to_supervisor = [words(2, 99, 0, 0), words(3, 0, 0, 0)]
neither = [b"", b"short", bytes(31), bytes(33), words(9, 9, 9, 9), bytes(70000)]
files = [os.open("/dev/null", os.O_RDONLY), *os.pipe(), *(s.detach() for s in socket.socketpair())]
for end, messages in ((link(supervisor), to_keeper + neither), (link(keeper), to_supervisor + neither)):
    for turn in range(count):
        message = messages[turn % len(messages)]
        many = (0, 2, 3, 4, 5, 16, 253, 1)[turn // len(messages) % 8]
        if many == 1 and message == to_supervisor[0]:
            many = 0
        # Whether an end may wait is one thing for all who have it, so none waits here.
        while True:
            try:
                socket.send_fds(end, [message], (files * 60)[:many])
                break
            except BlockingIOError:
                select.select([], [end], [])
print("sent", 2 * count)
"#;

#[test]
fn hostile_messages_on_the_link_leave_nothing_open_in_keeper_and_supervisor() {
    let _watchdog = Watchdog::new("hostile messages on the link");
    assert!(
        nix::unistd::geteuid().is_root(),
        "expected root, who may take a descriptor of another"
    );
    let name = format!("unix:@tallyboard/test/link-{}", std::process::id());
    let serving = Serving::start(&name);
    let Description { keeper_pid, supervisor_pid, .. } = serving.described();
    let send = |count: u32| {
        let mut command = Command::new("python3");
        command.args(["-c", ON_THE_LINK]);
        command.args([keeper_pid, supervisor_pid, count].map(|number| number.to_string()));
        let ended = Running::start(&mut command).end();
        assert!(ended.status.success(), "{ended:?}");
    };
    send(100);
    let before = serving.open();
    send(5_000);
    let after = serving.open_again(before);
    println!("the link: keeper and supervisor {before:?} -> {after:?}");
    // Nobody has taken what came for the end of the other.
    let described = serving.described();
    assert_eq!((described.keeper_pid, described.supervisor_pid), (keeper_pid, supervisor_pid));
    serving.running.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(serving.running.end().status.success());
}

/// Bytes of the arena's object that a process has mapped: from where to where each time.
fn mapped(pid: i32) -> Vec<(u64, u64)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process runs");
    let number = |digits: &str| u64::from_str_radix(digits, 16).expect("a number");
    // The program is called so too, and is not shared.
    let is_shared =
        |line: &&str| line.split(' ').nth(1).is_some_and(|rights| rights.ends_with('s'));
    let of_arena = maps.lines().filter(is_shared).filter(|line| line.contains("tallyboard"));
    let range = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (from, to) = fields[0].split_once('-').expect("a range");
        let offset = number(fields[2]);
        (offset, offset + number(to) - number(from))
    };
    of_arena.map(range).collect()
}

#[test]
fn a_worker_maps_its_own_slot_and_keeps_no_descriptor_of_the_arena() {
    let _watchdog = Watchdog::new("what a worker keeps");
    let layout = Layout::new(Geometry::for_series(8, 64).expect("an arena"));
    for backing in ["memfd", "posix"] {
        let flags = ["--backing", backing, "--slots", "8", "--max-series", "64"];
        let served = Served::start("kept", &flags);
        let address = served.control.to_string();
        let mut workers: Vec<Running> = (0..3)
            .map(|_| Running::start(Command::new(WORKER).arg("7").env("TALLYBOARD", &address)))
            .collect();
        for worker in &mut workers {
            let line = worker.line(|line| line.contains(" slot "));
            let slot: usize = line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a slot");
            let (from, words) = (layout.slot(slot) as u64 * 8, layout.slot_words as u64 * 8);
            let mapped = mapped(worker.pid());
            assert!(!mapped.is_empty(), "{backing}: it counts in nothing");
            for (begin, end) in mapped {
                let is_own = begin >= from && end <= from + words;
                assert!(is_own, "{backing}: {begin}..{end} is not in {from}..{}", from + words);
            }
            let links = std::fs::read_dir(format!("/proc/{}/fd", worker.pid())).expect("it runs");
            let targets = links.flatten().filter_map(|link| std::fs::read_link(link.path()).ok());
            let kept = |target: &std::path::PathBuf| {
                let target = target.to_string_lossy();
                target.contains("memfd:tallyboard") || target.contains("/dev/shm/")
            };
            assert_eq!(targets.filter(kept).count(), 0, "{backing}: of the arena");
        }
        drop(workers);
        assert!(served.stop().status.success());
    }
}
