//! Containers, made by podman of the host's own programs: `exec` as the first process of one, and a
//! supervisor in one container whose workers are in another.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::build::tallyboard;
use tallyboard_tests::read::page::Page;
use tallyboard_tests::start::child::{HANG, Running, Watchdog, until};
use tallyboard_tests::start::copied::Copied;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const LISTEN: &str = "--web.listen-address=127.0.0.1:9500";

/// The containers of one test, with storage of their own.
struct Podman {
    directory: PathBuf,
    /// Who runs them, where that is not root.
    user: Option<u32>,
    programs: [Copied; 2],
}

impl Podman {
    fn new(test: &str) -> Self {
        Self::of(test, None)
    }

    fn of(test: &str, user: Option<u32>) -> Self {
        let name = format!("tallyboard-{test}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        for part in
            ["root/etc", "root/tmp", "root/usr", "root/proc", "root/dev", "root/run", "run", "home"]
        {
            fs::create_dir_all(directory.join(part)).expect("a directory is made");
            chown(directory.join(part), user, user).expect("root may");
        }
        for part in ["", "root"] {
            chown(directory.join(part), user, user).expect("root may");
        }
        fs::write(directory.join("root/etc/passwd"), "root:x:0:0::/:/bin/sh\n").expect("written");
        // Limits that this process may give, which podman's own may not be.
        let limit = Command::new("sh").args(["-c", "ulimit -Hn"]).output().expect("a shell runs");
        let limit = String::from_utf8(limit.stdout).expect("a number");
        let limit = limit.trim();
        let configuration = format!(
            "[containers]\ndefault_ulimits = [\"nofile={limit}:{limit}\", \"nproc=4096:4096\"]\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n"
        );
        fs::write(directory.join("containers.conf"), configuration).expect("written");
        let programs = [tallyboard(), Path::new(WORKER)].map(Copied::new);
        Self { directory, user, programs }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut podman = Command::new("podman");
        if let Some(user) = self.user {
            podman.uid(user).gid(user).env_clear().current_dir("/");
            podman.env("PATH", std::env::var_os("PATH").unwrap_or_default());
            let home = self.directory.join("home");
            podman.env("HOME", &home).env("XDG_RUNTIME_DIR", &home);
        }
        podman.env("CONTAINERS_CONF", self.directory.join("containers.conf"));
        podman.arg("--storage-driver=vfs").arg("--root").arg(self.directory.join("storage"));
        podman.arg("--runroot").arg(self.directory.join("state")).args(words);
        podman
    }

    /// What podman says of a container.
    fn ask(&self, words: &[&str]) -> String {
        let ended = Running::start(&mut self.command(words)).end();
        assert!(ended.status.success(), "podman {words:?}: {ended:?}");
        ended.stdout
    }

    /// Starts a container of the host's programs, of a network of its own.
    fn run(&self, name: &str, options: &[&str], command: &[&str]) -> Running {
        let mut podman = self.command(&["run", "--name", name, "--network=none"]);
        for part in ["bin", "lib", "lib64", "sbin", "usr"] {
            let (host, here) = (Path::new("/").join(part), self.directory.join("root").join(part));
            if let Ok(target) = fs::read_link(&host) {
                // A container before this one may have made it.
                symlink(target, here).ok();
            } else if host.exists() {
                podman.arg(format!("-v={0}:{0}:ro", host.display()));
            }
        }
        // Where every user finds them, under the names that they have outside.
        for (program, copy) in [tallyboard(), Path::new(WORKER)].into_iter().zip(&self.programs) {
            podman.arg(format!("-v={}:{}:ro", copy.path().display(), program.display()));
        }
        podman.args(options).arg("--rootfs").arg(self.directory.join("root")).args(command);
        Running::start(&mut podman)
    }

    /// What the arena of a container exposes.
    fn page(&self, name: &str) -> Option<Page> {
        let program = tallyboard().to_str()?;
        let mut scrape = self.command(&["exec", name, program, "scrape"]);
        let ended = Running::start(&mut scrape).end();
        ended.status.success().then(|| Page::parse(&ended.stdout).expect("a page"))
    }

    fn namespace(&self, name: &str, kind: &str) -> PathBuf {
        let pid = self.ask(&["inspect", "--format", "{{.State.Pid}}", name]);
        let link = format!("/proc/{}/ns/{kind}", pid.trim());
        fs::read_link(link).expect("the container runs")
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.command(&["rm", "--all", "--force", "--time", "0"]).output().ok();
        if self.user.is_some() {
            // Ends the process that keeps a user's namespaces.
            self.command(&["system", "migrate"]).output().ok();
        }
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// The command line of `exec` around `script`, which has the worker in `$0`.
fn exec(script: &str) -> [&str; 8] {
    let program = tallyboard().to_str().expect("a path is text");
    [program, "exec", LISTEN, "--", "sh", "-c", script, WORKER]
}

/// The number behind `word` in the line that begins with it.
fn number<'a>(lines: &'a [String], word: &str) -> &'a str {
    let mut rests = lines.iter().filter_map(|line| line.strip_prefix(word));
    let rest = rests.next().unwrap_or_else(|| panic!("no {word:?} in {lines:?}"));
    rest.split(' ').next().unwrap_or_default()
}

fn done(page: &Page) -> f64 {
    page.value("app_done_total", &[("by", "worker")]).unwrap_or(0.0)
}

#[test]
fn exec_is_the_first_process_of_a_container() {
    let _watchdog = Watchdog::new("exec_is_the_first_process_of_a_container");
    let podman = Podman::new("first");
    let script = "trap 'echo told' USR1; trap 'exit 3' TERM; \"$0\" 7 & \"$0\" 9 & \
        sh -c '(exec sleep 0.1) & echo orphan $!'; while :; do sleep 0.01; done";
    let mut first = podman.run("first", &[], &exec(script));
    let lines = [(); 3].map(|()| first.line(|_| true));
    let comm = podman.ask(&["exec", "first", "cat", "/proc/1/comm"]);
    assert_eq!(comm, "tallyboard\n");

    // Nobody but the first process can have reaped it.
    let orphan = format!("/proc/{}", number(&lines, "orphan "));
    let test = ["exec", "first", "test", "!", "-e", &orphan];
    until(|| podman.command(&test).status().ok()?.success().then_some(()));
    podman.ask(&["kill", "--signal", "USR1", "first"]);
    first.line(|line| line == "told");
    assert_eq!(done(&podman.page("first").expect("a page")), 16.0);
    podman.ask(&["exec", "first", "kill", "-9", number(&lines, "worker ")]);
    let page =
        until(|| podman.page("first").filter(|page| page.sum("tallyboard_reclaims_total") == 1.0));
    assert_eq!(done(&page), 16.0);

    // The other worker outlives its parent, and is told as well: nobody waits for a time limit.
    podman.ask(&["kill", "--signal", "TERM", "first"]);
    let ended = first.end();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
}

#[test]
fn an_arena_takes_what_shared_memory_a_container_has() {
    let _watchdog = Watchdog::new("an_arena_takes_what_shared_memory_a_container_has");
    let podman = Podman::new("shm");
    let program = tallyboard().to_str().expect("text");
    let named = [program, "exec", LISTEN, "--name=shop", "--backing=posix", "--", "sleep", "300"];
    let other = podman.run("other", &[], &named);
    until(|| podman.page("other"));
    let script = "\"$0\" 7 end; exec \"$1\" scrape";
    let unnamed = [&exec(script)[..], &[program]].concat();
    let direct = [&[program, "exec", "--name=shop"], &unnamed[2..]].concat();
    // A first process of another kind, as an init.
    let behind = [&["sh", "-c", "\"$@\"; exit $?", "sh"], &direct[..]].concat();
    let named = [&[program, "exec", "--backing=posix"], &direct[2..]].concat();
    let one_run = "made for one run";
    for (options, command, backing, reason) in [
        (&[][..], &unnamed, "memfd", one_run),
        (&["--ipc=none"], &unnamed, "memfd", one_run),
        (&[], &direct, "memfd", "pid 1: "),
        (&["--ipc=none"], &direct, "memfd", "pid 1: "),
        (&["--memory=16m", "--memory-swap=16m"], &direct, "memfd", "pid 1: "),
        (&["--ipc=container:other"], &direct, "memfd", "pid 1: "),
        (&[], &behind, "posix", "/dev/shm has room"),
        (&["--shm-size=1m"], &behind, "memfd", "/dev/shm has 1048576 bytes, needs"),
        (&["--ipc=none"], &behind, "memfd", "no /dev/shm is mounted"),
        (&[], &named, "posix", "configured"),
    ] {
        let ended = podman.run("shm", &[options, &["--rm"]].concat(), command).end();
        assert!(ended.status.success(), "{options:?}: {ended:?}");
        let (_, page) = ended.stdout.split_once('\n').expect("a line of the worker's");
        let page = Page::parse(page).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        let arena: Vec<_> = page.of("tallyboard_arena_info").map(|(labels, _)| labels).collect();
        assert_eq!(arena[0]["backing"], backing, "{options:?}: {arena:?}");
        assert!(arena[0]["reason"].contains(reason), "{options:?}: {arena:?}");
        assert_eq!(done(&page), 7.0, "{options:?}");
    }
    // Containers that share /dev/shm, as those of a pod do, have the same pids: the name is taken.
    let ended = podman.run("shm", &["--ipc=container:other", "--rm"], &named).end();
    assert_eq!(ended.status.code(), Some(125), "{ended:?}");
    assert!(ended.stderr.contains("held by another supervisor, with pid 1"), "{ended:?}");
    podman.ask(&["kill", "--signal", "TERM", "other"]);
    assert_eq!(other.end().status.code(), Some(143));
}

#[test]
fn workers_in_another_container_are_counted_exactly_whatever_kills_them() {
    const KILLS: u32 = 10;
    let _watchdog = Watchdog::new("workers_in_another_container_are_counted_exactly");
    let podman = Podman::new("sidecar");
    let volume = format!("{}:/run/tallyboard", podman.directory.join("run").display());
    let address = "unix:/run/tallyboard/app.sock";
    let variable = format!("TALLYBOARD={address}");
    let serve = ["serve", "--name", "app", "--control", address, "--worker-uid", "1000", LISTEN];
    let serve = [&[tallyboard().to_str().expect("text")], &serve[..]].concat();
    let _board = podman.run("board", &["-v", &volume], &serve);
    until(|| podman.page("board"));
    let run = |name, user, script| {
        let options = ["--user", user, "-v", &volume, "-e", &variable];
        podman.run(name, &options, &["sh", "-c", script, WORKER])
    };

    // A uid that was not named is refused, and its process runs on.
    let ended = run("stranger", "1001:1000", "exec \"$0\" 7 end").end();
    assert!(ended.status.success() && ended.stdout.contains(" private"), "{ended:?}");
    assert!(ended.stderr.contains("--worker-uid"), "{ended:?}");

    let mut app = run("app", "1000:1000", "while :; do \"$0\" 7; done");
    let mut worker = app.line(|line| line.starts_with("worker "));
    for kind in ["pid", "net", "ipc", "mnt"] {
        assert_ne!(podman.namespace("app", kind), podman.namespace("board", kind));
    }
    for round in 1..=KILLS {
        assert!(worker.contains(" slot "), "{worker}");
        podman.ask(&["exec", "app", "kill", "-9", number(&[worker], "worker ")]);
        // When the next one says who it is it has counted.
        worker = app.line(|line| line.starts_with("worker "));
        let reclaimed = |page: &Page| page.sum("tallyboard_reclaims_total") == f64::from(round);
        let page = until(|| podman.page("board").filter(reclaimed));
        assert_eq!(done(&page), f64::from(7 * (round + 1)));
    }
    // The last one goes with its container.
    podman.ask(&["kill", "--signal", "KILL", "app"]);
    assert_eq!(app.end().status.code(), Some(137));
    let page = until(|| {
        let page = podman.page("board")?;
        (page.value("tallyboard_slots", &[("state", "live")]) == Some(0.0)).then_some(page)
    });
    assert_eq!(done(&page), f64::from(7 * (KILLS + 1)));
}

#[test]
fn a_rootless_container_counts_for_the_supervisor_of_its_user() {
    /// A user that nobody is.
    const USER: u32 = 64_101;
    let _watchdog = Watchdog::new("a_rootless_container_counts_for_the_supervisor_of_its_user");
    let podman = Podman::of("rootless", Some(USER));
    let address = format!("unix:{}", podman.directory.join("run/app.sock").display());
    let mut serve = Command::new(podman.programs[0].path());
    serve.args(["serve", "--control", &address, "--web.listen-address=127.0.0.1:0"]);
    serve.args(["--backing", "memfd"]).env_remove("TALLYBOARD");
    let serving = Running::start(serve.uid(USER).gid(USER).current_dir("/"));
    let control: Address = address.parse().expect("an address");
    until(|| ask::describe(&control, HANG).ok());
    let volume = format!("{}:/run/tallyboard", podman.directory.join("run").display());
    let options = ["-v", &volume, "-e", "TALLYBOARD=unix:/run/tallyboard/app.sock"];
    let script = "cat /proc/self/uid_map; id -u; exec \"$0\" 7 end";
    let ended = podman.run("app", &options, &["sh", "-c", script, WORKER]).end();
    assert!(ended.status.success() && ended.stdout.contains(" slot "), "{ended:?}");
    let first: Vec<&str> = ended.stdout.split_whitespace().take(4).collect();
    assert_eq!(first[..2], ["0", "64101"], "root in there is the user out here: {ended:?}");
    let page = until(|| {
        let page = ask::scrape(&control, &[], HANG).expect("an answer");
        let page = Page::parse(&String::from_utf8(page).expect("text")).expect("a page");
        (page.sum("tallyboard_reclaims_total") == 1.0).then_some(page)
    });
    assert_eq!(done(&page), 7.0);
    drop(serving);
}

#[test]
fn containers_with_a_user_namespace_each_know_nothing_of_each_other() {
    let _watchdog = Watchdog::new("containers_with_a_user_namespace_each");
    let podman = Podman::new("users");
    let run = podman.directory.join("run");
    // As volumes between containers are.
    fs::set_permissions(&run, fs::Permissions::from_mode(0o777)).expect("our own");
    // Who is root of the first namespace makes the places that others are mounted on.
    let root = podman.directory.join("root");
    let given = Command::new("chown").args(["-Rh", "200000:200000"]).arg(root).status();
    assert!(given.expect("chown runs").success());
    let volume = format!("{}:/run/tallyboard", run.display());
    let address = "unix:/run/tallyboard/app.sock";
    let variable = format!("TALLYBOARD={address}");
    let program = tallyboard().to_str().expect("text");
    let serve = [program, "serve", "--control", address, "--worker-uid", "1000", LISTEN];
    let namespace = |first: &str| ["uid", "gid"].map(|kind| format!("--{kind}map=0:{first}:65536"));
    let [uids, gids] = namespace("200000");
    let _board = podman.run("board", &["-v", &volume, &uids, &gids], &serve);
    until(|| podman.page("board"));
    let [uids, gids] = namespace("300000");
    let unknown = "was answered by uid 65534, which stands for every uid";
    for (name, options, parts) in [
        ("apart", [&uids[..], &gids], &[unknown, "in one user namespace"][..]),
        ("together", ["--userns=container:board", "--user=0"], &[]),
    ] {
        let options = [&["--rm", "-v", &volume, "-e", &variable][..], &options].concat();
        let ended = podman.run(name, &options, &[WORKER, "7", "end"]).end();
        assert!(ended.status.success(), "{name}: {ended:?}");
        let expect = if parts.is_empty() { " slot " } else { " private" };
        assert!(ended.stdout.contains(expect), "{name}: {ended:?}");
        for part in parts {
            assert!(ended.stderr.contains(part), "{name}: {part:?} is not in {}", ended.stderr);
        }
    }
    // Another user of theirs.
    let mut another = podman.command(&["exec", "--user=1000", "-e", &variable, "board", WORKER]);
    let ended = Running::start(another.args(["7", "end"])).end();
    assert!(ended.status.success() && ended.stdout.contains(" slot "), "{ended:?}");
}
