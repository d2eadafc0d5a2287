//! What those who run a service are told: where metrics are, which arenas there are, that nobody
//! counts, and which metric has met a limit.

#![forbid(unsafe_code)]

use std::process::Command;

use nix::sys::signal::Signal;
use tallyboard::{Counter, Registry};
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;
use tallyboard_tests::service::named::Named;
use tallyboard_tests::service::served::answering;
use tallyboard_tests::start::child::{HANG, Running, Watchdog, free_address};
use tallyboard_tests::start::directory::Directory;
use tallyboard_tests::start::program::{program, run};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// The program with what it says on standard error as its standard output, to be read line by line.
fn said_by(command: &Command) -> Running {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(command.get_program());
    Running::start(shell.args(command.get_args()).env_remove("TALLYBOARD"))
}

#[test]
fn where_metrics_are_is_said_first_and_listed() {
    let _watchdog = Watchdog::new("where_metrics_are_is_said_first_and_listed");
    let named = Named::new("where", WORKER);
    let (control, listen) = (named.control.to_string(), free_address().to_string());
    let url = format!("http://{listen}/counts");
    let flags = ["--control", &control, "--web.listen-address", &listen];
    let more = ["--name", &named.name, "--web.telemetry-path", "/counts"];
    for words in [&["serve"][..], &["exec"]] {
        let command: &[&str] = if words == ["exec"] { &["--", "sleep", "300"] } else { &[] };
        let mut running = said_by(&program(&[words, &flags, &more, command].concat()));
        let first = running.line(|_| true);
        assert!(first.contains(&format!("metrics on {url}")), "{first}");
        let (running, described) = answering(running, &named.control);
        assert_eq!(described.metrics, [&*url]);
        let listed = run(&["ls"]).stdout;
        let row = listed.lines().find(|line| line.contains(&named.name)).expect("it is listed");
        assert!(row.contains(&format!("  {url}  ")), "{row}");
        running.signal(Signal::SIGTERM);
        drop(running.end());
    }
}

#[test]
fn an_arena_is_found_by_its_name_whatever_its_address() {
    let _watchdog = Watchdog::new("an_arena_is_found_by_its_name_whatever_its_address");
    let directory = Directory::new("odd");
    let paths = [directory.file("a b.sock"), directory.file("x")];
    let addresses = [
        Address::Path(paths[0].clone()),
        Address::Path(paths[1].clone()),
        Address::Abstract(format!("odd {}", std::process::id())),
    ];
    for (backing, address) in
        ["posix", "memfd"].iter().flat_map(|b| addresses.iter().map(move |a| (b, a)))
    {
        let name = format!("odd-{}-{backing}", std::process::id());
        let control = address.to_string();
        let words = ["serve", "--name", &name, "--backing", backing, "--control", &control];
        let mut command = program(&[&words[..], &["--web.listen-address", "none"]].concat());
        let (serve, described) = answering(Running::start(&mut command), address);
        let listed = run(&["ls"]).stdout;
        let row = listed.lines().find(|line| line.contains(&name)).expect("it is listed");
        assert!(row.ends_with(&control) && !row.contains("discard"), "{row}");
        let page = run(&["scrape", "--name", &name]);
        assert!(page.status.success() && page.stdout.contains("tallyboard_slots"), "{page:?}");
        for words in [
            &["slots", "--name", &name][..],
            &["slots", "--pid", &described.keeper_pid.to_string()],
        ] {
            let slots = run(words);
            assert!(slots.status.success() && slots.stdout.starts_with("SLOT"), "{slots:?}");
        }
        serve.signal(Signal::SIGTERM);
        assert!(serve.end().status.success());
    }
}

#[test]
fn an_arena_that_lives_is_never_said_to_be_left() {
    let _watchdog = Watchdog::new("an_arena_that_lives_is_never_said_to_be_left");
    let named = Named::new("stopped", WORKER);
    let (serve, described) = named.serve(&[]);
    // Its supervisor answers nobody, and its keeper still has it.
    let supervisor = nix::unistd::Pid::from_raw(described.supervisor_pid as i32);
    nix::sys::signal::kill(supervisor, Signal::SIGSTOP).expect("it runs");
    let listed = run(&["ls"]).stdout;
    let pruned = run(&["prune", &named.name]);
    nix::sys::signal::kill(supervisor, Signal::SIGCONT).expect("it runs");
    let row = listed.lines().find(|line| line.starts_with(&named.name)).expect("it is listed");
    assert!(row.contains("a supervisor has it") && !row.contains("prune"), "{row}");
    assert!(row.contains(&format!("  {}  ", described.keeper_pid)), "{row}");
    assert_eq!(pruned.status.code(), Some(1));
    let kept = format!("kept: the supervisor with pid {} has it", described.keeper_pid);
    assert!(pruned.stdout.contains(&kept), "{}", pruned.stdout);
    serve.signal(Signal::SIGTERM);
    assert!(serve.end().status.success());
    assert_eq!(named.inode(), None);
}

