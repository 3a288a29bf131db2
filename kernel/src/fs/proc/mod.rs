//! /proc: what the kernel knows, as text.
//!
//! What there is stands in tables: [`machine`] has the files of the whole machine, [`process`] those of a process or
//! thread. An [`Item`] of a table becomes an inode when it is looked up, and its text is made when it is read.

mod descriptors;
mod machine;
mod process;
mod strings;

use super::{Inode, Link, Listed, PROC_DEVICE, Place, Stat, now_ns, tmpfs};
use crate::file::{File, OpenFile};
use crate::mm::user::{Sink, Source};
use crate::mqueue::limits;
use crate::task::{self, Process};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ptr;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use process::Subject;
use sync::SpinLock;

/// A name of a table and what it is.
struct Item {
    name: &'static str,
    what: What,
}

/// What can be found under a name. The subject comes with the directory it is in.
#[derive(Clone, Copy)]
enum What {
    /// A directory with a table of its own.
    Directory(&'static [Item]),
    /// The root: its table, and a directory for every process.
    Processes,
    /// A directory for every thread of the subject.
    Threads,
    /// A link for every descriptor of the subject, or a file that tells about it.
    Descriptors {
        links: bool,
    },
    /// One of these.
    Descriptor {
        fd: i32,
        link: bool,
    },
    /// A text of the machine's.
    Text(fn(&mut String)),
    /// A number of the machine's that can be written, at once and whole.
    Setting(&'static limits::Setting),
    /// A text about the subject; ESRCH where it has ended.
    SubjectText(fn(&Subject, &mut String) -> Result<(), Errno>),
    /// One that only its owner may read, and who may trace the subject: EACCES.
    SubjectSecret(fn(&Subject, &mut String) -> Result<(), Errno>),
    /// A text about the subject that can be written likewise.
    SubjectSetting(
        fn(&Subject, &mut String) -> Result<(), Errno>,
        fn(&Subject, &str) -> Result<(), Errno>,
    ),
    /// A link of the machine's.
    Link(fn() -> String),
    SubjectLink(fn(&Subject) -> Result<Link, Errno>),
}

impl What {
    fn mode(&self) -> u32 {
        match self {
            What::Directory(_) | What::Processes | What::Threads => S_IFDIR | 0o555,
            What::Descriptors { .. } => S_IFDIR | 0o500,
            What::Descriptor { link: true, .. } => S_IFLNK | 0o700,
            What::Descriptor { link: false, .. } => S_IFREG | 0o400,
            What::Text(_) | What::SubjectText(_) => S_IFREG | 0o444,
            What::SubjectSecret(_) => S_IFREG | 0o400,
            What::Setting(..) | What::SubjectSetting(..) => S_IFREG | 0o644,
            What::Link(_) | What::SubjectLink(_) => S_IFLNK | 0o777,
        }
    }
}

/// A file or directory of /proc.
struct ProcInode {
    what: What,
    /// Whom it is about; nobody at the top.
    subject: Option<Subject>,
    ino: u64,
}

/// The process whose directory in /proc a place is, None where it is none: ESRCH where the process has ended.
pub fn process_of(place: &Place) -> Option<Result<Arc<Process>, Errno>> {
    let inode = (place.inode().clone() as Arc<dyn Any + Send + Sync>).downcast::<ProcInode>();
    inode.ok()?.process()
}

/// Makes /proc in the root directory.
pub fn mount(root: &Place) -> Result<(), Errno> {
    let inode = Arc::new(ProcInode {
        what: What::Processes,
        subject: None,
        ino: 1,
    });
    tmpfs::mount(root, b"proc", inode)?;
    Ok(())
}

/// The number in a name, written as the kernel would write it.
pub(super) fn number(name: &[u8]) -> Option<i32> {
    let text = core::str::from_utf8(name).ok()?;
    let number: i32 = text.parse().ok()?;
    (number >= 0 && !text.starts_with('+') && (text == "0" || !text.starts_with('0'))).then_some(number)
}

impl ProcInode {
    /// The inode number of a child: the same every time the name is looked up.
    fn child_ino(&self, name: &[u8]) -> u64 {
        name.iter().fold(self.ino ^ 0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ byte as u64).wrapping_mul(0x100_0000_01b3)
        })
    }

