//! TCP connections with other machines.
//!
//! A connection within the machine has two ends, each with what is on its way to it. One with another machine is the
//! same, but that smoltcp has its far end: [`Connections::exchange`] moves bytes between that end and smoltcp's buffers,
//! and turns shutdowns, resets and closes of one side into those of the other.

use super::card::Port;
use crate::mm::frame;
use crate::mm::user::{Sink, Source};
use crate::net::address::{Inet, Ip};
use crate::net::inet::options::FIN_TIMEOUT;
use crate::net::inet::tcp::{Link, Stream};
use crate::net::peek::PeekOffset;
use crate::time;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use hashbrown::HashMap;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::MSG_DONTWAIT;
use libsyscall::abi::time::NANOSECONDS;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpEndpoint, IpListenEndpoint, IpProtocol, Ipv4Address, Ipv4Packet,
    TcpPacket,
};

/// Bytes of smoltcp's buffers, each way: what is on the wire. The far end's own hold more.
const BUFFER_LEN: usize = 64 * 1024;
/// Connections at a time; more wait outside.
const CONNECTIONS_MAX: usize = 1024;
/// How long the other machine may be silent when it is to answer.
const SILENCE: Duration = Duration::from_secs(120);
/// How long a connection whose socket is gone waits for the other machine's end: net.ipv4.tcp_fin_timeout.
const ORPHAN_NS: u64 = FIN_TIMEOUT as u64 * NANOSECONDS;

/// What a connection is called. No two ever have the same.
pub type Id = u64;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

pub fn new_id() -> Id {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

enum Stage {
    /// A program's connect(2).
    Connecting(Weak<Stream>),
    /// Somebody connects to this listener.
    Arriving(Weak<Stream>),
    /// `heard_end`, `said_end`: the other machine has ended its direction, and this one its own.
    Connected { far: Link, heard_end: bool, said_end: bool },
    /// Nobody here wants to know more of it.
    Left,
}

struct Connection {
    handle: SocketHandle,
    stage: Stage,
    /// Since when only the other machine's end is missing.
    orphan_since_ns: Option<u64>,
}

#[derive(Default)]
pub struct Connections(HashMap<Id, Connection>);

/// Begins to connect; `stream` is told what comes of it. ENETUNREACH, EADDRNOTAVAIL, ENOBUFS.
pub fn connect(id: Id, stream: &Arc<Stream>, from: Inet, to: Inet) -> Result<(), Errno> {
    super::with_stack(|stack| {
        let mut socket = stack.connections.new_socket()?;
        let (from, to) = (endpoint(from)?, endpoint(to)?);
        socket
            .connect(stack.interface.context(), to, from)
            .map_err(|_| Errno::EADDRNOTAVAIL)?;
        let handle = stack.sockets.add(socket);
        stack
            .connections
            .enter(id, handle, Stage::Connecting(Arc::downgrade(stream)));
        Ok(())
    })
    .unwrap_or(Err(Errno::ENETUNREACH))
}

/// A program has sent, has made room, or has ended something.
pub fn attend(id: Id) {
    super::with_stack(|stack| {
        if let Some(connection) = stack.connections.0.get_mut(&id) {
            connection.exchange(id, stack.sockets.get_mut(connection.handle));
        }
    });
}

/// A program no longer wants to connect.
pub fn give_up(id: Id) {
    super::with_stack(|stack| {
        if let Some(connection) = stack.connections.0.get_mut(&id) {
            connection.stage = Stage::Left;
            stack.sockets.get_mut::<Socket>(connection.handle).abort();
        }
    });
}

fn endpoint(at: Inet) -> Result<IpEndpoint, Errno> {
    match at.ip {
        Ip::V4(bytes) => Ok(IpEndpoint::new(Ipv4Address::from(bytes).into(), at.port)),
        Ip::V6(_) => Err(Errno::ENETUNREACH),
    }
}

fn inet(at: IpEndpoint) -> Inet {
    let IpAddress::Ipv4(address) = at.addr;
    Inet {
        ip: Ip::V4(address.octets()),
        port: at.port,
    }
}

/// Who wants to connect to whom, if that is what a frame says.
fn opening(frame: &[u8]) -> Option<(IpEndpoint, IpEndpoint)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    if packet.next_header() != IpProtocol::Tcp {
        return None;
    }
    let segment = TcpPacket::new_checked(packet.payload()).ok()?;
    let from = IpEndpoint::new(packet.src_addr().into(), segment.src_port());
    let to = IpEndpoint::new(packet.dst_addr().into(), segment.dst_port());
    (segment.syn() && !segment.ack()).then_some((from, to))
}

