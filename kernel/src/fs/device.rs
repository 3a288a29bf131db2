//! /dev: the memory devices and the doors to the terminal.

use super::access::ROOT;
use super::tmpfs::{self, New};
use super::{Place, Stat, devpts};
use crate::file::{File, OpenFile};
use crate::mm::user::{Sink, Source};
use crate::mqueue;
use crate::task::in_steps;
use crate::tty;
use alloc::string::String;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;

const NULL: u64 = device(1, 3);
const ZERO: u64 = device(1, 5);
const FULL: u64 = device(1, 7);
const RANDOM: u64 = device(1, 8);
const URANDOM: u64 = device(1, 9);
pub const TTY: u64 = device(5, 0);
pub const CONSOLE: u64 = device(5, 1);
const PTMX: u64 = device(5, 2);

const DEVICES: [(&[u8], u64); 8] = [
    (b"null", NULL),
    (b"zero", ZERO),
    (b"full", FULL),
    (b"random", RANDOM),
    (b"urandom", URANDOM),
    (b"tty", TTY),
    (b"console", CONSOLE),
    (b"ptmx", PTMX),
];

const LINKS: [(&[u8], &[u8]); 4] = [
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
];

/// Makes /dev and what is in it. What the boot archive has there already stays.
pub fn populate(root: &Place) -> Result<(), Errno> {
    let keep_existing = |made: Result<Place, Errno>| match made {
        Err(error) if error != Errno::EEXIST => Err(error),
        _ => Ok(()),
    };
    keep_existing(tmpfs::create(&ROOT, root, b"dev", New::Directory { mode: 0o755 }))?;
    keep_existing(tmpfs::create(&ROOT, root, b"tmp", New::Directory { mode: 0o1777 }))?;
    let dev = root.inode().lookup(root, b"dev")?;
    for (name, number) in DEVICES {
        keep_existing(tmpfs::create(
            &ROOT,
            &dev,
            name,
            New::Device {
                kind: S_IFCHR,
                mode: 0o666,
                number,
            },
        ))?;
    }
    for (name, target) in LINKS {
        keep_existing(tmpfs::create(&ROOT, &dev, name, New::SymbolicLink { target }))?;
    }
    keep_existing(tmpfs::create(&ROOT, &dev, b"shm", New::Directory { mode: 0o1777 }))?;
    devpts::mount(&dev)?;
    mqueue::mount(&dev)
}

/// Opens a character device; ENXIO for a number that nothing answers to.
pub fn open(number: u64, place: &Place) -> Result<Arc<dyn File>, Errno> {
    match number {
        NULL | ZERO | FULL | RANDOM | URANDOM => Ok(Arc::new(MemoryDevice {
            number,
            place: place.clone(),
        })),
        PTMX => tty::open_master(place),
        TTY => tty::open_controlling(place),
        CONSOLE => tty::open_console(place),
        _ => Err(Errno::ENXIO),
    }
}

/// null(4), full(4), random(4) and zero.
struct MemoryDevice {
    number: u64,
    place: Place,
}

impl MemoryDevice {
    fn fill(&self, to: &mut Sink) -> Result<usize, Errno> {
        match self.number {
            NULL => Ok(0),
            ZERO | FULL => in_steps(to.len(), 64 * 1024, |count| to.put_zeroes(count)),
            _ => crate::random::fill_sink(to),
        }
    }

    fn swallow(&self, from: &mut Source) -> Result<usize, Errno> {
        match self.number {
            FULL if from.len() > 0 => Err(Errno::ENOSPC),
            // What is written to the random device may be mixed in; it never has to be.
            _ => Ok(from.skip(from.len())),
        }
    }
}

impl File for MemoryDevice {
    fn read(&self, _open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        self.fill(to)
    }
    fn write(&self, _open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        self.swallow(from)
    }
    fn positioned(&self) -> bool {
        true
    }
    fn read_at(&self, _offset: u64, to: &mut Sink) -> Result<usize, Errno> {
        self.fill(to)
    }
    fn write_at(&self, _offset: u64, from: &mut Source) -> Result<usize, Errno> {
        self.swallow(from)
    }
    fn seek_stream(&self) -> Result<u64, Errno> {
        Ok(0)
    }
    fn stat(&self) -> Stat {
        self.place.stat()
    }
    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }
    fn link_name(&self) -> String {
        self.place.display()
    }
}
