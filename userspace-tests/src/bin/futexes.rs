//! futex(2) beyond waiting and waking one word: moving waiters, several words at once, locks that the kernel passes on, and
//! owners that end. `threads` has the rest.

use libsyscall::abi::Errno;
use libsyscall::abi::process::*;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        none_is_one,
        shared_objects_are_told_apart,
        moved_waiters,
        moved_while_equal,
        wake_with_operation,
        any_of_several,
        any_of_several_refused,
        any_of_several_in_time,
        moved_from_among_several,
        by_the_newer_calls,
        newer_calls_refused,
        newer_calls_in_time,
        moved_by_the_newer_call,
        lock_words,
        lock_refused,
        lock_in_time,
        lock_passes_on,
        lock_counts,
        lock_of_one_that_ends,
        locks_are_not_woken,
        moved_to_a_lock,
        moved_to_a_free_lock,
        robust_owner_ends,
        robust_lists_of_nonsense,
        words_of_several_mappings,
    ])
}

/// futex(2) on words that are this process's alone unless `operation` says otherwise.
fn futex(
    word: &AtomicU32,
    operation: u32,
    value: u32,
    fourth: usize,
    other: &AtomicU32,
    last: u32,
) -> Result<usize, Errno> {
    // SAFETY: the kernel reads and changes the words, and reads the timeout, which the callers keep.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation,
            value,
            fourth,
            other.as_ptr(),
            last,
        )
    };
    checked(result).map(|result| result as usize)
}

const PRIVATE: u32 = FUTEX_PRIVATE_FLAG;

fn wait(word: &AtomicU32, value: u32) -> Result<usize, Errno> {
    futex(word, FUTEX_WAIT | PRIVATE, value, 0, word, 0)
}

fn wake(word: &AtomicU32, count: u32) -> Result<usize, Errno> {
    futex(word, FUTEX_WAKE | PRIVATE, count, 0, word, 0)
}

fn lock(word: &AtomicU32) -> Result<usize, Errno> {
    futex(word, FUTEX_LOCK_PI | PRIVATE, 0, 0, word, 0)
}

fn unlock(word: &AtomicU32) -> Result<usize, Errno> {
    futex(word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, word, 0)
}

fn own_tid() -> u32 {
    // SAFETY: it takes nothing.
    unsafe { libc::gettid() as u32 }
}

/// Until `done`; a test that waits in vain hangs and is told so.
fn until(done: impl Fn() -> bool) {
    while !done() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Until `count` waiters of a word are there: it moves them to where they are.
fn until_waiting(word: &AtomicU32, count: usize) {
    until(|| futex(word, FUTEX_REQUEUE | PRIVATE, 0, i32::MAX as usize, word, 0) == Ok(count));
}

fn none_is_one() {
    let word = AtomicU32::new(0);
    for count in [0, u32::MAX] {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&word, 0));
            until_waiting(&word, 1);
            assert_eq!(wake(&word, count), Ok(1));
            assert_eq!(waiter.join().expect("waiter"), Ok(0));
        });
    }
}

/// Objects of shared memory that were made one after the other, and the same place in each.
fn shared_objects_are_told_apart() {
    let words = [(); 3].map(|()| {
        // SAFETY: new memory, which stays; zeroes are a word.
        unsafe { &(*shared()).word }
    });
    thread::scope(|scope| {
        let waiter = scope.spawn(|| futex(words[1], FUTEX_WAIT, 0, 0, words[1], 0));
        until(|| futex(words[1], FUTEX_REQUEUE, 0, i32::MAX as usize, words[1], 0) == Ok(1));
        let wake = |word| futex(word, FUTEX_WAKE, 1, 0, word, 0);
        assert_eq!(words.map(wake), [Ok(0), Ok(1), Ok(0)]);
        assert_eq!(waiter.join().expect("waiter"), Ok(0));
    });
}

