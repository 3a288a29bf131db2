//! What a kind of socket does. Everything here happens at once: `EAGAIN` says that it would have to wait, and
//! [`Socket`](super::socket::Socket) does the waiting.

use super::address::Address;
use super::filter::Filter;
use super::message::{Incoming, Outgoing};
use super::netlink::NetlinkSocket;
use super::options::{OptionValue, Options};
use super::peek::PeekOffset;
use super::unix::rights::Rights;
use crate::fs::Attributes;
use crate::mm::user::{Sink, Source};
use crate::task::credentials::Ids;
use crate::task::{self, Process};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bpf::Program;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use sync::SpinLock;

/// Who made a socket: SO_PEERCRED's pid, uid and gid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

impl Credentials {
    /// Of a sender that nobody asked for: no process, and nobody's ids.
    pub const UNKNOWN: Credentials = Credentials {
        pid: 0,
        uid: 65534,
        gid: 65534,
    };

    /// Of what the kernel itself says.
    pub const KERNEL: Credentials = Credentials { pid: 0, uid: 0, gid: 0 };

    /// The running thread's, with the ids that `by` says.
    pub fn running(by: fn(&Ids) -> u32) -> Credentials {
        task::with_current(|thread| {
            let credentials = thread.credentials();
            Credentials {
                pid: thread.process.pid,
                uid: by(&credentials.uid),
                gid: by(&credentials.gid),
            }
        })
    }

    /// Of a socket made by them: everybody may do anything, and no times are kept.
    fn attributes(self) -> Attributes {
        Attributes {
            mode: 0o777,
            uid: self.uid,
            gid: self.gid,
            nlink: 1,
            atime_ns: 0,
            mtime_ns: 0,
            ctime_ns: 0,
        }
    }
}

/// Who is at the other end of an AF_UNIX connection, as it was when that was made.
#[derive(Clone)]
pub struct Party {
    /// SO_PEERCRED.
    pub credentials: Credentials,
    /// SO_PEERGROUPS.
    pub groups: Arc<[u32]>,
    /// SO_PEERPIDFD, also when it has been waited for and its number is another's.
    pub process: Arc<Process>,
}

impl Party {
    pub fn running() -> Party {
        task::with_current(|thread| Party {
            credentials: Credentials::running(|ids| ids.effective),
            groups: thread.credentials().groups.clone(),
            process: thread.process.clone(),
        })
    }
}

/// What every socket has, of whatever kind.
pub struct Common {
    /// AF_*.
    pub domain: u16,
    /// SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
    pub kind: u32,
    /// IPPROTO_*; 0 for AF_UNIX.
    pub protocol: i32,
    pub ino: u64,
    pub queue: Arc<WaitQueue>,
    pub options: SpinLock<Options>,
    /// SO_RCVLOWAT: bytes that a stream's receive waits for.
    pub receive_low: AtomicUsize,
    pub peek_offset: PeekOffset,
    pub filter: SpinLock<Filter>,
    /// SO_BINDTODEVICE: the number of the one interface it uses; 0 for all.
    pub interface: AtomicU32,
    pub maker: Credentials,
    pub attributes: SpinLock<Attributes>,
    /// A send found no room: who is told by signals wants to hear when there is some.
    pub missed_room: AtomicBool,
}

impl Common {
    pub fn new(domain: u16, kind: u32, protocol: i32) -> Common {
        let maker = Credentials::running(|ids| ids.file);
        Common {
            domain,
            kind,
            protocol,
            ino: crate::fs::new_ino(),
            queue: Arc::new(WaitQueue::new()),
            options: SpinLock::new(Options::default()),
            receive_low: AtomicUsize::new(1),
            peek_offset: PeekOffset::new(),
            filter: SpinLock::default(),
            interface: AtomicU32::new(0),
            maker,
            attributes: SpinLock::new(maker.attributes()),
            missed_room: AtomicBool::new(false),
        }
    }

    /// The one interface it uses, if it is bound to one.
    pub fn bound_interface(&self) -> Option<u32> {
        Some(self.interface.load(Relaxed)).filter(|&number| number != 0)
    }

    /// Of a socket that a listening one makes: its kind and options.
    pub fn accepted(&self) -> Common {
        Common {
            ino: crate::fs::new_ino(),
            queue: Arc::new(WaitQueue::new()),
            options: SpinLock::new(*self.options.lock()),
            receive_low: AtomicUsize::new(self.receive_low.load(Relaxed)),
            peek_offset: self.peek_offset.copied(),
            filter: SpinLock::new(self.filter.lock().clone()),
            interface: AtomicU32::new(self.interface.load(Relaxed)),
            missed_room: AtomicBool::new(false),
            attributes: SpinLock::new(self.maker.attributes()),
            ..*self
        }
    }
}

