//! A file for the node exporter's textfile collector, which is replaced as a whole.
//!
//! A page is written beside the file under a name that no exporter reads, made durable, and renamed.
//! A writer holds a lock on what it writes until it is renamed. So what is not locked was left behind
//! by a writer that was killed, and the next one removes it; what another writer is still at is
//! locked and stays. A symbolic link stays one: the file that it leads to is replaced. Anything else
//! than a file is never replaced.

use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::sample::FamilySamples;
use thiserror::Error;
use tracing::warn;

use crate::neighbours::{Differing, differing};
use crate::page::page;

/// The exporter runs as another user.
const MODE: u32 = 0o644;
/// The end of a name under which nobody reads: an exporter reads what ends in `.prom`, hidden or not.
const END: &[u8] = b".tmp";
/// Digits of the part of such a name that is like no other.
const DIGITS: usize = 16;
/// How many names are tried before something else must be wrong.
const MOST_TRIES: u64 = 100;

/// A file for the node exporter.
///
/// ```
/// use tallyboard_bridges::Textfile;
/// use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
///
/// let mut done = FamilySamples::new(Type::Gauge, "backup_files", "Files in the last backup.");
/// done.samples.push(Sample::new("", Vec::new(), Value::Whole(1200)));
/// let path = std::env::temp_dir().join(format!("backup-{}.prom", std::process::id()));
/// Textfile::new(&path)?.blocking_write(&[done])?;
/// assert!(std::fs::read_to_string(&path)?.ends_with("backup_files 1200\n"));
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Textfile {
    path: PathBuf,
    /// Held while the file is replaced, so that what was begun first is not what is left.
    turn: Arc<Mutex<()>>,
}

/// A file that could not be replaced. What was there before is there still.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TextfileError {
    /// The path is that of no file.
    #[error("expected the path of a file, found {}; name a file that ends in .prom", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// Something else than a file is there.
    #[error("expected a file or nothing at {}, found {found}; name another path", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// The system refused.
    #[error("cannot {what} {}: {source}; see whether its directory exists, has room, and may be written", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Textfile {
    /// The file at a path. One that does not end in `.prom` is written as well, with a warning: a
    /// node exporter does not read it.
    ///
    /// # Errors
    /// [`TextfileError::NoFile`] for a path without a file's name.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, TextfileError> {
        let path = path.into();
        let is_directory = path.as_os_str().as_bytes().ends_with(b"/");
        let Some(name) = path.file_name().filter(|_| !is_directory).map(OsStr::to_owned) else {
            return Err(TextfileError::NoFile { path });
        };
        if !name.as_bytes().ends_with(b".prom") {
            let path = path.display();
            warn!(%path, "a node exporter reads files that end in .prom alone; rename it");
        }
        Ok(Self { path, turn: Arc::default() })
    }

    /// Replaces the file with these families, in a thread that may block.
    ///
    /// They are written as text 0.0.4: names are escaped with underscores, since no exporter knows others
    /// and each refuses the whole file for one (1.11.1 too), infos and statesets are gauges, and created times and exemplars are left out. An exporter refuses a file with
    /// timestamps, so they are removed, and of a series that has several the newest is written; when
    /// the file was written is a metric of the exporter's own, `node_textfile_mtime_seconds`.
    ///
    /// # Errors
    /// [`TextfileError`] says what the system refused.
    pub async fn write(&self, families: &[FamilySamples]) -> Result<(), TextfileError> {
        let (own, page) = (self.clone(), page(families, Escaping::Underscores));
        let written = tokio::task::spawn_blocking(move || own.replace(&page)).await;
        written.unwrap_or_else(|error| Err(self.refused("write", io::Error::other(error))))
    }

    /// [`write`](Self::write) in this thread.
    ///
    /// # Errors
    /// As there.
    pub fn blocking_write(&self, families: &[FamilySamples]) -> Result<(), TextfileError> {
        self.replace(&page(families, Escaping::Underscores))
    }

    /// Where other files in the directory describe a family of these differently, in TYPE or HELP: a node
    /// exporter then shows the series of one of them alone. It reads these files, so call it where a
    /// thread may block.
    #[must_use]
    pub fn differing(&self, families: &[FamilySamples]) -> Vec<Differing> {
        differing(&self.path, &page(families, Escaping::Underscores))
    }

    fn replace(&self, page: &[u8]) -> Result<(), TextfileError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |what| move |source| self.refused(what, source);
        let place = self.place()?;
        // What is left over harms nobody but by its number.
        let _ = place.remove_left_overs();
        let mut draft = Draft::begin(&place).map_err(refused("make a file beside"))?;
        draft.file.write_all(page).map_err(refused("write"))?;
        let mode = Permissions::from_mode(MODE);
        draft.file.set_permissions(mode).map_err(refused("set the mode of"))?;
        draft.file.sync_all().map_err(refused("make durable"))?;
        draft.rename(&place.path).map_err(refused("replace"))?;
        let directory = File::open(&place.directory).and_then(|directory| directory.sync_all());
        directory.map_err(refused("make durable"))
    }

    /// Where the file is, or will be.
    fn place(&self) -> Result<Place, TextfileError> {
        let refused = |source| self.refused("see what is at", source);
        let path = match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_symlink() => fs::canonicalize(&self.path).map_err(refused)?,
            Ok(_) => self.path.clone(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.path.clone(),
            Err(error) => return Err(refused(error)),
        };
        let kind = fs::metadata(&path).ok().map(|found| found.file_type());
        let found = match kind {
            Some(kind) if kind.is_dir() => Some("a directory"),
            Some(kind) if !kind.is_file() => Some("a pipe, a socket or a device"),
            _ => None,
        };
        match found {
            Some(found) => Err(TextfileError::NotAFile { path: self.path.clone(), found }),
            None => Ok(Place::of(path)),
        }
    }

    fn refused(&self, what: &'static str, source: io::Error) -> TextfileError {
        TextfileError::System { what, path: self.path.clone(), source }
    }
}