fn moved_waiters() {
    let (from, to) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| wait(&from, 0))).collect();
        until_waiting(&from, 4);
        assert_eq!(futex(&from, FUTEX_REQUEUE | PRIVATE, 1, 2, &to, 0), Ok(3));
        assert_eq!((wake(&to, 9), wake(&from, 9)), (Ok(2), Ok(1)));
        assert!(
            waiters
                .into_iter()
                .all(|waiter| waiter.join().expect("waiter") == Ok(0))
        );
    });
    let wrong = futex(&from, FUTEX_REQUEUE | PRIVATE, u32::MAX, 1, &to, 0);
    assert_eq!(wrong, Err(Errno::EINVAL));
}

fn moved_while_equal() {
    let (from, to) = (AtomicU32::new(7), AtomicU32::new(0));
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..2).map(|_| scope.spawn(|| wait(&from, 7))).collect();
        until_waiting(&from, 2);
        let operation = FUTEX_CMP_REQUEUE | PRIVATE;
        assert_eq!(futex(&from, operation, 1, 1, &to, 8), Err(Errno::EAGAIN));
        assert_eq!(futex(&from, operation, 0, 9, &to, 7), Ok(2));
        assert_eq!((wake(&from, 9), wake(&to, 9)), (Ok(0), Ok(2)));
        assert!(
            waiters
                .into_iter()
                .all(|waiter| waiter.join().expect("waiter") == Ok(0))
        );
    });
}

fn wake_with_operation() {
    let (first, second) = (AtomicU32::new(0), AtomicU32::new(5));
    let encode = |kind: u32, argument: u32, comparison: u32, compared: u32| {
        kind << 28 | comparison << 24 | (argument & 0xfff) << 12 | (compared & 0xfff)
    };
    let change = |operation: u32| futex(&first, FUTEX_WAKE_OP | PRIVATE, 1, 1, &second, operation);
    // Set, add, or, and not, exclusive or; the last with a shifted argument.
    for (operation, expected) in [
        (encode(0, 3, 0, 0), 3),
        (encode(1, 4, 0, 0), 7),
        (encode(1, -2i32 as u32, 0, 0), 5),
        (encode(2, 8, 0, 0), 13),
        (encode(3, 5, 0, 0), 8),
        (encode(4 | 8, 4, 0, 0), 24),
    ] {
        assert_eq!(change(operation), Ok(0));
        assert_eq!(second.load(SeqCst), expected);
    }
    assert_eq!(change(encode(5, 0, 0, 0)), Err(Errno::ENOSYS));
    thread::scope(|scope| {
        let waiters = [scope.spawn(|| wait(&first, 0)), scope.spawn(|| wait(&second, 24))];
        until_waiting(&first, 1);
        until_waiting(&second, 1);
        // The old value is 24: not below -1, but equal to itself.
        assert_eq!(change(encode(0, 24, 2, -1i32 as u32)), Ok(1));
        assert_eq!(change(encode(0, 9, 0, 24)), Ok(1));
        assert!(
            waiters
                .into_iter()
                .all(|waiter| waiter.join().expect("waiter") == Ok(0))
        );
    });
}

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

const ANY: usize = FUTEX_BITSET_MATCH_ANY as usize;

fn by_the_newer_calls() {
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

fn newer_calls_refused() {
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

fn newer_calls_in_time() {
    let word = AtomicU32::new(7);
    let past = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    assert_eq!(new_wait(&word, 7, ANY, OWN_WORD, &past), Err(Errno::ETIMEDOUT));
    // SAFETY: the word and the time are read.
    let clock = unsafe { libc::syscall(455, word.as_ptr(), 7, ANY, OWN_WORD, &past, libc::CLOCK_BOOTTIME) };
    assert_eq!(checked(clock), Err(Errno::EINVAL));
}

fn moved_by_the_newer_call() {
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

/// struct futex_waitv.
fn entry(word: &AtomicU32, value: u64, flags: u32) -> [u64; 3] {
    [value, word.as_ptr() as u64, u64::from(flags)]
}

const OWN_WORD: u32 = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE;

fn wait_for_any(entries: &[[u64; 3]], deadline: Option<&libc::timespec>) -> Result<usize, Errno> {
    let deadline = deadline.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the entries, the words they name and the time are read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            entries.as_ptr(),
            entries.len(),
            0,
            deadline,
            libc::CLOCK_MONOTONIC,
        )
    };
    checked(result).map(|result| result as usize)
}

fn any_of_several() {
    let words = [const { AtomicU32::new(1) }; 3];
    for at in 0..3 {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_for_any(&words.each_ref().map(|word| entry(word, 1, OWN_WORD)), None));
            until_waiting(&words[2], 1);
            assert_eq!(wake(&words[at], 9), Ok(1));
            assert_eq!(waiter.join().expect("waiter"), Ok(at));
        });
        assert!(words.iter().all(|word| wake(word, 9) == Ok(0)));
    }
}

