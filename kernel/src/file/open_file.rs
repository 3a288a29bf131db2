//! The open file description: what dup(2) and fork(2) share.

use super::File;
use super::signal_driven::{Owner, SignalDriven};
use crate::fs::watch;
use crate::mm::user::{Sink, Source};
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use event::epoll::Node;
use event::{Epoll, WatchList};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::inotify::{IN_ACCESS, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_MODIFY};
use spin::Once;
use sync::{DirectArc, SpinLock};

/// Status flags that F_SETFL may change, fcntl(2).
const CHANGEABLE: u32 = O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK;

/// Flags of open(2) that say how to open and are not kept.
const CREATION: u32 = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;

/// Most bytes that one positioned transfer of a [`File`] moves: it holds locks, and the kernel is not preempted there.
pub const PIECE: usize = 1 << 20;

/// Repeats `step` while it moves whole pieces. An error after the first piece is for the next call to find.
fn in_pieces(mut step: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    let mut total = step()?;
    let mut last = total;
    while last == PIECE && !crate::task::preempt_point() {
        last = step().unwrap_or(0);
        total += last;
    }
    Ok(total)
}

/// How a description is read, or written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The access mode, which stays as it is, forbids it.
    None,
    /// With an offset, or a name that may be watched.
    Named,
    /// By the file alone.
    Stream,
}

/// Status flags, offset and the file itself; the registrations of epoll hang on it.
pub struct OpenFile {
    pub file: DirectArc<dyn File>,
    id: u64,
    /// [`File::seekable`] and [`File::epoll`], asked once.
    seekable: bool,
    epoll: Option<Arc<Epoll>>,
    reads: Way,
    writes: Way,
    flags: AtomicU32,
    /// Where read(2) and write(2) go on. Held over the transfer, so that two threads on one description never read the
    /// same bytes.
    offset: SpinLock<u64>,
    /// The epolls that watch it; made for the first one.
    watches: Once<DirectArc<WatchList>>,
    /// Who hears of it by signals.
    signals: Once<Arc<SignalDriven>>,
}