/// Where a file is: its path, its directory, its name.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
}

impl Place {
    fn of(path: PathBuf) -> Self {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new(".")).to_owned();
        let name = path.file_name().unwrap_or_default().to_owned();
        Self { path, directory, name }
    }

    /// Removes what writers of this file have left behind that were killed.
    fn remove_left_overs(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if !is_file || !self.is_draft(&entry.file_name()) {
                continue;
            }
            let Ok(file) = OpenOptions::new().write(true).open(entry.path()) else { continue };
            // Where its writer has renamed it just now, nothing has this name any more.
            if file.try_lock().is_ok() {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn draft_name(&self, number: u64) -> OsString {
        let digits = format!(".{number:0DIGITS$x}");
        OsString::from_vec([b".", self.name.as_bytes(), digits.as_bytes(), END].concat())
    }

    /// Whether a name is one that [`draft_name`](Self::draft_name) gives.
    fn is_draft(&self, name: &OsStr) -> bool {
        let number = name.as_bytes().strip_prefix(b".");
        let number = number.and_then(|rest| rest.strip_prefix(self.name.as_bytes()));
        let number = number.and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(END));
        number.is_some_and(|number| {
            number.len() == DIGITS && number.iter().all(u8::is_ascii_hexdigit)
        })
    }
}

/// A page on its way, locked by its writer. Dropping it removes it.
struct Draft {
    file: File,
    path: Option<PathBuf>,
}

impl Draft {
    fn begin(of: &Place) -> io::Result<Self> {
        // A process forked from this one has the same keys, and another id.
        let random = RandomState::new();
        for tried in 0..MOST_TRIES {
            let number = random.hash_one((std::process::id(), tried));
            let path = of.directory.join(of.draft_name(number));
            let mut options = OpenOptions::new();
            let file = match options.write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let draft = Self { file, path: Some(path) };
            // Another writer may have found it before it was locked: then it has, or has had, the
            // lock, and removes it.
            match draft.file.try_lock() {
                Err(TryLockError::WouldBlock) => continue,
                // Where there are no locks, nothing is taken for left over either.
                Err(TryLockError::Error(_)) => return Ok(draft),
                Ok(()) if draft.file.metadata()?.nlink() > 0 => return Ok(draft),
                Ok(()) => continue,
            }
        }
        Err(io::Error::other("other writers remove whatever is begun"))
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, to)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // One that another writer has removed is gone.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tallyboard_exposition::parse::Options;
    use tallyboard_exposition::sample::{Sample, Type, Value};

