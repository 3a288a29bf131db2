//! open(2).

use super::access::{self, Credentials};
use super::tmpfs::{self, Node, Seals};
use super::walk::{Bounds, Last, Walk, resolve_within};
use super::{Place, tmpfs::New, watch};
use crate::file::{File, OpenFile};
use alloc::string::String;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::inotify::{IN_MODIFY, IN_OPEN};

/// open(2) relative to `at` with the running thread's credentials and umask, by a path within `bounds`.
pub fn open(at: &Place, path: &[u8], flags: u32, mode: u32, bounds: Bounds) -> Result<Arc<OpenFile>, Errno> {
    let who = access::current();
    if flags & O_TMPFILE & !O_DIRECTORY != 0 {
        return open_temporary(&who, at, path, flags, mode, bounds);
    }
    if flags & O_PATH != 0 {
        let place = resolve_for_open(&who, at, path, flags & !O_CREAT, mode, bounds)?.0;
        return open_place_as(
            &who,
            &place,
            flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
            false,
        );
    }
    if flags & O_CREAT != 0 && flags & O_DIRECTORY != 0 {
        return Err(Errno::EINVAL);
    }
    let (place, created) = resolve_for_open(&who, at, path, flags, mode, bounds)?;
    open_place_as(&who, &place, flags, created)
}

/// Finds the file, or makes it where O_CREAT asks; true where it is new.
fn resolve_for_open(
    who: &Credentials,
    at: &Place,
    path: &[u8],
    flags: u32,
    mode: u32,
    bounds: Bounds,
) -> Result<(Place, bool), Errno> {
    let create = flags & O_CREAT != 0;
    let exclusive = create && flags & O_EXCL != 0;
    let follow = flags & O_NOFOLLOW == 0 && !exclusive;
    let mut walk = Walk::new(who, at, path, bounds)?;
    loop {
        let last = walk.find_last()?;
        if create && (last.slash || last.is_dots()) {
            return Err(Errno::EISDIR);
        }
        let place = match walk.child(&last.name) {
            Err(Errno::ENOENT) if create => match make(who, &walk.at, &last, mode) {
                // Another made it in between: then it is there to be opened.
                Err(Errno::EEXIST) if !exclusive => continue,
                made => return made.map(|place| (place, true)),
            },
            found => found?,
        };
        if exclusive {
            return Err(Errno::EEXIST);
        }
        if let Some(place) = walk.arrive(&last, place, follow)? {
            if place.stat().kind() == S_IFLNK && flags & O_PATH == 0 {
                return Err(if flags & O_DIRECTORY != 0 {
                    Errno::ENOTDIR
                } else {
                    Errno::ELOOP
                });
            }
            return Ok((place, false));
        }
    }
}

fn make(who: &Credentials, directory: &Place, last: &Last, mode: u32) -> Result<Place, Errno> {
    let umask = crate::task::with_current(|thread| thread.umask());
    tmpfs::create(
        who,
        directory,
        &last.name,
        New::Regular {
            mode: mode & 0o7777 & !umask,
        },
    )
}

/// O_TMPFILE: a file without a name in the directory `path`.
fn open_temporary(
    who: &Credentials,
    at: &Place,
    path: &[u8],
    flags: u32,
    mode: u32,
    bounds: Bounds,
) -> Result<Arc<OpenFile>, Errno> {
    if flags & O_DIRECTORY == 0 || flags & O_ACCMODE == O_RDONLY {
        return Err(Errno::EINVAL);
    }
    let directory = resolve_within(who, at, path, true, bounds)?;
    let stat = directory.stat();
    if stat.kind() != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    who.check(&stat, W_OK | X_OK)?;
    if stat.dev != super::TMPFS_DEVICE {
        return Err(Errno::EOPNOTSUPP);
    }
    let umask = crate::task::with_current(|thread| thread.umask());
    let node = Node::unnamed(mode & 0o7777 & !umask, *who, Seals::SEAL);
    let name = alloc::format!("{}/#{} (deleted)", directory.display(), node.ino());
    open_place_as(who, &Place::nameless(name.as_bytes(), node), flags & !O_TMPFILE, true)
}

/// Opens a place that is known, by the running thread's rights.
pub fn open_place(place: &Place, flags: u32) -> Result<Arc<OpenFile>, Errno> {
    open_place_as(&access::current(), place, flags, false)
}

fn open_place_as(who: &Credentials, place: &Place, flags: u32, created: bool) -> Result<Arc<OpenFile>, Errno> {
    let stat = place.stat();
    let kind = stat.kind();
    if flags & O_DIRECTORY != 0 && kind != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    if flags & O_PATH != 0 {
        return Ok(OpenFile::new(Arc::new(PathFile { place: place.clone() }), flags));
    }
    let reads = flags & O_ACCMODE != O_WRONLY;
    let writes = flags & O_ACCMODE != O_RDONLY;
    if kind == S_IFDIR && (writes || flags & (O_CREAT | O_TRUNC) != 0) {
        return Err(Errno::EISDIR);
    }
    // Whoever makes a file may use it as asked, whatever mode it gets.
    if !created {
        let truncates = flags & O_TRUNC != 0;
        let wanted = if reads { R_OK } else { 0 } | if writes || truncates { W_OK } else { 0 };
        who.check(&stat, wanted)?;
        if flags & O_NOATIME != 0 && !who.owns(&stat) {
            return Err(Errno::EPERM);
        }
    }
    let open = OpenFile::new(place.inode().clone().open(place, flags)?, flags | O_LARGEFILE);
    watch::at_place(place, IN_OPEN);
    if flags & O_TRUNC != 0 && kind == S_IFREG && !created {
        place.inode().truncate(0)?;
        watch::at_place(place, IN_MODIFY);
    }
    Ok(open)
}

/// What O_PATH opens: a place and nothing to do with it.
pub struct PathFile {
    place: Place,
}

impl File for PathFile {
    fn stat(&self) -> super::Stat {
        self.place.stat()
    }
    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }
    fn link_name(&self) -> String {
        self.place.display()
    }
}
