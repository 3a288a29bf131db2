//! Who sent what comes over AF_UNIX sockets, and who is at their other end: process descriptors, and refused descriptors.

use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLHUP as HUP, EPOLLIN as IN};
use std::process::ExitCode;
use userspace_tests::option::{get, set};
use userspace_tests::socket::{abstract_name, room_for};
use userspace_tests::{Fd, Status, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        a_process_comes_with_bytes,
        no_room_for_a_process,
        no_descriptor_for_a_process,
        beside_credentials_and_descriptors,
        senders_that_are_gone,
        bytes_of_two_processes,
        asked_by_the_sender,
        asked_before_it_is_accepted,
        processes_are_not_sent,
        credentials_of_nobody,
        a_name_to_be_answered_by,
        peer_that_is_gone,
        descriptors_refused,
        of_one_family_only,
    ])
}

const KINDS: [i32; 3] = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET];
const SOL_SOCKET: i32 = libc::SOL_SOCKET;
const SO_PASSPIDFD: i32 = 76;
const SO_PEERPIDFD: i32 = 77;
const SO_PASSRIGHTS: i32 = 83;
const SCM_PIDFD: u64 = 4;
/// Room for one message with a number.
const ROOM: usize = 24;

/// What /proc says of a process descriptor: the process, or -1.
fn pid_of(process: &Fd) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.0)).expect("fdinfo");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Pid:\t"))
        .expect("Pid");
    line.parse().expect("a number")
}

fn own_pid() -> i32 {
    std::process::id() as i32
}

/// A pair whose second end asks for processes.
fn asking_pair(kind: i32) -> (Fd, Fd) {
    let (sender, receiver) = Fd::unix_pair(kind);
    receiver.set_option(SO_PASSPIDFD, 5).expect("SO_PASSPIDFD");
    (sender, receiver)
}

/// The process that comes with the next bytes.
fn process_with(receiver: &Fd, bytes: &[u8]) -> Option<Result<Fd, Errno>> {
    let mut buffer = [0; 16];
    let received = receiver.receive_message(&mut buffer, ROOM, 0).expect("recvmsg");
    assert_eq!(
        (&buffer[..received.len], received.flags),
        (bytes, received.flags & libc::MSG_CMSG_CLOEXEC)
    );
    received.process
}

fn a_process_comes_with_bytes() {
    for kind in KINDS {
        let (sender, receiver) = Fd::unix_pair(kind);
        assert_eq!(receiver.option(SO_PASSPIDFD), Ok(0));
        sender.send(b"before", 0).expect("send");
        receiver.set_option(SO_PASSPIDFD, 5).expect("SO_PASSPIDFD");
        assert_eq!(receiver.option(SO_PASSPIDFD), Ok(1));
        // Sent before anyone asked.
        assert!(process_with(&receiver, b"before").is_none());
        for _ in 0..2 {
            sender.send(b"after", 0).expect("send");
        }
        for flags in [libc::MSG_PEEK, 0] {
            let mut buffer = [0; 5];
            let received = receiver.receive_message(&mut buffer, ROOM, flags).expect("recvmsg");
            let process = received.process.expect("a process").expect("a descriptor");
            assert_eq!(pid_of(&process), own_pid());
            // SAFETY: no memory is involved.
            assert_eq!(unsafe { libc::fcntl(process.0, libc::F_GETFD) }, libc::FD_CLOEXEC);
        }
    }
}

fn no_room_for_a_process() {
    for kind in KINDS {
        let (sender, receiver) = asking_pair(kind);
        for room in [0, 16, 19, 20] {
            sender.send(b"x", 0).expect("send");
            let received = receiver.receive_message(&mut [0], room, 0).expect("recvmsg");
            let fits = room == 20;
            assert_eq!(received.flags & libc::MSG_CTRUNC != 0, !fits, "{room} bytes");
        }
        // Who does not look is not told.
        sender.send(b"x", 0).expect("send");
        assert_eq!(receiver.receive(&mut [0], 0), Ok(1));
    }
}

