//! epoll(7): what can be watched and what can't, descriptors that run out, and how long a registration lives.

use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::abi::fcntl::{F_DUPFD, F_GETFD, F_GETFL, F_SETFL, FD_CLOEXEC, O_NONBLOCK, O_RDWR};
use libsyscall::abi::nr;
use libsyscall::calls::event::{self, eventfd_read, eventfd_write};
use libsyscall::calls::{file, raw};
use std::fs::{self, File};
use std::io::Read;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::ptr;
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        calls_of_old,
        no_descriptors_left,
        nameless_inode,
        what_can_be_watched,
        what_can_not,
        standard_output,
        path_descriptors,
        wake_lock_bit,
        chain_closed_to_a_circle,
        walk_inwards,
        poll_of_an_epoll,
        one_descriptor_in_flight,
        socket_with_a_descriptor_destroyed,
        added_by_a_child,
        private_to_a_child,
        inner_and_outer_close,
        edge_of_room_in_an_eventfd,
        edges_of_a_semaphore,
        edges_of_copies,
        states_of_a_socket_pair,
        listener_that_goes,
        closed_by_a_parent,
        eventfd_other_calls,
        eventfd_copies,
        eventfd_and_select,
        information_of_many,
    ])
}

/// Semantics 3, 7: calls that only x86_64 has.
#[cfg(target_arch = "x86_64")]
fn calls_of_old() {
    // SAFETY: numbers in, numbers out; the event and the set are read or written as they lie.
    let call = |number, arguments: [usize; 4]| unsafe { raw(number, arguments) };
    for size in [0, usize::MAX] {
        assert_eq!(call(nr::EPOLL_CREATE, [size, 0, 0, 0]), Err(Errno::EINVAL));
    }
    for size in [1, i32::MAX as usize] {
        let epoll = Fd(call(nr::EPOLL_CREATE, [size, 0, 0, 0]).expect("epoll_create") as i32);
        assert_eq!(file::fcntl(epoll.0, F_GETFD, 0), Ok(0));
        let event = Fd(call(nr::EVENTFD, [3, 0, 0, 0]).expect("eventfd") as i32);
        epoll.add(&event, EPOLLIN);
        let mut events = [EpollEvent::default()];
        let wait = [epoll.0 as usize, events.as_mut_ptr() as usize, 1, 0];
        assert_eq!(call(nr::EPOLL_WAIT, wait), Ok(1));
        let data = events[0].data;
        assert_eq!(data, event.0 as u64);
        assert_eq!(eventfd_read(event.0), Ok(3));
    }
    let mask = 1u64 << 9;
    let create = [usize::MAX, &raw const mask as usize, 8, 0];
    drop(Fd(call(nr::SIGNALFD, create).expect("signalfd") as i32));
}

/// Semantics 4: other machines have none of them, and what takes their place does the same.
#[cfg(not(target_arch = "x86_64"))]
fn calls_of_old() {
    let old = [
        "epoll_create",
        "epoll_wait",
        "eventfd",
        "signalfd",
        "poll",
        "select",
        "pipe",
        "dup2",
        "fork",
    ];
    assert!((0..1000).filter_map(nr::name).all(|name| !old.contains(&name)));
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(3, 0));
    epoll.add(&event, EPOLLIN);
    assert_eq!(epoll.events(), EPOLLIN);
}

/// Semantics 8, 141.
fn no_descriptors_left() {
    let child = child(|| {
        let limit = libc::rlimit {
            rlim_cur: 3,
            rlim_max: 3,
        };
        // SAFETY: the kernel reads one limit.
        checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }).expect("setrlimit");
        assert_eq!(event::epoll_create1(0), Err(Errno::EMFILE));
        assert_eq!(event::eventfd(0, 0), Err(Errno::EMFILE));
        assert_eq!(file::pipe(0), Err(Errno::EMFILE));
        0
    });
    assert_eq!(child.wait(), Status::Exited(0));
}

/// Semantics 12.
fn nameless_inode() {
    let epoll = Fd::epoll();
    // SAFETY: all zero bytes are a stat; the kernel writes one.
    unsafe {
        let mut stat: libc::stat = mem::zeroed();
        checked(libc::fstat(epoll.0, &mut stat)).expect("fstat");
        assert_eq!((stat.st_mode, stat.st_size, stat.st_nlink as u32), (0o600, 0, 1));
    }
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", epoll.0)).expect("no NUL");
    // SAFETY: the kernel reads the path.
    let opened = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) };
    assert_eq!(checked(opened), Err(Errno::ENOTDIR));
}

