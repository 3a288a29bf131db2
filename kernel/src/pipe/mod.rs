//! Pipes and FIFOs, pipe(7).
//!
//! A [`Pipe`] is a queue of page slots, as on Linux, where programs can see it: a pipe is writable while a slot is free,
//! however little is in the others. A small write goes behind what the last slot holds, a larger one takes new slots.
//! Pages are allocated when they are written to, and one is kept for the next write.
//!
//! A [`PipeEnd`] is what a description holds: the reading end, the writing one, or both (a FIFO opened with O_RDWR). All
//! ends wait on the pipe's one queue; the masks tell readers from writers.

mod splice;
#[cfg(feature = "ktest")]
pub mod tests;

use crate::arch::PAGE_SIZE;
use crate::file::signal_driven::Band;
use crate::file::{File, OpenFile};
use crate::fs::access::Credentials;
use crate::fs::{self, Attributes, PIPE_DEVICE, Place, Stat};
use crate::mm::frame::Frame;
use crate::mm::user::{self, Sink, Source};
use crate::task;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_SYS_RESOURCE;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::ioctl::FIONREAD;
use libsyscall::abi::signal::SIGPIPE;
use sync::SpinLock;

/// Slots of a new pipe: 64 KiB, pipe(7).
const SLOTS: usize = 16;
/// What F_SETPIPE_SZ grants without privilege: /proc/sys/fs/pipe-max-size.
pub const SIZE_MAX: usize = 1 << 20;
/// The largest size that can be asked for at all.
const SIZE_LIMIT: usize = 1 << 31;

const READABLE: EventMask = EventMask::IN.union(EventMask::RDNORM);
const WRITABLE: EventMask = EventMask::OUT.union(EventMask::WRNORM);
/// An end came or went: everyone looks again.
const ENDS_CHANGED: EventMask = FOR_READERS.union(FOR_WRITERS);
/// What a reading end is told of, and what a writing end is, whatever else somebody asks there.
const FOR_READERS: EventMask = READABLE.union(EventMask::HUP);
const FOR_WRITERS: EventMask = WRITABLE.union(EventMask::ERR);

pub struct Pipe {
    ring: SpinLock<Ring>,
    queue: WaitQueue,
    ino: u64,
    attributes: SpinLock<Attributes>,
    /// Called when a full pipe has been read from: who fills this one from an interrupt goes on then.
    drained: Option<fn()>,
}

struct Ring {
    /// As many as there may be, a power of two; none before the first write.
    slots: Vec<Slot>,
    /// The first slot with bytes, and how many have some from there on, round the end. Of an empty pipe the first is 0:
    /// that slot keeps its page, so that bytes going through one by one need no other.
    first: usize,
    used: usize,
    /// Slots there may be.
    limit: usize,
    /// A splice(2) is passing on the first bytes: nobody else takes any meanwhile.
    taking: bool,
    readers: u32,
    writers: u32,
    /// Openings so far, by which a blocked open(2) sees that its partner came, even if that is gone again.
    reader_openings: u32,
    writer_openings: u32,
}

/// A page with bytes in it.
#[derive(Default)]
struct Slot {
    page: Option<Frame>,
    start: usize,
    len: usize,
    /// Written with O_DIRECT: read at once, never added to.
    packet: bool,
}

impl Pipe {
    fn new(owner: Credentials, drained: Option<fn()>) -> Arc<Pipe> {
        Arc::new(Pipe {
            ring: SpinLock::new(Ring {
                slots: Vec::new(),
                first: 0,
                used: 0,
                limit: SLOTS,
                taking: false,
                readers: 0,
                writers: 0,
                reader_openings: 0,
                writer_openings: 0,
            }),
            queue: WaitQueue::new(),
            ino: fs::new_ino(),
            attributes: SpinLock::new(Attributes::new(0o600, &owner)),
            drained,
        })
    }

