//! What goes with the bytes of a message: sendmsg(2) and recvmsg(2) without their layout in user memory.

use super::address::Address;
use super::protocol::Credentials;
use super::unix::rights::Rights;
use alloc::vec::Vec;

/// A message to be sent. A send that succeeds may take what goes with the bytes out of it; one that fails leaves it.
#[derive(Default)]
pub struct Outgoing {
    /// Where it goes, where the caller says so.
    pub to: Option<Address>,
    /// MSG_*.
    pub flags: u32,
    /// SCM_CREDENTIALS and SCM_RIGHTS of an AF_UNIX socket.
    pub credentials: Option<Credentials>,
    pub rights: Option<Rights>,
    pub control: Vec<Control>,
}

/// A message that was received.
#[derive(Default)]
pub struct Incoming {
    /// Whether the caller wants to know who sent it.
    pub wants_from: bool,
    /// Who sent it; `None` for one without a name, and where the kind does not say.
    pub from: Option<Address>,
    /// MSG_TRUNC, MSG_EOR and their kind, to be told to the caller.
    pub flags: u32,
    /// SCM_CREDENTIALS and SCM_RIGHTS of an AF_UNIX socket.
    pub credentials: Option<Credentials>,
    pub rights: Option<Rights>,
    pub control: Vec<Control>,
}

/// A control message that is just bytes.
pub struct Control {
    pub level: i32,
    pub kind: i32,
    pub data: Vec<u8>,
}
