//! Memory: frames, the kernel heap, kernel stacks, address spaces, user copies.
#![allow(unsafe_code)]

pub mod frame;
pub mod heap;
pub mod plain;
pub mod shootdown;
pub mod space;
pub mod stack;
pub mod user;

use crate::boot::BootInfo;

/// Hands the free RAM to the frame allocator. `arch::boot` calls it before it builds the kernel's own page tables, so it
/// may touch RAM only through the physical-to-virtual offset given: the door's own direct map.
pub fn init_frames(_boot: &BootInfo) {
    todo!()
}

/// The direct map's address of a physical one.
pub const fn direct(physical: u64) -> usize {
    crate::arch::DIRECT_MAP + physical as usize
}
