//! What tests with real receivers share: their programs, certificates, and servers that behave badly.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::start::directory::Directory;

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

/// Makes an authority, certificates of it for a server on the loopback and for a client, and another
/// authority: `NAME.pem` and `NAME.key` of `ca`, `server`, `client` and `other`.
///
/// # Panics
/// When openssl does not make them.
pub fn certificates(directory: &Directory) {
    let script = r#"
        set -e
        cd "$1"
        key() { $OPENSSL ecparam -name prime256v1 -genkey -noout | $OPENSSL pkcs8 -topk8 -nocrypt -out $1.key; }
        signed() {
            key $1
            $OPENSSL req -new -key $1.key -subj "/CN=$1" -out $1.csr
            printf "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=$2\nbasicConstraints=CA:FALSE\n" >$1.ext
            $OPENSSL x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -sha256 -extfile $1.ext -out $1.pem
        }
        for ca in ca other; do
            key $ca
            $OPENSSL req -x509 -new -key $ca.key -sha256 -days 2 -subj "/CN=$ca" -out $ca.pem \
                -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
        done
        signed server serverAuth
        signed client clientAuth
    "#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(directory.path());
    let output = command.env("OPENSSL", program("openssl", "openssl")).output();
    let output = output.expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
