//! signalfd(2).

use libsyscall::abi::Errno;
use libsyscall::abi::event::PollFd;
use libsyscall::abi::fcntl::{F_GETFD, F_GETFL, FD_CLOEXEC, O_NONBLOCK, O_RDWR};
use libsyscall::abi::nr;
use libsyscall::calls::{event, file, raw};
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, Status, checked, child, tests};

const EPOLLIN: u32 = libc::EPOLLIN as u32;
const EPOLLET: u32 = libc::EPOLLET as u32;
/// sizeof(struct signalfd_siginfo).
const LEN: usize = 128;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        flags,
        arguments,
        one_signal,
        sizes,
        several_at_once,
        real_time_order,
        payload,
        child_status,
        thread_directed,
        readiness,
        edges,
        other_mask,
        blocking_read,
        inherited,
        registered_by_a_parent,
        kill_is_left_out,
        information,
        other_calls,
        reading_beside_sending,
    ])
}

/// The bit of a signal in a set of the system-call interface.
fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

fn set(signals: &[i32]) -> u64 {
    signals.iter().map(|&signal| bit(signal)).sum()
}

fn create(fd: i32, mask: u64, flags: i32) -> Result<i32, Errno> {
    let arguments = [fd as usize, &raw const mask as usize, 8, flags as usize];
    // SAFETY: the kernel reads one set.
    unsafe { raw(nr::SIGNALFD4, arguments) }.map(|fd| fd as i32)
}

/// Blocks signals for the thread and gives a descriptor to read them from.
fn blocked(signals: &[i32]) -> Fd {
    // SAFETY: the kernel reads one set, which starts with the words that count.
    unsafe {
        let mut mask: libc::sigset_t = mem::zeroed();
        signals
            .iter()
            .for_each(|&signal| assert_eq!(libc::sigaddset(&mut mask, signal), 0));
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &mask, ptr::null_mut()), 0);
    }
    Fd(create(-1, set(signals), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).expect("signalfd4"))
}

type Info = libc::signalfd_siginfo;

fn read(fd: &Fd) -> Result<Info, Errno> {
    let mut bytes = [0xffu8; LEN];
    assert_eq!(fd.read(&mut bytes)?, LEN);
    // SAFETY: made of integers only.
    Ok(unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) })
}

fn send(signal: i32) {
    // SAFETY: the tests block what they send.
    checked(unsafe { libc::kill(libc::getpid(), signal) }).expect("kill");
}

/// sigqueue(3).
fn queue(signal: i32, value: usize) {
    let value = libc::sigval {
        sival_ptr: ptr::without_provenance_mut(value),
    };
    // SAFETY: as above.
    checked(unsafe { libc::sigqueue(libc::getpid(), signal, value) }).expect("sigqueue");
}

/// Semantics 179.
fn flags() {
    assert_eq!(create(-1, 0, -1), Err(Errno::EINVAL));
    assert_eq!(create(-1, 0, 1), Err(Errno::EINVAL));
    let plain = Fd(create(-1, 0, 0).expect("signalfd4"));
    assert_eq!(file::fcntl(plain.0, F_GETFL, 0), Ok(O_RDWR as usize));
    assert_eq!(file::fcntl(plain.0, F_GETFD, 0), Ok(0));
    let both = Fd(create(-1, 0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).expect("signalfd4"));
    assert_eq!(file::fcntl(both.0, F_GETFL, 0), Ok((O_RDWR | O_NONBLOCK) as usize));
    assert_eq!(file::fcntl(both.0, F_GETFD, 0), Ok(FD_CLOEXEC as usize));
}

