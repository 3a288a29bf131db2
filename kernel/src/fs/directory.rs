//! Open directories, getdents64(2).

use super::{Listed, Place, Stat, watch};
use crate::file::{File, OpenFile};
use crate::mm::user::{Sink, Source};
use alloc::string::String;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::inotify::IN_ACCESS;
use libsyscall::abi::stat::DIRENT64_HEADER;

pub struct DirectoryFile {
    place: Place,
}

impl DirectoryFile {
    pub fn new(place: Place) -> DirectoryFile {
        DirectoryFile { place }
    }

    /// Records of `struct linux_dirent64` from position `from` on, as many as fit in `room` bytes; the position after
    /// them. EINVAL where not even the first fits.
    pub fn records(&self, from: u64, room: usize) -> Result<(Vec<u8>, u64), Errno> {
        let mut records = Records {
            bytes: Vec::new(),
            room,
            position: from,
            overflow: false,
        };
        let inode = self.place.inode();
        if records.position == 0 {
            records.give_dots(b".", &self.place, 1);
        }
        if records.position == 1 && !records.overflow {
            records.give_dots(b"..", &self.place.parent(), 2);
        }
        if !records.overflow {
            inode.list(&self.place, records.position.max(2), &mut |listed| records.give(listed))?;
        }
        if records.overflow && records.bytes.is_empty() {
            return Err(Errno::EINVAL);
        }
        Ok((records.bytes, records.position))
    }
}

struct Records {
    bytes: Vec<u8>,
    room: usize,
    position: u64,
    /// A record did not fit.
    overflow: bool,
}

impl Records {
    fn give_dots(&mut self, name: &[u8], place: &Place, next: u64) {
        let stat = place.stat();
        self.give(Listed {
            name,
            ino: stat.ino,
            kind: stat.kind(),
            next,
        });
    }

    fn give(&mut self, listed: Listed) -> bool {
        let len = (DIRENT64_HEADER + listed.name.len() + 1).next_multiple_of(8);
        if self.bytes.len() + len > self.room || self.bytes.try_reserve(len).is_err() {
            self.overflow = true;
            return false;
        }
        let end = self.bytes.len() + len;
        self.bytes.extend_from_slice(&listed.ino.to_ne_bytes());
        self.bytes.extend_from_slice(&listed.next.to_ne_bytes());
        self.bytes.extend_from_slice(&(len as u16).to_ne_bytes());
        // d_type is the mode's type bits, shifted down.
        self.bytes.push((listed.kind >> 12) as u8);
        self.bytes.extend_from_slice(listed.name);
        self.bytes.resize(end, 0);
        self.position = listed.next;
        true
    }
}

impl File for DirectoryFile {
    fn seekable(&self) -> bool {
        true
    }
    fn read_at(&self, _offset: u64, _to: &mut Sink) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }
    fn write_at(&self, _offset: u64, _from: &mut Source) -> Result<usize, Errno> {
        Err(Errno::EBADF)
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

/// getdents64(2) on a description: the records, with its offset moved past them. ENOTDIR.
pub fn read_directory(open: &OpenFile, room: usize) -> Result<Vec<u8>, Errno> {
    let directory = open.downcast::<DirectoryFile>().ok_or(Errno::ENOTDIR)?;
    let records = open.move_offset(|offset| {
        let (records, next) = directory.records(*offset, room)?;
        *offset = next;
        Ok(records)
    });
    watch::at_place(&directory.place, IN_ACCESS);
    records
}
