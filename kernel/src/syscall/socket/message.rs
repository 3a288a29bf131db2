//! Messages: send(2), recv(2) and their kind.

use super::{address_for, control, socket_file, socket_of};
use crate::file::OpenFile;
use crate::mm::user::{self, Pieces, Sink, Source};
use crate::net::address;
use crate::net::message::{Incoming, Outgoing};
use crate::syscall::Call;
use crate::syscall::time::{read_timespec, write_timespec};
use crate::time;
use core::mem::offset_of;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// UIO_MAXIOV: pieces of a message, and messages of one call.
const VECTOR_MAX: usize = 1024;

pub fn sendto(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    let mut from = Source::user(call.arg(1), call.arg(2))?;
    let mut message = Outgoing {
        flags: call.uint(3),
        ..Outgoing::default()
    };
    if call.arg(4) != 0 {
        let domain = socket.0.common().domain;
        message.to = Some(address_for(domain, call.arg(4), call.uint(5) as usize)?);
    }
    socket.send(&mut from, &mut message, open.nonblocking())
}

/// Where nobody says who sent it, the length of the address is 0.
pub fn recvfrom(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    let mut to = Sink::user(call.arg(1), call.arg(2))?;
    let mut message = Incoming {
        wants_from: call.arg(4) != 0,
        ..Incoming::default()
    };
    let count = socket.receive(&mut to, call.uint(3), &mut message, open.nonblocking())?;
    if call.arg(4) != 0 {
        match &message.from {
            Some(from) => address::write(from, socket.0.common().domain, call.arg(4), call.arg(5))?,
            None => user::write(call.arg(5), &0i32)?,
        }
    }
    Ok(count)
}

/// Reads a msghdr: EMSGSIZE for too many pieces, EINVAL for a negative length of the name.
fn read_header(at: usize) -> Result<MessageHeader, Errno> {
    let header: MessageHeader = user::read(at)?;
    if header.name != 0 && (header.name_len as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    if header.iov_len as usize > VECTOR_MAX {
        return Err(Errno::EMSGSIZE);
    }
    Ok(header)
}

/// One message of sendmsg(2).
fn send_one(call: &Call, open: &OpenFile, at: usize, flags: u32) -> Result<usize, Errno> {
    let socket = socket_of(open);
    let header = read_header(at)?;
    let mut pieces = Pieces::read(header.iov as usize, header.iov_len as usize)?;
    let mut from = Source::user_pieces(&mut pieces);
    let mut message = Outgoing {
        flags,
        ..Outgoing::default()
    };
    let domain = socket.0.common().domain;
    if header.name != 0 && header.name_len != 0 {
        message.to = Some(address_for(domain, header.name as usize, header.name_len as usize)?);
    }
    control::read(call, domain, &header, &mut message)?;
    socket.send(&mut from, &mut message, open.nonblocking())
}

/// One message of recvmsg(2): the header's lengths and flags say what came.
fn receive_one(call: &Call, open: &OpenFile, at: usize, flags: u32) -> Result<usize, Errno> {
    let socket = socket_of(open);
    let header = read_header(at)?;
    let mut pieces = Pieces::read(header.iov as usize, header.iov_len as usize)?;
    let mut to = Sink::user_pieces(&mut pieces);
    let mut message = Incoming {
        wants_from: header.name != 0,
        ..Incoming::default()
    };
    let count = socket.receive(&mut to, flags, &mut message, open.nonblocking())?;
    if header.name != 0 {
        let len_at = at + offset_of!(MessageHeader, name_len);
        match &message.from {
            Some(from) => address::write(from, socket.0.common().domain, header.name as usize, len_at)?,
            None => user::write(len_at, &0u32)?,
        }
    }
    let mut told = message.flags | flags & MSG_CMSG_CLOEXEC;
    let control_len = control::write(call, &header, message, flags & MSG_CMSG_CLOEXEC != 0, &mut told)?;
    user::write(at + offset_of!(MessageHeader, control_len), &(control_len as u64))?;
    user::write(at + offset_of!(MessageHeader, flags), &told)?;
    Ok(count)
}

pub fn sendmsg(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    send_one(call, &open, call.arg(1), call.uint(2))
}

pub fn recvmsg(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    receive_one(call, &open, call.arg(1), call.uint(2))
}

/// Repeats `step` for each of up to `count` headers at `at`, and writes what it gives into them. How many, or the error of
/// the first; an error after that is for the next call.
fn for_each(
    at: usize,
    count: usize,
    mut step: impl FnMut(usize, usize) -> Result<Option<usize>, Errno>,
) -> Result<usize, Errno> {
    for index in 0..count {
        let header = at + index * size_of::<NumberedMessageHeader>();
        let result = step(index, header).and_then(|len| match len {
            Some(len) => user::write(header + offset_of!(NumberedMessageHeader, len), &(len as u32)).map(|()| true),
            None => Ok(false),
        });
        match result {
            Ok(true) => {}
            Ok(false) => return Ok(index),
            Err(_) if index > 0 => return Ok(index),
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

pub fn sendmmsg(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let (count, flags) = (call.uint(2) as usize, call.uint(3));
    for_each(call.arg(1), count.min(VECTOR_MAX), |_, header| {
        send_one(call, &open, header, flags).map(Some)
    })
}

/// The time limit is looked at after each message, as on Linux: it does not end the wait for one.
pub fn recvmmsg(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let (count, flags) = (call.uint(2) as usize, call.uint(3));
    let timeout_at = call.arg(4);
    let deadline_ns = match timeout_at {
        0 => None,
        at => Some(time::now_ns().saturating_add(read_timespec(at)?)),
    };
    let is_late = || deadline_ns.is_some_and(|deadline_ns| time::now_ns() >= deadline_ns);
    let done = for_each(call.arg(1), count.min(VECTOR_MAX), |index, header| {
        if index > 0 && is_late() {
            return Ok(None);
        }
        let once_there = index > 0 && flags & MSG_WAITFORONE != 0;
        let flags = flags & !MSG_WAITFORONE | if once_there { MSG_DONTWAIT } else { 0 };
        receive_one(call, &open, header, flags).map(Some)
    })?;
    if let Some(deadline_ns) = deadline_ns {
        write_timespec(timeout_at, deadline_ns.saturating_sub(time::now_ns()))?;
    }
    Ok(done)
}
