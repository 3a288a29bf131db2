//! Pipes and FIFOs, pipe(7).
//!
//! A [`Pipe`] is a queue of page slots, as on Linux, where programs can see it: a pipe is writable while a slot is free,
//! however little is in the others. A small write goes behind what the last slot holds, a larger one takes new slots.
//! Pages are allocated when they are written to, and one is kept for the next write: `ring.rs`.
//!
//! A [`PipeEnd`] is what a description holds: the reading end, the writing one, or both (a FIFO opened with O_RDWR). All
//! ends wait on the pipe's one queue; the masks tell readers from writers. What programs do with them is in `end.rs`.

mod end;
mod ring;
mod splice;
#[cfg(feature = "ktest")]
pub mod tests;

pub use end::SIZE_MAX;

use crate::file::{File, OpenFile};
use crate::fs::access::Credentials;
use crate::fs::{self, Attributes, Place};
use crate::mm::user::{Sink, Source};
use crate::task;
use alloc::sync::{Arc, Weak};
use event::{EventMask, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::signal::SIGPIPE;
use ring::Ring;
use sync::SpinLock;

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

impl Pipe {
    fn new(owner: Credentials, drained: Option<fn()>) -> Arc<Pipe> {
        Arc::new(Pipe {
            ring: SpinLock::new(Ring::new()),
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
        // A FIFO that nobody has open forgets what was in it.
        let abandoned = (readers == 0 && writers == 0).then(|| ring.empty());
        drop(ring);
        drop(abandoned);
        if (readers == 0) != (writers == 0) {
            self.queue.wake(ENDS_CHANGED);
        }
    }
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
