//! pidfd_open(2) and what takes its descriptors.

use libsyscall::abi::Errno;
use libsyscall::abi::event::PollFd;
use libsyscall::abi::fcntl::{F_GETFD, F_GETFL, FD_CLOEXEC, O_NONBLOCK, O_RDWR};
use libsyscall::abi::nr;
use libsyscall::calls::{event, file, raw};
use std::mem;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use userspace_tests::child::Child;
use userspace_tests::{Fd, Status, checked, child, tests};

const EPOLLIN: u32 = libc::EPOLLIN as u32;
const RDNORM: u32 = libc::EPOLLRDNORM as u32;
const EPOLLHUP: u32 = libc::EPOLLHUP as u32;
const P_PIDFD: usize = 3;
const PIDFD_NONBLOCK: u32 = O_NONBLOCK;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        open_flags,
        open_errors,
        readiness,
        wakes_who_waits,
        wakes_edges,
        wait_by_descriptor,
        wait_errors,
        wait_non_blocking,
        signals,
        signal_errors,
        signal_with_information,
        descriptor_of_another,
        descriptor_of_undumpable,
        signal_by_directory,
        descriptor_errors,
        information,
        other_calls,
    ])
}

fn open(pid: i32, flags: u32) -> Result<Fd, Errno> {
    // SAFETY: numbers in, a descriptor out.
    unsafe { raw(nr::PIDFD_OPEN, [pid as usize, flags as usize]) }.map(|fd| Fd(fd as i32))
}

fn own() -> Fd {
    open(std::process::id() as i32, 0).expect("pidfd_open")
}

/// A child that ends when it has read a byte or there is nobody to write one.
fn held() -> (Child, Fd) {
    let (read, write) = Fd::blocking_pipe();
    let number = write.0;
    let child = child(|| {
        let _ = file::close(number);
        let _ = read.read(&mut [0]);
        5
    });
    (child, write)
}

/// revents of a poll(2) that does not wait.
fn poll(fd: &Fd) -> u32 {
    let mut files = [PollFd {
        fd: fd.0,
        events: 0x3df,
        revents: 0,
    }];
    event::ppoll(&mut files, Some(&mut event::Timespec::default()), None).expect("ppoll");
    files[0].revents.into()
}

/// waitid(2): signal, code, process, status.
fn wait(kind: usize, id: i32, options: i32) -> Result<(i32, i32, i32, i32), Errno> {
    // SAFETY: all bytes are a siginfo_t; the kernel writes one, and gives its SIGCHLD's members.
    unsafe {
        let mut info: libc::siginfo_t = mem::zeroed();
        info.si_signo = 99;
        let arguments = [kind, id as usize, &raw mut info as usize, options as usize, 0];
        raw(nr::WAITID, arguments)?;
        Ok((info.si_signo, info.si_code, info.si_pid(), info.si_status()))
    }
}

fn open_flags() {
    let (plain, nonblocking) = (
        own(),
        open(std::process::id() as i32, PIDFD_NONBLOCK).expect("pidfd_open"),
    );
    assert_eq!(file::fcntl(plain.0, F_GETFL, 0), Ok(O_RDWR as usize));
    assert_eq!(
        file::fcntl(nonblocking.0, F_GETFL, 0),
        Ok((O_RDWR | O_NONBLOCK) as usize)
    );
    for fd in [plain, nonblocking] {
        assert_eq!(file::fcntl(fd.0, F_GETFD, 0), Ok(FD_CLOEXEC as usize));
    }
}

fn open_errors() {
    assert_eq!(open(0, 0), Err(Errno::EINVAL));
    assert_eq!(open(-1, 0), Err(Errno::EINVAL));
    assert_eq!(open(std::process::id() as i32, 1), Err(Errno::EINVAL));
    assert_eq!(open(1 << 22, 0), Err(Errno::ESRCH));
    // A thread that is not its process's first.
    let opened = thread::spawn(|| {
        // SAFETY: takes nothing.
        open(unsafe { libc::gettid() }, 0)
    });
    assert_eq!(opened.join().expect("thread"), Err(Errno::ENOENT));
}

