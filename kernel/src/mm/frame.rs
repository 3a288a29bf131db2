//! Physical frames of 4 KiB, each with a count of its owners.
//!
//! One [`FrameInfo`] for every frame between the lowest and the highest free address lies in the direct map. Free frames
//! are kept by a buddy system in runs of 2^n, whose links lie in the infos, so that a free frame itself is never touched.
//! In front of it each CPU has a small cache of single frames: a page fault takes no lock that another CPU wants.
//!
//! Two kinds of callers share the frames. Those who can be refused ([`Frame::new`], page tables, big buffers) leave
//! a reserve alone; the heap's small objects, which nobody checks for, may use these too. A program that fills the
//! memory therefore meets ENOMEM, or its end, before the kernel runs short.
//!
//! Neighbours: [`super::heap`] takes runs for its slabs, [`super::space`] gives frames to page tables, files own theirs.

use super::direct;
use crate::arch::paging::{self, OutOfFrames};
use crate::arch::{self, MAX_CPUS, PAGE_SIZE};
use crate::boot::{BootInfo, Region};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use libsyscall::abi::Errno;
use spin::Once;
use sync::SpinLock;

/// The largest run is 2^15 frames, 128 MiB: a million registrations of one epoll lie in one.
pub const MAX_ORDER: usize = 15;
const ORDERS: usize = MAX_ORDER + 1;
/// Frames that a CPU keeps for itself, and how many it takes or gives at a time (2^BATCH_ORDER).
const CACHE_LEN: usize = 64;
/// Frames full of zeroes that a CPU keeps: the page tables of a process that ends are those of the next one.
const ZEROED_LEN: usize = 32;
const BATCH_ORDER: usize = 5;
/// No frame: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// What a frame, or the run it heads, is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Owned by counts, or by someone who knows; or no RAM at all.
    Used,
    /// Heads a free run of the buddy system.
    Free,
    /// Heads a slab of the heap.
    Slab,
    /// Heads a run that is one heap object.
    Run,
}

/// What is known of a frame. A field belongs to whoever owns the frame: the buddy lock for a free one, a slab class's lock
/// for a slab's; atomics only make that sharing expressible.
#[repr(C)]
pub(super) struct FrameInfo {
    /// Shares in a counted frame; objects in use in a slab.
    pub owners: AtomicU32,
    /// Links of the list it is on; `next` is the owner's where there is no list, see [`note`].
    pub next: AtomicU32,
    pub previous: AtomicU32,
    /// First free object of a slab, in units of 16 bytes.
    pub free_object: AtomicU16,
    kind: AtomicU8,
    order: AtomicU8,
}

impl FrameInfo {
    pub fn is(&self, kind: Kind) -> bool {
        self.kind.load(Ordering::Relaxed) == kind as u8
    }
    pub fn set(&self, kind: Kind, order: usize) {
        self.kind.store(kind as u8, Ordering::Relaxed);
        self.order.store(order as u8, Ordering::Relaxed);
    }
    pub fn order(&self) -> usize {
        self.order.load(Ordering::Relaxed) as usize
    }
}

/// All infos, and the physical address that index 0 stands for.
struct Table {
    base: u64,
    infos: &'static [FrameInfo],
    /// Frames handed out by this module, in all.
    total: usize,
    reserve: usize,
}

static TABLE: Once<Table> = Once::new();

fn table() -> &'static Table {
    TABLE.get().expect("frames are used after init_frames")
}

pub(super) fn info(index: u32) -> &'static FrameInfo {
    &table().infos[index as usize]
}

fn info_of(physical: u64) -> &'static FrameInfo {
    let table = table();
    &table.infos[((physical - table.base) / PAGE_SIZE as u64) as usize]
}

/// A number that the only owner of a frame keeps beside it; anything at first.
#[inline]
pub fn note(physical: u64) -> &'static AtomicU32 {
    &info_of(physical).next
}

pub(super) fn index_of(physical: u64) -> u32 {
    ((physical - table().base) / PAGE_SIZE as u64) as u32
}

pub(super) fn physical_of(index: u32) -> u64 {
    table().base + index as u64 * PAGE_SIZE as u64
}

/// Free runs by order.
struct Buddy {
    heads: [u32; ORDERS],
}

/// Frames in all free runs. Changed under the buddy lock, and read without.
static FREE: AtomicUsize = AtomicUsize::new(0);

fn free() -> usize {
    FREE.load(Ordering::Relaxed)
}

