//! Options of sockets: setsockopt(2), getsockopt(2).

use super::{socket_file, socket_of};
use crate::mm::user;
use crate::net::inet::interfaces;
use crate::net::options::{OptionValue, Options};
use crate::net::protocol::{Common, Credentials, Memory, Protocol};
use crate::net::{address, filter};
use crate::syscall::Call;
use crate::syscall::time::timeval;
use crate::task::pidfd;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bpf::Program;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::{CAP_NET_ADMIN, CAP_NET_RAW};
use libsyscall::abi::filter::SKF_AD_MAX;
use libsyscall::abi::netlink::IFNAMSIZ;
use libsyscall::abi::socket::*;

/// SO_TIMESTAMPING: stamps of what comes. Those of what is sent would come back as errors, and do not.
const STAMPS: i32 = SOF_TIMESTAMPING_RX_HARDWARE
    | SOF_TIMESTAMPING_RX_SOFTWARE
    | SOF_TIMESTAMPING_SOFTWARE
    | SOF_TIMESTAMPING_RAW_HARDWARE;
/// SO_NETNS_COOKIE of the one network namespace there is.
const NETWORK_COOKIE: u64 = 1;

pub fn setsockopt(call: &mut Call) -> Result<(), Errno> {
    let open = socket_file(call)?;
    let protocol = &*socket_of(&open).0;
    let (level, name) = (call.int(1), call.int(2));
    let value = OptionValue {
        at: call.arg(3),
        len: usize::try_from(call.int(4)).map_err(|_| Errno::EINVAL)?,
    };
    match (level, name) {
        (SOL_SOCKET, SO_BINDTODEVICE) => bind_to_device(call, protocol, device(value)?)?,
        (SOL_SOCKET, _) => set_socket_option(call, protocol, name, value)?,
        _ => protocol.set_option(level, name, value)?,
    }
    Ok(())
}

/// SO_BINDTODEVICE: the number of the interface that has a name, 0 of an empty one. ENODEV.
fn device(value: OptionValue) -> Result<i32, Errno> {
    let mut name = [0; IFNAMSIZ - 1];
    let len = value.len.min(name.len());
    user::read_bytes(value.at, &mut name[..len])?;
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    if name.is_empty() {
        return Ok(0);
    }
    let mut named = interfaces::all().filter(|interface| interface.name.as_bytes() == name);
    Ok(named.next().ok_or(Errno::ENODEV)?.number as i32)
}

/// Binds a socket to an interface, to none by 0: EPERM where it has one and the caller may not take it away, EINVAL.
fn bind_to_device(call: &Call, protocol: &dyn Protocol, number: i32) -> Result<(), Errno> {
    let common = protocol.common();
    if common.bound_interface().is_some() && !call.thread().credentials().has(CAP_NET_RAW) {
        return Err(Errno::EPERM);
    }
    let number = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
    common.interface.store(number, Relaxed);
    Ok(())
}

/// EINVAL and EFAULT of the value come before what there is to say of the name.
fn set_socket_option(call: &Call, protocol: &dyn Protocol, name: i32, value: OptionValue) -> Result<(), Errno> {
    let int = value.int()?;
    let common = protocol.common();
    check_domain(common, name)?;
    let options = &common.options;
    let is_unix = common.domain == AF_UNIX;
    let may = |capability| call.thread().credentials().has(capability);
    match name {
        SO_RCVTIMEO | SO_SNDTIMEO | SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW => {
            let [seconds, microseconds]: [i64; 2] = value.read()?;
            if !(0..1_000_000).contains(&microseconds) {
                return Err(Errno::EDOM);
            }
            let timeout_ns = (seconds.max(0) as u64)
                .saturating_mul(1_000_000_000)
                .saturating_add(microseconds as u64 * 1000);
            let mut options = options.lock();
            match name {
                SO_RCVTIMEO | SO_RCVTIMEO_NEW => options.receive_timeout_ns = timeout_ns,
                _ => options.send_timeout_ns = timeout_ns,
            }
            return Ok(());
        }
        SO_LINGER => {
            let [on, seconds]: [i32; 2] = value.read()?;
            options.lock().linger = (on != 0, seconds);
            return Ok(());
        }
        SO_RCVLOWAT => {
            // None is one, and less than none the most there is.
            let low = match int {
                0 => 1,
                low => usize::try_from(low).unwrap_or(i32::MAX as usize),
            };
            common.receive_low.store(low, Relaxed);
            protocol.option_set(name, low as i32);
            return Ok(());
        }
        SO_PEEK_OFF => {
            common.peek_offset.set(int);
            return Ok(());
        }
        SO_SNDBUFFORCE | SO_RCVBUFFORCE if !may(CAP_NET_ADMIN) => return Err(Errno::EPERM),
        SO_DEBUG if int != 0 && !may(CAP_NET_ADMIN) => return Err(Errno::EACCES),
        SO_PRIORITY if !(0..=6).contains(&int) && !may(CAP_NET_ADMIN) && !may(CAP_NET_RAW) => return Err(Errno::EPERM),
        SO_MARK if !may(CAP_NET_ADMIN) && !may(CAP_NET_RAW) => return Err(Errno::EPERM),
        SO_BINDTOIFINDEX => return bind_to_device(call, protocol, int),
        SO_TIMESTAMPING if int & !STAMPS != 0 => return Err(Errno::EINVAL),
        SO_REUSEPORT if is_unix && int != 0 => return Err(Errno::EOPNOTSUPP),
        SO_ATTACH_FILTER => return attach_filter(protocol, value),
        SO_DETACH_FILTER => {
            let mut attached = common.filter.lock();
            attached.check_unlocked()?;
            let former = attached.program.take().ok_or(Errno::ENOENT)?;
            let result = protocol.set_filter(None);
            drop(attached);
            drop(former);
            return result;
        }
        SO_LOCK_FILTER => {
            let mut attached = common.filter.lock();
            if int == 0 {
                attached.check_unlocked()?;
            }
            attached.locked = int != 0;
            return Ok(());
        }
        _ => {}
    }
    let (name, int) = match name {
        SO_SNDBUFFORCE => (SO_SNDBUF, int.max(0)),
        SO_RCVBUFFORCE => (SO_RCVBUF, int.max(0)),
        _ => (name, int),
    };
    let stored = options.lock().set(name, int)?;
    protocol.option_set(name, stored);
    Ok(())
}