fn any_of_several_refused() {
    let word = AtomicU32::new(1);
    let good = entry(&word, 1, OWN_WORD);
    let refused = |entries: &[[u64; 3]]| wait_for_any(entries, None).expect_err("refused");
    assert_eq!(refused(&[]), Errno::EINVAL);
    assert_eq!(refused(&vec![good; 129]), Errno::EINVAL);
    assert_eq!(refused(&[good, entry(&word, 2, OWN_WORD)]), Errno::EAGAIN);
    assert_eq!(refused(&[entry(&word, 1 << 32 | 1, OWN_WORD)]), Errno::EINVAL);
    assert_eq!(refused(&[entry(&word, 1, FUTEX2_PRIVATE)]), Errno::EINVAL);
    assert_eq!(refused(&[entry(&word, 1, OWN_WORD | 1 << 10)]), Errno::EINVAL);
    assert_eq!(
        refused(&[good, [1, word.as_ptr() as u64 + 1, u64::from(OWN_WORD)]]),
        Errno::EINVAL
    );
    assert_eq!(refused(&[good, [1, 8, u64::from(OWN_WORD)]]), Errno::EFAULT);
    assert_eq!(
        refused(&[good, [1, word.as_ptr() as u64, u64::from(OWN_WORD) | 1 << 32]]),
        Errno::EINVAL
    );
    assert_eq!(wake(&word, 9), Ok(0));
    // SAFETY: flags are refused before anything is read.
    let flags = unsafe { libc::syscall(libc::SYS_futex_waitv, &good, 1, 1, 0, 0) };
    assert_eq!(checked(flags), Err(Errno::EINVAL));
}

fn any_of_several_in_time() {
    let word = AtomicU32::new(1);
    let past = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    let entries = [entry(&word, 1, OWN_WORD)];
    assert_eq!(wait_for_any(&entries, Some(&past)), Err(Errno::ETIMEDOUT));
    let wrong = libc::timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000_000,
    };
    assert_eq!(wait_for_any(&entries, Some(&wrong)), Err(Errno::EINVAL));
}

fn moved_from_among_several() {
    let words = [const { AtomicU32::new(1) }; 2];
    let elsewhere = AtomicU32::new(0);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_for_any(&words.each_ref().map(|word| entry(word, 1, OWN_WORD)), None));
        until_waiting(&words[1], 1);
        assert_eq!(futex(&words[0], FUTEX_REQUEUE | PRIVATE, 0, 1, &elsewhere, 0), Ok(1));
        assert_eq!(wake(&elsewhere, 1), Ok(1));
        assert_eq!(waiter.join().expect("waiter"), Ok(0));
    });
}

