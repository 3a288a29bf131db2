//! What the test programs share: the harness that names, runs and reports tests, the few tools they test with, and the
//! [`bench`] of those that measure.
//!
//! A test is a function that panics when what it tests does not hold. All must pass on Linux, which is the oracle.
//! "Semantics N" in a test is a line of `docs/semantics.md`.

pub mod bench;
pub mod child;
pub mod fd;
pub mod folder;
pub mod harness;
pub mod option;
pub mod pty;
pub mod socket;

pub use child::{Status, as_root, child};
pub use fd::Fd;
pub use folder::Folder;
pub use harness::{Test, run};
pub use pty::Pty;

use libsyscall::abi::Errno;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A libc call's `-1` as its errno.
pub fn checked<T: PartialOrd + From<i8>>(result: T) -> Result<T, Errno> {
    if result < T::from(0) {
        let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Err(Errno::new(code as usize).expect("libc says what went wrong"))
    } else {
        Ok(result)
    }
}

/// Has SIGALRM come again and again, every so many microseconds; 0: no more.
pub fn alarm_every(microseconds: i64) {
    let interval = libc::timeval {
        tv_sec: 0,
        tv_usec: microseconds,
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: the kernel reads one timer value.
    checked(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) }).expect("setitimer");
}

/// What `call` gives that a signal disturbs again and again: one that comes before it sleeps is not the last.
pub fn disturbed<T>(signal: i32, call: impl FnOnce() -> T) -> T {
    // SAFETY: the thread lives as long as the sender, which the scope joins.
    let caller = unsafe { libc::pthread_self() };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(30));
                // SAFETY: as above; the caller arranged what the signal does.
                assert_eq!(unsafe { libc::pthread_kill(caller, signal) }, 0);
            }
        });
        let result = call();
        over.store(true, Ordering::SeqCst);
        result
    })
}

/// Whether hardly anything else runs.
pub fn alone_on_this_machine() -> bool {
    let number = |name: std::ffi::OsString| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
    std::fs::read_dir("/proc")
        .is_ok_and(|entries| entries.flatten().filter(|entry| number(entry.file_name())).count() < 4)
}
