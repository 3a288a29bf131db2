//! A socket: its states from socket(2) to close(2), and the file a descriptor names.

use super::address::{Address, Inet, Ip};
use super::names::{self, UnixKey};
use super::options::Options;
use super::stream::{Connection, Kind, Link};
use crate::file::{File, OpenFile};
use crate::fs::{SOCKET_DEVICE, Stat};
use crate::mm::user::{self, Sink, Source};
use crate::task;
use crate::task::thread::deadline_after;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::S_IFSOCK;
use libsyscall::abi::ioctl::FIONREAD;
use libsyscall::abi::signal::SIGPIPE;
use libsyscall::abi::socket::*;
use sync::SpinLock;

/// TIOCOUTQ, the other side of FIONREAD: bytes not yet read by the peer.
const SIOCOUTQ: u32 = 0x5411;

/// A listening socket's connections.
struct Listener {
    /// Made, and not accepted yet.
    pending: VecDeque<Arc<Socket>>,
    /// Sockets whose connect(2) waits for room.
    waiting: VecDeque<Arc<Socket>>,
    backlog: usize,
}

enum State {
    /// Not connected; perhaps because connecting failed, with the error that SO_ERROR gives.
    Fresh {
        error: Option<Errno>,
    },
    Connecting,
    Listening(Listener),
    Connected(Link),
    Closed,
}

/// Who made a socket: SO_PEERCRED's pid, uid and gid.
pub type Credentials = [i32; 3];

pub struct Socket {
    me: Weak<Socket>,
    pub domain: u16,
    kind: Kind,
    ino: u64,
    queue: Arc<WaitQueue>,
    state: SpinLock<State>,
    local: SpinLock<Option<Address>>,
    peer: SpinLock<Option<Address>>,
    /// The AF_UNIX name it is bound to.
    unix_key: SpinLock<Option<UnixKey>>,
    pub options: SpinLock<Options>,
    maker: Credentials,
    peer_credentials: SpinLock<Option<Credentials>>,
}

fn running_credentials() -> Credentials {
    task::with_current(|thread| {
        let (uid, gid) = thread.process.credentials();
        [thread.process.pid, uid as i32, gid as i32]
    })
}

impl Socket {
    /// A stream socket of AF_UNIX, AF_INET or AF_INET6, or one of packets of AF_UNIX.
    pub fn new(domain: u16, kind: Kind) -> Arc<Socket> {
        Socket::with_state(
            domain,
            kind,
            State::Fresh { error: None },
            Arc::new(WaitQueue::new()),
            running_credentials(),
        )
    }

    fn with_state(domain: u16, kind: Kind, state: State, queue: Arc<WaitQueue>, maker: Credentials) -> Arc<Socket> {
        Arc::new_cyclic(|me| Socket {
            me: me.clone(),
            domain,
            kind,
            ino: crate::fs::new_ino(),
            queue,
            state: SpinLock::new(state),
            local: SpinLock::new(None),
            peer: SpinLock::new(None),
            unix_key: SpinLock::new(None),
            options: SpinLock::new(Options::default()),
            maker,
            peer_credentials: SpinLock::new(None),
        })
    }

