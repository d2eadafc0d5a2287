//! Shared memory, fork, descriptors and process handles: the only crate of Tallyboard that maps
//! memory, makes raw system calls or is unsafe. What it gives out is safe to use.
//!
//! Rules, numbered so that SAFETY comments can name them:
//!
//! 1. No reference into shared memory but to atomics: raw pointers, and `AtomicU64::from_ptr` for a
//!    word that is aligned and was checked to be inside its mapping.
//! 2. A mapping is never unmapped while the process lives. A pointer taken from one stays valid;
//!    in a forked child the mapping is absent, and so is every pointer to it, because the page
//!    that publishes the pointer is wiped there ([`fork`]).
//! 3. Memory is real before it is touched: fallocate by the supervisor, populate by a worker. A
//!    word that was not made real is not handed out.
//! 4. A cell handed out stays inside whatever base is published later ([`fork::ForkGuard`]).
//!
//! | module | owns |
//! |---|---|
//! | [`mapping`] | the arena as the supervisor maps it, and a slot as its worker does |
//! | [`posix`], [`memfd`], [`private`] | the three backings |
//! | [`names`] | names in directories: given without replacing, removed when they are ours |
//! | [`fork`] | the page that a fork wipes, the lock on it, and fork itself |
//! | [`pidfd`] | processes by descriptor, and who is at the other end of a socket |
//! | [`pass`] | the control socket: addresses, packets, descriptors |
//! | [`reach`] | one question to a supervisor, and why there is no answer |
//! | [`trust`] | whose answers are believed, and which objects are mapped |
//! | [`process`] | what a process knows of itself: clock, image, threads, its terminal |
//! | [`clock`] | the host's clock, which stamps of many processes are of |

#[cfg(not(target_os = "linux"))]
compile_error!("Tallyboard runs on Linux");

pub mod clock;
mod descriptors;
pub mod fork;
pub mod mapping;
pub mod memfd;
pub mod names;
pub mod pass;
pub mod pidfd;
#[cfg(feature = "posix")]
pub mod posix;
pub mod private;
pub mod process;
pub mod reach;
mod rights;
pub mod stat;
pub mod trust;
