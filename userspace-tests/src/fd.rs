//! A descriptor that closes itself, and the event calls over it.

use libsyscall::abi::Errno;
use libsyscall::abi::event::EpollEvent;
use libsyscall::abi::fcntl::{O_CLOEXEC, O_NONBLOCK};
use libsyscall::calls::{event, file};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

/// An open descriptor, closed when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Fd(pub i32);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> i32 {
        self.0
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // A test that closed it by number itself has seen the result.
        let _ = file::close(self.0);
    }
}

impl Fd {
    /// A descriptor of std's.
    pub fn of(owner: impl Into<OwnedFd>) -> Fd {
        Fd(owner.into().into_raw_fd())
    }

    pub fn pipe() -> (Fd, Fd) {
        let (read, write) = file::pipe(O_CLOEXEC | O_NONBLOCK).expect("pipe2");
        (Fd(read), Fd(write))
    }

    pub fn blocking_pipe() -> (Fd, Fd) {
        let (read, write) = file::pipe(O_CLOEXEC).expect("pipe2");
        (Fd(read), Fd(write))
    }

    /// A pair of connected AF_UNIX stream sockets.
    pub fn socket_pair() -> (Fd, Fd) {
        let mut ends = [0; 2];
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: the array has room for two descriptors.
        crate::checked(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }).expect("socketpair");
        (Fd(ends[0]), Fd(ends[1]))
    }

    pub fn eventfd(initial: u32, flags: u32) -> Fd {
        Fd(event::eventfd(initial, flags | O_CLOEXEC).expect("eventfd2"))
    }

    pub fn epoll() -> Fd {
        Fd(event::epoll_create1(O_CLOEXEC).expect("epoll_create1"))
    }

    pub fn dup(&self) -> Fd {
        Fd(file::dup(self.0).expect("dup"))
    }

    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        file::read(self.0, buffer)
    }

    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        file::write(self.0, bytes)
    }

    /// Reads until there is nothing more to read now.
    pub fn drain(&self) {
        let mut buffer = [0; 65536];
        while self.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }

    /// Writes until there is no more room; gives the number of bytes.
    pub fn fill(&self) -> usize {
        let mut written = 0;
        while let Ok(count) = self.write(&[b'x'; 4096]) {
            written += count;
        }
        written
    }

    /// `EPOLL_CTL_ADD` with the descriptor's number as data.
    pub fn add(&self, target: &Fd, events: u32) {
        self.control(libc::EPOLL_CTL_ADD, target, events)
            .expect("EPOLL_CTL_ADD");
    }

    pub fn modify(&self, target: &Fd, events: u32) {
        self.control(libc::EPOLL_CTL_MOD, target, events)
            .expect("EPOLL_CTL_MOD");
    }

    pub fn delete(&self, target: &Fd) {
        event::epoll_delete(self.0, target.0).expect("EPOLL_CTL_DEL");
    }

    pub fn control(&self, operation: i32, target: &Fd, events: u32) -> Result<(), Errno> {
        event::epoll_set(self.0, operation, target.0, events, target.0 as u64)
    }

    /// What epoll_wait(2) gives without waiting: data and events of each.
    pub fn ready(&self) -> Vec<(u64, u32)> {
        self.wait(0, 64).expect("epoll_wait")
    }

    /// The events of the only ready descriptor, 0 when there is none.
    pub fn events(&self) -> u32 {
        match self.ready()[..] {
            [] => 0,
            [(_, events)] => events,
            ref many => panic!("more than one is ready: {many:x?}"),
        }
    }

    pub fn wait(&self, timeout_ms: i32, room: usize) -> Result<Vec<(u64, u32)>, Errno> {
        let mut events = vec![EpollEvent::default(); room];
        let count = event::epoll_wait(self.0, &mut events, timeout_ms)?;
        Ok(events[..count].iter().map(|event| (event.data, event.events)).collect())
    }
}