    /// socketpair(2): two AF_UNIX sockets connected to each other.
    pub fn pair(kind: Kind) -> [Arc<Socket>; 2] {
        let sockets = [(); 2].map(|()| Socket::new(AF_UNIX, kind));
        let links = Connection::pair(kind, [sockets[0].queue.clone(), sockets[1].queue.clone()]);
        for (socket, link) in sockets.iter().zip(links) {
            *socket.state.lock() = State::Connected(link);
            *socket.peer_credentials.lock() = Some(socket.maker);
        }
        sockets
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn is_listening(&self) -> bool {
        matches!(*self.state.lock(), State::Listening(_))
    }

    /// The connection: ENOTCONN, or the error of connecting.
    fn link(&self) -> Result<Link, Errno> {
        match &mut *self.state.lock() {
            State::Connected(link) => Ok(link.clone()),
            State::Connecting => Err(Errno::EAGAIN),
            State::Fresh { error } => Err(error.take().unwrap_or(Errno::ENOTCONN)),
            State::Listening(_) | State::Closed => Err(Errno::ENOTCONN),
        }
    }

    /// The address getsockname(2) gives.
    pub fn local_address(&self) -> Address {
        self.local.lock().clone().unwrap_or_else(|| self.no_address())
    }

    /// What a socket without a name calls itself.
    fn no_address(&self) -> Address {
        match self.domain {
            AF_INET => Address::Inet(Inet {
                ip: Ip::V4([0; 4]),
                port: 0,
            }),
            AF_INET6 => Address::Inet(Inet {
                ip: Ip::V6([0; 16]),
                port: 0,
            }),
            _ => Address::Unix(Arc::new([])),
        }
    }

    /// The address getpeername(2) gives: ENOTCONN.
    pub fn peer_address(&self) -> Result<Address, Errno> {
        if !matches!(*self.state.lock(), State::Connected(_)) {
            return Err(Errno::ENOTCONN);
        }
        Ok(self.peer.lock().clone().unwrap_or_else(|| self.no_address()))
    }

    /// SO_PEERCRED of a connected socket.
    pub fn peer_credentials(&self) -> Option<Credentials> {
        *self.peer_credentials.lock()
    }

    /// bind(2) to an IP address: EINVAL where it is bound already, EADDRNOTAVAIL, EADDRINUSE.
    pub fn bind_inet(&self, at: Inet) -> Result<(), Errno> {
        let me = self.me.upgrade().ok_or(Errno::EBADF)?;
        if self.local.lock().is_some() {
            return Err(Errno::EINVAL);
        }
        if !at.ip.is_local() && !at.ip.is_unspecified() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let options = *self.options.lock();
        let on = |name| options.get(SOL_SOCKET, name).is_ok_and(|value| value != 0);
        let bound = names::bind(&me, at, on(SO_REUSEADDR) || on(SO_REUSEPORT))?;
        *self.local.lock() = Some(Address::Inet(bound));
        Ok(())
    }

    /// bind(2) to an AF_UNIX name: EINVAL, EADDRINUSE.
    pub fn bind_unix(&self, name: Arc<[u8]>, key: UnixKey) -> Result<(), Errno> {
        let me = self.me.upgrade().ok_or(Errno::EBADF)?;
        if self.local.lock().is_some() {
            return Err(Errno::EINVAL);
        }
        names::bind_unix(&me, key.clone())?;
        *self.unix_key.lock() = Some(key);
        *self.local.lock() = Some(Address::Unix(name));
        Ok(())
    }

    /// listen(2): EINVAL where it is connected or, for AF_UNIX, has no name. TCP without a port gets one.
    pub fn listen(&self, backlog: usize) -> Result<(), Errno> {
        if self.local.lock().is_none() {
            match self.no_address() {
                Address::Inet(any) => self.bind_inet(any)?,
                _ => return Err(Errno::EINVAL),
            }
        }
        match &mut *self.state.lock() {
            State::Listening(listener) => listener.backlog = backlog,
            state @ State::Fresh { .. } => {
                let (pending, waiting) = (VecDeque::new(), VecDeque::new());
                *state = State::Listening(Listener {
                    pending,
                    waiting,
                    backlog,
                });
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// connect(2) to whoever listens. Blocks until the connection is in the listener's queue, unless `nonblocking`: TCP
    /// then says EINPROGRESS, AF_UNIX EAGAIN where there is no room.
    pub fn connect(&self, listener: Option<Arc<Socket>>, to: Address, nonblocking: bool) -> Result<(), Errno> {
        let me = self.me.upgrade().ok_or(Errno::EBADF)?;
        match &mut *self.state.lock() {
            State::Connected(_) => return Err(Errno::EISCONN),
            State::Connecting => return Err(Errno::EALREADY),
            State::Listening(_) | State::Closed => return Err(Errno::EINVAL),
            State::Fresh { error } => {
                if let Some(error) = error.take() {
                    return Err(error);
                }
            }
        }
        // Looked at before: in the condition below the lock would be held through the block.
        let unbound = self.local.lock().is_none();
        if let (Address::Inet(to), true) = (&to, unbound) {
            let ip = if matches!(to.ip, Ip::V4(_)) {
                Ip::V4([127, 0, 0, 1])
            } else {
                to.ip
            };
            let bound = names::bind(&me, Inet { ip, port: 0 }, false)?;
            *self.local.lock() = Some(Address::Inet(bound));
        }
        *self.state.lock() = State::Connecting;
        *self.peer.lock() = Some(to);
        let placed = match &listener {
            Some(listener) => listener.take_in(&me, nonblocking && self.kind().is_unix()),
            None => Err(Errno::ECONNREFUSED),
        };
        if let Err(error) = placed {
            let tell_later = nonblocking && self.kind() == Kind::Tcp;
            *self.state.lock() = State::Fresh {
                error: tell_later.then_some(error),
            };
            if !tell_later {
                return Err(error);
            }
            self.queue.wake(REFUSED);
        }
        if nonblocking && self.kind() == Kind::Tcp {
            return Err(Errno::EINPROGRESS);
        }
        let attempt = || match &mut *self.state.lock() {
            State::Connecting => Err(Errno::EAGAIN),
            State::Fresh { error } => Err(error.take().unwrap_or(Errno::ECONNREFUSED)),
            _ => Ok(()),
        };
        match attempt() {
            Err(Errno::EAGAIN) => task::block_on(&self.queue, EventMask::WRITABLE, None, attempt),
            result => result,
        }
    }

    /// A listener takes a connection in, or lets it wait; EAGAIN where it is to do neither, ECONNREFUSED where it is none.
    fn take_in(&self, client: &Arc<Socket>, only_now: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let State::Listening(listener) = &mut *state else {
            return Err(Errno::ECONNREFUSED);
        };
        // Linux takes one more than the backlog says.
        if listener.pending.len() > listener.backlog {
            if only_now {
                return Err(Errno::EAGAIN);
            }
            listener.waiting.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            listener.waiting.push_back(client.clone());
            return Ok(());
        }
        listener.pending.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        drop(state);
        self.establish(client)
    }

    /// Connects `client` to a new socket in this listener's queue.
    fn establish(&self, client: &Arc<Socket>) -> Result<(), Errno> {
        let queue = Arc::new(WaitQueue::new());
        let [near, far] = Connection::pair(self.kind(), [client.queue.clone(), queue.clone()]);
        let server = Socket::with_state(self.domain, self.kind, State::Connected(far), queue, self.maker);
        *server.local.lock() = match (client.peer.lock().clone(), self.domain) {
            (Some(Address::Inet(at)), AF_INET | AF_INET6) => Some(Address::Inet(at)),
            _ => self.local.lock().clone(),
        };
        *server.peer.lock() = client.local.lock().clone();
        *server.peer_credentials.lock() = Some(client.maker);
        *server.options.lock() = *self.options.lock();
        *client.peer_credentials.lock() = Some(self.maker);

        let mut state = self.state.lock();
        let State::Listening(listener) = &mut *state else {
            return Err(Errno::ECONNREFUSED);
        };
        listener.pending.push_back(server);
        drop(state);
        *client.state.lock() = State::Connected(near);
        self.queue.wake(EventMask::READABLE);
        client.queue.wake(EventMask::WRITABLE);
        Ok(())
    }

    /// accept4(2): EAGAIN while nobody has connected, EINVAL where it does not listen.
    pub fn accept(&self, nonblocking: bool) -> Result<Arc<Socket>, Errno> {
        let attempt = || {
            let mut state = self.state.lock();
            let State::Listening(listener) = &mut *state else {
                return Err(Errno::EINVAL);
            };
            let accepted = listener.pending.pop_front().ok_or(Errno::EAGAIN)?;
            let next = listener.waiting.pop_front();
            drop(state);
            if let Some(client) = next
                && let Err(error) = self.establish(&client)
            {
                client.refuse(error);
            }
            Ok(accepted)
        };
        match attempt() {
            Err(Errno::EAGAIN) if !nonblocking => {
                let deadline_ns = timeout(self.options.lock().receive_timeout_ns);
                task::block_on(&self.queue, EventMask::IN | EventMask::EXCLUSIVE, deadline_ns, attempt)
            }
            result => result,
        }
    }

    fn refuse(&self, error: Errno) {
        *self.state.lock() = State::Fresh { error: Some(error) };
        self.queue.wake(REFUSED);
    }

    /// recv(2) and its kind: MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL.
    pub fn receive(&self, to: &mut Sink, flags: u32, nonblocking: bool) -> Result<usize, Errno> {
        let nonblocking = nonblocking || flags & MSG_DONTWAIT != 0;
        let peek = flags & MSG_PEEK != 0;
        let attempt = |to: &mut Sink| self.link()?.receive(to, peek);
        let mut total = 0;
        loop {
            let result = match attempt(to) {
                Err(Errno::EAGAIN) if !nonblocking => {
                    let deadline_ns = timeout(self.options.lock().receive_timeout_ns);
                    let interest = EventMask::IN | EventMask::RDHUP | EventMask::ALWAYS;
                    task::block_on(&self.queue, interest, deadline_ns, || attempt(to))
                }
                result => result,
            };
            match result {
                Ok(count) => {
                    total += count;
                    let packets = self.kind == Kind::UnixPackets;
                    if count == 0 || to.len() == 0 || peek || packets || flags & MSG_WAITALL == 0 {
                        return Ok(total);
                    }
                }
                Err(_) if total > 0 => return Ok(total),
                // TCP that was never connected, or is no more.
                Err(error) => return Err(error),
            }
        }
    }

    /// send(2) and its kind: all of it where it may block. EPIPE comes with SIGPIPE, unless MSG_NOSIGNAL.
    pub fn send(&self, from: &mut Source, flags: u32, nonblocking: bool) -> Result<usize, Errno> {
        let nonblocking = nonblocking || flags & MSG_DONTWAIT != 0;
        let attempt = |from: &mut Source| match self.link() {
            // TCP calls a socket that is not connected a broken pipe.
            Err(Errno::ENOTCONN) if self.kind() == Kind::Tcp => Err(Errno::EPIPE),
            link => link?.send(from),
        };
        let mut total = 0;
        let error = loop {
            let result = match attempt(from) {
                Err(Errno::EAGAIN) if !nonblocking => {
                    let deadline_ns = timeout(self.options.lock().send_timeout_ns);
                    task::block_on(&self.queue, EventMask::OUT | EventMask::ALWAYS, deadline_ns, || {
                        attempt(from)
                    })
                }
                result => result,
            };
            match result {
                Ok(count) => {
                    total += count;
                    if from.len() == 0 || count == 0 {
                        return Ok(total);
                    }
                }
                Err(error) => break error,
            }
        };
        if total > 0 {
            return Ok(total);
        }
        if error == Errno::EPIPE && flags & MSG_NOSIGNAL == 0 {
            task::signal_current(SIGPIPE);
        }
        Err(error)
    }

    /// shutdown(2): ENOTCONN. A listener that stops reading stops listening.
    pub fn shut_down(&self, read: bool, write: bool) -> Result<(), Errno> {
        if read && self.is_listening() && self.kind() == Kind::Tcp {
            self.leave(State::Fresh { error: None });
            return Ok(());
        }
        self.link().map_err(|_| Errno::ENOTCONN)?.shut_down(read, write)
    }

    /// SO_ERROR.
    pub fn take_error(&self) -> Option<Errno> {
        match &mut *self.state.lock() {
            State::Fresh { error } => error.take(),
            State::Connected(link) => link.take_error(),
            _ => None,
        }
    }

    /// SO_SNDBUF and SO_RCVBUF reach the connection there is.
    pub fn set_buffer(&self, send: bool, len: usize) {
        if let State::Connected(link) = &*self.state.lock() {
            link.set_capacity(send, len);
        }
    }

    /// Goes to another state, and ends what the old one had.
    fn leave(&self, next: State) {
        let old = core::mem::replace(&mut *self.state.lock(), next);
        let (linger, seconds) = self.options.lock().linger;
        match old {
            State::Connected(link) => link.close(linger && seconds == 0),
            State::Listening(listener) => {
                for socket in listener.pending {
                    if let Ok(link) = socket.link() {
                        link.close(true);
                    }
                }
                for client in listener.waiting {
                    client.refuse(Errno::ECONNREFUSED);
                }
            }
            State::Fresh { .. } | State::Connecting | State::Closed => {}
        }
        self.queue.wake(REFUSED);
    }
}

/// What a socket reports that failed to connect.
const REFUSED: EventMask = EventMask::READABLE
    .union(EventMask::WRITABLE)
    .union(EventMask::ERR)
    .union(EventMask::HUP)
    .union(EventMask::RDHUP);

/// A socket's time limit as a deadline.
fn timeout(timeout_ns: u64) -> Option<u64> {
    if timeout_ns == 0 {
        None
    } else {
        deadline_after(timeout_ns)
    }
}

impl Pollable for Socket {
    fn readiness(&self) -> EventMask {
        match &*self.state.lock() {
            State::Fresh { error: Some(_) } => REFUSED,
            State::Fresh { error: None } | State::Closed => EventMask::WRITABLE | EventMask::HUP,
            State::Connecting => EventMask::empty(),
            State::Listening(listener) if listener.pending.is_empty() => EventMask::empty(),
            State::Listening(_) => EventMask::READABLE,
            State::Connected(link) => link.readiness(),
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

impl File for Socket {
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        self.receive(to, 0, open.nonblocking())
    }

    fn write(&self, open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        self.send(from, 0, open.nonblocking())
    }

    fn ioctl(&self, _open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        let count = match command {
            FIONREAD => self.link().map_or(0, |link| link.readable_len()),
            SIOCOUTQ => self.link().map_or(0, |link| link.unread_len()),
            _ => return Err(Errno::ENOTTY),
        };
        user::write(argument, &(count as i32)).map(|()| 0)
    }

    fn stat(&self) -> Stat {
        Stat {
            dev: SOCKET_DEVICE,
            ino: self.ino,
            mode: S_IFSOCK | 0o777,
            nlink: 1,
            ..Stat::default()
        }
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self)
    }

    fn link_name(&self) -> String {
        format!("socket:[{}]", self.ino)
    }

    fn release(&self, _open: &OpenFile) {
        if let Some(Address::Inet(at)) = *self.local.lock() {
            names::unbind(self, at);
        }
        if let Some(key) = self.unix_key.lock().take() {
            names::unbind_unix(&key);
        }
        self.leave(State::Closed);
    }
}