fn buffer() -> Result<SocketBuffer<'static>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(BUFFER_LEN).map_err(|_| Errno::ENOBUFS)?;
    bytes.resize(BUFFER_LEN, 0);
    Ok(SocketBuffer::new(bytes))
}

impl Connections {
    /// ENOBUFS where there are too many, or too little memory.
    fn new_socket(&mut self) -> Result<Socket<'static>, Errno> {
        if self.0.len() >= CONNECTIONS_MAX || frame::admit().is_err() || self.0.try_reserve(1).is_err() {
            return Err(Errno::ENOBUFS);
        }
        let mut socket = Socket::new(buffer()?, buffer()?);
        socket.set_timeout(Some(SILENCE));
        // Bytes are collected before they get here, and frames are taken in before they are answered.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        Ok(socket)
    }

    fn enter(&mut self, id: Id, handle: SocketHandle, stage: Stage) {
        let connection = Connection {
            handle,
            stage,
            orphan_since_ns: None,
        };
        self.0.insert(id, connection);
    }

    /// Looks at a frame before smoltcp does: a connection that is opened to a listener needs a socket. False where it is to
    /// be passed over, because the listener has no room: who opens it will try again.
    pub fn welcome(&mut self, port: &Port, sockets: &mut SocketSet<'static>) -> bool {
        let Some((from, to)) = opening(port.frame()) else {
            return true;
        };
        let is_known = self.0.values().any(|connection| {
            let socket: &Socket = sockets.get(connection.handle);
            socket.remote_endpoint() == Some(from) && socket.local_endpoint() == Some(to)
        });
        if is_known {
            return true;
        }
        if !super::is_foreign(from.addr) {
            return false;
        }
        // Nobody listens: smoltcp will say so.
        let Some(listener) = Stream::listener(inet(to), inet(from)) else {
            return true;
        };
        if !listener.has_room() {
            return false;
        }
        let Ok(mut socket) = self.new_socket() else {
            return false;
        };
        if socket.listen(IpListenEndpoint::from(to)).is_err() {
            return false;
        }
        let handle = sockets.add(socket);
        self.enter(new_id(), handle, Stage::Arriving(Arc::downgrade(&listener)));
        true
    }

    /// Moves bytes and ends between sockets and packets, which have come for any of them.
    pub fn exchange(&mut self, sockets: &mut SocketSet<'static>) {
        for (&id, connection) in &mut self.0 {
            connection.exchange(id, sockets.get_mut(connection.handle));
        }
    }

    /// After sending, when answers that were due too long have ended connections: removes those that are over.
    pub fn sweep(&mut self, sockets: &mut SocketSet<'static>) {
        self.0.retain(|&id, connection| {
            let socket: &mut Socket = sockets.get_mut(connection.handle);
            if socket.is_open() && connection.orphan_since_ns.is_none() {
                return true;
            }
            connection.advance(id, socket, Errno::ETIMEDOUT, Errno::ETIMEDOUT);
            let over = connection.is_over(socket);
            if over {
                sockets.remove(connection.handle);
            }
            !over
        });
    }

    /// When the next connection has waited long enough.
    pub fn deadline_ns(&self) -> Option<u64> {
        let since = self.0.values().filter_map(|connection| connection.orphan_since_ns);
        since.min().map(|since_ns| since_ns + ORPHAN_NS)
    }
}

impl Connection {
    /// Moves bytes and ends, after frames have been taken in: who has gone now has said so.
    fn exchange(&mut self, id: Id, socket: &mut Socket) {
        self.advance(id, socket, Errno::ECONNREFUSED, Errno::ECONNRESET);
    }