    /// Takes what is there. EAGAIN while there is nothing but may come something.
    #[inline(always)]
    fn read(&self, to: &mut Sink) -> Result<usize, Errno> {
        let mut ring = self.ring.lock();
        if ring.used == 0 || ring.taking {
            return ring.nothing_to_take();
        }
        let was_full = ring.is_full();
        let count = ring.take(to)?;
        let has_room = was_full && !ring.is_full();
        drop(ring);
        if has_room {
            self.made_room();
        }
        Ok(count)
    }

    #[cold]
    fn made_room(&self) {
        self.queue.wake(WRITABLE);
        if let Some(drained) = self.drained {
            drained();
        }
    }

    /// Puts what there is room for. EAGAIN where there is none, EPIPE where nobody could read it.
    #[inline(always)]
    fn write(&self, from: &mut Source, packets: bool) -> Result<usize, Errno> {
        let mut ring = self.ring.lock();
        if ring.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let count = ring.put(from, packets)?;
        drop(ring);
        self.queue.wake(READABLE);
        Ok(count)
    }

    /// Adds an end.
    fn enter(&self, reads: bool, writes: bool) {
        let mut ring = self.ring.lock();
        if reads {
            ring.readers += 1;
            ring.reader_openings = ring.reader_openings.wrapping_add(1);
        }
        if writes {
            ring.writers += 1;
            ring.writer_openings = ring.writer_openings.wrapping_add(1);
        }
    }

    /// Takes an end away. When the last of its kind goes, those on the other side are told.
    fn leave(&self, reads: bool, writes: bool) {
        let mut ring = self.ring.lock();
        ring.readers -= reads as u32;
        ring.writers -= writes as u32;
        let (readers, writers) = (ring.readers, ring.writers);
        let mut abandoned = Vec::new();
        if readers == 0 && writers == 0 {
            // A FIFO that nobody has open forgets what was in it.
            abandoned = core::mem::take(&mut ring.slots);
            (ring.first, ring.used) = (0, 0);
        }
        drop(ring);
        drop(abandoned);
        if (readers == 0) != (writers == 0) {
            self.queue.wake(ENDS_CHANGED);
        }
    }
}

impl Ring {
    #[inline]
    fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    /// What a read says that finds nothing: EAGAIN while something may come, 0 at the end.
    #[inline]
    fn nothing_to_take(&self) -> Result<usize, Errno> {
        if self.writers == 0 && !self.taking {
            Ok(0)
        } else {
            Err(Errno::EAGAIN)
        }
    }

    /// The place in `slots` of the slot `offset` after the first one.
    #[inline]
    fn index(&self, offset: usize) -> usize {
        (self.first + offset) & (self.slots.len() - 1)
    }

    /// Bytes in all slots.
    fn bytes(&self) -> usize {
        (0..self.used).map(|offset| self.slots[self.index(offset)].len).sum()
    }

    /// Moves bytes out, up to the end of a packet. EFAULT where not one could be.
    #[inline]
    fn take(&mut self, to: &mut Sink) -> Result<usize, Errno> {
        let mut done = 0;
        loop {
            let slot = &mut self.slots[self.first];
            let page = slot.page.as_ref().expect("a slot with bytes has a page");
            let len = slot.len.min(to.len());
            let moved = match to.put_frame(page, slot.start, len) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(moved) => moved,
            };
            // A page is taken whole, as far as it is asked for, or stays.
            if moved < len {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
            done += moved;
            let packet = slot.packet;
            // What of a packet is not asked for is lost.
            let used = if packet { slot.len } else { moved };
            slot.start += used;
            slot.len -= used;
            if slot.len == 0 {
                self.leave_first();
            }
            if packet || self.used == 0 || to.len() == 0 {
                break;
            }
        }
        Ok(done)
    }

    /// The first slot has been read empty. The slot at 0, where an empty pipe starts, keeps its page.
    #[inline(always)]
    fn leave_first(&mut self) {
        if self.first == 0 && self.used == 1 {
            self.used = 0;
        } else {
            self.leave_any();
        }
    }

    #[inline(never)]
    fn leave_any(&mut self) {
        self.used -= 1;
        if self.first != 0 {
            self.slots[self.first].page = None;
        }
        self.first = if self.used == 0 { 0 } else { self.index(1) };
    }

