//! The bytes of regular files: sparse pages, over the boot archive where they come from there.

use super::seals::Seals;
use crate::arch::PAGE_SIZE;
use crate::file::open_file::PIECE;
use crate::mm::frame::{self, Frame};
use crate::mm::space::Mappers;
use crate::mm::user::{Sink, Source};
use crate::task;
use crate::task::signal::Info;
use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicUsize, Ordering};
use libsyscall::abi::Errno;
use libsyscall::abi::signal::SIGXFSZ;
use sync::SpinLock;

/// The largest file: what an off_t can say.
const SIZE_MAX: u64 = i64::MAX as u64;

/// What the running process may make of a file: RLIMIT_FSIZE, and no more than there can be.
fn size_limit() -> u64 {
    task::with_current(|thread| thread.process.file_size_limit()).min(SIZE_MAX)
}

/// EFBIG; where it is the process's own limit, a signal says so too.
fn too_big(limit: u64) -> Errno {
    if limit < SIZE_MAX {
        task::with_current(|thread| {
            let sent = thread
                .process
                .queue_signal(SIGXFSZ, Info::kernel(SIGXFSZ), Some(thread));
            // A standard signal is never refused.
            debug_assert!(sent.is_ok());
        });
    }
    Errno::EFBIG
}

/// Pages that files hold in all.
static PAGES_HELD: AtomicUsize = AtomicUsize::new(0);

/// (pages files may hold, pages they hold). Half of memory, as on Linux: the rest is for those who write them.
pub fn usage() -> (usize, usize) {
    (frame::totals().0 / 2, PAGES_HELD.load(Ordering::Relaxed))
}

/// A frame of a file. What is written counts against the limit of [`usage`]; what only shows the archive does not: a full
/// filesystem must not stop programs from running.
struct Page {
    frame: Frame,
    counted: bool,
}

impl Page {
    fn new(make: impl FnOnce() -> Result<Frame, crate::arch::paging::OutOfFrames>) -> Result<Page, Errno> {
        let (limit, held) = usage();
        if held >= limit {
            return Err(Errno::ENOSPC);
        }
        let frame = make().map_err(|_| Errno::ENOSPC)?;
        PAGES_HELD.fetch_add(1, Ordering::Relaxed);
        Ok(Page { frame, counted: true })
    }