/// Semantics 25.
fn what_can_be_watched() {
    let epoll = Fd::epoll();
    let (read, write) = Fd::pipe();
    let (left, right) = Fd::socket_pair();
    // SAFETY: numbers in, descriptors out; the set is read.
    let made = unsafe {
        let mut mask: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut mask);
        [
            (
                "AF_INET",
                libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0),
            ),
            ("signalfd", libc::signalfd(-1, &mask, libc::SFD_CLOEXEC)),
            (
                "timerfd",
                libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC),
            ),
            ("pidfd", libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as i32),
        ]
    };
    for (name, fd) in made {
        let fd = Fd(checked(fd).expect(name));
        assert_eq!(epoll.control(EPOLL_CTL_ADD, &fd, EPOLLIN), Ok(()), "{name}");
        assert_eq!(epoll.control(EPOLL_CTL_MOD, &fd, EPOLLET), Ok(()), "{name}");
        assert_eq!(epoll.control(EPOLL_CTL_DEL, &fd, 0), Ok(()), "{name}");
    }
    for fd in [read, write, left, right, Fd::epoll(), Fd::eventfd(0, 0)] {
        assert_eq!(epoll.control(EPOLL_CTL_ADD, &fd, EPOLLIN), Ok(()));
    }
}

/// Semantics 23, 182: a probe by ADD is EPERM.
fn what_can_not() {
    let epoll = Fd::epoll();
    let paths = ["/proc/self/exe", "/proc/self/maps", "/proc", "/dev/null", "/dev/zero"];
    let opened = paths.map(|path| std::fs::File::open(path).expect("open"));
    // SAFETY: the kernel reads the name.
    let memory = Fd(checked(unsafe { libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC) }).expect("memfd_create"));
    for fd in opened.iter().map(AsRawFd::as_raw_fd).chain([memory.0]) {
        for operation in [EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, 77] {
            let result = event::epoll_set(epoll.0, operation, fd, EPOLLIN, 0);
            assert_eq!(result, Err(Errno::EPERM));
        }
        // Before it matters that the other one is no epoll (semantics 20).
        assert_eq!(event::epoll_set(fd, EPOLL_CTL_ADD, fd, EPOLLIN, 0), Err(Errno::EPERM));
    }
}

/// Semantics 24, 48, 157.
fn path_descriptors() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    let reopen = |fd: &Fd| {
        let path = std::ffi::CString::new(format!("/proc/self/fd/{}", fd.0)).expect("no NUL");
        // SAFETY: the kernel reads the path.
        Fd(checked(unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) }).expect("open"))
    };
    let (path_of_epoll, path_of_event) = (reopen(&epoll), reopen(&event));
    assert_eq!(epoll.control(EPOLL_CTL_ADD, &path_of_event, EPOLLIN), Err(Errno::EBADF));
    assert_eq!(path_of_epoll.control(EPOLL_CTL_ADD, &event, EPOLLIN), Err(Errno::EBADF));
    assert_eq!(path_of_epoll.wait(0, 1), Err(Errno::EBADF));
    let mut files = [PollFd {
        fd: path_of_event.0,
        events: EPOLLIN as u16,
        revents: 0,
    }];
    assert_eq!(event::ppoll(&mut files, None, None), Ok(1));
    assert_eq!(u32::from(files[0].revents), EPOLLNVAL);
}

/// Semantics 28.
fn wake_lock_bit() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN | EPOLLWAKEUP);
    assert_eq!(epoll.events(), EPOLLIN);
    epoll.modify(&event, EPOLLIN | EPOLLWAKEUP | EPOLLET);
    assert_eq!(epoll.events(), EPOLLIN);
}

/// Semantics 38.
fn chain_closed_to_a_circle() {
    let (read, _write) = Fd::pipe();
    let epolls: Vec<_> = (0..5).map(|_| Fd::epoll()).collect();
    epolls[0].add(&read, EPOLLIN);
    epolls.windows(2).for_each(|pair| pair[1].add(&pair[0], EPOLLIN));
    epolls[0].delete(&read);
    assert_eq!(epolls[0].control(EPOLL_CTL_ADD, &epolls[4], EPOLLIN), Err(Errno::ELOOP));
    // What is there already is no reason to say so before.
    assert_eq!(
        epolls[1].control(EPOLL_CTL_ADD, &epolls[0], EPOLLIN),
        Err(Errno::EEXIST)
    );
}

