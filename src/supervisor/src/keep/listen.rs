//! The sockets on which a supervisor is found: one for workers, and those for metrics.
//!
//! A socket file has a lock file beside it, which is locked as long as somebody serves it, and says
//! which socket was made under it. What stands at the path is replaced when it is a socket that nobody
//! listens on and that the lock file shows to be one of ours; anything else is left alone. At the end
//! the socket that was made here is removed, and no other that may be there by then.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;
use tallyboard_segment::names::{self, Identity, Removal};
use tallyboard_segment::pass::{Address, Listener, Socket};
use tallyboard_segment::pidfd;
use tallyboard_segment::process::random_u64;

use crate::config::ListenAddress;
use crate::keep::unopened::OpenError;

/// How long a socket that may be somebody's is asked for.
const ASK: Duration = Duration::from_millis(250);
/// How often a lock file is locked anew, because its name leads to another one by then.
const ATTEMPTS: usize = 100;

/// The control socket, with its file when it has one.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) listener: Listener,
    file: Option<SocketFile>,
}

/// A socket file that was made here, and the lock file beside it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Identity,
    lock: LockFile,
}

/// A lock file, locked.
#[derive(Debug)]
struct LockFile {
    path: PathBuf,
    file: Flock<File>,
    identity: Identity,
    /// Whether it was there before.
    was_there: bool,
}

impl Control {
    /// A socket that the service manager listens on, and that stays its own.
    pub(crate) fn passed(listener: Listener) -> Self {
        Self { listener, file: None }
    }

    /// Listens on `address`.
    ///
    /// # Errors
    /// [`OpenError`] when somebody has it, or the system refuses.
    pub(crate) fn bind(address: &Address, for_others: bool) -> Result<Self, OpenError> {
        let control = |source| OpenError::Control { address: address.clone(), source };
        let Some(path) = address.path() else {
            let listener = Listener::bind(address).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => held(address),
                _ => control(error),
            })?;
            return Ok(Self { listener, file: None });
        };
        let lock = LockFile::take(path).map_err(control)?.ok_or_else(|| held(address))?;
        sweep(path);
        sweep(&lock.path);
        if let Err(error) = make_free(address, path, &lock) {
            // What was there before says of a socket whose it is.
            if !lock.was_there {
                lock.remove();
            }
            return Err(error);
        }
        Self::bind_file(address, path, lock, for_others).map_err(control)
    }

    /// Makes the socket file at a free path.
    fn bind_file(
        address: &Address,
        path: &Path,
        mut lock: LockFile,
        for_others: bool,
    ) -> io::Result<Self> {
        let bound = lock.say("").and_then(|()| Listener::bind(address)).and_then(|listener| {
            let identity = Identity::of(&fs::symlink_metadata(path)?);
            Ok((listener, identity))
        });
        let (listener, identity) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                lock.remove();
                return Err(error);
            }
        };
        let mut file = SocketFile { path: path.to_owned(), identity, lock };
        // Who may attach is decided by uid; the mode only keeps strangers from asking.
        let mode = if for_others { 0o666 } else { 0o600 };
        let prepared = fs::set_permissions(path, Permissions::from_mode(mode))
            .and_then(|()| file.lock.say(&line(identity)));
        match prepared {
            Ok(()) => Ok(Self { listener, file: Some(file) }),
            Err(error) => {
                file.remove();
                Err(error)
            }
        }
    }

    /// Removes the socket file that was made here, with its lock file.
    pub(crate) fn remove(&self) {
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

impl SocketFile {
    fn remove(&self) {
        match remove(&self.path, self.identity) {
            Ok(Removal::Another) => {
                tracing::warn!(path = %self.path.display(), "what is there now is not the control socket that was made here; it is left alone");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot remove the control socket");
            }
        }
        self.lock.remove();
    }
}

impl LockFile {
    /// Takes the lock beside the socket file `socket`; nothing when somebody has it.
    fn take(socket: &Path) -> io::Result<Option<Self>> {
        let path = lock_path(socket);
        for _ in 0..ATTEMPTS {
            let (file, was_there) = open(&path)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(io::Error::other(format!("{} is no file", path.display())));
            }
            let identity = Identity::of(&metadata);
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                // Who removed it may have held it until now: then it excludes nobody.
                Ok(_) if !identity.is_at(&path) => {}
                Ok(file) => {
                    let lock = Self { path, file, identity, was_there };
                    return lock.is_one(metadata.uid()).map(|()| Some(lock));
                }
                Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
                Err((_, error)) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Makes sure that it is a lock file of ours, and not a file of somebody's that has its name.
    fn is_one(&self, found: u32) -> io::Result<()> {
        is_own(&self.path, found)?;
        let path = self.path.display();
        match is_lock(&said(&self.file)?) {
            true => Ok(()),
            false => Err(io::Error::other(format!("{path} is a file, and not a lock of ours"))),
        }
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        (&*self.file).rewind()?;
        (&*self.file).write_all(text.as_bytes())
    }

    fn remove(&self) {
        if let Err(error) = remove(&self.path, self.identity) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a lock file");
        }
    }
}

/// What the text of a lock file begins with.
const SOCKET: &str = "socket ";

/// What a lock file says of the socket that was made under it.
fn said(mut file: &File) -> io::Result<String> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(4096).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Whether a lock file of ours says this: one of 0.1 says nothing, nor does that of who died before it
/// could be said.
fn is_lock(said: &str) -> bool {
    said.is_empty() || said.starts_with(SOCKET)
}

/// What a lock file says of a socket.
fn line(socket: Identity) -> String {
    format!("{SOCKET}{}:{}\n", socket.device, socket.inode)
}

/// The lock file of a socket file: the name of 0.1, but for one that is the socket's own.
fn lock_path(socket: &Path) -> PathBuf {
    match socket.with_extension("lock") {
        same if same == socket => socket.with_extension("lock.lock"),
        other => other,
    }
}

/// Opens a lock file for reading and writing, made when there is none; says whether there was one.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    match options.clone().create_new(true).open(path) {
        Ok(file) => Ok((file, false)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // What is no file may do something when it is opened.
            let found = fs::symlink_metadata(path)?;
            if !found.is_file() {
                return Err(io::Error::other(format!("{} is no file", path.display())));
            }
            is_own(path, found.uid())?;
            options.open(path).map(|file| (file, true))
        }
        Err(error) => Err(error),
    }
}

