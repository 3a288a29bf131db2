//! Which AF_UNIX socket has which name.

use super::datagram::Datagram;
use super::stream::Stream;
use crate::fs::Place;
use crate::fs::access::{self, Credentials};
use crate::fs::tmpfs::{self, New};
use crate::fs::walk::{self, Last};
use crate::net::address::Address;
use crate::net::protocol::Common;
use crate::task;
use alloc::format;
use alloc::sync::{Arc, Weak};
use hashbrown::HashMap;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::W_OK;
use spin::LazyLock;
use sync::SpinLock;

/// What an AF_UNIX name is: an abstract one by its bytes, of which each kind of socket has its own; a path by the inode
/// behind it.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Abstract(u32, Arc<[u8]>),
    Inode(u64, u64),
}

/// Who has a name.
#[derive(Clone)]
pub enum Owner {
    Stream(Weak<Stream>),
    Datagram(Weak<Datagram>),
}

impl Owner {
    fn is_there(&self) -> bool {
        match self {
            Owner::Stream(socket) => socket.strong_count() > 0,
            Owner::Datagram(socket) => socket.strong_count() > 0,
        }
    }
}

static NAMES: LazyLock<SpinLock<HashMap<Key, Owner>>> = LazyLock::new(SpinLock::default);

/// The name of a socket, which those it is connected to know too.
#[derive(Default)]
pub struct Name(SpinLock<Option<Bound>>);

struct Bound {
    name: Arc<[u8]>,
    /// `None`: inherited from a listener, or given back.
    key: Option<Key>,
}

impl Name {
    /// bind(2) of a socket; an empty name stands for any abstract one. EINVAL where it has a name, EADDRINUSE where this one
    /// is taken, ENOSPC where all short ones are, and what making a file may say.
    pub fn bind(&self, socket: &Common, owner: Owner, name: &Arc<[u8]>) -> Result<(), Errno> {
        let kind = socket.kind;
        let node = match name.first() {
            None => return self.autobind(kind, owner),
            Some(0) => None,
            Some(_) => Some(NewNode::at(name)?),
        };
        let mut bound = self.0.lock();
        if bound.is_some() {
            return Err(Errno::EINVAL);
        }
        let key = node
            .map(|node| node.create(socket.attributes.lock().mode))
            .transpose()?;
        let key = key.unwrap_or_else(|| Key::Abstract(kind, name.clone()));
        enter(owner, key.clone())?;
        *bound = Some(Bound {
            name: name.clone(),
            key: Some(key),
        });
        Ok(())
    }

    /// An abstract name of its own for a socket that has none: a NUL and five digits.
    pub fn autobind(&self, kind: u32, owner: Owner) -> Result<(), Errno> {
        const NUMBERS: u32 = 0x10_0000;
        let mut bound = self.0.lock();
        if bound.is_some() {
            return Ok(());
        }
        let start = crate::random::number() as u32;
        for offset in 0..NUMBERS {
            let digits = format!("\0{:05x}", start.wrapping_add(offset) % NUMBERS);
            let name: Arc<[u8]> = digits.as_bytes().into();
            let key = Key::Abstract(kind, name.clone());
            match enter(owner.clone(), key.clone()) {
                Err(Errno::EADDRINUSE) => {}
                result => {
                    result?;
                    *bound = Some(Bound { name, key: Some(key) });
                    return Ok(());
                }
            }
        }
        Err(Errno::ENOSPC)
    }

    /// The same name, not entered: of a socket that a listening one makes.
    pub fn inherited(&self) -> Name {
        let name = self.0.lock().as_ref().map(|bound| bound.name.clone());
        Name(SpinLock::new(name.map(|name| Bound { name, key: None })))
    }

    /// The socket is gone: its name is free. Those it was connected to still know it.
    pub fn give_back(&self) {
        // Taken first: in the condition the lock would be held through the block.
        let key = self.0.lock().as_mut().and_then(|bound| bound.key.take());
        if let Some(key) = key {
            NAMES.lock().remove(&key);
        }
    }

    /// The address, if there is a name.
    pub fn known(&self) -> Option<Address> {
        self.0.lock().as_ref().map(|bound| Address::Unix(bound.name.clone()))
    }

    pub fn address(&self) -> Address {
        self.known().unwrap_or_else(none)
    }
}

/// The address of a socket without a name.
pub fn none() -> Address {
    Address::Unix(Arc::new([]))
}

/// The name in an address: EINVAL where it is no AF_UNIX one.
pub fn checked(address: &Address) -> Result<&Arc<[u8]>, Errno> {
    match address {
        Address::Unix(name) => Ok(name),
        _ => Err(Errno::EINVAL),
    }
}

fn enter(owner: Owner, key: Key) -> Result<(), Errno> {
    let mut names = NAMES.lock();
    if names.get(&key).is_some_and(Owner::is_there) {
        return Err(Errno::EADDRINUSE);
    }
    names.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    names.insert(key, owner);
    Ok(())
}

/// The file that bind(2) is to make.
struct NewNode {
    who: Credentials,
    directory: Place,
    last: Last,
}

impl NewNode {
    /// EADDRINUSE where the path has a file.
    fn at(path: &[u8]) -> Result<NewNode, Errno> {
        let cwd = task::with_current(|thread| thread.cwd());
        let who = access::current();
        let (directory, last) = walk::resolve_parent(&who, &cwd, path)?;
        if last.is_dots() || directory.inode().lookup(&directory, &last.name).is_ok() {
            return Err(Errno::EADDRINUSE);
        }
        if last.slash {
            return Err(Errno::ENOENT);
        }
        Ok(NewNode { who, directory, last })
    }

    /// With the socket's mode, but for the caller's umask.
    fn create(&self, mode: u32) -> Result<Key, Errno> {
        let mode = mode & !task::with_current(|thread| thread.umask());
        let created = tmpfs::create(&self.who, &self.directory, &self.last.name, New::Socket { mode });
        let stat = created
            .map_err(|error| match error {
                Errno::EEXIST => Errno::EADDRINUSE,
                other => other,
            })?
            .stat();
        Ok(Key::Inode(stat.dev, stat.ino))
    }
}

/// Who has a name. A path must lead to a socket that the caller may write to: ENOENT, EACCES, ECONNREFUSED. EINVAL for
/// the empty name.
pub fn find(kind: u32, name: &Arc<[u8]>) -> Result<Owner, Errno> {
    if name.is_empty() {
        return Err(Errno::EINVAL);
    }
    let key = if name.first() == Some(&0) {
        Key::Abstract(kind, name.clone())
    } else {
        let cwd = task::with_current(|thread| thread.cwd());
        let stat = walk::resolve(&cwd, name, true)?.stat();
        access::current().check(&stat, W_OK)?;
        Key::Inode(stat.dev, stat.ino)
    };
    NAMES.lock().get(&key).cloned().ok_or(Errno::ECONNREFUSED)
}
