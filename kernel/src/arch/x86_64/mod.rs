//! x86_64.
#![allow(unsafe_code)]

mod acpi;
pub mod boot;
pub mod context;
pub mod cpu;
#[cfg(feature = "ktest")]
pub mod fp_test;
mod fpu;
pub mod irq;
mod lapic;
pub mod paging;
pub mod signal;
mod smp;
pub mod syscall;
pub mod timer;
pub mod trap;
pub mod uaccess;
pub mod vdso;
pub mod virtio;

/// Where all RAM is mapped: physical address 0 is here.
pub const DIRECT_MAP: usize = 0xffff_8880_0000_0000;
/// The first address past user space; a page below the canonical limit, as on Linux.
pub const USER_END: usize = 0x0000_7fff_ffff_f000;
/// Where kernel stacks and devices are mapped.
pub const KERNEL_MAPPINGS: usize = 0xffff_c900_0000_0000;
/// Whether forgetting a translation reaches every CPU by itself; here it takes an inter-processor request.
pub const FLUSHES_EVERYWHERE: bool = false;
/// uname(2)'s machine.
pub const MACHINE: &str = "x86_64";
/// ELF e_machine.
pub const ELF_MACHINE: u16 = 62;
