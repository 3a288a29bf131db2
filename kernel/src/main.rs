//! Vigil: a small Linux-ABI kernel for x86_64 and aarch64 whose speciality is readiness.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod arch;
mod boot;
mod console;
mod driver;
mod dump;
mod exec;
mod file;
mod fs;
#[cfg(feature = "ktest")]
mod ktest;
mod mm;
mod mqueue;
mod net;
mod per_user;
mod pipe;
mod random;
mod room;
mod syscall;
mod task;
mod time;
mod trace;
mod trap;
mod tty;

use boot::BootInfo;
use boot::command_line;
use task::{execve, sched};

/// Every boot door ends here, on CPU 0, with the kernel's own page tables live and the console printing.
pub fn start(boot: &'static BootInfo) -> ! {
    command_line::parse(boot.command_line);
    console::init();
    mm::init();
    sched::init_cpu();
    arch::cpu::start_others();
    fs::init(boot.initramfs);
    tty::init();
    net::inet::outside::init(boot);
    trace::init();
    #[cfg(feature = "ktest")]
    if ktest::start() {
        sched::idle();
    }
    execve::start_first();
    sched::idle()
}

/// Every other CPU's way in.
pub fn start_secondary(_cpu: usize) -> ! {
    sched::init_cpu();
    sched::idle()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    console::panic(info)
}