/// SO_ATTACH_FILTER: EINVAL, EFAULT, ENOMEM; EPERM where one is locked, ENOPROTOOPT for a kind of socket without.
fn attach_filter(protocol: &dyn Protocol, value: OptionValue) -> Result<(), Errno> {
    let attached = &protocol.common().filter;
    let (at, count) = filter::place(value)?;
    attached.lock().check_unlocked()?;
    let program = filter::read(at, count)?;
    let mut attached = attached.lock();
    // Once more: another thread may have locked it by now.
    attached.check_unlocked()?;
    protocol.set_filter(Some(program.clone()))?;
    let former = attached.program.replace(program);
    drop(attached);
    drop(former);
    Ok(())
}

/// SO_GET_FILTER, in instructions: how many there are, and they themselves where the program gives room for any. EINVAL.
fn get_filter(call: &Call, program: Option<Arc<Program>>) -> Result<(), Errno> {
    let room = room(call)?;
    let count = program.as_ref().map_or(0, |program| program.instructions().len());
    if let Some(program) = program
        && room > 0
    {
        if room < count {
            return Err(Errno::EINVAL);
        }
        filter::write(&program, call.arg(3))?;
    }
    user::write(call.arg(4), &(count as i32))?;
    Ok(())
}

/// The room a program gives for an option's value: EINVAL.
fn room(call: &Call) -> Result<usize, Errno> {
    usize::try_from(user::read::<i32>(call.arg(4))?).map_err(|_| Errno::EINVAL)
}

/// Writes an option's value, cut to the room the program gives, and its length.
fn write_option(call: &Call, bytes: &[u8]) -> Result<(), Errno> {
    let len = bytes.len().min(room(call)?);
    user::write_bytes(call.arg(3), &bytes[..len])?;
    user::write(call.arg(4), &(len as i32))?;
    Ok(())
}

/// SO_PEERGROUPS: ERANGE where there is too little room, and how much there should be.
fn peer_groups(call: &Call, groups: &[u32]) -> Result<(), Errno> {
    let len = size_of_val(groups);
    if room(call)? < len {
        user::write(call.arg(4), &(len as i32))?;
        return Err(Errno::ERANGE);
    }
    let bytes: Vec<u8> = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
    write_option(call, &bytes)
}

