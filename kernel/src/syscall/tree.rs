//! The tree of names: directories, links, renames, working directory.

use super::Call;
use super::path::{Target, start, target};
use super::table::{Line, line};
use crate::fs::access::{self, Credentials};
use crate::fs::tmpfs::{self, New};
use crate::fs::walk::{Last, resolve_parent};
use crate::fs::{self, Link, Place, watch};
use crate::mm::user;
use libsyscall::abi::capability::{CAP_MKNOD, CAP_SYS_CHROOT};
use libsyscall::abi::fcntl::*;
use libsyscall::abi::inotify::IN_MODIFY;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::MKDIRAT, mkdirat),
    line(nr::MKNODAT, mknodat),
    line(nr::SYMLINKAT, symlinkat),
    line(nr::LINKAT, linkat),
    line(nr::UNLINKAT, unlinkat),
    line(nr::RENAMEAT, renameat),
    line(nr::RENAMEAT2, renameat2),
    line(nr::READLINKAT, readlinkat),
    line(nr::GETDENTS64, getdents64),
    line(nr::GETCWD, getcwd),
    line(nr::CHDIR, chdir),
    line(nr::CHROOT, chroot),
    line(nr::FCHDIR, fchdir),
    line(nr::TRUNCATE, truncate),
];

/// A name to be made or removed: the directory it is in, and the name.
struct Named {
    who: Credentials,
    directory: Place,
    last: Last,
}

fn named(call: &Call, directory: i32, path: usize) -> Result<Named, Errno> {
    named_at(call, directory, &user::read_path(path)?)
}

fn named_at(call: &Call, directory: i32, path: &[u8]) -> Result<Named, Errno> {
    let at = start(call, directory, path)?;
    let who = access::current();
    let (directory, last) = resolve_parent(&who, &at, path)?;
    Ok(Named { who, directory, last })
}

impl Named {
    /// Makes it. A slash behind the name is for directories only.
    fn create(&self, new: New) -> Result<usize, Errno> {
        if self.last.is_dots() || self.directory.inode().lookup(&self.directory, &self.last.name).is_ok() {
            return Err(Errno::EEXIST);
        }
        if self.last.slash && !matches!(new, New::Directory { .. }) {
            return Err(Errno::ENOENT);
        }
        tmpfs::create(&self.who, &self.directory, &self.last.name, new)?;
        Ok(0)
    }
}

fn masked(call: &Call, mode: u32) -> u32 {
    mode & 0o7777 & !call.thread().umask()
}

fn mkdirat(call: &mut Call) -> Result<usize, Errno> {
    make_directory(call, call.int(0), call.arg(1), call.uint(2))
}

/// mkdir(2). Of the special bits only the sticky one is taken from the mode.
pub fn make_directory(call: &Call, directory: i32, path: usize, mode: u32) -> Result<usize, Errno> {
    named(call, directory, path)?.create(New::Directory {
        mode: masked(call, mode & 0o1777),
    })
}

fn mknodat(call: &mut Call) -> Result<usize, Errno> {
    make_node(call, call.int(0), call.arg(1), call.uint(2), call.uint(3) as u64)
}