/// Semantics 41.
fn walk_inwards() {
    let (read, write) = Fd::pipe();
    let epolls: Vec<_> = (0..5).map(|_| Fd::epoll()).collect();
    epolls[0].add(&read, EPOLLIN);
    epolls.windows(2).for_each(|pair| pair[1].add(&pair[0], EPOLLIN));
    let waiter = {
        let outermost = epolls[4].dup();
        thread::spawn(move || outermost.wait(-1, 4))
    };
    thread::sleep(Duration::from_millis(30));
    write.write(b"x").expect("write");
    assert_eq!(waiter.join().expect("thread"), Ok(vec![(epolls[3].0 as u64, EPOLLIN)]));
    for at in (1..5).rev() {
        assert_eq!(epolls[at].ready(), [(epolls[at - 1].0 as u64, EPOLLIN)]);
    }
    assert_eq!(epolls[0].ready(), [(read.0 as u64, EPOLLIN)]);
    read.drain();
    assert_eq!(epolls[4].ready(), []);
}

/// Semantics 40, 98.
fn poll_of_an_epoll() {
    let revents = |epoll: &Fd| {
        let mut files = [PollFd {
            fd: epoll.0,
            events: 0x3df,
            revents: 0,
        }];
        event::ppoll(&mut files, Some(&mut event::Timespec::default()), None).expect("ppoll");
        u32::from(files[0].revents)
    };
    let (level, edge, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(0, 0));
    level.add(&event, EPOLLIN);
    edge.add(&event, EPOLLIN | EPOLLET);
    assert_eq!((revents(&level), revents(&edge)), (0, 0));
    eventfd_write(event.0, 1).expect("write");
    for _ in 0..2 {
        assert_eq!(revents(&level), EPOLLIN | EPOLLRDNORM);
        assert_eq!(revents(&edge), EPOLLIN | EPOLLRDNORM);
    }
    assert_eq!((level.events(), edge.events()), (EPOLLIN, EPOLLIN));
    assert_eq!((revents(&level), revents(&edge)), (EPOLLIN | EPOLLRDNORM, 0));
}

/// Sends a descriptor through a socket.
fn send_descriptor(through: &Fd, fd: &Fd) {
    // SAFETY: a message of one byte with one control message, as cmsg(3) makes it; all of it lives through the call.
    unsafe {
        let mut byte = [0u8];
        let mut part = libc::iovec {
            iov_base: byte.as_mut_ptr().cast(),
            iov_len: 1,
        };
        let mut control = [0u64; 8];
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let head = libc::CMSG_FIRSTHDR(&message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(4) as _;
        ptr::write_unaligned(libc::CMSG_DATA(head).cast(), fd.0);
        assert_eq!(checked(libc::sendmsg(through.0, &message, 0)), Ok(1));
    }
}

/// Semantics 105: a description that is only in a message keeps its registrations until the message is read and its copy
/// closed.
fn one_descriptor_in_flight() {
    let (epoll, event, (left, right)) = (Fd::epoll(), Fd::eventfd(1, 0), Fd::socket_pair());
    let number = event.0;
    epoll.add(&event, EPOLLIN);
    send_descriptor(&left, &event);
    drop(event);
    assert_eq!(epoll.ready(), [(number as u64, EPOLLIN)]);
    // A plain read throws the descriptor away.
    assert_eq!(right.read(&mut [0]), Ok(1));
    assert_eq!(epoll.ready(), []);
}

/// Semantics 105.
fn socket_with_a_descriptor_destroyed() {
    let (epoll, event, (left, right)) = (Fd::epoll(), Fd::eventfd(1, 0), Fd::socket_pair());
    let number = event.0;
    epoll.add(&event, EPOLLIN);
    send_descriptor(&left, &event);
    drop(event);
    drop(left);
    assert_eq!(epoll.ready(), [(number as u64, EPOLLIN)]);
    drop(right);
    assert_eq!(epoll.ready(), []);
}

/// Semantics 69, 104: what a child adds wakes a parent that waits already.
fn added_by_a_child() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    let waiter = {
        let epoll = epoll.dup();
        thread::spawn(move || epoll.wait(-1, 1))
    };
    thread::sleep(Duration::from_millis(30));
    let child = child(|| {
        epoll.add(&event, EPOLLIN);
        i32::from(eventfd_write(event.0, 1).is_err())
    });
    assert_eq!(child.wait(), Status::Exited(0));
    assert_eq!(waiter.join().expect("thread"), Ok(vec![(event.0 as u64, EPOLLIN)]));
}

