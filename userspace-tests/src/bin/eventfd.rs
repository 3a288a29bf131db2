//! eventfd(2).

use libsyscall::abi::Errno;
use libsyscall::abi::event::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE, PollFd};
use libsyscall::abi::fcntl::{F_GETFD, F_GETFL, F_SETFL, FD_CLOEXEC, O_NONBLOCK, O_RDWR};
use libsyscall::calls::event::{self, eventfd_read, eventfd_write};
use libsyscall::calls::file;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, Status, child, tests};

const MAX: u64 = u64::MAX - 1;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        flags,
        status_flags,
        initial_value,
        read_takes_all,
        read_sizes,
        write_sizes,
        write_limits,
        empty_would_block,
        semaphore,
        many_writes,
        blocked_reader,
        blocked_writer,
        readiness,
        shared_over_fork,
        vectors,
        faults,
        positions,
        names,
    ])
}

/// Semantics 116.
fn flags() {
    for flags in [2, 4, EFD_SEMAPHORE | 0x100, u32::MAX] {
        assert_eq!(event::eventfd(0, flags), Err(Errno::EINVAL), "{flags:#x}");
    }
}

/// Semantics 117.
fn status_flags() {
    let plain = Fd(event::eventfd(0, 0).expect("eventfd2"));
    assert_eq!(file::fcntl(plain.0, F_GETFL, 0), Ok(O_RDWR as usize));
    assert_eq!(file::fcntl(plain.0, F_GETFD, 0), Ok(0));
    let both = Fd(event::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK).expect("eventfd2"));
    assert_eq!(file::fcntl(both.0, F_GETFL, 0), Ok((O_RDWR | O_NONBLOCK) as usize));
    assert_eq!(file::fcntl(both.0, F_GETFD, 0), Ok(FD_CLOEXEC as usize));
    file::fcntl(plain.0, F_SETFL, O_NONBLOCK as usize).expect("F_SETFL");
    assert_eq!(eventfd_read(plain.0), Err(Errno::EAGAIN));
}

/// Semantics 118.
fn initial_value() {
    assert_eq!(eventfd_read(Fd::eventfd(u32::MAX, 0).0), Ok(4_294_967_295));
}

/// Semantics 120, 121.
fn read_takes_all() {
    let event = Fd::eventfd(3, EFD_NONBLOCK);
    eventfd_write(event.0, 4).expect("write");
    let mut buffer = [0xff; 16];
    assert_eq!(event.read(&mut buffer), Ok(8));
    assert_eq!(buffer[..8], 7u64.to_ne_bytes());
    assert_eq!(buffer[8..], [0xff; 8]);
    assert_eq!(eventfd_read(event.0), Err(Errno::EAGAIN));
}

/// Semantics 119.
fn read_sizes() {
    let event = Fd::eventfd(0, EFD_NONBLOCK);
    for size in [0, 4, 7] {
        assert_eq!(event.read(&mut vec![0; size]), Err(Errno::EINVAL));
    }
}

/// Semantics 125, 126.
fn write_sizes() {
    let event = Fd::eventfd(0, EFD_NONBLOCK);
    for size in [0, 4, 7] {
        assert_eq!(event.write(&vec![0; size]), Err(Errno::EINVAL), "{size}");
    }
}

/// Semantics 127 to 129.
fn write_limits() {
    let event = Fd::eventfd(0, EFD_NONBLOCK);
    assert_eq!(eventfd_write(event.0, u64::MAX), Err(Errno::EINVAL));
    assert_eq!(eventfd_write(event.0, MAX), Ok(()));
    assert_eq!(eventfd_write(event.0, 1), Err(Errno::EAGAIN));
    assert_eq!(eventfd_write(event.0, 0), Ok(()));
    assert_eq!(eventfd_read(event.0), Ok(MAX));
    assert_eq!(eventfd_write(event.0, MAX - 5), Ok(()));
    // No part of it is added.
    assert_eq!(eventfd_write(event.0, 6), Err(Errno::EAGAIN));
    assert_eq!(eventfd_write(event.0, 5), Ok(()));
    assert_eq!(eventfd_read(event.0), Ok(MAX));
}

/// Semantics 122.
fn empty_would_block() {
    assert_eq!(eventfd_read(Fd::eventfd(0, EFD_NONBLOCK).0), Err(Errno::EAGAIN));
}

/// Semantics 123.
fn semaphore() {
    let event = Fd::eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
    for _ in 0..3 {
        assert_eq!(eventfd_read(event.0), Ok(1));
    }
    assert_eq!(eventfd_read(event.0), Err(Errno::EAGAIN));
}

/// Semantics 124.
fn many_writes() {
    let event = Fd::eventfd(0, EFD_NONBLOCK);
    for _ in 0..10_000 {
        eventfd_write(event.0, 1).expect("write");
    }
    assert_eq!(eventfd_read(event.0), Ok(10_000));
}

/// Semantics 122.
fn blocked_reader() {
    let event = Fd::eventfd(0, 0);
    let fd = event.0;
    let reader = thread::spawn(move || eventfd_read(fd));
    thread::sleep(Duration::from_millis(30));
    assert!(!reader.is_finished());
    eventfd_write(event.0, 9).expect("write");
    assert_eq!(reader.join().expect("thread"), Ok(9));
}

