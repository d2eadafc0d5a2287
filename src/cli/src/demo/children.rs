//! What passes between the parent and its children: a bell that the parent rings, a line on which a
//! child reports, and how a child begins.

use std::fs::File;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getppid, pipe2};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tallyboard_segment::process::fork_child;

/// Status of a child that found its parent gone.
const ORPHANED: i32 = 4;

/// Forks a child that runs `body` and does not outlive its parent.
///
/// # Errors
/// When the system refuses, or this process has threads.
pub fn fork(body: impl FnOnce() -> i32) -> Result<u32> {
    let parent = std::process::id();
    let child = fork_child(|| {
        // What the terminal sends when somebody interrupts is for the parent to act on. All other
        // signals, which the parent takes as messages, are ordinary here again.
        let quiet = SigSet::from(Signal::SIGINT);
        let begun = set_pdeathsig(Signal::SIGKILL).and_then(|()| quiet.thread_set_mask());
        // The parent may have died before it was asked for.
        if begun.is_err() || getppid().as_raw() as u32 != parent {
            return ORPHANED;
        }
        body()
    });
    child.context("cannot fork a process of the demo")
}

/// Rung once by the parent, heard by all children that were forked since it was made. A byte in a
/// pipe that nobody reads: it stays for all of them.
#[derive(Debug)]
pub struct Bell {
    heard: OwnedFd,
    rope: File,
}

impl Bell {
    /// A bell that has not rung.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub fn new() -> Result<Self> {
        let (heard, rope) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).context("no pipe")?;
        Ok(Self { heard, rope: File::from(rope) })
    }

    /// Rings it.
    pub fn ring(&self) {
        // The pipe has room, and stays open while this lives.
        let _ = (&self.rope).write_all(b"!");
    }

    /// Waits until it rings, at most so many milliseconds; says whether it has rung.
    #[must_use]
    pub fn rings_within(&self, milliseconds: u16) -> bool {
        let mut polled = [PollFd::new(self.heard.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut polled, PollTimeout::from(milliseconds)), Ok(1))
    }

    /// Waits until it rings, in a runtime.
    ///
    /// # Errors
    /// When the descriptor cannot be waited for.
    pub async fn rung(&self) -> io::Result<()> {
        let heard = self.heard.try_clone()?;
        let receiver = tokio::net::unix::pipe::Receiver::from_owned_fd(heard)?;
        receiver.readable().await
    }
}

/// The end of a line on which a child reports.
#[derive(Debug)]
pub struct Reporter<T> {
    line: File,
    report: PhantomData<fn(T)>,
}

/// The end at which the parent hears it: reports are whole states, of which the newest counts.
#[derive(Debug)]
pub struct Reports<T> {
    line: Option<File>,
    received: Vec<u8>,
    newest: Option<T>,
}

/// Both ends of a line.
///
/// # Errors
/// When there are no descriptors for it.
pub fn line<T: Serialize + DeserializeOwned>() -> Result<(Reporter<T>, Reports<T>)> {
    let (hear, say) = pipe2(OFlag::O_CLOEXEC).context("no pipe")?;
    let reporter = Reporter { line: File::from(say), report: PhantomData };
    Ok((reporter, Reports { line: Some(File::from(hear)), received: Vec::new(), newest: None }))
}

impl<T: Serialize> Reporter<T> {
    /// Reports a state.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn report(&self, state: &T) -> io::Result<()> {
        let mut text = serde_json::to_vec(state)?;
        text.push(b'\n');
        (&self.line).write_all(&text)
    }
}

impl<T: DeserializeOwned> Reports<T> {
    /// What to wait for; `None` once the child has closed its end.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.line.as_ref().map(AsFd::as_fd)
    }

    /// The newest report.
    #[must_use]
    pub fn newest(&self) -> Option<&T> {
        self.newest.as_ref()
    }

    /// Takes what has come, which must be something.
    ///
    /// # Errors
    /// When it is no report.
    pub fn receive(&mut self) -> Result<()> {
        let Some(line) = &mut self.line else { return Ok(()) };
        let mut part = [0; 4096];
        match line.read(&mut part) {
            Ok(0) => self.line = None,
            Ok(length) => self.received.extend(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => bail!("cannot hear a process of the demo: {error}"),
        }
        let Some(end) = self.received.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(());
        };
        let whole: Vec<u8> = self.received.drain(..=end).collect();
        let newest = whole[..end].rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        self.newest = Some(serde_json::from_slice(newest).context("a report is damaged")?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_report_counts_and_half_a_report_does_not() {
        let (reporter, mut reports) = line::<u64>().unwrap();
        reporter.report(&1).unwrap();
        reporter.report(&2).unwrap();
        (&reporter.line).write_all(b"3").unwrap();
        reports.receive().unwrap();
        assert_eq!(reports.newest(), Some(&2));
        (&reporter.line).write_all(b"4\n").unwrap();
        reports.receive().unwrap();
        assert_eq!(reports.newest(), Some(&34));
        (&reporter.line).write_all(b"x\n").unwrap();
        assert!(reports.receive().is_err());
        drop(reporter);
        reports.receive().unwrap();
        assert!(reports.descriptor().is_none());
    }

    #[test]
    fn a_bell_rings_on_for_everyone() {
        let bell = Bell::new().unwrap();
        assert!(!bell.rings_within(0));
        bell.ring();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        for _ in 0..2 {
            assert!(bell.rings_within(0));
            runtime.block_on(bell.rung()).unwrap();
        }
    }
}
