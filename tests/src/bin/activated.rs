//! A service as a service manager starts it: it says what was passed to it, serves on the socket that
//! was, and says itself when it is ready, which is when it has been asked for the first time.
//!
//! Its first line is one JSON object: what it finds. Each connection sends one line: `count` counts,
//! `close` closes the socket and lives on; anything else is only answered. Without a socket it ends.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::id;

use tallyboard::Counter;
use tallyboard_segment::pidfd::Pidfd;
use tallyboard_segment::process::{close_passed, passed_descriptor};

fn main() -> io::Result<()> {
    println!("{}", found());
    let passed: u32 = env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    if passed == 0 || env::var("LISTEN_PID") != Ok(id().to_string()) {
        return Ok(());
    }
    let mut listener = Some(TcpListener::from(passed_descriptor(3)?));
    let asked = Counter::new("app_asked", "How often it was asked.").map_err(io::Error::other)?;
    let mut is_ready = false;
    while let Some(socket) = &listener {
        let (mut stream, _) = socket.accept()?;
        let words = line(&stream)?;
        match words.as_str() {
            "count" => asked.inc(),
            "close" => {
                listener = None;
                close_passed(passed);
            }
            _ => {}
        }
        if !is_ready {
            is_ready = true;
            say("READY=1\nSTATUS=activated\n")?;
        }
        writeln!(stream, "{words}")?;
    }
    loop {
        nix::unistd::pause();
    }
}

/// What a service manager has passed, as far as a process can see it.
fn found() -> serde_json::Value {
    let passed = ["LISTEN_", "WATCHDOG_", "NOTIFY_"];
    let variables: BTreeMap<String, String> = env::vars()
        .filter(|(name, _)| passed.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    let inode = Pidfd::open(id()).map_or(0, |pidfd| pidfd.inode());
    serde_json::json!({ "pid": id(), "inode": inode, "descriptors": descriptors(), "variables": variables })
}

/// The descriptors that are open, but for the one that lists them.
fn descriptors() -> Vec<i32> {
    let names = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = names.filter_map(|entry| {
        let number = entry.file_name().to_string_lossy().parse().ok()?;
        let target = fs::read_link(entry.path()).unwrap_or_default();
        (!target.ends_with("fd")).then_some(number)
    });
    let mut numbers: Vec<i32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

fn line(stream: &TcpStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn say(state: &str) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    UnixDatagram::unbound()?.send_to(state.as_bytes(), path).map(drop)
}