/// Semantics 129, 130.
fn blocked_writer() {
    let event = Fd::eventfd(0, 0);
    eventfd_write(event.0, MAX - 5).expect("write");
    let fd = event.0;
    let writer = thread::spawn(move || eventfd_write(fd, 10));
    thread::sleep(Duration::from_millis(30));
    assert!(!writer.is_finished());
    assert_eq!(eventfd_read(event.0), Ok(MAX - 5));
    assert_eq!(writer.join().expect("thread"), Ok(()));
    assert_eq!(eventfd_read(event.0), Ok(10));
}

/// Semantics 131.
fn readiness() {
    let event = Fd::eventfd(0, EFD_NONBLOCK);
    let poll = || {
        let mut files = [PollFd {
            fd: event.0,
            events: 0x3df,
            revents: 0,
        }];
        let count = event::ppoll(&mut files, Some(&mut event::Timespec::default()), None).expect("ppoll");
        assert_eq!(count, 1);
        files[0].revents
    };
    const IN: u16 = 1;
    const OUT: u16 = 4;
    assert_eq!(poll(), OUT);
    eventfd_write(event.0, 1).expect("write");
    assert_eq!(poll(), IN | OUT);
    eventfd_write(event.0, MAX - 1).expect("write");
    assert_eq!(poll(), IN);
}

/// Semantics 134.
fn shared_over_fork() {
    let event = Fd::eventfd(0, 0);
    assert_eq!(
        child(|| i32::from(eventfd_write(event.0, 5).is_err())).wait(),
        Status::Exited(0)
    );
    assert_eq!(eventfd_read(event.0), Ok(5));
}

/// Semantics 135.
fn vectors() {
    let event = Fd::eventfd(7, EFD_NONBLOCK);
    let mut halves = [[0u8; 4]; 2];
    let [first, second] = &mut halves;
    let parts = [first, second].map(|half| libc::iovec {
        iov_base: half.as_mut_ptr().cast(),
        iov_len: 4,
    });
    // SAFETY: the kernel writes within the two halves.
    assert_eq!(unsafe { libc::readv(event.0, parts.as_ptr(), 2) }, 8);
    assert_eq!(u64::from_ne_bytes(halves.concat().try_into().expect("8 bytes")), 7);
    // SAFETY: the kernel reads within the two halves.
    assert_eq!(
        // SAFETY: two parts, whose buffers live as long as the call.
        userspace_tests::checked(unsafe { libc::writev(event.0, parts.as_ptr(), 2) }),
        Err(Errno::EINVAL)
    );
    let value = 20u64.to_ne_bytes();
    let parts = [(); 2].map(|()| libc::iovec {
        iov_base: value.as_ptr().cast_mut().cast(),
        iov_len: 8,
    });
    // SAFETY: the kernel reads the value twice.
    assert_eq!(unsafe { libc::writev(event.0, parts.as_ptr(), 2) }, 16);
    assert_eq!(eventfd_read(event.0), Ok(40));
}

/// Semantics 125, 136.
fn faults() {
    use libsyscall::abi::nr;
    use libsyscall::calls::raw;
    let event = Fd::eventfd(1, EFD_NONBLOCK);
    // SAFETY: the kernel refuses the address.
    let call = |number, size| unsafe { raw(number, [event.0 as usize, 8, size]) };
    assert_eq!(call(nr::WRITE, 7), Err(Errno::EINVAL));
    assert_eq!(call(nr::WRITE, 8), Err(Errno::EFAULT));
    assert_eq!(call(nr::READ, 8), Err(Errno::EFAULT));
    assert_eq!(eventfd_read(event.0), Err(Errno::EAGAIN));
}

/// Semantics 137.
fn positions() {
    let event = Fd::eventfd(1, 0);
    let mut buffer = [0u8; 8];
    // SAFETY: the kernel writes within the buffer, if at all.
    let pread = unsafe { libc::pread(event.0, buffer.as_mut_ptr().cast(), 8, 0) };
    assert_eq!(userspace_tests::checked(pread), Err(Errno::ESPIPE));
    // SAFETY: as above, reading.
    let pwrite = unsafe { libc::pwrite(event.0, buffer.as_ptr().cast(), 8, 0) };
    assert_eq!(userspace_tests::checked(pwrite), Err(Errno::ESPIPE));
}

/// Semantics 139, 140.
fn names() {
    let event = Fd::eventfd(5, EFD_SEMAPHORE);
    let link = std::fs::read_link(format!("/proc/self/fd/{}", event.0)).expect("readlink");
    assert_eq!(link.to_str(), Some("anon_inode:[eventfd]"));
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", event.0)).expect("read");
    let id = |info: &str| {
        let id = info.lines().find_map(|line| line.strip_prefix("eventfd-id: "));
        id.and_then(|id| id.parse::<u32>().ok()).expect("a number")
    };
    let own = format!(
        "eventfd-count: {:16x}\neventfd-id: {}\neventfd-semaphore: 1\n",
        5,
        id(&info)
    );
    assert!(info.ends_with(&own), "{info}");
    let other = Fd::eventfd(0xabcdef, 0);
    let other = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", other.0)).expect("read");
    assert!(other.contains("eventfd-count:           abcdef\n"), "{other}");
    assert!(other.ends_with("eventfd-semaphore: 0\n"), "{other}");
    assert_ne!(id(&info), id(&other));
}
