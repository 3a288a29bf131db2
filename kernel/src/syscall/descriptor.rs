//! Descriptors: open(2), close(2), dup(2), pipe(2), fcntl(2), ioctl(2).

use super::table::{Line, line};
use super::{Call, lock, owner, path};
use crate::arch::PAGE_SIZE;
use crate::file::OpenFile;
use crate::fs::place::Place;
use crate::fs::tmpfs::{Node, RegularFile, Seals};
use crate::fs::{self, Bounds};
use crate::mm::user;
use crate::net::unix::rights;
use crate::pipe::{self, PipeEnd};
use alloc::sync::Arc;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::ioctl::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::OPENAT, openat),
    line(nr::OPENAT2, openat2),
    line(nr::CLOSE, close),
    line(nr::CLOSE_RANGE, close_range),
    line(nr::DUP, dup),
    line(nr::DUP3, dup3),
    line(nr::PIPE2, pipe2),
    line(nr::FCNTL, fcntl),
    line(nr::IOCTL, ioctl),
    line(nr::MEMFD_CREATE, memfd_create),
];

/// Puts a new description at the lowest free number.
pub fn install(call: &Call, open: Arc<OpenFile>, cloexec: bool) -> Result<usize, Errno> {
    install_from(call, open, cloexec, 0)
}

fn install_from(call: &Call, open: Arc<OpenFile>, cloexec: bool, from: i32) -> Result<usize, Errno> {
    let thread = call.thread();
    thread
        .files()
        .insert(open, cloexec, from, thread.process.file_limit())
        .map(|fd| fd as usize)
}

fn openat(call: &mut Call) -> Result<usize, Errno> {
    open_at(call, call.int(0), call.arg(1), call.uint(2), call.uint(3))
}

/// open(2) and openat(2).
pub fn open_at(call: &Call, directory: i32, path: usize, flags: u32, mode: u32) -> Result<usize, Errno> {
    let path = user::read_path(path)?;
    let at = path::start(call, directory, &path)?;
    let open = fs::open(&at, &path, flags, mode, Bounds::empty())?;
    install(call, open, flags & O_CLOEXEC != 0)
}

/// openat2(2).
fn openat2(call: &mut Call) -> Result<usize, Errno> {
    /// What open(2) knows; unlike that, this call refuses the rest.
    const KNOWN: u32 = O_ACCMODE
        | O_CREAT
        | O_EXCL
        | O_NOCTTY
        | O_TRUNC
        | O_APPEND
        | O_NONBLOCK
        | O_SYNC
        | O_ASYNC
        | O_DIRECT
        | O_LARGEFILE
        | O_DIRECTORY
        | O_NOFOLLOW
        | O_NOATIME
        | O_CLOEXEC
        | O_PATH
        | O_TMPFILE;
    const WITH_PATH: u32 = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    let [flags, mode, resolve] = read_how(call.arg(2), call.arg(3))?;
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let bounds = Bounds::from_bits(resolve).ok_or(Errno::EINVAL)?;
    let temporary = flags & O_TMPFILE & !O_DIRECTORY != 0;
    let makes = flags & O_CREAT != 0 || temporary;
    if flags & !KNOWN != 0
        || bounds.contains(Bounds::BENEATH | Bounds::IN_ROOT)
        || mode & !if makes { 0o7777 } else { 0 } != 0
        || flags & O_PATH != 0 && flags & !WITH_PATH != 0
    {
        return Err(Errno::EINVAL);
    }
    if bounds.contains(Bounds::CACHED) && (makes || flags & O_TRUNC != 0) {
        return Err(Errno::EAGAIN);
    }
    let path = user::read_path(call.arg(1))?;
    // Where an absolute path starts is the descriptor's directory where that is the root.
    let begins = if bounds.contains(Bounds::IN_ROOT) {
        b"."
    } else {
        &path[..]
    };
    let at = path::start(call, call.int(0), begins)?;
    let open = fs::open(&at, &path, flags, mode as u32, bounds)?;
    install(call, open, flags & O_CLOEXEC != 0)
}