/// Semantics 179, and the order of what is looked at.
fn arguments() {
    let event = Fd::eventfd(0, 0);
    assert_eq!(create(event.0, 0, 0), Err(Errno::EINVAL));
    assert_eq!(create(999, 0, 0), Err(Errno::EBADF));
    assert_eq!(create(-2, 0, 0), Err(Errno::EBADF));
    // SAFETY: the kernel refuses the address or the size.
    let call = |size, flags: i32| unsafe { raw(nr::SIGNALFD4, [usize::MAX, 8, size, flags as usize]) };
    assert_eq!(call(7, 0), Err(Errno::EINVAL));
    assert_eq!(call(8, -1), Err(Errno::EFAULT));
}

fn one_signal() {
    let fd = blocked(&[libc::SIGUSR1]);
    assert_eq!(read(&fd).err(), Some(Errno::EAGAIN));
    send(libc::SIGUSR1);
    let info = read(&fd).expect("read");
    assert_eq!(info.ssi_signo, libc::SIGUSR1 as u32);
    assert_eq!((info.ssi_errno, info.ssi_code), (0, libc::SI_USER));
    assert_eq!(info.ssi_pid, std::process::id());
    // SAFETY: takes nothing.
    assert_eq!(info.ssi_uid, unsafe { libc::getuid() });
    assert_eq!((info.ssi_int, info.ssi_ptr, info.ssi_fd, info.ssi_tid), (0, 0, 0, 0));
    assert_eq!((info.ssi_band, info.ssi_overrun, info.ssi_status), (0, 0, 0));
    assert_eq!((info.ssi_utime, info.ssi_stime, info.ssi_addr), (0, 0, 0));
    assert_eq!(read(&fd).err(), Some(Errno::EAGAIN));
}

/// Semantics 152.
fn sizes() {
    let fd = blocked(&[libc::SIGUSR1]);
    send(libc::SIGUSR1);
    for size in [0, 1, LEN - 1] {
        assert_eq!(fd.read(&mut vec![0; size]), Err(Errno::EINVAL));
    }
    assert_eq!(fd.read(&mut [0; LEN + 100]), Ok(LEN));
}

/// Standard signals by number, and no more of them than fit.
fn several_at_once() {
    let fd = blocked(&[libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM]);
    [libc::SIGTERM, libc::SIGUSR2, libc::SIGUSR1, libc::SIGUSR2]
        .into_iter()
        .for_each(send);
    let mut bytes = [0u8; 2 * LEN + 5];
    assert_eq!(fd.read(&mut bytes), Ok(2 * LEN));
    assert_eq!([bytes[0], bytes[LEN]], [libc::SIGUSR1 as u8, libc::SIGUSR2 as u8]);
    assert_eq!(fd.read(&mut bytes), Ok(LEN));
    assert_eq!(bytes[0], libc::SIGTERM as u8);
}

/// Semantics 179.
fn real_time_order() {
    let signals = [libc::SIGRTMIN(), libc::SIGRTMIN() + 1];
    let fd = blocked(&signals);
    queue(signals[1], 1);
    queue(signals[0], 2);
    queue(signals[1], 3);
    queue(signals[0], 4);
    let values: Vec<_> = (0..4).map(|_| read(&fd).expect("read").ssi_ptr).collect();
    assert_eq!(values, [2, 4, 1, 3]);
}

/// Semantics 179.
fn payload() {
    let fd = blocked(&[libc::SIGRTMIN(), libc::SIGUSR2]);
    for signal in [libc::SIGRTMIN(), libc::SIGUSR2] {
        queue(signal, 0x1234_5678_9abc_def0);
        let info = read(&fd).expect("read");
        assert_eq!((info.ssi_signo, info.ssi_code), (signal as u32, libc::SI_QUEUE));
        assert_eq!(info.ssi_pid, std::process::id());
        assert_eq!(
            (info.ssi_int, info.ssi_ptr),
            (0x9abc_def0_u32 as i32, 0x1234_5678_9abc_def0)
        );
    }
}

