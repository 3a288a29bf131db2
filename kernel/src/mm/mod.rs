//! Memory: frames, the kernel heap, kernel stacks, address spaces, user copies.
#![allow(unsafe_code)]

pub mod frame;
pub mod heap;
pub mod plain;
pub mod shootdown;
pub mod space;
pub mod stack;
#[cfg(feature = "ktest")]
pub mod tests;
pub mod user;

use crate::arch::DIRECT_MAP;
use crate::boot::BootInfo;

/// Hands the free RAM to the frame allocator. The boot code calls it once the direct map is there, before it needs frames
/// for the rest of the kernel's page tables.
pub fn init_frames(boot: &BootInfo) {
    frame::init(boot);
}

/// Called first thing in `start`, when every CPU can say which one it is.
pub fn init() {
    frame::cpus_are_known();
    sync::set_relax_hook(shootdown::answer);
}

/// The direct map's address of a physical one.
pub const fn direct(physical: u64) -> usize {
    DIRECT_MAP + physical as usize
}

/// The physical address of one in the direct map.
pub const fn physical(direct: usize) -> u64 {
    (direct - DIRECT_MAP) as u64
}
