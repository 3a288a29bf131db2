//! aarch64.
#![allow(unsafe_code)]

pub mod boot;
pub mod context;
pub mod cpu;
#[cfg(feature = "ktest")]
pub mod fp_test;
mod fpu;
mod gic;
pub mod irq;
mod memory;
pub mod paging;
mod psci;
pub mod signal;
mod smp;
pub mod syscall;
pub mod timer;
pub mod trap;
pub mod uaccess;
pub mod vdso;
pub mod virtio;

/// Where all RAM is mapped: physical address 0 is here.
pub const DIRECT_MAP: usize = 0xffff_0000_0000_0000;
/// The first address past user space.
pub const USER_END: usize = 0x0001_0000_0000_0000;
/// Where kernel stacks and devices are mapped.
pub const KERNEL_MAPPINGS: usize = 0xffff_c000_0000_0000;
/// Whether forgetting a translation reaches every CPU by itself.
pub const FLUSHES_EVERYWHERE: bool = true;
/// uname(2)'s machine.
pub const MACHINE: &str = "aarch64";
/// ELF e_machine.
pub const ELF_MACHINE: u16 = 183;
