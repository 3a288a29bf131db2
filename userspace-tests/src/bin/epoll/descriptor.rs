//! The epoll descriptor under other calls, ioctl(2), and /proc.

use super::ADD;
use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::abi::fcntl::{F_GETFL, O_NONBLOCK, O_RDWR};
use libsyscall::calls::{event, file};
use std::time::{Duration, Instant};
use userspace_tests::{Fd, checked};

/// Semantics 113.
pub fn other_calls() {
    let epoll = Fd::epoll();
    assert_eq!(epoll.read(&mut [0; 8]), Err(Errno::EINVAL));
    assert_eq!(epoll.write(&[0; 8]), Err(Errno::EINVAL));
    let mut byte = 0u8;
    // SAFETY: the kernel writes one byte, if at all, and maps nothing; the others take numbers.
    unsafe {
        assert_eq!(
            checked(libc::pread(epoll.0, (&raw mut byte).cast(), 1, 0)),
            Err(Errno::ESPIPE)
        );
        for (offset, whence) in [
            (0, libc::SEEK_SET),
            (5, libc::SEEK_SET),
            (-1, libc::SEEK_CUR),
            (9, libc::SEEK_END),
        ] {
            assert_eq!(checked(libc::lseek(epoll.0, offset, whence)), Ok(0));
        }
        let mapped = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ,
            libc::MAP_SHARED,
            epoll.0,
            0,
        );
        assert_eq!(checked(mapped as isize as i64), Err(Errno::ENODEV));
        assert_eq!(checked(libc::ftruncate(epoll.0, 0)), Err(Errno::EINVAL));
        assert_eq!(checked(libc::fsync(epoll.0)), Err(Errno::EINVAL));
    }
    let mut word = [0u8; 64];
    for command in [libc::FIONREAD as u32, libc::TCGETS as u32] {
        assert_eq!(ioctl(&epoll, command, word.as_mut_ptr()), Err(Errno::EINVAL));
    }
    // Blocking is not the descriptor's affair (semantics 11).
    word[0] = 1;
    assert_eq!(ioctl(&epoll, libc::FIONBIO as u32, word.as_mut_ptr()), Ok(0));
    assert_eq!(file::fcntl(epoll.0, F_GETFL, 0), Ok((O_RDWR | O_NONBLOCK) as usize));
    let start = Instant::now();
    assert_eq!(epoll.wait(20, 1), Ok(vec![]));
    assert!(start.elapsed() >= Duration::from_millis(20));
}

/// ioctl(2) with a pointer.
fn ioctl(fd: &Fd, command: u32, argument: *mut u8) -> Result<i32, Errno> {
    // SAFETY: the callers give what the command reads or writes, or what is refused.
    checked(unsafe { libc::ioctl(fd.0, command as _, argument) })
}

/// Semantics 114, ioctl_eventpoll(2).
pub fn busy_poll_parameters() {
    const SET: u32 = 0x4008_8a01;
    const GET: u32 = 0x8008_8a02;
    let epoll = Fd::epoll();
    let mut parameters = [0xffu8; 8];
    assert_eq!(ioctl(&epoll, GET, parameters.as_mut_ptr()), Ok(0));
    assert_eq!(parameters, [0; 8]);
    // Microseconds, packets, preference, padding.
    let mut wished = [0x10, 0x27, 0, 0, 16, 0, 1, 0];
    assert_eq!(ioctl(&epoll, SET, wished.as_mut_ptr()), Ok(0));
    assert_eq!(ioctl(&epoll, GET, parameters.as_mut_ptr()), Ok(0));
    assert_eq!(parameters, wished);
    for wrong in [
        [0, 0, 0, 0x80, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(ioctl(&epoll, SET, { wrong }.as_mut_ptr()), Err(Errno::EINVAL));
    }
    for command in [SET, GET] {
        assert_eq!(ioctl(&epoll, command, std::ptr::null_mut()), Err(Errno::EFAULT));
        assert_eq!(
            ioctl(&Fd::eventfd(0, 0), command, parameters.as_mut_ptr()),
            Err(Errno::ENOTTY)
        );
    }
    assert_eq!(parameters, wished);
}

/// Semantics 115.
pub fn information() {
    let (epoll, (read, _write), event) = (Fd::epoll(), Fd::pipe(), Fd::eventfd(1, 0));
    let node = |fd: &Fd| {
        // SAFETY: all zero bytes are a stat; the kernel writes one.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            checked(libc::fstat(fd.0, &mut stat)).expect("fstat");
            (stat.st_ino, stat.st_dev)
        }
    };
    let line = |fd: &Fd, events: u32, data: u64| {
        let (number, (ino, device)) = (fd.0, node(fd));
        format!("tfd: {number:8} events: {events:8x} data: {data:16x}  pos:0 ino:{ino:x} sdev:{device:x}")
    };
    let lines = || {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", epoll.0)).expect("read");
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("tfd:"))
            .map(String::from)
            .collect();
        lines.sort();
        lines
    };
    assert!(lines().is_empty());
    event::epoll_set(epoll.0, ADD, read.0, EPOLLIN | EPOLLET, u64::MAX).expect("ADD");
    event::epoll_set(epoll.0, ADD, event.0, EPOLLIN | EPOLLONESHOT, 5).expect("ADD");
    let of_pipe = line(&read, 0x8000_0019, u64::MAX);
    let both = |of_event: String| {
        let mut lines = vec![of_pipe.clone(), of_event];
        lines.sort();
        lines
    };
    assert_eq!(lines(), both(line(&event, 0x4000_0019, 5)));
    // A one-shot registration that has had its event waits for nothing.
    assert_eq!(epoll.events(), EPOLLIN);
    assert_eq!(lines(), both(line(&event, 0x4000_0000, 5)));
}

/// As many as a server has connections.
pub fn many_descriptors() {
    const FILES: usize = 400;
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..FILES).map(|_| Fd::eventfd(0, 0)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN | EPOLLET));
    for step in [1, 7, 50] {
        let written: Vec<_> = files.iter().step_by(step).map(|file| file.0 as u64).collect();
        files
            .iter()
            .step_by(step)
            .for_each(|file| event::eventfd_write(file.0, 1).expect("write"));
        let seen: Vec<_> = epoll
            .wait(0, FILES)
            .expect("epoll_wait")
            .into_iter()
            .map(|(data, _)| data)
            .collect();
        assert_eq!(seen, written);
    }
}
