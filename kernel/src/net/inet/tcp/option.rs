//! TCP's options that are no plain numbers, and those of SOL_SOCKET that a connection hears of.

use super::connection::Link;
use super::{State, Stream};
use crate::net::options::OptionValue;
use crate::net::protocol::Common;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// TCP_CONGESTION: the one name there is. A local connection has no network to be careful with.
const CONGESTION: &[u8] = b"cubic";
/// Bytes of a name of TCP_CONGESTION.
const CONGESTION_LEN: usize = 16;
/// The largest segment: what is left of the loopback interface's packets, and what is assumed before there is a connection.
const SEGMENT_LEN: i32 = 32_741;
const SEGMENT_LEN_UNKNOWN: i32 = 536;
/// IP_MTU of the loopback interface.
const MTU: i32 = 65_535;

/// A connection hears of an option of SOL_SOCKET.
pub fn apply(link: &Link, name: i32, value: i32) {
    match name {
        SO_SNDBUF | SO_RCVBUF => link.set_buffer(name == SO_SNDBUF, value as usize),
        SO_RCVLOWAT => link.set_low_water(value as usize),
        SO_OOBINLINE => link.set_inline(value != 0),
        _ => {}
    }
}

/// A new connection hears of what its socket was told before.
pub fn apply_all(link: &Link, common: &Common) {
    let options = *common.options.lock();
    for name in [SO_SNDBUF, SO_RCVBUF, SO_OOBINLINE] {
        if let Ok(value) = options.get(name) {
            apply(link, name, value);
        }
    }
    link.set_low_water(common.receive_low.load(Relaxed));
}

impl Stream {
    pub(super) fn set_tcp_option(&self, level: i32, name: i32, value: OptionValue) -> Result<(), Errno> {
        match (level, name) {
            (IPPROTO_TCP, TCP_CONGESTION) => {
                let mut wanted = [0; CONGESTION_LEN];
                let len = value.len.min(CONGESTION_LEN - 1);
                crate::mm::user::read_bytes(value.at, &mut wanted[..len])?;
                let known = wanted.split(|&byte| byte == 0).next() == Some(CONGESTION);
                known.then_some(()).ok_or(Errno::ENOENT)
            }
            (IPPROTO_IPV6, IPV6_V6ONLY) if self.binding.lock().is_some() => Err(Errno::EINVAL),
            _ => {
                let mut options = self.options.lock();
                options.set(self.common.domain, IPPROTO_TCP, level, name, value)
            }
        }
    }

    pub(super) fn tcp_option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        let connected = matches!(*self.state.lock(), State::Connected { .. });
        match (level, name) {
            (IPPROTO_TCP, TCP_INFO) => Ok(self.info()),
            (IPPROTO_TCP, TCP_CONGESTION) => {
                let mut bytes = CONGESTION.to_vec();
                bytes.resize(CONGESTION_LEN, 0);
                Ok(bytes)
            }
            (IPPROTO_TCP, TCP_MAXSEG) => {
                let len = if connected { SEGMENT_LEN } else { SEGMENT_LEN_UNKNOWN };
                Ok(len.to_ne_bytes().to_vec())
            }
            (IPPROTO_IP, IP_MTU) if connected => Ok(MTU.to_ne_bytes().to_vec()),
            (IPPROTO_IP, IP_MTU) => Err(Errno::ENOTCONN),
            _ => {
                let options = self.options.lock();
                options.get(self.common.domain, IPPROTO_TCP, level, name)
            }
        }
    }

    /// `struct tcp_info` as far as there is something to say: the state, and of a listener its queue.
    fn info(&self) -> Vec<u8> {
        const LEN: usize = 280;
        const ESTABLISHED: u8 = 1;
        const SYN_SENT: u8 = 2;
        const FIN_WAIT: u8 = 5;
        const CLOSE: u8 = 7;
        const CLOSE_WAIT: u8 = 8;
        const LISTEN: u8 = 10;
        const SEGMENT_AT: usize = 16;
        const UNACKNOWLEDGED_AT: usize = 24;
        let mut info = alloc::vec![0; LEN];
        let mut word = |at: usize, value: u32| info[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        let state = match &*self.state.lock() {
            State::Listening(listener) => {
                word(UNACKNOWLEDGED_AT, listener.pending.len() as u32);
                word(UNACKNOWLEDGED_AT + 4, listener.backlog as u32);
                LISTEN
            }
            State::Connecting(_) => SYN_SENT,
            State::Connected { link, .. } => {
                // What is sent, and what is received.
                word(SEGMENT_AT, SEGMENT_LEN as u32);
                word(SEGMENT_AT + 4, SEGMENT_LEN as u32);
                match link.ended() {
                    _ if link.is_over() => CLOSE,
                    (true, _) => CLOSE_WAIT,
                    (_, true) => FIN_WAIT,
                    _ => ESTABLISHED,
                }
            }
            State::Fresh { .. } | State::Failed { .. } | State::Closed => CLOSE,
        };
        info[0] = state;
        info
    }
}
