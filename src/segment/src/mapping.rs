//! Mappings: the whole arena in the supervisor, one slot in a worker.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::stat::fstat;
use tallyboard_proto::cell::Shape;
use tallyboard_proto::layout::{EXTENT_WORDS, Layout, slot_header};
use tallyboard_proto::word::Words;

use crate::opened::Opened;

const WORD: usize = size_of::<u64>();
const EXTENT: usize = EXTENT_WORDS * WORD;

/// A whole arena, mapped read-write: the supervisor's view. A forked child inherits the mapping,
/// which is how a keeper hands it to its supervisor.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u64>,
    words: usize,
    object: Option<OwnedFd>,
}

// SAFETY: the mapping is shared memory that is only accessed through atomics (rule 1) and lives as
// long as the process (rule 2), so any thread may use it.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    pub(crate) fn new(base: NonNull<u64>, words: usize, object: Option<OwnedFd>) -> Self {
        advise(base.as_ptr().cast(), words * WORD, libc::MADV_DONTDUMP);
        Self { base, words, object }
    }

    /// Makes the words of `range` real: after this they can be touched without a signal.
    ///
    /// # Errors
    /// What `fallocate` says: ENOSPC when the file system is full.
    pub fn make_real(&self, range: Range<usize>) -> io::Result<()> {
        let Some(object) = &self.object else { return Ok(()) };
        if range.is_empty() {
            return Ok(());
        }
        let (offset, len) = (range.start * WORD, range.len() * WORD);
        retry(|| fallocate(object, FallocateFlags::empty(), offset as i64, len as i64))
    }

    /// Bytes of memory that the arena takes now.
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn allocated_bytes(&self) -> io::Result<u64> {
        let Some(object) = &self.object else { return Ok((self.words * WORD) as u64) };
        Ok(fstat(object)?.st_blocks as u64 * 512)
    }

    /// Whether the object is as long as the arena. One that somebody has cut off must not be touched:
    /// the kernel ends who does.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Some(object) = &self.object else { return true };
        let expected = (self.words * WORD) as u64;
        fstat(object).is_ok_and(|found| u64::try_from(found.st_size).unwrap_or(0) >= expected)
    }

    /// The object's descriptor, to pass to a worker; none for private memory.
    #[must_use]
    pub fn object(&self) -> Option<BorrowedFd<'_>> {
        self.object.as_ref().map(AsFd::as_fd)
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at < self.words, "word {at} of {}", self.words);
        // SAFETY: `at` is inside the mapping by the assertion above, so the offset is too.
        let pointer = unsafe { self.base.as_ptr().add(at) };
        // SAFETY: aligned because mappings begin at pages, alive by rule 2, atomic by rule 1.
        unsafe { AtomicU64::from_ptr(pointer) }
    }

    /// Gives the whole pages of `range` back to the system; says whether it did.
    fn punch(&self, range: &Range<usize>) -> bool {
        let Some(object) = &self.object else { return false };
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (offset, len) = (range.start * WORD, range.len() * WORD);
        offset.is_multiple_of(EXTENT)
            && len.is_multiple_of(EXTENT)
            && retry(|| fallocate(object, flags, offset as i64, len as i64)).is_ok()
    }
}

impl Words for Arena {
    fn len(&self) -> usize {
        self.words
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        self.word(at).load(order)
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        self.word(at).store(value, order);
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }

    fn scrub(&self, range: Range<usize>) {
        if !self.punch(&range) {
            range.for_each(|at| self.store(at, 0, Ordering::Relaxed));
        }
    }

    fn read(&self, range: Range<usize>, into: &mut Vec<u64>) {
        assert!(range.start <= range.end && range.end <= self.words, "{range:?} of {}", self.words);
        // SAFETY: the range is inside the mapping by the assertion above.
        let first = unsafe { self.base.as_ptr().add(range.start) };
        into.extend((0..range.len()).map(|at| {
            // SAFETY: `at` is below the range's length, so the word is inside the mapping.
            let pointer = unsafe { first.add(at) };
            // SAFETY: as in `word`.
            unsafe { AtomicU64::from_ptr(pointer) }.load(Ordering::Relaxed)
        }));
    }
}

