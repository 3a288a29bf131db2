//! futex_wait(2), futex_wake(2) and futex_requeue(2).

use super::calls::*;
use libsyscall::abi::Errno;
use libsyscall::abi::process::*;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::thread;
use userspace_tests::checked;

/// futex_wait(2), where `mask` says whose wake-ups count.
fn new_wait(
    word: &AtomicU32,
    value: usize,
    mask: usize,
    flags: u32,
    end: *const libc::timespec,
) -> Result<usize, Errno> {
    const FUTEX_WAIT: i64 = 455;
    // SAFETY: the word and the time are read.
    let result = unsafe {
        libc::syscall(
            FUTEX_WAIT,
            word.as_ptr(),
            value,
            mask,
            flags,
            end,
            libc::CLOCK_MONOTONIC,
        )
    };
    checked(result).map(|result| result as usize)
}

/// futex_wake(2).
fn new_wake(word: &AtomicU32, mask: usize, count: i32, flags: u32) -> Result<usize, Errno> {
    const FUTEX_WAKE: i64 = 454;
    // SAFETY: the word's address is a number.
    checked(unsafe { libc::syscall(FUTEX_WAKE, word.as_ptr(), mask, count, flags) }).map(|result| result as usize)
}

/// futex_requeue(2).
fn new_requeue(entries: *const [u64; 3], flags: u32, count: i32, limit: i32) -> Result<usize, Errno> {
    const FUTEX_REQUEUE: i64 = 456;
    // SAFETY: two entries are read, and the first one's word.
    checked(unsafe { libc::syscall(FUTEX_REQUEUE, entries, flags, count, limit) }).map(|result| result as usize)
}

pub fn by_the_newer_calls() {
    let word = AtomicU32::new(7);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| new_wait(&word, 7, 0b10, OWN_WORD, ptr::null()));
        until_waiting(&word, 1);
        // None are none here, and a mask that has nothing in common wakes nobody.
        assert_eq!(new_wake(&word, ANY, 0, OWN_WORD), Ok(0));
        assert_eq!(new_wake(&word, 0b01, 1, OWN_WORD), Ok(0));
        // A word that others may share is another one.
        assert_eq!(new_wake(&word, ANY, 1, FUTEX2_SIZE_U32), Ok(0));
        assert_eq!(new_wake(&word, 0b11, 1, OWN_WORD), Ok(1));
        assert_eq!(waiter.join().expect("waiter"), Ok(0));
        // The two families wake each other.
        let waiter = scope.spawn(|| wait(&word, 7));
        until_waiting(&word, 1);
        assert_eq!(new_wake(&word, ANY, 5, OWN_WORD), Ok(1));
        assert_eq!(waiter.join().expect("waiter"), Ok(0));
    });
}

pub fn newer_calls_refused() {
    let word = AtomicU32::new(7);
    assert_eq!(new_wait(&word, 8, ANY, OWN_WORD, ptr::null()), Err(Errno::EAGAIN));
    for (mask, flags) in [
        (0, OWN_WORD),
        (1 << 32, OWN_WORD),
        (ANY, FUTEX2_PRIVATE),
        (ANY, OWN_WORD | 0x40),
    ] {
        assert_eq!(new_wait(&word, 7, mask, flags, ptr::null()), Err(Errno::EINVAL));
        assert_eq!(new_wake(&word, mask, 1, flags), Err(Errno::EINVAL));
    }
    assert_eq!(new_wait(&word, 1 << 32, ANY, OWN_WORD, ptr::null()), Err(Errno::EINVAL));
    // SAFETY: half of a word's address is no word's, and nothing is looked at.
    let result = unsafe { libc::syscall(454, word.as_ptr().addr() + 2, ANY, 1, OWN_WORD) };
    assert_eq!(checked(result), Err(Errno::EINVAL));
    let entries = [entry(&word, 7, OWN_WORD), entry(&word, 0, OWN_WORD)];
    assert_eq!(new_requeue(entries.as_ptr(), 1, 1, 1), Err(Errno::EINVAL));
    assert_eq!(new_requeue(ptr::null(), 0, 1, 1), Err(Errno::EINVAL));
    assert_eq!(new_requeue(entries.as_ptr(), 0, -1, 1), Err(Errno::EINVAL));
    let changed = [entry(&word, 8, OWN_WORD), entry(&word, 0, OWN_WORD)];
    assert_eq!(new_requeue(changed.as_ptr(), 0, 1, 1), Err(Errno::EAGAIN));
    let wide = [entry(&word, 7, OWN_WORD), entry(&word, 0, FUTEX2_PRIVATE)];
    assert_eq!(new_requeue(wide.as_ptr(), 0, 1, 1), Err(Errno::EINVAL));
}

pub fn newer_calls_in_time() {
    let word = AtomicU32::new(7);
    let past = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    assert_eq!(new_wait(&word, 7, ANY, OWN_WORD, &past), Err(Errno::ETIMEDOUT));
    // SAFETY: the word and the time are read.
    let clock = unsafe { libc::syscall(455, word.as_ptr(), 7, ANY, OWN_WORD, &past, libc::CLOCK_BOOTTIME) };
    assert_eq!(checked(clock), Err(Errno::EINVAL));
}

pub fn moved_by_the_newer_call() {
    let (from, to) = (AtomicU32::new(7), AtomicU32::new(0));
    thread::scope(|scope| {
        let waiters = [(); 3].map(|()| scope.spawn(|| new_wait(&from, 7, ANY, OWN_WORD, ptr::null())));
        until_waiting(&from, 3);
        let entries = [entry(&from, 7, OWN_WORD), entry(&to, 0, OWN_WORD)];
        assert_eq!(new_requeue(entries.as_ptr(), 0, 1, 9), Ok(3));
        assert_eq!(new_wake(&from, ANY, 9, OWN_WORD), Ok(0));
        assert_eq!(new_wake(&to, ANY, 9, OWN_WORD), Ok(2));
        for waiter in waiters {
            assert_eq!(waiter.join().expect("waiter"), Ok(0));
        }
    });
}