/// What a socket holds of its buffers, in bytes as they count against SO_RCVBUF and SO_SNDBUF.
#[derive(Default)]
pub struct Memory {
    pub received: usize,
    pub sent: usize,
    /// Messages there was no room for.
    pub lost: u32,
}

/// A kind of socket: what is there at once, one method a call. `EAGAIN` where the caller would have to wait.
pub trait Protocol: Pollable {
    fn common(&self) -> &Common;

    /// The netlink socket, where it is one.
    fn netlink(self: Arc<Self>) -> Option<Arc<NetlinkSocket>> {
        None
    }

    /// bind(2). The address is of this domain, or unspecified.
    fn bind(self: Arc<Self>, at: &Address) -> Result<(), Errno>;

    fn listen(self: Arc<Self>, _backlog: usize) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// connect(2), with its own waiting: what is waited for differs by kind.
    fn connect(self: Arc<Self>, to: &Address, nonblocking: bool) -> Result<(), Errno>;

    /// One connection of a listening socket.
    fn accept(&self) -> Result<Arc<dyn Protocol>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn local_address(&self) -> Address;

    /// ENOTCONN.
    fn peer_address(&self) -> Result<Address, Errno>;

    fn is_listening(&self) -> bool {
        false
    }

    fn peer(&self) -> Option<Party> {
        None
    }

    /// SO_MEMINFO.
    fn memory(&self) -> Memory {
        Memory {
            sent: self.unsent_len().unwrap_or(0),
            ..Memory::default()
        }
    }

    /// Takes bytes from `from`; how many. A kind with messages takes all or none.
    fn send(&self, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno>;

    /// Sleeps until a send that found no room may find some. `deadline_ns` past is EAGAIN.
    fn wait_for_room(&self, _message: &Outgoing, deadline_ns: Option<u64>) -> Result<(), Errno> {
        let interest = EventMask::OUT | EventMask::ALWAYS;
        task::block_on(&self.common().queue, interest, deadline_ns, || {
            if self.readiness().intersects(interest) {
                Ok(())
            } else {
                Err(Errno::EAGAIN)
            }
        })
    }

    /// Gives bytes to `to` and what goes with them to `message`; what recv(2) returns. `flags`: MSG_PEEK, MSG_TRUNC,
    /// MSG_OOB and their kind.
    fn receive(&self, to: &mut Sink, flags: u32, message: &mut Incoming) -> Result<usize, Errno>;

    /// shutdown(2) for reading, writing or both: ENOTCONN.
    fn shut_down(&self, read: bool, write: bool) -> Result<(), Errno>;

    /// SO_ERROR: what it is, and it is no more.
    fn take_error(&self) -> Option<Errno>;

    /// setsockopt(2) of another level than SOL_SOCKET.
    fn set_option(&self, _level: i32, _name: i32, _value: OptionValue) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// getsockopt(2) of another level than SOL_SOCKET.
    fn option(&self, _level: i32, _name: i32) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// SO_ATTACH_FILTER, SO_DETACH_FILTER: ENOPROTOOPT where nothing comes in packets.
    fn set_filter(&self, _filter: Option<Arc<Program>>) -> Result<(), Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    /// An option of SOL_SOCKET that is one int now has this value.
    fn option_set(&self, _name: i32, _value: i32) {}

    /// FIONREAD: EINVAL for a listening socket.
    fn readable_len(&self) -> Result<usize, Errno>;

    /// SIOCOUTQ: what was sent and has not been taken: EINVAL for a listening socket.
    fn unsent_len(&self) -> Result<usize, Errno>;

    /// What SCM_RIGHTS messages in its queue hold: to be looked at, and to be dropped.
    fn for_each_rights(&self, _visit: &mut dyn FnMut(&Rights)) {}
    fn drop_rights(&self) {}

    /// SIOCATMARK: whether the byte that comes next is the urgent one.
    fn at_mark(&self) -> Result<bool, Errno> {
        Err(Errno::ENOTTY)
    }

    /// The last reference to the description has gone.
    fn close(&self);

    /// Whether the other end has room for all that a closed socket has sent, or has acknowledged it, or is lost: what
    /// SO_LINGER waits for.
    fn has_delivered(&self) -> bool {
        true
    }
}
