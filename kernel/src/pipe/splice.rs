//! Bytes between a pipe and another file, splice(2), and between two pipes, tee(2).
//!
//! Pages do not change hands, bytes are copied. What the other file does not take stays in the pipe.

use super::{Pipe, PipeEnd, READABLE, WRITABLE};
use crate::arch::PAGE_SIZE;
use crate::mm::user::{Sink, Source};
use crate::task;
use alloc::sync::Arc;
use alloc::vec::Vec;
use event::EventMask;
use libsyscall::abi::Errno;

/// A buffer on the way: a slot's bytes at most.
fn buffer(len: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    buffer.resize(len, 0);
    Ok(buffer)
}

impl Pipe {
    /// Copies up to `to.len()` bytes from `offset` on and leaves them in the pipe. What it copied.
    fn copy(&self, offset: usize, to: &mut [u8]) -> usize {
        let ring = self.ring.lock();
        let (mut skip, mut done) = (offset, 0);
        for number in 0..ring.used {
            let slot = &ring.slots[ring.index(number)];
            let skipped = skip.min(slot.len);
            skip -= skipped;
            let len = (slot.len - skipped).min(to.len() - done);
            if let Some(page) = &slot.page {
                // A kernel buffer takes everything.
                let mut sink = Sink::kernel(&mut to[done..]);
                done += sink.put_frame(page, slot.start + skipped, len).unwrap_or(0);
            }
        }
        done
    }

    /// Begins to pass bytes on: copies what the first slot has, up to `to.len()`, and keeps others from taking it until
    /// [`Pipe::end_taking`]. As [`Pipe::read`] where there is nothing.
    fn begin_taking(&self, to: &mut [u8]) -> Result<usize, Errno> {
        let mut ring = self.ring.lock();
        if ring.used == 0 || ring.taking {
            return ring.nothing_to_take();
        }
        let slot = &ring.slots[ring.first];
        let len = slot.len.min(to.len());
        if let Some(page) = &slot.page {
            Sink::kernel(to).put_frame(page, slot.start, len)?;
        }
        ring.taking = true;
        Ok(len)
    }

    /// The first `count` bytes were passed on.
    fn end_taking(&self, count: usize) {
        let mut ring = self.ring.lock();
        ring.taking = false;
        let was_full = ring.is_full();
        let first = ring.first;
        let slot = &mut ring.slots[first];
        slot.start += count;
        slot.len -= count;
        if slot.len == 0 {
            ring.leave_first();
        }
        let has_room = was_full && !ring.is_full();
        drop(ring);
        // Who came in between was told that there was nothing.
        self.queue.wake(READABLE);
        if has_room {
            self.made_room();
        }
    }
}

impl PipeEnd {
    /// Whether both are ends of one pipe.
    pub fn is_same_pipe(&self, other: &PipeEnd) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }

    /// Waits until there is something to take: false at the end. EAGAIN, ERESTARTSYS.
    pub fn wait_readable(&self, nonblocking: bool) -> Result<bool, Errno> {
        let look = || {
            let ring = self.pipe.ring.lock();
            if ring.used > 0 && !ring.taking {
                return Ok(true);
            }
            ring.nothing_to_take().map(|_| false)
        };
        match look() {
            Err(Errno::EAGAIN) if !nonblocking => {
                task::block_on(&self.pipe.queue, READABLE | EventMask::HUP, None, look)
            }
            found => found,
        }
    }

    /// Waits until there is a free slot; how many bytes the free ones take. EPIPE with its signal, EAGAIN, ERESTARTSYS.
    pub fn wait_writable(&self, nonblocking: bool) -> Result<usize, Errno> {
        let look = || {
            let ring = self.pipe.ring.lock();
            if ring.readers == 0 {
                return Err(Errno::EPIPE);
            }
            if ring.is_full() {
                return Err(Errno::EAGAIN);
            }
            Ok((ring.limit - ring.used) * PAGE_SIZE)
        };
        let found = match look() {
            Err(Errno::EAGAIN) if !nonblocking => {
                task::block_on(&self.pipe.queue, WRITABLE | EventMask::ERR, None, look)
            }
            found => found,
        };
        found.inspect_err(|&error| super::signal_if_broken(error))
    }

    /// Puts what there is room for.
    pub fn put(&self, from: &mut Source) -> Result<usize, Errno> {
        self.pipe.write(from, false)
    }

    /// Puts everything, or without waiting what there is room for.
    pub fn put_waiting(&self, from: &mut Source, nonblocking: bool) -> Result<usize, Errno> {
        match self.pipe.write(from, false) {
            Ok(count) if from.len() == 0 => Ok(count),
            begun => self.write_rest(nonblocking, from, false, begun),
        }
    }

    /// Passes up to `len` bytes on to `put`, which says how many it took. Waits for the first ones only.
    pub fn splice_to(
        &self,
        len: usize,
        nonblocking: bool,
        mut put: impl FnMut(&mut Source) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let mut buffer = buffer(PAGE_SIZE)?;
        let mut done = 0;
        while done < len {
            if done == 0 && !self.wait_readable(nonblocking)? {
                return Ok(0);
            }
            let piece = &mut buffer[..(len - done).min(PAGE_SIZE)];
            let got = match self.pipe.begin_taking(piece) {
                // Another one came first.
                Err(Errno::EAGAIN) if done == 0 => continue,
                Err(_) | Ok(0) => break,
                Ok(got) => got,
            };
            let result = put(&mut Source::kernel(&piece[..got]));
            self.pipe.end_taking(result.unwrap_or(0).min(got));
            match result {
                Ok(count) => {
                    done += count;
                    if count < got {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
            if task::preempt_point() {
                break;
            }
        }
        Ok(done)
    }

    /// Takes up to `len` bytes from `get`, which is given a buffer and says how much it put there, 0 at its end. Waits for
    /// room, and `get` for its first bytes: it is told whether it is asked for the first time.
    pub fn splice_from(
        &self,
        len: usize,
        nonblocking: bool,
        mut get: impl FnMut(&mut Sink, bool) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let mut buffer = buffer(PAGE_SIZE)?;
        let mut done = 0;
        while done < len {
            let room = match self.wait_writable(nonblocking || done > 0) {
                Ok(room) => room,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let piece = &mut buffer[..(len - done).min(PAGE_SIZE).min(room)];
            let wanted = piece.len();
            let got = match get(&mut Sink::kernel(piece), done == 0) {
                Ok(got) => got,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            // What has been taken is not lost, though another writer may have taken the room: this waits for some.
            let mut from = Source::kernel(&buffer[..got]);
            if got > 0 {
                self.put_waiting(&mut from, false)?;
            }
            done += got;
            if got < wanted {
                break;
            }
            if task::preempt_point() {
                break;
            }
        }
        Ok(done)
    }

    /// Copies up to `len` bytes to another pipe and leaves them here.
    pub fn tee_to(&self, to: &PipeEnd, len: usize, nonblocking: bool) -> Result<usize, Errno> {
        if !self.wait_readable(nonblocking)? {
            return Ok(0);
        }
        to.wait_writable(nonblocking)?;
        let mut buffer = buffer(PAGE_SIZE)?;
        let mut done = 0;
        while done < len {
            let piece = &mut buffer[..(len - done).min(PAGE_SIZE)];
            let got = self.pipe.copy(done, piece);
            if got == 0 {
                break;
            }
            match to.pipe.write(&mut Source::kernel(&piece[..got]), false) {
                Ok(count) => {
                    done += count;
                    if count < got {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
            if task::preempt_point() {
                break;
            }
        }
        Ok(done)
    }
}
