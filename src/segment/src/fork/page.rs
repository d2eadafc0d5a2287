//! The page that a fork wipes.
//!
//! Everything about an attachment that must not be true in a forked child lies on one private page
//! with MADV_WIPEONFORK: the base pointer of the cells, the lock of the client, the state of its
//! first use. The kernel zeroes it in every child, whoever forks and however, so the load that an
//! increment makes anyway reads null there: the null check is the fork check. Where the kernel
//! refuses the advice (gVisor), the atfork handler of the child clears the page instead.
//!
//! The heap survives a fork as a copy. So that the copy is never half-changed, the lock is taken
//! around every fork by `pthread_atfork`.

use std::io;
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::Once;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

use crossbeam_utils::CachePadded;
use tallyboard_proto::layout::{DROP_REASONS, DropReason, slot_header};

use super::base::Base;
use super::cells::Cells;
use super::lane;
use super::lock::{acquire, release, try_acquire, wait, wake};
use crate::mapping::{Inherit, SlotMapping, advise, map_with};

/// What lies on the wiped page. All zero is its first state.
#[repr(C)]
struct Wiped {
    /// Where cells are. Read by every operation, so it is alone on its cache line.
    base: CachePadded<Base>,
    /// 0 free, 1 held, 2 held and waited for.
    lock: CachePadded<AtomicU32>,
    /// State of the first use: [`IDLE`], [`DONE`], or the number of the thread that runs it. One
    /// word, so that a signal handler never finds a first use that runs on no thread.
    phase: AtomicU32,
    /// Random number of this process's attachment; 0 in a child.
    token: AtomicU64,
    /// Number of this process among those descended from the one that made the page; 0 until
    /// somebody asks.
    life: AtomicU64,
    /// What could not be counted while there was no slot to say so in.
    pending: [AtomicU64; DROP_REASONS],
}

const IDLE: u32 = 0;
/// No thread has this number: the kernel's are positive and 31 bits long.
const DONE: u32 = u32::MAX;
const PAGE_BYTES: usize = 4096;
const _: () = assert!(size_of::<Wiped>() <= PAGE_BYTES);

/// The page of one client. It lives as long as the process.
#[derive(Debug)]
pub struct ForkPage {
    wiped: NonNull<Wiped>,
    /// Whether a child has a copy of the page, and of the memory behind it.
    is_copied: bool,
    /// Whether the atfork handler must clear the page, because the kernel will not.
    clear_in_child: bool,
    /// End of the highest cell handed out, in words from the base. Survives forks, as handles do.
    minted: AtomicUsize,
    /// How many lives this process and its ancestors have begun. Survives forks, so that a child's
    /// number is above those of all its ancestors.
    lives: AtomicU64,
    /// The mapping behind `base`; stale in a child, where `base` is null.
    current: AtomicPtr<SlotMapping>,
    /// The page made before this one.
    next: AtomicPtr<ForkPage>,
}

// SAFETY: all state is in atomics; the page is never unmapped.
unsafe impl Send for ForkPage {}
// SAFETY: as above.
unsafe impl Sync for ForkPage {}

/// All pages of the process, newest first, for the atfork handlers.
static PAGES: AtomicPtr<ForkPage> = AtomicPtr::new(null_mut());
/// The page that was newest when the fork under way began.
static FORKING: AtomicPtr<ForkPage> = AtomicPtr::new(null_mut());

