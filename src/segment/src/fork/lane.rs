//! Lanes: the row of cells that a thread writes alone.
//!
//! A thread knows its lane by the number of the attachment that it took it in, which no other
//! attachment has, of this process, of its children or of another client. So a lane ends with its
//! attachment and is never that of a child, whatever memory the child has a copy of.
//!
//! An integer is added to by one instruction, which no signal handler of the thread comes into the
//! middle of. A float takes three: meanwhile the thread is marked, and a handler that finds the mark
//! counts beside the lane.
//!
//! Threads have lanes where that costs nothing else: on x86-64, which has the instruction, and in the
//! program itself, whose thread-locals are there from the first moment. Those of a module that was
//! loaded later may have to be allocated, which a signal handler must not do.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::LazyLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, compiler_fence};

use tallyboard_proto::lane;

use super::base::Base;
use crate::mapping::SlotMapping;

/// No attachment has this number, and none has 0.
const NONE: u64 = u64::MAX;
/// In how many clients a thread has a lane; in others it counts beside them.
const CLIENTS: usize = 4;

/// What a thread knows of its lanes. It needs no destructor and no allocation.
struct Thread {
    /// The lane that it used last: number of the attachment, and where its cells are.
    token: Cell<u64>,
    base: Cell<NonNull<u64>>,
    /// Whether it is in the middle of adding to a float.
    is_amid: Cell<bool>,
    /// Whether it is ending: its lanes are given back, and it takes no others.
    is_over: Cell<bool>,
    lanes: [Cell<Option<Lane>>; CLIENTS],
    /// The attachment in which it found no lane, and how many had been given back by then.
    refused: Cell<(u64, u64)>,
}

/// A lane that a thread has.
#[derive(Clone, Copy)]
struct Lane {
    client: &'static Base,
    token: u64,
    mapping: &'static SlotMapping,
    number: usize,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            token: Cell::new(NONE),
            base: Cell::new(NonNull::dangling()),
            is_amid: Cell::new(false),
            is_over: Cell::new(false),
            lanes: [const { Cell::new(None) }; CLIENTS],
            refused: Cell::new((NONE, 0)),
        }
    };
}

/// The words of the lane that this thread has in the attachment of `client`.
#[inline]
pub(super) fn base_of(client: &Base) -> Option<NonNull<u64>> {
    let token = client.lanes.load(Relaxed);
    // Looked at first: only where there are lanes are thread-locals certain to be there.
    if token == 0 {
        return None;
    }
    THREAD.with(|thread| (thread.token.get() == token).then(|| thread.base.get()))
}

/// Adds to a word in one instruction.
///
/// # Safety
/// The word is mapped, and only this thread writes it.
#[inline]
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn add(word: NonNull<u64>, amount: u64) {
    // SAFETY: the caller's; an aligned addition is one load and one store, each of the whole word.
    unsafe {
        std::arch::asm!(
            "add qword ptr [{word}], {amount}",
            word = in(reg) word.as_ptr(),
            amount = in(reg) amount,
            options(nostack)
        );
    }
}

/// As on x86-64, where this is never reached: nobody has a lane here.
#[inline]
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn add(word: NonNull<u64>, amount: u64) {
    // SAFETY: the caller's.
    unsafe { AtomicU64::from_ptr(word.as_ptr()) }.fetch_add(amount, Relaxed);
}

/// Adds to a float that only this thread writes; says whether it did. It does not where it came between
/// the load and the store of another addition, as a signal handler, nor what makes a sum that is no number any
/// more: that is kept where everybody can set it to one again.
#[inline]
pub(super) fn add_float(word: &AtomicU64, amount: f64) -> bool {
    THREAD.with(|thread| {
        if thread.is_amid.replace(true) {
            return false;
        }
        compiler_fence(SeqCst);
        let sum = f64::from_bits(word.load(Relaxed)) + amount;
        if sum.is_finite() {
            word.store(sum.to_bits(), Relaxed);
        }
        compiler_fence(SeqCst);
        thread.is_amid.set(false);
        sum.is_finite()
    })
}

/// Finds this thread's lane in the attachment that is published for `client`, or takes one. Words up to
/// `end` of the slot are real in it. The caller holds the lock of the client.
pub(super) fn take(client: &'static Base, mapping: &'static SlotMapping, end: usize) -> bool {
    let token = client.lanes.load(Relaxed);
    if token == 0 {
        return false;
    }
    THREAD.with(|thread| {
        if let Some(lane) = thread.find(|lane| lane.token == token) {
            thread.enter(lane);
            return true;
        }
        let given_back = mapping.lanes().given_back.load(Acquire);
        if thread.is_over.get() || thread.refused.get() == (token, given_back) {
            return false;
        }
        let taken = thread.take(client, token, mapping, end);
        match taken {
            Some(lane) => thread.enter(lane),
            None => thread.refused.set((token, given_back)),
        }
        taken.is_some()
    })
}

