//! Who answers, and who asks: supervisors and workers of several users, in several user namespaces.
//! Each row of the table in `docs/trust.md` is a row here.

#![forbid(unsafe_code)]

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tallyboard_proto::control::{Attached, MAX_MESSAGE_BYTES, Reply, encode};
use tallyboard_proto::layout::{Geometry, Layout};
use tallyboard_segment::memfd;
use tallyboard_segment::pass::{Address, Listener};
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::start::child::{Ended, Running, Watchdog, until};
use tallyboard_tests::start::copied::Copied;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const LONG: Duration = Duration::from_secs(60);
/// Users that nobody is.
const APP: u32 = 64_101;
const BOARD: u32 = 64_102;
const OTHER: u32 = 64_103;
/// What the kernel says instead of a uid that a user namespace does not know.
const OVERFLOW: u32 = 65_534;

/// Copies of the programs that every user may execute.
struct Programs {
    tallyboard: Copied,
    worker: Copied,
}

impl Programs {
    fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "expected root, who may be everybody");
        Self { tallyboard: Copied::new(tallyboard()), worker: Copied::new(Path::new(WORKER)) }
    }

    /// A program behind the words in front of it, as a user.
    fn of(&self, program: &Copied, uid: u32, before: &[&str]) -> Command {
        let mut command = match before.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program.path());
                command
            }
            None => Command::new(program.path()),
        };
        command.uid(uid).gid(uid).current_dir("/").env_remove("TALLYBOARD");
        command.env_remove("TALLYBOARD_SUPERVISOR_UID");
        command
    }

    /// `tallyboard serve` of `uid`, which listens.
    fn serve(&self, uid: u32, before: &[&str], control: &str, more: &[&str]) -> Running {
        let mut command = self.of(&self.tallyboard, uid, before);
        command.args(["serve", "--backing", "memfd", "--slots", "8", "--max-series", "64"]);
        command.args(["--control", control, "--web.listen-address", "127.0.0.1:0"]).args(more);
        let mut running = Running::start(&mut command);
        let address: Address = control.parse().expect("an address");
        until(|| {
            assert!(running.is_running(), "expected a supervisor on {control}");
            tallyboard_supervisor::ask::describe(&address, LONG).ok()
        });
        running
    }

    /// A worker of `uid` that counts and ends.
    fn work(&self, uid: u32, before: &[&str], control: &str, told: Option<u32>) -> Ended {
        let mut command = self.of(&self.worker, uid, before);
        command.args(["3", "end"]).env("TALLYBOARD", control);
        command.env("TALLYBOARD_ATTACH_TIMEOUT_MS", "60000");
        command.envs(told.map(|uid| ("TALLYBOARD_SUPERVISOR_UID", uid.to_string())));
        let ended = Running::start(&mut command).end();
        assert!(ended.status.success(), "nothing in an application fails: {ended:?}");
        ended
    }
}

/// What becomes of a worker: it attaches, or it counts privately and says all of this.
type Outcome = Result<(), &'static [&'static str]>;

fn check(ended: &Ended, expect: Outcome, case: &str) {
    match expect {
        Ok(()) => assert!(ended.stdout.contains(" slot "), "{case}: {ended:?}"),
        Err(parts) => {
            assert!(ended.stdout.contains(" private"), "{case}: {ended:?}");
            for part in parts.iter().chain(&["this process counts privately"]) {
                assert!(ended.stderr.contains(part), "{case}: {part:?} is not in {}", ended.stderr);
            }
        }
    }
}

fn name(test: &str) -> String {
    format!("unix:@tallyboard/test/{test}-{}", std::process::id())
}

#[test]
fn an_abstract_name_is_believed_of_ones_own_uid_of_root_and_of_the_one_that_was_named() {
    let _watchdog = Watchdog::new("identity on abstract names");
    let programs = Programs::new();
    let answered =
        &["was answered by uid 64102, expected 64101", "TALLYBOARD_SUPERVISOR_UID=64102"];
    let not_let_in = &["found 64101", "--worker-uid 64101"];
    for (board, let_in, app, told, expect) in [
        // The same uid, of whomever.
        (0, None, 0, None, Ok(())),
        (APP, None, APP, None, Ok(())),
        // A supervisor of root's.
        (0, Some(APP), APP, None, Ok(())),
        (0, None, APP, None, Err(&not_let_in[..])),
        // One of somebody else's, whom the worker has been told of or not, and told wrong.
        (BOARD, Some(APP), APP, Some(BOARD), Ok(())),
        (BOARD, Some(APP), APP, None, Err(answered)),
        (BOARD, Some(APP), APP, Some(OTHER), Err(&["or 64103, which TALLYBOARD_SUPERVISOR_UID"])),
        (BOARD, None, APP, Some(BOARD), Err(not_let_in)),
        (BOARD, Some(0), 0, None, Err(&["was answered by uid 64102, expected 0"])),
    ] {
        let case = format!("{board} {let_in:?} {app} {told:?}");
        let control = name("identity");
        let let_in = let_in.map(|uid| uid.to_string());
        let more: Vec<&str> =
            let_in.iter().flat_map(|uid| ["--worker-uid", uid.as_str()]).collect();
        let serving = programs.serve(board, &[], &control, &more);
        check(&programs.work(app, &[], &control, told), expect, &case);
        drop(serving);
    }
}

