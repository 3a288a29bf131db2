//! AF_UNIX, unix(7).
//!
//! - [`stream`]: the states of a SOCK_STREAM or SOCK_SEQPACKET socket, and [`connection`]: what a connected pair shares.
//! - [`queue`]: what was sent and has not been received, cut where the sender cut it.
//! - [`rights`]: descriptions on their way.
//! - [`names`]: which socket has which name.

pub mod connection;
pub mod names;
pub mod queue;
pub mod rights;
pub mod stream;

use super::protocol::{Common, Protocol};
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;
use stream::Stream;

/// What a new socket has, if there is such a kind: ESOCKTNOSUPPORT, EPROTONOSUPPORT.
fn common(kind: u32, protocol: i32) -> Result<Common, Errno> {
    if protocol != 0 && protocol != i32::from(AF_UNIX) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match kind {
        SOCK_STREAM | SOCK_SEQPACKET => Ok(Common::new(AF_UNIX, kind, 0)),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// socket(2) of this domain.
pub fn create(kind: u32, protocol: i32) -> Result<Arc<dyn Protocol>, Errno> {
    Ok(Stream::new(common(kind, protocol)?))
}

/// socketpair(2).
pub fn create_pair(kind: u32, protocol: i32) -> Result<[Arc<dyn Protocol>; 2], Errno> {
    Ok(Stream::pair([common(kind, protocol)?, common(kind, protocol)?]))
}