fn ints<const N: usize>(values: [i32; N]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

/// EOPNOTSUPP for an option that sockets of the domain have not: who sends is known where messages come from this machine.
fn check_domain(common: &Common, name: i32) -> Result<(), Errno> {
    let is_there = match name {
        SO_PASSCRED | SO_PASSSEC => matches!(common.domain, AF_UNIX | AF_NETLINK),
        SO_PASSPIDFD | SO_PASSRIGHTS => common.domain == AF_UNIX,
        SO_PEEK_OFF => common.domain != AF_NETLINK,
        _ => true,
    };
    if is_there { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// SO_MEMINFO: what lies to be received, and how much may; the same of what was sent; memory kept for more, what is sent and
/// not yet acknowledged, options, what waits for the socket's lock, and messages lost.
fn memory(options: &Options, memory: Memory) -> Vec<u8> {
    let limit = |name| options.get(name).unwrap_or(0);
    let (received, sent) = (memory.received as i32, memory.sent as i32);
    let lost = memory.lost as i32;
    ints([received, limit(SO_RCVBUF), sent, limit(SO_SNDBUF), 0, 0, 0, 0, lost])
}

pub fn getsockopt(call: &mut Call) -> Result<(), Errno> {
    let open = socket_file(call)?;
    let protocol = &socket_of(&open).0;
    let common = protocol.common();
    let (level, name) = (call.int(1), call.int(2));
    if level != SOL_SOCKET {
        let bytes = protocol.option(level, name)?;
        // A small number of IPv4's fits into less room than an int.
        if let (IPPROTO_IP, 1..4, &[low, 0, 0, 0]) = (level, room(call)?, bytes.as_slice()) {
            return write_option(call, &[low]);
        }
        return write_option(call, &bytes);
    }
    check_domain(common, name)?;
    let options = *common.options.lock();
    let bytes = match name {
        SO_ERROR => ints([protocol.take_error().map_or(0, |error| error.number() as i32)]),
        SO_TYPE => ints([common.kind as i32]),
        SO_DOMAIN => ints([common.domain.into()]),
        SO_PROTOCOL => ints([common.protocol]),
        SO_ACCEPTCONN => ints([protocol.is_listening().into()]),
        SO_COOKIE if room(call)? < size_of::<u64>() => return Err(Errno::EINVAL),
        SO_COOKIE => common.ino.to_ne_bytes().to_vec(),
        SO_NETNS_COOKIE if room(call)? != size_of::<u64>() => return Err(Errno::EINVAL),
        SO_NETNS_COOKIE => NETWORK_COOKIE.to_ne_bytes().to_vec(),
        SO_PEERNAME => {
            let (bytes, len) = address::encode(&protocol.peer_address()?, common.domain);
            if len < room(call)? {
                return Err(Errno::EINVAL);
            }
            bytes[..len].to_vec()
        }
        SO_BINDTOIFINDEX => ints([common.interface.load(Relaxed) as i32]),
        SO_BINDTODEVICE => match common.bound_interface() {
            None => Vec::new(),
            Some(_) if room(call)? < IFNAMSIZ => return Err(Errno::EINVAL),
            Some(number) => {
                let mut named = interfaces::all().filter(|interface| interface.number == number);
                let mut bytes = named.next().ok_or(Errno::ENODEV)?.name.as_bytes().to_vec();
                bytes.push(0);
                bytes
            }
        },
        // The flags, and a clock of the network card's, which there is none of.
        SO_TIMESTAMPING => ints([options.get(name)?, 0]),
        SO_ATTACH_FILTER => {
            let program = common.filter.lock().program.clone();
            return get_filter(call, program);
        }
        SO_LOCK_FILTER => ints([common.filter.lock().locked.into()]),
        SO_BPF_EXTENSIONS => ints([SKF_AD_MAX as i32]),
        SO_MEMINFO => memory(&options, protocol.memory()),
        SO_PEERCRED => ints(match protocol.peer().map(|peer| peer.credentials) {
            Some(Credentials { pid, uid, gid }) => [pid, uid as i32, gid as i32],
            None => [0, -1, -1],
        }),
        SO_PEERGROUPS => return peer_groups(call, &protocol.peer().ok_or(Errno::ENODATA)?.groups),
        SO_PEERPIDFD if room(call)? < size_of::<i32>() => return Err(Errno::EINVAL),
        SO_PEERPIDFD => {
            let peer = protocol.peer().ok_or(Errno::ENODATA)?;
            let fd = pidfd::open_process(call.thread(), peer.process)?;
            return write_option(call, &fd.to_ne_bytes()).inspect_err(|_| {
                // The program does not know of it.
                drop(call.thread().files().close(fd));
            });
        }
        SO_RCVLOWAT => ints([common.receive_low.load(Relaxed) as i32]),
        SO_SNDLOWAT => ints([1]),
        SO_PEEK_OFF => ints([common.peek_offset.value()]),
        SO_LINGER => ints([options.linger.0.into(), options.linger.1]),
        SO_RCVTIMEO | SO_SNDTIMEO | SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW => {
            let ns = match name {
                SO_RCVTIMEO | SO_RCVTIMEO_NEW => options.receive_timeout_ns,
                _ => options.send_timeout_ns,
            };
            timeval(ns).iter().flat_map(|word| word.to_ne_bytes()).collect()
        }
        _ => ints([options.get(name)?]),
    };
    write_option(call, &bytes)
}
