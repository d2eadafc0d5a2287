//! What the kernel says of processes and sockets. Parsers take text, so that tests own it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A process, from `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its pid.
    pub pid: u32,
    /// One letter: R, S, D, T, Z, and rarer ones (proc(5)).
    pub state: char,
    /// Pid of its parent.
    pub parent: u32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

impl Stat {
    /// Reads the text of `/proc/PID/stat`. The name of the program may have spaces and brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pid, _) = text.split_once(" (")?;
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        Some(Self {
            pid: pid.parse().ok()?,
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether the process still runs: it is no zombie.
    #[must_use]
    pub fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The living children of `parent`, those it adopted included, oldest first.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn children_of(parent: u32) -> io::Result<Vec<Stat>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let is_process = path.file_name().is_some_and(|name| name.as_bytes()[0].is_ascii_digit());
        // A process that ends meanwhile is none of the living.
        let stat = is_process.then(|| fs::read(path.join("stat")).ok()).flatten();
        let stat = stat.and_then(|stat| Stat::parse(&String::from_utf8_lossy(&stat)));
        children.extend(stat.filter(|stat| stat.parent == parent && stat.runs()));
    }
    children.sort_by_key(|child| (child.started, child.pid));
    Ok(children)
}

/// The program that a process executes.
#[derive(Clone, Debug)]
pub struct Executable {
    path: PathBuf,
    file: (u64, u64),
}

impl Executable {
    /// What the process `pid` executes; `None` when this process may not know or it has ended.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        let metadata = fs::metadata(&link).ok()?;
        let path = fs::read_link(&link).ok()?;
        Some(Self { path: without_deleted(&path), file: (metadata.dev(), metadata.ino()) })
    }

    /// What executing `program` with this search path comes to: the file itself, or its interpreter
    /// when it is a script.
    #[must_use]
    pub fn resolve(program: &OsStr, search: &OsStr) -> Option<Self> {
        let found = in_search_path(program, search)?;
        let path = fs::canonicalize(interpreter(&found)?).ok()?;
        let metadata = fs::metadata(&path).ok()?;
        Some(Self { path, file: (metadata.dev(), metadata.ino()) })
    }

    /// Whether both are the same program: the same file, or one that replaced it under its name.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.file == other.file || self.path == other.path
    }
}

/// The file that the kernel executes for `path`: the interpreter of a script, else itself.
fn interpreter(path: &Path) -> Option<PathBuf> {
    // As much of the first line as the kernel reads (execve(2)).
    let mut line = [0; 256];
    let length = fs::File::open(path).and_then(|mut file| file.read(&mut line));
    let Some(line) = line[..length.unwrap_or(0)].strip_prefix(b"#!") else {
        return Some(path.to_owned());
    };
    let line = line.split(|&byte| byte == b'\n').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t'));
    words.find(|word| !word.is_empty()).map(|word| PathBuf::from(OsStr::from_bytes(word)))
}

/// A path as it was before its file was replaced.
fn without_deleted(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Inodes and names of the SEQPACKET sockets that are listened on, from the text of `/proc/net/unix`.
/// Abstract names begin with `@`.
pub fn listening_seqpacket(text: &str) -> impl Iterator<Item = (u64, &str)> {
    /// `__SO_ACCEPTCON` of the kernel.
    const LISTENING: &str = "00010000";
    /// `SOCK_SEQPACKET`.
    const SEQPACKET: &str = "0005";
    text.lines().skip(1).filter_map(|line| {
        // Num RefCount Protocol Flags Type St Inode Path: only the path may have spaces, and the
        // inode is padded with them.
        let mut rest = line;
        let mut fields = [""; 7];
        for field in &mut fields {
            (*field, rest) = rest.trim_start().split_once(' ')?;
        }
        let is_one = fields[3] == LISTENING && fields[4] == SEQPACKET && !rest.is_empty();
        is_one.then(|| Some((fields[6].parse().ok()?, rest))).flatten()
    })
}

/// Pids, and inodes of sockets, of the processes of `uid` that have something open for which `is_it`
/// holds. What this process may not look at is left out.
pub fn sockets_beside(uid: u32, is_it: impl Fn(&Path) -> bool) -> Vec<(u32, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let (Some(pid), Ok(metadata)) = (pid, entry.metadata()) else { continue };
        let Ok(open) = fs::read_dir(entry.path().join("fd")) else { continue };
        if metadata.uid() != uid {
            continue;
        }
        let open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let open: Vec<PathBuf> = open.collect();
        if open.iter().any(|path| is_it(path)) {
            found.extend(open.iter().filter_map(|path| Some((pid, socket_inode(path)?))));
        }
    }
    found
}

