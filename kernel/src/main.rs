//! Vigil: a small Linux-ABI kernel for x86_64 and aarch64 whose speciality is readiness.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod arch;
mod boot;
mod console;
mod driver;
mod file;
mod fs;
mod mm;
mod net;
mod pipe;
mod random;
mod syscall;
mod task;
mod time;
mod trap;
mod tty;

use boot::BootInfo;

/// Every boot door ends here, on CPU 0, with the kernel's own page tables live and the console printing.
pub fn start(boot: &'static BootInfo) -> ! {
    boot::command_line::parse(boot.command_line);
    todo!()
}

/// Every other CPU's way in.
pub fn start_secondary(_cpu: usize) -> ! {
    todo!()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    console::panic(info)
}
