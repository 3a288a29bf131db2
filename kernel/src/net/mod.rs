//! Sockets: AF_UNIX streams, and TCP over the loopback addresses.
//!
//! - [`ring`]: bytes on their way in one direction.
//! - [`stream`]: two rings and two ends, what a connected pair of stream sockets shares. Nothing is cut into packets: a
//!   local connection moves bytes from one socket to the other.
//! - [`address`]: socket addresses, and [`names`]: which socket listens at which of them.
//! - [`socket`]: a socket's states and options; the file a descriptor names.
//!
//! A change takes one end's lock, drops it, and then wakes the queue of the socket that may see it with the bits that
//! were added. Blocking calls go through `task::block_on`.

pub mod address;
pub mod names;
pub mod options;
pub mod ring;
pub mod socket;
pub mod stream;
