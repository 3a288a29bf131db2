//! Options of TCP, and what TCP_INFO says.

use super::sockets::*;
use libsyscall::abi::Errno;
use std::io::{ErrorKind, Read};
use std::os::fd::IntoRawFd;
use std::thread;
use std::time::Duration;
use userspace_tests::Fd;
use userspace_tests::option::{get, set};

pub fn options() {
    let (client, _server) = pair();
    client.set_nodelay(true).expect("TCP_NODELAY");
    assert!(client.nodelay().expect("TCP_NODELAY"));
    client
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("SO_RCVTIMEO");
    assert_eq!(
        (&client).read(&mut [0]).expect_err("EAGAIN").kind(),
        ErrorKind::WouldBlock
    );
    assert!(client.take_error().expect("SO_ERROR").is_none());
}

pub fn option_values() {
    let (client, _server) = descriptors();
    let kept = [
        (libc::TCP_NODELAY, 0, 1),
        (libc::TCP_CORK, 0, 1),
        (libc::TCP_KEEPIDLE, 7200, 60),
        (libc::TCP_KEEPINTVL, 75, 5),
        (libc::TCP_KEEPCNT, 9, 3),
        (libc::TCP_SYNCNT, 6, 2),
        (libc::TCP_USER_TIMEOUT, 0, 3000),
        (libc::TCP_QUICKACK, 1, 0),
    ];
    for (name, at_first, value) in kept {
        assert_eq!(get(&client, libc::SOL_TCP, name), Ok(at_first), "{name}");
        set(&client, libc::SOL_TCP, name, value).expect("setsockopt");
        assert_eq!(get(&client, libc::SOL_TCP, name), Ok(value), "{name}");
    }
    for (name, value) in [
        (libc::TCP_KEEPIDLE, 0),
        (libc::TCP_KEEPIDLE, 32768),
        (libc::TCP_KEEPINTVL, 0),
        (libc::TCP_KEEPCNT, 128),
        (libc::TCP_SYNCNT, 128),
        (libc::TCP_USER_TIMEOUT, -1),
    ] {
        assert_eq!(set(&client, libc::SOL_TCP, name, value), Err(Errno::EINVAL), "{name}");
    }
    assert_eq!(set(&client, libc::SOL_TCP, 999, 1), Err(Errno::ENOPROTOOPT));
    assert_eq!(set(&client, libc::SOL_TCP, libc::TCP_NODELAY, 1u8), Err(Errno::EINVAL));
    assert_eq!(
        set(&client, libc::SOL_TCP, libc::TCP_CONGESTION, *b"no such"),
        Err(Errno::ENOENT)
    );
    set(&client, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 0).expect("SO_RCVLOWAT");
    assert_eq!(get(&client, libc::SOL_SOCKET, libc::SO_RCVLOWAT), Ok(1));
}

/// TCP_INFO says the state.
pub fn information() {
    let state = |socket: &Fd| {
        let (mut info, mut len) = ([0u8; 512], 512);
        // SAFETY: there is room for so many bytes.
        let result = unsafe {
            libc::getsockopt(
                socket.0,
                libc::SOL_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &mut len,
            )
        };
        assert!(result == 0 && len >= 104, "{len}");
        info[0]
    };
    let (client, server) = descriptors();
    assert_eq!((state(&client), state(&fresh())), (1, 7));
    shutdown(&server, libc::SHUT_WR).expect("shutdown");
    thread::sleep(Duration::from_millis(60));
    assert_eq!((state(&client), state(&server)), (8, 5));
    let listener = Fd(listener().0.into_raw_fd());
    assert_eq!(state(&listener), 10);
}
