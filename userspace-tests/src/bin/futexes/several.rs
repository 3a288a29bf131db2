//! futex_waitv(2).

use super::calls::*;
use libsyscall::abi::Errno;
use libsyscall::abi::process::*;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::thread;
use userspace_tests::checked;

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

pub fn any_of_several() {
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

pub fn any_of_several_refused() {
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

pub fn any_of_several_in_time() {
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

pub fn moved_from_among_several() {
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