impl ForkPage {
    /// Makes a page. `inherit` says whether a forked child finds it wiped or copied.
    ///
    /// # Errors
    /// What `mmap` or `pthread_atfork` says.
    pub fn new(inherit: Inherit) -> io::Result<&'static Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = map_with(PAGE_BYTES / size_of::<u64>(), protection, flags, -1, 0)?;
        let wipes = inherit == Inherit::Nothing
            && advise(page.as_ptr().cast(), PAGE_BYTES, libc::MADV_WIPEONFORK);
        let page: &'static Self = Box::leak(Box::new(Self {
            wiped: page.cast(),
            is_copied: inherit == Inherit::Copy,
            clear_in_child: inherit == Inherit::Nothing && !wipes,
            minted: AtomicUsize::new(0),
            lives: AtomicU64::new(0),
            current: AtomicPtr::new(null_mut()),
            next: AtomicPtr::new(null_mut()),
        }));
        handle_forks()?;
        page.enlist();
        Ok(page)
    }

    fn enlist(&'static self) {
        let mut head = PAGES.load(Acquire);
        loop {
            self.next.store(head, Relaxed);
            // Release: the handlers that find this page find it whole.
            match PAGES.compare_exchange(head, (self as *const Self).cast_mut(), AcqRel, Acquire) {
                Ok(_) => return,
                Err(found) => head = found,
            }
        }
    }

    fn wiped(&self) -> &'static Wiped {
        // SAFETY: the page is mapped read-write for as long as the process lives, zero is a valid
        // `Wiped`, and all of it is atomics.
        unsafe { self.wiped.as_ref() }
    }

    /// Takes the client's lock. It is never held over a callback or an attach.
    pub fn lock(&'static self) -> ForkGuard {
        acquire(&self.wiped().lock);
        ForkGuard { page: self, _here: PhantomData }
    }

    /// Takes the client's lock where nobody has it.
    pub fn try_lock(&'static self) -> Option<ForkGuard> {
        // A guard that is made gives the lock back when it is dropped.
        try_acquire(&self.wiped().lock).then(|| ForkGuard { page: self, _here: PhantomData })
    }

    /// Whether this process has published a base.
    #[inline]
    #[must_use]
    pub fn is_published(&self) -> bool {
        !self.wiped().base.words.load(Acquire).is_null()
    }

    /// Whether the first use in this process has come to its end.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.wiped().phase.load(Acquire) == DONE
    }

    /// Number of this process's attachment; 0 while there is none.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.wiped().token.load(Relaxed)
    }

    /// Number of this process: the same for as long as it lives, attached or not, never 0, and not
    /// that of any ancestor. A guard made before a fork carries the parent's and finds another in
    /// the child.
    #[inline]
    #[must_use]
    pub fn life(&self) -> u64 {
        match self.wiped().life.load(Relaxed) {
            0 => self.begin_life(),
            life => life,
        }
    }

    #[cold]
    fn begin_life(&self) -> u64 {
        let fresh = self.lives.fetch_add(1, Relaxed) + 1;
        // Release: a child that is forked by whoever sees this life finds it counted in `lives`.
        match self.wiped().life.compare_exchange(0, fresh, Release, Relaxed) {
            Ok(_) => fresh,
            Err(begun) => begun,
        }
    }

    /// Begins the first use in this process, or waits for the thread that began it.
    pub fn first_use(&'static self) -> FirstUse {
        let wiped = self.wiped();
        let me = crate::process::thread_id();
        loop {
            match wiped.phase.compare_exchange(IDLE, me, AcqRel, Acquire) {
                Ok(_) => return FirstUse::Run(FirstUseTurn { page: self }),
                Err(DONE) => return FirstUse::Done,
                Err(runner) if runner == me => return FirstUse::Reentered,
                Err(runner) => wait(&wiped.phase, runner),
            }
        }
    }

    /// Counts something that could not be counted, for as long as there is no slot to say so in.
    pub fn drop_pending(&self, reason: DropReason) {
        self.wiped().pending[reason as usize].fetch_add(1, Relaxed);
    }
}

/// The client's lock, held. Made on one thread and released there.
#[derive(Debug)]
pub struct ForkGuard {
    page: &'static ForkPage,
    _here: PhantomData<*const ()>,
}

impl ForkGuard {
    /// Hands out `count` cells from word `first` of the slot on. They must be open in the mapping
    /// that is published now; while none is, [`ForkGuard::publish`] checks them later.
    ///
    /// # Panics
    /// When the cells are not open: a defect of the caller, which opens before it hands out.
    #[must_use]
    pub fn cells(&self, first: usize, count: usize) -> Cells {
        let end = first + count;
        if let Some(mapping) = self.mapping() {
            assert!(mapping.is_open(0..end), "cells up to {end} are not open");
            let is_open =
                |lane| mapping.is_open(mapping.of_lane(lane, first)..mapping.of_lane(lane, end));
            assert!(
                (0..mapping.used_lanes()).all(is_open),
                "cells up to {end} are not open in lanes"
            );
        }
        self.page.minted.fetch_max(end, Relaxed);
        Cells::new(&self.page.wiped().base, first, count)
    }

