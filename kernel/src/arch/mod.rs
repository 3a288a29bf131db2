//! The two machines behind one contract.
//!
//! Both directories have the same files with the same public names; nothing outside this module asks which machine it
//! is on. The contract, file by file:
//!
//! - `boot`: the entry points and the way to `crate::start`, with the kernel's own page tables live, W^X, the direct map
//!   in place, interrupts masked and CPU 0's block set.
//! - `cpu`: who am I, the running thread's word, starting the others, idling, powering off, random bits.
//! - `trap`: [`trap::TrapFrame`], the registers of user code as they lie on top of its kernel stack; exceptions and
//!   interrupts end in `crate::trap`.
//! - `syscall`: the system-call entry; ends in `crate::syscall`.
//! - `context`: [`context::ArchThread`], what a thread keeps besides its frame, and the switch between two.
//! - `paging`: the bits of an entry, and which tables the machine walks.
//! - `uaccess`: copies that recover from faults.
//! - `irq`: the interrupt controller and inter-processor interrupts.
//! - `timer`: the clock and its one-shot alarm.
//! - `signal`: the layout of a signal frame.
//! - `vdso`: the functions that programs call without entering the kernel.
//! - `virtio`: where the network card is.
//!
//! What both do alike is here, beside them: `page_table` walks and changes tables, `kernel_tables` makes the kernel's own,
//! `frame` says how much of a frame there is, `fixups` where a fault goes on, `symbols` where the image's sections are,
//! `vdso_data` what the functions of `vdso` read; `chosen` is a static picked at boot.
//!
//! Calls go up through `crate::start`, `crate::start_secondary`, `crate::trap` and `crate::syscall` (`table`, `finish`)
//! only. The system-call entry reads the running thread's flags.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::*;

pub mod chosen;
mod fixups;
pub mod frame;
mod kernel_tables;
mod page_table;
mod symbols;
pub mod vdso_data;

/// CPUs the kernel's tables have room for.
pub const MAX_CPUS: usize = 32;
pub const PAGE_SIZE: usize = 4096;