/// Semantics 104: its own files go with it.
fn private_to_a_child() {
    let epoll = Fd::epoll();
    let (go_read, go_write) = Fd::blocking_pipe();
    let (told_read, told_write) = Fd::blocking_pipe();
    let child = child(|| {
        let event = Fd::eventfd(1, 0);
        epoll.add(&event, EPOLLIN);
        told_write.write(b"x").expect("write");
        i32::from(go_read.read(&mut [0]) != Ok(1))
    });
    assert_eq!(told_read.read(&mut [0]), Ok(1));
    assert_eq!(epoll.ready().len(), 1);
    go_write.write(b"x").expect("write");
    assert_eq!(child.wait(), Status::Exited(0));
    assert_eq!(epoll.ready(), []);
}

/// Semantics 106.
fn inner_and_outer_close() {
    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(1, 0));
    inner.add(&event, EPOLLIN);
    outer.add(&inner, EPOLLIN);
    let copy = inner.dup();
    drop(inner);
    assert_eq!(outer.ready().len(), 1);
    drop(copy);
    assert_eq!(outer.ready(), []);
    let (outer, inner) = (Fd::epoll(), Fd::epoll());
    outer.add(&inner, EPOLLIN);
    drop(outer);
    inner.add(&event, EPOLLIN);
    assert_eq!(inner.events(), EPOLLIN);
}

/// Semantics 76.
fn edge_of_room_in_an_eventfd() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, EFD_NONBLOCK));
    epoll.add(&event, EPOLLOUT | EPOLLET);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLOUT, 0));
    eventfd_write(event.0, 1).expect("write");
    assert_eq!(epoll.events(), 0);
    eventfd_read(event.0).expect("read");
    assert_eq!((epoll.events(), epoll.events()), (EPOLLOUT, 0));
}

/// Semantics 142.
fn edges_of_a_semaphore() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(7, EFD_SEMAPHORE | EFD_NONBLOCK));
    epoll.add(&event, EPOLLIN | EPOLLET);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    eventfd_read(event.0).expect("read");
    assert_eq!(epoll.events(), 0);
    eventfd_write(event.0, 3).expect("write");
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
}

/// Semantics 80.
fn edges_of_copies() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    let copy = event.dup();
    epoll.add(&event, EPOLLIN | EPOLLET);
    epoll.add(&copy, EPOLLIN | EPOLLET);
    for _ in 0..2 {
        eventfd_write(event.0, 1).expect("write");
        assert_eq!((epoll.ready().len(), epoll.ready().len()), (2, 0));
    }
}

/// Semantics 148.
fn states_of_a_socket_pair() {
    const ALL: u32 = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI;
    let shut = |fd: &Fd, how| {
        // SAFETY: numbers in, a number out.
        checked(unsafe { libc::shutdown(fd.0, how) }).expect("shutdown");
    };
    let watched = || {
        let (own, peer) = Fd::socket_pair();
        let epolls = [&own, &peer].map(|fd| {
            let epoll = Fd::epoll();
            epoll.add(fd, ALL);
            epoll
        });
        (own, peer, epolls)
    };
    let events = |epolls: &[Fd; 2]| (epolls[0].events(), epolls[1].events());

    let (own, peer, epolls) = watched();
    assert_eq!(events(&epolls), (EPOLLOUT, EPOLLOUT));
    peer.write(b"x").expect("write");
    assert_eq!(events(&epolls), (EPOLLIN | EPOLLOUT, EPOLLOUT));
    own.drain();
    shut(&peer, libc::SHUT_WR);
    assert_eq!(events(&epolls), (EPOLLIN | EPOLLOUT | EPOLLRDHUP, EPOLLOUT));
    shut(&own, libc::SHUT_WR);
    let ended = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP;
    assert_eq!(events(&epolls), (ended, ended));

    let (own, _peer, epolls) = watched();
    shut(&own, libc::SHUT_RD);
    assert_eq!(events(&epolls), (EPOLLIN | EPOLLOUT | EPOLLRDHUP, EPOLLOUT));

    let (own, _peer, epolls) = watched();
    shut(&own, libc::SHUT_RDWR);
    assert_eq!(events(&epolls), (ended, ended));

    let (own, peer, epolls) = watched();
    own.write(b"never read").expect("write");
    drop(peer);
    assert_eq!(epolls[0].events(), ended | EPOLLERR);
    assert_eq!(own.read(&mut [0]), Err(Errno::ECONNRESET));
    assert_eq!(epolls[0].events(), ended);

    // SAFETY: numbers in, a descriptor out.
    let lonely = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    let (lonely, epoll) = (Fd(checked(lonely).expect("socket")), Fd::epoll());
    epoll.add(&lonely, ALL);
    assert_eq!(epoll.events(), EPOLLOUT | EPOLLHUP);
}

