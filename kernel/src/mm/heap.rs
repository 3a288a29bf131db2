//! The kernel heap, and the global allocator.
//!
//! Three sizes of objects, three ways:
//! - up to 2 KiB: slabs. A slab is a run of frames cut into objects of one size; its head frame's info keeps the free
//!   list and the count, so a free finds its slab by rounding the address down. Each class has its own lock.
//! - up to 32 KiB: arenas of 256 KiB, each a `linked_list_allocator` of its own, which stays fast because it stays small.
//! - above: a run of frames of its own, cut to whole pages.
//!
//! Empty slabs and arenas go back to the frames, but for one of each kind.

use super::direct;
use super::frame::{self, Kind, NONE, Need, info};
use crate::arch::PAGE_SIZE;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};
use sync::SpinLock;

/// Object sizes of the slabs. Those that are no power of two serve alignments up to 16 only.
const CLASSES: [usize; 14] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];
/// The class of a size in units of 16 bytes.
static CLASS_OF: [u8; CLASSES[CLASSES.len() - 1] / 16 + 1] = class_table();
const SLAB_MAX: usize = CLASSES[CLASSES.len() - 1];
const MEDIUM_MAX: usize = 32 * 1024;
const ARENA_ORDER: usize = 6;
const ARENA_SIZE: usize = PAGE_SIZE << ARENA_ORDER;
/// The end of a slab's list of free objects.
const NO_OBJECT: u16 = u16::MAX;

