//! The calls, the words that processes share, and waiting until others have made their calls.

use libsyscall::abi::Errno;
use libsyscall::abi::process::*;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::Duration;
use userspace_tests::checked;

/// futex(2) on words that are this process's alone unless `operation` says otherwise.
pub fn futex(
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

pub const PRIVATE: u32 = FUTEX_PRIVATE_FLAG;

pub fn wait(word: &AtomicU32, value: u32) -> Result<usize, Errno> {
    futex(word, FUTEX_WAIT | PRIVATE, value, 0, word, 0)
}

pub fn wake(word: &AtomicU32, count: u32) -> Result<usize, Errno> {
    futex(word, FUTEX_WAKE | PRIVATE, count, 0, word, 0)
}

pub fn lock(word: &AtomicU32) -> Result<usize, Errno> {
    futex(word, FUTEX_LOCK_PI | PRIVATE, 0, 0, word, 0)
}

pub fn unlock(word: &AtomicU32) -> Result<usize, Errno> {
    futex(word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, word, 0)
}

pub fn own_tid() -> u32 {
    // SAFETY: it takes nothing.
    unsafe { libc::gettid() as u32 }
}

/// Until `done`; a test that waits in vain hangs and is told so.
pub fn until(done: impl Fn() -> bool) {
    while !done() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Until `count` waiters of a word are there: it moves them to where they are.
pub fn until_waiting(word: &AtomicU32, count: usize) {
    until(|| futex(word, FUTEX_REQUEUE | PRIVATE, 0, i32::MAX as usize, word, 0) == Ok(count));
}

pub const ANY: usize = FUTEX_BITSET_MATCH_ANY as usize;

/// struct futex_waitv.
pub fn entry(word: &AtomicU32, value: u64, flags: u32) -> [u64; 3] {
    [value, word.as_ptr() as u64, u64::from(flags)]
}

pub const OWN_WORD: u32 = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE;

/// Two words and a robust list, where parent and child see them.
#[repr(C)]
pub struct Shared {
    /// struct robust_list_head: the first entry, the distance from an entry to its word, the pending entry.
    pub head: [usize; 3],
    /// An entry is a pointer to the next one.
    pub entry: usize,
    pub word: AtomicU32,
}

pub fn shared() -> *mut Shared {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let both = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel finds a place where nothing is.
    let at = unsafe { libc::mmap(ptr::null_mut(), 4096, both, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    at.cast()
}
