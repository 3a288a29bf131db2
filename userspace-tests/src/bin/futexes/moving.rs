//! FUTEX_REQUEUE, FUTEX_CMP_REQUEUE and FUTEX_WAKE_OP.

use super::calls::*;
use libsyscall::abi::Errno;
use libsyscall::abi::process::*;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

pub fn moved_waiters() {
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

pub fn moved_while_equal() {
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

pub fn wake_with_operation() {
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