/// Semantics 153.
fn readiness() {
    let (child, hold) = held();
    let (fd, epoll) = (open(child.0, 0).expect("pidfd_open"), Fd::epoll());
    epoll.add(&fd, EPOLLIN);
    assert_eq!((poll(&fd), epoll.events()), (0, 0));
    drop(hold);
    assert_eq!(epoll.wait(-1, 1), Ok(vec![(fd.0 as u64, EPOLLIN)]));
    assert_eq!(poll(&fd), EPOLLIN | RDNORM);
    assert_eq!(child.wait(), Status::Exited(5));
    assert_eq!(poll(&fd), EPOLLIN | RDNORM | EPOLLHUP);
    assert_eq!(epoll.events(), EPOLLIN | EPOLLHUP);
}

fn wakes_who_waits() {
    let (child, hold) = held();
    let fd = open(child.0, 0).expect("pidfd_open");
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let fd = fd.dup();
            thread::spawn(move || {
                let mut files = [PollFd {
                    fd: fd.0,
                    events: EPOLLIN as u16,
                    revents: 0,
                }];
                event::ppoll(&mut files, None, None)
            })
        })
        .collect();
    thread::sleep(std::time::Duration::from_millis(30));
    drop(hold);
    for waiter in waiters {
        assert_eq!(waiter.join().expect("thread"), Ok(1));
    }
    assert_eq!(child.wait(), Status::Exited(5));
}

/// The end is an edge and being waited for is another.
fn wakes_edges() {
    let (child, hold) = held();
    let (fd, epoll) = (open(child.0, 0).expect("pidfd_open"), Fd::epoll());
    epoll.add(&fd, EPOLLIN | libc::EPOLLET as u32);
    drop(hold);
    assert_eq!(epoll.wait(-1, 1), Ok(vec![(fd.0 as u64, EPOLLIN)]));
    assert_eq!(epoll.events(), 0);
    assert_eq!(child.wait(), Status::Exited(5));
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN | EPOLLHUP, 0));
}

/// waitid(2), P_PIDFD.
fn wait_by_descriptor() {
    let (child, hold) = held();
    let fd = open(child.0, 0).expect("pidfd_open");
    assert_eq!(wait(P_PIDFD, fd.0, libc::WEXITED | libc::WNOHANG), Ok((0, 0, 0, 0)));
    drop(hold);
    let told = Ok((libc::SIGCHLD, libc::CLD_EXITED, child.0, 5));
    assert_eq!(wait(P_PIDFD, fd.0, libc::WEXITED | libc::WNOWAIT), told);
    assert_eq!(wait(P_PIDFD, fd.0, libc::WEXITED), told);
    assert_eq!(wait(P_PIDFD, fd.0, libc::WEXITED), Err(Errno::ECHILD));
}

fn wait_errors() {
    let (event, own) = (Fd::eventfd(0, 0), own());
    assert_eq!(wait(P_PIDFD, event.0, libc::WEXITED), Err(Errno::EBADF));
    assert_eq!(wait(P_PIDFD, 999, libc::WEXITED), Err(Errno::EBADF));
    assert_eq!(wait(P_PIDFD, -1, libc::WEXITED), Err(Errno::EINVAL));
    assert_eq!(wait(P_PIDFD, own.0, libc::WEXITED), Err(Errno::ECHILD));
    assert_eq!(wait(P_PIDFD, own.0, 0), Err(Errno::EINVAL));
}

/// PIDFD_NONBLOCK.
fn wait_non_blocking() {
    let (child, hold) = held();
    let fd = open(child.0, PIDFD_NONBLOCK).expect("pidfd_open");
    assert_eq!(wait(P_PIDFD, fd.0, libc::WEXITED), Err(Errno::EAGAIN));
    assert_eq!(wait(P_PIDFD, fd.0, libc::WEXITED | libc::WNOHANG), Ok((0, 0, 0, 0)));
    drop(hold);
    let epoll = Fd::epoll();
    epoll.add(&fd, EPOLLIN);
    assert_eq!(epoll.wait(-1, 1).expect("epoll_wait").len(), 1);
    assert_eq!(
        wait(P_PIDFD, fd.0, libc::WEXITED),
        Ok((libc::SIGCHLD, libc::CLD_EXITED, child.0, 5))
    );
}