fn no_descriptor_for_a_process() {
    for kind in KINDS {
        let (sender, receiver) = asking_pair(kind);
        sender.send(b"full", 0).expect("send");
        let status = child(|| {
            // SAFETY: a limit is read by the kernel.
            unsafe {
                libc::setrlimit(
                    libc::RLIMIT_NOFILE,
                    &libc::rlimit {
                        rlim_cur: 3,
                        rlim_max: 3,
                    },
                )
            };
            let process = process_with(&receiver, b"full").expect("a number");
            i32::from(process.err() != Some(Errno::EMFILE))
        })
        .wait();
        assert_eq!(status, Status::Exited(0));
    }
}

fn beside_credentials_and_descriptors() {
    for kind in KINDS {
        let (sender, receiver) = asking_pair(kind);
        receiver.set_option(libc::SO_PASSCRED, 1).expect("SO_PASSCRED");
        let (reader, _writer) = Fd::pipe();
        sender.send_message(b"all", &[reader.0], None, 0).expect("sendmsg");
        let received = receiver.receive_message(&mut [0; 8], 128, 0).expect("recvmsg");
        assert_eq!(received.credentials.map(|[pid, ..]| pid as i32), Some(own_pid()));
        assert_eq!(received.files.len(), 1);
        assert!(received.process.is_some_and(|process| process.is_ok()));
        // What comes last finds no room.
        sender.send(b"less", 0).expect("send");
        let received = receiver.receive_message(&mut [0; 8], 32, 0).expect("recvmsg");
        assert!(received.credentials.is_some() && received.process.is_none());
        assert_eq!(received.flags & libc::MSG_CTRUNC, libc::MSG_CTRUNC);
    }
}

/// The descriptor is of the process that sent it, which has been waited for.
fn senders_that_are_gone() {
    for kind in KINDS {
        let (sender, receiver) = asking_pair(kind);
        let status = child(|| i32::from(sender.send(b"last", 0) != Ok(4))).wait();
        assert_eq!(status, Status::Exited(0));
        let process = process_with(&receiver, b"last")
            .expect("a process")
            .expect("a descriptor");
        assert_eq!(pid_of(&process), -1);
    }
}

fn bytes_of_two_processes() {
    let (sender, receiver) = asking_pair(libc::SOCK_STREAM);
    let status = child(|| i32::from(sender.send(b"theirs", 0) != Ok(6))).wait();
    assert_eq!(status, Status::Exited(0));
    sender.send(b"own", 0).expect("send");
    process_with(&receiver, b"theirs")
        .expect("a process")
        .expect("a descriptor");
    let own = process_with(&receiver, b"own")
        .expect("a process")
        .expect("a descriptor");
    assert_eq!(pid_of(&own), own_pid());
}

/// A sender that asks who sends says who it is, too.
fn asked_by_the_sender() {
    for kind in KINDS {
        let (receiver, sender) = asking_pair(kind);
        sender.send(b"x", 0).expect("send");
        receiver.set_option(SO_PASSPIDFD, 1).expect("SO_PASSPIDFD");
        assert!(process_with(&receiver, b"x").is_some());
    }
}

/// What comes before accept(2) says who sent it, for nobody knows yet who will ask.
fn asked_before_it_is_accepted() {
    for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
        let name = abstract_name("early");
        let listener = Fd::unix(kind);
        listener.bind(&name).expect("bind");
        listener.listen(2).expect("listen");
        let client = Fd::unix(kind);
        client.connect(&name).expect("connect");
        client.send(b"early", 0).expect("send");
        let server = listener.accept().expect("accept");
        client.send(b"late", 0).expect("send");
        server.set_option(SO_PASSPIDFD, 1).expect("SO_PASSPIDFD");
        let process = process_with(&server, b"early")
            .expect("a process")
            .expect("a descriptor");
        assert_eq!(pid_of(&process), own_pid());
        assert!(process_with(&server, b"late").is_none());
        // One whose listener asks, asks.
        listener.set_option(SO_PASSPIDFD, 1).expect("SO_PASSPIDFD");
        let second = Fd::unix(kind);
        second.connect(&name).expect("connect");
        let server = listener.accept().expect("accept");
        assert_eq!(server.option(SO_PASSPIDFD), Ok(1));
        second.send(b"now", 0).expect("send");
        assert!(process_with(&server, b"now").is_some());
    }
}

