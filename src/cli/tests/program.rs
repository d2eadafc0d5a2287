//! The program as its users meet it: command lines in, exit statuses and text out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tallyboard::{Counter, Registry};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tallyboard");
/// Metrics on any free loopback port.
const ANYWHERE: [&str; 2] = ["--web.listen-address", "127.0.0.1:0"];

/// Ends the whole test program when a test hangs, which would otherwise never be said.
struct Watchdog(#[allow(dead_code)] mpsc::Sender<()>);

fn watchdog(test: &'static str) -> Watchdog {
    let (alive, dropped) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if dropped.recv_timeout(Duration::from_secs(300)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs");
            std::process::abort();
        }
    });
    Watchdog(alive)
}

/// The program with these arguments, and nothing of the tester's own configuration.
fn tallyboard(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLYBOARD")) {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    outcome(&tallyboard(arguments).output().unwrap())
}

fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Reads lines until one contains `text`, and gives that one.
fn line_with(reader: &mut impl BufRead, text: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "no {text:?} in:\n{seen}");
        if line.contains(text) {
            return line;
        }
        seen.push_str(&line);
    }
}

/// A supervisor of its own for a test.
struct Served {
    child: Child,
    log: BufReader<ChildStderr>,
    name: String,
    control: String,
}

impl Served {
    fn start(test: &str, more: &[&str]) -> Self {
        let name = format!("test-{test}-{}", std::process::id());
        let control = format!("unix:@tallyboard/{}/{name}", geteuid());
        let mut child = tallyboard(&["serve", "--name", &name, "--control", &control])
            .args(more)
            .env("TALLYBOARD_WEB_LISTEN_ADDRESS", "127.0.0.1:0")
            .env("TALLYBOARD_BACKING", "memfd")
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        line_with(&mut log, "workers attach with");
        Self { child, log, name, control }
    }

    /// Stops it; gives its exit status and the rest of its log.
    fn stop(mut self) -> (Option<i32>, String) {
        signal(&self.child, Signal::SIGTERM);
        let status = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (status, rest)
    }
}

fn exec<'a>(more: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["exec"], more, &["--"], command].concat()
}

#[test]
fn exec_ends_as_its_command_does() {
    let _watchdog = watchdog("exec_ends_as_its_command_does");
    for (command, expect, says) in [
        (&["sh", "-c", "exit 7"][..], 7, ""),
        (&["sh", "-c", "exit 0"], 0, ""),
        (&["sh", "-c", "kill -9 $$"], 137, ""),
        (&["sh", "-c", "kill -TERM $$"], 143, ""),
        (&["no-such-command"], 127, "cannot execute \"no-such-command\": No such file"),
        (&["/dev/null"], 126, "cannot execute \"/dev/null\": Permission denied"),
        (&["/"], 126, "check that it is a program"),
    ] {
        let (status, _, log) = run(&exec(&ANYWHERE, command));
        assert_eq!(status, Some(expect), "{command:?}: {log}");
        assert!(log.contains(says), "{command:?}: {log}");
    }
    let (status, _, log) =
        run(&exec(&["--control", "unix:/no/such/directory/x.sock"], &["sh", "-c", "exit 7"]));
    assert_eq!(status, Some(125), "{log}");
    assert!(log.contains("/no/such/directory/x.sock") && log.contains("--control"), "{log}");
}