fn child_status() {
    let fd = blocked(&[libc::SIGCHLD]);
    let child = child(|| 23);
    let pid = child.0;
    let epoll = Fd::epoll();
    epoll.add(&fd, EPOLLIN);
    assert_eq!(epoll.wait(-1, 1).expect("epoll_wait").len(), 1);
    let info = read(&fd).expect("read");
    assert_eq!(
        (info.ssi_signo, info.ssi_code),
        (libc::SIGCHLD as u32, libc::CLD_EXITED)
    );
    assert_eq!((info.ssi_pid, info.ssi_status), (pid as u32, 23));
    assert_eq!(child.wait(), Status::Exited(23));
}

/// A signal for one thread is read by that thread only.
fn thread_directed() {
    let fd = blocked(&[libc::SIGUSR1]);
    // SAFETY: the thread has not ended: it is this one.
    assert_eq!(unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) }, 0);
    let number = fd.0;
    let other = thread::spawn(move || file::read(number, &mut [0; LEN]));
    assert_eq!(other.join().expect("thread"), Err(Errno::EAGAIN));
    assert_eq!(read(&fd).expect("read").ssi_code, libc::SI_TKILL);
}

/// Semantics 152.
fn readiness() {
    let (fd, epoll) = (blocked(&[libc::SIGUSR1, libc::SIGUSR2]), Fd::epoll());
    epoll.add(&fd, EPOLLIN | libc::EPOLLOUT as u32);
    assert_eq!(epoll.events(), 0);
    send(libc::SIGUSR1);
    send(libc::SIGUSR2);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, EPOLLIN));
    read(&fd).expect("read");
    assert_eq!(epoll.events(), EPOLLIN);
    read(&fd).expect("read");
    assert_eq!(epoll.events(), 0);
}

/// A standard signal that waits already is no new event; one of another kind is.
fn edges() {
    let (fd, epoll) = (blocked(&[libc::SIGUSR1, libc::SIGRTMIN()]), Fd::epoll());
    epoll.add(&fd, EPOLLIN | EPOLLET);
    send(libc::SIGUSR1);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    send(libc::SIGUSR1);
    assert_eq!(epoll.events(), 0);
    for _ in 0..2 {
        send(libc::SIGRTMIN());
        assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    }
    (0..3).for_each(|_| assert!(read(&fd).is_ok()));
}

/// Semantics 179.
fn other_mask() {
    let (fd, epoll) = (blocked(&[libc::SIGUSR1, libc::SIGUSR2]), Fd::epoll());
    assert_eq!(create(fd.0, bit(libc::SIGUSR2), 0), Ok(fd.0));
    epoll.add(&fd, EPOLLIN | EPOLLET);
    send(libc::SIGUSR1);
    assert_eq!(epoll.events(), 0);
    assert_eq!(read(&fd).err(), Some(Errno::EAGAIN));
    // The new set's signals are there at once, as an edge too.
    assert_eq!(create(fd.0, bit(libc::SIGUSR1), 0), Ok(fd.0));
    assert_eq!(epoll.events(), EPOLLIN);
    assert_eq!(read(&fd).expect("read").ssi_signo, libc::SIGUSR1 as u32);
}

fn blocking_read() {
    let fd = blocked(&[libc::SIGUSR1]);
    file::fcntl(fd.0, libsyscall::abi::fcntl::F_SETFL, 0).expect("F_SETFL");
    let sender = thread::spawn(|| {
        thread::sleep(Duration::from_millis(30));
        send(libc::SIGUSR1);
    });
    assert_eq!(read(&fd).expect("read").ssi_signo, libc::SIGUSR1 as u32);
    sender.join().expect("thread");
}

