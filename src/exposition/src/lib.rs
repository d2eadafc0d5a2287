//! Families and samples, and how they are written: as Prometheus text, as OpenMetrics text and as
//! Prometheus' protocol buffers.
//!
//! The cost of an exposition is its numbers. Everything else about a sample line (name, labels,
//! escaping) is known when its series begins and does not change, so
//! [`prefixes::Prefixes`] are made once and copied at each scrape.

#![forbid(unsafe_code)]

pub mod cells;
pub mod clash;
mod encode;
pub mod escaping;
pub mod format;
mod join;
pub mod lint;
mod merge;
pub mod native;
pub mod negotiation;
mod number;
pub mod openmetrics;
pub mod openmetrics2;
pub mod parse;
pub mod prefixes;
#[cfg(feature = "protobuf")]
pub mod protobuf;
mod rules;
pub mod sample;
pub mod series;
pub mod synthetic;
pub mod text;
pub mod whole;
