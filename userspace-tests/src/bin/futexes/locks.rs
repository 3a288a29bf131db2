//! Locks that the kernel passes on: FUTEX_LOCK_PI and what belongs to it.

use super::calls::*;
use libsyscall::abi::Errno;
use libsyscall::abi::process::*;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

pub fn lock_words() {
    let word = AtomicU32::new(0);
    assert_eq!(lock(&word), Ok(0));
    assert_eq!(word.load(SeqCst), own_tid());
    assert_eq!(unlock(&word), Ok(0));
    assert_eq!(word.load(SeqCst), 0);
    assert_eq!(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, 0, &word, 0), Ok(0));
    assert_eq!(unlock(&word), Ok(0));
    // An owner died and said so: the next one learns of it.
    word.store(FUTEX_OWNER_DIED, SeqCst);
    assert_eq!(lock(&word), Ok(0));
    assert_eq!(word.load(SeqCst), own_tid() | FUTEX_OWNER_DIED);
}

pub fn lock_refused() {
    let word = AtomicU32::new(own_tid());
    assert_eq!(lock(&word), Err(Errno::EDEADLK));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            assert_eq!(
                futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, 0, &word, 0),
                Err(Errno::EAGAIN)
            );
            assert_eq!(unlock(&word), Err(Errno::EPERM));
        });
        other.join().expect("the other");
    });
    word.store(0x3fff_fff0, SeqCst);
    assert_eq!(lock(&word), Err(Errno::ESRCH));
    let realtime = FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME;
    assert_eq!(futex(&word, realtime, 0, 0, &word, 0), Err(Errno::ENOSYS));
}

pub fn lock_in_time() {
    let word = AtomicU32::new(own_tid());
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let start = Instant::now();
            // SAFETY: the time is written.
            let mut deadline = unsafe {
                let mut now = std::mem::zeroed();
                libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now);
                now
            };
            deadline.tv_sec += (deadline.tv_nsec + 30_000_000) / 1_000_000_000;
            deadline.tv_nsec = (deadline.tv_nsec + 30_000_000) % 1_000_000_000;
            let operation = FUTEX_LOCK_PI2 | PRIVATE;
            let result = futex(&word, operation, 0, ptr::from_ref(&deadline) as usize, &word, 0);
            assert_eq!(result, Err(Errno::ETIMEDOUT));
            assert!(start.elapsed() >= Duration::from_millis(30));
            let past = libc::timespec { tv_sec: 1, tv_nsec: 0 };
            let result = futex(
                &word,
                FUTEX_LOCK_PI | PRIVATE,
                0,
                ptr::from_ref(&past) as usize,
                &word,
                0,
            );
            assert_eq!(result, Err(Errno::ETIMEDOUT));
        });
        other.join().expect("the other");
    });
    assert_eq!(unlock(&word), Ok(0));
    assert_eq!(word.load(SeqCst), 0);
}

pub fn lock_passes_on() {
    let word = AtomicU32::new(0);
    assert_eq!(lock(&word), Ok(0));
    thread::scope(|scope| {
        let next = scope.spawn(|| {
            assert_eq!(lock(&word), Ok(0));
            assert_eq!(word.load(SeqCst) & FUTEX_TID_MASK, own_tid());
            assert_eq!(unlock(&word), Ok(0));
        });
        until(|| word.load(SeqCst) == own_tid() | FUTEX_WAITERS);
        assert_eq!(unlock(&word), Ok(0));
        next.join().expect("the next owner");
    });
    assert_eq!(word.load(SeqCst), 0);
}

