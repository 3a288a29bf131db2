//! The readiness core: wait queues, the one blocking loop, epoll, eventfd, inotify's queue and poll, as pure
//! logic.
//!
//! # Glossary
//! - *Readiness*: what an object could do now without blocking, as an [`EventMask`].
//! - *Wait queue*: who is to be told when that changes ([`WaitQueue`]); a *waiter* stands in it ([`Waiter`]).
//! - *Wake-up*: a call of [`WaitQueue::wake`] with the bits that may have been added.
//! - *Interest*: one registration of an epoll; the *interest list* has all, the *ready list* those that may have something
//!   to report.
//! - *Harvest*: taking interests off the ready list and delivering what their objects say.
//!
//! # Protocol
//! An object changes under its own lock, drops it, then wakes its queue. A waiter registers, then asks. Whatever the order
//! of the two, one of them sees the other ([`WaitQueue::add`] draws it). [`block_on()`] is the only loop that does so.
//!
//! # Lock order, outermost first
//! ```text
//! nesting                 one addition of an epoll to an epoll at a time
//! └─ interests            of an outer epoll before those of an inner one
//!    └─ watch list        of a description (a leaf)
//!    └─ file              the watched object's own, inside `readiness`
//!       └─ wait queue     the object's; of an inner epoll before those of an outer one
//!          └─ ready list
//!             └─ run queue (the kernel's, inside a thread's `wake`)
//! ```
//! Nobody asks readiness under a wait queue's lock, and `readiness` wakes nobody. Under a ready list's lock only those are
//! asked that answer without one ([`Pollable::answers_at_once`]). What a delivery writes may fault under that lock too: a
//! page fault wakes no object.

#![cfg_attr(not(loom), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod block_on;
pub mod epoll;
mod eventfd;
mod inotify;
mod mask;
mod poll;
mod pollable;
mod slab;
#[cfg(not(loom))]
pub mod trace;
mod wait_queue;

pub use block_on::{Blocked, block_on};
pub use epoll::{Epoll, WatchList};
pub use eventfd::{COUNT_MAX, EventFd};
pub use inotify::{Notice, NoticeQueue};
pub use mask::EventMask;
pub use poll::{PollItem, poll};
pub use pollable::{Pollable, Sleeper, Unparked, Waiter, Woken};
pub use wait_queue::WaitQueue;
