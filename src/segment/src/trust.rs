//! Whom a process believes: who answers on a control socket is what the kernel says, and what it
//! hands out is looked at before it is mapped.
//!
//! The kernel names who called `listen` on the other end, as it was then (SO_PEERCRED): the uid of a
//! keeper, or of the service manager that has made the socket for it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::geteuid;
use thiserror::Error;

use crate::pass::{Address, Socket};
use crate::pidfd::peer;

/// The variable that names one more uid whose supervisors are believed.
pub const VARIABLE: &str = "TALLYBOARD_SUPERVISOR_UID";

/// Whose answers a process believes: those of its own uid, of root, and of one more uid if it is
/// told of one. On a socket file also those of its owner, where nobody but root, that owner and this
/// process's uid can put another file in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    supervisor: Option<u32>,
    is_everybodys: bool,
}

/// Somebody who is not believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Untrusted {
    /// A uid of which this process knows nothing.
    #[error("{0}")]
    Uid(Stranger),
    /// A uid that has no name in this user namespace.
    #[error(
        "{address} was answered by uid {found}, which stands for every uid that this user namespace does not know; run supervisor and workers in one user namespace, or give the supervisor a uid that is mapped in this one"
    )]
    Nobody {
        /// The address.
        address: Address,
        /// The uid that stands for them.
        found: u32,
    },
    /// The kernel does not say who it is.
    #[error("the kernel does not say who answers on {address}: {source}")]
    Unknown {
        /// The address.
        address: Address,
        /// What it says.
        source: io::Error,
    },
}

/// A uid that is none of those that are believed.
#[derive(Debug, PartialEq, Eq)]
pub struct Stranger {
    address: Address,
    found: u32,
    own: u32,
    supervisor: Option<u32>,
    /// Why the owner of the socket file is not believed.
    path: Option<String>,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, found, own, .. } = self;
        write!(
            f,
            "{address} was answered by uid {found}, expected {own}, which is this process's"
        )?;
        if *own != 0 {
            f.write_str(", or 0")?;
        }
        if let Some(uid) = self.supervisor {
            write!(f, ", or {uid}, which {VARIABLE} says")?;
        }
        if let Some(path) = &self.path {
            write!(f, "; the owner of the socket is not believed, because {path}")?;
        }
        write!(f, "; if that is the supervisor's uid, set {VARIABLE}={found}")
    }
}

/// An object that a worker does not map.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Unsound {
    /// It has another size than its arena.
    #[error(
        "expected an object of {expected} bytes, found one of {found}; use the same release on both sides"
    )]
    Size {
        /// Bytes of the arena.
        expected: u64,
        /// Bytes of the object.
        found: u64,
    },
    /// Somebody could take its memory away, which would end this process with SIGBUS.
    #[error(
        "expected an object that is sealed against shrinking, or a file that only the supervisor's uid can open, found one of uid {uid} with mode {mode:o}; if that is the supervisor's uid, set {VARIABLE}={uid}"
    )]
    CanShrink {
        /// Its owner.
        uid: u32,
        /// Its permissions.
        mode: u32,
    },
    /// The system says nothing of it.
    #[error("the kernel says nothing of the object that came: {0}")]
    System(#[from] io::Error),
}

impl Trust {
    /// That of a process that was told of the uid `supervisor`.
    #[must_use]
    pub fn new(supervisor: Option<u32>) -> Self {
        Self { supervisor, is_everybodys: false }
    }

    /// That of a process with these variables in its environment.
    #[must_use]
    pub fn of_environment() -> Self {
        let uid = std::env::var(VARIABLE).ok();
        Self::new(uid.and_then(|uid| uid.parse().ok()))
    }

    /// That of somebody who maps nothing, and whom nobody can deceive: he asks whom he likes.
    #[must_use]
    pub fn everybody() -> Self {
        Self { supervisor: None, is_everybodys: true }
    }

    /// Says who answers on `socket`, which is connected to `address`.
    ///
    /// # Errors
    /// [`Untrusted`] when this process does not believe that uid.
    pub fn check(&self, address: &Address, socket: &Socket) -> Result<u32, Untrusted> {
        let found = match peer(socket.as_fd()) {
            Ok(peer) => peer.uid,
            Err(source) => return Err(Untrusted::Unknown { address: address.clone(), source }),
        };
        self.check_uid(address, found, unknown_uid(), geteuid().as_raw())
    }

    fn check_uid(
        &self,
        address: &Address,
        found: u32,
        unknown: Option<u32>,
        own: u32,
    ) -> Result<u32, Untrusted> {
        if self.is_everybodys {
            return Ok(found);
        }
        if unknown == Some(found) {
            return Err(Untrusted::Nobody { address: address.clone(), found });
        }
        if [0, own].contains(&found) || self.supervisor == Some(found) {
            return Ok(found);
        }
        let owner = address.path().map(|path| guarded_owner(path, own));
        let path = match owner {
            Some(Ok(owner)) if owner == found => return Ok(found),
            Some(Ok(owner)) => Some(format!("it is uid {owner}")),
            Some(Err(why)) => Some(why),
            None => None,
        };
        let (address, supervisor) = (address.clone(), self.supervisor);
        Err(Untrusted::Uid(Stranger { address, found, own, supervisor, path }))
    }

