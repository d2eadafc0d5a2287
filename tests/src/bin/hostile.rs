//! Somebody who means no good at a control socket, in the ways that its argument names:
//!
//! - `packets ADDRESS COUNT` sends packets of every kind with descriptors beside them;
//! - `refused ADDRESS COUNT` says Hello with another layout, hears the answer, and begins again;
//! - `silent ADDRESS COUNT` connects and says nothing, until the first connection is ended;
//! - `short ADDRESS COUNT` is a worker that may open so many files more than it has;
//! - `asks ADDRESS` is a worker that attaches and asks for the page until nobody listens, and says how
//!   many descriptors it had open before and after.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tallyboard::{AttachError, Registry};
use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::control::{Hello, MAX_MESSAGE_BYTES, Reply, Request, decode, encode};
use tallyboard_proto::layout::LAYOUT_VERSION;
use tallyboard_segment::pass::{Address, Socket};
use tallyboard_segment::pidfd::Pidfd;
use tallyboard_segment::{memfd, stat};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let count = |count: &str| count.parse::<usize>().map_err(io::Error::other);
    let address = |address: &str| address.parse::<Address>().map_err(io::Error::other);
    match words[..] {
        ["packets", to, many] => packets(&address(to)?, count(many)?),
        ["refused", to, many] => refused(&address(to)?, count(many)?),
        ["silent", to, many] => silent(&address(to)?, count(many)?),
        ["short", to, more] => short(to, count(more)?),
        ["asks", to] => asks(to),
        _ => Err(io::Error::other(format!("expected a way to be hostile, found {words:?}"))),
    }
}

fn connect(address: &Address) -> io::Result<Socket> {
    Socket::connect(address, Instant::now() + LONG)
}

fn hello(layout: u64, attach_id: u64) -> Vec<u8> {
    let fingerprint = FINGERPRINT;
    encode(&Request::Hello(Hello { layout, fingerprint, image: 1, attach_id, rejoin: None }))
}

/// What is sent: good requests, and what is none.
fn payloads() -> Vec<Vec<u8>> {
    let scrape = Request::Scrape { metrics: vec!["none".to_owned()], accept: String::new() };
    let requests = [Request::Describe, Request::Confirm, Request::Slots, scrape];
    let mut payloads: Vec<Vec<u8>> = requests.iter().map(encode).collect();
    payloads.push(hello(LAYOUT_VERSION, 1));
    payloads.push(hello(LAYOUT_VERSION + 1, 2));
    payloads.push(b"no message at all".to_vec());
    payloads.push(vec![9, 0, 0, 0]);
    payloads.push(Vec::new());
    payloads.push(vec![2; MAX_MESSAGE_BYTES + 1]);
    payloads
}

/// One descriptor of each kind.
fn descriptors() -> io::Result<Vec<OwnedFd>> {
    let (one, other) = UnixStream::pair()?;
    let mut descriptors: Vec<OwnedFd> = vec![one.into(), other.into()];
    descriptors.push(File::open("/dev/null")?.into());
    descriptors.push(memfd::of_bytes(b"a body")?);
    descriptors.push(Pidfd::open(std::process::id())?.as_fd().try_clone_to_owned()?);
    Ok(descriptors)
}

fn packets(address: &Address, count: usize) -> io::Result<()> {
    let (payloads, descriptors) = (payloads(), descriptors()?);
    let (mut delivered, mut turned_away) = (0, 0);
    for round in 0.. {
        if delivered >= count {
            break;
        }
        let socket = connect(address)?;
        // One packet or a few, and an answer that is read or not.
        for at in 0..=round % 3 {
            let payload = &payloads[(round + at) % payloads.len()];
            let many = [1, 2, 3, 4, 5, 16, 64, 253, 0][(round / payloads.len() + at) % 9];
            let fds = (0..many).map(|at| descriptors[at % descriptors.len()].as_raw_fd());
            let fds: Vec<i32> = fds.collect();
            // In one message beside the packet or in two.
            let (one, two) = fds.split_at(if round % 2 == 0 { many } else { many / 2 });
            let rights = [one, two].map(ControlMessage::ScmRights);
            let rights = &rights[..2 - usize::from(two.is_empty())];
            let bytes = [IoSlice::new(payload)];
            let flags = MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(socket.as_raw_fd(), &bytes, rights, flags, None) {
                Ok(_) => delivered += 1,
                Err(_) => turned_away += 1,
            }
        }
        if round % 4 < 2 {
            // Whatever it is.
            let _ = socket.receive_until(MAX_MESSAGE_BYTES, Instant::now() + LONG / 600);
        }
    }
    println!("delivered {delivered}, turned away {turned_away}");
    Ok(())
}

fn refused(address: &Address, count: usize) -> io::Result<()> {
    let mut refused = 0;
    for at in 0..count {
        let socket = connect(address)?;
        // Whoever refuses may not have waited for it.
        let _ = socket.send(&hello(LAYOUT_VERSION + 1, at as u64), None);
        let packet = socket.receive_until(MAX_MESSAGE_BYTES, Instant::now() + LONG)?;
        let reply = decode::<Reply>(&packet.bytes).map_err(io::Error::other)?;
        refused += usize::from(matches!(reply, Reply::Refused(_)));
    }
    println!("refused {refused}");
    Ok(())
}

fn silent(address: &Address, count: usize) -> io::Result<()> {
    let sockets: Vec<Socket> = (0..count).map(|_| connect(address)).collect::<io::Result<_>>()?;
    println!("silent {count}");
    // The last one has its place longest.
    if let Some(last) = sockets.last() {
        let ended = last.receive_until(MAX_MESSAGE_BYTES, Instant::now() + LONG);
        println!("ended {}", ended.is_ok_and(|packet| packet.bytes.is_empty()));
    }
    Ok(())
}

fn short(address: &str, more: usize) -> io::Result<()> {
    let registry = Registry::builder().address(address).build();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let is_free = |number: &u64| !Path::new(&format!("/proc/self/fd/{number}")).exists();
    let least = (0..hard).filter(is_free).nth(more);
    setrlimit(Resource::RLIMIT_NOFILE, least.ok_or(io::ErrorKind::InvalidInput)?, hard)?;
    match registry.attach() {
        Ok(_) => Err(io::Error::other("expected no slot without a descriptor")),
        // The registry has said why.
        Err(_) => Ok(()),
    }
}

fn asks(address: &str) -> io::Result<()> {
    let registry = Registry::builder().address(address).on_warning(|_| {}).build();
    // A thread of the client's may hold a socket for a moment.
    let open = || (0..100).filter_map(|_| stat::open_fds("self")).min();
    let (before, mut attempts) = (open(), 0);
    loop {
        attempts += 1;
        let attached = registry.attach().map(drop);
        let page = registry.exposition("", &[]).map(drop);
        let is_over = |outcome: Result<(), AttachError>| {
            outcome.is_err_and(|error| error.to_string().contains("no supervisor listens"))
        };
        if is_over(attached) && is_over(page) {
            break;
        }
    }
    println!("descriptors {before:?} {:?} after {attempts} attempts", open());
    Ok(())
}