    use super::*;

    /// A directory that does not outlive its test.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("tallyboard-textfile-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).expect("a directory is made");
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).expect("a directory");
            let name = |entry: io::Result<fs::DirEntry>| {
                entry.expect("an entry").file_name().into_string().expect("a text")
            };
            let mut names: Vec<String> = entries.map(name).collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn gauges(count: usize, value: u64) -> Vec<FamilySamples> {
        let mut family = FamilySamples::new(Type::Gauge, "a", "");
        let labels = |at: usize| vec![("at".to_owned(), at.to_string())];
        family.samples =
            (0..count).map(|at| Sample::new("", labels(at), Value::Whole(value))).collect();
        vec![family]
    }

    #[test]
    fn what_other_files_say_of_the_same_families_is_found() {
        let directory = Directory::new();
        let file = |name: &str, text: &str| fs::write(directory.0.join(name), text);
        let own = Textfile::new(directory.0.join("own.prom")).expect("a file");
        let families = |text: &str| {
            let read =
                tallyboard_exposition::parse::parse_any(text.as_bytes(), &Options::default());
            read.1.expect("a page")
        };
        let page = "# HELP a A.\n# TYPE a gauge\na 1\n# TYPE b_total counter\nb_total 1\n\
            # HELP c C.\nc 1\n";
        for (name, text) in [
            ("own.prom", "# TYPE a counter\na 1\n"),
            ("same.prom", "# HELP a A.\n# TYPE a gauge\na{x=\"1\"} 1\n"),
            ("other.txt", "# TYPE a counter\na 1\n"),
            ("broken.prom", "# TYPE a counter\na x\n"),
            ("empty.prom", "# TYPE a counter\n"),
        ] {
            file(name, text).expect("it is written");
        }
        fs::create_dir(directory.0.join("directory.prom")).expect("a directory");
        assert_eq!(own.differing(&families(page)), []);
        file("b.prom", "# TYPE b_total gauge\nb_total 2\n").expect("it is written");
        file("help.prom", "# HELP a a\n# TYPE a gauge\na 1\n# TYPE c gauge\nc 1\n").expect("it is");
        let found = own.differing(&families(page));
        let found: Vec<String> = found
            .iter()
            .map(|found| found.to_string().replace(&format!("{}/", directory.0.display()), ""))
            .collect();
        assert_eq!(
            found,
            [
                "HELP of a is \"A.\" here and \"a\" in help.prom",
                "TYPE of b_total is \"counter\" here and \"gauge\" in b.prom",
                "HELP of c is \"C.\" here and \"\" in help.prom",
                "TYPE of c is \"untyped\" here and \"gauge\" in help.prom",
            ]
        );
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_stays_beside_it() {
        let directory = Directory::new();
        let path = directory.0.join("a.prom");
        let file = Textfile::new(&path).expect("a file");
        for value in 1..4 {
            file.blocking_write(&gauges(1, value)).expect("it is written");
            let text = fs::read_to_string(&path).expect("a text");
            assert_eq!(text, format!("# TYPE a gauge\na{{at=\"0\"}} {value}\n"));
            assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o7777, MODE);
            assert_eq!(directory.names(), ["a.prom"]);
        }
        let families = gauges(1, 4);
        let written = crate::blocking::run(file.write(&families)).expect("a runtime");
        written.expect("it is written");
        assert!(fs::read_to_string(&path).expect("a text").ends_with(" 4\n"));
        file.blocking_write(&[]).expect("it is written");
        assert_eq!(fs::read(&path).expect("a file"), b"");
    }

    #[test]
    fn what_cannot_be_written_is_said_and_leaves_nothing() {
        let directory = Directory::new();
        fs::create_dir_all(directory.0.join("b.prom/c")).expect("a directory is made");
        for (path, expect) in [
            ("no/a.prom", "cannot make a file beside"),
            ("b.prom", "found a directory"),
            (&*format!("{}.prom", "a".repeat(245)), "File name too long"),
        ] {
            let path = directory.0.join(path);
            let error = Textfile::new(&path).expect("a path").blocking_write(&gauges(1, 1));
            let error = error.expect_err(expect).to_string();
            assert!(error.contains(expect) && error.contains(path.to_str().unwrap()), "{error}");
            assert_eq!(directory.names(), ["b.prom"]);
        }
        for path in ["", "/", "..", "a/..", "a.prom/"] {
            let error = Textfile::new(path).expect_err(path).to_string();
            assert!(error.starts_with("expected the path of a file"), "{error}");
        }
    }

    #[test]
    fn what_the_dead_have_left_is_removed_and_what_the_living_are_at_is_not() {
        let directory = Directory::new();
        let file = Textfile::new(directory.0.join("a.prom")).expect("a file");
        let others = [
            ".a.prom.0123.tmp",
            ".a.prom.0123456789abcdeg.tmp",
            ".a.prom.0123456789abcdef",
            ".b.prom.0123456789abcdef.tmp",
            "a.prom.0123456789abcdef.tmp",
        ];
        for name in others {
            fs::write(directory.0.join(name), "x").expect("a file is made");
        }
        let place = Place::of(file.path.clone());
        let draft = Draft::begin(&place).expect("a draft");
        let living = draft.path.clone().expect("a path");
        for number in [0, 1, u64::MAX] {
            fs::write(directory.0.join(place.draft_name(number)), "x").expect("a file is made");
        }
        // What is no file is not opened: a pipe would never come back.
        let pipe = place.draft_name(2).into_string().expect("a text");
        fs::create_dir(directory.0.join(&pipe)).expect("a directory is made");
        file.blocking_write(&gauges(1, 1)).expect("it is written");
        let living = living.file_name().and_then(OsStr::to_str).expect("a text").to_owned();
        let mut expect = vec!["a.prom".to_owned(), living, pipe];
        expect.extend(others.map(ToOwned::to_owned));
        expect.sort();
        assert_eq!(directory.names(), expect);

        draft.rename(&file.path).expect("the living goes on");
        assert_eq!(fs::read(&file.path).expect("a file"), b"");
    }

    #[test]
    fn a_link_stays_one_and_nothing_but_a_file_is_replaced() {
        let directory = Directory::new();
        let at = |name: &str| directory.0.join(name);
        let write = |name: &str| {
            let file = Textfile::new(at(name)).expect("a path");
            file.blocking_write(&gauges(1, 1)).map_err(|error| error.to_string())
        };
        fs::create_dir(at("other")).expect("a directory is made");
        fs::write(at("other/real.prom"), "").expect("a file is made");
        symlink("other/real.prom", at("link.prom")).expect("a link is made");
        write("link.prom").expect("it is written");
        assert!(fs::symlink_metadata(at("link.prom")).expect("a link").is_symlink());
        let text = fs::read_to_string(at("other/real.prom")).expect("a text");
        assert!(text.ends_with(" 1\n"), "{text}");
        symlink("nowhere", at("lost.prom")).expect("a link is made");
        symlink("/dev/null", at("null.prom")).expect("a link is made");
        let socket = UnixListener::bind(at("socket.prom")).expect("a socket is made");
        for (name, expect) in [
            ("lost.prom", "cannot see what is at"),
            ("null.prom", "found a pipe, a socket or a device"),
            ("socket.prom", "found a pipe, a socket or a device"),
        ] {
            let error = write(name).expect_err(expect);
            assert!(error.contains(expect) && error.contains(name), "{error}");
        }
        drop(socket);
        assert!(!fs::metadata("/dev/null").expect("it is there").is_file());
        let expect = ["link.prom", "lost.prom", "null.prom", "other", "socket.prom"];
        assert_eq!(directory.names(), expect);
    }

    #[test]
    fn writers_of_one_file_do_each_other_no_harm() {
        let directory = Directory::new();
        let file = Textfile::new(directory.0.join("a.prom")).expect("a file");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let file = &file;
                scope.spawn(move || {
                    for _ in 0..25 {
                        file.blocking_write(&gauges(50, writer)).expect("it is written");
                    }
                });
            }
        });
        let text = fs::read_to_string(&file.path).expect("a text");
        let values: Vec<&str> =
            text.lines().skip(1).filter_map(|line| line.split(' ').next_back()).collect();
        assert_eq!(values.len(), 50);
        assert!(values.iter().all(|value| *value == values[0]), "{text}");
        assert_eq!(directory.names(), ["a.prom"]);
    }
}