    fn child(&self, this: &Place, name: &[u8], what: What, subject: Option<Subject>) -> Place {
        Place::child(
            this,
            name,
            Arc::new(ProcInode {
                what,
                subject,
                ino: self.child_ino(name),
            }),
        )
    }

    fn table(&self) -> &'static [Item] {
        match self.what {
            What::Directory(table) => table,
            What::Processes => machine::ROOT,
            _ => &[],
        }
    }

    /// The process whose directory it is: ESRCH where that one has ended.
    fn process(&self) -> Option<Result<Arc<Process>, Errno>> {
        match self.what {
            What::Directory(table) if ptr::eq(table, process::PROCESS) => Some(self.subject.as_ref()?.find()),
            _ => None,
        }
    }

    fn subject(&self) -> Result<&Subject, Errno> {
        self.subject.as_ref().ok_or(Errno::ENOENT)
    }

    /// The numbers that are names here, from `from` on.
    fn numbers(&self, from: i32) -> Result<Vec<i32>, Errno> {
        let mut numbers = match self.what {
            What::Processes => process::all_processes(),
            What::Threads => self.subject()?.threads()?,
            What::Descriptors { .. } => return descriptors::open_numbers(self.subject()?, from),
            _ => Vec::new(),
        };
        numbers.retain(|&number| number >= from);
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What a number that is a name leads to.
    fn numbered(&self, number: i32) -> Result<(What, Subject), Errno> {
        match self.what {
            What::Processes => Ok((
                What::Directory(process::PROCESS),
                Subject::process(number).ok_or(Errno::ENOENT)?,
            )),
            What::Threads => {
                let thread = self.subject()?.thread(number).ok_or(Errno::ENOENT)?;
                Ok((What::Directory(process::THREAD), thread))
            }
            What::Descriptors { links } => {
                let subject = self.subject()?;
                descriptors::get(subject, number)?;
                Ok((
                    What::Descriptor {
                        fd: number,
                        link: links,
                    },
                    subject.clone(),
                ))
            }
            _ => Err(Errno::ENOENT),
        }
    }

    /// The text, or of a long one the piece that begins with item `from`, and the item that the next piece begins with.
    fn text(&self, from: u32) -> Result<(String, Option<u32>), Errno> {
        let mut text = String::new();
        let mut next = None;
        match self.what {
            What::Text(write) => write(&mut text),
            What::Setting(setting) => machine::line(&mut text, setting.get() as usize),
            What::SubjectText(write) | What::SubjectSetting(write, _) => write(self.subject()?, &mut text)?,
            What::SubjectSecret(write) => {
                let subject = self.subject()?;
                let process = subject.find()?;
                if !task::with_current(|thread| thread.may_trace(&process, |own| own.file)) {
                    return Err(Errno::EACCES);
                }
                write(subject, &mut text)?;
            }
            What::Descriptor { fd, .. } => next = descriptors::describe(self.subject()?, fd, from, &mut text)?,
            _ => return Err(Errno::EISDIR),
        }
        Ok((text, next))
    }
}

/// Longest text of a setting, in bytes.
const SETTING_MAX: usize = 32;

/// Positions of numbered names in a listing start here; those of the table lie below.
const NUMBERED: u64 = 1 << 16;

impl Inode for ProcInode {
    fn stat(&self) -> Stat {
        let now = now_ns();
        let (uid, gid) = self.subject.as_ref().map_or((0, 0), Subject::owner);
        let mode = match self.what {
            What::Descriptor { fd, link: true } => self
                .subject
                .as_ref()
                .map_or(0, |subject| descriptors::link_mode(subject, fd)),
            what => what.mode(),
        };
        Stat {
            dev: PROC_DEVICE,
            ino: self.ino,
            mode,
            nlink: if mode & S_IFMT == S_IFDIR { 2 } else { 1 },
            uid,
            gid,
            atime_ns: now,
            mtime_ns: now,
            ctime_ns: now,
            ..Stat::default()
        }
    }

    fn open(self: Arc<Self>, place: &Place, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        match self.what.mode() & S_IFMT {
            S_IFDIR => Ok(Arc::new(super::directory::DirectoryFile::new(place.clone()))),
            S_IFREG => Ok(Arc::new(TextFile {
                inode: self,
                place: place.clone(),
                piece: SpinLock::default(),
            })),
            _ => Err(Errno::ELOOP),
        }
    }

