//! AF_NETLINK: sockets that ask the kernel about its network interfaces, as getifaddrs(3) and ip(8) do. An answer is there
//! when the send returns.
//!
//! - [`message`]: the layout of requests and answers; [`route`]: what is answered.
//!
//! Only NETLINK_ROUTE is there. No interface ever changes, so groups hear nothing. Programs do not send to each other.

mod message;
mod route;

use super::address::{Address, Netlink};
use super::filter::{self, Headers};
use super::message::{Incoming, Outgoing};
use super::options::OptionValue;
use super::protocol::{Common, Credentials, Memory, Protocol};
use super::socket::Socket;
use crate::file::OpenFile;
use crate::mm::frame;
use crate::mm::user::{Sink, Source};
use crate::task;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bpf::Program;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_NET_ADMIN;
use libsyscall::abi::netlink::*;
use libsyscall::abi::socket::*;
use message::Request;
use sync::SpinLock;

/// The ports of all sockets. Its lock may be taken under a socket's.
static PORTS: SpinLock<Ports> = SpinLock::new(Ports {
    used: BTreeSet::new(),
    next: FURTHER_PORTS_FROM,
});

/// Counted down from: ports for the second and further sockets of a process, which no process has for its number.
const FURTHER_PORTS_FROM: u32 = -4097i32 as u32;

struct Ports {
    used: BTreeSet<u32>,
    /// The further port to be tried next.
    next: u32,
}

impl Ports {
    /// A port for a socket of a process: its number for the first one.
    fn choose(&mut self, process: u32) -> u32 {
        let mut port = process;
        // There are more ports than descriptors.
        while !self.used.insert(port) {
            port = self.next;
            self.next = port.checked_sub(1).unwrap_or(FURTHER_PORTS_FROM);
        }
        port
    }
}

/// What a message costs of its socket's buffer beside its bytes.
const MESSAGE_COST: usize = 512;
/// Bytes of the send buffer that a message leaves free.
const MESSAGE_RESERVE: usize = 32;

