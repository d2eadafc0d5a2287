//! A value behind the lock of a page.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

use super::page::{ForkGuard, ForkPage};

/// A value behind the lock of a page: whole in every forked child, because no fork happens while
/// the lock is held.
#[derive(Debug)]
pub struct ForkMutex<T> {
    page: &'static ForkPage,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time reach the value, as a mutex does.
unsafe impl<T: Send> Sync for ForkMutex<T> {}

impl<T> ForkMutex<T> {
    /// Puts `value` behind the lock of `page`. A page guards one value.
    #[must_use]
    pub fn new(page: &'static ForkPage, value: T) -> Self {
        Self { page, value: UnsafeCell::new(value) }
    }

    /// Takes the lock.
    pub fn lock(&self) -> ForkMutexGuard<'_, T> {
        let page = self.page.lock();
        ForkMutexGuard { page, value: &self.value }
    }

    /// Takes the lock where nobody has it, be that this thread.
    pub fn try_lock(&self) -> Option<ForkMutexGuard<'_, T>> {
        Some(ForkMutexGuard { page: self.page.try_lock()?, value: &self.value })
    }
}

/// The value of a [`ForkMutex`], with the lock held.
#[derive(Debug)]
pub struct ForkMutexGuard<'a, T> {
    page: ForkGuard,
    value: &'a UnsafeCell<T>,
}

impl<T> ForkMutexGuard<'_, T> {
    /// The lock.
    #[must_use]
    pub fn page(&self) -> &ForkGuard {
        &self.page
    }
}

impl<T> Deref for ForkMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held, and only its holder reaches the value.
        unsafe { &*self.value.get() }
    }
}

impl<T> DerefMut for ForkMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; the guard is borrowed exclusively.
        unsafe { &mut *self.value.get() }
    }
}
