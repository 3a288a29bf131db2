//! The queues there are, by name, and /dev/mqueue, where they are files.

use super::QueueFile;
use super::limits::Share;
use super::queue::Queue;
use crate::file::{File, OpenFile};
use crate::fs::access::{self, Credentials};
use crate::fs::directory::DirectoryFile;
use crate::fs::tmpfs::{self, New};
use crate::fs::watch::{self, Watched};
use crate::fs::{self, Change, Inode, Listed, MQUEUE_DEVICE, Place, Stat};
use crate::mm::frame;
use crate::task;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::inotify::*;
use spin::Once;
use sync::SpinLock;

/// st_size of the directory: two entries, and one for each queue.
const ENTRY_SIZE: u64 = 20;
const DIRECTORY_INO: u64 = 1;
const DIRECTORY: Watched = Watched {
    device: MQUEUE_DEVICE,
    ino: DIRECTORY_INO,
};

static NAMES: SpinLock<Names> = SpinLock::new(Names {
    by_name: BTreeMap::new(),
    by_number: BTreeMap::new(),
    changed_ns: 0,
});
/// /dev/mqueue, and the same directory as mq_open(3) has it, which is mounted nowhere.
static DIRECTORIES: Once<[Place; 2]> = Once::new();

struct Names {
    by_name: BTreeMap<Box<[u8]>, Named>,
    /// By the queue's number, for listings.
    by_number: BTreeMap<u64, Box<[u8]>>,
    /// When a name last came or went.
    changed_ns: i64,
}

/// A queue and its names: in /dev/mqueue, and mq_open(3)'s.
#[derive(Clone)]
struct Named {
    queue: Arc<Queue>,
    places: [Place; 2],
}

/// Makes /dev/mqueue in /dev.
pub fn mount(dev: &Place) -> Result<(), Errno> {
    NAMES.lock().changed_ns = fs::now_ns();
    let place = tmpfs::mount(dev, b"mqueue", Arc::new(Directory))?;
    DIRECTORIES.call_once(|| [place, Place::root(Arc::new(Directory))]);
    Ok(())
}

/// EACCES for what is no name within the directory, ENAMETOOLONG.
fn check_name(name: &[u8]) -> Result<(), Errno> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return Err(Errno::EACCES);
    }
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(())
}

/// mq_open(3) by the running thread's rights. `flags`: an access mode, O_CREAT, O_EXCL, O_NONBLOCK. `mode` and `size` (in
/// messages and bytes of each) are for a queue that it makes. ENOENT, EEXIST, EACCES, EINVAL, ENOSPC, EMFILE, ENOMEM.
pub fn open(name: &[u8], flags: u32, mode: u32, size: Option<(i64, i64)>) -> Result<Arc<OpenFile>, Errno> {
    check_name(name)?;
    let who = access::current();
    let exclusive = flags & O_CREAT != 0 && flags & O_EXCL != 0;
    let named = loop {
        let known = NAMES.lock().by_name.get(name).cloned();
        match known {
            Some(_) if exclusive => return Err(Errno::EEXIST),
            Some(named) => {
                check_access(&who, &named.queue, flags)?;
                break named;
            }
            None if flags & O_CREAT == 0 => return Err(Errno::ENOENT),
            None => match create(&who, name, mode, size) {
                // Another made it in between: then it is there to be opened.
                Err(Errno::EEXIST) if !exclusive => {}
                made => break made?,
            },
        }
    };
    let [_, place] = named.places;
    let file = QueueFile {
        queue: named.queue,
        place: place.clone(),
    };
    let open = OpenFile::new(Arc::new(file), flags);
    watch::at_place(&place, IN_OPEN);
    Ok(open)
}

/// EACCES, EINVAL for an access mode that is none.
fn check_access(who: &Credentials, queue: &Queue, flags: u32) -> Result<(), Errno> {
    let wanted = match flags & O_ACCMODE {
        O_RDONLY => R_OK,
        O_WRONLY => W_OK,
        O_RDWR => R_OK | W_OK,
        _ => return Err(Errno::EINVAL),
    };
    who.check(&queue.stat(), wanted)
}

