//! Signal-driven input and output: O_ASYNC, F_SETOWN and F_SETSIG, fcntl(2) "Managing signals".

use libsyscall::abi::Errno;
use std::ffi::c_int;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::ptr;
use userspace_tests::{Fd, Folder, Pty, Status, checked, child, pty, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        the_flag,
        files_that_send_none,
        nobody_is_told,
        the_owner,
        owners_that_are_not,
        the_owner_by_kind,
        the_signal,
        data_in_a_pipe,
        a_chosen_signal,
        a_signal_with_codes_of_its_own,
        room_in_a_pipe,
        a_pipe_that_ends,
        off_again,
        closed,
        held_by_a_child,
        more_than_are_kept,
        one_thread,
        a_group,
        a_stranger,
        a_message_of_a_pair,
        room_in_a_pair,
        a_pair_that_ends,
        a_datagram,
        a_connection,
        an_urgent_byte,
        a_socket_by_ioctl,
        a_terminal,
        a_terminal_whose_owner_was_not_named,
        inotify,
    ])
}

const CHOSEN: c_int = 40;

/// Signals that a test takes for itself: blocked until its end, by when none is left.
struct Signals(libc::sigset_t);

impl Signals {
    fn new() -> Signals {
        // SAFETY: an empty set, filled and blocked.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in [libc::SIGIO, libc::SIGURG, libc::SIGCHLD, CHOSEN] {
                libc::sigaddset(&mut set, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
            let signals = Signals(set);
            while signals.take(0).is_some() {}
            signals
        }
    }

    fn take(&self, seconds: i64) -> Option<Taken> {
        // SAFETY: siginfo_t is plain data, which the kernel fills.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let limit = libc::timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            };
            let signal = libc::sigtimedwait(&self.0, &mut info, &limit);
            (signal > 0).then(|| Taken::new(&info))
        }
    }

    /// The next one, however long it takes.
    fn next(&self) -> Taken {
        self.take(60).expect("a signal")
    }

    /// What has been sent by now.
    fn sent(&self) -> Option<Taken> {
        self.take(0)
    }
}

/// What of a siginfo_t SIGIO and its kind fill.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Taken {
    signal: c_int,
    code: c_int,
    band: i64,
    fd: c_int,
}

impl Taken {
    fn new(info: &libc::siginfo_t) -> Taken {
        // SAFETY: the union starts 16 bytes in; `si_band` is a long and `si_fd` an int.
        let (band, fd) = unsafe {
            let union = ptr::from_ref(info).cast::<u8>().add(16);
            (union.cast::<i64>().read(), union.add(8).cast::<c_int>().read())
        };
        Taken {
            signal: info.si_signo,
            code: info.si_code,
            band,
            fd,
        }
    }
}

/// SIGIO as it comes where no other was chosen.
const PLAIN: Option<Taken> = Some(Taken {
    signal: libc::SIGIO,
    code: libc::SI_KERNEL,
    band: 0,
    fd: 0,
});

const READABLE: i64 = (libc::POLLIN | libc::POLLRDNORM) as i64;
const WRITABLE: i64 = (libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND) as i64;
const POLL_IN: c_int = 1;
const POLL_OUT: c_int = 2;
const POLL_PRI: c_int = 5;
const POLL_HUP: c_int = 6;
const URGENT: i64 = (libc::POLLPRI | libc::POLLRDBAND) as i64;

fn chosen(code: c_int, band: i64, fd: c_int) -> Option<Taken> {
    Some(Taken {
        signal: CHOSEN,
        code,
        band,
        fd,
    })
}

fn control(fd: c_int, command: c_int, argument: c_int) -> Result<c_int, Errno> {
    // SAFETY: the commands used with it take a number.
    checked(unsafe { libc::fcntl(fd, command, argument) })
}

const F_SETSIG: c_int = 10;
const F_GETSIG: c_int = 11;
const F_SETOWN_EX: c_int = 15;
const F_GETOWN_EX: c_int = 16;
const TID: c_int = 0;
const PID: c_int = 1;
const PGRP: c_int = 2;

