//! Numbers and layouts of the Linux ABI, one file a family; every layout is asserted at compile time.

pub mod capability;
pub mod epoll;
pub mod errno;
pub mod event;
pub mod fcntl;
pub mod filter;
pub mod inotify;
pub mod ioctl;
pub mod memory;
pub mod mqueue;
pub mod netlink;
pub mod nr;
pub mod process;
pub mod signal;
pub mod socket;
pub mod stat;
pub mod time;

pub use errno::Errno;