/// A folder in one that only root can write into.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = Path::new("/run").join(format!("tallyboard-{test}-{}", std::process::id()));
        fs::create_dir(&folder).expect("root can write there");
        Self(folder)
    }

    fn give(&self, uid: u32, mode: u32) {
        chown(&self.0, Some(uid), Some(uid)).expect("root may");
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).expect("root may");
    }

    fn control(&self) -> String {
        format!("unix:{}", self.0.join("a.sock").display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn a_socket_file_is_believed_of_its_owner_where_nobody_else_can_put_another_one() {
    let _watchdog = Watchdog::new("identity on socket files");
    let programs = Programs::new();
    let app = APP.to_string();
    for (owner, mode, told, expect) in [
        // Folders of the supervisor's and of the worker's own.
        (BOARD, 0o755, None, Ok(())),
        (BOARD, 0o2711, None, Ok(())),
        // As volumes between containers are.
        (0, 0o777, None, Err(&["others can write into the folder /run/tallyboard-", "(777)"][..])),
        (0, 0o1777, None, Err(&["(1777)", "set TALLYBOARD_SUPERVISOR_UID=64102"])),
        (0, 0o1777, Some(BOARD), Ok(())),
        (BOARD, 0o775, None, Err(&["(775)"])),
    ] {
        let folder = Folder::new("identity");
        folder.give(owner, mode);
        let control = folder.control();
        let serving = programs.serve(BOARD, &[], &control, &["--worker-uid", &app]);
        let case = format!("{owner} {mode:o} {told:?}");
        check(&programs.work(APP, &[], &control, told), expect, &case);
        // Whoever has the folder may put another socket into it.
        folder.give(OTHER, 0o755);
        let expect = match told {
            Some(_) => Ok(()),
            None => Err(&["belongs to uid 64103"][..]),
        };
        check(&programs.work(APP, &[], &control, told), expect, &case);
        drop(serving);
    }
}

#[test]
fn a_uid_that_a_user_namespace_does_not_know_is_nobodys() {
    let _watchdog = Watchdog::new("identity in user namespaces");
    let programs = Programs::new();
    // Root of a namespace, which is this user outside; and this user, who is root outside.
    let root = &["unshare", "--user", "--map-root-user"][..];
    let app = &["unshare", "--user", "--map-user=64101"][..];
    let unmapped = &["unshare", "--user"][..];
    let unknown =
        &["was answered by uid 65534, which stands for every uid", "in one user namespace"][..];
    let app_uid = APP.to_string();
    let let_in = |uid| ["--worker-uid", uid];
    for (board, more, worker, before, told, expect) in [
        // Rootless containers: root in there is the user out here, and sees him as itself.
        (APP, &[][..], APP, root, None, Ok(())),
        (0, &[], 0, app, None, Ok(())),
        // Of somebody whom the namespace does not know there is nothing that could be believed.
        (BOARD, &let_in(&app_uid)[..], APP, root, None, Err(unknown)),
        (BOARD, &let_in(&app_uid), APP, root, Some(OVERFLOW), Err(unknown)),
        (0, &let_in(&app_uid), APP, root, None, Err(unknown)),
        (APP, &[], APP, unmapped, None, Err(unknown)),
    ] {
        let case = format!("{board} {more:?} {worker} {before:?} {told:?}");
        let folder = Folder::new("namespaces");
        folder.give(BOARD, 0o755);
        for control in [name("namespaces"), folder.control()] {
            if control.starts_with("unix:/") && board == APP {
                // It cannot make a socket in the folder.
                continue;
            }
            let serving = programs.serve(board, &[], &control, more);
            check(&programs.work(worker, before, &control, told), expect, &case);
            drop(serving);
        }
    }
    // A supervisor in a namespace knows as little of who asks.
    let control = name("namespaces");
    let overflow = OVERFLOW.to_string();
    let serving = programs.serve(0, root, &control, &let_in(&overflow));
    let refused = &["found 65534, which stands for every uid", "in one user namespace"][..];
    check(&programs.work(APP, &[], &control, None), Err(refused), "the supervisor's namespace");
    serving.signal(nix::sys::signal::Signal::SIGTERM);
    let log = serving.end().stderr;
    assert!(log.contains("its processes are refused") && log.contains("uid=65534"), "{log}");
}

#[test]
fn a_socket_that_a_service_manager_listens_on_is_the_service_managers() {
    let _watchdog = Watchdog::new("identity of an activated socket");
    let programs = Programs::new();
    let folder = Folder::new("activated");
    // Everybody can write there, so nothing is believed for its place.
    folder.give(0, 0o777);
    let control = folder.control();
    let path = folder.0.join("a.sock");
    let board = BOARD.to_string();
    let (uid, gid) = (format!("--reuid={board}"), format!("--regid={board}"));
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--seqpacket", "--listen"]).arg(&path);
    command.args(["setpriv", &uid, &gid, "--clear-groups", "--"]).arg(programs.tallyboard.path());
    command.args(["serve", "--backing", "memfd", "--slots", "8", "--max-series", "64"]);
    command.args(["--worker-uid", &APP.to_string(), "--web.listen-address", "127.0.0.1:0"]);
    command.env_remove("TALLYBOARD").current_dir("/");
    let serving = Running::start(&mut command);
    let address: Address = control.parse().expect("an address");
    until(|| tallyboard_supervisor::ask::describe(&address, LONG).ok());
    // As SocketMode= would.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("root may");
    // Root has called `listen`, whoever accepts.
    check(&programs.work(APP, &[], &control, None), Ok(()), "activated by root");
    let ended = programs.work(OTHER, &[], &control, None);
    check(&ended, Err(&["found 64103", "--worker-uid 64103"]), "a stranger");
    serving.signal(nix::sys::signal::Signal::SIGTERM);
    let ended = serving.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(path.exists(), "the socket is the service manager's");
}

/// Hands out `object` as the arena of a slot, as this process, to one worker of `uid`.
fn hand_out(programs: &Programs, uid: u32, object: BorrowedFd<'_>) -> Ended {
    // A process that another test starts meanwhile has the last listener too, until it is another program.
    static TIMES: AtomicU64 = AtomicU64::new(0);
    let control = name(&format!("objects-{}", TIMES.fetch_add(1, Relaxed)));
    let address: Address = control.parse().expect("an address");
    let listener = Listener::bind(&address).expect("nobody has the name");
    let geometry = Geometry::for_series(2, 64).expect("an arena").to_words();
    let (slot, generation, arena_id, prefix, label_limit, unix_offset_ns) = (0, 1, 7, 0, 9, 1);
    let attached =
        Attached { slot, generation, arena_id, prefix, label_limit, unix_offset_ns, geometry };
    let answer = encode(&Reply::Attached(attached));
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| programs.work(uid, &[], &control, None));
        let socket = until(|| listener.accept().ok());
        socket.receive_until(MAX_MESSAGE_BYTES, Instant::now() + LONG).expect("a question");
        socket.send(&answer, Some(object)).expect("it is sent");
        // Confirm, or the end.
        let _ = socket.receive_until(MAX_MESSAGE_BYTES, Instant::now() + LONG);
        drop(listener);
        worker.join().expect("the worker ends")
    })
}