fn set_owner_ex(fd: c_int, kind: c_int, number: c_int) -> Result<(), Errno> {
    let owner = [kind, number];
    // SAFETY: the structure is two ints.
    checked(unsafe { libc::fcntl(fd, F_SETOWN_EX, owner.as_ptr()) }).map(drop)
}

fn owner_ex(fd: c_int) -> (c_int, c_int) {
    let mut owner = [-1; 2];
    // SAFETY: as above.
    checked(unsafe { libc::fcntl(fd, F_GETOWN_EX, owner.as_mut_ptr()) }).expect("F_GETOWN_EX");
    (owner[0], owner[1])
}

fn flags(fd: c_int) -> c_int {
    control(fd, libc::F_GETFL, 0).expect("F_GETFL")
}

fn set_async(fd: c_int, on: bool) {
    let others = flags(fd) & !libc::O_ASYNC;
    let flags = others | if on { libc::O_ASYNC } else { 0 };
    control(fd, libc::F_SETFL, flags).expect("F_SETFL");
}

fn set_async_by_ioctl(fd: c_int, on: c_int) -> Result<(), Errno> {
    // SAFETY: FIOASYNC takes an int.
    checked(unsafe { libc::ioctl(fd, libc::FIOASYNC as _, &on) }).map(drop)
}

/// This process hears of the descriptor, by SIGIO.
fn watch(fd: c_int) {
    control(fd, libc::F_SETOWN, std::process::id() as c_int).expect("F_SETOWN");
    set_async(fd, true);
}

/// The same by [`CHOSEN`], which says more.
fn watch_closely(fd: c_int) {
    control(fd, F_SETSIG, CHOSEN).expect("F_SETSIG");
    watch(fd);
}

fn the_flag() {
    let (read, _write) = Fd::pipe();
    assert_eq!(flags(read.0) & libc::O_ASYNC, 0);
    set_async(read.0, true);
    assert_ne!(flags(read.0) & libc::O_ASYNC, 0);
    assert_eq!(set_async_by_ioctl(read.0, 0), Ok(()));
    assert_eq!(flags(read.0) & libc::O_ASYNC, 0);
    assert_eq!(set_async_by_ioctl(read.0, 1), Ok(()));
    assert_ne!(flags(read.0) & libc::O_ASYNC, 0);
    assert_ne!(flags(read.dup().0) & libc::O_ASYNC, 0);
    // What else F_SETFL sets is set with it.
    control(read.0, libc::F_SETFL, 0).expect("F_SETFL");
    assert_eq!(flags(read.0) & (libc::O_ASYNC | libc::O_NONBLOCK), 0);
}

fn files_that_send_none() {
    let signals = Signals::new();
    let event = Fd::eventfd(0, 0);
    let file = std::fs::File::open("/proc/self/exe").expect("a file");
    for fd in [event.0, Fd::epoll().0, file.as_raw_fd()] {
        if flags_or_closed(fd).is_none() {
            continue;
        }
        watch(fd);
        assert_eq!(flags(fd) & libc::O_ASYNC, 0);
        assert_eq!(set_async_by_ioctl(fd, 1), Err(Errno::ENOTTY));
        assert_eq!(set_async_by_ioctl(fd, 0), Ok(()));
        assert_eq!(control(fd, libc::F_GETOWN, 0), Ok(std::process::id() as c_int));
    }
    event.write(&1u64.to_ne_bytes()).expect("write");
    assert_eq!(signals.sent(), None);
}

fn flags_or_closed(fd: c_int) -> Option<c_int> {
    control(fd, libc::F_GETFL, 0).ok()
}

fn nobody_is_told() {
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    set_async(read.0, true);
    write.write(b"x").expect("write");
    assert_eq!(signals.sent(), None);
    // An owner without the flag.
    set_async(read.0, false);
    control(read.0, libc::F_SETOWN, std::process::id() as c_int).expect("F_SETOWN");
    write.write(b"x").expect("write");
    assert_eq!(signals.sent(), None);
}

fn the_owner() {
    let (read, _write) = Fd::pipe();
    let own = std::process::id() as c_int;
    assert_eq!(control(read.0, libc::F_GETOWN, 0), Ok(0));
    assert_eq!(control(read.0, libc::F_SETOWN, own), Ok(0));
    assert_eq!(control(read.0, libc::F_GETOWN, 0), Ok(own));
    assert_eq!(control(read.0, libc::F_SETOWN, 0), Ok(0));
    assert_eq!(control(read.0, libc::F_GETOWN, 0), Ok(0));
}