    /// `refused`, `reset`: what a socket is told whose connection has ended without its doing.
    fn advance(&mut self, id: Id, socket: &mut Socket, refused: Errno, reset: Errno) {
        let is_open = matches!(socket.state(), State::Established | State::CloseWait);
        let is_gone = matches!(socket.state(), State::Closed | State::Listen);
        match &mut self.stage {
            Stage::Connecting(stream) if is_gone => {
                if let Some(stream) = stream.upgrade() {
                    stream.fail(refused);
                }
                self.stage = Stage::Left;
            }
            Stage::Connecting(stream) if is_open => {
                let far = stream.upgrade().and_then(|stream| stream.connected_outside(id));
                self.settle(far, socket);
            }
            Stage::Arriving(_) if is_gone => {
                socket.abort();
                self.stage = Stage::Left;
            }
            Stage::Arriving(listener) if is_open => {
                let ends = socket.local_endpoint().zip(socket.remote_endpoint());
                let far = listener
                    .upgrade()
                    .zip(ends)
                    .and_then(|(listener, (local, remote))| listener.accept_outside(id, inet(local), inet(remote)));
                self.settle(far, socket);
            }
            _ => {}
        }
        let Stage::Connected {
            far,
            heard_end,
            said_end,
        } = &mut self.stage
        else {
            return;
        };
        bring(far, socket);
        if !*heard_end && !socket.may_recv() && !is_gone {
            *heard_end = true;
            far.end();
        }
        *said_end |= send(far, socket);
        if *said_end && matches!(socket.state(), State::FinWait2 | State::TimeWait | State::Closed) {
            far.acknowledge();
        }
        if far.was_reset() {
            socket.abort();
            self.stage = Stage::Left;
        } else if is_gone && !(*heard_end && *said_end) {
            far.break_off(reset);
            self.stage = Stage::Left;
        } else if *said_end && socket.state() == State::FinWait2 && far.is_deaf() {
            self.orphan_since_ns.get_or_insert_with(time::now_ns);
        }
        let waited_ns = self
            .orphan_since_ns
            .map_or(0, |since| time::now_ns().saturating_sub(since));
        if waited_ns >= ORPHAN_NS {
            socket.abort();
            self.orphan_since_ns = None;
            self.stage = Stage::Left;
        }
    }

    /// The connection is made, and has its far end; or nobody here wants it any more.
    fn settle(&mut self, far: Option<Link>, socket: &mut Socket) {
        self.stage = match far {
            Some(far) => Stage::Connected {
                far,
                heard_end: false,
                said_end: false,
            },
            None => {
                socket.abort();
                Stage::Left
            }
        };
    }

    /// Whether nothing more is to be sent or told.
    fn is_over(&self, socket: &Socket) -> bool {
        let all_told = match &self.stage {
            Stage::Connected { heard_end, .. } => *heard_end,
            Stage::Left => true,
            Stage::Connecting(_) | Stage::Arriving(_) => false,
        };
        match socket.state() {
            // A reset that is still to be sent has its address.
            State::Closed => all_told && socket.remote_endpoint().is_none(),
            // Waiting for stray packets has no use: a new connection with the same ports tells them by their numbers.
            State::TimeWait => all_told,
            _ => false,
        }
    }
}

/// Gives the far end what has come, as far as it has room.
fn bring(far: &Link, socket: &mut Socket) {
    while socket.can_recv() {
        let given = socket.recv(|bytes| match far.send(&mut Source::kernel(bytes), 0) {
            Ok(count) => (count, Ok(count)),
            Err(error) => (0, Err(error)),
        });
        // A far end that takes no more is looked at by the caller.
        if !matches!(given, Ok(Ok(1..))) {
            break;
        }
    }
}

/// Takes what the far end has to send, as far as there is room; whether that was the end.
fn send(far: &Link, socket: &mut Socket) -> bool {
    while socket.can_send() {
        let taken = socket.send(
            |room| match far.receive(&mut Sink::kernel(room), MSG_DONTWAIT, &PeekOffset::new()) {
                Ok(count) => (count, Ok(count)),
                Err(error) => (0, Err(error)),
            },
        );
        match taken {
            Ok(Ok(0)) => {
                socket.close();
                return true;
            }
            Ok(Ok(_)) => {}
            _ => break,
        }
    }
    false
}
