//! Conversations that no client of ours holds: several offers on one connection, one offer on
//! several connections. The supervisor is a process of its own, forked before any thread.

use std::time::{Duration, Instant};

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::control::{
    Attached, Hello, MAX_MESSAGE_BYTES, Reply, Request, decode, encode,
};
use tallyboard_proto::layout::LAYOUT_VERSION;
use tallyboard_segment::pass::{Address, Socket};
use tallyboard_supervisor::{Builder, ask};

const LONG: Duration = Duration::from_secs(60);

fn connect(address: &Address) -> Socket {
    Socket::connect(address, Instant::now() + LONG).expect("a supervisor listens")
}

fn hello(socket: &Socket, attach_id: u64) -> Attached {
    let hello = Hello {
        layout: LAYOUT_VERSION,
        fingerprint: FINGERPRINT,
        image: 1,
        attach_id,
        rejoin: None,
    };
    socket.send(&encode(&Request::Hello(hello)), None).expect("it reads");
    let packet = socket.receive_until(MAX_MESSAGE_BYTES, Instant::now() + LONG).expect("an answer");
    match decode(&packet.bytes).expect("a reply") {
        Reply::Attached(attached) => attached,
        other => panic!("{other:?}"),
    }
}

/// Waits until the supervisor has read all that was said on `socket`.
fn settle(socket: &Socket) {
    socket.send(&encode(&Request::Describe), None).expect("it reads");
    socket.receive_until(MAX_MESSAGE_BYTES, Instant::now() + LONG).expect("an answer");
}

fn states(address: &Address) -> Vec<String> {
    let rows = ask::slots(address, LONG).expect("an answer");
    rows.into_iter().map(|row| format!("{} {}", row.slot, row.state)).collect()
}

/// Waits until the slots are `expected`; a supervisor notices the end of a connection by itself.
fn until(address: &Address, expected: &[&str]) {
    let deadline = Instant::now() + LONG;
    while states(address) != expected {
        assert!(Instant::now() < deadline, "{:?} is not {expected:?}", states(address));
        std::thread::yield_now();
    }
}

/// One offer, two connections: the end of the first takes nothing from the second.
fn an_offer_made_twice_outlives_the_first_connection(address: &Address) {
    let (first, second) = (connect(address), connect(address));
    let offered = hello(&first, 7);
    assert_eq!(hello(&second, 7), offered);
    drop(first);
    // The supervisor reads connections in no order; another one's answer comes after the end.
    for _ in 0..50 {
        settle(&second);
        assert_eq!(states(address), ["0 assigned"]);
    }
    second.send(&encode(&Request::Confirm), None).expect("it reads");
    settle(&second);
    assert_eq!(states(address), ["0 live"]);
}

/// How many slots have been granted.
fn attaches(address: &Address) -> String {
    let page = ask::scrape(address, &[], LONG).expect("an answer");
    let page = String::from_utf8(page).expect("text");
    let line = page.lines().find(|line| line.starts_with("tallyboard_attaches_total "));
    line.expect("the supervisor counts attaches").to_owned()
}

/// A worker asks for the slot that it has, to see whether its arena was replaced, and hangs up.
fn a_question_about_a_slot_that_was_taken_changes_nothing(address: &Address) {
    let (before, stranger) = (attaches(address), connect(address));
    for _ in 0..50 {
        let socket = connect(address);
        assert_eq!(hello(&socket, 7).slot, 0);
        assert_eq!(states(address), ["0 live"]);
        drop(socket);
        settle(&stranger);
        assert_eq!(states(address), ["0 live"]);
    }
    assert_eq!(attaches(address), before);
}

/// Two offers, one connection: the one that was given up is free again.
fn a_second_hello_gives_the_first_offer_back(address: &Address) {
    let socket = connect(address);
    assert_eq!(hello(&socket, 8).slot, 1);
    assert_eq!(hello(&socket, 9).slot, 2);
    assert_eq!(states(address), ["0 live", "2 assigned"]);
    // Nobody was offered anything here.
    let stranger = connect(address);
    stranger.send(&encode(&Request::Confirm), None).expect("it reads");
    settle(&stranger);
    assert_eq!(states(address), ["0 live", "2 assigned"]);
    drop(socket);
    until(address, &["0 live"]);
}

fn main() {
    let board = Builder::new().slots(4).max_series(64).spawn().expect("a keeper");
    let address: Address = board.address().parse().expect("an address");
    an_offer_made_twice_outlives_the_first_connection(&address);
    a_question_about_a_slot_that_was_taken_changes_nothing(&address);
    a_second_hello_gives_the_first_offer_back(&address);
    board.stop();
    println!("test result: ok. Conversations that no client of ours holds end well.");
}
