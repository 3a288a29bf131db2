//! poll(2), ppoll(2), select(2).

use libsyscall::abi::Errno;
use libsyscall::abi::event::PollFd;
use libsyscall::abi::fcntl::F_DUPFD;
use libsyscall::calls::event::{self, Timespec};
use libsyscall::calls::file;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, checked, tests};

const IN: u16 = 1;
const OUT: u16 = 4;
const ERR: u16 = 8;
const HUP: u16 = 0x10;
const NVAL: u16 = 0x20;
const RDNORM: u16 = 0x40;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        negative_and_closed,
        requested_bits_only,
        regular_files_are_ready,
        pipe_ends,
        sleeps_without_files,
        timeouts_are_not_early,
        wakes_on_a_write,
        wakes_on_a_close,
        argument_errors,
        remaining_time,
        many_files,
        select_sets,
        select_errors,
    ])
}

fn poll(files: &mut [PollFd], timeout_ms: i64) -> Result<usize, Errno> {
    let mut timeout = Timespec {
        seconds: timeout_ms / 1000,
        nanoseconds: timeout_ms % 1000 * 1_000_000,
    };
    event::ppoll(files, Some(&mut timeout), None)
}

/// Count and revents of one file, without waiting.
fn now(fd: i32, events: u16) -> u16 {
    let mut files = [PollFd {
        fd,
        events,
        revents: 0xffff,
    }];
    let count = poll(&mut files, 0).expect("ppoll");
    assert_eq!(count, usize::from(files[0].revents != 0));
    assert_eq!(files[0].events, events);
    files[0].revents
}

/// Semantics 157, 158.
fn negative_and_closed() {
    assert_eq!(now(-1, IN), 0);
    assert_eq!(now(999, IN), NVAL);
}

/// Semantics 160.
fn requested_bits_only() {
    let (_read, write) = Fd::pipe();
    assert_eq!(now(write.0, IN | 2 | 0x2000), 0);
    assert_eq!(now(write.0, OUT), OUT);
}

/// Semantics 159.
fn regular_files_are_ready() {
    use std::os::fd::AsRawFd;
    let file = std::fs::File::open("/proc/self/exe").expect("open");
    assert_eq!(now(file.as_raw_fd(), IN | OUT), IN | OUT);
}

/// Semantics 144 to 146.
fn pipe_ends() {
    let (read, write) = Fd::pipe();
    assert_eq!(now(read.0, IN), 0);
    write.write(b"x").expect("write");
    assert_eq!(now(read.0, IN | RDNORM), IN | RDNORM);
    let copy = read.dup();
    drop(write);
    assert_eq!(now(copy.0, IN), IN | HUP);
    read.drain();
    assert_eq!(now(copy.0, IN), HUP);
    let (read, write) = Fd::pipe();
    drop(read);
    assert_eq!(now(write.0, OUT), OUT | ERR);
}

/// Semantics 156.
fn sleeps_without_files() {
    let start = Instant::now();
    assert_eq!(poll(&mut [], 20), Ok(0));
    assert!(start.elapsed() >= Duration::from_millis(20));
}

/// Semantics 166.
fn timeouts_are_not_early() {
    let (read, _write) = Fd::pipe();
    for timeout_ms in [1, 7, 25] {
        let start = Instant::now();
        assert_eq!(
            poll(
                &mut [PollFd {
                    fd: read.0,
                    events: IN,
                    revents: 0
                }],
                timeout_ms
            ),
            Ok(0)
        );
        assert!(start.elapsed() >= Duration::from_millis(timeout_ms as u64));
    }
}

fn wakes_on_a_write() {
    let (read, write) = Fd::pipe();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        write.write(b"x").expect("write");
        write
    });
    let mut files = [PollFd {
        fd: read.0,
        events: IN,
        revents: 0,
    }];
    assert_eq!(poll(&mut files, 5000), Ok(1));
    assert_eq!(files[0].revents, IN);
    writer.join().expect("thread");
}

