//! Processes that do not outlive their test.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a test may hang before the watchdog ends it. No test waits this long for anything that
/// happens: it only bounds what never does.
pub const HANG: Duration = Duration::from_secs(300);

/// Ends the test binary when it is not dropped within [`HANG`].
#[derive(Debug)]
pub struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// Begins to watch the test called `test`.
    #[must_use]
    pub fn new(test: &'static str) -> Self {
        Self::with_limit(test, HANG)
    }

    /// The same with a limit of its own.
    #[must_use]
    pub fn with_limit(test: &'static str, limit: Duration) -> Self {
        let (alive, watched) = channel::<()>();
        std::thread::spawn(move || {
            if watched.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!("the watchdog ends {test}: it made no end in {limit:?}");
                std::process::exit(124);
            }
        });
        Self { _alive: alive }
    }
}

/// A loopback address on which nothing listens now. Its port is not one of those that the kernel
/// gives to who names none, where it would soon be that of some connection.
///
/// # Panics
/// When there is no free port.
#[must_use]
pub fn free_address() -> SocketAddr {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // Each process begins elsewhere, so that two of them do not find the same port free.
    let first = std::process::id().wrapping_mul(61);
    let candidates = (0..PORTS).map(|_| {
        let at = first.wrapping_add(ASKED.fetch_add(1, Relaxed)) % PORTS;
        SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT + at as u16))
    });
    let mut free = candidates.filter(|address| TcpListener::bind(address).is_ok());
    free.next().expect("a loopback port is free")
}

/// Ports that [`free_address`] chooses from: Linux gives out those from 32,768 on.
const FIRST_PORT: u16 = 10_000;
const PORTS: u32 = 20_000;

/// A started program. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    lines: Receiver<String>,
    stdout: Vec<String>,
    readers: [Option<JoinHandle<String>>; 2],
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Running {
    /// Starts `command` without standard input.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = loop {
            match command.spawn() {
                Ok(child) => break child,
                // A process that another test starts just now may have it open for writing still.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{name}: {error}"),
            }
        };
        let (sender, lines) = channel();
        let stdout = child.stdout.take().map(|stream| read_lines(stream, Some(sender)));
        let stderr = child.stderr.take().map(|stream| read_lines(stream, None));
        Self { child, name, lines, stdout: Vec::new(), readers: [stdout, stderr] }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for the first line of standard output for which `is_it` holds, beginning behind the
    /// one found last.
    ///
    /// # Panics
    /// When the output ends without one, with all that it was.
    pub fn line(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        while let Ok(line) = self.lines.recv() {
            self.stdout.push(line.clone());
            if is_it(&line) {
                return line;
            }
        }
        let stderr = self.readers[1].take().map(JoinHandle::join);
        panic!("{} ended without the line: {:?} {stderr:?}", self.name, self.stdout);
    }

    /// Sends it a signal, as long as it has not been waited for.
    ///
    /// # Panics
    /// When it has no such process any more.
    pub fn signal(&self, signal: Signal) {
        let sent = kill(Pid::from_raw(self.pid()), signal);
        sent.unwrap_or_else(|error| panic!("{signal} to {}: {error}", self.name));
    }

    /// Whether it has not ended yet.
    ///
    /// # Panics
    /// When it cannot be waited for.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child is waited for").is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it cannot be waited for.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let [stdout, stderr] = self.readers.each_mut().map(Option::take);
        let text = |reader: Option<JoinHandle<String>>| {
            reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        let status = self.child.wait().expect("a child is waited for once");
        Ended { status, stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing to a child that has been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read_lines(
    stream: impl Read + Send + 'static,
    sender: Option<Sender<String>>,
) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut all = String::new();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            all.push_str(&line);
            all.push('\n');
            if let Some(sender) = &sender {
                sender.send(line).ok();
            }
        }
        all
    })
}

/// Asks again and again until there is an answer. Between two questions others may run.
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