pub fn lock_counts() {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 500;
    let (word, count) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let tid = own_tid();
                for _ in 0..ROUNDS {
                    if word.compare_exchange(0, tid, SeqCst, SeqCst).is_err() {
                        assert_eq!(lock(&word), Ok(0));
                    }
                    let before = count.load(SeqCst);
                    thread::yield_now();
                    count.store(before + 1, SeqCst);
                    if word.compare_exchange(tid, 0, SeqCst, SeqCst).is_err() {
                        assert_eq!(unlock(&word), Ok(0));
                    }
                }
            });
        }
    });
    assert_eq!((count.load(SeqCst), word.load(SeqCst)), (THREADS * ROUNDS, 0));
}

pub fn lock_of_one_that_ends() {
    let (word, go) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        let owner = scope.spawn(|| {
            assert_eq!(lock(&word), Ok(0));
            until(|| go.load(SeqCst) == 1);
        });
        until(|| word.load(SeqCst) != 0);
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    assert_eq!(lock(&word), Ok(0));
                    let mine = word.load(SeqCst);
                    assert_eq!(unlock(&word), Ok(0));
                    assert_eq!(mine & FUTEX_TID_MASK, own_tid());
                    mine & FUTEX_OWNER_DIED
                })
            })
            .collect();
        until(|| word.load(SeqCst) & FUTEX_WAITERS != 0);
        thread::sleep(Duration::from_millis(20));
        go.store(1, SeqCst);
        owner.join().expect("the owner");
        let told = waiters.into_iter().map(|waiter| waiter.join().expect("waiter"));
        assert!(told.fold(0, |all, told| all | told) != 0, "the first one is told");
    });
}

pub fn locks_are_not_woken() {
    let word = AtomicU32::new(0);
    assert_eq!(lock(&word), Ok(0));
    thread::scope(|scope| {
        let next = scope.spawn(|| lock(&word).and_then(|_| unlock(&word)));
        until(|| wake(&word, 1) == Err(Errno::EINVAL));
        assert_eq!(unlock(&word), Ok(0));
        assert_eq!(next.join().expect("the next owner"), Ok(0));
    });
}

/// Waits at the first word, then for the lock; releases that.
fn wait_then_lock(word: &AtomicU32, lock: &AtomicU32) {
    assert_eq!(futex(word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, 0, lock, 0), Ok(0));
    assert_eq!(lock.load(SeqCst) & FUTEX_TID_MASK, own_tid());
    assert_eq!(unlock(lock), Ok(0));
}

fn requeue_to_lock(word: &AtomicU32, to: &AtomicU32, value: u32) -> Result<usize, Errno> {
    futex(word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, i32::MAX as usize, to, value)
}

pub fn moved_to_a_lock() {
    let (word, to) = (AtomicU32::new(0), AtomicU32::new(0));
    assert_eq!(lock(&to), Ok(0));
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| wait_then_lock(&word, &to))).collect();
        until(|| wake(&word, 1) == Err(Errno::EINVAL));
        assert_eq!(requeue_to_lock(&word, &to, 1), Err(Errno::EAGAIN));
        let mut moved = 0;
        // They come when they come.
        while moved < 3 {
            moved += requeue_to_lock(&word, &to, 0).expect("moved");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(to.load(SeqCst), own_tid() | FUTEX_WAITERS);
        assert_eq!(unlock(&to), Ok(0));
        waiters.into_iter().for_each(|waiter| waiter.join().expect("waiter"));
    });
    assert_eq!(
        futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 2, 1, &to, 0),
        Err(Errno::EINVAL)
    );
    let timeout = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    let late = futex(
        &word,
        FUTEX_WAIT_REQUEUE_PI | PRIVATE,
        0,
        ptr::from_ref(&timeout) as usize,
        &to,
        0,
    );
    assert_eq!(late, Err(Errno::ETIMEDOUT));
}

pub fn moved_to_a_free_lock() {
    let (word, to) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_then_lock(&word, &to));
        until(|| wake(&word, 1) == Err(Errno::EINVAL));
        assert_eq!(requeue_to_lock(&word, &to, 0), Ok(1));
        waiter.join().expect("waiter");
    });
    assert_eq!(to.load(SeqCst), 0);
}
