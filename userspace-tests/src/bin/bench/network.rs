//! TCP over the loopback interface.

use crate::ping_pong;
use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use userspace_tests::Fd;
use userspace_tests::bench::{Case, Meter};

pub const CASES: &[Case] = &[
    ("ping_pong_tcp_epoll", tcp_ping_pong),
    ("tcp_connect_accept_close", connect),
];

fn tcp_ping_pong(meter: &mut Meter) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let near = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    let (far, _) = listener.accept().expect("accept");
    for end in [&near, &far] {
        end.set_nodelay(true).expect("TCP_NODELAY");
        end.set_nonblocking(true).expect("FIONBIO");
    }
    ping_pong::stream_epoll(meter, Fd(near.into_raw_fd()), Fd(far.into_raw_fd()));
}

/// A connection made, accepted and closed at both ends.
fn connect(meter: &mut Meter) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    meter.measure(100, || {
        let near = TcpStream::connect(address).expect("connect");
        let far = listener.accept().expect("accept");
        drop((near, far));
    });
}
