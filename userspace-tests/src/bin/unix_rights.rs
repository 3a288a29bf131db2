//! Descriptors and credentials that go over AF_UNIX sockets.

use libsyscall::abi::Errno;
use libsyscall::abi::event::EPOLLIN as IN;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use userspace_tests::socket::{abstract_name, room_for};
use userspace_tests::{Fd, Status, child, tests};

const STREAM: i32 = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
const DATAGRAM: i32 = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        descriptors_arrive,
        descriptors_stop_a_read,
        descriptors_and_peek,
        descriptors_close_on_exec,
        no_room_for_descriptors,
        table_is_full,
        wrong_descriptors,
        too_many_descriptors,
        dropped_descriptors_are_closed,
        registrations_stay_in_flight,
        sockets_over_themselves,
        sockets_over_each_other,
        deep_nesting,
        in_flight_limit,
        credentials,
        credentials_of_others,
        credentials_of_a_sender,
        peer_credentials,
        control_lengths,
    ])
}

fn watched(sockets: &[&Fd], events: u32) -> Fd {
    let epoll = Fd::epoll();
    for socket in sockets {
        epoll.add(socket, events);
    }
    epoll
}

fn is_cloexec(fd: &Fd) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(fd.0, libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
}

fn descriptors_arrive() {
    for kind in [STREAM, DATAGRAM, libc::SOCK_SEQPACKET] {
        let (left, right) = Fd::unix_pair(kind);
        let (reader, writer) = Fd::pipe();
        assert_eq!(left.send_message(b"take", &[reader.0, writer.0], None, 0), Ok(4));
        drop((reader, writer));
        let mut buffer = [0; 16];
        let received = right.receive_message(&mut buffer, 64, 0).expect("recvmsg");
        assert_eq!((received.len, received.flags & libc::MSG_CTRUNC), (4, 0));
        let [reader, writer] = &received.files[..] else {
            panic!("{received:?}");
        };
        writer.write(b"through").expect("write");
        assert_eq!(reader.read(&mut buffer), Ok(7));
        assert!(!is_cloexec(reader));
    }
}

fn descriptors_stop_a_read() {
    let (left, right) = Fd::unix_pair(STREAM);
    let event = Fd::eventfd(0, 0);
    left.write(b"ab").expect("write");
    left.send_message(b"cd", &[event.0], None, 0).expect("sendmsg");
    left.write(b"ef").expect("write");
    let mut buffer = [0; 16];
    // What came before is read with the first bytes that bring descriptors.
    let received = right.receive_message(&mut buffer, 64, 0).expect("recvmsg");
    assert_eq!((received.len, received.files.len()), (4, 1));
    assert_eq!(right.read(&mut buffer), Ok(2));
    // Descriptors are lost with the first of their bytes.
    left.send_message(b"cd", &[event.0], None, 0).expect("sendmsg");
    assert_eq!(right.read(&mut buffer[..1]), Ok(1));
    let received = right.receive_message(&mut buffer, 64, 0).expect("recvmsg");
    assert_eq!((received.len, received.files.len()), (1, 0));
}

fn descriptors_and_peek() {
    let (left, right) = Fd::unix_pair(STREAM);
    let event = Fd::eventfd(0, 0);
    left.send_message(b"cd", &[event.0], None, 0).expect("sendmsg");
    let mut buffer = [0; 16];
    for flags in [libc::MSG_PEEK, libc::MSG_PEEK, 0] {
        let received = right.receive_message(&mut buffer, 64, flags).expect("recvmsg");
        assert_eq!((received.len, received.files.len()), (2, 1));
        received.files[0].write(&1u64.to_ne_bytes()).expect("write");
    }
    let mut count = [0; 8];
    event.read(&mut count).expect("read");
    assert_eq!(u64::from_ne_bytes(count), 3);
}

fn descriptors_close_on_exec() {
    let (left, right) = Fd::unix_pair(STREAM);
    left.send_message(b"x", &[left.0], None, 0).expect("sendmsg");
    let received = right.receive_message(&mut [0; 8], 64, libc::MSG_CMSG_CLOEXEC);
    let received = received.expect("recvmsg");
    assert!(is_cloexec(&received.files[0]));
    assert_eq!(received.flags, libc::MSG_CMSG_CLOEXEC);
}