static BUDDY: SpinLock<Buddy> = SpinLock::new(Buddy { heads: [NONE; ORDERS] });

impl Buddy {
    fn push(&mut self, index: u32, order: usize) {
        let head = self.heads[order];
        let frame = info(index);
        frame.set(Kind::Free, order);
        frame.next.store(head, Ordering::Relaxed);
        frame.previous.store(NONE, Ordering::Relaxed);
        if head != NONE {
            info(head).previous.store(index, Ordering::Relaxed);
        }
        self.heads[order] = index;
    }

    fn remove(&mut self, index: u32, order: usize) {
        let frame = info(index);
        let next = frame.next.load(Ordering::Relaxed);
        let previous = frame.previous.load(Ordering::Relaxed);
        if previous == NONE {
            self.heads[order] = next;
        } else {
            info(previous).next.store(next, Ordering::Relaxed);
        }
        if next != NONE {
            info(next).previous.store(previous, Ordering::Relaxed);
        }
        frame.set(Kind::Used, 0);
    }

    /// A run of 2^order frames, split off the smallest that is large enough.
    fn take(&mut self, order: usize) -> Option<u32> {
        let found = (order..ORDERS).find(|&order| self.heads[order] != NONE)?;
        let index = self.heads[found];
        self.remove(index, found);
        for lower in (order..found).rev() {
            self.push(index + (1 << lower), lower);
        }
        FREE.store(free() - (1 << order), Ordering::Relaxed);
        Some(index)
    }

    /// Gives a run back and joins it with its buddies as far as they are free. Index 0 is aligned to the largest run, so
    /// a buddy is one bit away.
    fn give(&mut self, mut index: u32, mut order: usize) {
        FREE.store(free() + (1 << order), Ordering::Relaxed);
        while order < MAX_ORDER {
            let buddy = index ^ (1 << order);
            let Some(frame) = table().infos.get(buddy as usize) else {
                break;
            };
            if !frame.is(Kind::Free) || frame.order() != order {
                break;
            }
            self.remove(buddy, order);
            index &= !(1 << order);
            order += 1;
        }
        self.push(index, order);
    }

    /// Gives back any range of frames, as the aligned runs it is made of.
    fn give_range(&mut self, mut index: u32, end: u32) {
        while index < end {
            let aligned = (index.trailing_zeros() as usize).min(MAX_ORDER);
            let order = aligned.min((end - index).ilog2() as usize);
            self.give(index, order);
            index += 1 << order;
        }
    }
}

/// A CPU's own free frames.
#[repr(align(64))]
struct Cache(SpinLock<CacheList>);

struct CacheList {
    len: usize,
    frames: [u32; CACHE_LEN],
    zeroed_len: usize,
    zeroed: [u32; ZEROED_LEN],
}

impl CacheList {
    /// One of either kind, for whoever finds nothing else.
    fn last(&mut self) -> Option<u32> {
        if let Some(last) = self.len.checked_sub(1) {
            self.len = last;
            return Some(self.frames[last]);
        }
        self.last_zeroed()
    }

    fn last_zeroed(&mut self) -> Option<u32> {
        let last = self.zeroed_len.checked_sub(1)?;
        self.zeroed_len = last;
        Some(self.zeroed[last])
    }
}

static CACHES: [Cache; MAX_CPUS] = [const {
    Cache(SpinLock::new(CacheList {
        len: 0,
        frames: [0; CACHE_LEN],
        zeroed_len: 0,
        zeroed: [0; ZEROED_LEN],
    }))
}; MAX_CPUS];

/// Set once every CPU can say which one it is; before, CPU 0 is alone.
static CPUS_KNOWN: AtomicBool = AtomicBool::new(false);

/// From here on `arch::cpu::id` works.
pub(super) fn cpus_are_known() {
    CPUS_KNOWN.store(true, Ordering::Relaxed);
}

pub(super) fn this_cpu() -> usize {
    if CPUS_KNOWN.load(Ordering::Relaxed) {
        arch::cpu::id()
    } else {
        0
    }
}

/// Who asks for frames.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Can be refused, and leaves the reserve alone.
    Refusable,
    /// The kernel's small objects.
    Kernel,
}

impl Need {
    fn floor(self) -> usize {
        match self {
            Need::Refusable => table().reserve,
            Need::Kernel => 0,
        }
    }
}

