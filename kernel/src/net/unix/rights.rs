//! SCM_RIGHTS: descriptions in flight from one descriptor table to another.
//!
//! A socket in flight may hold, in its own queue, what keeps it in flight. What only such queues hold nobody can reach
//! any more, and no count of references ends it: it is looked for when descriptors are closed ([`collect`]).

use crate::file::OpenFile;
use crate::net::socket::Socket;
use crate::task;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use hashbrown::HashMap;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_SYS_RESOURCE;
use libsyscall::abi::socket::AF_UNIX;
use spin::LazyLock;
use sync::SpinLock;

/// Descriptions that go with a segment.
pub struct Rights(Option<Box<Batch>>);

struct Batch {
    files: Vec<Arc<OpenFile>>,
    /// Whose they are in [`FLIGHT`]; `None`: they are not in flight, but read twice.
    user: Option<u32>,
    /// The next one to be dropped.
    next: Option<Box<Batch>>,
}

/// An AF_UNIX socket in flight.
struct Traveller {
    open: Weak<OpenFile>,
    /// How many times it is in flight.
    count: usize,
}

#[derive(Default)]
struct Flight {
    /// By the description's number.
    sockets: HashMap<u64, Traveller>,
    /// Descriptions of any kind, by user.
    users: HashMap<u32, usize>,
    /// Calls of [`collect`] until it is worth the while to look for unreachable ones again.
    patience: usize,
    /// Somebody is looking, or is to look once more.
    looking: bool,
    again: bool,
}

static FLIGHT: LazyLock<SpinLock<Flight>> = LazyLock::new(SpinLock::default);
/// AF_UNIX sockets in flight: usually none, which is seen without the lock.
static SOCKETS: AtomicUsize = AtomicUsize::new(0);

fn unix_socket(open: &OpenFile) -> Option<&Socket> {
    open.downcast::<Socket>()
        .filter(|socket| socket.0.common().domain == AF_UNIX)
}

impl Rights {
    /// Descriptions that leave now. ETOOMANYREFS where more of the user's are in flight than it may have open; ENOMEM.
    pub fn new(files: Vec<Arc<OpenFile>>) -> Result<Rights, Errno> {
        let (user, limit) = task::with_current(|thread| {
            let credentials = thread.credentials();
            let user = credentials.uid.real;
            let privileged = credentials.has(CAP_SYS_RESOURCE);
            drop(credentials);
            let limit = if privileged {
                usize::MAX
            } else {
                thread.process.file_limit()
            };
            (user, limit)
        });
        let mut flight = FLIGHT.lock();
        flight.users.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        flight.sockets.try_reserve(files.len()).map_err(|_| Errno::ENOMEM)?;
        let travelling = flight.users.entry(user).or_default();
        if *travelling > limit {
            return Err(Errno::ETOOMANYREFS);
        }
        *travelling += files.len();
        for open in files.iter().filter(|open| unix_socket(open).is_some()) {
            let traveller = flight.sockets.entry(open.id()).or_insert_with(|| Traveller {
                open: Arc::downgrade(open),
                count: 0,
            });
            traveller.count += 1;
        }
        SOCKETS.store(flight.sockets.len(), Relaxed);
        drop(flight);
        Ok(Rights::of(files, Some(user)))
    }

    fn of(files: Vec<Arc<OpenFile>>, user: Option<u32>) -> Rights {
        Rights(Some(Box::new(Batch {
            files,
            user,
            next: None,
        })))
    }

    fn files(&self) -> &[Arc<OpenFile>] {
        self.0.as_ref().map_or(&[], |batch| &batch.files)
    }

    /// The same once more, for MSG_PEEK: ENOMEM.
    pub fn duplicate(&self) -> Result<Rights, Errno> {
        let mut files = Vec::new();
        files.try_reserve_exact(self.files().len()).map_err(|_| Errno::ENOMEM)?;
        files.extend(self.files().iter().cloned());
        Ok(Rights::of(files, None))
    }

    /// They arrived.
    pub fn land(mut self) -> Vec<Arc<OpenFile>> {
        self.0.take().map_or_else(Vec::new, |mut batch| {
            batch.leave_flight();
            core::mem::take(&mut batch.files)
        })
    }
}