/// struct open_how, of which there may be longer ones: E2BIG where they ask for what nobody knows.
fn read_how(address: usize, size: usize) -> Result<[u64; 3], Errno> {
    const SIZE: usize = size_of::<[u64; 3]>();
    if size < SIZE {
        return Err(Errno::EINVAL);
    }
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    for offset in SIZE..size {
        if user::read::<u8>(address.wrapping_add(offset))? != 0 {
            return Err(Errno::E2BIG);
        }
    }
    user::read(address)
}

fn close(call: &mut Call) -> Result<(), Errno> {
    call.thread().files().close(call.int(0))?.close();
    // It may have been the last way to a socket that is in flight itself.
    rights::collect();
    Ok(())
}

/// close_range(2).
fn close_range(call: &mut Call) -> Result<(), Errno> {
    let (first, last, flags) = (call.uint(0), call.uint(1), call.uint(2));
    if first > last || flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        call.thread().unshare_files()?;
    }
    let files = call.thread().files();
    let last = last.min(i32::MAX as u32) as i32;
    let mut from = first.min(i32::MAX as u32) as i32;
    while let Some(fd) = files.next(from).filter(|&fd| fd <= last) {
        // Another thread may have closed it in between.
        if flags & CLOSE_RANGE_CLOEXEC != 0 {
            let _ = files.set_cloexec(fd, true);
        } else if let Ok(open) = files.close(fd) {
            open.close();
        }
        from = fd + 1;
        crate::task::preempt_point();
    }
    Ok(())
}

fn dup(call: &mut Call) -> Result<usize, Errno> {
    let open = call.thread().files().get_any(call.int(0))?;
    install(call, open, false)
}

fn dup3(call: &mut Call) -> Result<usize, Errno> {
    let (old, new, flags) = (call.int(0), call.int(1), call.uint(2));
    if old == new || flags & !O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    dup_to(call, old, new, flags & O_CLOEXEC != 0)
}

/// dup2(2) of two different numbers.
pub fn dup_to(call: &Call, old: i32, new: i32, cloexec: bool) -> Result<usize, Errno> {
    let thread = call.thread();
    let open = thread.files().get_any(old)?;
    if let Some(former) = thread
        .files()
        .replace(new, open, cloexec, thread.process.file_limit())?
    {
        former.close();
    }
    Ok(new as usize)
}

fn pipe2(call: &mut Call) -> Result<(), Errno> {
    make_pipe(call, call.arg(0), call.uint(1))
}

/// pipe(2) and pipe2(2).
pub fn make_pipe(call: &Call, numbers: usize, flags: u32) -> Result<(), Errno> {
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let (reader, writer) = pipe::create(flags & (O_NONBLOCK | O_DIRECT))?;
    let cloexec = flags & O_CLOEXEC != 0;
    let files = call.thread().files();
    let first = install(call, reader, cloexec)?;
    let second = match install(call, writer, cloexec) {
        Ok(second) => second,
        Err(error) => {
            drop(files.close(first as i32));
            return Err(error);
        }
    };
    if let Err(error) = user::write(numbers, &[first as i32, second as i32]) {
        drop((files.close(first as i32), files.close(second as i32)));
        return Err(error);
    }
    Ok(())
}

