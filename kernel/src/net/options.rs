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

/// What an option that is one int may be.
#[derive(Clone, Copy)]
pub enum Values {
    /// 0, or anything else for 1.
    Switch,
    /// From the first to the last; EINVAL else.
    Range(i32, i32),
    /// The same, and -1 for the value it starts with.
    OrDefault(i32, i32),
    /// The bits of a mask count.
    Bits(i32),
}

use Values::*;

impl Values {
    pub const ANY: Values = Range(i32::MIN, i32::MAX);

    /// What an option is that is set to `value` and was `default` at first: EINVAL.
    pub fn checked(self, value: i32, default: i32) -> Result<i32, Errno> {
        match self {
            Switch => Ok((value != 0) as i32),
            Bits(mask) => Ok(value & mask),
            OrDefault(..) if value == -1 => Ok(default),
            Range(first, last) | OrDefault(first, last) if (first..=last).contains(&value) => Ok(value),
            Range(..) | OrDefault(..) => Err(Errno::EINVAL),
        }
    }
}

/// An option that is one int: its level and name, the value it starts with, and what it may be.
pub type Kept = (i32, i32, i32, Values);

#[rustfmt::skip]
const INTS: &[Kept] = &[
    (SOL_SOCKET, SO_DEBUG, 0, Switch),
    (SOL_SOCKET, SO_REUSEADDR, 0, Switch),
    (SOL_SOCKET, SO_REUSEPORT, 0, Switch),
    (SOL_SOCKET, SO_KEEPALIVE, 0, Switch),
    (SOL_SOCKET, SO_DONTROUTE, 0, Switch),
    (SOL_SOCKET, SO_BROADCAST, 0, Switch),
    (SOL_SOCKET, SO_OOBINLINE, 0, Switch),
    (SOL_SOCKET, SO_NO_CHECK, 0, Switch),
    (SOL_SOCKET, SO_PRIORITY, 0, Values::ANY),
    (SOL_SOCKET, SO_MARK, 0, Values::ANY),
    (SOL_SOCKET, SO_PASSCRED, 0, Switch),
    (SOL_SOCKET, SO_PASSPIDFD, 0, Switch),
    (SOL_SOCKET, SO_PASSRIGHTS, 1, Switch),
    // There is no security module whose labels could be passed.
    (SOL_SOCKET, SO_PASSSEC, 0, Switch),
    (SOL_SOCKET, SO_TIMESTAMP, 0, Switch),
    (SOL_SOCKET, SO_TIMESTAMPNS, 0, Switch),
    (SOL_SOCKET, SO_TIMESTAMPING, 0, Values::ANY),
    (SOL_SOCKET, SO_RXQ_OVFL, 0, Switch),
    // Hints to a device's driver and to what steers packets to CPUs.
    (SOL_SOCKET, SO_BUSY_POLL, 0, Range(0, i32::MAX)),
    (SOL_SOCKET, SO_INCOMING_CPU, -1, Values::ANY),
    (SOL_SOCKET, SO_SNDBUF, BUFFER_DEFAULT as i32, Values::ANY),
    (SOL_SOCKET, SO_RCVBUF, BUFFER_DEFAULT as i32, Values::ANY),
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
            ints: core::array::from_fn(|at| INTS[at].2),
            linger: (false, 0),
            receive_timeout_ns: 0,
            send_timeout_ns: 0,
        }
    }
}

/// Where an option is in a table: ENOPROTOOPT.
pub fn place(table: &[Kept], level: i32, name: i32) -> Result<usize, Errno> {
    let found = table.iter().position(|&(l, n, ..)| (l, n) == (level, name));
    found.ok_or(Errno::ENOPROTOOPT)
}

/// The same for an option that the kernel itself asks for: found when it is compiled.
pub const fn known_place(table: &[Kept], level: i32, name: i32) -> usize {
    let mut at = 0;
    while table[at].0 != level || table[at].1 != name {
        at += 1;
    }
    at
}

impl Options {
    /// What a connection has from its listener in AF_UNIX: that something comes beside the bytes, and nothing else.
    pub fn passed_on(&self) -> Options {
        const PASSED_ON: [usize; 4] = [
            known_place(INTS, SOL_SOCKET, SO_PASSCRED),
            known_place(INTS, SOL_SOCKET, SO_PASSPIDFD),
            known_place(INTS, SOL_SOCKET, SO_PASSRIGHTS),
            known_place(INTS, SOL_SOCKET, SO_PASSSEC),
        ];
        let mut options = Options::default();
        for at in PASSED_ON {
            options.ints[at] = self.ints[at];
        }
        options
    }

    /// ENOPROTOOPT for one that is not there.
    pub fn get(&self, name: i32) -> Result<i32, Errno> {
        Ok(self.ints[place(INTS, SOL_SOCKET, name)?])
    }

    /// The value of an option of the list above.
    pub fn int<const NAME: i32>(&self) -> i32 {
        self.ints[const { known_place(INTS, SOL_SOCKET, NAME) }]
    }

    pub fn is_on<const NAME: i32>(&self) -> bool {
        self.int::<NAME>() != 0
    }

    /// Sets an option as Linux does: buffers doubled and within bounds, one kind of time stamp at a time. The value it has
    /// then: ENOPROTOOPT, EINVAL.
    pub fn set(&mut self, name: i32, value: i32) -> Result<i32, Errno> {
        let at = place(INTS, SOL_SOCKET, name)?;
        let doubled = |minimum: i32| ((value as u32).min(BUFFER_MAX) as i32 * 2).max(minimum);
        let (_, _, default, values) = INTS[at];
        let value = match name {
            SO_SNDBUF => doubled(SEND_BUFFER_MIN),
            SO_RCVBUF => doubled(RECEIVE_BUFFER_MIN),
            _ => values.checked(value, default)?,
        };
        if matches!(name, SO_TIMESTAMP | SO_TIMESTAMPNS) {
            self.ints[const { known_place(INTS, SOL_SOCKET, SO_TIMESTAMP) }] = 0;
            self.ints[const { known_place(INTS, SOL_SOCKET, SO_TIMESTAMPNS) }] = 0;
        }
        self.ints[at] = value;
        Ok(value)
    }
}