/// What a forked child finds in place of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherit {
    /// Nothing: the mapping is absent in the child.
    Nothing,
    /// A copy, as of any private memory.
    Copy,
}

impl Lanes {
    /// Takes down that a lane is used; gives how many are.
    pub(crate) fn use_up_to(&self, lane: usize) -> usize {
        let used = self.used.load(Ordering::Relaxed).max(lane + 1);
        // Release: whoever finds so many used may read them.
        self.used.store(used, Ordering::Release);
        used
    }
}

/// One slot, as its worker maps it: reserved at full size without access, opened page by page.
/// It is never unmapped (rule 2).
#[derive(Debug)]
pub struct SlotMapping {
    base: NonNull<u64>,
    words: usize,
    opened: Opened,
    lanes: Lanes,
}

/// The lanes of a slot, and which of them threads of this process have.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// Word at which the first lane begins, and how many words it is to the next.
    first: usize,
    words: usize,
    /// A word for each lane, as [`tallyboard_proto::lane`] has them.
    pub(crate) owners: Box<[AtomicU64]>,
    /// How many were ever taken. It rises under the lock of the client alone.
    used: AtomicUsize,
    /// How many were given back: whoever found none looks again when one was.
    pub(crate) given_back: AtomicU64,
}

// SAFETY: as for `Arena`.
unsafe impl Send for SlotMapping {}
// SAFETY: as for `Arena`.
unsafe impl Sync for SlotMapping {}

