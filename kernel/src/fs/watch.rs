//! Who watches files, inotify(7): the watches of all instances, and what happens to files told to them.
//!
//! A watch belongs to an inode, by its device and number, and to an instance. All of them stand in one table, so that a
//! kernel in which nobody watches pays one load for each open, read and write ([`is_used`]), and inodes have nothing that
//! is for watches.
//!
//! Locks: `tmpfs::TREE` > the table > an instance's queue > its readers. What happens to names is told under `TREE`, so
//! that it is told in the order in which it happened.

use super::{Place, Stat, TMPFS_DEVICE};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use event::NoticeQueue;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::S_IFDIR;
use libsyscall::abi::inotify::*;
use sync::SpinLock;

/// /proc/sys/fs/inotify: notices in a queue, instances of a user, watches of a user.
pub const QUEUED_MAX: usize = 16384;
pub const INSTANCES_MAX: usize = 128;
pub const WATCHES_MAX: usize = 1 << 16;

/// An inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watched {
    pub device: u64,
    pub ino: u64,
}

impl Watched {
    pub fn new(stat: &Stat) -> Watched {
        Watched {
            device: stat.dev,
            ino: stat.ino,
        }
    }

    pub fn of_tmpfs(ino: u64) -> Watched {
        Watched {
            device: TMPFS_DEVICE,
            ino,
        }
    }
}

struct Watch {
    instance: Arc<Instance>,
    number: i32,
    /// Events, IN_EXCL_UNLINK and IN_ONESHOT.
    mask: u32,
}

struct Table {
    /// By inode, then by the instance's identity.
    watches: BTreeMap<(Watched, u64), Watch>,
    /// The inode of a watch, by the instance's identity and the watch's number.
    numbers: BTreeMap<(u64, i32), Watched>,
}

static TABLE: SpinLock<Table> = SpinLock::new(Table {
    watches: BTreeMap::new(),
    numbers: BTreeMap::new(),
});

/// Watches in the table, readable without its lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Whether anybody watches anything.
#[inline]
pub fn is_used() -> bool {
    COUNT.load(Ordering::Relaxed) != 0
}

/// What a user has of instances and watches.
#[derive(Default)]
pub struct Usage {
    instances: AtomicUsize,
    watches: AtomicUsize,
}

/// Counts one more unless that makes it more than `max`.
fn charge(count: &AtomicUsize, max: usize) -> bool {
    let more = |count| (count < max).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// An inotify instance.
pub struct Instance {
    /// Never used twice.
    id: u64,
    pub queue: NoticeQueue,
    usage: Arc<Usage>,
    /// The number of the newest watch: none is used twice, so that no event is taken for another's.
    newest: AtomicU32,
}

/// A watch as fdinfo tells of it.
pub struct Described {
    pub number: i32,
    pub ino: u64,
    pub device: u64,
    pub mask: u32,
}

impl Instance {
    /// EMFILE where the user has as many as there may be.
    pub fn new(usage: Arc<Usage>) -> Result<Arc<Instance>, Errno> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        if !charge(&usage.instances, INSTANCES_MAX) {
            return Err(Errno::EMFILE);
        }
        Ok(Arc::new(Instance {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            queue: NoticeQueue::new(QUEUED_MAX),
            usage,
            newest: AtomicU32::new(0),
        }))
    }

    /// inotify_add_watch(2) of the inode that `stat` is of, with a mask that has been checked. The watch's number; EEXIST,
    /// ENOSPC.
    pub fn add(self: &Arc<Self>, stat: &Stat, mask: u32) -> Result<i32, Errno> {
        let watched = Watched::new(stat);
        let kept = mask & (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT);
        let mut table = TABLE.lock();
        if let Some(watch) = table.watches.get_mut(&(watched, self.id)) {
            if mask & IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            let former = if mask & IN_MASK_ADD != 0 { watch.mask } else { 0 };
            watch.mask = former | kept;
            return Ok(watch.number);
        }
        if !charge(&self.usage.watches, WATCHES_MAX) {
            return Err(Errno::ENOSPC);
        }
        let number = self.new_number(&table);
        let watch = Watch {
            instance: self.clone(),
            number,
            mask: kept,
        };
        table.watches.insert((watched, self.id), watch);
        table.numbers.insert((self.id, number), watched);
        COUNT.fetch_add(1, Ordering::Relaxed);
        Ok(number)
    }

    /// The next number that is not in use; they begin again at 1 after 2^31 - 1.
    fn new_number(&self, table: &Table) -> i32 {
        loop {
            let number = (self.newest.fetch_add(1, Ordering::Relaxed) & i32::MAX as u32) as i32 + 1;
            if number > 0 && !table.numbers.contains_key(&(self.id, number)) {
                return number;
            }
        }
    }

    /// inotify_rm_watch(2): EINVAL where there is no such watch.
    pub fn remove(&self, number: i32) -> Result<(), Errno> {
        let mut table = TABLE.lock();
        let &watched = table.numbers.get(&(self.id, number)).ok_or(Errno::EINVAL)?;
        table.end(watched, self.id);
        Ok(())
    }

    /// The instance's last descriptor has gone, and its watches go.
    pub fn close(&self) {
        loop {
            // One at a time: others need the table too.
            let mut table = TABLE.lock();
            let first = table.numbers.range((self.id, 0)..=(self.id, i32::MAX)).next();
            let Some((_, &watched)) = first else { break };
            table.take(watched, self.id);
        }
        self.usage.instances.fetch_sub(1, Ordering::Relaxed);
    }

    /// The first watch with a number from `from` on.
    pub fn describe(&self, from: i32) -> Option<Described> {
        let table = TABLE.lock();
        let (&(_, number), watched) = table.numbers.range((self.id, from)..=(self.id, i32::MAX)).next()?;
        Some(Described {
            number,
            ino: watched.ino,
            device: watched.device,
            mask: table.watches.get(&(*watched, self.id))?.mask,
        })
    }
}