    fn lookup(&self, this: &Place, name: &[u8]) -> Result<Place, Errno> {
        if self.what.mode() & S_IFMT != S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        if let Some(item) = self.table().iter().find(|item| item.name.as_bytes() == name) {
            return Ok(self.child(this, name, item.what, self.subject.clone()));
        }
        let (what, subject) = self.numbered(number(name).ok_or(Errno::ENOENT)?)?;
        Ok(self.child(this, name, what, Some(subject)))
    }

    fn list(&self, _this: &Place, from: u64, give: &mut dyn FnMut(Listed) -> bool) -> Result<(), Errno> {
        let table = self.table();
        for (index, item) in table.iter().enumerate().skip(from.saturating_sub(2) as usize) {
            let name = item.name.as_bytes();
            let kind = item.what.mode() & S_IFMT;
            if !give(Listed {
                name,
                ino: self.child_ino(name),
                kind,
                next: index as u64 + 3,
            }) {
                return Ok(());
            }
        }
        let kind = match self.what {
            What::Descriptors { links: true } => S_IFLNK,
            What::Descriptors { links: false } => S_IFREG,
            _ => S_IFDIR,
        };
        for number in self.numbers(from.saturating_sub(NUMBERED).min(i32::MAX as u64) as i32)? {
            let name = alloc::format!("{number}");
            let name = name.as_bytes();
            if !give(Listed {
                name,
                ino: self.child_ino(name),
                kind,
                next: NUMBERED + number as u64 + 1,
            }) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A setting has no length to cut.
    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        match self.what {
            What::Setting(..) | What::SubjectSetting(..) => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn follow(&self) -> Result<Link, Errno> {
        match self.what {
            What::Link(target) => Ok(Link::Path(target().into_bytes())),
            What::SubjectLink(target) => target(self.subject()?),
            What::Descriptor { fd, link: true } => descriptors::follow(self.subject()?, fd),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// An open text: made when its start is read, kept for the rest, so that a reader in pieces sees one state. Of a long one
/// only the piece is kept that is being read.
struct TextFile {
    inode: Arc<ProcInode>,
    place: Place,
    piece: SpinLock<Piece>,
}

#[derive(Clone, Default)]
struct Piece {
    /// Where it lies in the whole text.
    start: u64,
    text: Arc<str>,
    /// The item that the next piece begins with, if there is one.
    next: Option<u32>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.text.len() as u64
    }
}

impl TextFile {
    fn make_piece(&self, start: u64, item: u32) -> Result<Piece, Errno> {
        let (text, next) = self.inode.text(item)?;
        Ok(Piece {
            start,
            text: text.into(),
            next,
        })
    }

    /// The piece that has `offset`, or the last one. Who reads on finds the one after the last read; who goes back begins
    /// anew.
    fn piece_at(&self, offset: u64) -> Result<Piece, Errno> {
        let kept = self.piece.lock().clone();
        let mut piece = if offset == 0 || offset < kept.start {
            self.make_piece(0, 0)?
        } else {
            kept
        };
        while offset >= piece.end()
            && let Some(item) = piece.next
        {
            piece = self.make_piece(piece.end(), item)?;
        }
        let former = core::mem::replace(&mut *self.piece.lock(), piece.clone());
        drop(former);
        Ok(piece)
    }
}

impl File for TextFile {
    fn seekable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, to: &mut Sink) -> Result<usize, Errno> {
        let piece = self.piece_at(offset)?;
        let rest = piece.text.as_bytes();
        let rest = rest.get((offset - piece.start) as usize..).unwrap_or(&[]);
        if rest.is_empty() || to.len() == 0 {
            return Ok(0);
        }
        to.put(&rest[..rest.len().min(crate::file::open_file::PIECE)])
    }

    fn write_at(&self, _offset: u64, from: &mut Source) -> Result<usize, Errno> {
        let mut bytes = [0; SETTING_MAX];
        let len = from.get(&mut bytes)?;
        let text = core::str::from_utf8(&bytes[..len]).map_err(|_| Errno::EINVAL)?;
        match self.inode.what {
            What::Setting(setting) => setting.set(text)?,
            What::SubjectSetting(_, set) => set(self.inode.subject()?, text)?,
            _ => return Err(Errno::EINVAL),
        }
        Ok(len)
    }

    fn ioctl(&self, _open: &OpenFile, _command: u32, _argument: usize) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
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
