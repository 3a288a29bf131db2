//! Child processes by fork(2), for tests of what must not happen to the test program itself.

use crate::harness::ignore;
use std::panic::{self, AssertUnwindSafe};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Exited(i32),
    Killed(i32),
}

/// A forked process.
#[derive(Debug)]
pub struct Child(pub i32);

/// Runs `body` in a child, which exits with what it returns, or with 101 when it panics.
pub fn child(body: impl FnOnce() -> i32) -> Child {
    // SAFETY: test programs fork while they have one thread, or the child does only what is safe after a fork.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let status = panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
            libsyscall::calls::process::exit_group(status)
        }
        pid => Child(pid),
    }
}

impl Child {
    pub fn wait(self) -> Status {
        let mut status = 0;
        // SAFETY: the kernel writes one status.
        let pid = unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!(pid, self.0, "waitpid: {}", std::io::Error::last_os_error());
        if libc::WIFSIGNALED(status) {
            Status::Killed(libc::WTERMSIG(status))
        } else {
            Status::Exited(libc::WEXITSTATUS(status))
        }
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is a child not yet waited for.
        crate::checked(unsafe { libc::kill(self.0, signal) }).expect("kill");
    }
}

/// Runs a test in a child of user 0, which may change who it is and where its paths start.
pub fn as_root(test: impl FnOnce()) {
    // SAFETY: it takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        ignore("it takes user 0");
    }
    let ended = child(|| {
        test();
        0
    });
    assert_eq!(ended.wait(), Status::Exited(0));
}
