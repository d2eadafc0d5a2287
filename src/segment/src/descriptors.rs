//! What it means that there is no descriptor to be had.

use std::fmt;
use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// Whether this process, or the system, may open no further file.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE))
}

/// What it means that no further file can be opened, and what to do.
#[derive(Debug)]
pub struct NoDescriptor<'a>(pub &'a io::Error);

impl fmt::Display for NoDescriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, _)| soft);
        match limit {
            Ok(limit) if self.0.raw_os_error() == Some(libc::EMFILE) => write!(
                f,
                "process {} has as many files open as it may, {limit}: {}; raise its limit of open files (ulimit -n, LimitNOFILE=)",
                std::process::id(),
                self.0
            ),
            _ => write!(
                f,
                "the system has as many files open as it may: {}; raise fs.file-max",
                self.0
            ),
        }
    }
}