impl SlotMapping {
    /// Maps `words` words of `object` from word `offset` on. A forked child does not inherit it.
    ///
    /// # Errors
    /// What `mmap` says; `InvalidInput` when the range is not made of whole extents or the object
    /// is shorter.
    pub fn of_object(object: BorrowedFd<'_>, offset: usize, words: usize) -> io::Result<Self> {
        let size = u64::try_from(fstat(object)?.st_size).unwrap_or(0);
        let end = offset.checked_add(words).and_then(|end| end.checked_mul(WORD));
        if end.is_none_or(|end| end as u64 > size) || !offset.is_multiple_of(EXTENT_WORDS) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "expected words {offset} to {offset} + {words} inside an object of {size} bytes"
                ),
            ));
        }
        let base = map(words, libc::MAP_SHARED | libc::MAP_NORESERVE, object.as_raw_fd(), offset)?;
        Ok(Self::new(base, words, Inherit::Nothing))
    }

    /// The same mapping, of a slot that has lanes: those of `layout` that it has room for.
    #[must_use]
    pub fn with_lanes(mut self, layout: &Layout) -> Self {
        let has_room = self.words >= layout.slot_words;
        let lanes = if has_room { layout.geometry.lanes } else { 0 };
        let starts: Vec<usize> =
            (0..lanes.min(2)).map(|lane| layout.lane_of_slot_at(0, lane)).collect();
        let first = starts.first().copied().unwrap_or(0);
        self.lanes = Lanes {
            first,
            words: starts.get(1).map_or(0, |second| second - first),
            owners: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
            used: AtomicUsize::new(0),
            given_back: AtomicU64::new(0),
        };
        self
    }

    pub(crate) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// How many lanes threads of this process have had.
    #[must_use]
    pub fn used_lanes(&self) -> usize {
        // Acquire: pairs with `use_up_to`; the lanes' cells are open.
        self.lanes.used.load(Ordering::Acquire)
    }

    /// The word of `lane` for the word of the slot at `at`.
    #[must_use]
    pub fn of_lane(&self, lane: usize, at: usize) -> usize {
        self.lanes.first + lane * self.lanes.words + at
    }

    /// What is in a word of the slot, and in the same one of each lane, which has no header.
    pub fn rows(&self, at: usize) -> impl Iterator<Item = u64> + '_ {
        let lanes = if at < slot_header::WORDS { 0 } else { self.used_lanes() };
        let lanes = (0..lanes).map(move |lane| self.of_lane(lane, at));
        [at].into_iter().chain(lanes).map(|at| self.load(at, Ordering::Relaxed))
    }

    /// Makes the words up to `end` of each lane that is used real and accessible, as [`Self::open`]
    /// does: its cells.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in_lanes(&self, end: usize) -> io::Result<()> {
        (0..self.used_lanes()).try_for_each(|lane| self.open_in_lane(lane, end))
    }

    /// Where a lane begins.
    pub(crate) fn lane(&self, lane: usize) -> NonNull<u64> {
        let start = self.of_lane(lane, 0);
        assert!(lane < self.lanes.owners.len() && start < self.words, "lane {lane}");
        // SAFETY: inside the mapping by the assertion above.
        unsafe { self.base.add(start) }
    }

    pub(crate) fn open_in_lane(&self, lane: usize, end: usize) -> io::Result<()> {
        self.open(self.of_lane(lane, slot_header::WORDS)..self.of_lane(lane, end))
    }

    /// What this process has in the cells of a series from word `first` on, in lanes and beside them.
    #[must_use]
    pub fn cells(&self, first: usize, shape: Shape) -> Vec<u64> {
        let mut all = Vec::with_capacity(shape.width());
        self.read(first..first + shape.width(), &mut all);
        if shape.counts() {
            for lane in 0..self.used_lanes() {
                let start = self.of_lane(lane, first);
                let mut cells = Vec::with_capacity(shape.width());
                self.read(start..start + shape.width(), &mut cells);
                shape.merge(&mut all, &cells);
            }
        }
        all
    }

    pub(crate) fn new(base: NonNull<u64>, words: usize, inherit: Inherit) -> Self {
        let address = base.as_ptr().cast();
        advise(address, words * WORD, libc::MADV_DONTDUMP);
        if inherit == Inherit::Nothing {
            advise(address, words * WORD, libc::MADV_DONTFORK);
        }
        let lanes = Lanes {
            first: 0,
            words: 0,
            owners: Box::new([]),
            used: AtomicUsize::new(0),
            given_back: AtomicU64::new(0),
        };
        Self { base, words, opened: Opened::none(words), lanes }
    }

    /// Makes the words of `range` real and accessible, by whole pages: a slot of few series stays small,
    /// and one that grows is opened in steps that grow with it.
    ///
    /// # Errors
    /// What `mprotect` or `madvise` says: ENOMEM or EFAULT when the system has no memory for it.
    /// Pages opened before an error stay open.
    pub fn open(&self, range: Range<usize>) -> io::Result<()> {
        if range.end > self.words {
            return Err(Errno::ENOMEM.into());
        }
        self.opened.open(range, |words| self.open_pages(words))
    }

    fn open_pages(&self, words: Range<usize>) -> io::Result<()> {
        let len = (self.words.min(words.end) - words.start) * WORD;
        // SAFETY: the pages begin inside the mapping, as the words do that lie in them.
        let address: *mut libc::c_void = unsafe { self.base.as_ptr().add(words.start) }.cast();
        // SAFETY: the range is inside this mapping, whose protection nothing else depends on.
        let protected = unsafe { libc::mprotect(address, len, libc::PROT_READ | libc::PROT_WRITE) };
        Errno::result(protected)?;
        // SAFETY: as above; populating changes no contents.
        match Errno::result(unsafe { libc::madvise(address, len, libc::MADV_POPULATE_WRITE) }) {
            // Before Linux 5.14 the supervisor allocates a slot whole (`populates`).
            Ok(_) | Err(Errno::EINVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether every word of `range` may be touched.
    #[must_use]
    pub fn is_open(&self, range: Range<usize>) -> bool {
        range.end <= self.words && self.opened.has(range)
    }

    pub(crate) fn base(&self) -> NonNull<u64> {
        self.base
    }

    /// A word that has been opened.
    ///
    /// # Panics
    /// When the word has not been opened.
    #[must_use]
    pub fn word(&self, at: usize) -> &AtomicU64 {
        assert!(self.is_open(at..at + 1), "word {at} of {} is not open", self.words);
        // SAFETY: `at` is inside the mapping and open by the assertion above.
        let pointer = unsafe { self.base.as_ptr().add(at) };
        // SAFETY: aligned because mappings begin at pages, alive by rule 2, atomic by rule 1.
        unsafe { AtomicU64::from_ptr(pointer) }
    }
}

impl Words for SlotMapping {
    fn len(&self) -> usize {
        self.words
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        self.word(at).load(order)
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        self.word(at).store(value, order);
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }
}

/// What it means that a slot cannot be mapped or made real, and what to do.
#[derive(Debug)]
pub struct Unmapped<'a>(pub &'a io::Error);

impl fmt::Display for Unmapped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        match error.raw_os_error().map(Errno::from_raw) {
            // Populating says so where a store would be a signal.
            Some(Errno::EFAULT) => f.write_str(
                "no memory for the slot: what its arena is made of, /dev/shm or the memory of a container, is full; free some, or raise its limit",
            ),
            Some(Errno::EPERM | Errno::EACCES) => write!(
                f,
                "this process may not map the slot: {error}; allow mmap and mprotect of shared memory in its seccomp or LSM profile"
            ),
            _ => write!(
                f,
                "no memory for the slot: {error}; raise the memory limit of this process (ulimit -v) or container, or free memory"
            ),
        }
    }
}

