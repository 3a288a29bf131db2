//! The files without a name: epoll, eventfd, inotify, timerfd, signalfd. Each is the readiness core's object with a file around it.

pub mod epoll;
pub mod eventfd;
pub mod inotify;
pub mod signalfd;
pub mod timerfd;

use crate::fs::{ANONYMOUS_DEVICE, Stat};

/// fstat(2) of all of them: mode 0600 without a type (semantics 12).
fn stat() -> Stat {
    Stat {
        dev: ANONYMOUS_DEVICE,
        ino: 1,
        mode: 0o600,
        nlink: 1,
        ..Stat::default()
    }
}