/// Semantics 150: a connection that nobody has accepted goes with its listener.
fn listener_that_goes() {
    // SAFETY: all zero bytes are an address; the kernel reads and writes what is on this stack.
    unsafe {
        let socket =
            || Fd(checked(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)).expect("socket"));
        let (listener, client, epoll) = (socket(), socket(), Fd::epoll());
        let mut address: libc::sockaddr_un = mem::zeroed();
        address.sun_family = libc::AF_UNIX as _;
        let mut len = mem::size_of::<libc::sa_family_t>() as libc::socklen_t;
        // A name of the kernel's choice.
        checked(libc::bind(listener.0, (&raw const address).cast(), len)).expect("bind");
        checked(libc::listen(listener.0, 4)).expect("listen");
        len = mem::size_of_val(&address) as libc::socklen_t;
        checked(libc::getsockname(listener.0, (&raw mut address).cast(), &mut len)).expect("getsockname");
        checked(libc::connect(client.0, (&raw const address).cast(), len)).expect("connect");
        epoll.add(&client, EPOLLIN);
        assert_eq!(epoll.events(), 0);
        drop(listener);
        assert_ne!(epoll.events() & (EPOLLERR | EPOLLHUP), 0);
        let mut error = 0i32;
        len = 4;
        let result = libc::getsockopt(
            client.0,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &mut len,
        );
        checked(result).expect("getsockopt");
        assert_eq!(error, Errno::ECONNRESET.number() as i32);
    }
}

/// Semantics 147.
fn closed_by_a_parent() {
    let (read, write) = Fd::blocking_pipe();
    let number = write.0;
    let child = child(|| {
        let _ = file::close(number);
        let epoll = Fd::epoll();
        epoll.add(&read, EPOLLIN);
        i32::from(epoll.wait(-1, 1) != Ok(vec![(read.0 as u64, EPOLLHUP)]))
    });
    thread::sleep(Duration::from_millis(50));
    drop(write);
    assert_eq!(child.wait(), Status::Exited(0));
}

/// Semantics 126, 137, 138, 140.
fn eventfd_other_calls() {
    let event = Fd::eventfd(1, EFD_NONBLOCK);
    assert_eq!(event.write(&[0; 9]), Err(Errno::EINVAL));
    assert_eq!(event.write(&[0; 16]), Err(Errno::EINVAL));
    let mut word = 0u64;
    let (read, write) = Fd::pipe();
    write.write(&[0; 8]).expect("write");
    // SAFETY: the kernel writes within the word, if at all, and maps nothing.
    unsafe {
        assert_eq!(checked(libc::lseek(event.0, 0, libc::SEEK_SET)), Ok(0));
        let address = libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, event.0, 0);
        assert_eq!(checked(address as isize as i64), Err(Errno::ENODEV));
        assert_eq!(checked(libc::ftruncate(event.0, 0)), Err(Errno::EINVAL));
        assert_eq!(
            checked(libc::ioctl(event.0, libc::FIONREAD, &mut word)),
            Err(Errno::ENOTTY)
        );
        let path = std::ffi::CString::new(format!("/proc/self/fd/{}", event.0)).expect("no NUL");
        let opened = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY);
        assert_eq!(checked(opened), Err(Errno::ENOTDIR));
        let to = libc::splice(read.0, ptr::null_mut(), event.0, ptr::null_mut(), 8, 0);
        assert_eq!(checked(to), Err(Errno::EINVAL));
        // FIONBIO toggles what F_SETFL does (semantics 117).
        let mut off = 0i32;
        assert_eq!(checked(libc::ioctl(event.0, libc::FIONBIO, &mut off)), Ok(0));
    }
    assert_eq!(file::fcntl(event.0, F_GETFL, 0), Ok(2));
    assert_eq!(eventfd_read(event.0), Ok(1));
}