/// mknod(2).
pub fn make_node(call: &Call, directory: i32, path: usize, mode: u32, number: u64) -> Result<usize, Errno> {
    let named = named(call, directory, path)?;
    let bits = masked(call, mode);
    match mode & S_IFMT {
        0 | S_IFREG => named.create(New::Regular { mode: bits }),
        S_IFIFO => named.create(New::Fifo { mode: bits }),
        S_IFSOCK => named.create(New::Socket { mode: bits }),
        kind @ (S_IFCHR | S_IFBLK) if named.who.has(CAP_MKNOD) => named.create(New::Device {
            kind,
            mode: bits,
            number,
        }),
        S_IFCHR | S_IFBLK | S_IFDIR => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

fn symlinkat(call: &mut Call) -> Result<usize, Errno> {
    make_symlink(call, call.arg(0), call.int(1), call.arg(2))
}

/// symlink(2).
pub fn make_symlink(call: &Call, target: usize, directory: i32, path: usize) -> Result<usize, Errno> {
    let target = user::read_path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    named(call, directory, path)?.create(New::SymbolicLink { target: &target })
}

fn linkat(call: &mut Call) -> Result<(), Errno> {
    let flags = call.uint(4);
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    make_link(call, (call.int(0), call.arg(1)), (call.int(2), call.arg(3)), flags)
}

/// link(2): `from` gets the further name `to`, each a descriptor and a path.
pub fn make_link(call: &Call, from: (i32, usize), to: (i32, usize), flags: u32) -> Result<(), Errno> {
    let no_follow = if flags & AT_SYMLINK_FOLLOW != 0 {
        0
    } else {
        AT_SYMLINK_NOFOLLOW
    };
    let old = target(call, from.0, from.1, no_follow | (flags & AT_EMPTY_PATH))?;
    let new = named(call, to.0, to.1)?;
    if new.last.is_dots() || new.directory.inode().lookup(&new.directory, &new.last.name).is_ok() {
        return Err(Errno::EEXIST);
    }
    if new.last.slash {
        return Err(Errno::ENOENT);
    }
    tmpfs::link(&new.who, old.place()?, &new.directory, &new.last.name)?;
    Ok(())
}

fn unlinkat(call: &mut Call) -> Result<(), Errno> {
    let flags = call.uint(2);
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    remove(call, call.int(0), call.arg(1), flags & AT_REMOVEDIR != 0)
}

/// unlink(2), rmdir(2).
pub fn remove(call: &Call, directory: i32, path: usize, directory_wanted: bool) -> Result<(), Errno> {
    let named = named(call, directory, path)?;
    match (&named.last.name[..], directory_wanted) {
        (b"" | b"." | b"..", false) => return Err(Errno::EISDIR),
        (b"", true) => return Err(Errno::EBUSY),
        (b".", true) => return Err(Errno::EINVAL),
        (b"..", true) => return Err(Errno::ENOTEMPTY),
        _ => {}
    }
    if named.last.slash && !directory_wanted {
        let child = named.directory.inode().lookup(&named.directory, &named.last.name)?;
        return Err(if child.stat().kind() == S_IFDIR {
            Errno::EISDIR
        } else {
            Errno::ENOTDIR
        });
    }
    tmpfs::remove(&named.who, &named.directory, &named.last.name, directory_wanted)?;
    Ok(())
}

fn renameat(call: &mut Call) -> Result<(), Errno> {
    rename(call, (call.int(0), call.arg(1)), (call.int(2), call.arg(3)), 0)
}

fn renameat2(call: &mut Call) -> Result<(), Errno> {
    rename(
        call,
        (call.int(0), call.arg(1)),
        (call.int(2), call.arg(3)),
        call.uint(4),
    )
}

/// rename(2): each end a descriptor and a path.
pub fn rename(call: &Call, from: (i32, usize), to: (i32, usize), flags: u32) -> Result<(), Errno> {
    let both = RENAME_NOREPLACE | RENAME_EXCHANGE;
    if flags & !both != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let old = named(call, from.0, from.1)?;
    let new = named(call, to.0, to.1)?;
    if old.last.is_dots() || new.last.is_dots() {
        return Err(Errno::EBUSY);
    }
    let end = |named| {
        let Named { directory, last, .. }: &Named = named;
        tmpfs::End {
            directory,
            name: &last.name,
            slash: last.slash,
        }
    };
    tmpfs::rename(&old.who, &end(&old), &end(&new), flags)?;
    Ok(())
}

fn readlinkat(call: &mut Call) -> Result<usize, Errno> {
    read_link(call, call.int(0), call.arg(1), call.arg(2), call.int(3))
}

/// readlink(2).
pub fn read_link(call: &Call, directory: i32, path: usize, to: usize, room: i32) -> Result<usize, Errno> {
    if room <= 0 {
        return Err(Errno::EINVAL);
    }
    // An empty path is the link that the descriptor was opened on with O_PATH.
    let found = target(call, directory, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let is_descriptor = matches!(found, Target::File(_));
    let wrong = if is_descriptor { Errno::ENOENT } else { Errno::EINVAL };
    let place = found.place().map_err(|_| wrong)?;
    if place.stat().kind() != S_IFLNK {
        return Err(wrong);
    }
    let text = match place.inode().follow()? {
        Link::Path(path) => path,
        Link::Place(place) => place.display().into_bytes(),
    };
    let count = text.len().min(room as usize);
    user::write_bytes(to, &text[..count])?;
    Ok(count)
}

fn getdents64(call: &mut Call) -> Result<usize, Errno> {
    /// What one call gives at most, whatever room there is.
    const ROOM_MAX: usize = 32 * 1024;
    let open = call.file(0)?;
    let records = fs::read_directory(&open, call.arg(2).min(ROOM_MAX))?;
    user::write_bytes(call.arg(1), &records)?;
    Ok(records.len())
}

fn getcwd(call: &mut Call) -> Result<usize, Errno> {
    let mut path = call.thread().cwd().path().ok_or(Errno::ENOENT)?;
    path.push(0);
    if path.len() > call.arg(1) {
        return Err(Errno::ERANGE);
    }
    user::write_bytes(call.arg(0), &path)?;
    Ok(path.len())
}

/// ENOTDIR, EACCES where it may not be searched.
fn check_directory(place: &Place) -> Result<(), Errno> {
    let stat = place.stat();
    if stat.kind() != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    access::current().check(&stat, X_OK)
}

fn change_directory(call: &Call, place: &Place) -> Result<(), Errno> {
    check_directory(place)?;
    call.thread().set_cwd(place.clone());
    Ok(())
}

fn chdir(call: &mut Call) -> Result<(), Errno> {
    change_directory(call, target(call, AT_FDCWD, call.arg(0), 0)?.place()?)
}

fn fchdir(call: &mut Call) -> Result<(), Errno> {
    let open = call.thread().files().get_any(call.int(0))?;
    change_directory(call, open.file.place().ok_or(Errno::ENOTDIR)?)
}

/// chroot(2). The working directory stays, also where that is outside.
fn chroot(call: &mut Call) -> Result<(), Errno> {
    let target = target(call, AT_FDCWD, call.arg(0), 0)?;
    let place = target.place()?;
    check_directory(place)?;
    if !access::current().has(CAP_SYS_CHROOT) {
        return Err(Errno::EPERM);
    }
    call.thread().set_root(place.clone());
    Ok(())
}

fn truncate(call: &mut Call) -> Result<(), Errno> {
    let size = call.arg(1) as i64;
    if size < 0 {
        return Err(Errno::EINVAL);
    }
    let target = target(call, AT_FDCWD, call.arg(0), 0)?;
    let stat = target.stat();
    match stat.kind() {
        S_IFREG => {}
        S_IFDIR => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    access::current().check(&stat, W_OK)?;
    let place = target.place()?;
    place.inode().truncate(size as u64)?;
    watch::at_place(place, IN_MODIFY);
    Ok(())
}