    /// The mapping that is published in this process.
    #[must_use]
    pub fn mapping(&self) -> Option<&'static SlotMapping> {
        if !self.page.is_published() {
            return None;
        }
        // SAFETY: `publish` stored a leaked mapping before it stored the base, in this process.
        unsafe { self.page.current.load(Acquire).as_ref() }
    }

    /// Finds or takes the lane of this thread, in which words up to `end` of the slot are real from now
    /// on; says whether it has one.
    pub fn take_lane(&self, end: usize) -> bool {
        let end = end.max(self.page.minted.load(Relaxed));
        self.mapping().is_some_and(|mapping| lane::take(&self.page.wiped().base, mapping, end))
    }

    /// Publishes `mapping` as the one that all cells of this client are in, and `token` as the
    /// number of the attachment. What could not be counted before is written into its header.
    ///
    /// # Errors
    /// The mapping, when a cell that was handed out is not open in it.
    pub fn publish(&self, mapping: SlotMapping, token: u64) -> Result<(), SlotMapping> {
        let minted = self.page.minted.load(Relaxed).max(slot_header::WORDS);
        if !mapping.is_open(0..minted) {
            return Err(mapping);
        }
        let wiped = self.page.wiped();
        for (reason, pending) in wiped.pending.iter().enumerate() {
            let dropped = mapping.word(slot_header::DROPPED + reason);
            dropped.fetch_add(pending.swap(0, Relaxed), Relaxed);
        }
        let mapping: &'static SlotMapping = Box::leak(Box::new(mapping));
        self.page.current.store((mapping as *const SlotMapping).cast_mut(), Release);
        wiped.token.store(token, Relaxed);
        // Release: whoever loads the base finds every cell up to `minted` real. CELL-BASE; its
        // other side is in `Cells::words`.
        wiped.base.words.store(mapping.base().as_ptr(), Release);
        // Threads that have a lane in the mapping before this one find another number from now on.
        let has_lanes = !mapping.lanes().owners.is_empty();
        wiped.base.lanes.store(if has_lanes { lane::new_token() } else { 0 }, Release);
        Ok(())
    }
}

impl Drop for ForkGuard {
    fn drop(&mut self) {
        release(&self.page.wiped().lock);
    }
}

/// What [`ForkPage::first_use`] found.
#[derive(Debug)]
#[must_use]
pub enum FirstUse {
    /// This thread runs the first use, and ends it by dropping the turn.
    Run(FirstUseTurn),
    /// Another thread has run it.
    Done,
    /// This thread is running it already: a signal handler came in between.
    Reentered,
}

/// The first use, under way.
#[derive(Debug)]
pub struct FirstUseTurn {
    page: &'static ForkPage,
}

impl Drop for FirstUseTurn {
    fn drop(&mut self) {
        let phase = &self.page.wiped().phase;
        phase.store(DONE, Release);
        wake(phase, i32::MAX);
    }
}

fn handle_forks() -> io::Result<()> {
    static HANDLED: Once = Once::new();
    static REFUSED: AtomicBool = AtomicBool::new(false);
    HANDLED.call_once(|| {
        // SAFETY: the handlers are functions of this module that only touch its statics and pages.
        let refused = unsafe {
            libc::pthread_atfork(Some(before_fork), Some(after_fork_parent), Some(after_fork_child))
        };
        REFUSED.store(refused != 0, Relaxed);
    });
    if REFUSED.load(Relaxed) { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(()) }
}

fn pages_from(head: *const ForkPage) -> impl Iterator<Item = &'static ForkPage> {
    let page = |page: *const ForkPage| -> Option<&'static ForkPage> {
        // SAFETY: only leaked pages are ever enlisted.
        unsafe { page.as_ref() }
    };
    std::iter::successors(page(head), move |at| page(at.next.load(Relaxed)))
}

extern "C" fn before_fork() {
    let head = PAGES.load(Acquire);
    FORKING.store(head, Relaxed);
    pages_from(head).for_each(|page| acquire(&page.wiped().lock));
}

extern "C" fn after_fork_parent() {
    pages_from(FORKING.load(Relaxed)).for_each(|page| release(&page.wiped().lock));
}

extern "C" fn after_fork_child() {
    for page in pages_from(FORKING.load(Relaxed)) {
        let wiped = page.wiped();
        // A page that is copied is this process's own too, but its guards are its parent's.
        wiped.life.store(0, Relaxed);
        if page.clear_in_child {
            wiped.base.words.store(null_mut(), Relaxed);
            wiped.base.lanes.store(0, Relaxed);
            wiped.phase.store(IDLE, Relaxed);
            wiped.token.store(0, Relaxed);
            wiped.pending.iter().for_each(|pending| pending.store(0, Relaxed));
        }
        // SAFETY: in a copied page `publish` stored a leaked mapping, which is copied too.
        let copied = unsafe { page.current.load(Relaxed).as_ref() };
        if let Some(mapping) = copied.filter(|_| page.is_copied && page.is_published()) {
            lane::left_by_fork(mapping);
        }
        // The thread that ran a copied page's first use is not here to end it.
        if wiped.phase.load(Relaxed) != DONE {
            wiped.phase.store(IDLE, Relaxed);
        }
        wiped.lock.store(0, Release);
    }
}

#[cfg(test)]
mod tests {
    use tallyboard_proto::layout::{Geometry, Layout};

    use super::*;

