//! UDP messages to and from other machines. smoltcp has one socket for all of them; who is at which port is known here.

use crate::net::address::{Inet, Ip};
use crate::net::inet::route;
use crate::net::inet::udp::{self, Datagram};
use crate::time;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::raw::{PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{IpAddress, IpProtocol, IpVersion, Ipv4Address, Ipv4Packet, Ipv4Repr, UdpPacket};

/// The longest message: a packet without its headers.
const LONGEST: usize = 1500 - IP_HEADER_LEN - UDP_HEADER_LEN;
const IP_HEADER_LEN: usize = 20;
const UDP_HEADER_LEN: usize = 8;

/// Messages that wait for the card, and their bytes.
const WAITING: usize = 64;
const WAITING_LEN: usize = 64 * 1024;
/// How long they do: one to a machine that does not answer holds up the others.
const PATIENCE_NS: u64 = 3_000_000_000;

pub struct Messages {
    handle: SocketHandle,
    /// Since when there are some to be sent.
    waiting_since_ns: Option<u64>,
}

/// ENOMEM.
fn buffer() -> Result<PacketBuffer<'static>, Errno> {
    let (mut places, mut bytes) = (Vec::new(), Vec::new());
    places.try_reserve_exact(WAITING).map_err(|_| Errno::ENOMEM)?;
    bytes.try_reserve_exact(WAITING_LEN).map_err(|_| Errno::ENOMEM)?;
    places.resize(WAITING, PacketMetadata::EMPTY);
    bytes.resize(WAITING_LEN, 0);
    Ok(PacketBuffer::new(places, bytes))
}

fn socket() -> Result<Socket<'static>, Errno> {
    let (version, protocol) = (Some(IpVersion::Ipv4), Some(IpProtocol::Udp));
    Ok(Socket::new(version, protocol, buffer()?, buffer()?))
}

/// Sends a message with these bytes: EMSGSIZE, ENOBUFS, ENETUNREACH.
pub fn send(message: &Datagram, bytes: &[u8]) -> Result<(), Errno> {
    let (Ip::V4(from), Ip::V4(to)) = (message.from.ip, message.to.ip) else {
        return Err(Errno::ENETUNREACH);
    };
    if bytes.len() > LONGEST {
        return Err(Errno::EMSGSIZE);
    }
    let sent = super::with_stack(|stack| {
        let socket: &mut Socket = stack.sockets.get_mut(stack.messages.handle);
        let len = IP_HEADER_LEN + UDP_HEADER_LEN + bytes.len();
        let room = socket.send(len).map_err(|_| Errno::ENOBUFS)?;
        write(room, message, bytes, from.into(), to.into());
        Ok(())
    });
    sent.unwrap_or(Err(Errno::ENETUNREACH))
}

/// Writes a packet with a message.
fn write(room: &mut [u8], message: &Datagram, bytes: &[u8], from: Ipv4Address, to: Ipv4Address) {
    let header = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Udp,
        payload_len: room.len() - IP_HEADER_LEN,
        hop_limit: message.ttl.max(1),
    };
    let mut packet = Ipv4Packet::new_unchecked(room);
    header.emit(&mut packet, &ChecksumCapabilities::default());
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    datagram.set_src_port(message.from.port);
    datagram.set_dst_port(message.to.port);
    datagram.set_len((UDP_HEADER_LEN + bytes.len()) as u16);
    datagram.payload_mut().copy_from_slice(bytes);
    datagram.fill_checksum(&IpAddress::Ipv4(from), &IpAddress::Ipv4(to));
}

/// The message in a packet.
fn read(packet: &[u8]) -> Option<Datagram> {
    let packet = Ipv4Packet::new_checked(packet).ok()?;
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    let for_us = super::address() == Some(Ip::V4(to.octets()));
    if !for_us || !super::is_foreign(from) {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    if !datagram.verify_checksum(&from.into(), &to.into()) {
        return None;
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(datagram.payload().len()).ok()?;
    bytes.extend_from_slice(datagram.payload());
    let inet = |address: Ipv4Address, port| Inet {
        ip: Ip::V4(address.octets()),
        port,
    };
    Some(Datagram {
        from: inet(from, datagram.src_port()),
        to: inet(to, datagram.dst_port()),
        interface: route::OUTSIDE,
        ttl: packet.hop_limit(),
        tos: packet.dscp() << 2 | packet.ecn(),
        arrival_ns: time::realtime_ns(),
        lost_before: 0,
        segment_len: None,
        mark: 0,
        was_seen: false,
        bytes,
    })
}

impl Messages {
    /// ENOMEM.
    pub fn new(sockets: &mut SocketSet<'static>) -> Result<Messages, Errno> {
        Ok(Messages {
            handle: sockets.add(socket()?),
            waiting_since_ns: None,
        })
    }

    /// Gives messages that have come to whoever is at their ports.
    pub fn take_in(&mut self, sockets: &mut SocketSet<'static>) {
        let socket: &mut Socket = sockets.get_mut(self.handle);
        while let Ok(packet) = socket.recv() {
            if let Some(message) = read(packet) {
                udp::arrived(message);
            }
        }
    }

    /// Throws away messages that could not be sent for too long, as their receiver does not say where it is. When to ask
    /// again.
    pub fn give_up_late(&mut self, sockets: &mut SocketSet<'static>) -> Option<u64> {
        let waiting: &Socket = sockets.get(self.handle);
        if waiting.send_queue() == 0 {
            self.waiting_since_ns = None;
            return None;
        }
        let since_ns = *self.waiting_since_ns.get_or_insert_with(time::now_ns);
        if time::now_ns() < since_ns + PATIENCE_NS {
            return Some(since_ns + PATIENCE_NS);
        }
        if let Ok(empty) = socket() {
            sockets.remove(self.handle);
            self.handle = sockets.add(empty);
            self.waiting_since_ns = None;
            return None;
        }
        // They wait until there is memory.
        self.waiting_since_ns = Some(time::now_ns());
        Some(time::now_ns() + PATIENCE_NS)
    }
}
