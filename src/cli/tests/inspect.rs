//! `tallyboard inspect` as its users meet it: a served arena, a damaged copy, and what is none.

#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;
use tallyboard::{Counter, Registry};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tallyboard");

/// A supervisor that is stopped when the test ends, however it does.
struct Served(Child, PathBuf);

impl Drop for Served {
    fn drop(&mut self) {
        // One that is gone already has nothing to be told.
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
        // This process still counts in the arena, so its supervisor leaves the object behind.
        let _ = std::fs::remove_file(&self.1);
    }
}

fn serve(name: &str, control: &str, backing: &str) -> Served {
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--name", name, "--control", control, "--backing", backing])
        .args(["--web.listen-address", "127.0.0.1:0", "--slots", "4", "--max-series", "64"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let served = Served(child, format!("/dev/shm/tallyboard-{}-{name}", geteuid()).into());
    let mut line = String::new();
    while !line.contains("workers attach with") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it does not serve");
    }
    // The rest of the log is read so that nobody waits for it.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    served
}

fn inspect(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PROGRAM).arg("inspect").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_served_arena_is_sound_and_a_damaged_copy_is_not() {
    let name = format!("inspect-{}", std::process::id());
    let control = format!("unix:@tallyboard/{}/{name}", geteuid());
    let _served = serve(&name, &control, "posix");
    Registry::builder().address(&control).install().unwrap();
    Counter::new("inspected_total", "Counted.").unwrap().inc();
    Registry::shared().attach().unwrap();
    let (status, out, log) = inspect(&[&name]);
    assert_eq!(status, Some(0), "{out}{log}");
    assert!(out.contains("1 taken, 3 free") && out.ends_with("sound\n"), "{out}");
    let (status, out, _) = inspect(&[&name, "--json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &found["sound"]), (Some(0), &Value::Bool(true)), "{out}");
    assert_eq!(found["slots"][0]["pid"], std::process::id());
    assert_eq!(found["geometry"]["slots"], 4);
    let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("damaged");
    std::fs::copy(format!("/dev/shm/tallyboard-{}-{name}", geteuid()), &copy).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&copy).unwrap();
    file.write_all_at(&[7], 40 * 8).unwrap();
    let (status, out, _) = inspect(&[copy.to_str().unwrap()]);
    assert_eq!(status, Some(1), "{out}");
    assert!(
        out.contains("byte 320: entry[0].state: expected") && out.ends_with("1 damage\n"),
        "{out}"
    );
}

#[test]
fn an_arena_in_anonymous_memory_is_found_by_its_name() {
    let name = format!("inspect-memfd-{}", std::process::id());
    let _served = serve(&name, &format!("unix:@tallyboard/{}/{name}", geteuid()), "memfd");
    let (status, out, log) = inspect(&[&name]);
    assert_eq!(status, Some(0), "{out}{log}");
    assert!(out.contains("/fd/") && out.contains("0 taken, 4 free"), "{out}");
}

#[test]
fn what_cannot_be_inspected_says_why() {
    let (status, _, log) = inspect(&["no-such-arena"]);
    assert_eq!(status, Some(1));
    assert!(log.contains("an arena called \"no-such-arena\", found none"), "{log}");
    let (status, _, log) = inspect(&[PROGRAM]);
    assert_eq!(status, Some(1));
    assert!(log.contains("byte 0: header.magic: expected 0x"), "{log}");
    assert_eq!(inspect(&[]).0, Some(2));
    assert_eq!(inspect(&["--no-such-flag", "x"]).0, Some(2));
}
