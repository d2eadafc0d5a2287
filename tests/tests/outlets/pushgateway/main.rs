//! A real Pushgateway: what was pushed is read back from it, whatever stands in between, and what
//! cannot be pushed is an error that says why.
//!
//! | module | owns |
//! |---|---|
//! | `gateway` | the gateway, and what it says that it has |
//! | `groups` | jobs and grouping keys; what is pushed, added and deleted |
//! | `kinds` | every kind of metric, and the metrics of a whole service |
//! | `secured` | credentials, certificates, redirects |
//! | `failures` | gateways that are down, slow, refusing, or none |
//! | `repeated` | the program in an interval |

#![forbid(unsafe_code)]

mod failures;
mod gateway;
mod groups;
mod kinds;
mod repeated;
mod secured;