/// Reserves `words` words without access.
pub(crate) fn map(words: usize, flags: i32, fd: i32, offset: usize) -> io::Result<NonNull<u64>> {
    map_with(words, libc::PROT_NONE, flags, fd, offset)
}

pub(crate) fn map_with(
    words: usize,
    protection: i32,
    flags: i32,
    fd: i32,
    offset: usize,
) -> io::Result<NonNull<u64>> {
    let (len, offset) = (words * WORD, (offset * WORD) as libc::off_t);
    // SAFETY: the kernel chooses the address, so no mapping of the process is touched.
    let address = unsafe { libc::mmap(null_mut(), len, protection, flags, fd, offset) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(address.cast()).ok_or_else(|| io::Error::other("mmap gave a null pointer"))
}

/// Maps an object read-write.
pub(crate) fn map_shared(object: &impl AsRawFd, words: usize) -> io::Result<NonNull<u64>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
    map_with(words, protection, flags, object.as_raw_fd(), 0)
}

/// Gives advice whose refusal loses nothing but the advice.
pub(crate) fn advise(address: *mut libc::c_void, len: usize, advice: i32) -> bool {
    // SAFETY: only called with MADV_DONTDUMP, MADV_DONTFORK and MADV_WIPEONFORK on whole mappings
    // of this crate; none changes what this process reads.
    unsafe { libc::madvise(address, len, advice) == 0 }
}

/// Whether this kernel can populate a mapping by madvise (Linux 5.14).
#[must_use]
pub fn populates() -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let Ok(page) = map_with(512, protection, flags, -1, 0) else { return false };
    // SAFETY: the page was mapped above and nothing else knows it.
    let populated = unsafe { libc::madvise(page.as_ptr().cast(), 4096, libc::MADV_POPULATE_WRITE) };
    // SAFETY: as above.
    unsafe { libc::munmap(page.as_ptr().cast(), 4096) };
    populated == 0
}

/// Reads words `range` of an object without mapping it, so that holes stay holes.
///
/// # Errors
/// What `pread` says, or `UnexpectedEof` when the object is shorter.
pub fn pread(object: &File, range: Range<usize>) -> io::Result<Vec<u64>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; range.len() * WORD];
    object.read_exact_at(&mut bytes, (range.start * WORD) as u64)?;
    let words = bytes.as_chunks::<WORD>().0;
    Ok(words.iter().map(|word| u64::from_ne_bytes(*word)).collect())
}

/// Reads the first `bytes` bytes of an object that somebody else made. Its position is left alone.
///
/// # Errors
/// What `pread` says, or `UnexpectedEof` when the object is shorter.
pub fn read_bytes(object: &File, bytes: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    use std::os::unix::fs::MetadataExt;
    /// The unit of `st_blocks` (stat(3type)).
    const BLOCK: u64 = 512;
    let (short, found) = (io::ErrorKind::UnexpectedEof, object.metadata()?);
    // Whoever says that he has written much has: holes would take memory here alone.
    if bytes > found.len() || bytes > found.blocks().saturating_mul(BLOCK) {
        return Err(short.into());
    }
    let bytes = usize::try_from(bytes).map_err(|_| short)?;
    let mut body = Vec::new();
    body.try_reserve_exact(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
    body.resize(bytes, 0);
    object.read_exact_at(&mut body, 0)?;
    Ok(body)
}

fn retry(mut call: impl FnMut() -> nix::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result.map_err(io::Error::from),
        }
    }
}