impl Batch {
    fn leave_flight(&mut self) {
        let Some(user) = self.user.take() else {
            return;
        };
        let mut flight = FLIGHT.lock();
        if let Some(travelling) = flight.users.get_mut(&user) {
            *travelling -= self.files.len();
            if *travelling == 0 {
                flight.users.remove(&user);
            }
        }
        for open in self.files.iter().filter(|open| unix_socket(open).is_some()) {
            if let Some(traveller) = flight.sockets.get_mut(&open.id()) {
                traveller.count -= 1;
                if traveller.count == 0 {
                    flight.sockets.remove(&open.id());
                }
            }
        }
        SOCKETS.store(flight.sockets.len(), Relaxed);
    }
}

/// What is to be dropped, and whether somebody is at it.
#[derive(Default)]
struct Dropping {
    first: Option<Box<Batch>>,
    busy: bool,
}

static DROPPING: SpinLock<Dropping> = SpinLock::new(Dropping {
    first: None,
    busy: false,
});

impl Drop for Rights {
    /// Dropping a socket drops what is in its queue, and that may be sockets again, as deep as a program likes: so
    /// whoever comes first drops one after the other, and the rest only add to the row.
    fn drop(&mut self) {
        let Some(mut batch) = self.0.take() else {
            return;
        };
        batch.leave_flight();
        let mut dropping = DROPPING.lock();
        batch.next = dropping.first.take();
        dropping.first = Some(batch);
        if dropping.busy {
            return;
        }
        dropping.busy = true;
        while let Some(mut batch) = dropping.first.take() {
            dropping.first = batch.next.take();
            drop(dropping);
            drop(batch);
            dropping = DROPPING.lock();
        }
        dropping.busy = false;
    }
}

/// A socket whose every reference is in flight.
struct Suspect {
    open: Arc<OpenFile>,
    /// References in flight that are in no suspect's queue.
    outside: usize,
    /// Places of the suspects in its queue.
    holds: Vec<usize>,
    reachable: bool,
}

/// Drops what only queues of sockets hold that only such queues hold. Called when descriptors have been closed, and sockets.
pub fn collect() {
    if SOCKETS.load(Relaxed) == 0 {
        return;
    }
    let mut flight = FLIGHT.lock();
    if flight.patience > 0 {
        flight.patience -= 1;
        return;
    }
    flight.again = true;
    if flight.looking {
        return;
    }
    flight.looking = true;
    while flight.again {
        flight.again = false;
        let suspects = find_suspects(&flight);
        // Looking again costs as much as there is to be looked at: a share of that is to be closed first.
        flight.patience = flight.sockets.len() / 4;
        drop(flight);
        for suspect in suspects.iter().filter(|suspect| !suspect.reachable) {
            if let Some(socket) = unix_socket(&suspect.open) {
                socket.0.drop_rights();
            }
        }
        drop(suspects);
        flight = FLIGHT.lock();
    }
    flight.looking = false;
}

/// The sockets all of whose references are in flight, and which of them can be reached after all; none where there is no
/// memory to look with.
///
/// While this runs nothing leaves a queue for good, for that takes the same lock. What is peeked at has one reference
/// more than are in flight. And who holds whom is noted once, so that what is taken out of a queue in between is still
/// found there.
fn find_suspects(flight: &Flight) -> Vec<Suspect> {
    let mut suspects: Vec<Suspect> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    if suspects.try_reserve(flight.sockets.len()).is_err() || places.try_reserve(flight.sockets.len()).is_err() {
        return suspects;
    }
    for (&id, traveller) in &flight.sockets {
        if traveller.open.strong_count() == traveller.count
            && let Some(open) = traveller.open.upgrade()
        {
            places.insert(id, suspects.len());
            suspects.push(Suspect {
                open,
                outside: traveller.count,
                holds: Vec::new(),
                reachable: false,
            });
        }
    }
    for place in 0..suspects.len() {
        let mut holds: Vec<usize> = Vec::new();
        if let Some(socket) = unix_socket(&suspects[place].open) {
            socket.0.for_each_rights(&mut |rights| {
                holds.extend(rights.files().iter().filter_map(|open| places.get(&open.id())));
            });
        }
        for &held in &holds {
            suspects[held].outside -= 1;
        }
        suspects[place].holds = holds;
    }
    let mut found: Vec<usize> = (0..suspects.len())
        .filter(|&place| suspects[place].outside > 0)
        .collect();
    while let Some(place) = found.pop() {
        if !core::mem::replace(&mut suspects[place].reachable, true) {
            found.extend_from_slice(&suspects[place].holds);
        }
    }
    suspects
}
