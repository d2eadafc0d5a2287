//! What the process tests stand on: the built program, its children, its pages over HTTP.
//!
//! A room uses those that its row names, and within a room no two files use each other.
//!
//! | room | owns | uses |
//! |---|---|---|
//! | [`build`] | building the programs under test, once a test binary | |
//! | [`start`] | processes that do not outlive their test, their files, and the watchdog | `build` |
//! | [`read`] | pages over HTTP, and those who read them: Prometheus, a linter | `build`, `start` |
//! | [`receive`] | who is sent something, or stands between | `start`, `read` |
//! | [`service`] | what is under test: an arena with its workers, and what they have counted | `start`, `read` |
//!
//! Nothing here waits for a time to pass: it waits for something to become true, and a watchdog
//! ends the test binary when it never does.

#![forbid(unsafe_code)]

pub mod build;

/// Programs that are started beside a test, and end with it.
pub mod start {
    pub mod child;
    pub mod copied;
    pub mod directory;
    pub mod long;
    pub mod part;
    pub mod program;
}

/// Pages: they are asked for, read, and read by others.
pub mod read {
    pub mod http;
    pub mod linter;
    pub mod page;
    pub mod prometheus;
}

/// Those who are sent something.
pub mod receive {
    pub mod between;
    pub mod programs;
    pub mod stand_in;
}

/// What is under test.
pub mod service {
    pub mod any_name;
    pub mod arena;
    pub mod expected;
    pub mod named;
    pub mod play;
    pub mod series;
    pub mod served;
}

/// The examples of the book, which must run. One of them serves, others push.
#[cfg(all(doctest, feature = "serve", feature = "push"))]
pub mod book {
    #[doc = include_str!("../../docs/exporting.md")]
    pub struct Exporting;
    #[doc = include_str!("../../docs/instruments.md")]
    pub struct Instruments;
    #[doc = include_str!("../../docs/registries.md")]
    pub struct Registries;
    #[doc = include_str!("../../docs/rust.md")]
    pub struct Rust;
}
