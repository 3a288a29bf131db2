//! The smallest program: no libc, no std, three system calls. It says hello, echoes its arguments a line each and exits
//! with their number less one, so a loader's stack layout shows in its output and its status.
#![no_std]
#![no_main]

use core::arch::global_asm;
use core::ffi::{CStr, c_char};
use libsyscall::abi::Errno;
use libsyscall::calls::{file, process};

// The kernel enters with the argument count on the stack's top and no return address (the psABI of each machine).
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor %ebp, %ebp",
    "mov %rsp, %rdi",
    "and $-16, %rsp",
    "call {main}",
    main = sym main,
    options(att_syntax),
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {main}",
    main = sym main,
);

/// # Safety
/// `stack` is the initial stack: a count, then as many pointers to NUL-terminated strings.
unsafe extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the count is the first word of it.
    let count = unsafe { *stack };
    // SAFETY: the argument pointers follow the count.
    let arguments = unsafe { core::slice::from_raw_parts(stack.add(1).cast::<*const c_char>(), count) };
    let status = match say(arguments) {
        Ok(()) => count.saturating_sub(1) as i32,
        Err(_) => 101,
    };
    process::exit_group(status)
}

fn say(arguments: &[*const c_char]) -> Result<(), Errno> {
    file::write_all(1, b"hello from user space\n")?;
    for &argument in arguments.iter().skip(1) {
        // SAFETY: each points to a NUL-terminated string on the initial stack, which nobody changes.
        let argument = unsafe { CStr::from_ptr(argument) };
        file::write_all(1, argument.to_bytes())?;
        file::write_all(1, b"\n")?;
    }
    Ok(())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    process::exit_group(101)
}
