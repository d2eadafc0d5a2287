//! What tests with real receivers share: their programs, a directory for their files, and servers
//! that behave badly.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where a program is, also one that is on root's path alone.
///
/// # Panics
/// When it is not installed, with the package that has it.
#[must_use]
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = places.find_map(|place| Some(place.join(name)).filter(|path| path.is_file()));
    found.unwrap_or_else(|| {
        panic!("expected the program {name}, found none; apt-get install {package}")
    })
}

/// A directory that does not outlive its test.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// An empty directory.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("tallyboard-{name}-{pid}-{count}"));
        fs::create_dir_all(&path).expect("a directory is made");
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in it, and gives its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).expect("a file is written");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// How a server behaves badly.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It hangs up at once.
    HangsUp,
    /// It reads and never says anything.
    IsSilent,
    /// It reads, says this, and hangs up.
    Says(&'static str),
    /// It says this before it has read much, and hangs up on the rest.
    Interrupts(&'static str),
    /// It reads, says the first, and then the second for ever.
    SaysForEver(&'static str, &'static str),
    /// It reads, says the first, and then the second for ever, slowly.
    Drips(&'static str, &'static str),
}

/// A server on a loopback port that behaves badly, to as many as come, until it is dropped.
#[derive(Debug)]
pub struct FaultyServer {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl FaultyServer {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let is_over = Arc::new(AtomicBool::new(false));
        let asked = Arc::<AtomicU32>::default();
        let (over, count) = (Arc::clone(&is_over), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            // Those who are not answered are held on to, so that they are not hung up on either.
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                held.extend(serve(stream, fault, &over, &count));
            }
        });
        Self { address, is_over, asked, thread: Some(thread) }
    }

    /// How often it was asked something that it has read.
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // So that it looks.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Serves one connection; gives it back when it is to stay open.
fn serve(
    mut stream: TcpStream,
    fault: Fault,
    is_over: &AtomicBool,
    asked: &AtomicU32,
) -> Option<TcpStream> {
    if matches!(fault, Fault::HangsUp) {
        return None;
    }
    // What cannot be read or written is the other side's matter.
    if let Fault::Interrupts(says) = fault {
        stream.read_exact(&mut [0; 100]).ok()?;
        stream.write_all(says.as_bytes()).ok()?;
        return None;
    }
    read_request(&mut stream)?;
    asked.fetch_add(1, Ordering::Relaxed);
    let (first, then, pause) = match fault {
        Fault::HangsUp | Fault::Interrupts(_) => return None,
        Fault::IsSilent => return Some(stream),
        Fault::Says(first) => (first, "", Duration::ZERO),
        Fault::SaysForEver(first, then) => (first, then, Duration::ZERO),
        Fault::Drips(first, then) => (first, then, Duration::from_millis(5)),
    };
    stream.write_all(first.as_bytes()).ok()?;
    // Whoever is in no hurry says much at once.
    let then = if pause.is_zero() { then.repeat(1_000) } else { then.to_owned() };
    while !then.is_empty() && !is_over.load(Ordering::Relaxed) {
        stream.write_all(then.as_bytes()).ok()?;
        std::thread::sleep(pause);
    }
    None
}

/// Reads all of a request: who hangs up on what is unread takes the answer back.
fn read_request(stream: &mut TcpStream) -> Option<()> {
    let (mut request, mut part) = (Vec::new(), [0; 1 << 12]);
    loop {
        let length = stream.read(&mut part).ok().filter(|length| *length > 0)?;
        request.extend_from_slice(&part[..length]);
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
        if request.len() >= end + 4 + length {
            return Some(());
        }
    }
}
