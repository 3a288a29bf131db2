//! Which socket has which TCP port.

use super::stream::Stream;
use crate::net::address::{Inet, Ip};
use crate::net::protocol::Protocol;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use hashbrown::HashMap;
use libsyscall::abi::Errno;
use spin::LazyLock;
use sync::SpinLock;

/// A socket bound to a port.
struct Bound {
    ip: Ip,
    socket: Weak<Stream>,
    /// SO_REUSEADDR: may share the port while neither listens.
    reuse: bool,
}

static PORTS: LazyLock<SpinLock<HashMap<u16, Vec<Bound>>>> = LazyLock::new(SpinLock::default);

/// Ports given to those who ask for none, net.ipv4.ip_local_port_range.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32768..=60999;

/// Whether two bindings of one port meet.
fn overlap(one: Ip, other: Ip) -> bool {
    let same_family = matches!((one, other), (Ip::V4(_), Ip::V4(_)) | (Ip::V6(_), Ip::V6(_)));
    one == other || same_family && (one.is_unspecified() || other.is_unspecified())
}

/// Binds a socket: EADDRINUSE, EADDRNOTAVAIL where no port is left, ENOMEM. The port it has then.
pub fn bind(socket: &Arc<Stream>, at: Inet, reuse: bool) -> Result<Inet, Errno> {
    if at.port != 0 {
        return bind_port(socket, at, reuse);
    }
    let span = u32::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Each try takes the next port, so that ports are not reused sooner than they must.
    let start = NEXT
        .load(Ordering::Relaxed)
        .wrapping_add((crate::random::number() % 64) as u32);
    for offset in 0..span {
        let port = EPHEMERAL.start() + (start.wrapping_add(offset) % span) as u16;
        if let Ok(bound) = bind_port(socket, Inet { port, ..at }, false) {
            NEXT.store(start.wrapping_add(offset + 1), Ordering::Relaxed);
            return Ok(bound);
        }
    }
    Err(Errno::EADDRNOTAVAIL)
}

fn bind_port(socket: &Arc<Stream>, at: Inet, reuse: bool) -> Result<Inet, Errno> {
    let mut ports = PORTS.lock();
    ports.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let bound = ports.entry(at.port).or_default();
    let taken = |other: &Bound| {
        let listens = other.socket.upgrade().is_some_and(|socket| socket.is_listening());
        overlap(other.ip, at.ip) && (!reuse || !other.reuse || listens)
    };
    if bound.iter().any(taken) {
        return Err(Errno::EADDRINUSE);
    }
    bound.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    bound.push(Bound {
        ip: at.ip,
        socket: Arc::downgrade(socket),
        reuse,
    });
    Ok(at)
}

/// Gives a socket's port back.
pub fn unbind(socket: &Stream, at: Inet) {
    let mut ports = PORTS.lock();
    if let Some(bound) = ports.get_mut(&at.port) {
        bound.retain(|other| !core::ptr::eq(other.socket.as_ptr(), socket));
        if bound.is_empty() {
            ports.remove(&at.port);
        }
    }
}

/// Who listens at an address: the one bound to it before the one bound to any; an IPv6 "any" takes IPv4 too, unless it
/// said not to.
pub fn listener(at: Inet) -> Option<Arc<Stream>> {
    let ports = PORTS.lock();
    let fits = |bound: &&Bound| {
        let any_v6 = matches!(bound.ip, Ip::V6(_)) && bound.ip.is_unspecified();
        overlap(bound.ip, at.ip) || any_v6
    };
    let mut found: Vec<(bool, Arc<Stream>)> = Vec::new();
    for bound in ports.get(&at.port)?.iter().filter(fits) {
        if let Some(socket) = bound.socket.upgrade().filter(|socket| socket.is_listening()) {
            found.push((bound.ip == at.ip, socket));
        }
    }
    drop(ports);
    let exact = found.iter().position(|(exact, _)| *exact).unwrap_or(0);
    (!found.is_empty()).then(|| found.swap_remove(exact).1)
}
