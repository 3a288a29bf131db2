//! What a registration costs: at most 128 bytes beside the watched object. Counted by the allocator, so by no one's belief.
#![cfg(not(loom))]

mod support;

use event::{Epoll, EventMask, Pollable};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use support::{File, Room, add};

/// The system's allocator, counting what each thread has.
struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize, allocations: usize) {
    // A thread that ends frees past its own counters.
    let _ = BYTES.try_with(|total| total.set(total.get() + bytes));
    let _ = ALLOCATIONS.try_with(|total| total.set(total.get() + allocations));
}

// SAFETY: the system's allocator does all; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize), 0);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that stay allocated by `f`.
fn bytes_of(f: impl FnOnce()) -> isize {
    let before = BYTES.get();
    f();
    BYTES.get() - before
}

const LIMIT: f64 = 128.0;

/// One epoll and ever more files: at each number of them, as the tables grow in steps.
#[test]
fn a_registration_in_one_epoll() {
    const FILES: usize = 20_000;
    let epoll = Epoll::new();
    let files: Vec<_> = (0..FILES).map(|id| File::new(id as u64, 0)).collect();
    let (mut total, mut worst) = (0, 0.0f64);
    for (number, file) in files.iter().enumerate() {
        total += bytes_of(|| add(&epoll, file, 3, EventMask::IN).unwrap());
        // A few registrations share the tables' first steps, whatever those are.
        if number >= 100 {
            worst = worst.max(total as f64 / (number + 1) as f64);
        }
    }
    println!(
        "{:.1} bytes a registration of {FILES}, {worst:.1} at worst",
        total as f64 / FILES as f64
    );
    assert!(worst <= LIMIT, "{worst}");
    epoll.close();
    assert!(files.iter().all(|file| file.counter.wait_queue().is_empty()));
}

/// A registration made and removed again and again takes no more than the first.
#[test]
fn registrations_come_and_go() {
    let (epoll, file) = (Epoll::new(), File::new(1, 0));
    let once = || {
        add(&epoll, &file, 3, EventMask::IN).unwrap();
        epoll.remove(&file.watches, 3).unwrap();
    };
    once();
    assert_eq!(bytes_of(|| (0..1000).for_each(|_| once())), 0);
}

/// Waking and delivering allocate nothing.
#[test]
fn an_event_allocates_nothing() {
    let epoll = Epoll::new();
    let files: Vec<_> = (0..50).map(|id| File::new(id, 0)).collect();
    files
        .iter()
        .for_each(|file| add(&epoll, file, 3, EventMask::IN).unwrap());
    let thread = Arc::new(support::Thread::default());
    let round = || {
        files.iter().for_each(|file| file.write(1));
        let waited = epoll.wait(Room(64), || (&thread, None));
        assert_eq!(waited, Ok(files.len()));
        files
            .iter()
            .for_each(|file| assert_eq!(file.counter.try_read(), Some(1)));
    };
    round();
    let before = ALLOCATIONS.get();
    round();
    assert_eq!(ALLOCATIONS.get(), before);
}