/// A run of 2^order frames.
pub(super) fn take_run(order: usize, need: Need) -> Option<u32> {
    let mut buddy = BUDDY.lock();
    if free() < need.floor() + (1 << order) {
        return None;
    }
    buddy.take(order)
}

#[inline(never)]
pub(super) fn give_run(index: u32, order: usize) {
    BUDDY.lock().give(index, order);
}

/// Gives back frames `index..end`, of which none heads a run still in use.
pub(super) fn give_range(index: u32, end: u32) {
    BUDDY.lock().give_range(index, end);
}

fn take_one() -> Option<u32> {
    let cpu = this_cpu();
    {
        let mut cache = CACHES[cpu].0.lock();
        if cache.len == 0 {
            refill(&mut cache);
        }
        if cache.len > 0 {
            cache.len -= 1;
            return Some(cache.frames[cache.len]);
        }
    }
    // The last free frames may lie in other caches. Our own lock is dropped: two CPUs that do this don't meet crosswise.
    CACHES.iter().find_map(|other| other.0.lock().last())
}

fn refill(cache: &mut CacheList) {
    let mut buddy = BUDDY.lock();
    if free() < table().reserve + (1 << BATCH_ORDER) {
        return;
    }
    for order in (0..=BATCH_ORDER).rev() {
        if let Some(index) = buddy.take(order) {
            // Reversed, so that they are handed out upwards.
            for (slot, frame) in cache.frames.iter_mut().zip((index..index + (1 << order)).rev()) {
                *slot = frame;
            }
            cache.len = 1 << order;
            return;
        }
    }
}

/// Takes a frame that nobody owns back. Apart, because most shares that go are not the last: a process that ends gives up
/// those of its program's pages.
#[inline(never)]
fn give_one(index: u32) {
    let mut cache = CACHES[this_cpu()].0.lock();
    if cache.len == CACHE_LEN {
        let mut buddy = BUDDY.lock();
        // The oldest go back: the youngest are warm.
        for &frame in &cache.frames[..1 << BATCH_ORDER] {
            buddy.give(frame, 0);
        }
        cache.frames.copy_within(1 << BATCH_ORDER.., 0);
        cache.len -= 1 << BATCH_ORDER;
    }
    let len = cache.len;
    cache.frames[len] = index;
    cache.len += 1;
}

/// Whether a new kernel object may be made for a user's sake. Asked where objects are created (a mapping, a process, an
/// open file), so that their many small allocations never find the heap empty.
#[inline]
pub fn admit() -> Result<(), Errno> {
    if free() < table().reserve {
        return Err(Errno::ENOMEM);
    }
    Ok(())
}

/// An owner's share in a frame; the last one to go frees it.
#[derive(Debug)]
pub struct Frame(u64);

impl Frame {
    /// A frame with anything in it.
    pub fn new() -> Result<Frame, OutOfFrames> {
        let index = take_one().ok_or(OutOfFrames)?;
        info(index).owners.store(1, Ordering::Relaxed);
        Ok(Frame(physical_of(index)))
    }

    pub fn zeroed() -> Result<Frame, OutOfFrames> {
        let kept = CACHES[this_cpu()].0.lock().last_zeroed();
        if let Some(index) = kept {
            info(index).owners.store(1, Ordering::Relaxed);
            return Ok(Frame(physical_of(index)));
        }
        let frame = Frame::new()?;
        // SAFETY: a fresh frame, mapped by the direct map and by nothing else.
        unsafe { paging::zero_page(frame.bytes()) };
        Ok(frame)
    }

    pub fn copy_of(other: &Frame) -> Result<Frame, OutOfFrames> {
        let frame = Frame::new()?;
        // SAFETY: two frames, both in the direct map; user code that writes the other one races as on any shared memory.
        unsafe { frame.bytes().copy_from_nonoverlapping(other.bytes(), PAGE_SIZE) };
        Ok(frame)
    }

    /// Gives up the only share of a frame that is all zeroes: [`Frame::zeroed`] need not make it so again.
    pub fn give_zeroed(self) {
        debug_assert!(self.is_sole());
        let mut cache = CACHES[this_cpu()].0.lock();
        let len = cache.zeroed_len;
        if len < ZEROED_LEN {
            cache.zeroed[len] = index_of(self.into_raw());
            cache.zeroed_len += 1;
        } else {
            // Dropping it takes the lock again.
            drop(cache);
        }
    }

    #[inline]
    pub fn physical(&self) -> u64 {
        self.0
    }