fn owners_that_are_not() {
    let (read, _write) = Fd::pipe();
    assert_eq!(control(read.0, libc::F_SETOWN, 4_000_000), Err(Errno::ESRCH));
    assert_eq!(control(read.0, libc::F_SETOWN, -4_000_000), Err(Errno::ESRCH));
    assert_eq!(control(read.0, libc::F_SETOWN, c_int::MIN), Err(Errno::EINVAL));
    assert_eq!(set_owner_ex(read.0, PGRP + 1, 1), Err(Errno::EINVAL));
    assert_eq!(set_owner_ex(read.0, PID, 4_000_000), Err(Errno::ESRCH));
    // SAFETY: the kernel finds nothing there.
    let nowhere = unsafe { libc::fcntl(read.0, F_SETOWN_EX, 8) };
    assert_eq!(checked(nowhere), Err(Errno::EFAULT));
    assert_eq!(control(read.0, libc::F_GETOWN, 0), Ok(0));
    let path = pty::open("/", libc::O_PATH).expect("open");
    assert_eq!(control(path.0, libc::F_SETOWN, 0), Err(Errno::EBADF));
    assert_eq!(control(path.0, libc::F_GETOWN, 0), Err(Errno::EBADF));
}

fn the_owner_by_kind() {
    let (read, _write) = Fd::pipe();
    // SAFETY: no arguments.
    let (own, group) = unsafe { (libc::getpid(), libc::getpgrp()) };
    assert_eq!(owner_ex(read.0), (TID, 0));
    for (kind, number) in [(TID, own), (PID, own), (PGRP, group)] {
        assert_eq!(set_owner_ex(read.0, kind, number), Ok(()));
        assert_eq!(owner_ex(read.0), (kind, number));
    }
    assert_eq!(control(read.0, libc::F_SETOWN, -group), Ok(0));
    assert_eq!(owner_ex(read.0), (PGRP, group));
}

fn the_signal() {
    let (read, _write) = Fd::pipe();
    assert_eq!(control(read.0, F_GETSIG, 0), Ok(0));
    assert_eq!(control(read.0, F_SETSIG, 64), Ok(0));
    assert_eq!(control(read.0, F_GETSIG, 0), Ok(64));
    assert_eq!(control(read.0, F_SETSIG, 65), Err(Errno::EINVAL));
    assert_eq!(control(read.0, F_SETSIG, -1), Err(Errno::EINVAL));
    assert_eq!(control(read.0, F_SETSIG, 0), Ok(0));
    assert_eq!(control(read.0, F_GETSIG, 0), Ok(0));
}

fn data_in_a_pipe() {
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    watch(read.0);
    assert_eq!(signals.sent(), None);
    write.write(b"x").expect("write");
    assert_eq!(signals.sent(), PLAIN);
    // It is sent again, whether or not anybody reads; as a standard signal it waits once.
    write.write(b"x").expect("write");
    write.write(b"x").expect("write");
    assert_eq!((signals.sent(), signals.sent()), (PLAIN, None));
}

fn a_chosen_signal() {
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    watch_closely(read.0);
    write.write(b"x").expect("write");
    write.write(b"x").expect("write");
    let expected = chosen(POLL_IN, READABLE, read.0);
    assert_eq!(
        (signals.sent(), signals.sent(), signals.sent()),
        (expected, expected, None)
    );
    // SIGIO itself can be chosen for what it then says.
    control(read.0, F_SETSIG, libc::SIGIO).expect("F_SETSIG");
    write.write(b"x").expect("write");
    let taken = signals.sent().expect("a signal");
    assert_eq!((taken.signal, taken.code, taken.fd), (libc::SIGIO, POLL_IN, read.0));
}

fn a_signal_with_codes_of_its_own() {
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    watch(read.0);
    control(read.0, F_SETSIG, libc::SIGCHLD).expect("F_SETSIG");
    write.write(b"x").expect("write");
    let taken = signals.sent().expect("a signal");
    let si_sigio = -5;
    assert_eq!((taken.signal, taken.code, taken.fd), (libc::SIGCHLD, si_sigio, read.0));
}

