//! What a datagram socket's messages know of it wherever they lie: who sent them, and what they cost.

use super::connection::WRITABLE;
use super::names::Name;
use crate::net::options::BUFFER_DEFAULT;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicUsize};
use event::{EventMask, WaitQueue, Waiter, Woken};

/// The sending side of a socket.
pub struct Sender {
    pub name: Arc<Name>,
    /// What its messages cost that nobody has received, and what they may cost while another is added, SO_SNDBUF.
    cost: AtomicUsize,
    pub limit: AtomicUsize,
    /// The socket's own queue.
    waiting: Arc<WaitQueue>,
    /// The socket found its peer's queue full, and wants to hear when it no longer is.
    wants_room: AtomicBool,
}

impl Sender {
    pub fn new(name: Arc<Name>, waiting: Arc<WaitQueue>) -> Sender {
        Sender {
            name,
            cost: AtomicUsize::new(0),
            limit: AtomicUsize::new(BUFFER_DEFAULT),
            waiting,
            wants_room: AtomicBool::new(false),
        }
    }

    pub fn cost(&self) -> usize {
        self.cost.load(Relaxed)
    }

    /// Whether it may send at all.
    pub fn has_room(&self) -> bool {
        self.cost() < self.limit.load(Relaxed)
    }

    /// Whether it counts as writable: a quarter of what it may send is on its way at most.
    pub fn is_writable(&self) -> bool {
        self.cost() * 4 <= self.limit.load(Relaxed)
    }

    /// Asks whether `is_full`, and to be told when that ends:
    ///
    /// | sender | receiver |
    /// |---|---|
    /// | notes its wish | |
    /// | asks, under the receiver's lock: full | |
    /// | | takes a message, under its lock |
    /// | | finds the wish, wakes |
    pub fn finds_full(&self, is_full: impl Fn() -> bool) -> bool {
        if !is_full() {
            return false;
        }
        self.wants_room.store(true, SeqCst);
        is_full()
    }
}

/// In the queue of those who wait for the peer's room.
impl Waiter for Sender {
    fn wake(&self, _token: u32, events: EventMask) -> Woken {
        if self.wants_room.swap(false, SeqCst) {
            self.waiting.wake(events)
        } else {
            Woken::No
        }
    }
}

/// A message's share of its sender. Dropped, without locks, when the message has been received or is lost.
pub struct Origin {
    pub sender: Arc<Sender>,
    cost: usize,
}

impl Origin {
    pub fn new(sender: Arc<Sender>, cost: usize) -> Origin {
        sender.cost.fetch_add(cost, Relaxed);
        Origin { sender, cost }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.sender.cost.fetch_sub(self.cost, Relaxed);
        if self.sender.is_writable() {
            self.sender.waiting.wake(WRITABLE);
        }
    }
}
