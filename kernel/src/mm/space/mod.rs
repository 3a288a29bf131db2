//! Address spaces: regions, demand paging, copy on write.
//!
//! An [`AddressSpace`] is a map of regions and a page table under one lock. A mapping costs nothing until it is touched: the
//! page fault ([`fault`]) finds the region, takes or makes the frame and enters it. Every page-table entry owns a share in
//! its frame. A private page is entered writable only while its share is the only one; otherwise the write faults, and the
//! fault copies.
//!
//! - [`mapping`]: what a region is. [`fault`]: page faults and writes into a space from outside. [`change`]: mmap, munmap,
//!   mprotect, brk. [`remap`]: mremap. [`advice`]: madvise, mincore. [`fork`]. [`shared`]: anonymous shared memory.
//!
//! The lock is a leaf, but for the frame allocator and the shootdown. A file is asked for a page without it, because a
//! file may copy to user memory under its own lock. Frames are given back only after every CPU has forgotten them.

mod advice;
mod change;
mod fault;
mod fork;
mod mappers;
mod mapping;
mod remap;
mod shared;

pub use change::{Placement, exceeds_memory};
pub use fault::Fault;
pub use mappers::Mappers;
pub use mapping::{Backing, Mapping, OnFork, PageSource, Protection};
pub use remap::RemapFlags;
pub use shared::SharedMemory;

use super::frame::{self, Frame};
use super::shootdown;
use crate::arch::paging::{self, PageTable, Verdict};
use crate::arch::{self, MAX_CPUS, PAGE_SIZE, USER_END};
use crate::random;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use libsyscall::abi::Errno;
use regions::RegionMap;
use sync::SpinLock;

/// vm.mmap_min_addr: null pointers and small offsets from them stay unmapped.
pub const LOWEST: usize = 0x10000;
/// vm.max_map_count.
const MAX_REGIONS: usize = 65530;
/// RLIMIT_STACK as Linux sets it.
pub const STACK_LIMIT: usize = 8 << 20;
/// Room between the stack's lowest address and what mmap(2) hands out: a guard and Linux's allowance.
const STACK_GAP: usize = 2 << 20;

/// One address space; threads of a process share it, and so do a vfork's parent and child.
pub struct AddressSpace {
    this: Weak<AddressSpace>,
    /// Names the space in futex keys; never used twice.
    id: u64,
    inner: SpinLock<Inner>,
    /// The CPUs that have it active, a bit for each.
    active: AtomicU32,
    /// The processes that live in it: an idle CPU's share is no reason to hold files.
    users: AtomicU32,
    /// Nobody owns it any more; CPUs that still have it active go off it.
    dying: AtomicBool,
    pub limits: SpaceLimits,
    /// membarrier(2): MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED was called.
    pub expedited: AtomicBool,
    /// Shared memory has been mapped into it once: a futex's key may be an object's.
    has_shared: AtomicBool,
}

/// Where a program was given its arguments and its environment, each string with its NUL.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    pub arguments: Range<usize>,
    pub environment: Range<usize>,
}

/// Soft limits of getrlimit(2), in bytes, where memory is mapped.
pub struct SpaceLimits {
    /// RLIMIT_AS: all of it.
    pub total: AtomicUsize,
    /// RLIMIT_DATA: private memory that may be written, but for stacks.
    pub data: AtomicUsize,
    /// RLIMIT_STACK: how far a stack grows.
    pub stack: AtomicUsize,
}

impl SpaceLimits {
    fn new() -> SpaceLimits {
        SpaceLimits {
            total: AtomicUsize::new(usize::MAX),
            data: AtomicUsize::new(usize::MAX),
            stack: AtomicUsize::new(STACK_LIMIT),
        }
    }