    /// Holds an object that the uid `from` handed out against the size that its arena has: nobody
    /// may be able to shorten it but those whom this process believes.
    ///
    /// # Errors
    /// [`Unsound`] says what is wrong with it.
    pub fn check_object(
        &self,
        object: BorrowedFd<'_>,
        words: usize,
        from: u32,
    ) -> Result<(), Unsound> {
        let stat = fstat(object).map_err(io::Error::from)?;
        let (expected, found) = ((words * size_of::<u64>()) as u64, stat.st_size as u64);
        if expected != found {
            return Err(Unsound::Size { expected, found });
        }
        // What is no object of memory has no seals.
        let seals = fcntl(object, FcntlArg::F_GET_SEALS).unwrap_or(0);
        if SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_SHRINK) {
            return Ok(());
        }
        let (uid, mode) = (stat.st_uid, stat.st_mode);
        let is_file = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG;
        let known = [0, from, geteuid().as_raw()].contains(&uid) || self.supervisor == Some(uid);
        if is_file && mode & 0o022 == 0 && known && unknown_uid() != Some(uid) {
            return Ok(());
        }
        Err(Unsound::CanShrink { uid, mode: mode & 0o7777 })
    }
}

/// The uid that the kernel says instead of every uid that the user namespace of this process does
/// not know (user_namespaces(7)): nobody is to be taken for its owner. Nothing where all are known.
#[must_use]
pub fn unknown_uid() -> Option<u32> {
    /// What it is unless a sysctl says otherwise.
    const OVERFLOW: u32 = 65534;
    let known = match std::fs::read_to_string("/proc/self/uid_map") {
        Ok(map) => map.split_ascii_whitespace().eq(["0", "0", "4294967295"]),
        // A kernel without user namespaces has one. Without /proc nothing is known.
        Err(_) => Path::new("/proc/self/status").exists(),
    };
    if known {
        return None;
    }
    let uid = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    Some(uid.and_then(|uid| uid.trim().parse().ok()).unwrap_or(OVERFLOW))
}

