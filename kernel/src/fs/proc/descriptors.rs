//! /proc/PID/fd and /proc/PID/fdinfo.

use super::super::{Inode, Link, Place, Stat};
use super::process::Subject;
use crate::file::{FdTable, File, OpenFile};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;

/// The thread's; one that has ended has none.
fn table(subject: &Subject) -> Result<Arc<FdTable>, Errno> {
    let thread = subject.find_thread(&*subject.find()?);
    Ok(thread.map_or_else(FdTable::new, |thread| thread.files().clone()))
}

pub fn get(subject: &Subject, fd: i32) -> Result<Arc<OpenFile>, Errno> {
    table(subject)?.get_any(fd).map_err(|_| Errno::ENOENT)
}

/// Open numbers from `from` on.
pub fn open_numbers(subject: &Subject, from: i32) -> Result<Vec<i32>, Errno> {
    let table = table(subject)?;
    let after = |&fd: &i32| table.next(fd + 1);
    Ok(core::iter::successors(table.next(from), after).collect())
}

/// The mode of a link: readable and writable as the descriptor is.
pub fn link_mode(subject: &Subject, fd: i32) -> u32 {
    let Ok(open) = get(subject, fd) else { return S_IFLNK };
    let reads = if open.check_readable().is_ok() { 0o500 } else { 0 };
    let writes = if open.check_writable().is_ok() { 0o300 } else { 0 };
    S_IFLNK | reads | writes
}

/// Where the link leads: to the file itself, whatever its name is by now.
pub fn follow(subject: &Subject, fd: i32) -> Result<Link, Errno> {
    let open = get(subject, fd)?;
    Ok(Link::Place(match open.file.place() {
        Some(place) => place.clone(),
        None => {
            let name = open.file.link_name();
            Place::nameless(
                name.as_bytes(),
                Arc::new(Nameless {
                    file: open.file.share(),
                }),
            )
        }
    }))
}

/// /proc/PID/fdinfo/N: what every descriptor has and the file's own, or where that is too much for one piece, items of the
/// file's from number `from` on. The item to go on from, if there are more.
pub fn describe(subject: &Subject, fd: i32, from: u32, text: &mut String) -> Result<Option<u32>, Errno> {
    let table = table(subject)?;
    let open = table.get_any(fd).map_err(|_| Errno::ENOENT)?;
    if from > 0 {
        return Ok(open.file.fdinfo_items(from, text));
    }
    let cloexec = if table.cloexec(fd).unwrap_or(false) {
        O_CLOEXEC
    } else {
        0
    };
    let ino = open.file.stat().ino;
    let flags = open.flags() | cloexec;
    let _ = write!(
        text,
        "pos:\t{}\nflags:\t0{:o}\nmnt_id:\t1\nino:\t{}\n",
        open.offset(),
        flags,
        ino
    );
    open.file.fdinfo(text);
    Ok(open.file.fdinfo_items(0, text))
}

/// The inode of an open file without a name in the tree, for those who come by its link.
struct Nameless {
    file: Arc<dyn File>,
}

impl Inode for Nameless {
    fn stat(&self) -> Stat {
        self.file.stat()
    }

    fn open(self: Arc<Self>, _place: &Place, flags: u32) -> Result<Arc<dyn File>, Errno> {
        self.file.reopen(flags)
    }
}
