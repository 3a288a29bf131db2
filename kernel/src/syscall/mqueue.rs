//! POSIX message queues, mq_overview(7).

use super::Call;
use super::descriptor::install;
use super::table::{Line, line};
use super::time::read_timespec;
use crate::file::OpenFile;
use crate::file::open_file::PIECE;
use crate::mm::frame;
use crate::mm::user::{self, Sink, Source};
use crate::mqueue::{self, Message, Queue, QueueFile, Request};
use crate::net::netlink::Promise;
use crate::task::in_steps;
use alloc::sync::Arc;
use alloc::vec::Vec;
use libsyscall::abi::fcntl::{O_DIRECT, O_NONBLOCK};
use libsyscall::abi::mqueue::*;
use libsyscall::abi::signal::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::MQ_OPEN, mq_open),
    line(nr::MQ_UNLINK, mq_unlink),
    line(nr::MQ_TIMEDSEND, mq_timedsend),
    line(nr::MQ_TIMEDRECEIVE, mq_timedreceive),
    line(nr::MQ_NOTIFY, mq_notify),
    line(nr::MQ_GETSETATTR, mq_getsetattr),
];

/// A queue's name: ENOENT for an empty one, before it is looked at.
fn read_name(address: usize) -> Result<Vec<u8>, Errno> {
    let name = user::read_path(address)?;
    if name.is_empty() { Err(Errno::ENOENT) } else { Ok(name) }
}

/// mq_open(3). Closed by execve(2), whatever the flags say.
fn mq_open(call: &mut Call) -> Result<usize, Errno> {
    let (flags, mode) = (call.uint(1), call.uint(2));
    let size = match call.arg(3) {
        0 => None,
        address => {
            let wanted: MqAttr = user::read(address)?;
            Some((wanted.mq_maxmsg, wanted.mq_msgsize))
        }
    };
    let name = read_name(call.arg(0))?;
    let thread = call.thread();
    thread.files().check_room(thread.process.file_limit())?;
    let open = mqueue::open(&name, flags, mode, size)?;
    if flags & O_DIRECT != 0 {
        return Err(Errno::EINVAL);
    }
    install(call, open, true)
}

fn mq_unlink(call: &mut Call) -> Result<(), Errno> {
    mqueue::unlink(&read_name(call.arg(0))?)
}

/// The queue behind descriptor argument 0: EBADF.
fn queue(call: &Call) -> Result<(Arc<OpenFile>, Arc<Queue>), Errno> {
    let open = call.file(0)?;
    let queue = open.downcast::<QueueFile>().ok_or(Errno::EBADF)?.queue.clone();
    Ok((open, queue))
}

/// When argument 4 wants a wait to end, a time of CLOCK_REALTIME in nanoseconds: EFAULT, EINVAL.
fn until_ns(call: &Call) -> Result<Option<u64>, Errno> {
    match call.arg(4) {
        0 => Ok(None),
        address => read_timespec(address).map(Some),
    }
}

fn mq_timedsend(call: &mut Call) -> Result<(), Errno> {
    let (len, priority) = (call.arg(2), call.uint(3));
    let until_ns = until_ns(call)?;
    if priority >= MQ_PRIO_MAX {
        return Err(Errno::EINVAL);
    }
    let (open, queue) = queue(call)?;
    open.check_writable()?;
    if len > queue.size.message {
        return Err(Errno::EMSGSIZE);
    }
    let bytes = read_message(call.arg(1), len)?;
    queue.send(Message { priority, bytes }, open.nonblocking(), until_ns)
}

/// EFAULT where less than all was copied.
fn whole(copied: usize, count: usize) -> Result<usize, Errno> {
    if copied == count { Ok(count) } else { Err(Errno::EFAULT) }
}

/// EFAULT, ENOMEM.
fn read_message(address: usize, len: usize) -> Result<Vec<u8>, Errno> {
    frame::admit()?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(len, 0);
    let mut from = Source::user(address, len)?;
    let mut rest = &mut bytes[..];
    let read = in_steps(len, PIECE, |count| {
        let (piece, behind) = core::mem::take(&mut rest).split_at_mut(count);
        rest = behind;
        whole(from.get(piece)?, count)
    })?;
    whole(read, len)?;
    Ok(bytes)
}

/// A message whose place can't be written is lost, as on Linux.
fn mq_timedreceive(call: &mut Call) -> Result<usize, Errno> {
    let (address, room) = (call.arg(1), call.arg(2));
    let until_ns = until_ns(call)?;
    let (open, queue) = queue(call)?;
    open.check_readable()?;
    if room < queue.size.message {
        return Err(Errno::EMSGSIZE);
    }
    frame::admit()?;
    let message = queue.receive(open.nonblocking(), until_ns)?;
    if call.arg(3) != 0 {
        user::write(call.arg(3), &message.priority)?;
    }
    let len = message.bytes.len();
    let mut to = Sink::user(address, len)?;
    let mut rest = &message.bytes[..];
    let written = in_steps(len, PIECE, |count| {
        let (piece, behind) = rest.split_at(count);
        rest = behind;
        whole(to.put(piece)?, count)
    })?;
    whole(written, len)
}

/// struct sigevent as mq_notify(3) takes it: EFAULT, EINVAL; of a socket EBADF, ENOTSOCK, EINVAL.
fn read_request(call: &Call, address: usize) -> Result<Request, Errno> {
    // All 64 bytes have to be there.
    let [value, kind, ..]: [u64; 8] = user::read(address)?;
    let (signal, notify) = (kind as u32, (kind >> 32) as u32);
    match notify {
        SIGEV_NONE => Ok(Request::Silence),
        SIGEV_SIGNAL if signal <= SIGNAL_COUNT => Ok(Request::Signal { signal, value }),
        SIGEV_THREAD => {
            let cookie = user::read(value as usize)?;
            let socket = call.thread().files().get(signal as i32)?;
            Ok(Request::Cookie(cookie, Promise::new(&socket, NOTIFY_COOKIE_LEN)?))
        }
        _ => Err(Errno::EINVAL),
    }
}

fn mq_notify(call: &mut Call) -> Result<(), Errno> {
    let request = match call.arg(1) {
        0 => None,
        address => Some(read_request(call, address)?),
    };
    let (_open, queue) = queue(call)?;
    match request {
        Some(request) => queue.notify(request)?,
        None => queue.forget_notification(true),
    }
    Ok(())
}

/// mq_getattr(3) and mq_setattr(3): only O_NONBLOCK can be changed.
fn mq_getsetattr(call: &mut Call) -> Result<(), Errno> {
    let new: Option<MqAttr> = match call.arg(1) {
        0 => None,
        address => Some(user::read(address)?),
    };
    let nonblock = i64::from(O_NONBLOCK);
    if new.is_some_and(|new| new.mq_flags & !nonblock != 0) {
        return Err(Errno::EINVAL);
    }
    let (open, queue) = queue(call)?;
    let old = MqAttr {
        mq_flags: i64::from(open.flags()) & nonblock,
        mq_maxmsg: queue.size.maximum as i64,
        mq_msgsize: queue.size.message as i64,
        mq_curmsgs: queue.count() as i64,
        ..MqAttr::default()
    };
    if let Some(new) = new {
        open.set_flags(open.flags() & !O_NONBLOCK | new.mq_flags as u32);
        queue.was_set();
    }
    if call.arg(2) != 0 {
        user::write(call.arg(2), &old)?;
    }
    Ok(())
}