    fn bytes(&self) -> *mut u8 {
        direct(self.0) as *mut u8
    }

    fn info(&self) -> &'static FrameInfo {
        info_of(self.0)
    }

    /// Gives the share away: the caller keeps it as a number (in a page table).
    pub fn into_raw(self) -> u64 {
        let physical = self.0;
        core::mem::forget(self);
        physical
    }

    /// Takes back what [`Frame::into_raw`] gave.
    ///
    /// # Safety
    /// The share is taken back once.
    pub unsafe fn from_raw(physical: u64) -> Frame {
        Frame(physical)
    }

    /// Whether this is the only share.
    pub fn is_sole(&self) -> bool {
        // Acquire pairs with the release of other shares' drops: what their owners wrote is seen.
        self.info().owners.load(Ordering::Acquire) == 1
    }

    /// Copies bytes in; `offset + bytes.len()` is at most a page. Races with user code that maps the frame are as on any
    /// shared memory: bytes, in any order.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= PAGE_SIZE && bytes.len() <= PAGE_SIZE - offset);
        // SAFETY: inside the frame, which the direct map maps, and which is no Rust object.
        unsafe {
            self.bytes()
                .add(offset)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        }
    }

    /// Writes a number at a multiple of 8 in one piece, for those who read it meanwhile.
    pub fn store(&self, offset: usize, value: u64) {
        assert!(offset.is_multiple_of(8) && offset < PAGE_SIZE);
        // SAFETY: in the frame and aligned, as just checked; the share keeps it. Others may read it, which an atomic allows.
        unsafe { AtomicU64::from_ptr(self.bytes().add(offset).cast()) }.store(value, Ordering::Relaxed);
    }

    /// Makes a share that is kept as a number, as [`Frame::into_raw`] of a clone would.
    pub fn clone_share(&self) -> u64 {
        self.info().owners.fetch_add(1, Ordering::Relaxed);
        self.0
    }
}

impl Clone for Frame {
    fn clone(&self) -> Frame {
        Frame(self.clone_share())
    }
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        if self.info().owners.fetch_sub(1, Ordering::Release) == 1 {
            core::sync::atomic::fence(Ordering::Acquire);
            give_one(index_of(self.0));
        }
    }
}

/// Frames in all.
pub fn total() -> usize {
    table().total
}

/// Frames in all, and free ones.
pub fn totals() -> (usize, usize) {
    let kept = |cache: &Cache| {
        let cache = cache.0.lock();
        cache.len + cache.zeroed_len
    };
    let cached: usize = CACHES.iter().map(kept).sum();
    (table().total, free() + cached)
}

/// Takes over the free RAM: the infos go to the start of the largest region, the rest to the buddy system.
pub(super) fn init(boot: &BootInfo) {
    let page = PAGE_SIZE as u64;
    let regions = boot.regions();
    let lowest = regions
        .iter()
        .map(|region| region.start)
        .min()
        .expect("the machine has free RAM");
    let highest = regions.iter().map(|region| region.end).max().unwrap_or(lowest);
    let base = lowest & !((page << MAX_ORDER) - 1);
    let count = ((highest - base) / page) as usize;
    let info_bytes = (count * size_of::<FrameInfo>()).next_multiple_of(PAGE_SIZE) as u64;

    let home = regions
        .iter()
        .max_by_key(|region| region.end - region.start)
        .expect("one region at least");
    assert!(
        home.end - home.start > info_bytes,
        "too little memory for its own records"
    );
    let infos = direct(home.start) as *mut FrameInfo;
    // SAFETY: free RAM, mapped by the direct map, given to this module for good. Zero bytes are valid infos (`Kind::Used`).
    let infos = unsafe {
        infos.write_bytes(0, count);
        core::slice::from_raw_parts(infos, count)
    };

    let usable = |region: &Region| {
        let start = if region.start == home.start {
            region.start + info_bytes
        } else {
            region.start
        };
        (start, region.end)
    };
    let total = regions
        .iter()
        .map(|region| (usable(region).1 - usable(region).0) / page)
        .sum::<u64>() as usize;
    // A 64th, 1 MiB at least, 32 MiB at most.
    let reserve = (total / 64).clamp(256, 8192);
    TABLE.call_once(|| Table {
        base,
        infos,
        total,
        reserve,
    });

    let mut buddy = BUDDY.lock();
    for region in regions {
        let (start, end) = usable(region);
        buddy.give_range(index_of(start), ((end - base) / page) as u32);
    }
}