impl OpenFile {
    /// `flags`: access mode and status flags of open(2), as F_GETFL gives them back.
    pub fn new(file: Arc<dyn File>, flags: u32) -> Arc<OpenFile> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let named = file.seekable() || file.place().is_some();
        let way = |is_open| match (is_open, named) {
            (false, _) => Way::None,
            (true, true) => Way::Named,
            (true, false) => Way::Stream,
        };
        Arc::new(OpenFile {
            seekable: file.seekable(),
            epoll: file.epoll().cloned(),
            reads: way(flags & (O_ACCMODE | O_PATH) & !O_RDWR == 0),
            writes: way(matches!(flags & (O_ACCMODE | O_PATH), O_WRONLY | O_RDWR)),
            file: file.into(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            flags: AtomicU32::new(flags & !CREATION),
            offset: SpinLock::new(0),
            watches: Once::new(),
            signals: Once::new(),
        })
    }

    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// F_SETFL: changes O_APPEND, O_DIRECT, O_NOATIME, O_NONBLOCK only; O_ASYNC is [`OpenFile::set_async`]'s.
    pub fn set_flags(&self, flags: u32) {
        let keep = |old: u32| Some((old & !CHANGEABLE) | (flags & CHANGEABLE));
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, keep);
    }

    /// Turns O_ASYNC on or off, for signals that name `fd`. A file that sends none takes no notice.
    pub fn set_async(&self, fd: i32, on: bool) -> Result<(), Errno> {
        if on == (self.flags() & O_ASYNC != 0) || !self.file.sends_signals() {
            return Ok(());
        }
        let signals = self.signals_or_new();
        if on {
            signals.start(fd)?;
            self.flags.fetch_or(O_ASYNC, Ordering::Relaxed);
        } else {
            signals.stop();
            self.flags.fetch_and(!O_ASYNC, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What it has for signals, if it has been asked for any.
    pub fn signals(&self) -> Option<&Arc<SignalDriven>> {
        self.signals.get()
    }

    /// F_GETOWN and a socket's FIOGETOWN: a process, or a group by its negative number; 0 where nobody hears.
    pub fn owner_number(&self) -> i32 {
        self.signals().map_or(0, |signals| signals.owner().number())
    }

    /// F_SETOWN and a socket's FIOSETOWN: ESRCH, EINVAL, ENOMEM.
    pub fn set_owner_number(&self, number: i32) -> Result<(), Errno> {
        self.signals_or_new().set_owner(Owner::of_number(number)?)
    }

    pub fn signals_or_new(&self) -> &Arc<SignalDriven> {
        self.signals.call_once(|| SignalDriven::new(self.file.share()))
    }

    #[inline]
    pub fn nonblocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    /// Whether it was opened with O_PATH: it only names the file.
    pub fn is_path(&self) -> bool {
        self.flags() & O_PATH != 0
    }

    /// EBADF where the access mode forbids reading.
    pub fn check_readable(&self) -> Result<(), Errno> {
        if self.reads == Way::None {
            Err(Errno::EBADF)
        } else {
            Ok(())
        }
    }

    /// EBADF where the access mode forbids writing.
    pub fn check_writable(&self) -> Result<(), Errno> {
        if self.writes == Way::None {
            Err(Errno::EBADF)
        } else {
            Ok(())
        }
    }

    /// Lets go of a description that a program closes by a descriptor. Where that was the last reference, its file may have
    /// to be waited for: here, where no lock is held, unlike where references are dropped.
    pub fn close(self: Arc<Self>) {
        let Some(last) = Arc::into_inner(self) else { return };
        if last.file.lingers() {
            let file = last.file.share();
            drop(last);
            file.linger();
        }
    }

    /// Identity for epoll's keys and fdinfo; never used twice.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where an epoll enters itself that watches this description.
    pub fn watches(&self) -> &DirectArc<WatchList> {
        self.watches.call_once(|| {
            let stat = self.file.stat();
            let node = Node {
                inode: stat.ino,
                device: stat.dev,
            };
            DirectArc::new(WatchList::with_node(self.id, node))
        })
    }

    /// [`OpenFile::watches`], where an epoll has entered itself before.
    #[inline]
    pub fn registered(&self) -> Option<&DirectArc<WatchList>> {
        self.watches.get()
    }

    /// The epoll that it is, if it is one.
    #[inline]
    pub fn epoll(&self) -> Option<&Arc<Epoll>> {
        self.epoll.as_ref()
    }

    /// The concrete file, where it is a `T`.
    pub fn downcast<T: File>(&self) -> Option<&T> {
        (&*self.file as &dyn Any).downcast_ref()
    }

    /// read(2): EBADF by access mode, then the file's stream or positioned read.
    #[inline]
    pub fn read(&self, to: &mut Sink) -> Result<usize, Errno> {
        if self.reads == Way::Stream {
            self.file.read(self, to)
        } else {
            self.read_named(to)
        }
    }

    /// Reads at the offset and moves it, or a stream that has a name, if either may be; who watches the name is told.
    #[inline(never)]
    fn read_named(&self, to: &mut Sink) -> Result<usize, Errno> {
        self.check_readable()?;
        let count = if self.seekable {
            in_pieces(|| {
                let mut offset = self.offset.lock();
                let count = self.file.read_at(*offset, to)?;
                *offset += count as u64;
                Ok(count)
            })?
        } else {
            self.file.read(self, to)?
        };
        self.tell_moved(IN_ACCESS, count);
        Ok(count)
    }

    /// Tells who watches the file that something was done to it.
    #[inline]
    pub fn tell(&self, event: u32) {
        if watch::is_used()
            && let Some(place) = self.file.place()
        {
            watch::at_place(place, event);
        }
    }

    /// Tells of `count` bytes that were read or written, if there were any.
    #[inline]
    fn tell_moved(&self, event: u32, count: usize) {
        if count > 0 {
            self.tell(event);
        }
    }

    /// write(2), at the end with O_APPEND.
    #[inline]
    pub fn write(&self, from: &mut Source) -> Result<usize, Errno> {
        if self.writes == Way::Stream {
            self.file.write(self, from)
        } else {
            self.write_named(from)
        }
    }

    /// Writes at the offset, or at the end with O_APPEND, and moves it; or to a stream that has a name. Who watches the
    /// name is told. EBADF where it may not be written.
    #[inline(never)]
    fn write_named(&self, from: &mut Source) -> Result<usize, Errno> {
        self.check_writable()?;
        let count = if self.seekable {
            in_pieces(|| {
                let mut offset = self.offset.lock();
                if self.flags() & O_APPEND != 0 {
                    let (count, end) = self.file.append(from)?;
                    *offset = end;
                    return Ok(count);
                }
                let count = self.file.write_at(*offset, from)?;
                *offset += count as u64;
                Ok(count)
            })?
        } else {
            self.file.write(self, from)?
        };
        self.tell_moved(IN_MODIFY, count);
        Ok(count)
    }

    /// pread(2).
    pub fn read_at(&self, offset: u64, to: &mut Sink) -> Result<usize, Errno> {
        if !self.file.positioned() {
            return Err(Errno::ESPIPE);
        }
        self.check_readable()?;
        let mut at = offset;
        let count = in_pieces(|| {
            let count = self.file.read_at(at, to)?;
            at += count as u64;
            Ok(count)
        })?;
        self.tell_moved(IN_ACCESS, count);
        Ok(count)
    }

    /// pwrite(2). With O_APPEND it appends whatever the offset, as on Linux (pwrite(2), BUGS).
    pub fn write_at(&self, offset: u64, from: &mut Source) -> Result<usize, Errno> {
        if !self.file.positioned() {
            return Err(Errno::ESPIPE);
        }
        self.check_writable()?;
        let mut at = offset;
        let count = in_pieces(|| {
            if self.flags() & O_APPEND != 0 {
                return self.file.append(from).map(|(count, _)| count);
            }
            let count = self.file.write_at(at, from)?;
            at += count as u64;
            Ok(count)
        })?;
        self.tell_moved(IN_MODIFY, count);
        Ok(count)
    }

    /// The offset now, for fdinfo.
    pub fn offset(&self) -> u64 {
        *self.offset.lock()
    }

    /// Sets the offset from the old one: lseek(2), getdents64(2).
    pub fn move_offset<R>(&self, step: impl FnOnce(&mut u64) -> R) -> R {
        step(&mut self.offset.lock())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // First, so that no epoll reports what the release does to the file.
        if let Some(watches) = self.watches.get() {
            watches.close();
        }
        if let Some(signals) = self.signals.get() {
            signals.leave();
        }
        super::lock::released(self);
        self.file.release(self);
        if !self.is_path() {
            let written = self.check_writable().is_ok();
            self.tell(if written { IN_CLOSE_WRITE } else { IN_CLOSE_NOWRITE });
        }
    }
}
