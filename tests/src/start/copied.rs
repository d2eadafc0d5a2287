//! Programs where every user may execute them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A copy of a program, which does not outlive its test.
#[derive(Debug)]
pub struct Copied(PathBuf);

impl Copied {
    /// Copies `program`.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("tallyboard-copied-{pid}-{count}"));
        fs::copy(program, &path).expect("room for a copy");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
