//! eventfd by the book, docs/semantics.md section 12.
#![cfg(not(loom))]

use event::{COUNT_MAX, EventFd, EventMask, Pollable};
use libsyscall::abi::Errno;

#[test]
fn semantics_121_124_a_read_takes_all() {
    let counter = EventFd::new(0, false);
    assert_eq!(counter.try_read(), None);
    for _ in 0..1000 {
        counter.try_write(1).unwrap().unwrap();
    }
    assert_eq!(counter.try_read(), Some(1000));
    assert_eq!(counter.try_read(), None);
}

#[test]
fn semantics_123_a_semaphore_gives_ones() {
    let counter = EventFd::new(3, true);
    assert_eq!([(); 4].map(|()| counter.try_read()), [Some(1), Some(1), Some(1), None]);
}

#[test]
fn semantics_127_to_130_the_largest_value() {
    let counter = EventFd::new(0, false);
    assert_eq!(counter.try_write(u64::MAX), Some(Err(Errno::EINVAL)));
    assert_eq!(counter.try_write(COUNT_MAX - 5), Some(Ok(())));
    assert_eq!(counter.try_write(10), None, "no part of it");
    assert_eq!(counter.try_write(5), Some(Ok(())));
    assert_eq!(counter.try_write(0), Some(Ok(())));
    assert_eq!(counter.readiness(), EventMask::IN);
    assert_eq!(counter.try_read(), Some(COUNT_MAX));
    assert_eq!(counter.readiness(), EventMask::OUT);
}
