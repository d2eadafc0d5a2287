//! `tallyboard serve`: a keeper and its supervisor, for workers that are started elsewhere.

use std::fs::DirBuilder;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::libc::{SIGINT, SIGQUIT, SIGTERM};
use nix::unistd::{AccessFlags, access, geteuid};
use tallyboard_segment::pass::Address;
use tallyboard_segment::trust;
use tallyboard_supervisor::{Happening, Keeper, control_address};
use tracing::{info, warn};

use crate::flags::arena_name;
use crate::run::flags::ArenaFlags;
use crate::run::swept;
use crate::send::export::Service;

/// Name of the arena unless a flag says otherwise.
const DEFAULT_NAME: &str = "default";

/// Flags of `serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeFlags {
    /// Name of the arena.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, value_parser = arena_name)]
    pub name: String,
    /// Where workers attach, unix:/path or unix:@name [default: unix:/run/tallyboard/NAME.sock,
    /// else the same under $XDG_RUNTIME_DIR].
    #[arg(long, value_name = "ADDRESS")]
    pub control: Option<Address>,
    /// Try again every 5 s where an address for metrics is taken, as `exec` does, and do not fail.
    #[arg(long = "web.listen-retry")]
    pub listen_retry: bool,
    /// Stop when standard input ends: with the last process that holds the other end of a pipe.
    #[arg(long)]
    pub until_eof: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub arena: ArenaFlags,
}

/// Serves until SIGTERM, SIGINT or SIGQUIT, or until standard input ends where that was asked for.
///
/// # Errors
/// When the arena, the control socket or a metrics address cannot be had, or the arena is cut off.
pub fn run(flags: &ServeFlags) -> Result<ExitCode> {
    let control = match (&flags.control, control_address()) {
        (Some(control), passed) => {
            if let Some(passed) = passed.filter(|passed| passed != control) {
                warn!(%passed, %control, "a socket that was passed is not used, because --control names another");
            }
            control.clone()
        }
        (None, Some(passed)) => passed,
        (None, None) => {
            let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
            default_control(&flags.name, Path::new("/run"), runtime.as_deref())?
        }
    };
    let mut config = flags.arena.config(&flags.name, control, !flags.listen_retry)?;
    config.is_service = true;
    let is_named = flags.name != DEFAULT_NAME;
    let name = if is_named { flags.name.clone() } else { "unknown_service:tallyboard".to_owned() };
    config.outlets = flags.arena.export.outlets(&Service::new(name, &flags.name))?;
    let mut keeper = Keeper::open(config)?;
    keeper.start().context("cannot start the supervisor")?;
    info!(
        name = flags.name,
        "workers attach with TALLYBOARD={} {}={}",
        keeper.address(),
        trust::VARIABLE,
        geteuid()
    );
    swept::sweep();
    let input = io::stdin();
    let followed = [input.as_fd()];
    let followed = if flags.until_eof { &followed[..] } else { &[] };
    loop {
        match keeper.wait_for(followed).context("the keeper cannot wait for what happens")? {
            Happening::Signal(signal @ (SIGTERM | SIGINT | SIGQUIT)) => info!(signal, "stopping"),
            Happening::Readable(_) if ended(input.lock()) => {
                info!("standard input ended, stopping")
            }
            Happening::ArenaLost => {
                keeper.stop();
                bail!(LOST);
            }
            _ => continue,
        }
        keeper.stop();
        swept::sweep();
        return Ok(ExitCode::SUCCESS);
    }
}

/// Why it ends without being told to.
const LOST: &str = "some process has cut off the arena's object in /dev/shm, so what was counted is lost; start it \
    again for a new one, and see which process of this user does so, or use --backing memfd, which nobody can cut \
    off";

/// Whether nothing comes any more; what comes is nothing that is listened to.
fn ended(mut input: impl Read) -> bool {
    match input.read(&mut [0; 4096]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != io::ErrorKind::Interrupted,
    }
}

/// The socket of the arena `name` under the first of the two directories that can have it.
fn default_control(name: &str, run: &Path, runtime: Option<&Path>) -> Result<Address> {
    let mut refusals = Vec::new();
    for (parent, mode) in [(Some(run), 0o755), (runtime, 0o700)] {
        let Some(parent) = parent.filter(|parent| parent.is_absolute()) else { continue };
        let directory = parent.join("tallyboard");
        match usable(&directory, mode) {
            Ok(()) => {
                let socket = directory.join(format!("{name}.sock"));
                return format!("unix:{}", socket.display()).parse().context("the default socket");
            }
            Err(error) => refusals.push(format!("{}: {error}", directory.display())),
        }
    }
    if runtime.is_none() {
        refusals.push("XDG_RUNTIME_DIR is not set".to_owned());
    }
    bail!(
        "expected a directory for the control socket, found none ({}); name a socket with \
         --control unix:/path, or one without a directory with --control unix:@name",
        refusals.join("; ")
    )
}

/// Makes sure that sockets can be made in `directory`.
fn usable(directory: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    Ok(access(directory, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_socket_is_in_the_first_directory_that_can_have_it() {
        let base = std::env::temp_dir().join(format!("tallyboard-serve-{}", std::process::id()));
        let (run, runtime) = (base.join("run"), base.join("user"));
        std::fs::create_dir_all(&runtime).unwrap();
        let found = default_control("a", &run, Some(&runtime)).unwrap();
        assert_eq!(found.path(), Some(&*runtime.join("tallyboard/a.sock")));
        std::fs::create_dir_all(&run).unwrap();
        // The second time finds the directory that the first one made.
        for _ in 0..2 {
            let found = default_control("a", &run, Some(&runtime)).unwrap();
            assert_eq!(found.path(), Some(&*run.join("tallyboard/a.sock")));
        }
        std::fs::remove_dir_all(&base).unwrap();
        for (runtime, expect) in
            [(None, "XDG_RUNTIME_DIR is not set"), (Some(&*runtime), "user/tallyboard: No such")]
        {
            let error = default_control("a", &run, runtime).unwrap_err().to_string();
            assert!(error.contains("run/tallyboard: No such"), "{error}");
            assert!(error.contains(expect) && error.contains("--control unix:@name"), "{error}");
        }
    }
}
