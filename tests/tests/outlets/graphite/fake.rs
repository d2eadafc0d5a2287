//! Receivers that are no carbon.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use tallyboard_bridges::Graphite;

/// A receiver that does with each connection, in turn, what it is told.
pub struct Fake {
    pub address: SocketAddr,
    pub acts: Sender<fn(TcpStream) -> String>,
    pub seen: Receiver<String>,
}

impl Fake {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (acts, to_do) = channel::<fn(TcpStream) -> String>();
        let (saw, seen) = channel();
        thread::spawn(move || {
            // Until its test ends.
            while let Ok(act) = to_do.recv() {
                let (stream, _) = listener.accept().expect("a connection");
                saw.send(act(stream)).ok();
            }
        });
        Self { address, acts, seen }
    }

    pub fn graphite(&self) -> Graphite {
        Graphite::new(&self.address.to_string()).expect("an address")
    }

    /// Does this with so many connections, and gives what was read.
    pub fn times(&self, times: usize, act: fn(TcpStream) -> String) -> Vec<String> {
        (0..times).for_each(|_| self.acts.send(act).expect("it runs"));
        (0..times).map(|_| self.seen.recv().expect("it runs")).collect()
    }

    pub fn next(&self, act: fn(TcpStream) -> String) {
        self.acts.send(act).expect("it runs");
    }
}

pub fn read_all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("lines");
    text
}

pub fn hang_up(stream: TcpStream) -> String {
    drop(stream);
    String::new()
}

pub fn answer(mut stream: TcpStream) -> String {
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("it is written");
    read_all(stream)
}
