//! Reading, writing and positions: read(2), write(2), lseek(2), sendfile(2) and their kind.

use super::Call;
use super::table::{Line, line};
use crate::file::OpenFile;
use crate::fs::tmpfs::RegularFile;
use crate::fs::watch;
use crate::mm::user::{self, Pieces, Sink, Source};
use alloc::sync::Arc;
use alloc::vec;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::inotify::IN_MODIFY;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::READ, read),
    line(nr::WRITE, write),
    line(nr::READV, readv),
    line(nr::WRITEV, writev),
    line(nr::PREAD64, pread64),
    line(nr::PWRITE64, pwrite64),
    line(nr::PREADV, preadv),
    line(nr::PWRITEV, pwritev),
    line(nr::PREADV2, preadv2),
    line(nr::PWRITEV2, pwritev2),
    line(nr::LSEEK, lseek),
    line(nr::SENDFILE, sendfile),
    line(nr::COPY_FILE_RANGE, copy_file_range),
    line(nr::FTRUNCATE, ftruncate),
    line(nr::FALLOCATE, fallocate),
    line(nr::FADVISE64, fadvise64),
    line(nr::READAHEAD, readahead),
    line(nr::FSYNC, fsync),
    line(nr::FDATASYNC, fsync),
    line(nr::SYNC_FILE_RANGE, fsync),
    line(nr::SYNCFS, fsync),
    line(nr::SYNC, sync),
];

/// Most bytes that a call moves from file to file, as read(2) and write(2) have it.
const TRANSFER_MAX: usize = 0x7fff_f000;

/// The error of a transfer with a bad address: what is wrong with the descriptor (EBADF), or with the file (EINVAL), comes
/// before EFAULT.
#[cold]
#[inline(never)]
fn wrong_address(
    open: &OpenFile,
    check_access: fn(&OpenFile) -> Result<(), Errno>,
    has_call: fn((bool, bool)) -> bool,
    error: Errno,
) -> Result<usize, Errno> {
    check_access(open)?;
    if has_call(open.file.transfers()) {
        Err(error)
    } else {
        Err(Errno::EINVAL)
    }
}

fn read(call: &mut Call) -> Result<usize, Errno> {
    let call = &*call;
    call.with_file(0, move |open| match Sink::user(call.arg(1), call.arg(2)) {
        Ok(mut to) => open.read(&mut to),
        Err(error) => wrong_address(open, OpenFile::check_readable, |(reads, _)| reads, error),
    })
}

fn write(call: &mut Call) -> Result<usize, Errno> {
    let call = &*call;
    call.with_file(0, move |open| match Source::user(call.arg(1), call.arg(2)) {
        Ok(mut from) => open.write(&mut from),
        Err(error) => wrong_address(open, OpenFile::check_writable, |(_, writes)| writes, error),
    })
}

fn readv(call: &mut Call) -> Result<usize, Errno> {
    let open = call.file(0)?;
    open.check_readable()?;
    let mut pieces = Pieces::read(call.arg(1), call.arg(2))?;
    open.read(&mut Sink::user_pieces(&mut pieces))
}

fn writev(call: &mut Call) -> Result<usize, Errno> {
    let open = call.file(0)?;
    open.check_writable()?;
    let mut pieces = Pieces::read(call.arg(1), call.arg(2))?;
    let mut whole = Source::user_pieces(&mut pieces);
    if open.file.writes_by_segment() {
        return write_segments(&open, call.arg(1), call.arg(2));
    }
    open.write(&mut whole)
}

