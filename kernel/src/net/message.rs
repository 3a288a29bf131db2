//! What goes with the bytes of a message: sendmsg(2) and recvmsg(2) without their layout in user memory.

use super::address::Address;
use super::protocol::Credentials;
use super::unix::author::{Author, Passes};
use super::unix::rights::Rights;
use crate::task::Process;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A message to be sent. A send that succeeds may take what goes with the bytes out of it; one that fails leaves it.
#[derive(Default)]
pub struct Outgoing {
    /// Where it goes, where the caller says so.
    pub to: Option<Address>,
    /// MSG_*.
    pub flags: u32,
    /// SCM_CREDENTIALS and SCM_RIGHTS of an AF_UNIX socket.
    pub author: Option<Author>,
    pub rights: Option<Rights>,
    pub control: Vec<Control>,
}

impl Outgoing {
    /// Who sends it: whoever the caller names, or the running process where somebody `asks` for it.
    pub fn author(&self, asks: bool) -> Option<Author> {
        self.author.clone().or_else(|| asks.then(Author::running))
    }
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
    /// Who sent it, where that is known in AF_UNIX, and what of that is to be told: SCM_CREDENTIALS, SCM_PIDFD.
    pub author: Option<Author>,
    pub credentials: Option<Credentials>,
    pub process: Option<Arc<Process>>,
    /// SCM_RIGHTS of an AF_UNIX socket.
    pub rights: Option<Rights>,
    pub control: Vec<Control>,
}

impl Incoming {
    /// Tells a receiver what it asks for: of a message that nobody signed, that nobody did, and no process.
    pub fn tell_author(&mut self, passes: Passes) {
        let author = self.author.take();
        self.credentials = passes.contains(Passes::CREDENTIALS).then(|| {
            let credentials = author.as_ref().map(|author| author.credentials);
            credentials.unwrap_or(Credentials::UNKNOWN)
        });
        self.process = author
            .filter(|_| passes.contains(Passes::PROCESS))
            .map(|author| author.process);
    }
}

/// A control message that is just bytes.
pub struct Control {
    pub level: i32,
    pub kind: i32,
    pub data: Vec<u8>,
}
