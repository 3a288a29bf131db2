//! x86_64.
#![allow(unsafe_code)]

pub mod boot;
pub mod context;
pub mod cpu;
pub mod irq;
pub mod paging;
pub mod signal;
pub mod syscall;
pub mod timer;
pub mod trap;
pub mod uaccess;

/// Where all RAM is mapped: physical address 0 is here.
pub const DIRECT_MAP: usize = 0xffff_8880_0000_0000;
/// The first address past user space; a page below the canonical limit, as on Linux.
pub const USER_END: usize = 0x0000_7fff_ffff_f000;
/// Where kernel stacks and devices are mapped.
pub const KERNEL_MAPPINGS: usize = 0xffff_c900_0000_0000;
/// uname(2)'s machine.
pub const MACHINE: &str = "x86_64";
/// ELF e_machine.
pub const ELF_MACHINE: u16 = 62;