const fn class_table() -> [u8; SLAB_MAX / 16 + 1] {
    let mut table = [0; SLAB_MAX / 16 + 1];
    let mut units = 0;
    let mut class = 0;
    while units < table.len() {
        if units * 16 > CLASSES[class] {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
}

/// Frames in a slab: eight objects at least, where that takes more than one frame.
const fn slab_order(class: usize) -> usize {
    match CLASSES[class] {
        0..=512 => 0,
        513..=1024 => 1,
        _ => 2,
    }
}

/// Slabs of one class that have a free object, by their head frames.
struct Class {
    partial: u32,
    /// Slabs on the list without an object in use: kept at one.
    empty: usize,
}

static SLABS: [SpinLock<Class>; CLASSES.len()] = [const {
    SpinLock::new(Class {
        partial: NONE,
        empty: 0,
    })
}; CLASSES.len()];

impl Class {
    fn push(&mut self, slab: u32) {
        let head = info(slab);
        head.previous.store(NONE, Ordering::Relaxed);
        head.next.store(self.partial, Ordering::Relaxed);
        if self.partial != NONE {
            info(self.partial).previous.store(slab, Ordering::Relaxed);
        }
        self.partial = slab;
    }

    fn remove(&mut self, slab: u32) {
        let next = info(slab).next.load(Ordering::Relaxed);
        let previous = info(slab).previous.load(Ordering::Relaxed);
        if previous == NONE {
            self.partial = next;
        } else {
            info(previous).next.store(next, Ordering::Relaxed);
        }
        if next != NONE {
            info(next).previous.store(previous, Ordering::Relaxed);
        }
    }

    /// A new slab: every object free and linked in order.
    #[cold]
    fn grow(&mut self, class: usize) -> Option<u32> {
        let order = slab_order(class);
        let slab = frame::take_run(order, Need::Kernel)?;
        let base = direct(frame::physical_of(slab));
        let units = CLASSES[class] / 16;
        let count = (PAGE_SIZE << order) / CLASSES[class];
        for object in 0..count {
            let next = if object + 1 < count {
                ((object + 1) * units) as u16
            } else {
                NO_OBJECT
            };
            // SAFETY: inside the run just taken, 16-byte aligned.
            unsafe { ((base + object * CLASSES[class]) as *mut u16).write(next) };
        }
        let head = info(slab);
        head.set(Kind::Slab, order);
        head.owners.store(0, Ordering::Relaxed);
        head.free_object.store(0, Ordering::Relaxed);
        self.push(slab);
        self.empty += 1;
        Some(slab)
    }

    #[inline]
    fn allocate(&mut self, class: usize) -> *mut u8 {
        let slab = match self.partial {
            NONE => match self.grow(class) {
                Some(slab) => slab,
                None => return ptr::null_mut(),
            },
            slab => slab,
        };
        let head = info(slab);
        let object = direct(frame::physical_of(slab)) + head.free_object.load(Ordering::Relaxed) as usize * 16;
        // SAFETY: a free object of this slab, whose first bytes are its link.
        let next = unsafe { (object as *const u16).read() };
        head.free_object.store(next, Ordering::Relaxed);
        let used = head.owners.load(Ordering::Relaxed);
        head.owners.store(used + 1, Ordering::Relaxed);
        if used == 0 {
            self.empty -= 1;
        }
        if next == NO_OBJECT {
            self.remove(slab);
        }
        object as *mut u8
    }

    /// Takes an object back; the slab, when that is to be given back too.
    fn free(&mut self, class: usize, object: usize) -> Option<u32> {
        let base = object & !((PAGE_SIZE << slab_order(class)) - 1);
        let slab = frame::index_of(super::physical(base));
        let head = info(slab);
        debug_assert!(head.is(Kind::Slab));
        let next = head.free_object.load(Ordering::Relaxed);
        // SAFETY: the object is its last owner's, who gives it to us.
        unsafe { (object as *mut u16).write(next) };
        head.free_object.store(((object - base) / 16) as u16, Ordering::Relaxed);
        let used = head.owners.load(Ordering::Relaxed) - 1;
        head.owners.store(used, Ordering::Relaxed);
        if next == NO_OBJECT {
            self.push(slab);
        }
        if used == 0 {
            if self.empty > 0 {
                self.remove(slab);
                head.set(Kind::Used, 0);
                return Some(slab);
            }
            self.empty += 1;
        }
        None
    }
}

/// At the start of an arena, which is aligned to its own size.
struct Arena {
    heap: linked_list_allocator::Heap,
    next: *mut Arena,
    previous: *mut Arena,
}

struct Arenas {
    first: *mut Arena,
    /// Arenas without an object in use: kept at one.
    empty: usize,
}

// SAFETY: the arenas belong to the list, and the list is only touched under its lock.
unsafe impl Send for Arenas {}

static ARENAS: SpinLock<Arenas> = SpinLock::new(Arenas {
    first: ptr::null_mut(),
    empty: 0,
});

impl Arenas {
    fn grow(&mut self) -> Option<()> {
        let run = frame::take_run(ARENA_ORDER, Need::Kernel)?;
        let arena = direct(frame::physical_of(run)) as *mut Arena;
        // SAFETY: the run is ours; its first bytes become the arena, the rest its heap.
        unsafe {
            let heap = arena.add(1).cast();
            let size = ARENA_SIZE - size_of::<Arena>();
            arena.write(Arena {
                heap: linked_list_allocator::Heap::new(heap, size),
                next: self.first,
                previous: ptr::null_mut(),
            });
            if let Some(first) = self.first.as_mut() {
                first.previous = arena;
            }
        }
        self.first = arena;
        self.empty += 1;
        Some(())
    }

    fn allocate(&mut self, layout: Layout) -> *mut u8 {
        loop {
            let mut at = self.first;
            // SAFETY: arenas on the list are live, and the lock is held.
            while let Some(arena) = unsafe { at.as_mut() } {
                let was_empty = arena.heap.used() == 0;
                if let Ok(object) = arena.heap.allocate_first_fit(layout) {
                    self.empty -= was_empty as usize;
                    return object.as_ptr();
                }
                at = arena.next;
            }
            if self.grow().is_none() {
                return ptr::null_mut();
            }
        }
    }

    /// Takes an object back; the arena's run, when that is to be given back too.
    fn free(&mut self, object: NonNull<u8>, layout: Layout) -> Option<u32> {
        let base = object.as_ptr() as usize & !(ARENA_SIZE - 1);
        // SAFETY: an arena is aligned to its size and starts with its record; the object came from it.
        let arena = unsafe {
            let arena = &mut *(base as *mut Arena);
            arena.heap.deallocate(object, layout);
            arena
        };
        if arena.heap.used() != 0 {
            return None;
        }
        if self.empty == 0 {
            self.empty = 1;
            return None;
        }
        // SAFETY: neighbours on the list are live.
        unsafe {
            match arena.previous.as_mut() {
                Some(previous) => previous.next = arena.next,
                None => self.first = arena.next,
            }
            if let Some(next) = arena.next.as_mut() {
                next.previous = arena.previous;
            }
        }
        Some(frame::index_of(super::physical(base)))
    }
}

/// Bytes of live objects, by the size they were asked for.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Bytes of live objects.
pub fn used() -> usize {
    USED.load(Ordering::Relaxed)
}

struct KernelHeap;

#[global_allocator]
static HEAP: KernelHeap = KernelHeap;

/// What serves a layout.
enum Way {
    Slab(usize),
    Arena,
    Run { order: usize, pages: usize },
}

fn way(layout: Layout) -> Way {
    let size = match layout.align() {
        0..=16 => layout.size(),
        align => layout.size().max(align).next_power_of_two(),
    };
    if size <= SLAB_MAX {
        Way::Slab(CLASS_OF[size.div_ceil(16)] as usize)
    } else if size <= MEDIUM_MAX {
        Way::Arena
    } else {
        let pages = layout.size().div_ceil(PAGE_SIZE);
        let order = size.div_ceil(PAGE_SIZE).next_power_of_two().ilog2() as usize;
        Way::Run { order, pages }
    }
}

// SAFETY: the three ways give disjoint memory of the layout's size and alignment, and take it back by the same layout.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let object = match way(layout) {
            Way::Slab(class) => SLABS[class].lock().allocate(class),
            Way::Arena => allocate_in_arena(layout),
            Way::Run { order, pages } => allocate_run(order, pages),
        };
        if !object.is_null() {
            USED.fetch_add(layout.size(), Ordering::Relaxed);
        }
        object
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        match way(layout) {
            Way::Slab(class) => {
                let emptied = SLABS[class].lock().free(class, object as usize);
                if let Some(slab) = emptied {
                    frame::give_run(slab, slab_order(class));
                }
            }
            // SAFETY: `alloc` never gave a null object.
            Way::Arena => free_in_arena(unsafe { NonNull::new_unchecked(object) }, layout),
            Way::Run { pages, .. } => free_run(object, pages),
        }
    }
}

// The two ways of larger objects. Apart, so that those of small ones save no registers for them.

#[inline(never)]
fn allocate_in_arena(layout: Layout) -> *mut u8 {
    ARENAS.lock().allocate(layout)
}

#[inline(never)]
fn free_in_arena(object: NonNull<u8>, layout: Layout) {
    let emptied = ARENAS.lock().free(object, layout);
    if let Some(run) = emptied {
        frame::give_run(run, ARENA_ORDER);
    }
}

#[inline(never)]
fn allocate_run(order: usize, pages: usize) -> *mut u8 {
    if order > frame::MAX_ORDER {
        return ptr::null_mut();
    }
    let Some(run) = frame::take_run(order, Need::Refusable) else {
        return ptr::null_mut();
    };
    info(run).set(Kind::Run, order);
    // A run is a power of two; what the object does not reach goes back at once.
    frame::give_range(run + pages as u32, run + (1 << order));
    direct(frame::physical_of(run)) as *mut u8
}

#[inline(never)]
fn free_run(object: *mut u8, pages: usize) {
    let run = frame::index_of(super::physical(object as usize));
    debug_assert!(info(run).is(Kind::Run));
    info(run).set(Kind::Used, 0);
    frame::give_range(run, run + pages as u32);
}