fn room_in_a_pipe() {
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    write.fill();
    watch_closely(write.0);
    assert_eq!(signals.sent(), None);
    let mut page = [0; 4096];
    read.read(&mut page).expect("read");
    assert_eq!(signals.sent(), chosen(POLL_OUT, WRITABLE, write.0));
}

fn a_pipe_that_ends() {
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    watch_closely(read.0);
    drop(write);
    assert_eq!(signals.sent(), chosen(POLL_IN, READABLE, read.0));
    let (read, write) = Fd::pipe();
    watch_closely(write.0);
    drop(read);
    assert_eq!(signals.sent(), chosen(POLL_OUT, WRITABLE, write.0));
}

fn off_again() {
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    for _ in 0..3 {
        watch(read.0);
        write.write(b"x").expect("write");
        assert_eq!(signals.sent(), PLAIN);
        set_async(read.0, false);
        write.write(b"x").expect("write");
        assert_eq!(signals.sent(), None);
    }
}

fn closed() {
    let signals = Signals::new();
    let (near, far) = Fd::socket_pair();
    watch(near.0);
    drop(near);
    let _ = far.send(b"x", libc::MSG_NOSIGNAL);
    assert_eq!(signals.sent(), None);
}

/// The description goes on as long as somebody has it, and its owner with it.
fn held_by_a_child() {
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    let (release, held) = Fd::blocking_pipe();
    watch_closely(read.0);
    let child = child(|| {
        drop(Fd(held.0));
        assert_eq!(release.read(&mut [0]), Ok(0));
        0
    });
    let number = read.0;
    drop(read);
    write.write(b"x").expect("write");
    assert_eq!(signals.sent(), chosen(POLL_IN, READABLE, number));
    drop(held);
    assert_eq!(child.wait(), Status::Exited(0));
    assert_eq!(signals.next().signal, libc::SIGCHLD);
}

/// Past the limit SIGIO says that some were lost.
fn more_than_are_kept() {
    let status = child(|| {
        let signals = Signals::new();
        let (read, write) = Fd::pipe();
        let limit = libc::rlimit {
            rlim_cur: 2,
            rlim_max: 2,
        };
        // SAFETY: the structure lives on.
        checked(unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &limit) }).expect("setrlimit");
        // SAFETY: numbers only; where there are no rights to lose, there is no limit to run into.
        unsafe { libc::setuid(65534) };
        watch_closely(read.0);
        for _ in 0..10 {
            write.write(b"x").expect("write");
        }
        let mut taken = Vec::new();
        while let Some(signal) = signals.sent() {
            taken.push(signal.signal);
        }
        assert_eq!(taken.iter().filter(|&&signal| signal == libc::SIGIO).count(), 1);
        assert!(taken.len() <= 3, "{taken:?}");
        0
    })
    .wait();
    assert_eq!(status, Status::Exited(0));
}

fn one_thread() {
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    let (ready, go) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: no arguments.
            set_owner_ex(read.0, TID, unsafe { libc::gettid() }).expect("F_SETOWN_EX");
            set_async(read.0, true);
            ready.wait();
            go.wait();
            assert_eq!(signals.sent(), PLAIN);
        });
        ready.wait();
        write.write(b"x").expect("write");
        assert_eq!(signals.sent(), None);
        go.wait();
    });
    // Which has ended.
    write.write(b"x").expect("write");
    assert_eq!(signals.sent(), None);
}

fn a_group() {
    let status = child(|| {
        // SAFETY: a group of its own for this process and its child.
        checked(unsafe { libc::setpgid(0, 0) }).expect("setpgid");
        let signals = Signals::new();
        let (read, write) = Fd::pipe();
        let (ready, told) = Fd::blocking_pipe();
        let second = child(|| {
            told.write(b"x").expect("write");
            assert_eq!(Signals(signals.0).next(), PLAIN.expect("SIGIO"));
            0
        });
        assert_eq!(ready.read(&mut [0]), Ok(1));
        // SAFETY: no arguments.
        let group = unsafe { libc::getpgrp() };
        control(read.0, libc::F_SETOWN, -group).expect("F_SETOWN");
        set_async(read.0, true);
        write.write(b"x").expect("write");
        // The end of the other one may come before it.
        let taken = [signals.next(), signals.next()];
        assert!(taken.contains(&PLAIN.expect("SIGIO")), "{taken:?}");
        assert_eq!(second.wait(), Status::Exited(0));
        0
    })
    .wait();
    assert_eq!(status, Status::Exited(0));
}

