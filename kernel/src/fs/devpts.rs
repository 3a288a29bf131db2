//! /dev/pts: the slaves of open pseudoterminals, by number.

use super::tmpfs;
use super::{Attributes, Change, DEVPTS_DEVICE, Inode, Listed, Place, Stat, access, now_ns};
use crate::file::File;
use crate::mm::frame;
use crate::tty::{self, Terminal};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use spin::Once;
use sync::SpinLock;

/// Pairs there may be, as /proc/sys/kernel/pty/max has it on Linux.
const MAX: u32 = 4096;
/// The directory's inode number, and that of slave 0.
const DIRECTORY_INO: u64 = 1;
const FIRST_INO: u64 = 3;

/// The slaves there are; each place leads to a [`Slave`].
static SLAVES: SpinLock<BTreeMap<u32, Place>> = SpinLock::new(BTreeMap::new());
static DIRECTORY: Once<Place> = Once::new();

struct Directory {
    made_ns: i64,
}

struct Slave {
    number: u32,
    terminal: Arc<Terminal>,
    attributes: SpinLock<Attributes>,
}

/// The device number of a slave.
pub const fn device_of(number: u32) -> u64 {
    device(136, number)
}

/// Makes /dev/pts in /dev.
pub fn mount(dev: &Place) -> Result<(), Errno> {
    let place = tmpfs::mount(dev, b"pts", Arc::new(Directory { made_ns: now_ns() }))?;
    DIRECTORY.call_once(|| place);
    Ok(())
}

/// Adds a slave under the lowest free number, owned by who opens the master. ENOSPC.
pub fn add(make: impl FnOnce(u32) -> Arc<Terminal>) -> Result<(u32, Arc<Terminal>), Errno> {
    frame::admit()?;
    let directory = DIRECTORY.get().ok_or(Errno::ENOSPC)?;
    let who = access::current();
    let mut slaves = SLAVES.lock();
    let number = (0..MAX)
        .find(|number| !slaves.contains_key(number))
        .ok_or(Errno::ENOSPC)?;
    let terminal = make(number);
    let slave = Slave {
        number,
        terminal: terminal.clone(),
        attributes: SpinLock::new(Attributes::new(0o620, &who)),
    };
    let name = format!("{number}");
    slaves.insert(number, Place::child(directory, name.as_bytes(), Arc::new(slave)));
    Ok((number, terminal))
}

/// The master has gone, and its slave's name with it.
pub fn remove(number: u32) {
    let place = SLAVES.lock().remove(&number);
    if let Some(place) = place {
        place.mark_deleted();
    }
}

pub fn place_of(number: u32) -> Option<Place> {
    SLAVES.lock().get(&number).cloned()
}

impl Inode for Directory {
    fn stat(&self) -> Stat {
        Stat {
            dev: DEVPTS_DEVICE,
            ino: DIRECTORY_INO,
            mode: S_IFDIR | 0o755,
            nlink: 2,
            atime_ns: self.made_ns,
            mtime_ns: self.made_ns,
            ctime_ns: self.made_ns,
            ..Stat::default()
        }
    }

    fn open(self: Arc<Self>, place: &Place, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(super::directory::DirectoryFile::new(place.clone())))
    }

    fn lookup(&self, _this: &Place, name: &[u8]) -> Result<Place, Errno> {
        let number = super::proc::number(name).ok_or(Errno::ENOENT)?;
        place_of(number as u32).ok_or(Errno::ENOENT)
    }

    fn list(&self, _this: &Place, from: u64, give: &mut dyn FnMut(Listed) -> bool) -> Result<(), Errno> {
        let mut next = from.saturating_sub(2) as u32;
        // Without the lock while a name is given: that copies to user memory.
        while let Some(number) = SLAVES.lock().range(next..).next().map(|(&number, _)| number) {
            next = number + 1;
            let name = format!("{number}");
            let listed = Listed {
                name: name.as_bytes(),
                ino: FIRST_INO + u64::from(number),
                kind: S_IFCHR,
                next: 2 + u64::from(next),
            };
            if !give(listed) {
                break;
            }
        }
        Ok(())
    }
}

impl Inode for Slave {
    fn stat(&self) -> Stat {
        Stat {
            dev: DEVPTS_DEVICE,
            ino: FIRST_INO + u64::from(self.number),
            rdev: device_of(self.number),
            ..self.attributes.lock().stat(S_IFCHR)
        }
    }

    fn open(self: Arc<Self>, place: &Place, flags: u32) -> Result<Arc<dyn File>, Errno> {
        tty::open_slave(&self.terminal, place, flags)
    }

    fn change(&self, change: &Change) -> Result<(), Errno> {
        self.attributes.lock().change(change);
        Ok(())
    }
}
