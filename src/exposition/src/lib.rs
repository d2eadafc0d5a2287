//! Families and samples, and how they are written: the Prometheus text format 0.0.4.
//!
//! The cost of an exposition is its numbers. Everything else about a sample line (name, labels,
//! escaping) is known when its series begins and does not change, so
//! [`prefixes::Prefixes`] are made once and copied at each scrape.

#![forbid(unsafe_code)]

pub mod prefixes;
#[cfg(feature = "protobuf")]
pub mod protobuf;
pub mod sample;
pub mod text;