/// The owner of a socket file in whose folders only root, that owner and `own` can make files; else
/// why it is not believed.
fn guarded_owner(path: &Path, own: u32) -> Result<u32, String> {
    let (folders, socket) = way(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let stat = |path: &Path| {
        path.symlink_metadata().map_err(|error| format!("{}: {error}", path.display()))
    };
    let file = stat(&socket)?;
    if !file.file_type().is_socket() {
        return Err(format!("{} is no socket", socket.display()));
    }
    let owner = file.uid();
    let unknown = unknown_uid();
    for folder in folders {
        let found = stat(&folder)?;
        let (uid, mode) = (found.uid(), found.mode());
        if ![0, own, owner].contains(&uid) || unknown == Some(uid) {
            return Err(format!("the folder {} belongs to uid {uid}", folder.display()));
        }
        // A list of access rights shows in the group's.
        if mode & 0o022 != 0 {
            let mode = mode & 0o7777;
            return Err(format!(
                "others can write into the folder {} ({mode:o})",
                folder.display()
            ));
        }
    }
    Ok(owner)
}

/// Every folder that the kernel passes on the way along `path`, whose links are followed as it does,
/// and where it ends.
fn way(path: &Path) -> io::Result<(Vec<PathBuf>, PathBuf)> {
    /// How many links the kernel follows (path_resolution(7)).
    const MOST_LINKS: usize = 40;
    let names = |path: &Path| -> VecDeque<OsString> {
        let parts = path.components();
        parts.filter(|part| *part != Component::CurDir).map(|p| p.as_os_str().into()).collect()
    };
    let (mut folders, mut links) = (Vec::new(), 0);
    let (mut at, mut rest) = (PathBuf::from("/"), names(path));
    while let Some(name) = rest.pop_front() {
        if name == "/" {
            at = PathBuf::from("/");
            continue;
        }
        folders.push(at.clone());
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(name);
        // What the links of /proc lead to is not what they say.
        if next.starts_with("/proc") {
            return Err(io::Error::other("/proc is no place for a socket"));
        }
        match next.read_link() {
            Ok(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(nix::errno::Errno::ELOOP.into());
                }
                let mut names = names(&target);
                names.append(&mut rest);
                rest = names;
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => at = next,
            Err(error) => return Err(error),
        }
    }
    Ok((folders, at))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::pass::Listener;

    const OWN: u32 = 1000;

    fn verdict(trust: Trust, found: u32, unknown: Option<u32>) -> Result<u32, String> {
        let address = Address::Abstract("x".to_owned());
        trust.check_uid(&address, found, unknown, OWN).map_err(|error| error.to_string())
    }

    #[test]
    fn ones_own_uid_root_and_the_one_that_was_named_are_believed_and_a_uid_of_many_never() {
        let (plain, told) = (Trust::new(None), Trust::new(Some(7)));
        for (trust, found, unknown, expect) in [
            (plain, OWN, None, Ok(OWN)),
            (plain, 0, None, Ok(0)),
            (plain, 7, None, Err("set TALLYBOARD_SUPERVISOR_UID=7")),
            (told, 7, None, Ok(7)),
            (told, 8, None, Err("expected 1000, which is this process's, or 0, or 7, which")),
            (plain, OWN, Some(65534), Ok(OWN)),
            (plain, OWN, Some(OWN), Err("one user namespace")),
            (told, 7, Some(7), Err("stands for every uid")),
            (plain, 0, Some(0), Err("stands for every uid")),
            (Trust::everybody(), 8, Some(8), Ok(8)),
        ] {
            match (verdict(trust, found, unknown), expect) {
                (Ok(uid), expect) => assert_eq!(Ok(uid), expect, "{trust:?} {found} {unknown:?}"),
                (Err(error), Err(part)) => {
                    assert!(error.contains(part) && error.contains(&found.to_string()), "{error}");
                }
                (Err(error), _) => panic!("{trust:?} {found} {unknown:?}: {error}"),
            }
        }
    }

    /// A folder of a test, in one that is guarded as far as this process can have one.
    fn folder(test: &str) -> PathBuf {
        let name = format!("tallyboard-trust-{test}-{}", std::process::id());
        let parent = if geteuid().is_root() { "/run".into() } else { std::env::temp_dir() };
        let folder = Path::new(&parent).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_sockets_owner_is_believed_where_nobody_else_can_put_another_one() {
        let folder = folder("owner");
        let own = geteuid().as_raw();
        let socket = folder.join("a.sock");
        let _listener = Listener::bind(&Address::Path(socket.clone())).unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        let (inner, link) = (folder.join("inner"), folder.join("link"));
        std::fs::create_dir(&inner).unwrap();
        symlink("inner/../inner/b.sock", &link).unwrap();
        symlink(&socket, inner.join("b.sock")).unwrap();
        if geteuid().is_root() {
            assert_eq!(guarded_owner(&socket, own), Ok(own));
            assert_eq!(guarded_owner(&link, own), Ok(own));
            // Every folder on the way counts, those of links too.
            mode(&inner, 0o777);
            assert!(guarded_owner(&link, own).unwrap_err().contains("inner (777)"));
            mode(&inner, 0o775);
            assert!(guarded_owner(&link, own).unwrap_err().contains("inner (775)"));
            mode(&inner, 0o755);
            std::os::unix::fs::chown(&inner, Some(4711), None).unwrap();
            assert!(guarded_owner(&link, own).unwrap_err().contains("belongs to uid 4711"));
            assert_eq!(guarded_owner(&link, 4711), Ok(own));
            std::os::unix::fs::lchown(&socket, Some(4711), None).unwrap();
            assert_eq!(guarded_owner(&link, own), Ok(4711));
        }
        mode(&folder, 0o1777);
        assert!(guarded_owner(&socket, own).unwrap_err().contains("(1777)"));
        mode(&folder, 0o755);
        symlink("loop", folder.join("loop")).unwrap();
        std::fs::write(folder.join("file"), "").unwrap();
        for (name, part) in [("file", "no socket"), ("none", "No such file"), ("loop", "symbolic")]
        {
            let error = guarded_owner(&folder.join(name), own).unwrap_err();
            let is_guarded = geteuid().is_root();
            assert!(error.contains(part) || !is_guarded, "{name}: {error}");
        }
        assert!(guarded_owner(Path::new("/proc/self/cwd/x"), own).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_object_is_sealed_or_belongs_to_whom_is_believed_and_has_its_size() {
        let own = geteuid().as_raw();
        let check = |object: BorrowedFd<'_>, words| {
            Trust::new(None).check_object(object, words, own).map_err(|error| error.to_string())
        };
        let arena = crate::memfd::create(8192).unwrap();
        let object = arena.object().unwrap();
        assert_eq!(check(object, 8192), Ok(()));
        let error = check(object, 8193).unwrap_err();
        assert!(error.contains("65544 bytes, found one of 65536"), "{error}");
        // One without seals can be shortened by everybody who has it.
        let body = crate::memfd::of_bytes(&[0; 64]).unwrap();
        let error = check(body.as_fd(), 8).unwrap_err();
        assert!(error.contains("sealed against shrinking"), "{error}");
        let path = std::env::temp_dir().join(format!("tallyboard-object-{}", std::process::id()));
        std::fs::write(&path, [0; 64]).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        for (mode, is_good) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            file.set_permissions(PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(check(file.as_fd(), 8).is_ok(), is_good, "{mode:o}");
        }
        file.set_permissions(PermissionsExt::from_mode(0o600)).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
            let error = check(file.as_fd(), 8).unwrap_err();
            assert!(error.contains("TALLYBOARD_SUPERVISOR_UID=4711"), "{error}");
            Trust::new(Some(4711)).check_object(file.as_fd(), 8, own).unwrap();
            Trust::new(None).check_object(file.as_fd(), 8, 4711).unwrap();
        }
        std::fs::remove_file(&path).unwrap();
    }
}