    /// Takes over another space's.
    pub fn copy_from(&self, other: &SpaceLimits) {
        for (to, from) in [
            (&self.total, &other.total),
            (&self.data, &other.data),
            (&self.stack, &other.stack),
        ] {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

struct Inner {
    table: PageTable,
    regions: RegionMap<Mapping>,
    /// Bytes in all regions.
    mapped: usize,
    /// Bytes of them that count as data, see [`SpaceLimits::data`].
    data: usize,
    /// Pages in memory, and the most there have been.
    resident: usize,
    peak: usize,
    /// brk(2): where the heap begins, and its end as the program set it.
    heap_start: usize,
    heap_end: usize,
    /// mmap(2) searches downwards from here.
    map_top: usize,
    /// What the last search has shown: between `searched_to`, where a region starts, and `map_top` there is no gap of
    /// `no_gap_of` bytes. A program that maps a thousand stacks does not walk past all of them for each.
    searched_to: usize,
    no_gap_of: usize,
    /// The stack starts here and grows down.
    stack_top: usize,
    strings: Strings,
    /// mlockall(MCL_FUTURE): what is mapped from now on is locked.
    locks_all: bool,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The space each CPU has active. A pointer here stays valid because a space that is dropped waits until no CPU has it.
static ACTIVE: [AtomicPtr<AddressSpace>; MAX_CPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

impl AddressSpace {
    /// An empty space whose stack and mmap areas lie where nobody can guess.
    pub fn new() -> Result<Arc<AddressSpace>, Errno> {
        let stack_top = USER_END - random::place(1 << 22) * PAGE_SIZE;
        let map_top = stack_top - STACK_LIMIT - STACK_GAP - random::place(1 << 28) * PAGE_SIZE;
        AddressSpace::with_layout(stack_top, map_top)
    }

    fn with_layout(stack_top: usize, map_top: usize) -> Result<Arc<AddressSpace>, Errno> {
        frame::admit()?;
        let table = PageTable::new().map_err(|_| Errno::ENOMEM)?;
        Ok(Arc::new_cyclic(|this| AddressSpace {
            this: this.clone(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            inner: SpinLock::new(Inner {
                table,
                regions: RegionMap::default(),
                mapped: 0,
                data: 0,
                resident: 0,
                peak: 0,
                heap_start: 0,
                heap_end: 0,
                map_top,
                searched_to: map_top,
                no_gap_of: 0,
                stack_top,
                strings: Strings::default(),
                locks_all: false,
            }),
            active: AtomicU32::new(0),
            users: AtomicU32::new(0),
            dying: AtomicBool::new(false),
            limits: SpaceLimits::new(),
            expedited: AtomicBool::new(false),
            has_shared: AtomicBool::new(false),
        }))
    }

    /// Never used twice.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// For /proc/PID/cmdline and environ.
    pub fn strings(&self) -> Strings {
        self.inner.lock().strings.clone()
    }

    /// Set by exec.
    pub fn set_strings(&self, strings: Strings) {
        self.inner.lock().strings = strings;
    }

    /// One past the stack's highest byte.
    pub fn stack_top(&self) -> usize {
        self.inner.lock().stack_top
    }

    /// A process lives in it from now on.
    pub fn add_user(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// A process has left it. After the last one nothing is mapped any more, though a CPU that halts may keep the space and
    /// its pages a little longer.
    pub fn remove_user(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            let regions = core::mem::take(&mut self.inner.lock().regions);
            // Without the lock: a file's last reference may do anything.
            drop(regions);
        }
    }

    /// Makes this the current CPU's address space. Not under a lock that a page fault or a shootdown wants.
    pub fn activate(&self) {
        let cpu = frame::this_cpu();
        let before = ACTIVE[cpu].load(Ordering::Relaxed);
        if ptr::eq(before, self) {
            return;
        }
        // The order that `shootdown` draws: first the bit, then the tables.
        self.active.fetch_or(1 << cpu, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.inner.lock().table.activate();
        ACTIVE[cpu].store(ptr::from_ref(self).cast_mut(), Ordering::Relaxed);
        // SAFETY: its bit for this CPU is still set, so it has not been freed.
        if let Some(before) = unsafe { before.as_ref() } {
            before.active.fetch_and(!(1 << cpu), Ordering::Release);
        }
    }

    /// Leaves the current CPU without a user space.
    pub fn leave() {
        leave(frame::this_cpu());
    }

    /// Makes every CPU that runs in this space forget the translations of a range that has changed.
    fn forget(&self, range: Range<usize>) {
        fence(Ordering::SeqCst);
        let active = self.active.load(Ordering::Relaxed);
        if arch::FLUSHES_EVERYWHERE {
            if active != 0 {
                flush(range);
            }
            return;
        }
        if active & 1 << frame::this_cpu() != 0 {
            flush(range);
        }
        shootdown::ask(active);
    }

    /// membarrier(2): a full barrier on every CPU that runs in this space.
    pub fn barrier(&self) {
        fence(Ordering::SeqCst);
        shootdown::ask(self.active.load(Ordering::Relaxed));
        fence(Ordering::SeqCst);
    }

    /// (bytes mapped, bytes of them in memory), for /proc.
    pub fn usage(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.mapped, inner.resident * PAGE_SIZE)
    }

    /// The most bytes that it has had in memory.
    pub fn peak(&self) -> usize {
        self.inner.lock().peak * PAGE_SIZE
    }

    /// The lines of /proc/PID/maps, proc_pid_maps(5); regions named `[heap]` and `[stack]` as on Linux.
    pub fn describe(&self, text: &mut String) {
        // A file is asked its name without the lock.
        let (all, heap, stack_top): (Vec<_>, _, _) = {
            let inner = self.inner.lock();
            let all = inner
                .regions
                .iter()
                .map(|(range, mapping)| (range, mapping.clone()))
                .collect();
            (all, inner.heap_start..inner.heap_end, inner.stack_top)
        };
        for (range, mapping) in all {
            let flag = |flag, letter| if mapping.protection.contains(flag) { letter } else { '-' };
            let ((device, inode), name) = match mapping.backing.file() {
                Some((file, _)) => (file.identity(), file.name()),
                None if mapping.grows_down && range.end == stack_top => ((0, 0), String::from("[stack]")),
                None if range.start < heap.end && heap.start < range.end => ((0, 0), String::from("[heap]")),
                None => ((0, 0), String::new()),
            };
            let mut line = String::new();
            // Writing to a string does not fail.
            let _ = write!(
                line,
                "{:x}-{:x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
                range.start,
                range.end,
                flag(Protection::READ, 'r'),
                flag(Protection::WRITE, 'w'),
                flag(Protection::EXEC, 'x'),
                if mapping.backing.is_private() { 'p' } else { 's' },
                mapping.backing.file().map_or(0, |(_, offset)| offset),
                device >> 8,
                device & 0xff,
                inode,
            );
            if name.is_empty() {
                let _ = writeln!(text, "{line}");
            } else {
                let _ = writeln!(text, "{line:<72} {name}");
            }
        }
    }

    /// [`AddressSpace::futex_key`] of a word that has just been read or written, and so is mapped.
    #[inline]
    pub fn futex_key_of_touched(&self, address: usize) -> Result<(u64, u64), Errno> {
        if self.has_shared.load(Ordering::Relaxed) {
            self.futex_key(address)
        } else {
            Ok((self.id, address as u64))
        }
    }

    /// A key of a shared futex: what the page at `address` is, the same for all who map it; private pages by space. The
    /// first number's top bit is 0: a key is made by shifting it. EFAULT where nothing is mapped.
    pub fn futex_key(&self, address: usize) -> Result<(u64, u64), Errno> {
        let (file, place) = {
            let inner = self.inner.lock();
            let (range, mapping) = inner.regions.find(address).ok_or(Errno::EFAULT)?;
            match &mapping.backing {
                Backing::SharedFile { file, offset } => (file.clone(), offset + (address - range.start) as u64),
                _ => return Ok((self.id, address as u64)),
            }
        };
        let (device, inode) = file.identity();
        // The bit keeps objects apart from spaces.
        Ok((1 << 62 | device << 40 | inode, place))
    }
}

/// Flushes a range: page by page while that is cheaper than starting afresh.
fn flush(range: Range<usize>) {
    if range.len() <= 16 * PAGE_SIZE {
        for address in range.step_by(PAGE_SIZE) {
            paging::flush_page(address);
        }
    } else {
        paging::flush_user();
    }
}

/// Moves a CPU, the one this runs on, off its address space.
fn leave(cpu: usize) {
    let before = ACTIVE[cpu].swap(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: its bit for this CPU is still set, so it has not been freed.
    if let Some(before) = unsafe { before.as_ref() } {
        paging::activate_kernel_only();
        before.active.fetch_and(!(1 << cpu), Ordering::Release);
    }
}

/// Moves this CPU off its address space if that one is about to be freed.
pub(super) fn leave_if_dying(cpu: usize) {
    // SAFETY: as in `leave`.
    let space = unsafe { ACTIVE[cpu].load(Ordering::Relaxed).as_ref() };
    if space.is_some_and(|space| space.dying.load(Ordering::Acquire)) {
        leave(cpu);
    }
}

impl Inner {
    /// Enters a page's frame, whose share the entry owns from then on.
    fn enter(&mut self, page: usize, frame: Frame, flags: paging::PageFlags) -> Result<(), paging::OutOfFrames> {
        self.table.map(page, frame.physical(), flags)?;
        if flags.contains(paging::PageFlags::EXEC) {
            paging::sync_instruction_cache(super::direct(frame.physical()), PAGE_SIZE);
        }
        frame.into_raw();
        self.resident += 1;
        self.peak = self.peak.max(self.resident);
        Ok(())
    }

    /// Takes all pages of a range out of the tables and gives their frames back, when `space` has forgotten them.
    fn drop_pages(&mut self, space: &AddressSpace, range: Range<usize>) {
        let mut batch = Batch {
            frames: [const { MaybeUninit::uninit() }; Batch::ROOM],
            len: 0,
            pages: 0..0,
        };
        let resident = &mut self.resident;
        self.table.visit(range, &mut |page, frame, _| {
            *resident -= 1;
            // A full batch is given back while this page's entry is still there, so the page is not in it.
            batch.add(space, page, frame);
            Verdict::Unmap
        });
        batch.finish(space);
    }
}

/// Frames taken out of the tables, until every CPU has forgotten them.
struct Batch {
    frames: [MaybeUninit<u64>; Batch::ROOM],
    /// How many of `frames` are there.
    len: usize,
    pages: Range<usize>,
}

impl Batch {
    const ROOM: usize = 128;

    fn add(&mut self, space: &AddressSpace, page: usize, frame: u64) {
        if self.len == Batch::ROOM {
            self.finish(space);
        }
        if self.len == 0 {
            self.pages.start = page;
        }
        self.pages.end = page + PAGE_SIZE;
        self.frames[self.len].write(frame);
        self.len += 1;
    }

    fn finish(&mut self, space: &AddressSpace) {
        if self.len == 0 {
            return;
        }
        space.forget(self.pages.clone());
        for frame in &self.frames[..self.len] {
            // SAFETY: `add` wrote the first `len`; the entry that owned the share is gone.
            drop(unsafe { Frame::from_raw(frame.assume_init()) });
        }
        self.len = 0;
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        // CPUs that idle or run a kernel thread may still have it active.
        self.dying.store(true, Ordering::Release);
        leave_if_dying(frame::this_cpu());
        loop {
            let active = self.active.load(Ordering::Acquire);
            if active == 0 {
                break;
            }
            shootdown::ask(active);
            sync::relax();
        }
        self.inner.get_mut().table.clear(|frame| {
            // SAFETY: the entry that owned the share is gone, and no CPU walks these tables any more.
            drop(unsafe { Frame::from_raw(frame) });
        });
    }
}