/// Who may not signal a process does not by way of a file.
fn a_stranger() {
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } != 0 {
        userspace_tests::harness::ignore("needs root to be another user");
    }
    let signals = Signals::new();
    let (read, write) = Fd::pipe();
    let parent = std::process::id() as c_int;
    let status = child(|| {
        // SAFETY: numbers only.
        checked(unsafe { libc::setuid(65534) }).expect("setuid");
        control(read.0, libc::F_SETOWN, parent).expect("F_SETOWN");
        set_async(read.0, true);
        write.write(b"x").expect("write");
        0
    })
    .wait();
    assert_eq!(status, Status::Exited(0));
    assert_eq!(signals.next().signal, libc::SIGCHLD);
    write.write(b"x").expect("write");
    assert_eq!(signals.sent(), None);
    control(read.0, libc::F_SETOWN, parent).expect("F_SETOWN");
    write.write(b"x").expect("write");
    assert_eq!(signals.sent(), PLAIN);
}

fn a_message_of_a_pair() {
    let signals = Signals::new();
    let (near, far) = Fd::socket_pair();
    watch_closely(near.0);
    far.write(b"x").expect("write");
    assert_eq!(signals.sent(), chosen(POLL_IN, READABLE, near.0));
    // Room that nobody missed is no news.
    near.write(b"x").expect("write");
    far.drain();
    assert_eq!(signals.sent(), None);
}

fn room_in_a_pair() {
    let signals = Signals::new();
    let (near, far) = Fd::socket_pair();
    watch_closely(near.0);
    near.fill();
    far.drain();
    assert_eq!(signals.sent(), chosen(POLL_OUT, WRITABLE, near.0));
}

fn a_pair_that_ends() {
    let signals = Signals::new();
    let (near, far) = Fd::socket_pair();
    watch_closely(near.0);
    drop(far);
    let over = (libc::POLLHUP | libc::POLLERR) as i64;
    assert_eq!(signals.sent(), chosen(POLL_HUP, over, near.0));
}

fn a_datagram() {
    let signals = Signals::new();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    watch_closely(socket.as_raw_fd());
    let to = socket.local_addr().expect("its name");
    UdpSocket::bind("127.0.0.1:0")
        .and_then(|other| other.send_to(b"x", to))
        .expect("send");
    assert_eq!(Some(signals.next()), chosen(POLL_IN, READABLE, socket.as_raw_fd()));
}

fn a_connection() {
    let signals = Signals::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    watch_closely(listener.as_raw_fd());
    let mut near = TcpStream::connect(listener.local_addr().expect("its name")).expect("connect");
    assert_eq!(Some(signals.next()), chosen(POLL_IN, READABLE, listener.as_raw_fd()));
    let (mut far, _) = listener.accept().expect("accept");
    // What is accepted starts without an owner.
    assert_eq!(control(far.as_raw_fd(), libc::F_GETOWN, 0), Ok(0));
    assert_eq!(flags(far.as_raw_fd()) & libc::O_ASYNC, 0);
    watch_closely(near.as_raw_fd());
    far.write_all(b"x").expect("write");
    assert_eq!(Some(signals.next()), chosen(POLL_IN, READABLE, near.as_raw_fd()));
    near.read_exact(&mut [0]).expect("read");
    far.shutdown(Shutdown::Write).expect("shutdown");
    assert_eq!(Some(signals.next()), chosen(POLL_IN, READABLE, near.as_raw_fd()));
}