/// Semantics 147.
fn wakes_on_a_close() {
    let (read, write) = Fd::pipe();
    let closer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        drop(write);
    });
    let mut files = [PollFd {
        fd: read.0,
        events: IN,
        revents: 0,
    }];
    assert_eq!(poll(&mut files, 5000), Ok(1));
    assert_eq!(files[0].revents, HUP);
    closer.join().expect("thread");
}

/// Semantics 156, 162.
fn argument_errors() {
    use libsyscall::abi::nr;
    use libsyscall::calls::raw;
    let wrong = |seconds, nanoseconds| event::ppoll(&mut [], Some(&mut Timespec { seconds, nanoseconds }), None);
    assert_eq!(wrong(-1, 0), Err(Errno::EINVAL));
    assert_eq!(wrong(0, 1_000_000_000), Err(Errno::EINVAL));
    let now = Timespec::default();
    // SAFETY: the null pointer is refused.
    let call = |files: usize, count: usize| unsafe { raw(nr::PPOLL, [files, count, &raw const now as usize, 0, 8]) };
    assert_eq!(call(0, 1), Err(Errno::EFAULT));
    assert_eq!(call(0, usize::MAX), Err(Errno::EINVAL));
}

/// Semantics 162.
fn remaining_time() {
    let mut timeout = Timespec {
        seconds: 0,
        nanoseconds: 10_000_000,
    };
    assert_eq!(event::ppoll(&mut [], Some(&mut timeout), None), Ok(0));
    assert_eq!(timeout, Timespec::default());
}

fn many_files() {
    let pipes: Vec<_> = (0..200).map(|_| Fd::pipe()).collect();
    pipes
        .iter()
        .step_by(3)
        .for_each(|(_, write)| assert_eq!(write.write(b"x"), Ok(1)));
    let mut files: Vec<_> = pipes
        .iter()
        .map(|(read, _)| PollFd {
            fd: read.0,
            events: IN,
            revents: 0,
        })
        .collect();
    assert_eq!(poll(&mut files, 0), Ok(67));
    assert!(
        files
            .iter()
            .enumerate()
            .all(|(number, file)| (file.revents == IN) == (number % 3 == 0))
    );
}

/// select(2) with the descriptors to read and to write: count and what is left in the sets.
fn select(read: &[i32], write: &[i32]) -> (Result<i32, Errno>, Vec<i32>, Vec<i32>) {
    // SAFETY: all zero bytes are an empty set; the numbers are below FD_SETSIZE; the kernel reads and writes the sets.
    unsafe {
        let set = |numbers: &[i32]| {
            let mut set: libc::fd_set = std::mem::zeroed();
            numbers.iter().for_each(|&number| libc::FD_SET(number, &mut set));
            set
        };
        let left = |set: &libc::fd_set| (0..100).filter(|&number| libc::FD_ISSET(number, set)).collect();
        let (mut reads, mut writes) = (set(read), set(write));
        let mut timeout = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let count = libc::select(100, &mut reads, &mut writes, std::ptr::null_mut(), &mut timeout);
        (checked(count), left(&reads), left(&writes))
    }
}

/// Semantics 163, 164.
fn select_sets() {
    let (read, write) = Fd::pipe();
    assert_eq!(select(&[read.0], &[write.0]), (Ok(1), vec![], vec![write.0]));
    write.write(b"x").expect("write");
    assert_eq!(select(&[read.0], &[write.0]), (Ok(2), vec![read.0], vec![write.0]));
    read.drain();
    drop(write);
    assert_eq!(select(&[read.0], &[]), (Ok(1), vec![read.0], vec![]));
}

/// Semantics 163.
fn select_errors() {
    // select(2) looks no further than the table of descriptors is long: a number above makes it longer.
    let event = Fd::eventfd(0, 0);
    let above = file::fcntl(event.0, F_DUPFD, 100).expect("F_DUPFD");
    drop(Fd(above as i32));
    assert_eq!(select(&[99], &[]).0, Err(Errno::EBADF));
    let nothing = std::ptr::null_mut();
    // SAFETY: refused for the negative count.
    let negative = unsafe {
        libc::select(
            -1,
            nothing,
            nothing,
            nothing,
            &mut libc::timeval { tv_sec: 0, tv_usec: 0 },
        )
    };
    assert_eq!(checked(negative), Err(Errno::EINVAL));
}