#[test]
fn an_object_that_somebody_could_shorten_is_not_mapped() {
    let _watchdog = Watchdog::new("objects");
    let programs = Programs::new();
    let words = Layout::new(Geometry::for_series(2, 64).expect("an arena")).arena_words();
    let sealed = |words| memfd::create(words).expect("memory");
    let good = sealed(words);
    let ended = hand_out(&programs, APP, good.object().expect("an object"));
    check(&ended, Ok(()), "a sealed one");
    let short = sealed(words - 8192);
    let ended = hand_out(&programs, APP, short.object().expect("an object"));
    check(&ended, Err(&["expected an object of", "found one of"]), "a short one");

    for (uid, mode, expect) in [
        (0, 0o600, Ok(())),
        (APP, 0o600, Ok(())),
        (0, 0o666, Err(&["sealed against shrinking", "of uid 0 with mode 666"][..])),
        (OTHER, 0o600, Err(&["TALLYBOARD_SUPERVISOR_UID=64103"])),
    ] {
        // On a file system of memory, as named objects are.
        let path = Path::new("/dev/shm").join(format!("tallyboard-test-{}", std::process::id()));
        let mut file = fs::File::options();
        let file = file.read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.expect("a file is made");
        file.set_len((words * 8) as u64).expect("room");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own");
        chown(&path, Some(uid), None).expect("root may");
        let ended = hand_out(&programs, APP, file.as_fd());
        fs::remove_file(&path).expect("it is there");
        check(&ended, expect, &format!("a file of {uid} with mode {mode:o}"));
    }
}
