//! Options of IPPROTO_IP, IPPROTO_IPV6 and IPPROTO_TCP: kept, checked, and given back as they were set.

use crate::net::options::OptionValue;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// Options that are one int, by level and name, with the values they start with.
const INTS: &[(i32, i32, i32)] = &[
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

#[derive(Clone, Copy)]
pub struct InetOptions {
    ints: [i32; INTS.len()],
}

impl Default for InetOptions {
    fn default() -> InetOptions {
        InetOptions {
            ints: core::array::from_fn(|at| INTS[at].2),
        }
    }
}

fn place(level: i32, name: i32) -> Result<usize, Errno> {
    INTS.iter()
        .position(|&(l, n, _)| (l, n) == (level, name))
        .ok_or(Errno::ENOPROTOOPT)
}

impl InetOptions {
    /// ENOPROTOOPT for one that is not there.
    pub fn get(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        Ok(self.ints[place(level, name)?].to_ne_bytes().to_vec())
    }

    /// Sets an option as Linux does: switches to 0 or 1, EINVAL past a range.
    pub fn set(&mut self, level: i32, name: i32, value: OptionValue) -> Result<(), Errno> {
        let at = place(level, name)?;
        let value = value.int()?;
        self.ints[at] = match (level, name) {
            (IPPROTO_IP, IP_TTL) if !(-1..=255).contains(&value) || value == 0 => return Err(Errno::EINVAL),
            (IPPROTO_IP, IP_TTL) if value == -1 => 64,
            (IPPROTO_IP, IP_TTL) => value,
            (IPPROTO_IP, IP_TOS) | (IPPROTO_IPV6, IPV6_TCLASS) => value & 0xff,
            (IPPROTO_TCP, TCP_KEEPIDLE | TCP_KEEPINTVL | TCP_KEEPCNT) if value < 1 => return Err(Errno::EINVAL),
            (IPPROTO_TCP, TCP_KEEPIDLE | TCP_KEEPINTVL | TCP_KEEPCNT) => value,
            _ => (value != 0) as i32,
        };
        Ok(())
    }
}
