//! A lock in one word, and waiting at a word: what lies on a page that a fork wipes is all zero at first.

use std::ptr::null;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Takes the lock of a word: 0 free, 1 held, 2 held and waited for.
pub(super) fn acquire(lock: &AtomicU32) {
    if try_acquire(lock) {
        return;
    }
    while lock.swap(2, Acquire) != 0 {
        wait(lock, 2);
    }
}

/// Takes it where it is free.
pub(super) fn try_acquire(lock: &AtomicU32) -> bool {
    lock.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
}

/// Gives it back.
pub(super) fn release(lock: &AtomicU32) {
    if lock.swap(0, Release) == 2 {
        wake(lock, 1);
    }
}

/// Waits while the word is what was expected, or for no reason at all.
pub(super) fn wait(word: &AtomicU32, expected: u32) {
    // SAFETY: the word is alive for the call; the kernel only reads it. Every error means "look
    // again", which all callers do.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            null::<libc::timespec>(),
        );
    }
}

/// Wakes so many threads that wait at the word.
pub(super) fn wake(word: &AtomicU32, threads: i32) {
    // SAFETY: the word is only an address here.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            threads,
        );
    }
}