    /// Moves bytes in, as many as fit. At most a page of them is all or nothing: behind the last slot's bytes or in a
    /// slot of its own.
    #[inline(always)]
    fn put(&mut self, from: &mut Source, packets: bool) -> Result<usize, Errno> {
        // The usual case by itself: a few bytes into an empty pipe that has its page already.
        if self.used == 0
            && from.len() <= PAGE_SIZE
            && let Some(slot) = self.slots.first_mut()
            && let Some(page) = &slot.page
        {
            let len = from.len();
            if from.get_frame(page, 0, len)? < len {
                return Err(Errno::EFAULT);
            }
            (slot.start, slot.len, slot.packet) = (0, len, packets);
            self.used = 1;
            return Ok(len);
        }
        self.put_any(from, packets)
    }

    #[inline(never)]
    fn put_any(&mut self, from: &mut Source, packets: bool) -> Result<usize, Errno> {
        let mut done = 0;
        // The odd bytes first, behind what is there, so that the rest fills whole pages.
        let odd = from.len() % PAGE_SIZE;
        if odd > 0 && !packets && self.used > 0 {
            let last = self.index(self.used - 1);
            let slot = &mut self.slots[last];
            let end = slot.start + slot.len;
            if let Some(page) = &slot.page
                && !slot.packet
                && end + odd <= PAGE_SIZE
            {
                done = from.get_frame(page, end, odd)?;
                if done < odd {
                    return Err(Errno::EFAULT);
                }
                slot.len += done;
            }
        }
        while from.len() > 0 {
            if self.is_full() {
                return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
            }
            let len = from.len().min(PAGE_SIZE);
            match self.put_slot(from, len, packets) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += len,
            }
        }
        Ok(done)
    }

    /// Puts `len` bytes, a page at most, in a slot of their own: all, or none.
    fn put_slot(&mut self, from: &mut Source, len: usize, packet: bool) -> Result<(), Errno> {
        if self.slots.is_empty() {
            self.slots = empty_slots(self.limit)?;
        }
        let index = self.index(self.used);
        let slot = &mut self.slots[index];
        if slot.page.is_none() {
            slot.page = Some(Frame::new().map_err(|_| Errno::ENOMEM)?);
        }
        let page = slot.page.as_ref().expect("it was just put there");
        if from.get_frame(page, 0, len)? < len {
            return Err(Errno::EFAULT);
        }
        (slot.start, slot.len, slot.packet) = (0, len, packet);
        self.used += 1;
        Ok(())
    }

    /// Makes room for `limit` slots, a power of two. EBUSY where more are in use, ENOMEM.
    fn set_limit(&mut self, limit: usize) -> Result<(), Errno> {
        if limit < self.used {
            return Err(Errno::EBUSY);
        }
        if !self.slots.is_empty() {
            let mut slots = empty_slots(limit)?;
            for (offset, slot) in slots.iter_mut().enumerate().take(self.used) {
                let index = self.index(offset);
                *slot = core::mem::take(&mut self.slots[index]);
            }
            self.slots = slots;
            self.first = 0;
        }
        self.limit = limit;
        Ok(())
    }
}

fn empty_slots(count: usize) -> Result<Vec<Slot>, Errno> {
    let mut slots = Vec::new();
    slots.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    slots.resize_with(count, Slot::default);
    Ok(slots)
}

/// A write that nobody could read comes with its signal.
fn signal_if_broken(error: Errno) {
    if error == Errno::EPIPE {
        task::signal_current(SIGPIPE);
    }
}

/// One end of a pipe, as a description holds it.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// The writers' openings when this end was: a reader that came first sees no end of file before the first writer.
    writers_seen: Option<u32>,
    /// The name of a FIFO.
    place: Option<Place>,
}

/// pipe2(2): the reading and the writing end. `flags`: O_NONBLOCK, O_DIRECT.
pub fn create(flags: u32) -> Result<(Arc<OpenFile>, Arc<OpenFile>), Errno> {
    Ok(create_for(fs::access::current(), flags, None))
}

