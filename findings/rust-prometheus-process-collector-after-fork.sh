#!/usr/bin/env bash
# Crate prometheus 0.14.0 with its feature `process`: a preloading master gathers the default registry once and forks
# a worker. A strong guess is that process_cpu_seconds_total of the worker is the worker's.
#
# Seen: the collector keeps the pid of the process that first used the registry. A worker that has computed for two
# seconds shows the master's processor time, 0, and the master's descriptors and memory.
set -euo pipefail
here=$(mktemp -d); trap 'rm -rf "$here"' EXIT
mkdir "$here/src" && cd "$here"
cat >Cargo.toml <<'MANIFEST'
[package]
name = "forked"
version = "0.1.0"
edition = "2021"
[dependencies]
libc = "0.2"
prometheus = { version = "=0.14.0", default-features = false, features = ["process"] }
MANIFEST
cat >src/main.rs <<'MAIN'
use prometheus::{Encoder, TextEncoder};
use std::time::{Duration, Instant};

fn line() -> String {
    let mut page = Vec::new();
    TextEncoder::new().encode(&prometheus::gather(), &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    page.lines().find(|line| line.starts_with("process_cpu_seconds_total")).unwrap().to_owned()
}

fn main() {
    println!("master: {}", line());
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(2) {
            std::hint::black_box(0);
        }
        println!("worker after 2 s of work: {}", line());
        return;
    }
    // SAFETY: a null pointer is allowed here.
    unsafe { libc::wait(std::ptr::null_mut()) };
}
MAIN
cargo run --quiet --release | tee page
grep -qx 'worker after 2 s of work: process_cpu_seconds_total 0' page ||
    { echo "changed: the worker's own time was expected not to be there"; exit 1; }
echo "as described"
