//! epoll(7), eventfd(2), ppoll(2).

use super::{file, raw};
use crate::abi::event::{EPOLL_CTL_DEL, EpollEvent, PollFd};
use crate::abi::signal::SIGSET_SIZE;
use crate::abi::{Errno, nr};

/// A timespec of the system-call interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Timespec {
    pub seconds: i64,
    pub nanoseconds: i64,
}

fn address<T>(value: Option<&T>) -> usize {
    value.map_or(0, |value| core::ptr::from_ref(value) as usize)
}

pub fn epoll_create1(flags: u32) -> Result<i32, Errno> {
    // SAFETY: takes a number, makes a descriptor.
    unsafe { raw(nr::EPOLL_CREATE1, [flags as usize]) }.map(|fd| fd as i32)
}

pub fn epoll_ctl(epfd: i32, operation: i32, fd: i32, event: Option<&EpollEvent>) -> Result<(), Errno> {
    // SAFETY: the kernel reads one event or, from a null pointer, none.
    unsafe {
        raw(
            nr::EPOLL_CTL,
            [epfd as usize, operation as usize, fd as usize, address(event)],
        )
    }
    .map(drop)
}

/// `EPOLL_CTL_ADD` or `EPOLL_CTL_MOD` with events and data.
pub fn epoll_set(epfd: i32, operation: i32, fd: i32, events: u32, data: u64) -> Result<(), Errno> {
    epoll_ctl(epfd, operation, fd, Some(&EpollEvent { events, data }))
}

pub fn epoll_delete(epfd: i32, fd: i32) -> Result<(), Errno> {
    epoll_ctl(epfd, EPOLL_CTL_DEL, fd, None)
}

/// epoll_wait(2), made of epoll_pwait(2), which every machine has.
pub fn epoll_wait(epfd: i32, events: &mut [EpollEvent], timeout_ms: i32) -> Result<usize, Errno> {
    epoll_pwait(epfd, events, timeout_ms, None)
}

pub fn epoll_pwait(epfd: i32, events: &mut [EpollEvent], timeout_ms: i32, mask: Option<&u64>) -> Result<usize, Errno> {
    let arguments = [
        epfd as usize,
        events.as_mut_ptr() as usize,
        events.len(),
        timeout_ms as usize,
        address(mask),
        SIGSET_SIZE,
    ];
    // SAFETY: the kernel writes within the slice and reads one signal set.
    unsafe { raw(nr::EPOLL_PWAIT, arguments) }
}

pub fn epoll_pwait2(
    epfd: i32,
    events: &mut [EpollEvent],
    timeout: Option<&Timespec>,
    mask: Option<&u64>,
) -> Result<usize, Errno> {
    let arguments = [
        epfd as usize,
        events.as_mut_ptr() as usize,
        events.len(),
        address(timeout),
        address(mask),
        SIGSET_SIZE,
    ];
    // SAFETY: the kernel writes within the slice and reads one timespec and one signal set.
    unsafe { raw(nr::EPOLL_PWAIT2, arguments) }
}

pub fn eventfd(initial: u32, flags: u32) -> Result<i32, Errno> {
    // SAFETY: takes numbers, makes a descriptor.
    unsafe { raw(nr::EVENTFD2, [initial as usize, flags as usize]) }.map(|fd| fd as i32)
}

/// Takes the counter's value, or 1 of a semaphore.
pub fn eventfd_read(fd: i32) -> Result<u64, Errno> {
    let mut value = [0; 8];
    file::read(fd, &mut value)?;
    Ok(u64::from_ne_bytes(value))
}

pub fn eventfd_write(fd: i32, value: u64) -> Result<(), Errno> {
    file::write(fd, &value.to_ne_bytes()).map(drop)
}

/// ppoll(2); the kernel writes the time that is left back into `timeout`.
pub fn ppoll(files: &mut [PollFd], timeout: Option<&mut Timespec>, mask: Option<&u64>) -> Result<usize, Errno> {
    let timeout = timeout.map_or(0, |timeout| core::ptr::from_mut(timeout) as usize);
    let arguments = [
        files.as_mut_ptr() as usize,
        files.len(),
        timeout,
        address(mask),
        SIGSET_SIZE,
    ];
    // SAFETY: the kernel writes the entries and the timespec, and reads one signal set.
    unsafe { raw(nr::PPOLL, arguments) }
}