fn no_room_for_descriptors() {
    let (left, right) = Fd::unix_pair(DATAGRAM);
    let (reader, writer) = Fd::pipe();
    let send = || {
        left.send_message(b"x", &[writer.0, writer.0, writer.0], None, 0)
            .expect("sendmsg")
    };
    for (room, files) in [(0, 0), (16, 0), (20, 1), (room_for(2), 2), (28, 3)] {
        send();
        let received = right.receive_message(&mut [0; 8], room, 0).expect("recvmsg");
        assert_eq!(received.files.len(), files, "{room}");
        assert_eq!(received.flags & libc::MSG_CTRUNC != 0, files < 3, "{room}");
    }
    // Also a plain read drops them.
    send();
    right.read(&mut [0; 8]).expect("read");
    drop(writer);
    assert_eq!(reader.read(&mut [0; 8]), Ok(0));
}

fn table_is_full() {
    let (left, right) = Fd::unix_pair(DATAGRAM);
    let received = child(|| {
        let limit = libc::rlimit {
            rlim_cur: 3 + right.0.max(left.0) as u64,
            rlim_max: 1024,
        };
        left.send_message(b"x", &[left.0; 6], None, 0).expect("sendmsg");
        // SAFETY: the kernel reads the limit.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        let received = right.receive_message(&mut [0; 8], 64, 0).expect("recvmsg");
        let cut = received.flags & libc::MSG_CTRUNC != 0;
        i32::from(received.files.len() >= 6 || received.files.len() < 2 || !cut)
    });
    assert_eq!(received.wait(), Status::Exited(0));
}

fn wrong_descriptors() {
    let (left, right) = Fd::unix_pair(STREAM);
    assert_eq!(left.send_message(b"x", &[left.0, 999], None, 0), Err(Errno::EBADF));
    assert_eq!(left.send_message(b"x", &[-1], None, 0), Err(Errno::EBADF));
    assert_eq!(right.read(&mut [0; 8]), Err(Errno::EAGAIN));
}

fn too_many_descriptors() {
    let (left, right) = Fd::unix_pair(STREAM);
    assert_eq!(left.send_message(b"x", &[0; 254], None, 0), Err(Errno::EINVAL));
    assert_eq!(left.send_message(b"x", &[left.0; 253], None, 0), Ok(1));
    let received = right.receive_message(&mut [0; 8], room_for(253), 0).expect("recvmsg");
    assert_eq!(received.files.len(), 253);
}

fn dropped_descriptors_are_closed() {
    let (reader, writer) = Fd::pipe();
    for kind in [STREAM, DATAGRAM] {
        let (left, right) = Fd::unix_pair(kind);
        left.send_message(b"x", &[writer.0], None, 0).expect("sendmsg");
        drop((left, right));
    }
    drop(writer);
    assert_eq!(reader.read(&mut [0; 8]), Ok(0));
}

/// Semantics 105.
fn registrations_stay_in_flight() {
    let (left, right) = Fd::unix_pair(STREAM);
    let (reader, writer) = Fd::pipe();
    let epoll = watched(&[&reader], IN);
    left.send_message(b"x", &[reader.0], None, 0).expect("sendmsg");
    drop(reader);
    writer.write(b"x").expect("write");
    assert_eq!(epoll.events(), IN);
    drop((left, right));
    assert_eq!(epoll.events(), 0);
}