    fn layout() -> Layout {
        Layout::new(Geometry::for_series(1, 1024).unwrap())
    }

    fn opened(words: usize, inherit: Inherit) -> SlotMapping {
        let mapping = crate::private::slot(&layout(), inherit).unwrap();
        mapping.open(0..words).unwrap();
        mapping
    }

    /// Forks, runs `child` there, and gives its exit status.
    fn in_child(child: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child only runs `child` and ends; test threads that held locks of the test
        // harness are not needed there.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = child();
            // SAFETY: ends the process without running anything else.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: `pid` is the child made above.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 255 }
    }

    #[test]
    fn a_forked_child_reads_no_base_and_can_lock() {
        let page = ForkPage::new(Inherit::Nothing).unwrap();
        page.lock().publish(opened(8192, Inherit::Nothing), 7).unwrap();
        let cells = page.lock().cells(600, 2);
        cells.words().unwrap().at(1).fetch_add(5, Relaxed);
        let code = in_child(|| {
            let absent = cells.words().is_none() && !page.is_published() && page.token() == 0;
            drop(page.lock());
            let idle = matches!(page.first_use(), FirstUse::Run(_));
            i32::from(!(absent && idle))
        });
        assert_eq!(code, 0);
        assert_eq!(cells.words().unwrap().at(1).load(Relaxed), 5);
        assert_eq!(page.token(), 7);
    }

    #[test]
    fn a_forked_child_of_a_private_page_has_a_copy() {
        let page = ForkPage::new(Inherit::Copy).unwrap();
        page.lock().publish(opened(8192, Inherit::Copy), 7).unwrap();
        let cells = page.lock().cells(600, 1);
        cells.words().unwrap().at(0).fetch_add(5, Relaxed);
        let code = in_child(|| cells.words().unwrap().at(0).fetch_add(1, Relaxed) as i32);
        assert_eq!(code, 5);
        assert_eq!(cells.words().unwrap().at(0).load(Relaxed), 5);
    }

    #[test]
    fn a_process_has_a_number_that_none_of_its_ancestors_has() {
        for inherit in [Inherit::Nothing, Inherit::Copy] {
            let page = ForkPage::new(inherit).unwrap();
            let before = page.life();
            page.lock().publish(opened(8192, inherit), 1).unwrap();
            page.lock().publish(opened(8192, inherit), 7).unwrap();
            assert_eq!(page.life(), before);
            let code = in_child(|| {
                let child = page.life();
                let grandchild = in_child(|| i32::from([before, child].contains(&page.life())));
                i32::from(child == before || child != page.life()) + 2 * grandchild
            });
            assert_eq!(code, 0, "{inherit:?}");
            assert_eq!(page.life(), before);
        }
    }

    #[test]
    fn a_child_forked_during_a_first_use_runs_its_own() {
        let page = ForkPage::new(Inherit::Copy).unwrap();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let runner = std::thread::spawn(move || {
            let FirstUse::Run(turn) = page.first_use() else { panic!("nobody ran it before") };
            begun.send(()).unwrap();
            let _ = ended.recv();
            drop(turn);
        });
        has_begun.recv().unwrap();
        let code = in_child(|| {
            // A child that waits for a thread it does not have is ended by this signal.
            // SAFETY: only sets a timer of this process.
            unsafe { libc::alarm(20) };
            i32::from(!matches!(page.first_use(), FirstUse::Run(_)))
        });
        drop(end);
        runner.join().unwrap();
        assert_eq!(code, 0);
    }

    #[test]
    fn a_mapping_that_misses_a_cell_is_not_published() {
        let page = ForkPage::new(Inherit::Nothing).unwrap();
        let cells = page.lock().cells(9000, 1);
        let small = crate::private::slot(&layout(), Inherit::Nothing).unwrap();
        small.open(0..512).unwrap();
        assert!(page.lock().publish(small, 1).is_err());
        assert!(cells.words().is_none());
    }

    #[test]
    fn one_thread_runs_the_first_use_and_the_others_wait_for_it() {
        let page = ForkPage::new(Inherit::Nothing).unwrap();
        let runs = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| match page.first_use() {
                    FirstUse::Run(turn) => {
                        assert!(matches!(page.first_use(), FirstUse::Reentered));
                        assert!(!page.is_begun());
                        runs.fetch_add(1, Relaxed);
                        drop(turn);
                    }
                    FirstUse::Done => assert_eq!(runs.load(Relaxed), 1),
                    FirstUse::Reentered => panic!("another thread is not this one"),
                });
            }
        });
        assert_eq!(runs.load(Relaxed), 1);
        assert!(page.is_begun() && in_child(|| i32::from(page.is_begun())) == 0);
    }
}
