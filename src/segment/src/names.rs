//! Names in a directory that others may use too. A name is given without replacing anything, and is
//! removed only after it was moved aside and found to lead to what is meant: between a look and a
//! removal it may have become somebody else's.

use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;

/// What a name leads to: one inode, for as long as somebody has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The device that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

impl Identity {
    /// What this is said of.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// What is open.
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn of_file(file: &File) -> io::Result<Self> {
        Ok(Self::of(&file.metadata()?))
    }

    /// Whether `path`, which is not followed when it is a link, leads to it now.
    #[must_use]
    pub fn is_at(self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| Self::of(&found) == self)
    }
}

/// What became of a name that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Removal {
    /// It is removed.
    Removed,
    /// There was no such name.
    Gone,
    /// It leads to something else, and was left alone.
    Another,
}

/// Removes `path` where it leads to `meant`. It is called `aside` for the moment in which that is
/// made sure of: a name of the same directory that nobody else makes.
///
/// # Errors
/// What the system says when a name cannot be moved or removed.
pub fn remove(path: &Path, meant: Identity, aside: &Path) -> io::Result<Removal> {
    match fs::symlink_metadata(path) {
        Ok(found) if Identity::of(&found) == meant => {}
        Ok(_) => return Ok(Removal::Another),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removal::Gone),
        Err(error) => return Err(error),
    }
    match fs::rename(path, aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removal::Gone),
        Err(error) => return Err(error),
    }
    settle(path, meant, aside)
}

/// Removes what was moved aside when it is what is meant. Else it became somebody else's between the
/// look and the move, and gets its name back.
fn settle(path: &Path, meant: Identity, aside: &Path) -> io::Result<Removal> {
    if meant.is_at(aside) {
        fs::remove_file(aside)?;
        return Ok(Removal::Removed);
    }
    rename_new(aside, path)?;
    Ok(Removal::Another)
}

/// Gives what `from`, a name that nobody else makes or takes, leads to the name `to`.
///
/// # Errors
/// `AlreadyExists` when there is such a name; else what the system says.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let path = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (old, new) = (path(from)?, path(to)?);
    // SAFETY: both are texts that end with a zero and live until the call returns.
    let renamed = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            old.as_ptr(),
            libc::AT_FDCWD,
            new.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    match Errno::result(renamed) {
        Ok(_) => Ok(()),
        // A file system, or a sandbox, that does not know how: in two steps, of which the first is
        // the one that replaces nothing.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("names-{test}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn a_name_is_given_without_replacing_anything() {
        let folder = Folder::new("given");
        let (one, two) = (folder.file("one", "1"), folder.file("two", "2"));
        let taken = rename_new(&one, &two).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&two).unwrap(), "2");
        let free = folder.0.join("free");
        rename_new(&one, &free).unwrap();
        assert_eq!(fs::read_to_string(&free).unwrap(), "1");
        assert!(!one.exists());
        assert!(rename_new(&one, &folder.0.join("x")).is_err());
    }

    #[test]
    fn a_name_is_removed_when_it_leads_to_what_is_meant() {
        let folder = Folder::new("removed");
        let (own, aside) = (folder.file("own", "own"), folder.0.join("aside"));
        let meant = Identity::of(&fs::symlink_metadata(&own).unwrap());
        // Somebody else's, put where ours was.
        let other = folder.file("other", "other");
        let kept = folder.0.join("kept");
        fs::rename(&own, &kept).unwrap();
        fs::rename(&other, &own).unwrap();
        assert_eq!(remove(&own, meant, &aside).unwrap(), Removal::Another);
        assert_eq!(fs::read_to_string(&own).unwrap(), "other");
        // A link to what is meant is another name.
        fs::remove_file(&own).unwrap();
        std::os::unix::fs::symlink(&kept, &own).unwrap();
        assert_eq!(remove(&own, meant, &aside).unwrap(), Removal::Another);
        assert_eq!(remove(&kept, meant, &aside).unwrap(), Removal::Removed);
        assert_eq!(remove(&kept, meant, &aside).unwrap(), Removal::Gone);
        assert!(!aside.exists() && own.is_symlink());
    }

    #[test]
    fn what_became_another_as_it_was_moved_gets_its_name_back() {
        let folder = Folder::new("moved");
        let meant = Identity::of(&fs::symlink_metadata(folder.file("own", "own")).unwrap());
        let (name, aside) = (folder.0.join("name"), folder.file("aside", "other"));
        assert_eq!(settle(&name, meant, &aside).unwrap(), Removal::Another);
        assert_eq!(fs::read_to_string(&name).unwrap(), "other");
        // Where somebody has taken the name meanwhile, nothing is lost: it is where it was moved to.
        fs::rename(&name, &aside).unwrap();
        folder.file("name", "third");
        assert!(settle(&name, meant, &aside).is_err());
        assert_eq!(fs::read_to_string(&name).unwrap(), "third");
        assert_eq!(fs::read_to_string(&aside).unwrap(), "other");
    }
}