/// A child reads its own signals from a descriptor that it inherits, and sleeps for them.
fn inherited() {
    let fd = blocked(&[libc::SIGUSR1]);
    file::fcntl(fd.0, libsyscall::abi::fcntl::F_SETFL, 0).expect("F_SETFL");
    let reader = child(|| i32::from(read(&fd).map(|info| info.ssi_signo) != Ok(libc::SIGUSR1 as u32)));
    let poller = child(|| {
        let mut files = [PollFd {
            fd: fd.0,
            events: EPOLLIN as u16,
            revents: 0,
        }];
        let ready = event::ppoll(&mut files, None, None) == Ok(1);
        i32::from(!(ready && read(&fd).is_ok()))
    });
    let waiter = child(|| {
        let epoll = Fd::epoll();
        epoll.add(&fd, EPOLLIN);
        let ready = epoll.wait(-1, 1).is_ok_and(|events| events.len() == 1);
        i32::from(!(ready && read(&fd).is_ok()))
    });
    thread::sleep(Duration::from_millis(50));
    for child in [reader, poller, waiter] {
        child.signal(libc::SIGUSR1);
        assert_eq!(child.wait(), Status::Exited(0));
    }
}

/// An epoll hears of the signals of the process that registered, and reports by those of the one that asks.
fn registered_by_a_parent() {
    let (fd, epoll) = (blocked(&[libc::SIGUSR1]), Fd::epoll());
    epoll.add(&fd, EPOLLIN);
    send(libc::SIGUSR1);
    let child = child(|| i32::from(!epoll.ready().is_empty()));
    assert_eq!(child.wait(), Status::Exited(0));
    // The child's look took the registration off the list, where its signals put it back.
    send(libc::SIGUSR1);
    read(&fd).expect("read");
    send(libc::SIGUSR1);
    assert_eq!(epoll.events(), EPOLLIN);
    read(&fd).expect("read");
}

/// Semantics 152.
fn kill_is_left_out() {
    let fd = Fd(create(-1, set(&[libc::SIGKILL, libc::SIGSTOP, libc::SIGUSR1]), 0).expect("signalfd4"));
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.0)).expect("read");
    assert!(text.ends_with("sigmask:\t0000000000000200\n"), "{text}");
}

fn information() {
    let fd = Fd(create(-1, set(&[1, 64]), 0).expect("signalfd4"));
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.0)).expect("read");
    assert!(text.ends_with("sigmask:\t8000000000000001\n"), "{text}");
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.0)).expect("readlink");
    assert_eq!(link.to_str(), Some("anon_inode:[signalfd]"));
}

fn other_calls() {
    let fd = blocked(&[libc::SIGUSR1]);
    assert_eq!(fd.write(&[0; LEN]), Err(Errno::EINVAL));
    let mut bytes = [0u8; LEN];
    // SAFETY: the kernel writes within the bytes, if at all.
    unsafe {
        let pread = libc::pread(fd.0, bytes.as_mut_ptr().cast(), LEN, 0);
        assert_eq!(checked(pread), Err(Errno::ESPIPE));
        assert_eq!(checked(libc::lseek(fd.0, 0, libc::SEEK_SET)), Ok(0));
    }
}

/// Semantics 85: reading in a loop while another thread sends, both through an epoll.
fn reading_beside_sending() {
    const SIGNALS: u32 = 25_000;
    let (fd, epoll) = (blocked(&[libc::SIGRTMIN()]), Fd::epoll());
    epoll.add(&fd, EPOLLIN | EPOLLET);
    let sender = thread::spawn(|| {
        let value = libc::sigval {
            sival_ptr: ptr::null_mut(),
        };
        let mut sent = 0;
        while sent < SIGNALS {
            // SAFETY: every thread of the process blocks it. A full queue is tried again.
            match checked(unsafe { libc::sigqueue(libc::getpid(), libc::SIGRTMIN(), value) }) {
                Ok(_) => sent += 1,
                Err(Errno::EAGAIN) => thread::yield_now(),
                Err(error) => panic!("sigqueue: {error:?}"),
            }
        }
    });
    let mut received = 0;
    while received < SIGNALS {
        epoll.wait(-1, 1).expect("epoll_wait");
        let mut bytes = [0; 16 * LEN];
        while let Ok(count) = fd.read(&mut bytes) {
            received += (count / LEN) as u32;
        }
    }
    sender.join().expect("thread");
    assert_eq!(received, SIGNALS);
}