    fn archived(bytes: &[u8]) -> Result<Page, Errno> {
        let frame = Frame::zeroed().map_err(|_| Errno::ENOMEM)?;
        frame.write(0, bytes);
        Ok(Page { frame, counted: false })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if self.counted {
            PAGES_HELD.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A regular file's bytes.
///
/// User memory is never touched under `state`: the copy may fault on a mapping of this very file.
pub struct Contents {
    state: SpinLock<State>,
    /// Serialises writers, so that appends do not overwrite each other. Taken before `state`; a page fault never takes
    /// it.
    writers: SpinLock<()>,
    pub(super) mappers: Mappers,
}

struct State {
    size: u64,
    /// Pages written or mapped; where there is none the archive shows, and zeroes behind its end.
    pages: BTreeMap<u64, Page>,
    archive: &'static [u8],
    /// Of the pages those that lie behind the archive's: the space taken beside it.
    beyond: usize,
    seals: Seals,
    /// Shared mappings that may be written, counted while the file can still be sealed.
    writable_mappings: usize,
}

/// What lies at a page.
enum Found {
    Frame(Frame),
    Archive(&'static [u8]),
    Hole,
}

impl State {
    /// The archive's part of a page.
    fn archived(&self, index: u64) -> Option<&'static [u8]> {
        let start = usize::try_from(index).ok()?.checked_mul(PAGE_SIZE)?;
        let rest = self.archive.get(start..).filter(|rest| !rest.is_empty())?;
        Some(&rest[..rest.len().min(PAGE_SIZE)])
    }

    fn find(&self, index: u64) -> Found {
        match (self.pages.get(&index), self.archived(index)) {
            (Some(page), _) => Found::Frame(page.frame.clone()),
            (None, Some(bytes)) => Found::Archive(bytes),
            (None, None) => Found::Hole,
        }
    }

    /// Pages of the archive, the last perhaps in part.
    fn archive_pages(&self) -> usize {
        self.archive.len().div_ceil(PAGE_SIZE)
    }

    /// The frame of a page, made where there is none yet.
    fn frame(&mut self, index: u64) -> Result<Frame, Errno> {
        if let Some(page) = self.pages.get(&index) {
            return Ok(page.frame.clone());
        }
        let page = match self.archived(index) {
            Some(bytes) => Page::archived(bytes)?,
            None => Page::new(Frame::zeroed)?,
        };
        let frame = page.frame.clone();
        self.pages.insert(index, page);
        self.beyond += (index >= self.archive_pages() as u64) as usize;
        Ok(frame)
    }

    /// The frame of a page that is written up to the offset `end`; EPERM where a seal forbids that.
    fn frame_to_write(&mut self, index: u64, end: u64) -> Result<Frame, Errno> {
        self.seals.check_writing()?;
        self.check_growth(end)?;
        self.frame(index)
    }

    /// EPERM where the file is sealed against becoming so large.
    fn check_growth(&self, end: u64) -> Result<(), Errno> {
        if end > self.size && self.seals.contains(Seals::GROW) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}

impl Contents {
    /// `seals`: [`Seals::SEAL`] where there are to be no others, as for every file with a name.
    pub fn new(archive: &'static [u8], seals: Seals) -> Contents {
        let state = State {
            size: archive.len() as u64,
            pages: BTreeMap::new(),
            archive,
            beyond: 0,
            seals,
            writable_mappings: 0,
        };
        Contents {
            state: SpinLock::new(state),
            writers: SpinLock::new(()),
            mappers: Mappers::default(),
        }
    }

    /// Gives an empty file its bytes from the boot archive.
    pub fn provide(&self, archive: &'static [u8]) {
        let mut state = self.state.lock();
        if state.size == 0 {
            state.size = archive.len() as u64;
            state.archive = archive;
        }
    }

    pub fn size(&self) -> u64 {
        self.state.lock().size
    }

    /// Size in bytes, and space in units of 512.
    pub fn size_and_blocks(&self) -> (u64, u64) {
        let state = self.state.lock();
        (
            state.size,
            ((state.archive_pages() + state.beyond) * PAGE_SIZE / 512) as u64,
        )
    }

    pub fn seals(&self) -> Seals {
        self.state.lock().seals
    }

    /// F_ADD_SEALS, fcntl(2): EPERM where there are to be no more; EBUSY for F_SEAL_WRITE while someone can write through a
    /// shared mapping. A write that runs is waited for.
    pub(super) fn add_seals(&self, seals: Seals) -> Result<(), Errno> {
        let _writers = self.writers.lock();
        let mut state = self.state.lock();
        if state.seals.contains(Seals::SEAL) {
            return Err(Errno::EPERM);
        }
        if (seals - state.seals).contains(Seals::WRITE) && state.writable_mappings > 0 {
            return Err(Errno::EBUSY);
        }
        state.seals |= seals;
        Ok(())
    }

    /// Counts a shared mapping that may be written; EPERM where the file is sealed against that.
    pub(super) fn enter_writable_mapping(&self) -> Result<(), Errno> {
        let mut state = self.state.lock();
        state.seals.check_writing()?;
        state.writable_mappings += 1;
        Ok(())
    }

    pub(super) fn leave_writable_mapping(&self) {
        self.state.lock().writable_mappings -= 1;
    }

    /// The frame of page `index` for a mapping, made where there is none yet; EFAULT past the end.
    pub(super) fn page(&self, index: u64) -> Result<Frame, Errno> {
        let mut state = self.state.lock();
        if index >= state.size.div_ceil(PAGE_SIZE as u64) {
            return Err(Errno::EFAULT);
        }
        state.frame(index)
    }

    /// The frame of page `index` if there is one and it is not past the end.
    pub(super) fn present(&self, index: u64) -> Option<Frame> {
        let state = self.state.lock();
        let within = index < state.size.div_ceil(PAGE_SIZE as u64);
        state
            .pages
            .get(&index)
            .filter(|_| within)
            .map(|page| page.frame.clone())
    }

    pub fn read_at(&self, offset: u64, to: &mut Sink) -> Result<usize, Errno> {
        let mut done = 0;
        while to.len() > 0 && done < PIECE {
            let at = offset + done as u64;
            let (index, start) = (at / PAGE_SIZE as u64, at as usize % PAGE_SIZE);
            let state = self.state.lock();
            let left = state.size.saturating_sub(at).min((PIECE - done) as u64) as usize;
            let len = left.min(PAGE_SIZE - start).min(to.len());
            if len == 0 {
                break;
            }
            let found = state.find(index);
            drop(state);
            let moved = match &found {
                Found::Frame(frame) => to.put_frame(frame, start, len),
                Found::Archive(bytes) => {
                    let from_archive = bytes.len().saturating_sub(start).min(len);
                    if from_archive > 0 {
                        to.put(&bytes[start..start + from_archive])
                    } else {
                        to.put_zeroes(len)
                    }
                }
                Found::Hole => to.put_zeroes(len),
            };
            match moved {
                Err(error) if done == 0 => return Err(error),
                Err(_) | Ok(0) => break,
                Ok(count) => done += count,
            }
        }
        Ok(done)
    }

    pub fn write_at(&self, offset: u64, from: &mut Source) -> Result<usize, Errno> {
        let _writers = self.writers.lock();
        self.write_locked(offset, from)
    }

    /// Bytes written, and where they end.
    pub fn append(&self, from: &mut Source) -> Result<(usize, u64), Errno> {
        let _writers = self.writers.lock();
        let end = self.size();
        let count = self.write_locked(end, from)?;
        Ok((count, end + count as u64))
    }

    fn write_locked(&self, offset: u64, from: &mut Source) -> Result<usize, Errno> {
        let limit = size_limit();
        let room = limit.saturating_sub(offset);
        if room == 0 && from.len() > 0 {
            return Err(too_big(limit));
        }
        let total = from.len().min(PIECE).min(room as usize);
        let mut done = 0;
        while done < total {
            let at = offset + done as u64;
            let (index, start) = (at / PAGE_SIZE as u64, at as usize % PAGE_SIZE);
            let len = (total - done).min(PAGE_SIZE - start);
            // A statement of its own: the lock is gone before the copy. Nobody seals the file while `writers` is held.
            let page = self.state.lock().frame_to_write(index, at + len as u64);
            let moved = page.and_then(|frame| from.get_frame(&frame, start, len));
            match moved {
                Err(error) if done == 0 => return Err(error),
                Err(_) | Ok(0) => break,
                Ok(count) => {
                    done += count;
                    let mut state = self.state.lock();
                    state.size = state.size.max(at + count as u64);
                    if count < len {
                        break;
                    }
                }
            }
        }
        Ok(done)
    }

    /// ftruncate(2).
    pub fn set_size(&self, size: u64) -> Result<(), Errno> {
        let limit = size_limit();
        if size > limit && size > self.size() {
            return Err(too_big(limit));
        }
        let writers = self.writers.lock();
        let mut state = self.state.lock();
        let mut cut = BTreeMap::new();
        let shrinks = size < state.size;
        if shrinks && state.seals.contains(Seals::SHRINK) {
            return Err(Errno::EPERM);
        }
        state.check_growth(size)?;
        if shrinks {
            let (index, start) = (size / PAGE_SIZE as u64, size as usize % PAGE_SIZE);
            cut = state.pages.split_off(&size.div_ceil(PAGE_SIZE as u64));
            if (size as usize) < state.archive.len() {
                state.archive = &state.archive[..size as usize];
                state.beyond = 0;
            } else {
                state.beyond -= cut.len();
            }
            if let Some(page) = state.pages.get(&index) {
                zero(&page.frame, start, PAGE_SIZE - start);
            }
        }
        state.size = size;
        drop(state);
        drop(writers);
        if shrinks {
            self.mappers.cut(size.div_ceil(PAGE_SIZE as u64)..u64::MAX);
        }
        drop(cut);
        Ok(())
    }

    /// fallocate(2): makes sure of the space; the size grows unless `keep_size`.
    pub fn allocate(&self, offset: u64, len: u64, keep_size: bool) -> Result<(), Errno> {
        let limit = size_limit();
        let end = offset
            .checked_add(len)
            .filter(|&end| end <= limit)
            .ok_or_else(|| too_big(limit))?;
        self.state.lock().check_growth(end)?;
        let pages = end.div_ceil(PAGE_SIZE as u64) - offset / PAGE_SIZE as u64;
        let (limit, held) = usage();
        if pages > limit.saturating_sub(held) as u64 {
            return Err(Errno::ENOSPC);
        }
        for index in offset / PAGE_SIZE as u64..end.div_ceil(PAGE_SIZE as u64) {
            drop(self.state.lock().frame(index)?);
            if task::preempt_point() {
                return Err(Errno::EINTR);
            }
        }
        let mut state = self.state.lock();
        if !keep_size {
            // Again: it may have been sealed meanwhile.
            state.check_growth(end)?;
            state.size = state.size.max(end);
        }
        Ok(())
    }

    /// FALLOC_FL_PUNCH_HOLE: zeroes, and whole pages given back unless they are mapped.
    pub fn punch(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.seals().check_writing()?;
        let end = offset.saturating_add(len).min(self.size());
        let mut at = offset;
        while at < end {
            let (index, start) = (at / PAGE_SIZE as u64, at as usize % PAGE_SIZE);
            let len = (end - at).min((PAGE_SIZE - start) as u64) as usize;
            let mut state = self.state.lock();
            state.seals.check_writing()?;
            if state.archived(index).is_none() {
                // A hole may be as large as a file: one step over it.
                match state.pages.range(index..).next() {
                    Some((&next, _)) if next == index => {}
                    Some((&next, _)) => {
                        at = next * PAGE_SIZE as u64;
                        continue;
                    }
                    None => break,
                }
            }
            let is_mapped = state.pages.get(&index).is_some_and(|page| !page.frame.is_sole());
            let gone = if len == PAGE_SIZE && state.archived(index).is_none() && !is_mapped {
                let page = state.pages.remove(&index);
                state.beyond -= page.is_some() as usize;
                page
            } else {
                zero(&state.frame(index)?, start, len);
                None
            };
            drop(state);
            drop(gone);
            at += len as u64;
            if task::preempt_point() {
                return Err(Errno::EINTR);
            }
        }
        Ok(())
    }

    /// SEEK_DATA and SEEK_HOLE: where the next data or hole is; ENXIO at or past the end.
    pub fn seek(&self, offset: u64, data: bool) -> Result<u64, Errno> {
        let state = self.state.lock();
        if offset >= state.size {
            return Err(Errno::ENXIO);
        }
        let archived = state.archive_pages() as u64;
        let mut index = offset / PAGE_SIZE as u64;
        let at = |index: u64| (index * PAGE_SIZE as u64).max(offset);
        if data {
            if index < archived {
                return Ok(offset);
            }
            let (&next, _) = state.pages.range(index..).next().ok_or(Errno::ENXIO)?;
            return if at(next) < state.size {
                Ok(at(next))
            } else {
                Err(Errno::ENXIO)
            };
        }
        index = index.max(archived);
        for &page in state.pages.range(index..).map(|(page, _)| page) {
            if page != index {
                break;
            }
            index += 1;
        }
        Ok(at(index).min(state.size))
    }
}

/// Fills a part of a frame with zeroes.
fn zero(frame: &Frame, start: usize, len: usize) {
    static ZEROES: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
    frame.write(start, &ZEROES[..len]);
}
