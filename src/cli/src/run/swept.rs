//! Directories that processes of Python leave when they are killed. The Python package makes them for
//! libraries that look for one, and says in `_directory.py` what they are called and who holds them;
//! nothing is in them that counts. A process removes its own, and sweeps those of others when it makes
//! one; here it is done around an application, after which nobody may come.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;
use tallyboard_segment::stat::Stat;

/// Removes the directories of this user that nobody holds and whose maker is dead.
pub fn sweep() {
    for base in bases() {
        // One that cannot be read has nothing of ours, or nothing that could be removed.
        let Ok(entries) = fs::read_dir(base) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            if name.to_str().and_then(Maker::parse).is_some_and(|maker| maker.is_dead()) {
                remove(&entry.path());
            }
        }
    }
}

/// Where they are made: the runtime directory of the user, or a temporary one.
fn bases() -> impl Iterator<Item = PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let uid = geteuid().as_raw();
    let runtime = [variable("XDG_RUNTIME_DIR"), Some(format!("/run/user/{uid}").into())];
    let temporary = [variable("TMPDIR"), Some("/tmp".into()), Some("/var/tmp".into())];
    let own = move |base: &PathBuf| fs::metadata(base).is_ok_and(|found| found.uid() == uid);
    let runtime = runtime.into_iter().flatten().filter(own);
    runtime.chain(temporary.into_iter().flatten()).filter(|base| base.is_absolute())
}

/// The process that has made a directory, as the directory's name says.
#[derive(Debug, PartialEq, Eq)]
struct Maker {
    pid: u32,
    started: u64,
}

impl Maker {
    /// From a name of this user: `tallyboard-UID-PID-START`.
    fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.strip_prefix("tallyboard-")?.split('-').collect();
        let &[_, pid, started] = &parts[..] else { return None };
        let maker = Self { pid: pid.parse().ok()?, started: started.parse().ok()? };
        let made = format!("tallyboard-{}-{}-{}", geteuid(), maker.pid, maker.started);
        (made == name).then_some(maker)
    }

    /// One that has closed its descriptors holds no lock any more, but is there.
    fn is_dead(&self) -> bool {
        let stat = Stat::read(self.pid).filter(|stat| !stat.is_zombie);
        stat.is_none_or(|stat| stat.start_time != self.started)
    }
}

/// Removes a directory that is this user's alone and has no lock.
fn remove(path: &Path) {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let Ok(opened) = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) else {
        return;
    };
    let Ok(locked) = Flock::lock(opened, FlockArg::LockExclusiveNonblock) else { return };
    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let is_own =
        |found: &fs::Metadata| found.uid() == geteuid().as_raw() && found.mode() & 0o7777 == 0o700;
    let file: &File = &locked;
    if let (Ok(opened), Ok(named)) = (file.metadata(), fs::symlink_metadata(path))
        && is_own(&opened)
        && same(opened, named)
    {
        // What cannot be removed is looked at again by the next one.
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_user_name_a_maker() {
        let uid = geteuid().as_raw();
        let maker = |name: String| Maker::parse(&name);
        assert_eq!(
            maker(format!("tallyboard-{uid}-12-345")),
            Some(Maker { pid: 12, started: 345 })
        );
        for name in [
            format!("tallyboard-{}-12-345", uid + 1),
            format!("tallyboard-{uid}-12"),
            format!("tallyboard-{uid}-12-345-6"),
            format!("tallyboard-{uid}-12-x345"),
            format!("tallyboard-{uid}--12-345"),
            format!("tallyboard-{uid}-012-345"),
            format!("tallyboard-{uid}-99999999999-345"),
            "tallyboard-shop".to_owned(),
            format!("x-{uid}-12-345"),
        ] {
            assert_eq!(maker(name.clone()), None, "{name}");
        }
    }

    #[test]
    fn this_process_is_no_dead_maker() {
        let pid = std::process::id();
        let started = Stat::read(pid).unwrap().start_time;
        assert!(!Maker { pid, started }.is_dead());
        assert!(Maker { pid, started: started + 1 }.is_dead());
    }
}