/// The same for an owner; a writer that must not block is called (`drained`) when a full pipe has been read from.
pub fn create_for(owner: Credentials, flags: u32, drained: Option<fn()>) -> (Arc<OpenFile>, Arc<OpenFile>) {
    let pipe = Pipe::new(owner, drained);
    pipe.enter(true, true);
    let end = |reads, writes| PipeEnd {
        pipe: pipe.clone(),
        reads,
        writes,
        writers_seen: None,
        place: None,
    };
    // Packets are the writer's matter: a reader takes what it finds.
    let reader = OpenFile::new(Arc::new(end(true, false)), O_RDONLY | (flags & O_NONBLOCK));
    (reader, OpenFile::new(Arc::new(end(false, true)), O_WRONLY | flags))
}

/// Where a FIFO's inode finds its pipe, which lives as long as someone has it open.
#[derive(Default)]
pub struct FifoSlot(SpinLock<Weak<Pipe>>);

impl FifoSlot {
    fn pipe(&self) -> Arc<Pipe> {
        let mut slot = self.0.lock();
        slot.upgrade().unwrap_or_else(|| {
            // The inode has the owner.
            let pipe = Pipe::new(fs::access::ROOT, None);
            *slot = Arc::downgrade(&pipe);
            pipe
        })
    }
}

/// open(2) of a FIFO, fifo(7).
pub fn open_fifo(slot: &FifoSlot, place: &Place, flags: u32) -> Result<Arc<dyn File>, Errno> {
    open_end(slot.pipe(), Some(place.clone()), flags)
}

/// Opens an end and waits for the other, unless O_NONBLOCK: then a reader goes on and a writer without readers gets
/// ENXIO. A pipe without a name waits for nobody.
fn open_end(pipe: Arc<Pipe>, place: Option<Place>, flags: u32) -> Result<Arc<dyn File>, Errno> {
    let reads = flags & O_ACCMODE != O_WRONLY;
    let writes = flags & O_ACCMODE != O_RDONLY;
    let is_fifo = place.is_some();
    let nonblocking = flags & O_NONBLOCK != 0;
    let ring = pipe.ring.lock();
    if is_fifo && writes && !reads && nonblocking && ring.readers == 0 {
        return Err(Errno::ENXIO);
    }
    let (readers_before, writers_before) = (ring.reader_openings, ring.writer_openings);
    let alone = is_fifo
        && if reads {
            !writes && ring.writers == 0
        } else {
            ring.readers == 0
        };
    drop(ring);
    pipe.enter(reads, writes);
    let writers_seen = (alone && reads).then_some(writers_before);
    pipe.queue.wake(ENDS_CHANGED);
    if alone && !nonblocking {
        let partner_came = || {
            let ring = pipe.ring.lock();
            let came = if reads {
                ring.writer_openings != writers_before
            } else {
                ring.reader_openings != readers_before
            };
            if came { Ok(()) } else { Err(Errno::EAGAIN) }
        };
        if let Err(error) = task::block_on(&pipe.queue, ENDS_CHANGED, None, partner_came) {
            pipe.leave(reads, writes);
            return Err(error);
        }
    }
    let writers_seen = writers_seen.filter(|_| nonblocking);
    Ok(Arc::new(PipeEnd {
        pipe,
        reads,
        writes,
        writers_seen,
        place,
    }))
}

impl PipeEnd {
    /// F_GETPIPE_SZ.
    pub fn capacity(&self) -> usize {
        self.pipe.ring.lock().limit * PAGE_SIZE
    }

    /// F_SETPIPE_SZ: rounded up to a power of two of pages; the size it is now.
    pub fn set_capacity(&self, size: usize) -> Result<usize, Errno> {
        if size > SIZE_LIMIT {
            return Err(Errno::EINVAL);
        }
        let size = size.max(PAGE_SIZE).next_power_of_two();
        if size > SIZE_MAX && !fs::access::current().has(CAP_SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        self.pipe.ring.lock().set_limit(size / PAGE_SIZE)?;
        // Whether there was room before or not, as on Linux.
        self.pipe.queue.wake(FOR_WRITERS);
        Ok(size)
    }
}

impl PipeEnd {
    #[inline(never)]
    fn wait_and_read(&self, to: &mut Sink) -> Result<usize, Errno> {
        task::block_on(&self.pipe.queue, READABLE | EventMask::HUP, None, || self.pipe.read(to))
    }

