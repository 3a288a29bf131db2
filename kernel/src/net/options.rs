//! Socket options: kept, checked, and given back as they were set.

use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// Options that are one int, by level and name, with the values they start with.
const INTS: &[(i32, i32, i32)] = &[
    (SOL_SOCKET, SO_REUSEADDR, 0),
    (SOL_SOCKET, SO_REUSEPORT, 0),
    (SOL_SOCKET, SO_KEEPALIVE, 0),
    (SOL_SOCKET, SO_BROADCAST, 0),
    (SOL_SOCKET, SO_SNDBUF, super::stream::CAPACITY as i32),
    (SOL_SOCKET, SO_RCVBUF, super::stream::CAPACITY as i32),
    (IPPROTO_IP, IP_TTL, 64),
    (IPPROTO_IP, IP_TOS, 0),
    (IPPROTO_IPV6, IPV6_V6ONLY, 0),
    (IPPROTO_IPV6, IPV6_TCLASS, 0),
    (IPPROTO_TCP, TCP_NODELAY, 0),
    (IPPROTO_TCP, TCP_QUICKACK, 1),
    (IPPROTO_TCP, TCP_KEEPIDLE, 7200),
    (IPPROTO_TCP, TCP_KEEPINTVL, 75),
    (IPPROTO_TCP, TCP_KEEPCNT, 9),
];

/// The largest buffer a program may ask for, net.core.wmem_max, before it is doubled.
const BUFFER_MAX: i32 = 212_992;
/// And the smallest it then gets.
const BUFFER_MIN: i32 = 4608;

#[derive(Clone, Copy)]
pub struct Options {
    ints: [i32; INTS.len()],
    /// SO_LINGER: on, and for how many seconds.
    pub linger: (bool, i32),
    /// SO_RCVTIMEO and SO_SNDTIMEO; 0 is none.
    pub receive_timeout_ns: u64,
    pub send_timeout_ns: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ints: core::array::from_fn(|at| INTS[at].2),
            linger: (false, 0),
            receive_timeout_ns: 0,
            send_timeout_ns: 0,
        }
    }
}

fn place(level: i32, name: i32) -> Result<usize, Errno> {
    INTS.iter()
        .position(|&(l, n, _)| (l, n) == (level, name))
        .ok_or(Errno::ENOPROTOOPT)
}

impl Options {
    /// ENOPROTOOPT for one that is not there.
    pub fn get(&self, level: i32, name: i32) -> Result<i32, Errno> {
        Ok(self.ints[place(level, name)?])
    }

    /// Sets an option as Linux does: switches to 0 or 1, buffers doubled and within bounds, EINVAL past a range.
    pub fn set(&mut self, level: i32, name: i32, value: i32) -> Result<(), Errno> {
        let at = place(level, name)?;
        self.ints[at] = match (level, name) {
            (SOL_SOCKET, SO_SNDBUF | SO_RCVBUF) => (value.clamp(0, BUFFER_MAX) * 2).max(BUFFER_MIN),
            (IPPROTO_IP, IP_TTL) if !(-1..=255).contains(&value) || value == 0 => return Err(Errno::EINVAL),
            (IPPROTO_IP, IP_TTL) if value == -1 => 64,
            (IPPROTO_IP, IP_TOS) | (IPPROTO_IPV6, IPV6_TCLASS) => value & 0xff,
            (IPPROTO_TCP, TCP_KEEPIDLE | TCP_KEEPINTVL | TCP_KEEPCNT) if value < 1 => return Err(Errno::EINVAL),
            (IPPROTO_TCP, TCP_KEEPIDLE | TCP_KEEPINTVL | TCP_KEEPCNT) => value,
            _ => (value != 0) as i32,
        };
        Ok(())
    }
}
