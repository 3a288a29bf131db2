//! The descriptors of a process, or of those of its threads that share them.
//!
//! Numbers in use are bits, and a second row of bits says which words of the first are full, so that the lowest free
//! number among a million is found in some dozen steps.

use super::{OpenFile, lock};
use crate::arch::cpu;
use crate::mm::frame;
use crate::mqueue;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use libsyscall::abi::Errno;
use sync::{BigReaderLock, Reader, Writer};

/// Numbers a table has at most, whatever RLIMIT_NOFILE says: /proc/sys/fs/nr_open.
pub const NUMBERS_MAX: usize = 1 << 20;

pub struct FdTable {
    /// Owner of its record locks; never used twice.
    id: u64,
    /// The threads that have it.
    users: AtomicUsize,
    /// Runs of [`FdTable::while_lent`], counted by development builds.
    lent: AtomicU32,
    /// Looked at by nearly every call of every thread, so threads on several CPUs must not meet in it.
    slots: BigReaderLock<Slots>,
}

#[derive(Default)]
pub struct Slots {
    files: Vec<Option<Arc<OpenFile>>>,
    /// One bit a number, a multiple of 64 of them: in use, closed by execve(2).
    used: Vec<u64>,
    cloexec: Vec<u64>,
    /// One bit a word of `used`: all ones.
    full: Vec<u64>,
    /// Words of `used` behind the last that has a bit: a table that once was large costs a fork no more than what is open.
    words: usize,
}

impl Slots {
    /// EBADF where `fd` is not open.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<&Arc<OpenFile>, Errno> {
        match self.files.get(fd as usize) {
            Some(Some(open)) => Ok(open),
            _ => Err(Errno::EBADF),
        }
    }

    /// The lowest free number from `from` on.
    fn lowest_free(&self, from: usize) -> usize {
        let (mut word, bit) = (from / 64, from % 64);
        if word >= self.used.len() {
            return from;
        }
        let free = !self.used[word] & (!0 << bit);
        if free != 0 {
            return word * 64 + free.trailing_zeros() as usize;
        }
        word += 1;
        while word < self.used.len() {
            let open = !self.full[word / 64] & (!0 << (word % 64));
            if open != 0 {
                word = word / 64 * 64 + open.trailing_zeros() as usize;
                break;
            }
            word = (word / 64 + 1) * 64;
        }
        match self.used.get(word) {
            Some(used) => word * 64 + (!used).trailing_zeros() as usize,
            None => self.used.len() * 64,
        }
    }

    /// Makes room for number `fd`; ENOMEM.
    fn reserve(&mut self, fd: usize) -> Result<(), Errno> {
        if fd < self.files.len() {
            return Ok(());
        }
        let words = (fd / 64 + 1).next_power_of_two();
        let grow = |bits: &mut Vec<u64>, len: usize| {
            bits.try_reserve(len.saturating_sub(bits.len()))
                .map_err(|_| Errno::ENOMEM)?;
            bits.resize(len.max(bits.len()), 0);
            Ok::<(), Errno>(())
        };
        self.files
            .try_reserve(words * 64 - self.files.len())
            .map_err(|_| Errno::ENOMEM)?;
        grow(&mut self.used, words)?;
        grow(&mut self.cloexec, words)?;
        grow(&mut self.full, words.div_ceil(64))?;
        self.files.resize(words * 64, None);
        Ok(())
    }

    fn set_cloexec(&mut self, fd: usize, on: bool) {
        let bit = 1 << (fd % 64);
        if on {
            self.cloexec[fd / 64] |= bit;
        } else {
            self.cloexec[fd / 64] &= !bit;
        }
    }

    /// Puts a file at a number there is room for, and gives what was there.
    fn put(&mut self, fd: usize, file: Arc<OpenFile>, cloexec: bool) -> Option<Arc<OpenFile>> {
        let word = fd / 64;
        self.used[word] |= 1 << (fd % 64);
        self.words = self.words.max(word + 1);
        if self.used[word] == !0 {
            self.full[word / 64] |= 1 << (word % 64);
        }
        self.set_cloexec(fd, cloexec);
        self.files[fd].replace(file)
    }

    fn take(&mut self, fd: usize) -> Option<Arc<OpenFile>> {
        let file = self.files.get_mut(fd)?.take()?;
        let word = fd / 64;
        self.used[word] &= !(1 << (fd % 64));
        self.full[word / 64] &= !(1 << (word % 64));
        while self.words > 0 && self.used[self.words - 1] == 0 {
            self.words -= 1;
        }
        Some(file)
    }

    /// The same numbers for the same files; ENOMEM.
    fn duplicate(&self) -> Result<Slots, Errno> {
        let mut copy = Slots::default();
        let Some(last) = (self.words * 64).checked_sub(1) else {
            return Ok(copy);
        };
        copy.reserve(last)?;
        copy.files[..=last].clone_from_slice(&self.files[..=last]);
        copy.used[..self.words].copy_from_slice(&self.used[..self.words]);
        copy.cloexec[..self.words].copy_from_slice(&self.cloexec[..self.words]);
        let full = self.words.div_ceil(64);
        copy.full[..full].copy_from_slice(&self.full[..full]);
        copy.words = self.words;
        Ok(copy)
    }

    /// The next number in use from `from` on.
    fn next_used(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut mask = !0 << (from % 64);
        while word < self.words {
            let bits = self.used[word] & mask;
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            mask = !0;
            word += 1;
        }
        None
    }
}

impl FdTable {
    pub fn new() -> Arc<FdTable> {
        FdTable::with(Slots::default())
    }