/// Semantics 143.
fn eventfd_copies() {
    let event = Fd::eventfd(0, 0);
    let flag = |fd: &Fd| file::fcntl(fd.0, F_GETFD, 0).expect("F_GETFD") as u32;
    assert_eq!(flag(&event), FD_CLOEXEC);
    let plain = Fd(file::fcntl(event.0, F_DUPFD, 0).expect("F_DUPFD") as i32);
    assert_eq!((flag(&event.dup()), flag(&plain)), (0, 0));
    // SAFETY: numbers in, a descriptor out.
    let closing = unsafe { libc::fcntl(event.0, libc::F_DUPFD_CLOEXEC, 0) };
    assert_eq!(flag(&Fd(checked(closing).expect("F_DUPFD_CLOEXEC"))), FD_CLOEXEC);
    // Whether it blocks is the description's.
    file::fcntl(plain.0, F_SETFL, O_NONBLOCK as usize).expect("F_SETFL");
    assert_eq!(file::fcntl(event.0, F_GETFL, 0), Ok((O_RDWR | O_NONBLOCK) as usize));
    assert_eq!(eventfd_read(event.0), Err(Errno::EAGAIN));
}

/// Standard output can be watched wherever it leads, but for a file; there is always room here.
fn standard_output() {
    let epoll = Fd::epoll();
    // SAFETY: all zeroes are a status, which the call writes.
    let is_file = unsafe {
        let mut stat: libc::stat = mem::zeroed();
        assert_eq!(libc::fstat(1, &mut stat), 0);
        stat.st_mode & libc::S_IFMT == libc::S_IFREG
    };
    let event = EpollEvent {
        events: EPOLLIN | EPOLLOUT,
        data: 7,
    };
    let added = event::epoll_ctl(epoll.0, EPOLL_CTL_ADD, 1, Some(&event));
    if is_file {
        return assert_eq!(added, Err(Errno::EPERM));
    }
    assert_eq!(added, Ok(()));
    assert_eq!(epoll.wait(0, 2), Ok(vec![(7, EPOLLOUT)]));
}

/// Semantics 132.
fn eventfd_and_select() {
    let event = Fd::eventfd(0, EFD_NONBLOCK);
    let select = || {
        let mut sets = [[1u64 << event.0; 1]; 3];
        let now = event::Timespec::default();
        let [read, write, except] = sets.each_mut().map(|set| set.as_mut_ptr() as usize);
        // SAFETY: the kernel writes the three words and reads the time.
        let count = unsafe { raw(nr::PSELECT6, [64, read, write, except, &raw const now as usize, 0]) };
        (count, sets.map(|set| set[0] != 0))
    };
    assert_eq!(select(), (Ok(1), [false, true, false]));
    eventfd_write(event.0, 1).expect("write");
    assert_eq!(select(), (Ok(2), [true, true, false]));
    eventfd_write(event.0, u64::MAX - 2).expect("write");
    assert_eq!(select(), (Ok(1), [true, false, false]));
    eventfd_read(event.0).expect("read");
    assert_eq!(select(), (Ok(1), [false, true, false]));
}

/// fdinfo of many registrations, read in small pieces, is what it is read at once; and a reader may go back.
fn information_of_many() {
    const COUNT: usize = 400;
    let epoll = Fd::epoll();
    let event = Fd::eventfd(0, 0);
    let copies: Vec<Fd> = (0..COUNT).map(|_| event.dup()).collect();
    for copy in &copies {
        epoll.add(copy, EPOLLIN);
    }
    let path = format!("/proc/self/fdinfo/{}", epoll.0);
    let whole = fs::read_to_string(&path).expect("fdinfo");
    assert_eq!(whole.lines().filter(|line| line.starts_with("tfd:")).count(), COUNT);
    let mut pieces = Vec::new();
    let mut file = File::open(&path).expect("open");
    let mut buffer = [0; 333];
    loop {
        match file.read(&mut buffer).expect("read") {
            0 => break,
            count => pieces.extend_from_slice(&buffer[..count]),
        }
    }
    assert!(pieces == whole.as_bytes(), "in pieces it is another text");
    for at in [whole.len() / 2, 10, whole.len() - 5, 0, whole.len()] {
        let count = file.read_at(&mut buffer, at as u64).expect("pread");
        assert!(count > 0 || at == whole.len());
        assert_eq!(&buffer[..count], &whole.as_bytes()[at..at + count], "at {at}");
    }
}