/// socket(2) of this domain: ESOCKTNOSUPPORT, EPROTONOSUPPORT.
pub fn create(kind: u32, protocol: i32) -> Result<Arc<dyn Protocol>, Errno> {
    if !matches!(kind, SOCK_RAW | SOCK_DGRAM) {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    if protocol != NETLINK_ROUTE {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok(Arc::new(NetlinkSocket {
        common: Common::new(AF_NETLINK, kind, protocol),
        inner: SpinLock::default(),
    }))
}

pub struct NetlinkSocket {
    common: Common,
    inner: SpinLock<Inner>,
}

#[derive(Default)]
struct Inner {
    port: Option<u32>,
    /// The groups joined, a bit each.
    groups: u64,
    /// Whom connect(2) chose.
    peer: Netlink,
    answers: VecDeque<Vec<u8>>,
    /// What they cost.
    used: usize,
    error: Option<Errno>,
    /// What looks at the answers.
    filter: Option<Arc<Program>>,
    /// The options that are on, a bit each.
    options: u32,
}

impl Inner {
    fn is_on(&self, option: i32) -> bool {
        self.options & 1 << option != 0
    }

    /// An answer that there is no room for is lost, and the program is told so. Of one that the filter drops it is not.
    fn put(&mut self, mut answer: Vec<u8>, limit: usize) -> EventMask {
        if let Some(program) = &self.filter {
            match filter::run(program, &Headers::NONE, &answer) {
                Some(kept) => answer.truncate(kept),
                None => return EventMask::empty(),
            }
        }
        let cost = MESSAGE_COST + answer.len();
        if self.used + cost <= limit && self.answers.try_reserve(1).is_ok() {
            self.used += cost;
            self.answers.push_back(answer);
            return EventMask::READABLE;
        }
        if self.is_on(NETLINK_NO_ENOBUFS) {
            return EventMask::empty();
        }
        self.error = Some(Errno::ENOBUFS);
        EventMask::ERR
    }
}

fn free_port() -> u32 {
    let process = task::with_current(|thread| thread.process.pid as u32);
    PORTS.lock().choose(process)
}

impl NetlinkSocket {
    /// Takes a port if it has none; which it is.
    fn ensure_port(&self) -> u32 {
        *self.inner.lock().port.get_or_insert_with(free_port)
    }

    /// EPERM where somebody without privileges would talk to others than the kernel.
    fn check_peer(to: Netlink) -> Result<(), Errno> {
        let privileged = || task::with_current(|thread| thread.credentials().has(CAP_NET_ADMIN));
        if to == Netlink::default() || privileged() {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }
}

/// Room in a socket's buffer, taken for a message before there is one: that will never be lost.
pub struct Promise {
    socket: Arc<NetlinkSocket>,
    cost: usize,
}

impl Promise {
    /// For a message of `len` bytes from the kernel on descriptor `open`: ENOTSOCK, EINVAL where the socket is of another
    /// kind. However little room is left: there are few who promise.
    pub fn new(open: &OpenFile, len: usize) -> Result<Promise, Errno> {
        let socket = open.downcast::<Socket>().ok_or(Errno::ENOTSOCK)?.0.share();
        let socket = socket.netlink().ok_or(Errno::EINVAL)?;
        let cost = MESSAGE_COST + len;
        socket.inner.lock().used += cost;
        Ok(Promise { socket, cost })
    }

    /// Sends the message, of as many bytes as were promised.
    pub fn keep(self, message: &[u8]) {
        let mut inner = self.socket.inner.lock();
        // What is promised goes with `self`, after the message has its own.
        inner.used += self.cost;
        inner.answers.push_back(message.to_vec());
        drop(inner);
        self.socket.common.queue.wake(EventMask::READABLE);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut inner = self.socket.inner.lock();
        inner.used -= self.cost;
    }
}

impl Pollable for NetlinkSocket {
    fn readiness(&self) -> EventMask {
        let inner = self.inner.lock();
        let mut ready = EventMask::WRITABLE | EventMask::WRBAND;
        if !inner.answers.is_empty() {
            ready |= EventMask::READABLE;
        }
        if inner.error.is_some() {
            ready |= EventMask::ERR;
        }
        ready
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.common.queue
    }
}

impl Protocol for NetlinkSocket {
    fn common(&self) -> &Common {
        &self.common
    }

    fn netlink(self: Arc<Self>) -> Option<Arc<NetlinkSocket>> {
        Some(self)
    }

    /// EINVAL where it has another port, EADDRINUSE.
    fn bind(self: Arc<Self>, at: &Address) -> Result<(), Errno> {
        let Address::Netlink(at) = *at else {
            return Err(Errno::EINVAL);
        };
        let mut inner = self.inner.lock();
        match inner.port {
            Some(port) if port != at.port => return Err(Errno::EINVAL),
            Some(_) => {}
            None if at.port == 0 => inner.port = Some(free_port()),
            None if PORTS.lock().used.insert(at.port) => inner.port = Some(at.port),
            None => return Err(Errno::EADDRINUSE),
        }
        inner.groups = inner.groups >> 32 << 32 | u64::from(at.groups);
        Ok(())
    }

    fn connect(self: Arc<Self>, to: &Address, _nonblocking: bool) -> Result<(), Errno> {
        let to = match *to {
            Address::Unspecified => Netlink::default(),
            Address::Netlink(to) => to,
            _ => return Err(Errno::EINVAL),
        };
        NetlinkSocket::check_peer(to)?;
        self.ensure_port();
        self.inner.lock().peer = to;
        Ok(())
    }

    fn local_address(&self) -> Address {
        let inner = self.inner.lock();
        Address::Netlink(Netlink {
            port: inner.port.unwrap_or(0),
            groups: inner.groups as u32,
        })
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        Ok(Address::Netlink(self.inner.lock().peer))
    }

    fn memory(&self) -> Memory {
        Memory {
            received: self.inner.lock().used,
            ..Memory::default()
        }
    }

    fn send(&self, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno> {
        if message.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if from.len() == 0 {
            return Err(Errno::ENODATA);
        }
        let to = match message.to {
            Some(Address::Netlink(to)) => to,
            Some(_) => return Err(Errno::EINVAL),
            None => self.inner.lock().peer,
        };
        NetlinkSocket::check_peer(to)?;
        let port = self.ensure_port();
        let options = *self.common.options.lock();
        let len = from.len();
        if len + MESSAGE_RESERVE > options.get(SO_SNDBUF)? as usize {
            return Err(Errno::EMSGSIZE);
        }
        frame::admit()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Errno::ENOBUFS)?;
        bytes.resize(len, 0);
        if from.get(&mut bytes)? < len {
            return Err(Errno::EFAULT);
        }
        if to.port != 0 {
            return Err(Errno::ECONNREFUSED);
        }
        let limit = options.get(SO_RCVBUF)? as usize;
        let mut rest = &bytes[..];
        while let Some(request) = Request::take(&mut rest) {
            let capped = self.inner.lock().is_on(NETLINK_CAP_ACK);
            let answer = route::answer(&request, port, capped).bytes;
            if !answer.is_empty() {
                let added = self.inner.lock().put(answer, limit);
                self.common.queue.wake(added);
            }
            if task::preempt_point() {
                break;
            }
        }
        Ok(len)
    }

    fn receive(&self, to: &mut Sink, flags: u32, message: &mut Incoming) -> Result<usize, Errno> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut inner = self.inner.lock();
        if let Some(error) = inner.error.take() {
            return Err(error);
        }
        let answer = inner.answers.front().ok_or(Errno::EAGAIN)?;
        let (len, room) = (answer.len(), to.len());
        let count = to.put(answer)?;
        if room < len {
            message.flags |= MSG_TRUNC;
        }
        message.from = Some(Address::Netlink(Netlink::default()));
        let passes = self.common.options.lock().is_on::<SO_PASSCRED>();
        message.credentials = passes.then_some(Credentials::KERNEL);
        if flags & MSG_PEEK == 0 {
            inner.answers.pop_front();
            inner.used -= MESSAGE_COST + len;
        }
        Ok(if flags & MSG_TRUNC != 0 { len } else { count })
    }

    fn shut_down(&self, _read: bool, _write: bool) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn take_error(&self) -> Option<Errno> {
        self.inner.lock().error.take()
    }

    /// ENOPROTOOPT, EINVAL for a group that there is none of.
    fn set_option(&self, level: i32, name: i32, value: OptionValue) -> Result<(), Errno> {
        if level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let value = if value.len < 4 { 0 } else { value.int()? };
        match name {
            NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP => {
                if !(1..=RTNLGRP_MAX).contains(&value) {
                    return Err(Errno::EINVAL);
                }
                let group = 1 << (value - 1);
                let groups = &mut self.inner.lock().groups;
                match name {
                    NETLINK_ADD_MEMBERSHIP => *groups |= group,
                    _ => *groups &= !group,
                }
            }
            NETLINK_NO_ENOBUFS | NETLINK_CAP_ACK | NETLINK_EXT_ACK | NETLINK_GET_STRICT_CHK => {
                let options = &mut self.inner.lock().options;
                *options = *options & !(1 << name) | u32::from(value != 0) << name;
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        match (level, name) {
            (SOL_NETLINK, NETLINK_NO_ENOBUFS | NETLINK_CAP_ACK | NETLINK_EXT_ACK | NETLINK_GET_STRICT_CHK) => {
                let on = i32::from(self.inner.lock().is_on(name));
                Ok(on.to_ne_bytes().to_vec())
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_filter(&self, filter: Option<Arc<Program>>) -> Result<(), Errno> {
        let former = core::mem::replace(&mut self.inner.lock().filter, filter);
        drop(former);
        Ok(())
    }

    fn readable_len(&self) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    fn unsent_len(&self) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    fn close(&self) {
        let mut inner = self.inner.lock();
        for answer in core::mem::take(&mut inner.answers) {
            inner.used -= MESSAGE_COST + answer.len();
        }
        let port = inner.port.take();
        drop(inner);
        if let Some(port) = port {
            PORTS.lock().used.remove(&port);
        }
    }
}