/// Whether the pipe's writing end is gone by and by: what nobody can reach is collected when sockets are closed.
fn is_collected(reader: &Fd) -> bool {
    for _ in 0..100 {
        drop(Fd::unix_pair(STREAM));
        if reader.read(&mut [0; 8]) == Ok(0) {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

fn sockets_over_themselves() {
    for kind in [STREAM, DATAGRAM] {
        let (left, right) = Fd::unix_pair(kind);
        let (reader, writer) = Fd::pipe();
        // Each is in its own queue, and so is the pipe.
        left.send_message(b"x", &[right.0, writer.0], None, 0).expect("sendmsg");
        right.send_message(b"x", &[left.0], None, 0).expect("sendmsg");
        drop((left, right, writer));
        assert!(is_collected(&reader));
    }
}

fn sockets_over_each_other() {
    let (one, two) = (Fd::unix_pair(STREAM), Fd::unix_pair(STREAM));
    let (reader, writer) = Fd::pipe();
    one.0
        .send_message(b"x", &[two.1.0, writer.0], None, 0)
        .expect("sendmsg");
    two.0.send_message(b"x", &[one.1.0], None, 0).expect("sendmsg");
    drop(writer);
    // As long as one of them can be reached, so can all.
    let kept = one.1.dup();
    drop((one, two));
    assert!(!{
        drop(Fd::unix_pair(STREAM));
        reader.read(&mut [0; 8]) == Ok(0)
    });
    let received = kept.receive_message(&mut [0; 8], 64, 0).expect("recvmsg");
    assert_eq!(received.files.len(), 2);
    drop((received, kept));
    assert!(is_collected(&reader));
}

fn deep_nesting() {
    let (reader, writer) = Fd::pipe();
    let mut inner = writer;
    for _ in 0..5000 {
        let (left, right) = Fd::unix_pair(STREAM);
        left.send_message(b"x", &[inner.0], None, 0).expect("sendmsg");
        inner = right;
    }
    assert_eq!(reader.read(&mut [0; 8]), Err(Errno::EAGAIN));
    drop(inner);
    assert!(is_collected(&reader));
}

fn in_flight_limit() {
    // SAFETY: no memory is involved.
    if unsafe { libc::getuid() } != 0 {
        userspace_tests::harness::ignore("only root can become nobody");
    }
    let refused = child(|| {
        let limit = libc::rlimit {
            rlim_cur: 64,
            rlim_max: 64,
        };
        // SAFETY: the kernel reads the limit.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        // SAFETY: no memory is involved.
        unsafe { libc::setresuid(65534, 65534, 65534) };
        let (left, _right) = Fd::unix_pair(DATAGRAM);
        let sent = (0..100).take_while(|_| left.send_message(b"x", &[left.0; 8], None, 0).is_ok());
        let sent = sent.count();
        let error = left.send_message(b"x", &[left.0; 8], None, 0);
        i32::from(sent != 9 || error != Err(Errno::ETOOMANYREFS))
    });
    assert_eq!(refused.wait(), Status::Exited(0));
}

fn own_credentials() -> [u32; 3] {
    // SAFETY: no memory is involved.
    unsafe { [libc::getpid() as u32, libc::getuid(), libc::getgid()] }
}

fn credentials() {
    for kind in [STREAM, DATAGRAM] {
        let (left, right) = Fd::unix_pair(kind);
        let mut buffer = [0; 8];
        left.write(b"a").expect("write");
        let receive = |buffer: &mut [u8]| right.receive_message(buffer, 64, 0).expect("recvmsg");
        assert_eq!(receive(&mut buffer).credentials, None);
        left.write(b"before").expect("write");
        right.set_option(libc::SO_PASSCRED, 1).expect("SO_PASSCRED");
        assert_eq!(right.option(libc::SO_PASSCRED), Ok(1));
        // Sent before anyone asked.
        assert_eq!(receive(&mut buffer).credentials, Some([0, 65534, 65534]));
        left.write(b"b").expect("write");
        assert_eq!(receive(&mut buffer).credentials, Some(own_credentials()));
        left.write(b"c").expect("write");
        let received = right.receive_message(&mut buffer, 0, 0).expect("recvmsg");
        assert_eq!((received.credentials, received.flags), (None, libc::MSG_CTRUNC));
    }
}

fn credentials_of_others() {
    let (left, right) = Fd::unix_pair(STREAM);
    right.set_option(libc::SO_PASSCRED, 1).expect("SO_PASSCRED");
    let [pid, uid, gid] = own_credentials();
    assert_eq!(left.send_message(b"x", &[], Some([pid, uid, gid]), 0), Ok(1));
    let sender = child(|| i32::from(left.write(b"y") != Ok(1)));
    let sender_pid = sender.0 as u32;
    assert_eq!(sender.wait(), Status::Exited(0));
    // Bytes of two senders come one after the other.
    let mut buffer = [0; 8];
    let received = right.receive_message(&mut buffer, 64, 0).expect("recvmsg");
    assert_eq!((received.len, received.credentials), (1, Some([pid, uid, gid])));
    let received = right.receive_message(&mut buffer, 64, 0).expect("recvmsg");
    assert_eq!((received.len, received.credentials), (1, Some([sender_pid, uid, gid])));
    if uid == 0 {
        let liar = child(|| {
            // SAFETY: no memory is involved.
            unsafe { libc::setresuid(65534, 65534, 65534) };
            let lie = left.send_message(b"x", &[], Some([1, 65534, gid]), 0);
            i32::from(lie != Err(Errno::EPERM))
        });
        assert_eq!(liar.wait(), Status::Exited(0));
    }
}

/// A socket that wants credentials gets a name to be answered by.
fn credentials_of_a_sender() {
    let name = abstract_name("receiver");
    let receiver = Fd::unix(DATAGRAM);
    receiver.bind(&name).expect("bind");
    let sender = Fd::unix(DATAGRAM);
    sender.set_option(libc::SO_PASSCRED, 1).expect("SO_PASSCRED");
    assert_eq!(sender.send_to(b"x", 0, &name), Ok(1));
    let from = receiver.receive_message(&mut [0; 8], 64, 0).expect("recvmsg").from;
    assert_eq!((from.len(), Ok(from)), (6, sender.local_name()));
}

fn peer_credentials() {
    let of = |socket: &Fd| {
        let mut values = [0u32; 3];
        let mut len = 12;
        let at = (&raw mut values).cast();
        // SAFETY: the kernel writes three numbers.
        let result = unsafe { libc::getsockopt(socket.0, libc::SOL_SOCKET, libc::SO_PEERCRED, at, &mut len) };
        assert_eq!((result, len), (0, 12));
        values
    };
    let own = own_credentials();
    assert_eq!(of(&Fd::unix(STREAM)), [0, u32::MAX, u32::MAX]);
    let (left, _right) = Fd::unix_pair(STREAM);
    assert_eq!(of(&left), own);
    let (left, _right) = Fd::unix_pair(DATAGRAM);
    assert_eq!(of(&left), own);
    let name = abstract_name("listener");
    let listener = Fd::unix(libc::SOCK_STREAM);
    listener.bind(&name).expect("bind");
    listener.listen(4).expect("listen");
    let client = child(|| {
        let client = Fd::unix(libc::SOCK_STREAM);
        client.connect(&name).expect("connect");
        i32::from(of(&client) != own)
    });
    let server = listener.accept().expect("accept");
    assert_eq!(of(&server), [client.0 as u32, own[1], own[2]]);
    assert_eq!(client.wait(), Status::Exited(0));
}

fn control_lengths() {
    let (left, _right) = Fd::unix_pair(STREAM);
    let send = |control: &mut [u64], len: usize| {
        let mut byte = 0u8;
        let mut vector = libc::iovec {
            iov_base: (&raw mut byte).cast(),
            iov_len: 1,
        };
        // SAFETY: all zeroes are a valid msghdr.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = len as _;
        // SAFETY: the header names the byte and the control data.
        userspace_tests::checked(unsafe { libc::sendmsg(left.0, &header, 0) }).map(drop)
    };
    let rights = libc::SOL_SOCKET as u64 | (libc::SCM_RIGHTS as u64) << 32;
    assert_eq!(send(&mut [20, rights, 0], 24), Ok(()));
    // Shorter than its header, longer than the data, and a length that is no header's is none.
    assert_eq!(send(&mut [8, rights, 0], 24), Err(Errno::EINVAL));
    assert_eq!(send(&mut [40, rights, 0], 24), Err(Errno::EINVAL));
    assert_eq!(send(&mut [u64::MAX, rights, 0], 24), Err(Errno::EINVAL));
    assert_eq!(send(&mut [20, rights, 0], 15), Ok(()));
    assert_eq!(send(&mut [0], 1 << 30), Err(Errno::ENOBUFS));
    // Another kind of this level is unknown, another level is not ours.
    assert_eq!(
        send(&mut [20, libc::SOL_SOCKET as u64 | 77 << 32, 0], 24),
        Err(Errno::EINVAL)
    );
    assert_eq!(send(&mut [20, 99 | 77 << 32, 0], 24), Ok(()));
}
