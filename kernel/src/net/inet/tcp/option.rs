//! TCP's options that are no plain numbers, and those of SOL_SOCKET that a connection hears of.

use super::connection::Link;
use super::{State, Stream};
use crate::net::inet::options::FIN_TIMEOUT;
use crate::net::inet::route;
use crate::net::options::OptionValue;
use crate::net::protocol::Common;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// TCP_CONGESTION: the one name there is. A local connection has no network to be careful with.
const CONGESTION: &[u8] = b"cubic";
/// The smallest segment that may be asked for.
const SEGMENT_LEN_MIN: i32 = 88;
/// Bytes of a name of TCP_CONGESTION.
const CONGESTION_LEN: usize = 16;
/// The largest segment: what is left of the loopback interface's packets, and what is assumed before there is a connection.
const SEGMENT_LEN: i32 = 32_741;
const SEGMENT_LEN_UNKNOWN: i32 = 536;

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

/// TCP_DEFER_ACCEPT's seconds as Linux keeps them, by the answers that are sent again: after one second, then each time after
/// twice as long, up to two minutes.
fn retransmissions_within(seconds: i32) -> i32 {
    const COUNT_MAX: u32 = 255;
    const LONGEST: i32 = 120;
    let (mut total, mut wait) = (0, 1);
    for _ in 0..COUNT_MAX {
        if total >= seconds {
            break;
        }
        total += wait;
        wait = (wait * 2).min(LONGEST);
    }
    total
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
            (IPPROTO_TCP, TCP_ULP) => {
                // No layer above TCP is in the kernel.
                value.int()?;
                Err(Errno::ENOENT)
            }
            (IPPROTO_TCP, TCP_MAXSEG) if (1..SEGMENT_LEN_MIN).contains(&value.int()?) => Err(Errno::EINVAL),
            (IPPROTO_TCP, TCP_LINGER2) => {
                const LONGEST: i32 = 120;
                let seconds = match value.int()? {
                    ..0 => -1,
                    0 => FIN_TIMEOUT,
                    seconds => seconds.min(LONGEST),
                };
                self.options.lock().set_int::<IPPROTO_TCP, TCP_LINGER2>(seconds);
                Ok(())
            }
            (IPPROTO_TCP, TCP_FASTOPEN) if value.int()? >= 0 && self.is_connected() => Err(Errno::EINVAL),
            (IPPROTO_IPV6, IPV6_V6ONLY) if self.binding.lock().is_some() => Err(Errno::EINVAL),
            (IPPROTO_IP, IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP) => Err(Errno::EPROTO),
            _ => {
                let mut options = self.options.lock();
                options.set(self.common.domain, IPPROTO_TCP, level, name, value)
            }
        }
    }

    pub(super) fn tcp_option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        match (level, name) {
            (IPPROTO_TCP, TCP_INFO) => Ok(self.info()),
            (IPPROTO_TCP, TCP_CONGESTION) => {
                let mut bytes = CONGESTION.to_vec();
                bytes.resize(CONGESTION_LEN, 0);
                Ok(bytes)
            }
            (IPPROTO_TCP, TCP_MAXSEG) => {
                let len = match self.options.lock().int::<IPPROTO_TCP, TCP_MAXSEG>() {
                    _ if self.is_connected() => SEGMENT_LEN,
                    0 => SEGMENT_LEN_UNKNOWN,
                    asked => asked,
                };
                Ok(len.to_ne_bytes().to_vec())
            }
            (IPPROTO_TCP, TCP_DEFER_ACCEPT) => {
                let asked = self.options.lock().int::<IPPROTO_TCP, TCP_DEFER_ACCEPT>();
                Ok(retransmissions_within(asked).to_ne_bytes().to_vec())
            }
            (IPPROTO_TCP, TCP_FASTOPEN) => {
                let asked = self.options.lock().int::<IPPROTO_TCP, TCP_FASTOPEN>();
                Ok(asked.min(SOMAXCONN as i32).to_ne_bytes().to_vec())
            }
            (IPPROTO_TCP, TCP_ULP) => Ok(Vec::new()),
            (IPPROTO_IP, IP_MTU) => self.path_mtu(),
            (IPPROTO_IPV6, IPV6_MTU) if self.common.domain == AF_INET6 => self.path_mtu(),
            _ => {
                let options = self.options.lock();
                options.get(self.common.domain, IPPROTO_TCP, level, name)
            }
        }
    }

    fn is_connected(&self) -> bool {
        matches!(*self.state.lock(), State::Connected { .. })
    }

    /// IP_MTU: ENOTCONN.
    fn path_mtu(&self) -> Result<Vec<u8>, Errno> {
        let peer = self.peer.lock().filter(|_| self.is_connected());
        let mtu = route::mtu(peer.ok_or(Errno::ENOTCONN)?.ip);
        Ok(mtu.to_ne_bytes().to_vec())
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
            State::Fresh { .. } | State::Failed { .. } | State::Closed(_) => CLOSE,
        };
        info[0] = state;
        info
    }
}