#[test]
fn a_command_finds_its_address_its_own_group_and_no_blocked_signal() {
    let _watchdog = watchdog("a_command_finds_its_address_its_own_group_and_no_blocked_signal");
    let script = "echo $TALLYBOARD; grep SigBlk /proc/self/status; cut -d' ' -f1,5 /proc/$$/stat";
    let (status, out, log) = run(&exec(&ANYWHERE, &["sh", "-c", script]));
    assert_eq!(status, Some(0), "{log}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with(&format!("unix:@tallyboard/{}/", geteuid())), "{out}");
    assert_eq!(lines[1], "SigBlk:\t0000000000000000");
    let (pid, group) = lines[2].split_once(' ').unwrap();
    assert_eq!(pid, group);
}

#[test]
fn every_signal_reaches_the_command() {
    let _watchdog = watchdog("every_signal_reaches_the_command");
    let script = "for s in INT QUIT HUP USR1 USR2 WINCH TTIN TTOU; do trap \"echo $s\" $s; done; \
        trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done";
    // Who runs tests in the background may have them ignore SIGINT and SIGQUIT, and a shell cannot
    // trap what was ignored when it began.
    let command = ["env", "--default-signal", "sh", "-c", script];
    let mut child = tallyboard(&exec(&ANYWHERE, &command)).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    line_with(&mut out, "up");
    for number in [
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
    ] {
        signal(&child, number);
        assert_eq!(format!("SIG{}", line_with(&mut out, "").trim()), number.as_str());
    }
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn exec_goes_on_with_a_process_of_the_same_program_that_its_command_leaves() {
    let _watchdog = watchdog("exec_goes_on_with_a_process_of_the_same_program");
    let reads = "exec 3<&0; (read line <&3; exit 9) & exit 7";
    // A shell that waits in `read` may have missed a signal; this one looks again and again.
    let traps = "(trap 'exit 4' USR1; echo up; for i in $(seq 6000); do sleep 0.01; done) & exit 7";
    for (script, ends_by, expect) in [(reads, None, 9), (traps, Some(Signal::SIGUSR1), 4)] {
        let mut child = tallyboard(&exec(&ANYWHERE, &["sh", "-c", script]))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        line_with(&mut log, "goes on as process");
        match ends_by {
            Some(number) => {
                line_with(&mut out, "up");
                signal(&child, number);
            }
            None => input.write_all(b"go\n").unwrap(),
        }
        assert_eq!(child.wait().unwrap().code(), Some(expect));
    }
}

#[test]
fn a_sigterm_ends_what_its_command_leaves_behind_with_the_commands_status() {
    let _watchdog = watchdog("a_sigterm_ends_what_its_command_leaves_behind");
    let left = "(trap 'echo told; exit 5' TERM; echo up; while :; do sleep 0.01; done) &";
    let script = format!("{left} {left} trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done");
    let mut child = tallyboard(&exec(&ANYWHERE, &["sh", "-c", &script])).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..3 {
        line_with(&mut out, "up");
    }
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "told\ntold\n");
}

#[test]
fn exec_does_not_wait_for_another_program_that_its_command_leaves() {
    let _watchdog = watchdog("exec_does_not_wait_for_another_program");
    // The command ends only when the other program has been executed.
    let script = "sleep 300 >&- 2>&- & \
        while ! grep -q '(sleep)' /proc/$!/stat; do :; done; echo $!; exit 7";
    let (status, out, log) = run(&exec(&ANYWHERE, &["sh", "-c", script]));
    kill(Pid::from_raw(out.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(status, Some(7), "{log}");
}

#[test]
fn exec_goes_on_with_a_process_that_holds_a_slot() {
    let _watchdog = watchdog("exec_goes_on_with_a_process_that_holds_a_slot");
    // This test program, run again as the worker below: another program than the shell.
    let this = std::env::current_exe().unwrap();
    let script = "exec 3<&0; \"$0\" --exact worker_of_exec --ignored --nocapture <&3 & \
        while ! \"$1\" slots --json | grep -q '\"live\"'; do :; done; exit 7";
    let mut child =
        tallyboard(&exec(&ANYWHERE, &["sh", "-c", script, this.to_str().unwrap(), PROGRAM]))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    line_with(&mut log, "goes on as process");
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    // The worker's status, not the command's.
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
#[ignore = "not a test: the worker that another test starts"]
fn worker_of_exec() {
    let registry = Registry::builder().attach_timeout(Duration::from_secs(60)).build();
    let counter = Counter::builder("worker_total", "Help.").registry(registry).register().unwrap();
    counter.inc();
    registry.attach().unwrap();
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_second_supervisor_is_told_who_holds_what_it_wants() {
    let _watchdog = watchdog("a_second_supervisor_is_told_who_holds_what_it_wants");
    let first = Served::start("second", &[]);
    for command in ["serve", "exec"] {
        let mut arguments = vec![command, "--backing", "memfd", "--control", &first.control];
        arguments.extend(ANYWHERE);
        if command == "exec" {
            arguments.extend(["--", "true"]);
        }
        let (status, _, log) = run(&arguments);
        assert_eq!(status, Some(if command == "serve" { 1 } else { 125 }), "{log}");
        assert!(log.contains(&first.child.id().to_string()), "{log}");
        assert!(log.contains("another --name or --control"), "{log}");
    }
    assert_eq!(first.stop().0, Some(0));
}

#[test]
fn a_taken_metrics_port_stops_serve_and_not_exec() {
    let _watchdog = watchdog("a_taken_metrics_port_stops_serve_and_not_exec");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let control = format!("unix:@tallyboard/{}/taken-{}", geteuid(), std::process::id());
    let listen = ["--web.listen-address", &address];
    let serve = [&["serve", "--backing", "memfd", "--control", &control][..], &listen].concat();
    let (status, _, log) = run(&serve);
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains(&address) && log.contains("--web.listen-address"), "{log}");
    let ask = [PROGRAM, "scrape", "--metric", "tallyboard_listener_up"];
    let (status, out, log) = run(&exec(&listen, &ask));
    assert_eq!(status, Some(0), "{log}");
    assert!(out.contains(&format!("tallyboard_listener_up{{address=\"{address}\"}} 0")), "{out}");
    assert!(log.contains(&address) && log.contains("level=warn"), "{log}");
}

#[test]
fn an_arena_is_found_listed_and_scraped_in_every_way() {
    let _watchdog = watchdog("an_arena_is_found_listed_and_scraped_in_every_way");
    let served = Served::start("found", &[]);
    let registry = Registry::builder()
        .address(&served.control)
        .attach_timeout(Duration::from_secs(60))
        .build();
    let counter = Counter::builder("program_test", "Help.").registry(registry).register().unwrap();
    counter.inc_by(42);
    registry.attach().unwrap();
    let (me, keeper) = (std::process::id().to_string(), served.child.id().to_string());
    for which in [
        ["--control", &served.control],
        ["--name", &served.name],
        ["--pid", &me],
        ["--pid", &keeper],
    ] {
        let (status, out, log) = run(&[&["scrape"][..], &which].concat());
        assert_eq!(status, Some(0), "{which:?}: {log}");
        assert!(out.contains("\nprogram_test_total 42\n"), "{which:?}: {out}");
        assert!(out.contains("\ntallyboard_slots{state=\"live\"} 1\n"), "{which:?}: {out}");
    }
    let filtered = tallyboard(&["scrape", "--metric", "program_test"])
        .env("TALLYBOARD", &served.control)
        .output()
        .unwrap();
    let (_, out, _) = outcome(&filtered);
    let names: Vec<&str> = out.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(names, ["program_test_total 42"]);

    let (_, out, _) = run(&["slots", "--json", "--control", &served.control]);
    let slots: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(slots.as_array().unwrap().len(), 1, "{out}");
    assert_eq!(slots[0]["pid"], std::process::id());
    assert_eq!(slots[0]["state"], "live");
    let (_, out, _) = run(&["slots", "--control", &served.control]);
    assert!(out.starts_with("SLOT  GENERATION  STATE"), "{out}");

    let (_, out, _) = run(&["ls", "--json"]);
    let arenas: serde_json::Value = serde_json::from_str(&out).unwrap();
    let mine = arenas.as_array().unwrap().iter().find(|arena| arena["name"] == *served.name);
    let mine = mine.unwrap();
    assert_eq!(mine["address"], *served.control);
    assert_eq!((&mine["taken"], &mine["slots"]), (&1.into(), &256.into()));
    assert_eq!(mine["keeper_pid"], served.child.id());
    let (_, out, _) = run(&["ls"]);
    assert!(out.starts_with("NAME") && out.contains(&served.control), "{out}");
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn a_question_about_no_arena_says_what_to_do() {
    let _watchdog = watchdog("a_question_about_no_arena_says_what_to_do");
    for (arguments, expect) in [
        (&["scrape", "--control", "unix:@tallyboard/none"][..], "see `tallyboard ls`"),
        (&["slots", "--name", "no-such-arena"], "an arena called \"no-such-arena\", found"),
        (&["scrape", "--pid", "4294967295"], "name its arena with --control"),
        (&["scrape", "--control", "/run/x.sock"], "unix:/absolute/path"),
    ] {
        let (status, out, log) = run(arguments);
        assert!(matches!(status, Some(1 | 2)) && out.is_empty(), "{arguments:?}: {status:?} {out}");
        assert!(log.contains(expect), "{arguments:?}: {log}");
    }
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let _watchdog = watchdog("log_lines_are_json_when_asked_for");
    let served = Served::start("json", &["--log.format", "json", "--log.level", "debug"]);
    let (status, rest) = served.stop();
    assert_eq!(status, Some(0));
    assert!(!rest.is_empty());
    for line in rest.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(object["level"].is_string() && object["timestamp"].is_string(), "{line}");
    }
}

/// A demo that does not need the whole machine.
fn demo<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let small = ["demo", "--app-port", "0", "--rate", "400", "--recycle-after", "100"];
    [&small[..], &ANYWHERE, more].concat()
}

#[test]
fn a_demo_holds_and_says_so_in_its_last_line() {
    let _watchdog = watchdog("a_demo_holds_and_says_so_in_its_last_line");
    let (status, out, log) = run(&demo(&["--seconds", "3", "--json"]));
    assert_eq!(status, Some(0), "{out}{log}");
    let numbers: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let number = |name: &str| numbers[name].as_u64().unwrap_or_else(|| panic!("{name}: {out}"));
    assert!(number("answered") <= number("counted") && number("counted") <= number("sent"));
    assert!(number("answered") > 0 && number("killed") > 0 && number("recycled") > 0, "{out}");
    assert!(number("workers_born") >= 4 + number("killed") + number("recycled"), "{out}");
    assert_eq!((number("decreases"), number("scrape_failures")), (0, 0));
    assert_eq!((number("seconds"), &numbers["verdict"]), (3, &"ok".into()));
}

#[test]
fn a_demo_whose_counts_or_checks_are_falsified_fails() {
    let _watchdog = watchdog("a_demo_whose_counts_or_checks_are_falsified_fails");
    for (fault, says) in [
        ("lost-count", "counts were lost"),
        ("double-count", "counts were made up"),
        ("decrease", "went down"),
        ("blind", "nothing was checked"),
    ] {
        let (status, out, log) = run(&demo(&["--seconds", "2", "--inject", fault]));
        assert_eq!(status, Some(1), "{fault}: {out}{log}");
        assert!(out.contains("FAILED: ") && out.contains(says), "{out}");
    }
}

#[test]
fn a_demo_whose_ports_are_taken_names_the_flags() {
    let _watchdog = watchdog("a_demo_whose_ports_are_taken_names_the_flags");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let held = TcpListener::bind(taken).unwrap();
    let (port, address) = (taken.port().to_string(), taken.to_string());
    for (arguments, expect) in [
        (["demo", "--app-port", &port, "--web.listen-address", "127.0.0.1:0"], "--app-port"),
        (["demo", "--app-port", "0", "--web.listen-address", &address], "--web.listen-address"),
    ] {
        let (status, out, log) = run(&arguments);
        assert_eq!((status, &*out), (Some(1), ""), "{log}");
        assert!(log.contains(expect) && log.contains(&port), "{log}");
    }
    drop(held);
}

#[test]
fn an_interrupted_demo_ends_with_its_numbers_and_a_killed_one_leaves_no_process() {
    let _watchdog = watchdog("an_interrupted_demo_ends_with_its_numbers");
    for (number, expect) in [(Signal::SIGINT, Some(0)), (Signal::SIGKILL, None)] {
        let mut child = tallyboard(&demo(&["--seconds", "600"])).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        // A line a second.
        (0..3).for_each(|_| drop(line_with(&mut log, "/600 s  sent")));
        signal(&child, number);
        // Every process of the demo has these pipes: they end when the last one has ended.
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(child.wait().unwrap().code(), expect, "{rest}{out}");
        assert_eq!(out.contains("ok: answered <= counted <= sent"), expect.is_some(), "{out}");
    }
}

#[test]
fn a_demo_that_serves_after_shows_what_it_has_counted() {
    let _watchdog = watchdog("a_demo_that_serves_after_shows_what_it_has_counted");
    let mut child =
        tallyboard(&demo(&["--seconds", "1", "--json", "--serve-after"])).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let numbers = line_with(&mut out, "counted");
    let numbers: serde_json::Value = serde_json::from_str(&numbers).unwrap();
    line_with(&mut log, "until interrupted");
    let pid = child.id().to_string();
    let (status, page, why) = run(&["ls", "--json"]);
    assert_eq!(status, Some(0), "{why}");
    let arenas: serde_json::Value = serde_json::from_str(&page).unwrap();
    let name = format!("demo-{pid}");
    assert!(arenas.as_array().unwrap().iter().any(|arena| arena["name"] == *name), "{page}");
    let (_, page, _) = run(&["scrape", "--name", &name, "--metric", "demo_http_requests_total"]);
    let counted: u64 = page
        .lines()
        .filter(|line| line.contains("client=\"load\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(numbers["counted"], counted, "{page}");
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn help_and_version_are_those_of_an_exporter() {
    let _watchdog = watchdog("help_and_version_are_those_of_an_exporter");
    let (status, out, _) = run(&["--version"]);
    assert_eq!((status, &*out), (Some(0), concat!("tallyboard ", env!("CARGO_PKG_VERSION"), "\n")));
    let (status, out, _) = run(&["serve", "--help"]);
    assert_eq!(status, Some(0));
    for flag in ["--web.listen-address", "--web.telemetry-path", "--log.level", "--log.format"] {
        assert!(out.contains(flag), "{out}");
    }
    assert!(out.contains("TALLYBOARD_WEB_LISTEN_ADDRESS") && out.contains(":9500"), "{out}");
    assert_eq!(run(&["no-such-command"]).0, Some(2));
}