fn send(fd: i32, signal: i32, info: usize, flags: u32) -> Result<usize, Errno> {
    // SAFETY: the kernel reads one siginfo_t or refuses the address; the tests arrange what the signal does.
    unsafe {
        raw(
            nr::PIDFD_SEND_SIGNAL,
            [fd as usize, signal as usize, info, flags as usize],
        )
    }
}

fn signals() {
    let (child, _hold) = held();
    let fd = open(child.0, 0).expect("pidfd_open");
    assert_eq!(send(fd.0, 0, 0, 0), Ok(0));
    assert_eq!(send(fd.0, libc::SIGTERM, 0, 0), Ok(0));
    assert_eq!(child.wait(), Status::Killed(libc::SIGTERM));
    assert_eq!(send(fd.0, libc::SIGTERM, 0, 0), Err(Errno::ESRCH));
}

fn signal_errors() {
    let (own, event) = (own(), Fd::eventfd(0, 0));
    assert_eq!(send(own.0, 0, 0, 0x80), Err(Errno::EINVAL));
    assert_eq!(send(own.0, 65, 0, 0), Err(Errno::EINVAL));
    assert_eq!(send(event.0, 0, 0, 0), Err(Errno::EBADF));
    assert_eq!(send(999, 0, 0, 0), Err(Errno::EBADF));
    assert_eq!(send(own.0, libc::SIGUSR1, 8, 0), Err(Errno::EFAULT));
}

/// A process tells itself what it likes, and others nothing that only the kernel says.
fn signal_with_information() {
    static VALUE: AtomicI32 = AtomicI32::new(0);
    extern "C" fn note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel gives the handler a filled structure, with a value in it.
        let value = unsafe { (*info).si_value() };
        VALUE.store(value.sival_ptr.addr() as i32, Ordering::SeqCst);
    }
    let mut words = [0u32; 32];
    words[0] = libc::SIGUSR1 as u32;
    words[2] = libc::SI_QUEUE as u32;
    words[6] = 77;
    let address = |words: &[u32; 32]| words.as_ptr() as usize;
    // SAFETY: all zero bytes are an action; the handler stores a number.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        checked(libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut())).expect("sigaction");
    }
    let own = own();
    assert_eq!(send(own.0, libc::SIGUSR2, address(&words), 0), Err(Errno::EINVAL));
    assert_eq!(send(own.0, libc::SIGUSR1, address(&words), 0), Ok(0));
    assert_eq!(VALUE.load(Ordering::SeqCst), 77);
    let (child, hold) = held();
    let fd = open(child.0, 0).expect("pidfd_open");
    words[2] = libc::SI_USER as u32;
    assert_eq!(send(fd.0, libc::SIGUSR1, address(&words), 0), Err(Errno::EPERM));
    drop(hold);
    assert_eq!(child.wait(), Status::Exited(5));
}

fn take(fd: i32, number: i32, flags: u32) -> Result<Fd, Errno> {
    // SAFETY: numbers in, a descriptor out.
    unsafe { raw(nr::PIDFD_GETFD, [fd as usize, number as usize, flags as usize]) }.map(|fd| Fd(fd as i32))
}

/// pidfd_getfd(2): the same description, under a number of its own.
fn descriptor_of_another() {
    let (tell_read, tell_write) = Fd::blocking_pipe();
    let child = child(|| {
        let event = Fd::eventfd(0, 0);
        let told = tell_write.write(&event.0.to_ne_bytes()) == Ok(4);
        i32::from(!(told && event::eventfd_read(event.0) == Ok(42)))
    });
    let mut number = [0; 4];
    assert_eq!(tell_read.read(&mut number), Ok(4));
    let fd = open(child.0, 0).expect("pidfd_open");
    let copy = take(fd.0, i32::from_ne_bytes(number), 0).expect("pidfd_getfd");
    assert_eq!(file::fcntl(copy.0, F_GETFD, 0), Ok(FD_CLOEXEC as usize));
    event::eventfd_write(copy.0, 42).expect("write");
    assert_eq!(child.wait(), Status::Exited(0));
}