/// sendmsg(2) of one control message that holds a number.
fn send_control(sender: &Fd, kind: u64, number: u64) -> Result<(), Errno> {
    let mut byte = 0u8;
    let mut control = [20, libc::SOL_SOCKET as u64 | kind << 32, number];
    let mut vector = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // SAFETY: all zeroes are a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    (header.msg_iov, header.msg_iovlen) = (&mut vector, 1);
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = ROOM as _;
    // SAFETY: the header names the byte and the control data.
    userspace_tests::checked(unsafe { libc::sendmsg(sender.0, &header, 0) }).map(drop)
}

fn processes_are_not_sent() {
    let (sender, _receiver) = asking_pair(libc::SOCK_STREAM);
    assert_eq!(send_control(&sender, SCM_PIDFD, 0), Err(Errno::EINVAL));
}

fn credentials_of_nobody() {
    // SAFETY: no memory is involved.
    let [uid, gid] = unsafe { [libc::getuid(), libc::getgid()] };
    let (sender, _receiver) = Fd::unix_pair(libc::SOCK_STREAM);
    let lie = sender.send_message(b"x", &[], Some([0x7fff_0000, uid, gid]), 0);
    let expected = if uid == 0 { Errno::ESRCH } else { Errno::EPERM };
    assert_eq!(lie, Err(expected));
}

fn a_name_to_be_answered_by() {
    let name = abstract_name("receiver");
    let receiver = Fd::unix(libc::SOCK_DGRAM);
    receiver.bind(&name).expect("bind");
    let sender = Fd::unix(libc::SOCK_DGRAM);
    sender.set_option(SO_PASSPIDFD, 1).expect("SO_PASSPIDFD");
    sender.connect(&name).expect("connect");
    assert_eq!(sender.local_name().map(|name| name.len()), Ok(6));
}

/// SO_PEERPIDFD of a process that has been waited for: one that says so.
fn peer_that_is_gone() {
    for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
        let name = abstract_name("peer");
        let listener = Fd::unix(kind);
        listener.bind(&name).expect("bind");
        listener.listen(1).expect("listen");
        let client = child(|| {
            let socket = Fd::unix(kind);
            i32::from(socket.connect(&name).is_err())
        });
        assert_eq!(client.wait(), Status::Exited(0));
        let server = listener.accept().expect("accept");
        let process = Fd(get(&server, SOL_SOCKET, SO_PEERPIDFD).expect("SO_PEERPIDFD"));
        assert_eq!(pid_of(&process), -1);
        let epoll = Fd::epoll();
        epoll.add(&process, IN);
        assert_eq!(epoll.events(), IN | HUP);
        // SAFETY: no siginfo is given.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.0, 0, std::ptr::null::<u8>(), 0) };
        assert_eq!(userspace_tests::checked(sent), Err(Errno::ESRCH));
    }
}

/// SO_PASSRIGHTS: on at first; without it no descriptors are taken, but what came before is.
fn descriptors_refused() {
    for kind in KINDS {
        let (sender, receiver) = Fd::unix_pair(kind);
        let (reader, _writer) = Fd::pipe();
        let send = || sender.send_message(b"fd", &[reader.0], None, 0);
        assert_eq!(receiver.option(SO_PASSRIGHTS), Ok(1));
        assert_eq!(send(), Ok(2));
        receiver.set_option(SO_PASSRIGHTS, 0).expect("SO_PASSRIGHTS");
        assert_eq!(send(), Err(Errno::EPERM));
        assert_eq!(sender.send(b"no", 0), Ok(2));
        let received = receiver.receive_message(&mut [0; 2], room_for(1), 0).expect("recvmsg");
        assert_eq!(received.files.len(), 1);
    }
}

fn of_one_family_only() {
    for domain in [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::socket(domain, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        let socket = Fd(userspace_tests::checked(fd).expect("socket"));
        for name in [SO_PASSPIDFD, SO_PASSRIGHTS] {
            assert_eq!(get(&socket, SOL_SOCKET, name), Err(Errno::EOPNOTSUPP));
            assert_eq!(set(&socket, SOL_SOCKET, name, 0), Err(Errno::EOPNOTSUPP));
        }
        // The kernel's own messages say who sends them, too.
        let expected = if domain == libc::AF_NETLINK {
            Ok(())
        } else {
            Err(Errno::EOPNOTSUPP)
        };
        assert_eq!(set(&socket, SOL_SOCKET, libc::SO_PASSCRED, 1), expected);
    }
}