impl Table {
    fn take(&mut self, watched: Watched, instance: u64) -> Option<Watch> {
        let watch = self.watches.remove(&(watched, instance))?;
        self.numbers.remove(&(instance, watch.number));
        watch.instance.usage.watches.fetch_sub(1, Ordering::Relaxed);
        COUNT.fetch_sub(1, Ordering::Relaxed);
        Some(watch)
    }

    /// Ends a watch and says so.
    fn end(&mut self, watched: Watched, instance: u64) {
        if let Some(watch) = self.take(watched, instance) {
            watch.instance.queue.put(watch.number, IN_IGNORED, 0, b"");
        }
    }

    /// Tells all who watch an inode.
    fn tell(&mut self, watched: Watched, happened: &Happened) {
        let mut from = 0;
        while let Some((&(_, instance), watch)) = self.watches.range((watched, from)..=(watched, u64::MAX)).next() {
            from = instance + 1;
            let excluded = happened.is_unlinked && watch.mask & IN_EXCL_UNLINK != 0;
            if watch.mask & happened.mask & IN_ALL_EVENTS == 0 || excluded {
                continue;
            }
            let last = watch.mask & IN_ONESHOT != 0;
            watch
                .instance
                .queue
                .put(watch.number, happened.mask, happened.cookie, happened.name);
            if last {
                self.end(watched, instance);
            }
        }
    }
}

/// What happened, as a watch of one inode is told.
#[derive(Default)]
struct Happened<'a> {
    mask: u32,
    cookie: u32,
    /// The name in the watched directory.
    name: &'a [u8],
    /// Something was done to an open file whose name has gone.
    is_unlinked: bool,
}

/// IN_ISDIR, where the mode says so.
fn directory_bit(stat: &Stat) -> u32 {
    if stat.kind() == S_IFDIR { IN_ISDIR } else { 0 }
}

/// Something was done to a file found by a name: its directory is told with the name, then who watches the file itself.
#[inline]
pub fn at_place(place: &Place, event: u32) {
    if is_used() {
        tell_place(place, event);
    }
}

#[inline(never)]
fn tell_place(place: &Place, event: u32) {
    let stat = place.stat();
    let mask = event | directory_bit(&stat);
    // Attributes are the inode's, whether it has a name or not.
    let is_unlinked = event & IN_ATTRIB == 0 && place.is_deleted();
    if let Some((parent, name)) = place.parent_and_name() {
        let directory = parent.stat();
        // What a filesystem is mounted on does not hear of its root.
        if directory.dev == stat.dev {
            let happened = Happened {
                mask,
                name: &name,
                is_unlinked,
                ..Happened::default()
            };
            TABLE.lock().tell(Watched::new(&directory), &happened);
        }
    }
    let happened = Happened {
        mask,
        is_unlinked,
        ..Happened::default()
    };
    TABLE.lock().tell(Watched::new(&stat), &happened);
}

/// Something happened to a file that is not for its directory to hear.
#[inline]
pub fn at_inode(file: Watched, event: u32) {
    if is_used() {
        let happened = Happened {
            mask: event,
            ..Happened::default()
        };
        TABLE.lock().tell(file, &happened);
    }
}

/// A name came, went or moved in a directory; `cookie` joins the halves of a move. In tmpfs `TREE` is held.
#[inline]
pub fn in_directory(directory: Watched, event: u32, name: &[u8], is_directory: bool, cookie: u32) {
    if is_used() {
        let happened = Happened {
            mask: event | if is_directory { IN_ISDIR } else { 0 },
            cookie,
            name,
            is_unlinked: false,
        };
        TABLE.lock().tell(directory, &happened);
    }
}

/// A number for the two halves of a move; never 0.
pub fn new_cookie() -> u32 {
    static NEWEST: AtomicU32 = AtomicU32::new(0);
    loop {
        let cookie = NEWEST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if cookie != 0 {
            return cookie;
        }
    }
}

/// A file has lost its last name and is open nowhere by it: who watched it is told, and its watches end.
#[inline]
pub fn gone(file: Watched) {
    if is_used() {
        end_watches(file);
    }
}

#[inline(never)]
fn end_watches(watched: Watched) {
    let mut table = TABLE.lock();
    let happened = Happened {
        mask: IN_DELETE_SELF,
        ..Happened::default()
    };
    table.tell(watched, &happened);
    while let Some((&(_, instance), _)) = table.watches.range((watched, 0)..=(watched, u64::MAX)).next() {
        table.end(watched, instance);
    }
}