/// A process that is not dumpable keeps its descriptors from others of its user.
fn descriptor_of_undumpable() {
    let status = child(|| {
        // SAFETY: the calls take numbers. Where this user may not become another, he is no privileged one.
        unsafe { libc::setresuid(65534, 65534, 65534) };
        let (told, tell) = Fd::blocking_pipe();
        let (hold, release) = Fd::blocking_pipe();
        let other = child(|| {
            // SAFETY: as above.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
            let done = tell.write(b"x") == Ok(1) && hold.read(&mut [0]) == Ok(1);
            i32::from(!done)
        });
        assert_eq!(told.read(&mut [0]), Ok(1));
        let fd = open(other.0, 0).expect("pidfd_open");
        assert_eq!(take(fd.0, 0, 0), Err(Errno::EPERM));
        assert_eq!(release.write(b"x"), Ok(1));
        i32::from(other.wait() != Status::Exited(0))
    });
    assert_eq!(status.wait(), Status::Exited(0));
}

/// pidfd_send_signal(2) takes a process's directory in /proc as well.
fn signal_by_directory() {
    let (child, hold) = held();
    let path = |path: &str| std::fs::File::open(path).expect("open");
    let directory = path(&format!("/proc/{}", child.0));
    let fd = directory.as_raw_fd();
    assert_eq!(send(fd, 0, 0, 0), Ok(0));
    for other in ["/proc", "/proc/self/task", "/proc/self/fd", "/tmp"] {
        assert_eq!(send(path(other).as_raw_fd(), 0, 0, 0), Err(Errno::EBADF), "{other}");
    }
    assert_eq!(send(fd, libc::SIGKILL, 0, 0), Ok(0));
    assert_eq!(child.wait(), Status::Killed(libc::SIGKILL));
    assert_eq!(send(fd, 0, 0, 0), Err(Errno::ESRCH));
    drop(hold);
}

fn descriptor_errors() {
    let (own, event) = (own(), Fd::eventfd(0, 0));
    assert_eq!(take(own.0, event.0, 1), Err(Errno::EINVAL));
    assert_eq!(take(own.0, 999, 0), Err(Errno::EBADF));
    assert_eq!(take(own.0, -1, 0), Err(Errno::EBADF));
    assert_eq!(take(event.0, event.0, 0), Err(Errno::EBADF));
    assert_eq!(take(999, event.0, 0), Err(Errno::EBADF));
    let (child, hold) = held();
    let fd = open(child.0, 0).expect("pidfd_open");
    drop(hold);
    assert_eq!(child.wait(), Status::Exited(5));
    assert_eq!(take(fd.0, 0, 0), Err(Errno::ESRCH));
}

fn information() {
    let (child, hold) = held();
    let fd = open(child.0, 0).expect("pidfd_open");
    let text = || std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.0)).expect("read");
    let pid = child.0;
    assert!(text().ends_with(&format!("Pid:\t{pid}\nNSpid:\t{pid}\n")), "{}", text());
    drop(hold);
    assert_eq!(child.wait(), Status::Exited(5));
    assert!(text().ends_with("Pid:\t-1\nNSpid:\t-1\n"), "{}", text());
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.0)).expect("readlink");
    assert_eq!(link.to_str(), Some("anon_inode:[pidfd]"));
}

fn other_calls() {
    let fd = own();
    assert_eq!(fd.read(&mut [0; 8]), Err(Errno::EINVAL));
    assert_eq!(fd.write(&[0; 8]), Err(Errno::EINVAL));
    // SAFETY: numbers in, a number out.
    let seek = unsafe { libc::lseek(fd.0, 0, libc::SEEK_SET) };
    assert_eq!(checked(seek), Err(Errno::ESPIPE));
}