#[test]
fn that_no_worker_attaches_is_said_once_and_not_where_one_has() {
    let _watchdog = Watchdog::new("that_no_worker_attaches_is_said_once");
    let listen = ["--web.listen-address", "none"];
    let name = format!("alone-{}", std::process::id());
    let control = Address::Abstract(format!("tallyboard/test/{name}"));
    let words = ["serve", "--name", &name, "--control", &control.to_string()];
    // It begins first, so what it would say is said before the others have.
    let worker = [&["exec"], &listen[..], &["--", WORKER, "1"]].concat();
    let mut counted = said_by(&program(&worker));
    assert!(counted.line(|line| line.starts_with("worker ")).contains(" slot "));
    let mut serve = said_by(&program(&[&words[..], &listen].concat()));
    let mut exec = said_by(&program(&[&["exec"], &listen[..], &["--", "sleep", "300"]].concat()));
    let is_it = |line: &str| line.contains("no worker has attached in 30 s");
    for running in [&mut serve, &mut exec] {
        let said = running.line(is_it);
        assert!(said.contains("level=warn") && said.contains("tallyboard doctor"), "{said}");
    }
    for (running, expect) in [(serve, 1), (exec, 1), (counted, 0)] {
        running.signal(Signal::SIGTERM);
        let ended = running.end();
        let times = ended.stdout.lines().filter(|line| is_it(line)).count();
        assert_eq!(times, expect, "{ended:?}");
    }
}

/// Begins `label_sets` series of a metric.
fn begin(registry: &'static Registry, metric: &str, label_sets: usize) {
    let family = Counter::builder(metric, "A metric.").labels(&["l"]).registry(registry).family();
    let family = family.expect("a new name");
    (0..label_sets).for_each(|l| family.with(&[&l.to_string()]).expect("a label").inc());
}

#[test]
fn the_metric_that_meets_a_limit_is_named_in_the_log_and_on_the_page() {
    let _watchdog = Watchdog::new("the_metric_that_meets_a_limit_is_named");
    let named = Named::new("limits", WORKER);
    let (serve, _) = named.serve(&["--label-limit", "3", "--max-series", "128"]);
    let registries = [(); 2].map(|()| {
        Registry::builder().address(&named.control.to_string()).attach_timeout(HANG).build()
    });
    let met = || -> Vec<String> {
        let page = ask::scrape(&named.control, &[], HANG).expect("the supervisor answers");
        let page = String::from_utf8_lossy(&page).into_owned();
        let lines = page.lines().filter_map(|line| line.strip_prefix("tallyboard_limits_met{"));
        lines.map(str::to_owned).collect()
    };
    begin(registries[0], "few", 2);
    assert_eq!(met(), Vec::<String>::new());
    begin(registries[0], "many", 5);
    assert_eq!(met(), ["limit=\"label_limit\",metric=\"many\"} 1"]);
    // Each has a slot of its own, and together they have more than the arena; then one has more than
    // its slot.
    for (limit, of) in [("arena", &registries[..]), ("slot", &registries[..1])] {
        for number in 0.. {
            for (at, registry) in of.iter().enumerate() {
                begin(registry, &format!("{limit}_{at}_{number}"), 1);
            }
            if number % 16 == 0 && met().iter().any(|line| line.contains(&format!("\"{limit}\""))) {
                break;
            }
        }
    }
    serve.signal(Signal::SIGTERM);
    let ended = serve.end();
    for limit in ["label_limit", "arena", "slot"] {
        let part = format!("limit={limit}");
        let is_it = |line: &&str| line.contains("level=warn") && line.contains(&part);
        let said: Vec<&str> = ended.stderr.lines().filter(is_it).collect();
        assert!(!said.is_empty() && said.len() <= 21, "{limit}: {said:?}");
        assert!(
            said.iter().all(|line| line.contains("--label-limit")
                || line.contains("--max-series")
                || line.contains("more metrics")),
            "{said:?}"
        );
    }
    // A worker lives, which is this process: whoever is started next would go on with the arena.
    std::fs::remove_file(&named.object).expect("it was kept");
}

#[test]
fn doctor_says_what_a_command_would_find_and_ends_with_an_error_where_something_is_bad() {
    let _watchdog = Watchdog::new("doctor_says_what_a_command_would_find");
    let named = Named::new("doctor", WORKER);
    let control = named.control.to_string();
    let none = ["--web.listen-address", "none"];
    let doctor = |flags: &[&str], command: &[&str]| {
        run(&[&["doctor"], &none[..], flags, &["--"], command].concat())
    };
    let (serve, _) = named.serve(&["--slots", "1", "--backing", "memfd"]);
    let arena = format!("{control}: the arena {}", named.name);
    let is_let_in = format!("uid {} is let in", nix::unistd::geteuid());
    let good = [
        "note interpreter",
        "ok address exec sets TALLYBOARD",
        "ok uid",
        "ok backing memfd: made for one run",
        "ok room",
    ];
    let taken = ["BAD room 0 of 1 slots are free: raise --slots"];
    let free = ["ok room 1 of 1 slots are free", &*arena, &*is_let_in, "ok backing memfd"];
    let mut worker = None;
    for (flags, command, status, parts) in [
        (&[][..], "sh", 0, &good[..]),
        (&["--backing", "posix"], "sh", 0, &["posix: configured", "/dev/shm has"]),
        (&[], "no-such-command", 1, &["BAD interpreter there is no program \"no-such-command\""]),
        (&["--slots", "1", "--control", &control], "sh", 0, &free),
        (&["--control", &control], "sh", 1, &taken),
        (&["--control", "unix:@nobody/is/there"], "sh", 1, &["BAD address no supervisor listens"]),
    ] {
        if parts == taken {
            let mut running = named.worker(&["1"]);
            assert!(running.line(|_| true).contains("slot"));
            worker = Some(running);
        }
        let ended = doctor(flags, &[command]);
        assert_eq!(ended.status.code(), Some(status), "{ended:?}");
        let said: Vec<&str> = ended.stdout.split_whitespace().collect();
        for part in parts {
            assert!(said.join(" ").contains(part), "{part:?} is not in {}", ended.stdout);
        }
    }
    drop(worker);
    serve.signal(Signal::SIGTERM);
    drop(serve.end());
}