/// Makes sure that a file at `path`, which is of uid `found`, is of this process's.
fn is_own(path: &Path, found: u32) -> io::Result<()> {
    match found == geteuid().as_raw() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{} is a file of uid {found}", path.display()))),
    }
}

/// Removes a name of ours that a socket of ours has.
fn remove(path: &Path, meant: Identity) -> io::Result<Removal> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{:016x}", random_u64()?));
    names::remove(path, meant, Path::new(&aside))
}

/// Removes what is left of the name `path` where somebody was killed while he removed it.
fn sweep(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let aside = entry.path();
        // What cannot be removed is in nobody's way.
        let _ = (is_aside(name, &entry.file_name()) && is_dead(&aside))
            .then(|| fs::remove_file(&aside));
    }
}

/// Whether `found` is what [`remove`] calls `name` for a moment.
fn is_aside(name: &OsStr, found: &OsStr) -> bool {
    let rest = found.as_bytes().strip_prefix(name.as_bytes());
    let rest = rest.and_then(|rest| rest.strip_prefix(b"."));
    rest.is_some_and(|rest| rest.len() == 16 && rest.iter().all(u8::is_ascii_hexdigit))
}

/// Whether it is a socket of ours that nobody listens on, or a lock file of ours that nobody has.
fn is_dead(aside: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(aside) else { return false };
    if metadata.uid() != geteuid().as_raw() {
        return false;
    }
    if metadata.file_type().is_socket() {
        return living(&Address::Path(aside.to_owned())).is_none();
    }
    let Ok(file) = metadata.is_file().then(|| File::open(aside)).transpose() else { return false };
    let locked = file.map(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock));
    let Some(Ok(file)) = locked else { return false };
    said(&file).is_ok_and(|text| is_lock(&text))
}

