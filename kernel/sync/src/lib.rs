//! The only locks in Vigil.
//!
//! The kernel runs with interrupts masked and takes them only in user mode and in the idle loop, so a lock never has to
//! mask them: an interrupt handler cannot meet a lock that its own CPU holds. What remains is a CPU that spins on
//! another's lock while that other one waits for it to answer an inter-processor request (a TLB shootdown). The *relax
//! hook*, called once a turn of the spin loop, answers such requests.
//!
//! Under `--cfg loom` the same names are loom's, so that the readiness core can be model-checked unchanged.

#![cfg_attr(not(loom), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod direct_arc;
pub use direct_arc::DirectArc;

#[cfg(not(loom))]
mod big_reader;
#[cfg(not(loom))]
pub use big_reader::*;

mod word;
#[cfg(loom)]
pub use word::Word;

#[cfg(not(loom))]
mod spinning;
#[cfg(not(loom))]
pub use spinning::*;

#[cfg(loom)]
mod model;
#[cfg(loom)]
pub use model::*;
