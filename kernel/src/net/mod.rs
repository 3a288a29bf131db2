//! Sockets.
//!
//! - [`socket`]: the file a descriptor names: what waits, repeats and signals around a kind of socket.
//! - [`protocol`]: what a kind of socket does at once, and [`message`]: what goes with the bytes one way and the other.
//! - [`options`]: SOL_SOCKET's options, [`peek`]: where MSG_PEEK looks, [`address`]: socket addresses, and [`stamp`]: when a
//!   message came.
//! - [`filter`]: programs that look at what comes.
//! - [`unix`]: the kinds of AF_UNIX.
//! - [`inet`]: the kinds of AF_INET and AF_INET6.
//! - [`netlink`]: the kind of AF_NETLINK, which tells of interfaces.
//! - [`ring`]: bytes on their way in one direction.
//!
//! A change takes one socket's lock, drops it, and then wakes the queue of the socket that may see it with the bits that
//! were added.

pub mod address;
pub mod filter;
pub mod inet;
pub mod message;
pub mod netlink;
pub mod options;
pub mod peek;
pub mod protocol;
pub mod ring;
pub mod socket;
pub mod stamp;
pub mod unix;

use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;
use protocol::Protocol;

/// socket(2): EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT.
pub fn create(domain: i32, kind: u32, protocol: i32) -> Result<Arc<dyn Protocol>, Errno> {
    match u16::try_from(domain) {
        Ok(AF_UNIX) => unix::create(kind, protocol),
        Ok(AF_NETLINK) => netlink::create(kind, protocol),
        Ok(domain @ (AF_INET | AF_INET6)) => inet::create(domain, kind, protocol),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// socketpair(2): EOPNOTSUPP but for AF_UNIX.
pub fn create_pair(domain: i32, kind: u32, protocol: i32) -> Result<[Arc<dyn Protocol>; 2], Errno> {
    match u16::try_from(domain) {
        Ok(AF_UNIX) => unix::create_pair(kind, protocol),
        _ => create(domain, kind, protocol).and(Err(Errno::EOPNOTSUPP)),
    }
}