    /// Goes on with a write that has not put everything: waits for room, or ends with what has been put.
    #[inline(never)]
    fn write_rest(
        &self,
        nonblocking: bool,
        from: &mut Source,
        packets: bool,
        begun: Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let mut done = begun.unwrap_or(0);
        let mut step = || {
            while from.len() > 0 {
                done += self.pipe.write(from, packets)?;
            }
            Ok(())
        };
        let ended = match begun.and_then(|_| step()) {
            Err(Errno::EAGAIN) if !nonblocking => {
                task::block_on(&self.pipe.queue, WRITABLE | EventMask::ERR, None, step)
            }
            ended => ended,
        };
        match ended {
            Ok(()) => Ok(done),
            Err(error) => {
                signal_if_broken(error);
                if done > 0 {
                    return Ok(done);
                }
                // An edge for readers even so, as on Linux.
                self.pipe.queue.wake(READABLE);
                Err(error)
            }
        }
    }
}

impl File for PipeEnd {
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        if to.len() == 0 {
            return Ok(0);
        }
        match self.pipe.read(to) {
            Err(Errno::EAGAIN) if !open.nonblocking() => self.wait_and_read(to),
            done => done,
        }
    }

    fn write(&self, open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        if from.len() == 0 {
            return Ok(0);
        }
        let packets = open.flags() & O_DIRECT != 0;
        match self.pipe.write(from, packets) {
            Ok(count) if from.len() == 0 => Ok(count),
            begun => self.write_rest(open.nonblocking(), from, packets, begun),
        }
    }

    fn takes_direct(&self) -> bool {
        true
    }

    fn ioctl(&self, _open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        match command {
            FIONREAD => {
                let bytes = self.pipe.ring.lock().bytes() as i32;
                user::write(argument, &bytes)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn stat(&self) -> Stat {
        match &self.place {
            Some(place) => place.stat(),
            None => Stat {
                dev: PIPE_DEVICE,
                ino: self.pipe.ino,
                ..self.pipe.attributes.lock().stat(S_IFIFO)
            },
        }
    }

    fn attributes(&self) -> Option<&SpinLock<Attributes>> {
        Some(&self.pipe.attributes)
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self)
    }

    fn sends_signals(&self) -> bool {
        true
    }

    fn band(&self, events: EventMask) -> Option<Band> {
        let is_for_reader = self.reads && (!self.writes || events.intersects(READABLE));
        Some(if is_for_reader { Band::In } else { Band::Out })
    }

    fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    fn link_name(&self) -> String {
        match &self.place {
            Some(place) => place.display(),
            None => alloc::format!("pipe:[{}]", self.pipe.ino),
        }
    }

    fn reopen(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        open_end(self.pipe.clone(), self.place.clone(), flags)
    }

    fn release(&self, _open: &OpenFile) {
        self.pipe.leave(self.reads, self.writes);
    }
}

impl Pollable for PipeEnd {
    fn readiness(&self) -> EventMask {
        let ring = self.pipe.ring.lock();
        let mut ready = EventMask::empty();
        if self.reads {
            if ring.used > 0 {
                ready |= READABLE;
            }
            if ring.writers == 0 && self.writers_seen != Some(ring.writer_openings) {
                ready |= EventMask::HUP;
            }
        }
        if self.writes {
            if !ring.is_full() {
                ready |= WRITABLE;
            }
            if ring.readers == 0 {
                ready |= EventMask::ERR;
            }
        }
        ready
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.pipe.queue
    }

    fn told_of(&self) -> EventMask {
        match (self.reads, self.writes) {
            (true, false) => FOR_READERS,
            (false, true) => FOR_WRITERS,
            _ => ENDS_CHANGED,
        }
    }
}
