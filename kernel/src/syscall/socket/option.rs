//! Options of sockets: setsockopt(2), getsockopt(2).

use super::{socket_file, socket_of};
use crate::mm::user;
use crate::net::options::OptionValue;
use crate::net::protocol::Credentials;
use crate::syscall::Call;
use crate::syscall::time::timeval;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_NET_ADMIN;
use libsyscall::abi::socket::*;

pub fn setsockopt(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let protocol = &socket_of(&open).0;
    let (level, name) = (call.int(1), call.int(2));
    let value = OptionValue {
        at: call.arg(3),
        len: usize::try_from(call.int(4)).map_err(|_| Errno::EINVAL)?,
    };
    let options = &protocol.common().options;
    match (level, name) {
        (SOL_SOCKET, SO_RCVTIMEO | SO_SNDTIMEO) => {
            let [seconds, microseconds]: [i64; 2] = value.read()?;
            if !(0..1_000_000).contains(&microseconds) {
                return Err(Errno::EDOM);
            }
            let timeout_ns = (seconds.max(0) as u64)
                .saturating_mul(1_000_000_000)
                .saturating_add(microseconds as u64 * 1000);
            let mut options = options.lock();
            match name {
                SO_RCVTIMEO => options.receive_timeout_ns = timeout_ns,
                _ => options.send_timeout_ns = timeout_ns,
            }
        }
        (SOL_SOCKET, SO_LINGER) => {
            let [on, seconds]: [i32; 2] = value.read()?;
            options.lock().linger = (on != 0, seconds);
        }
        (SOL_SOCKET, SO_RCVLOWAT) => {
            // None is one, and less than none the most there is.
            let low = match value.int()? {
                0 => 1,
                low => usize::try_from(low).unwrap_or(i32::MAX as usize),
            };
            protocol.common().receive_low.store(low, Relaxed);
            protocol.option_set(name, low as i32);
        }
        (SOL_SOCKET, SO_SNDBUFFORCE | SO_RCVBUFFORCE) => {
            if !call.thread.process.full_credentials().has(CAP_NET_ADMIN) {
                return Err(Errno::EPERM);
            }
            let name = if name == SO_SNDBUFFORCE { SO_SNDBUF } else { SO_RCVBUF };
            let stored = options.lock().set(name, value.int()?.max(0))?;
            protocol.option_set(name, stored);
        }
        (SOL_SOCKET, SO_REUSEPORT) if protocol.common().domain == AF_UNIX => return Err(Errno::EOPNOTSUPP),
        (SOL_SOCKET, _) => {
            let value = value.int()?;
            let stored = options.lock().set(name, value)?;
            protocol.option_set(name, stored);
        }
        _ => protocol.set_option(level, name, value)?,
    }
    Ok(0)
}

/// Writes an option's value, cut to the room the program gives, and its length.
fn write_option(call: &Call, bytes: &[u8]) -> Result<usize, Errno> {
    let room = usize::try_from(user::read::<i32>(call.arg(4))?).map_err(|_| Errno::EINVAL)?;
    let len = bytes.len().min(room);
    user::write_bytes(call.arg(3), &bytes[..len])?;
    user::write(call.arg(4), &(len as i32))?;
    Ok(0)
}

fn ints<const N: usize>(values: [i32; N]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

pub fn getsockopt(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let protocol = &socket_of(&open).0;
    let common = protocol.common();
    let (level, name) = (call.int(1), call.int(2));
    if level != SOL_SOCKET {
        return write_option(call, &protocol.option(level, name)?);
    }
    let options = *common.options.lock();
    let bytes = match name {
        SO_ERROR => ints([protocol.take_error().map_or(0, |error| error.0 as i32)]),
        SO_TYPE => ints([common.kind as i32]),
        SO_DOMAIN => ints([common.domain.into()]),
        SO_PROTOCOL => ints([common.protocol]),
        SO_ACCEPTCONN => ints([protocol.is_listening().into()]),
        SO_PEERCRED => ints(match protocol.peer_credentials() {
            Some(Credentials { pid, uid, gid }) => [pid, uid as i32, gid as i32],
            None => [0, -1, -1],
        }),
        SO_RCVLOWAT => ints([common.receive_low.load(Relaxed) as i32]),
        SO_SNDLOWAT => ints([1]),
        SO_LINGER => ints([options.linger.0.into(), options.linger.1]),
        SO_RCVTIMEO | SO_SNDTIMEO => {
            let ns = if name == SO_RCVTIMEO {
                options.receive_timeout_ns
            } else {
                options.send_timeout_ns
            };
            timeval(ns).iter().flat_map(|word| word.to_ne_bytes()).collect()
        }
        _ => ints([options.get(name)?]),
    };
    write_option(call, &bytes)
}
