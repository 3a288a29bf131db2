//! SOL_SOCKET's options: kept, checked, and given back as they were set.

use crate::mm::user::{self, Plain};
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// Bytes a socket's buffers hold at first: net.core.wmem_default.
pub const BUFFER_DEFAULT: usize = 212_992;
/// The largest buffer a program may ask for, net.core.wmem_max, before it is doubled.
const BUFFER_MAX: u32 = 212_992;
/// And the smallest it then gets, to send and to receive.
const SEND_BUFFER_MIN: i32 = 4608;
const RECEIVE_BUFFER_MIN: i32 = 2304;

/// An option's value in user memory, as setsockopt(2) has it.
#[derive(Clone, Copy)]
pub struct OptionValue {
    pub at: usize,
    pub len: usize,
}

impl OptionValue {
    /// EINVAL where it is shorter.
    pub fn read<T: Plain>(self) -> Result<T, Errno> {
        if self.len < size_of::<T>() {
            return Err(Errno::EINVAL);
        }
        user::read(self.at)
    }

    pub fn int(self) -> Result<i32, Errno> {
        self.read()
    }
}

/// Options that are one int, with the values they start with.
const INTS: &[(i32, i32)] = &[
    (SO_DEBUG, 0),
    (SO_REUSEADDR, 0),
    (SO_REUSEPORT, 0),
    (SO_KEEPALIVE, 0),
    (SO_DONTROUTE, 0),
    (SO_BROADCAST, 0),
    (SO_OOBINLINE, 0),
    (SO_PRIORITY, 0),
    (SO_MARK, 0),
    (SO_PASSCRED, 0),
    (SO_TIMESTAMP, 0),
    (SO_SNDBUF, BUFFER_DEFAULT as i32),
    (SO_RCVBUF, BUFFER_DEFAULT as i32),
];

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
            ints: core::array::from_fn(|at| INTS[at].1),
            linger: (false, 0),
            receive_timeout_ns: 0,
            send_timeout_ns: 0,
        }
    }
}

fn place(name: i32) -> Result<usize, Errno> {
    INTS.iter().position(|&(n, _)| n == name).ok_or(Errno::ENOPROTOOPT)
}

impl Options {
    /// ENOPROTOOPT for one that is not there.
    pub fn get(&self, name: i32) -> Result<i32, Errno> {
        Ok(self.ints[place(name)?])
    }

    pub fn is_on(&self, name: i32) -> bool {
        self.get(name).is_ok_and(|value| value != 0)
    }

    /// Sets an option as Linux does: switches to 0 or 1, buffers doubled and within bounds. The value it has then.
    pub fn set(&mut self, name: i32, value: i32) -> Result<i32, Errno> {
        let at = place(name)?;
        let doubled = |minimum: i32| ((value as u32).min(BUFFER_MAX) as i32 * 2).max(minimum);
        self.ints[at] = match name {
            SO_SNDBUF => doubled(SEND_BUFFER_MIN),
            SO_RCVBUF => doubled(RECEIVE_BUFFER_MIN),
            SO_PRIORITY | SO_MARK => value,
            _ => (value != 0) as i32,
        };
        Ok(self.ints[at])
    }
}