fn lock_words() {
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

fn lock_refused() {
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

fn lock_in_time() {
    let word = AtomicU32::new(own_tid());
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            // SAFETY: the time is written.
            let mut deadline = unsafe {
                let mut now = std::mem::zeroed();
                libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now);
                now
            };
            deadline.tv_sec += (deadline.tv_nsec + 30_000_000) / 1_000_000_000;
            deadline.tv_nsec = (deadline.tv_nsec + 30_000_000) % 1_000_000_000;
            let start = Instant::now();
            let operation = FUTEX_LOCK_PI2 | PRIVATE;
            let result = futex(&word, operation, 0, ptr::from_ref(&deadline) as usize, &word, 0);
            assert_eq!(result, Err(Errno::ETIMEDOUT));
            assert!(start.elapsed() >= Duration::from_millis(29));
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

fn lock_passes_on() {
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

fn lock_counts() {
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

fn lock_of_one_that_ends() {
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

fn locks_are_not_woken() {
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

fn moved_to_a_lock() {
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

fn moved_to_a_free_lock() {
    let (word, to) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_then_lock(&word, &to));
        until(|| wake(&word, 1) == Err(Errno::EINVAL));
        assert_eq!(requeue_to_lock(&word, &to, 0), Ok(1));
        waiter.join().expect("waiter");
    });
    assert_eq!(to.load(SeqCst), 0);
}

/// Two words and a robust list, where parent and child see them.
#[repr(C)]
struct Shared {
    /// struct robust_list_head: the first entry, the distance from an entry to its word, the pending entry.
    head: [usize; 3],
    /// An entry is a pointer to the next one.
    entry: usize,
    word: AtomicU32,
}

fn shared() -> *mut Shared {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let both = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel finds a place where nothing is.
    let at = unsafe { libc::mmap(ptr::null_mut(), 4096, both, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    at.cast()
}

/// Makes the calling thread's robust list that one entry.
fn hold(shared: *mut Shared) {
    // SAFETY: the mapping is there for good and large enough; nobody else uses the list.
    unsafe {
        (*shared).entry = shared as usize;
        (*shared).head = [&raw const (*shared).entry as usize, size_of::<usize>(), 0];
        assert_eq!(libc::syscall(libc::SYS_set_robust_list, shared, 24), 0);
    }
}

fn robust_owner_ends() {
    let shared = shared();
    // SAFETY: zero is a valid word, and the mapping stays.
    let word = unsafe { &(*shared).word };
    let owner = child(|| {
        hold(shared);
        word.store(own_tid(), SeqCst);
        until(|| word.load(SeqCst) & FUTEX_WAITERS != 0);
        0
    });
    until(|| word.load(SeqCst) != 0);
    let seen = word.fetch_or(FUTEX_WAITERS, SeqCst) | FUTEX_WAITERS;
    // Woken, or too late to fall asleep.
    let slept = futex(word, FUTEX_WAIT, seen, 0, word, 0);
    assert!(matches!(slept, Ok(0) | Err(Errno::EAGAIN)), "{slept:?}");
    assert_eq!(word.load(SeqCst), FUTEX_OWNER_DIED | FUTEX_WAITERS);
    assert_eq!(owner.wait(), Status::Exited(0));
}

/// A child with a list that leads nowhere, or in a circle, ends like any other.
fn robust_lists_of_nonsense() {
    let shared = shared();
    for first in [8, usize::MAX, shared as usize + 24] {
        let child = child(|| {
            hold(shared);
            // SAFETY: as in `hold`.
            unsafe {
                (*shared).head[0] = first;
                (*shared).entry = shared as usize + 24;
            }
            0
        });
        assert_eq!(child.wait(), Status::Exited(0));
    }
}

/// Wakes one waiter, at the first of `words` that has any: its place.
fn wake_first(words: &[&AtomicU32]) -> Option<usize> {
    words
        .iter()
        .position(|word| futex(word, FUTEX_WAKE, 1, 0, word, 0) == Ok(1))
}

/// Mappings made one after the other differ, whatever of the same place in them somebody waits for.
fn words_of_several_mappings() {
    // SAFETY: zero is a valid word, and the mappings stay.
    let words = [(); 8].map(|()| unsafe { &(*shared()).word });
    for (place, word) in words.iter().enumerate() {
        let waiter = child(|| {
            let woken = futex(word, FUTEX_WAIT, 0, 0, word, 0);
            i32::from(woken != Ok(0))
        });
        // The others are asked more often than the right one, and have nobody.
        let mut others = words.to_vec();
        others.remove(place);
        until(|| {
            assert_eq!(wake_first(&others), None);
            wake_first(&[word]).is_some()
        });
        assert_eq!(waiter.wait(), Status::Exited(0));
    }
}
