//! AF_UNIX, unix(7).
//!
//! - [`stream`]: the states of a SOCK_STREAM or SOCK_SEQPACKET socket, and [`connection`]: what a connected pair shares.
//! - [`datagram`]: a SOCK_DGRAM socket, and [`sender`]: what its messages know of it.
//! - [`queue`]: what was sent and has not been received, cut where the sender cut it.
//! - [`rights`]: descriptions on their way.
//! - [`author`]: who sent something.
//! - [`names`]: which socket has which name.

pub mod author;
pub mod connection;
pub mod datagram;
pub mod names;
pub mod queue;
pub mod rights;
pub mod sender;
pub mod stream;

use super::protocol::{Common, Protocol};
use alloc::sync::Arc;
use datagram::Datagram;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;
use stream::Stream;

/// What a new socket has, if there is such a kind: ESOCKTNOSUPPORT, EPROTONOSUPPORT.
fn common(kind: u32, protocol: i32) -> Result<Common, Errno> {
    if protocol != 0 && protocol != i32::from(AF_UNIX) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match kind {
        SOCK_STREAM | SOCK_DGRAM | SOCK_SEQPACKET => Ok(Common::new(AF_UNIX, kind, 0)),
        // The forgotten type is another name for datagrams.
        SOCK_RAW => Ok(Common::new(AF_UNIX, SOCK_DGRAM, 0)),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// socket(2) of this domain.
pub fn create(kind: u32, protocol: i32) -> Result<Arc<dyn Protocol>, Errno> {
    let common = common(kind, protocol)?;
    Ok(if common.kind == SOCK_DGRAM {
        Datagram::new(common)
    } else {
        Stream::new(common)
    })
}

/// socketpair(2).
pub fn create_pair(kind: u32, protocol: i32) -> Result<[Arc<dyn Protocol>; 2], Errno> {
    let commons = [common(kind, protocol)?, common(kind, protocol)?];
    if commons[0].kind == SOCK_DGRAM {
        Datagram::pair(commons)
    } else {
        Ok(Stream::pair(commons))
    }
}