/// fcntl(2).
fn fcntl(call: &mut Call) -> Result<usize, Errno> {
    let (fd, command) = (call.int(0), call.uint(1));
    let process = &call.thread().process;
    let files = call.thread().files();
    let open = files.get_any(fd)?;
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let from = call.int(2);
            if from < 0 || from as usize >= process.file_limit() {
                return Err(Errno::EINVAL);
            }
            install_from(call, open, command == F_DUPFD_CLOEXEC, from)
        }
        F_GETFD => Ok(if files.cloexec(fd)? { FD_CLOEXEC as usize } else { 0 }),
        F_SETFD => files.set_cloexec(fd, call.uint(2) & FD_CLOEXEC != 0).map(|()| 0),
        F_GETFL => Ok(open.flags() as usize),
        // The rest an O_PATH descriptor can't do.
        _ if open.is_path() => Err(Errno::EBADF),
        F_SETFL => {
            let flags = call.uint(2);
            if flags & O_DIRECT != 0 && !open.file.takes_direct() {
                return Err(Errno::EINVAL);
            }
            open.set_async(fd, flags & O_ASYNC != 0)?;
            open.set_flags(flags);
            Ok(0)
        }
        F_SETOWN | F_GETOWN | F_SETSIG | F_GETSIG | F_SETOWN_EX | F_GETOWN_EX => owner::control(call, &open, command),
        F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => lock::record(call, &open, command),
        F_GETPIPE_SZ => Ok(open.downcast::<PipeEnd>().ok_or(Errno::EBADF)?.capacity()),
        F_SETPIPE_SZ => open
            .downcast::<PipeEnd>()
            .ok_or(Errno::EBADF)?
            .set_capacity(call.uint(2) as usize),
        F_ADD_SEALS => add_seals(&open, call.uint(2)),
        F_GET_SEALS => {
            let file = open.downcast::<RegularFile>().ok_or(Errno::EINVAL)?;
            Ok(file.contents().seals().bits() as usize)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// F_ADD_SEALS: for a file in memory that is open for writing.
fn add_seals(open: &OpenFile, seals: u32) -> Result<usize, Errno> {
    open.check_writable().map_err(|_| Errno::EPERM)?;
    let seals = Seals::from_bits(seals).ok_or(Errno::EINVAL)?;
    let file = open.downcast::<RegularFile>().ok_or(Errno::EINVAL)?;
    file.add_seals(seals).map(|()| 0)
}

/// ioctl(2): what every descriptor has, then what its file has.
fn ioctl(call: &mut Call) -> Result<usize, Errno> {
    let (fd, command, argument) = (call.int(0), call.uint(1), call.arg(2));
    let open = call.file(0)?;
    match command {
        FIOCLEX | FIONCLEX => call.thread().files().set_cloexec(fd, command == FIOCLEX).map(|()| 0),
        FIONBIO => {
            let on = user::read::<i32>(argument)? != 0;
            open.set_flags(if on {
                open.flags() | O_NONBLOCK
            } else {
                open.flags() & !O_NONBLOCK
            });
            Ok(0)
        }
        FIOASYNC => owner::set_async(&open, fd, user::read::<i32>(argument)? != 0),
        _ => open.file.ioctl(&open, command, argument),
    }
}

/// memfd_create(2).
fn memfd_create(call: &mut Call) -> Result<usize, Errno> {
    /// The longest name, memfd_create(2).
    const NAME_LIMIT: usize = 249;
    let flags = call.uint(1);
    let kinds = MFD_NOEXEC_SEAL | MFD_EXEC;
    if flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | kinds) != 0 || flags & kinds == kinds {
        return Err(Errno::EINVAL);
    }
    let name = user::read_string(call.arg(0), NAME_LIMIT + 1, Errno::EINVAL)?;
    let mut path = b"/memfd:".to_vec();
    path.extend_from_slice(&name);
    path.extend_from_slice(b" (deleted)");
    let (mode, seals) = if flags & MFD_NOEXEC_SEAL != 0 {
        (0o666, Seals::EXEC)
    } else if flags & MFD_ALLOW_SEALING != 0 {
        (0o777, Seals::empty())
    } else {
        (0o777, Seals::SEAL)
    };
    let node = Node::unnamed(mode, fs::access::current(), seals);
    let open = fs::open_place(&Place::nameless(&path, node), O_RDWR)?;
    install(call, open, flags & MFD_CLOEXEC != 0)
}
