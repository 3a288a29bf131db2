//! Strands: green threads of one kernel thread, each on a stack of its own, that block on descriptors.
//!
//! A strand runs until it waits. [`Socket::read`] and [`Socket::write`] try the call; where it would block they arm the
//! descriptor in epoll, edge-triggered and one-shot, and switch to the scheduler. The first wait on a descriptor is an ADD,
//! every later one a single MOD: that arms it again, names the strand that waits, and looks whether the descriptor became
//! ready since the call said EAGAIN, so nothing is lost in between.

mod context;
mod stack;

pub use context::{Context, switch};
pub use stack::Stack;

use crate::epoll::{Epoll, checked};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A strand's stack, in bytes, without its guard page.
pub const STACK: usize = 32 << 10;

type Body = Box<dyn FnOnce()>;

struct Strand {
    context: Context,
    /// Unmapped when the strand has ended and the scheduler is off it.
    _stack: Stack,
    body: Option<Body>,
}

/// How often epoll was asked what, for whoever wonders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub adds: u64,
    pub modifies: u64,
    pub waits: u64,
}

struct Scheduler {
    epoll: Epoll,
    /// By number; `None` is free.
    strands: Vec<Option<Box<Strand>>>,
    free: Vec<usize>,
    ready: VecDeque<usize>,
    running: usize,
    alive: usize,
    /// Where the scheduler's own loop goes on.
    home: Context,
    ended: bool,
    /// By descriptor: whether epoll knows it.
    registered: Vec<bool>,
    counts: Counts,
}

thread_local! {
    static SCHEDULER: RefCell<Option<Scheduler>> = const { RefCell::new(None) };
}

/// Looks at this thread's scheduler. Never across a switch: the other side looks at it too.
fn scheduler<R>(look: impl FnOnce(&mut Scheduler) -> R) -> R {
    SCHEDULER.with_borrow_mut(|scheduler| look(scheduler.as_mut().expect("strands run inside `strand::run`")))
}

/// Runs `main` as the first strand, and all it spawns, to their ends.
pub fn run(main: impl FnOnce() + 'static) -> io::Result<Counts> {
    let fresh = Scheduler {
        epoll: Epoll::new()?,
        strands: Vec::new(),
        free: Vec::new(),
        ready: VecDeque::new(),
        running: 0,
        alive: 0,
        home: Context::default(),
        ended: false,
        registered: Vec::new(),
        counts: Counts::default(),
    };
    SCHEDULER.set(Some(fresh));
    spawn(main)?;
    while scheduler(|own| own.alive) > 0 {
        match scheduler(|own| own.ready.pop_front()) {
            Some(strand) => resume(strand),
            None => scheduler(wait_for_events)?,
        }
    }
    let counts = scheduler(|own| own.counts);
    SCHEDULER.set(None);
    Ok(counts)
}

/// Has another strand run, behind those that are ready.
pub fn spawn(body: impl FnOnce() + 'static) -> io::Result<()> {
    let stack = Stack::new(STACK)?;
    scheduler(|own| {
        let number = own.free.pop().unwrap_or_else(|| {
            own.strands.push(None);
            own.strands.len() - 1
        });
        own.strands[number] = Some(Box::new(Strand {
            context: Context::new(&stack, first),
            _stack: stack,
            body: Some(Box::new(body)),
        }));
        own.alive += 1;
        own.ready.push_back(number);
    });
    Ok(())
}

/// Lets the other ready strands run first.
pub fn yield_now() {
    scheduler(|own| own.ready.push_back(own.running));
    leave();
}

/// What every strand runs, from its first switch on.
extern "C" fn first() -> ! {
    let body = scheduler(|own| {
        let running = own.running;
        own.strands[running].as_mut().and_then(|strand| strand.body.take())
    });
    if let Some(body) = body {
        body();
    }
    scheduler(|own| own.ended = true);
    leave();
    unreachable!("an ended strand is not resumed")
}

/// From the scheduler to a strand, and back when it waits or ends.
fn resume(number: usize) {
    let (home, strand) = scheduler(|own| {
        own.running = number;
        let strand = own.strands[number].as_mut().expect("only strands that live are ready");
        (&raw mut own.home, &raw const strand.context)
    });
    // SAFETY: the strand is off the CPU and its stack is mapped; its box, and the scheduler in its cell, stay where they
    // are until it switches back here.
    unsafe { switch(home, strand) };
    scheduler(|own| {
        if std::mem::take(&mut own.ended) {
            own.strands[number] = None;
            own.free.push(number);
            own.alive -= 1;
        }
    });
}

/// From the running strand to the scheduler.
fn leave() {
    let (strand, home) = scheduler(|own| {
        let running = own.running;
        let strand = own.strands[running].as_mut().expect("it runs");
        (&raw mut strand.context, &raw const own.home)
    });
    // SAFETY: the scheduler waits in `resume`, on a stack that lives as long as the strands.
    unsafe { switch(strand, home) };
}

fn wait_for_events(own: &mut Scheduler) -> io::Result<()> {
    own.counts.waits += 1;
    for event in own.epoll.wait(None)? {
        own.ready.push_back(event.data as usize);
    }
    Ok(())
}

/// Blocks the running strand until `fd` may be readable or writable.
fn wait_for(fd: RawFd, mask: i32) -> io::Result<()> {
    let mask = (mask | libc::EPOLLET | libc::EPOLLONESHOT) as u32;
    scheduler(|own| {
        let at = fd as usize;
        if own.registered.len() <= at {
            own.registered.resize(at + 1, false);
        }
        if own.registered[at] {
            own.counts.modifies += 1;
            own.epoll.modify(fd, mask, own.running as u64)
        } else {
            own.counts.adds += 1;
            own.registered[at] = true;
            own.epoll.add(fd, mask, own.running as u64)
        }
    })?;
    leave();
    Ok(())
}

/// A non-blocking stream that blocks only the strand.
pub struct Socket(OwnedFd);

impl Socket {
    /// A pair, connected to each other.
    pub fn pair() -> io::Result<(Socket, Socket)> {
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        one.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        Ok((Socket(one.into()), Socket(other.into())))
    }

    /// read(2): how many bytes came, 0 at the end.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.attempt(libc::EPOLLIN | libc::EPOLLRDHUP, |fd| {
            // SAFETY: the kernel writes into the buffer, which outlives the call.
            unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) }
        })
    }

    /// Reads until the buffer is full; an early end is an error.
    pub fn read_exact(&self, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read(&mut buffer[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    }

    /// write(2), until all of it is written.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            done += self.attempt(libc::EPOLLOUT, |fd| {
                // SAFETY: the kernel reads the bytes, which outlive the call.
                unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) }
            })?;
        }
        Ok(())
    }

    /// Makes a call until it is done, blocking the strand while it would block.
    fn attempt(&self, mask: i32, mut call: impl FnMut(RawFd) -> isize) -> io::Result<usize> {
        let fd = self.0.as_raw_fd();
        loop {
            match checked(call(fd)) {
                Ok(count) => return Ok(count as usize),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for(fd, mask)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Socket {
    /// Closing removes the registration; the next descriptor of this number begins with an ADD.
    fn drop(&mut self) {
        let fd = self.0.as_raw_fd() as usize;
        SCHEDULER.with_borrow_mut(|scheduler| {
            if let Some(known) = scheduler.as_mut().and_then(|own| own.registered.get_mut(fd)) {
                *known = false;
            }
        });
    }
}
