//! What the parts have in common: a keeper beside this process, and the page that it serves.

use std::net::SocketAddr;
use std::time::Duration;

use tallyboard::Registry;
use tallyboard_segment::process::fork_child;
use tallyboard_supervisor::{Builder, Handle};
use tallyboard_tests::child::until;
use tallyboard_tests::http::get;
use tallyboard_tests::page::Page;

use crate::text_flag;

/// Spawns a keeper with the backing of `--backing`, and points the shared registry at it.
pub(crate) fn spawn(slots: usize) -> Result<Handle, String> {
    let backing = text_flag("backing", "auto").parse().map_err(|e| format!("{e}"))?;
    let listen = "127.0.0.1:0".parse().map_err(|e| format!("{e}"))?;
    let handle = Builder::new().listen(listen).backing(backing).slots(slots).spawn();
    let handle = handle.map_err(|error| error.to_string())?;
    let registry = Registry::builder().address(handle.address());
    let installed = registry.attach_timeout(Duration::from_secs(10)).install();
    installed.map_err(|error| error.to_string())?;
    Ok(handle)
}

/// Forks a child that runs `body`, and that does not outlive this process.
pub(crate) fn fork(body: impl FnOnce() -> i32) -> Result<u32, String> {
    let tied = || if end_with_parent().is_ok() { body() } else { 1 };
    fork_child(tied).map_err(|error| error.to_string())
}

/// Has the kernel kill this process when its parent dies.
pub(crate) fn end_with_parent() -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
}

/// Scrapes the page.
pub(crate) fn scrape(address: SocketAddr) -> Result<Page, String> {
    let answer = get(address, "/metrics").map_err(|error| format!("no scrape: {error}"))?;
    if answer.status != 200 {
        return Err(format!("expected a page, found status {}", answer.status));
    }
    Page::parse(&answer.body)
}

/// How many slots are taken, as the page says.
pub(crate) fn taken(page: &Page) -> f64 {
    let state = |state| page.value("tallyboard_slots", &[("state", state)]).unwrap_or(f64::NAN);
    state("live") + state("assigned") + state("draining")
}

/// Scrapes until at most `most` slots are taken.
pub(crate) fn scrape_when_taken(address: SocketAddr, most: f64) -> Result<Page, String> {
    until(|| match scrape(address) {
        Ok(page) if taken(&page) <= most => Some(Ok(page)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}
