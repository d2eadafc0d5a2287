//! `tallyboard demo`: a prefork HTTP application that is loaded, killed and scraped, and whose counts
//! are checked against what its clients saw.
//!
//! | module | owns |
//! |---|---|
//! | [`flags`] | what it can be told |
//! | `parent` | the single-threaded parent: forks, reaps, kills, and the order of a run |
//! | [`children`] | what passes between the parent and its children: pipes, signals, endings |
//! | [`application`] | a worker: an HTTP server that counts |
//! | [`load`] | the clients: what was sent, and what was answered |
//! | [`watch`] | the scrapes, and what went down between them |
//! | [`page`] | an exposition over HTTP, and how it is read |
//! | [`verdict`] | the numbers, and whether they hold |
//!
//! Every request is sent at most once and counted before its answer leaves, so that
//! `answered <= counted <= sent` whatever is killed when. The three numbers have three owners: the
//! load process, the shared memory, and the load process again; the parent only compares them.

mod application;
mod children;
pub mod flags;
mod load;
mod page;
mod parent;
mod verdict;
mod watch;

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tallyboard_supervisor::{Builder, ListenAddress};

use crate::demo::flags::DemoFlags;

/// Runs the demo.
///
/// # Errors
/// When it cannot be set up; a run that does not hold is an exit status.
pub fn run(flags: &DemoFlags) -> Result<ExitCode> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, flags.app_port)).with_context(|| {
        format!(
            "cannot serve the application on 127.0.0.1:{}; free the port, or choose another with \
             --app-port (0 for any)",
            flags.app_port
        )
    })?;
    listener.set_nonblocking(true)?;
    check_free(&flags.listen)?;
    let board = Builder::new()
        .name(&format!("demo-{}", std::process::id()))
        .listen(flags.listen.clone())
        .spawn()
        .with_context(|| format!("cannot start a supervisor with metrics on {}", flags.listen))?;
    let outcome = match board.metrics().first() {
        Some(&metrics) => parent::run(flags, board.address(), metrics, listener),
        None => bail!(
            "expected metrics on {}, found them nowhere; choose another address with \
             --web.listen-address",
            flags.listen
        ),
    };
    board.stop();
    Ok(if outcome? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Finds out that the metrics port is taken while the error can still name this program's flag.
fn check_free(listen: &ListenAddress) -> Result<()> {
    let candidates = listen.candidates().unwrap_or_default();
    let error = candidates.iter().find_map(|candidate| TcpListener::bind(candidate).err());
    match error.filter(|error| error.kind() == std::io::ErrorKind::AddrInUse) {
        Some(error) => Err(error).with_context(|| {
            format!(
                "cannot serve metrics on {listen}; free the port, or choose another address with \
                 --web.listen-address"
            )
        }),
        None => Ok(()),
    }
}