/// Makes a queue. `mode` is what was asked for: the umask is applied here. EEXIST.
fn create(who: &Credentials, name: &[u8], mode: u32, size: Option<(i64, i64)>) -> Result<Named, Errno> {
    frame::admit()?;
    let directories = DIRECTORIES.get().ok_or(Errno::ENOENT)?;
    let (size, share) = Share::take(who, size)?;
    let umask = task::with_current(|thread| thread.umask());
    let queue = Arc::new(Queue::new(mode & 0o7777 & !umask, who, size, share));
    let made = Named {
        places: directories
            .each_ref()
            .map(|directory| Place::child(directory, name, queue.clone())),
        queue,
    };
    let mut names = NAMES.lock();
    if names.by_name.contains_key(name) {
        // What was made for it goes without the lock.
        drop(names);
        return Err(Errno::EEXIST);
    }
    names.by_number.insert(made.queue.number, name.into());
    names.by_name.insert(name.into(), made.clone());
    names.changed_ns = fs::now_ns();
    watch::in_directory(DIRECTORY, IN_CREATE, name, false, 0);
    Ok(made)
}

/// mq_unlink(3): ENOENT, EPERM where another's queue is not the caller's to remove. Who has it open keeps it.
pub fn unlink(name: &[u8]) -> Result<(), Errno> {
    check_name(name)?;
    remove(&access::current(), name)
}

fn remove(who: &Credentials, name: &[u8]) -> Result<(), Errno> {
    let mut names = NAMES.lock();
    let named = names.by_name.get(name).cloned().ok_or(Errno::ENOENT)?;
    who.check_sticky(&names.stat(), &named.queue.stat())?;
    let in_table = names.by_name.remove(name);
    names.by_number.remove(&named.queue.number);
    names.changed_ns = fs::now_ns();
    drop(names);
    named.queue.unlinked();
    named.places.iter().for_each(Place::mark_deleted);
    if watch::is_used() {
        watch::at_inode(Watched::new(&named.queue.stat()), IN_ATTRIB);
    }
    // Where nobody has it open its end is told before its name's.
    drop((in_table, named));
    watch::in_directory(DIRECTORY, IN_DELETE, name, false, 0);
    Ok(())
}

impl Names {
    /// Of the directory.
    fn stat(&self) -> Stat {
        Stat {
            dev: MQUEUE_DEVICE,
            ino: DIRECTORY_INO,
            mode: S_IFDIR | S_ISVTX | 0o777,
            nlink: 2,
            size: ENTRY_SIZE * (2 + self.by_name.len() as u64),
            atime_ns: self.changed_ns,
            mtime_ns: self.changed_ns,
            ctime_ns: self.changed_ns,
            ..Stat::default()
        }
    }
}

/// /dev/mqueue.
struct Directory;

impl Inode for Directory {
    fn stat(&self) -> Stat {
        NAMES.lock().stat()
    }

    fn open(self: Arc<Self>, place: &Place, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(DirectoryFile::new(place.clone())))
    }

    fn lookup(&self, _this: &Place, name: &[u8]) -> Result<Place, Errno> {
        let names = NAMES.lock();
        names
            .by_name
            .get(name)
            .map(|named| named.places[0].clone())
            .ok_or(Errno::ENOENT)
    }

    fn list(&self, _this: &Place, from: u64, give: &mut dyn FnMut(Listed) -> bool) -> Result<(), Errno> {
        let mut number = from;
        loop {
            // Without the lock while a name is given: that copies to user memory.
            let next = NAMES
                .lock()
                .by_number
                .range(number..)
                .next()
                .map(|(&ino, name)| (ino, name.clone()));
            let Some((ino, name)) = next else { return Ok(()) };
            number = ino + 1;
            let listed = Listed {
                name: &name,
                ino,
                kind: S_IFREG,
                next: number,
            };
            if !give(listed) {
                return Ok(());
            }
        }
    }

    fn create(&self, who: &Credentials, _this: &Place, name: &[u8], new: &New) -> Result<Place, Errno> {
        let New::Regular { mode } = *new else {
            return Err(Errno::EPERM);
        };
        create(who, name, mode, None).map(|Named { places: [place, _], .. }| place)
    }

    fn remove(&self, who: &Credentials, this: &Place, name: &[u8], directory_wanted: bool) -> Result<(), Errno> {
        if directory_wanted {
            return self.lookup(this, name).and(Err(Errno::ENOTDIR));
        }
        remove(who, name)
    }
}

impl Inode for Queue {
    fn stat(&self) -> Stat {
        Queue::stat(self)
    }

    fn open(self: Arc<Self>, place: &Place, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(QueueFile {
            place: place.clone(),
            queue: self,
        }))
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        Queue::truncate(self, size);
        Ok(())
    }

    fn change(&self, change: &Change) -> Result<(), Errno> {
        Queue::change(self, change);
        Ok(())
    }
}