/// The owner hears of it by SIGURG, O_ASYNC or not; by the signal that was chosen, too, and as of any other byte.
fn an_urgent_byte() {
    let signals = Signals::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let near = TcpStream::connect(listener.local_addr().expect("its name")).expect("connect");
    let (far, _) = listener.accept().expect("accept");
    let send = |flags| {
        // SAFETY: one byte is readable.
        let sent = unsafe { libc::send(far.as_raw_fd(), b"x".as_ptr().cast(), 1, flags) };
        assert_eq!(checked(sent), Ok(1));
    };
    let urgent = Some(Taken {
        signal: libc::SIGURG,
        ..PLAIN.expect("a signal")
    });
    let settle = || std::thread::sleep(std::time::Duration::from_millis(20));
    send(libc::MSG_OOB);
    settle();
    // It had no owner.
    assert_eq!(signals.sent(), None);
    control(near.as_raw_fd(), libc::F_SETOWN, std::process::id() as c_int).expect("F_SETOWN");
    send(0);
    settle();
    assert_eq!(signals.sent(), None);
    send(libc::MSG_OOB);
    assert_eq!(Some(signals.next()), urgent);
    settle();
    assert_eq!(signals.sent(), None);

    set_async(near.as_raw_fd(), true);
    send(libc::MSG_OOB);
    settle();
    let mut two = [signals.next(), signals.next()].map(Some);
    two.sort_by_key(|taken| taken.map(|taken| taken.signal));
    assert_eq!(two, [urgent, PLAIN]);

    control(near.as_raw_fd(), F_SETSIG, CHOSEN).expect("F_SETSIG");
    send(libc::MSG_OOB);
    settle();
    assert_eq!(Some(signals.next()), urgent);
    assert_eq!(Some(signals.next()), chosen(POLL_PRI, URGENT, near.as_raw_fd()));
    assert_eq!(Some(signals.next()), chosen(POLL_IN, READABLE, near.as_raw_fd()));

    set_async(near.as_raw_fd(), false);
    // Linux may say more than once that there are bytes.
    while signals.sent().is_some() {}
    send(libc::MSG_OOB);
    assert_eq!(Some(signals.next()), urgent);
    settle();
    assert_eq!(signals.sent(), None);
}

fn a_socket_by_ioctl() {
    let (near, _far) = Fd::socket_pair();
    let own = std::process::id() as c_int;
    let (fiosetown, siocspgrp, fiogetown, siocgpgrp) = (0x8901, 0x8902, 0x8903, 0x8904);
    let mut number = 0;
    for (set, get) in [(fiosetown, siocgpgrp), (siocspgrp, fiogetown)] {
        // SAFETY: each takes the address of an int.
        unsafe {
            checked(libc::ioctl(near.0, set, &own)).expect("set");
            checked(libc::ioctl(near.0, get, &mut number)).expect("get");
        }
        assert_eq!(number, own);
        control(near.0, libc::F_SETOWN, 0).expect("F_SETOWN");
    }
}

fn a_terminal() {
    let signals = Signals::new();
    let pty = Pty::raw(1, 0);
    watch_closely(pty.slave.0);
    pty.type_in("x");
    assert_eq!(Some(signals.next()), chosen(POLL_IN, READABLE, pty.slave.0));
    set_async(pty.slave.0, false);
    watch_closely(pty.master.0);
    pty.slave.write(b"x").expect("write");
    assert_eq!(Some(signals.next()), chosen(POLL_IN, READABLE, pty.master.0));
}

fn a_terminal_whose_owner_was_not_named() {
    let pty = Pty::raw(1, 0);
    set_async(pty.slave.0, true);
    assert_eq!(owner_ex(pty.slave.0), (PID, std::process::id() as c_int));
}

fn inotify() {
    let signals = Signals::new();
    let folder = Folder::new("sigio");
    let path = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes()).expect("a path");
    // SAFETY: the string lives on.
    let notify = unsafe {
        let fd = checked(libc::inotify_init1(libc::IN_CLOEXEC)).expect("inotify_init1");
        checked(libc::inotify_add_watch(fd, path.as_ptr(), libc::IN_CREATE)).expect("inotify_add_watch");
        Fd(fd)
    };
    watch_closely(notify.0);
    std::fs::write(folder.join("new"), b"").expect("a file");
    assert_eq!(signals.sent(), chosen(POLL_IN, READABLE, notify.0));
}