    fn with(slots: Slots) -> Arc<FdTable> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Arc::new(FdTable {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            users: AtomicUsize::new(0),
            lent: AtomicU32::new(0),
            slots: BigReaderLock::new(slots),
        })
    }

    /// A thread has it from now on.
    pub(super) fn add_user(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread has it no more; the last one closes everything.
    pub(super) fn remove_user(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close_all();
        }
    }

    /// Whether several threads have it.
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.users.load(Ordering::Acquire) > 1
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    #[inline]
    fn read(&self) -> Reader<'_, Slots> {
        self.slots.read(cpu::id())
    }

    fn write(&self) -> Writer<'_, Slots> {
        self.slots.write(cpu::online())
    }

    /// EBADF where `fd` is not open, or open with O_PATH.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        match self.read().get(fd)? {
            open if !open.is_path() => Ok(open.clone()),
            _ => Err(Errno::EBADF),
        }
    }

    /// Runs `f`, in which a description is used without a share of it. A development build notices where one is taken out
    /// of the table meanwhile.
    #[inline]
    pub fn while_lent<R>(&self, f: impl FnOnce() -> R) -> R {
        if !cfg!(debug_assertions) {
            return f();
        }
        self.lent.fetch_add(1, Ordering::Relaxed);
        let result = f();
        self.lent.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Something is about to be taken out.
    fn check_nothing_lent(&self) {
        debug_assert_eq!(self.lent.load(Ordering::Relaxed), 0, "closed while a call uses it");
    }

    /// The numbers, for who may look at them without the lock.
    #[inline]
    pub fn unlocked(&self) -> *const Slots {
        self.slots.as_ptr()
    }

    /// The description, O_PATH or not: for the calls open(2) lists under O_PATH.
    pub fn get_any(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        self.read().get(fd).cloned()
    }

    /// The lowest free number from `from` on, below `limit` (RLIMIT_NOFILE): EMFILE.
    pub fn insert(&self, file: Arc<OpenFile>, cloexec: bool, from: i32, limit: usize) -> Result<i32, Errno> {
        frame::admit()?;
        let mut slots = self.write();
        let fd = slots.lowest_free(from as usize);
        if fd >= limit {
            // The file goes with the arguments, after the lock's guard.
            return Err(Errno::EMFILE);
        }
        slots.reserve(fd)?;
        slots.put(fd, file, cloexec);
        Ok(fd as i32)
    }

    /// Whether a descriptor could be given now: EMFILE.
    pub fn check_room(&self, limit: usize) -> Result<(), Errno> {
        if self.read().lowest_free(0) < limit {
            Ok(())
        } else {
            Err(Errno::EMFILE)
        }
    }

    /// dup2(2): what was at `fd` is closed (returned, to be dropped by the caller without locks).
    pub fn replace(
        &self,
        fd: i32,
        file: Arc<OpenFile>,
        cloexec: bool,
        limit: usize,
    ) -> Result<Option<Arc<OpenFile>>, Errno> {
        if fd < 0 || fd as usize >= limit {
            return Err(Errno::EBADF);
        }
        self.check_nothing_lent();
        let mut slots = self.write();
        slots.reserve(fd as usize)?;
        let former = slots.put(fd as usize, file, cloexec);
        drop(slots);
        if let Some(former) = &former {
            self.closed(former);
        }
        Ok(former)
    }

    pub fn close(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        self.check_nothing_lent();
        let former = self.write().take(fd as usize).ok_or(Errno::EBADF)?;
        self.closed(&former);
        Ok(former)
    }

    /// A descriptor of the description has been closed here, whether or not it was the last.
    #[inline]
    fn closed(&self, open: &OpenFile) {
        lock::closed(open, self.id);
        mqueue::closed(open);
    }

    /// FD_CLOEXEC of a descriptor.
    pub fn cloexec(&self, fd: i32) -> Result<bool, Errno> {
        let slots = self.read();
        slots.get(fd)?;
        Ok(slots.cloexec[fd as usize / 64] & (1 << (fd % 64)) != 0)
    }

    pub fn set_cloexec(&self, fd: i32, on: bool) -> Result<(), Errno> {
        let mut slots = self.write();
        slots.get(fd)?;
        slots.set_cloexec(fd as usize, on);
        Ok(())
    }

    /// The next open number from `from` on, for /proc and close_range(2).
    pub fn next(&self, from: i32) -> Option<i32> {
        self.read().next_used(from as usize).map(|fd| fd as i32)
    }

    /// Numbers there is room for, FDSize of /proc/PID/status.
    pub fn capacity(&self) -> usize {
        self.read().files.len()
    }

    /// fork(2): ENOMEM.
    pub fn duplicate(&self) -> Result<Arc<FdTable>, Errno> {
        Ok(FdTable::with(self.read().duplicate()?))
    }

    /// execve(2).
    pub fn close_on_exec(&self) {
        let mut from = 0;
        while let Some(fd) = self.next(from) {
            if self.cloexec(fd) == Ok(true)
                && let Ok(open) = self.close(fd)
            {
                // Outside the lock: it may do much.
                open.close();
            }
            from = fd + 1;
        }
        crate::net::unix::rights::collect();
    }

    /// Closes everything, for a thread that ends while others may still look at its table. Locks go first, then the
    /// descriptions from the highest number down: who watches several of them hears of their ends in that order.
    fn close_all(&self) {
        self.check_nothing_lent();
        let slots = core::mem::take(&mut *self.write());
        for open in slots.files.iter().flatten() {
            self.closed(open);
        }
        slots.files.into_iter().rev().for_each(drop);
        crate::net::unix::rights::collect();
    }
}