/// Sees to it that nothing is at `path`: a dead socket of ours is removed, all else is an error.
fn make_free(address: &Address, path: &Path, lock: &LockFile) -> Result<(), OpenError> {
    let control = |source| OpenError::Control { address: address.clone(), source };
    let taken = |found: String| OpenError::ControlTaken { address: address.clone(), found };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(control(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(taken(kind(&metadata).to_owned()));
    }
    if let Some(found) = living(address) {
        return Err(taken(found));
    }
    let (expected, found) = (geteuid().as_raw(), metadata.uid());
    if expected != found {
        return Err(taken(format!("a socket of uid {found}")));
    }
    let socket = Identity::of(&metadata);
    let said = said(&lock.file).map_err(control)?;
    let is_shown = if said.is_empty() { lock.was_there } else { said == line(socket) };
    if !is_shown {
        let lock = lock.path.display();
        return Err(taken(format!("a socket that {lock} does not show to be a supervisor's")));
    }
    match remove(path, socket).map_err(control)? {
        Removal::Removed | Removal::Gone => Ok(()),
        Removal::Another => Err(taken("another socket from one moment to the next".to_owned())),
    }
}

/// What stands at a path, in words.
fn kind(metadata: &fs::Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_symlink() => "a link",
        () if kind.is_dir() => "a directory",
        () if kind.is_file() => "a file",
        () => "what is no socket",
    }
}

/// Who is behind a socket file, as far as somebody is.
fn living(address: &Address) -> Option<String> {
    match Socket::connect(address, Instant::now() + ASK) {
        Ok(socket) => {
            let pid = pidfd::peer(socket.as_fd()).map_or(0, |peer| peer.pid);
            Some(format!("a socket that the process with pid {pid} listens on"))
        }
        // Nobody is.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("a socket that cannot be asked whose it is ({error})")),
    }
}

/// The error that names who listens on `address`.
fn held(address: &Address) -> OpenError {
    let peer = Socket::connect(address, Instant::now() + ASK).and_then(|s| pidfd::peer(s.as_fd()));
    OpenError::ControlHeld { address: address.clone(), pid: peer.map_or(0, |peer| peer.pid) }
}

/// A metrics address, with its socket once it could be bound.
#[derive(Debug)]
pub(crate) struct MetricsSocket {
    pub(crate) address: ListenAddress,
    pub(crate) listener: Option<TcpListener>,
}

impl MetricsSocket {
    pub(crate) fn open(address: &ListenAddress, must: bool) -> Result<Self, OpenError> {
        let mut socket = Self { address: address.clone(), listener: None };
        match socket.bind() {
            Ok(()) => Ok(socket),
            Err(source) if must => Err(OpenError::Listen { address: address.clone(), source }),
            Err(error) => {
                tracing::warn!(%address, %error, "cannot serve metrics yet; trying again every 5 s: free the address, or choose another --web.listen-address");
                Ok(socket)
            }
        }
    }

    /// Tries to bind the address.
    pub(crate) fn bind(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(&self.address.candidates()?[..])?;
        listener.set_nonblocking(true)?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Where metrics are served, with the port that the system chose.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_moved_aside_is_known() {
        for (found, expect) in [
            ("a.sock.60e60d075822be6a", true),
            ("a.sock", false),
            ("a.sock.", false),
            ("a.sock.60e60d075822be6", false),
            ("a.sock.60e60d075822be6x", false),
            ("a.sock.60e60d075822be6a.b", false),
            ("b.sock.60e60d075822be6a", false),
        ] {
            assert_eq!(is_aside(OsStr::new("a.sock"), OsStr::new(found)), expect, "{found}");
        }
    }

    #[test]
    fn a_lock_file_is_never_the_socket_itself() {
        for (socket, lock) in [
            ("/run/tallyboard/shop.sock", "/run/tallyboard/shop.lock"),
            ("/run/shop", "/run/shop.lock"),
            ("/run/shop.lock", "/run/shop.lock.lock"),
        ] {
            assert_eq!(lock_path(Path::new(socket)), Path::new(lock));
        }
    }
}