/// The inode of a socket, as the link of its descriptor names it.
fn socket_inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The file that a word of a command line names, as a shell finds it.
#[must_use]
pub fn in_search_path(program: &OsStr, search: &OsStr) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
    };
    match program.as_bytes().contains(&b'/') {
        true => Some(PathBuf::from(program)).filter(runs),
        false => std::env::split_paths(search).map(|path| path.join(program)).find(runs),
    }
}

/// The value of a variable in the bytes of `/proc/PID/environ`.
#[must_use]
pub fn variable<'a>(environ: &'a [u8], name: &str) -> Option<&'a str> {
    let mut entries = environ.split(|&byte| byte == 0);
    let value = entries.find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()
    });
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_program_is_called() {
        let fields = "S 42 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 0 0";
        for name in ["sh", "a b", "a) R 1 (b", ") "] {
            let found = Stat::parse(&format!("7 ({name}) {fields}\n")).unwrap();
            assert_eq!(found, Stat { pid: 7, state: 'S', parent: 42, started: 98765 });
        }
        for bad in ["", "7", "7 (sh)", "7 (sh) S", "7 (sh) S x", "7 (sh) S 1 2 3"] {
            assert_eq!(Stat::parse(bad), None, "{bad:?}");
        }
        for (state, runs) in [("S", true), ("T", true), ("Z", false), ("X", false)] {
            let line = format!("7 (sh) {}", fields.replacen('S', state, 1));
            assert_eq!(Stat::parse(&line).unwrap().runs(), runs, "{state}");
        }
    }

    #[test]
    fn a_child_and_its_program_are_found_until_it_is_a_zombie() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = children_of(std::process::id()).unwrap();
        assert!(found.iter().any(|stat| stat.pid == child.id()));
        let [one, again] = [(); 2].map(|()| Executable::of(std::process::id()).unwrap());
        assert!(one.is(&again));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = children_of(std::process::id()).unwrap();
        assert!(!found.iter().any(|stat| stat.pid == child.id()));
        assert!(Executable::of(child.id()).is_none());
    }

    #[test]
    fn a_command_is_resolved_to_what_the_kernel_executes() {
        let search = std::env::var_os("PATH").unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let running = Executable::of(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let resolve = |name: &str| Executable::resolve(OsStr::new(name), &search);
        assert!(resolve("sleep").unwrap().is(&running));
        assert!(!resolve("sh").unwrap().is(&running));
        for (missing, why) in [("no-such-command", "none"), ("/", "a directory"), ("", "no name")] {
            assert!(resolve(missing).is_none(), "{why}");
        }
        let script = std::env::temp_dir().join(format!("tallyboard-script-{}", std::process::id()));
        for (text, name) in [("#! /bin/sh -e\nexit\n", "/bin/sh"), ("#!/bin/sh", "/bin/sh")] {
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
            let found = resolve(script.to_str().unwrap()).unwrap();
            assert!(found.is(&resolve(name).unwrap()), "{text:?}: {found:?}");
        }
        fs::set_permissions(&script, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(resolve(script.to_str().unwrap()).is_none(), "not executable");
        fs::remove_file(&script).unwrap();
    }

    #[test]
    fn a_program_that_was_replaced_is_the_same_program() {
        let program = |path: &str, inode| Executable {
            path: without_deleted(Path::new(path)),
            file: (1, inode),
        };
        assert!(program("/bin/a (deleted)", 1).is(&program("/bin/a", 2)));
        assert!(program("/bin/a", 1).is(&program("/bin/b", 1)));
        assert!(!program("/bin/a", 1).is(&program("/bin/b", 2)));
    }

    #[test]
    fn only_listening_seqpacket_sockets_with_a_name_are_listed() {
        let text = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0005 01 22501 @tallyboard/0/1f\n\
            0000000000000000: 00000002 00000000 00010000 0005 01   501 /run/tallyboard/a b.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 22502 /run/stream.sock\n\
            0000000000000000: 00000003 00000000 00000000 0005 03 22503 @tallyboard/0/1f\n\
            0000000000000000: 00000003 00000000 00010000 0005 03 22504\n\
            damaged\n";
        let found: Vec<(u64, &str)> = listening_seqpacket(text).collect();
        assert_eq!(found, [(22501, "@tallyboard/0/1f"), (501, "/run/tallyboard/a b.sock")]);
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environ = b"TALLYBOARD_SLOTS=8\0XTALLYBOARD=no\0TALLYBOARD=unix:@a\0EMPTY=\0";
        assert_eq!(variable(environ, "TALLYBOARD"), Some("unix:@a"));
        assert_eq!(variable(environ, "EMPTY"), None);
        assert_eq!(variable(environ, "TALLY"), None);
        assert_eq!(variable(b"", "TALLYBOARD"), None);
    }
}