impl Thread {
    fn find(&self, is_it: impl Fn(&Lane) -> bool) -> Option<Lane> {
        self.lanes.iter().filter_map(Cell::get).find(is_it)
    }

    fn take(
        &self,
        client: &'static Base,
        token: u64,
        mapping: &'static SlotMapping,
        end: usize,
    ) -> Option<Lane> {
        // What it has in an earlier attachment of this client nobody counts in any more.
        let is_old = |lane: Lane| std::ptr::eq(lane.client, client);
        let place = self.lanes.iter().find(|lane| lane.get().is_none_or(is_old))?;
        let owners = &*mapping.lanes().owners;
        let number = lane::take(owners)?;
        let is_real = mapping.open_in_lane(number, end).is_ok();
        if !is_real || !says_when_it_ends() {
            lane::give_back(owners, number);
            return None;
        }
        lane::begin(mapping, 0, mapping.lanes().use_up_to(number));
        let lane = Lane { client, token, mapping, number };
        place.set(Some(lane));
        Some(lane)
    }

    fn enter(&self, lane: Lane) {
        // A handler that comes between finds another number, and looks for itself.
        self.token.set(NONE);
        compiler_fence(SeqCst);
        self.base.set(lane.mapping.lane(lane.number));
        compiler_fence(SeqCst);
        self.token.set(lane.token);
    }

    fn leave(&self) {
        self.is_over.set(true);
        self.token.set(NONE);
        compiler_fence(SeqCst);
        for lane in self.lanes.iter().filter_map(Cell::take) {
            let lanes = lane.mapping.lanes();
            lane::give_back(&*lanes.owners, lane.number);
            // Release: whoever sees that one more was given back finds it free.
            lanes.given_back.fetch_add(1, Release);
        }
    }
}

/// In a child that has a copy of its parent's memory: only this thread is here, so all lanes but its
/// own are nobody's.
pub(super) fn left_by_fork(mapping: &SlotMapping) {
    let own = THREAD.with(|thread| thread.find(|lane| std::ptr::eq(lane.mapping, mapping)));
    for (number, owner) in mapping.lanes().owners.iter().enumerate() {
        owner.store(own.is_some_and(|own| own.number == number).into(), Relaxed);
    }
}

/// A number for an attachment, which nobody has had: a child goes on from its parent's.
pub(super) fn new_token() -> u64 {
    static TOKENS: AtomicU64 = AtomicU64::new(0);
    if can_be() { TOKENS.fetch_add(1, Relaxed) + 1 } else { 0 }
}

/// Whether threads can have lanes at all.
fn can_be() -> bool {
    static CAN_BE: LazyLock<bool> =
        LazyLock::new(|| cfg!(target_arch = "x86_64") && is_in_program() && KEY.is_some());
    *CAN_BE
}

/// What tells the end of a thread. Destructors of thread-locals come before it.
static KEY: LazyLock<Option<libc::pthread_key_t>> = LazyLock::new(|| {
    /// The keys of which glibc needs no memory for what a thread keeps (PTHREAD_KEY_2NDLEVEL_SIZE).
    const WITHOUT_MEMORY: libc::pthread_key_t = 32;
    unsafe extern "C" fn ends(_: *mut libc::c_void) {
        THREAD.with(Thread::leave);
    }
    let mut key = 0;
    // SAFETY: the function only touches this module's own, which is there until the thread is gone.
    let refused = unsafe { libc::pthread_key_create(&raw mut key, Some(ends)) };
    (refused == 0 && key < WITHOUT_MEMORY).then_some(key)
});

/// Has this thread give its lanes back when it ends.
fn says_when_it_ends() -> bool {
    let Some(key) = *KEY else { return false };
    let any = NonNull::<libc::c_void>::dangling().as_ptr();
    // SAFETY: the key was made above; nobody follows the pointer.
    unsafe { libc::pthread_setspecific(key, any) == 0 }
}

/// Whether this code is a part of the program itself, and not of a shared object.
fn is_in_program() -> bool {
    unsafe extern "C" fn look(
        found: *mut libc::dl_phdr_info,
        _: libc::size_t,
        answer: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader gives an object that lives for this call.
        let object = unsafe { &*found };
        let headers = (0..usize::from(object.dlpi_phnum)).map(|at| {
            // SAFETY: the object has so many headers.
            let header = unsafe { object.dlpi_phdr.add(at) };
            // SAFETY: as above; they live as long as the object.
            unsafe { &*header }
        });
        let here = is_in_program as fn() -> bool as usize as u64;
        let loaded = headers.filter(|header| header.p_type == libc::PT_LOAD);
        let is_here = loaded.into_iter().any(|header| {
            let start = object.dlpi_addr + header.p_vaddr;
            (start..start + header.p_memsz).contains(&here)
        });
        // SAFETY: it is the `bool` below.
        unsafe { *answer.cast::<bool>() = is_here };
        // The program is the first; the others are not looked at.
        1
    }
    let mut answer = false;
    // SAFETY: `look` is called during this call alone, with this pointer.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut answer).cast()) };
    answer
}