/// A write for each of `count` segments, up to the first that fails or falls short.
fn write_segments(open: &OpenFile, segments: usize, count: usize) -> Result<usize, Errno> {
    let mut done = 0;
    for index in 0..count {
        let [address, len]: [u64; 2] = user::read(segments + index * size_of::<[u64; 2]>())?;
        match open.write(&mut Source::user(address as usize, len as usize)?) {
            Ok(written) => {
                done += written;
                if written < len as usize {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The offset argument `n`: EINVAL where it is negative.
fn offset(call: &Call, n: usize) -> Result<u64, Errno> {
    let offset = call.arg(n) as i64;
    if offset < 0 {
        Err(Errno::EINVAL)
    } else {
        Ok(offset as u64)
    }
}

fn pread64(call: &mut Call) -> Result<usize, Errno> {
    let at = offset(call, 3)?;
    let open = call.file(0)?;
    open.read_at(at, &mut Sink::user(call.arg(1), call.arg(2))?)
}

fn pwrite64(call: &mut Call) -> Result<usize, Errno> {
    let at = offset(call, 3)?;
    let open = call.file(0)?;
    open.write_at(at, &mut Source::user(call.arg(1), call.arg(2))?)
}

fn preadv(call: &mut Call) -> Result<usize, Errno> {
    let at = offset(call, 3)?;
    let open = call.file(0)?;
    let mut pieces = Pieces::read(call.arg(1), call.arg(2))?;
    open.read_at(at, &mut Sink::user_pieces(&mut pieces))
}

fn pwritev(call: &mut Call) -> Result<usize, Errno> {
    let at = offset(call, 3)?;
    let open = call.file(0)?;
    let mut pieces = Pieces::read(call.arg(1), call.arg(2))?;
    open.write_at(at, &mut Source::user_pieces(&mut pieces))
}

/// Flags of preadv2(2): none is known here.
fn check_no_flags(call: &Call) -> Result<(), Errno> {
    if call.arg(5) != 0 {
        Err(Errno::EOPNOTSUPP)
    } else {
        Ok(())
    }
}

/// preadv2(2): offset -1 is the description's own.
fn preadv2(call: &mut Call) -> Result<usize, Errno> {
    check_no_flags(call)?;
    if call.arg(3) as i64 == -1 {
        readv(call)
    } else {
        preadv(call)
    }
}

fn pwritev2(call: &mut Call) -> Result<usize, Errno> {
    check_no_flags(call)?;
    if call.arg(3) as i64 == -1 {
        writev(call)
    } else {
        pwritev(call)
    }
}

fn lseek(call: &mut Call) -> Result<usize, Errno> {
    let open = call.file(0)?;
    seek(&open, call.arg(1) as i64, call.uint(2)).map(|offset| offset as usize)
}

/// lseek(2).
fn seek(open: &OpenFile, by: i64, whence: u32) -> Result<u64, Errno> {
    if whence > SEEK_HOLE {
        return Err(Errno::EINVAL);
    }
    if !open.file.seekable() {
        return open.file.seek_stream();
    }
    let size = open.file.stat().size;
    open.move_offset(|offset| {
        let base = match whence {
            SEEK_SET => 0,
            SEEK_CUR => *offset as i64,
            SEEK_END => size as i64,
            _ => {
                let at = u64::try_from(by).map_err(|_| Errno::ENXIO)?;
                *offset = match open.downcast::<RegularFile>() {
                    Some(file) => file.contents().seek(at, whence == SEEK_DATA)?,
                    // As lseek(2) allows: all data, and one hole at the end.
                    None if at >= size => return Err(Errno::ENXIO),
                    None if whence == SEEK_DATA => at,
                    None => size,
                };
                return Ok(*offset);
            }
        };
        let to = base.checked_add(by).ok_or(Errno::EOVERFLOW)?;
        *offset = u64::try_from(to).map_err(|_| Errno::EINVAL)?;
        Ok(*offset)
    })
}

/// Bytes moved at a time from file to file.
const COPY_CHUNK: usize = 32 * 1024;

/// Moves up to `count` bytes from `input` at `*at` to wherever `put` takes them; an error counts only where nothing has
/// been moved.
fn copy(
    input: &OpenFile,
    at: &mut u64,
    count: usize,
    mut put: impl FnMut(&mut Source) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut buffer = vec![0; COPY_CHUNK.min(count)];
    let mut done = 0;
    while done < count {
        let wanted = (count - done).min(COPY_CHUNK);
        let step = input
            .read_at(*at, &mut Sink::kernel(&mut buffer[..wanted]))
            .and_then(|got| {
                if got == 0 {
                    Ok((0, 0))
                } else {
                    put(&mut Source::kernel(&buffer[..got])).map(|put| (got, put))
                }
            });
        match step {
            Err(error) if done == 0 => return Err(error),
            Err(_) | Ok((0, _)) => break,
            Ok((got, put)) => {
                done += put;
                *at += put as u64;
                if put < got {
                    break;
                }
            }
        }
        if crate::task::preempt_point() {
            break;
        }
    }
    Ok(done)
}

/// A position that a call takes from user memory and puts back, or else the description's own.
pub struct Position {
    pointer: usize,
    pub at: u64,
}

impl Position {
    pub fn take(open: &OpenFile, pointer: usize) -> Result<Position, Errno> {
        let at = if pointer != 0 {
            user::read::<i64>(pointer)?
        } else {
            open.offset() as i64
        };
        Ok(Position {
            pointer,
            at: u64::try_from(at).map_err(|_| Errno::EINVAL)?,
        })
    }

    pub fn put_back(self, open: &OpenFile) -> Result<(), Errno> {
        if self.pointer != 0 {
            return user::write(self.pointer, &(self.at as i64));
        }
        open.move_offset(|offset| *offset = self.at);
        Ok(())
    }
}

/// sendfile(2).
fn sendfile(call: &mut Call) -> Result<usize, Errno> {
    let (out, input) = (call.file(0)?, call.file(1)?);
    input.check_readable()?;
    out.check_writable()?;
    if input.downcast::<RegularFile>().is_none() || out.flags() & O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let mut position = Position::take(&input, call.arg(2))?;
    let done = copy(&input, &mut position.at, call.arg(3).min(TRANSFER_MAX), |from| {
        out.write(from)
    })?;
    position.put_back(&input)?;
    Ok(done)
}

/// copy_file_range(2).
fn copy_file_range(call: &mut Call) -> Result<usize, Errno> {
    let (input, out) = (call.file(0)?, call.file(2)?);
    input.check_readable()?;
    out.check_writable()?;
    if out.flags() & O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    for open in [&input, &out] {
        if open.downcast::<RegularFile>().is_none() {
            let is_directory = open.file.stat().kind() == S_IFDIR;
            return Err(if is_directory { Errno::EISDIR } else { Errno::EINVAL });
        }
    }
    if call.arg(5) != 0 {
        return Err(Errno::EINVAL);
    }
    let count = call.arg(4).min(TRANSFER_MAX);
    let mut from = Position::take(&input, call.arg(1))?;
    let mut to = Position::take(&out, call.arg(3))?;
    let same = input.file.stat().ino == out.file.stat().ino;
    if same && from.at < to.at + count as u64 && to.at < from.at + count as u64 {
        return Err(Errno::EINVAL);
    }
    let at = &mut to.at;
    let done = copy(&input, &mut from.at, count, |source| {
        let put = out.write_at(*at, source)?;
        *at += put as u64;
        Ok(put)
    })?;
    from.put_back(&input)?;
    to.put_back(&out)?;
    Ok(done)
}

/// The open file of argument 0 as a regular one open for writing: EINVAL for others.
fn writable_regular(call: &Call) -> Result<Arc<OpenFile>, Errno> {
    let open = call.file(0)?;
    if open.downcast::<RegularFile>().is_none() || open.check_writable().is_err() {
        return Err(Errno::EINVAL);
    }
    Ok(open)
}

fn ftruncate(call: &mut Call) -> Result<(), Errno> {
    let size = offset(call, 1)?;
    let open = writable_regular(call)?;
    let place = open.file.place().ok_or(Errno::EINVAL)?;
    place.inode().truncate(size)?;
    watch::at_place(place, IN_MODIFY);
    Ok(())
}

/// fallocate(2).
fn fallocate(call: &mut Call) -> Result<(), Errno> {
    let open = call.file(0)?;
    let (mode, at, len) = (call.uint(1), call.arg(2) as i64, call.arg(3) as i64);
    if at < 0 || len <= 0 {
        return Err(Errno::EINVAL);
    }
    open.check_writable()?;
    let Some(file) = open.downcast::<RegularFile>() else {
        return Err(match open.file.stat().kind() {
            S_IFIFO => Errno::ESPIPE,
            S_IFDIR => Errno::EISDIR,
            _ => Errno::ENODEV,
        });
    };
    let (at, len) = (at as u64, len as u64);
    match mode {
        0 | FALLOC_FL_KEEP_SIZE => file.contents().allocate(at, len, mode != 0)?,
        _ if mode == FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE => file.contents().punch(at, len)?,
        _ => return Err(Errno::EOPNOTSUPP),
    }
    open.tell(IN_MODIFY);
    Ok(())
}

/// posix_fadvise(2): advice that needs no action, all files being in memory.
fn fadvise64(call: &mut Call) -> Result<(), Errno> {
    /// POSIX_FADV_NOREUSE, the last.
    const ADVICE_MAX: u32 = 5;
    let open = call.file(0)?;
    if open.file.stat().kind() == S_IFIFO {
        return Err(Errno::ESPIPE);
    }
    if (call.arg(2) as i64) < 0 || call.uint(3) > ADVICE_MAX {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// readahead(2): everything is in memory already.
fn readahead(call: &mut Call) -> Result<(), Errno> {
    let open = call.file(0)?;
    open.check_readable()?;
    if open.downcast::<RegularFile>().is_none() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// fsync(2), fdatasync(2), sync_file_range(2), syncfs(2): memory is as far as data goes here, so it is there already.
/// EINVAL for files that have no place to go to.
fn fsync(call: &mut Call) -> Result<(), Errno> {
    match call.file(0)?.file.stat().kind() {
        S_IFREG | S_IFDIR | S_IFBLK => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

fn sync(_call: &mut Call) -> Result<(), Errno> {
    Ok(())
}
