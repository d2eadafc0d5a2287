//! A worker of the program `series`, which begins series when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A worker that begins series when it is told to. Dropping it kills it.
#[derive(Debug)]
pub struct SeriesWorker {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl SeriesWorker {
    /// Starts `program`, which attaches to `control`, and will have `count` series of `family`.
    ///
    /// # Panics
    /// When it does not start, or gets no slot.
    #[must_use]
    pub fn start(program: &str, control: &str, family: &str, count: u64) -> Self {
        let mut series = Command::new(program);
        series.args([family, &count.to_string()]).env("TALLYBOARD", control);
        let mut child =
            series.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a worker");
        let (stdin, stdout) = (child.stdin.take().expect("it is piped"), child.stdout.take());
        let stdout = BufReader::new(stdout.expect("it is piped"));
        let mut worker = Self { child, stdin, stdout };
        assert!(worker.line().starts_with("slot "));
        worker
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a worker that answers");
        line
    }

    /// Has it count in each series once more.
    ///
    /// # Panics
    /// When it has ended.
    pub fn count(&mut self) {
        self.stdin.write_all(b"\n").expect("a worker that listens");
        assert_eq!(self.line(), "counted\n");
    }

    /// Kills it.
    pub fn kill(self) {}
}

impl Drop for SeriesWorker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
