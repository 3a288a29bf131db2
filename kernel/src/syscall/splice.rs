//! splice(2), tee(2), vmsplice(2): bytes between pipes and other files, and between pipes and memory.

use super::Call;
use super::file::Position;
use super::table::{Line, line};
use crate::file::OpenFile;
use crate::mm::user::{Pieces, Sink, Source};
use crate::net::message::{Incoming, Outgoing};
use crate::net::socket::Socket;
use crate::pipe::PipeEnd;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::SPLICE, splice),
    line(nr::TEE, tee),
    line(nr::VMSPLICE, vmsplice),
];

/// What one call moves at most, as read(2).
const COUNT_MAX: usize = i32::MAX as usize & !0xfff;

/// Argument `n` as flags: EINVAL for unknown ones.
fn flags(call: &Call, n: usize) -> Result<u32, Errno> {
    let flags = call.uint(n);
    if flags & !(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

fn splice(call: &mut Call) -> Result<usize, Errno> {
    let (len, flags) = (call.arg(4).min(COUNT_MAX), flags(call, 5)?);
    if len == 0 {
        return Ok(0);
    }
    let (input, out) = (call.file(0)?, call.file(2)?);
    input.check_readable()?;
    out.check_writable()?;
    let (input_at, out_at) = (call.arg(1), call.arg(3));
    let nonblocking = |ends: u32| flags & SPLICE_F_NONBLOCK != 0 || ends & O_NONBLOCK != 0;
    match (input.downcast::<PipeEnd>(), out.downcast::<PipeEnd>()) {
        (Some(_), _) if input_at != 0 => Err(Errno::ESPIPE),
        (_, Some(_)) if out_at != 0 => Err(Errno::ESPIPE),
        (Some(from), Some(to)) => {
            if from.is_same_pipe(to) {
                return Err(Errno::EINVAL);
            }
            let nonblocking = nonblocking(input.flags() | out.flags());
            // Not the reader's bytes before there is room for them.
            let room = to.wait_writable(nonblocking)?;
            from.splice_to(len.min(room), nonblocking, |source| to.put(source))
        }
        (Some(from), None) => to_file(from, &out, out_at, len, nonblocking(input.flags())),
        (None, Some(to)) => from_file(to, &input, input_at, len, nonblocking(out.flags())),
        (None, None) => Err(Errno::EINVAL),
    }
}

/// From a pipe to a file that has a position, or to a socket or terminal.
fn to_file(from: &PipeEnd, out: &OpenFile, at: usize, len: usize, nonblocking: bool) -> Result<usize, Errno> {
    if out.flags() & O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    if out.file.positioned() {
        let mut position = Position::take(out, at)?;
        let done = from.splice_to(len, nonblocking, |source| {
            let count = out.write_at(position.at, source)?;
            position.at += count as u64;
            Ok(count)
        })?;
        position.put_back(out)?;
        return Ok(done);
    }
    if at != 0 {
        return Err(Errno::EINVAL);
    }
    let Some(socket) = out.downcast::<Socket>() else {
        return Err(Errno::EINVAL);
    };
    from.splice_to(len, nonblocking, |source| {
        socket.send(source, &mut Outgoing::default(), nonblocking || out.nonblocking())
    })
}

/// From a file that has a position, or from a socket, to a pipe.
fn from_file(to: &PipeEnd, input: &OpenFile, at: usize, len: usize, nonblocking: bool) -> Result<usize, Errno> {
    if input.file.positioned() {
        let mut position = Position::take(input, at)?;
        let done = to.splice_from(len, nonblocking, |sink, _| {
            let count = input.read_at(position.at, sink)?;
            position.at += count as u64;
            Ok(count)
        })?;
        position.put_back(input)?;
        return Ok(done);
    }
    if at != 0 {
        return Err(Errno::EINVAL);
    }
    let Some(socket) = input.downcast::<Socket>() else {
        return Err(Errno::EINVAL);
    };
    to.splice_from(len, nonblocking, |sink, first| {
        let nonblocking = nonblocking || input.nonblocking() || !first;
        socket.receive(sink, 0, &mut Incoming::default(), nonblocking)
    })
}

fn tee(call: &mut Call) -> Result<usize, Errno> {
    let (len, flags) = (call.arg(2).min(COUNT_MAX), flags(call, 3)?);
    if len == 0 {
        return Ok(0);
    }
    let (input, out) = (call.file(0)?, call.file(1)?);
    input.check_readable()?;
    out.check_writable()?;
    let (Some(from), Some(to)) = (input.downcast::<PipeEnd>(), out.downcast::<PipeEnd>()) else {
        return Err(Errno::EINVAL);
    };
    if from.is_same_pipe(to) {
        return Err(Errno::EINVAL);
    }
    let nonblocking = flags & SPLICE_F_NONBLOCK != 0 || (input.flags() | out.flags()) & O_NONBLOCK != 0;
    from.tee_to(to, len, nonblocking)
}

/// A write or read of several pieces, without waiting where SPLICE_F_NONBLOCK says so.
fn vmsplice(call: &mut Call) -> Result<usize, Errno> {
    let flags = flags(call, 3)?;
    let open = call.file(0)?;
    let pipe = open.downcast::<PipeEnd>().ok_or(Errno::EBADF)?;
    let nonblocking = flags & SPLICE_F_NONBLOCK != 0 || open.nonblocking();
    let (iov, count) = (call.arg(1), call.arg(2));
    if open.check_writable().is_ok() {
        let mut pieces = Pieces::read(iov, count)?;
        let mut from = Source::user_pieces(&mut pieces);
        if from.len() == 0 {
            return Ok(0);
        }
        if nonblocking {
            // Not one byte where there is no room for one.
            pipe.wait_writable(true)?;
        }
        pipe.put_waiting(&mut from, nonblocking)
    } else {
        let mut pieces = Pieces::read(iov, count)?;
        let mut to = Sink::user_pieces(&mut pieces);
        if to.len() == 0 || !pipe.wait_readable(nonblocking)? {
            return Ok(0);
        }
        open.read(&mut to)
    }
}
