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
compile_error!(
    "expected a build for Linux, found another system: Tallyboard counts in memory that only Linux has. In Cargo.toml, name it under [target.'cfg(target_os = \"linux\")'.dependencies], and put what uses it behind #[cfg(target_os = \"linux\")]; the page of the crate `tallyboard` shows how"
);

#[cfg(target_os = "linux")]
pub mod clock;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
pub mod fork;
#[cfg(target_os = "linux")]
pub mod mapping;
#[cfg(target_os = "linux")]
pub mod memfd;
#[cfg(target_os = "linux")]
pub mod names;
#[cfg(target_os = "linux")]
mod opened;
#[cfg(target_os = "linux")]
pub mod pass;
#[cfg(target_os = "linux")]
pub mod pidfd;
#[cfg(all(target_os = "linux", feature = "posix"))]
pub mod posix;
#[cfg(target_os = "linux")]
pub mod private;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod reach;
#[cfg(target_os = "linux")]
mod rights;
#[cfg(target_os = "linux")]
pub mod stat;
#[cfg(target_os = "linux")]
pub mod trust;
