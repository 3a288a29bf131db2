//! A strand off the CPU, and the switch between two.
//!
//! What a function call must preserve is all that a switch keeps: it lies on the strand's own stack, and the context is the
//! stack pointer. On x86_64 that is 64 bytes: six registers, the control words of SSE and x87, the return address. On aarch64
//! it is 168: x19 to x30, d8 to d15, FPCR.

use super::Stack;
use std::arch::naked_asm;

/// Where a strand's registers lie on its stack.
#[repr(transparent)]
#[derive(Default)]
pub struct Context(usize);

/// Bytes a switch keeps on the stack.
#[cfg(target_arch = "x86_64")]
pub const FRAME: usize = 64;
#[cfg(target_arch = "aarch64")]
pub const FRAME: usize = 176;

impl Context {
    /// One that starts with `entry`, on an empty stack.
    pub fn new(stack: &Stack, entry: extern "C" fn() -> !) -> Context {
        let frame = prepared(entry as usize);
        // A call would find the stack pointer at a multiple of 16, and so does the entry's stub.
        let at = (stack.top() & !15) - FRAME - 16;
        // SAFETY: inside the stack, which nobody runs on yet.
        unsafe { std::ptr::copy_nonoverlapping(frame.as_ptr(), at as *mut u64, frame.len()) };
        Context(at)
    }
}

/// The frame of a strand that has not run: its entry in a preserved register, and the stub as the return address.
#[cfg(target_arch = "x86_64")]
fn prepared(entry: usize) -> [u64; FRAME / 8] {
    // As a program starts: every exception masked, rounding to nearest, x87 with 64 bits.
    const CONTROL_WORDS: u64 = 0x1f80 | 0x037f << 32;
    [CONTROL_WORDS, 0, 0, entry as u64, 0, 0, 0, stub as *const () as u64]
}

#[cfg(target_arch = "aarch64")]
fn prepared(entry: usize) -> [u64; FRAME / 8] {
    let mut frame = [0; FRAME / 8];
    frame[0] = entry as u64;
    frame[11] = stub as *const () as u64;
    frame
}

/// Calls the entry, with an end for whoever walks the stack.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn stub() {
    naked_asm!("xor ebp, ebp", "call rbx", "ud2")
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn stub() {
    naked_asm!("mov x29, xzr", "mov x30, xzr", "blr x19", "brk #0")
}

/// Keeps the running side in `from` and goes on with `to`.
///
/// # Safety
/// `to` is off the CPU and its stack mapped; whoever resumes `from` does so once, while this stack is mapped.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub unsafe extern "C" fn switch(from: *mut Context, to: *const Context) {
    naked_asm!(
        "push r15",
        "push r14",
        "push rbp",
        "push rbx",
        "push r13",
        "push r12",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp",
        "mov rsp, [rsi]",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r12",
        "pop r13",
        "pop rbx",
        "pop rbp",
        "pop r14",
        "pop r15",
        "ret",
    )
}

/// Keeps the running side in `from` and goes on with `to`.
///
/// # Safety
/// `to` is off the CPU and its stack mapped; whoever resumes `from` does so once, while this stack is mapped.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub unsafe extern "C" fn switch(from: *mut Context, to: *const Context) {
    naked_asm!(
        "sub sp, sp, #176",
        "stp x19, x20, [sp]",
        "stp x21, x22, [sp, #16]",
        "stp x23, x24, [sp, #32]",
        "stp x25, x26, [sp, #48]",
        "stp x27, x28, [sp, #64]",
        "stp x29, x30, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mrs x9, fpcr",
        "str x9, [sp, #160]",
        "mov x9, sp",
        "str x9, [x0]",
        "ldr x9, [x1]",
        "mov sp, x9",
        "ldr x9, [sp, #160]",
        "msr fpcr, x9",
        "ldp d14, d15, [sp, #144]",
        "ldp d12, d13, [sp, #128]",
        "ldp d10, d11, [sp, #112]",
        "ldp d8, d9, [sp, #96]",
        "ldp x29, x30, [sp, #80]",
        "ldp x27, x28, [sp, #64]",
        "ldp x25, x26, [sp, #48]",
        "ldp x23, x24, [sp, #32]",
        "ldp x21, x22, [sp, #16]",
        "ldp x19, x20, [sp]",
        "add sp, sp, #176",
        "ret",
    )
}
