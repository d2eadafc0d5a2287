//! What the process tests stand on: the built program, its children, its pages over HTTP.
//!
//! | module | owns |
//! |---|---|
//! | [`build`] | building the programs under test, once a test binary |
//! | [`child`] | processes that do not outlive their test, and the watchdog |
//! | [`copied`] | programs where every user may execute them |
//! | [`directory`] | directories that do not outlive their test |
//! | [`http`] | a GET request and its answer |
//! | [`linter`] | documents that a linter judges as the real one does |
//! | [`named`] | an arena with a name, whose supervisor is killed and started again |
//! | [`page`] | the samples of a page in the Prometheus text format |
//! | [`prometheus`] | a real Prometheus, and what it knows |
//! | [`receivers`] | programs that are sent something, certificates, and servers that behave badly |
//! | [`scripted`] | receivers that answer as a test says |
//! | [`serve`] | servers of pages, and between readers and their targets |
//! | [`service`] | an arena, workers that count with every instrument, and what they have counted |
//!
//! Nothing here waits for a time to pass: it waits for something to become true, and a watchdog
//! ends the test binary when it never does.

#![forbid(unsafe_code)]

pub mod build;
pub mod child;
pub mod copied;
pub mod directory;
pub mod http;
pub mod linter;
pub mod named;
pub mod page;
pub mod prometheus;
pub mod receivers;
pub mod scripted;
pub mod serve;
pub mod service;

/// The examples of the project's README, which must run. One of them serves, another one pushes.
#[cfg(all(doctest, feature = "serve", feature = "push"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
