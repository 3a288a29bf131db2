//! What a thread keeps besides its trap frame, and the switch between two threads.

use super::fpu;
use super::trap::{FRAME_SIZE, TrapFrame};
use crate::arch::frame::OwnRegisters;
use crate::mm::stack::KernelStack;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

/// What [`switch_stacks`] has on the stack, lowest address first: the registers a function keeps for its caller.
#[derive(Default)]
#[repr(C)]
struct Saved {
    x19_to_x30: [usize; 12],
}

const _: () = assert!(size_of::<Saved>() == 96);

/// Stack pointer, TLS register, FP/SIMD state. Touched only by the CPU that runs the thread, or, while it does not run,
/// by the one that switches to it.
pub struct ArchThread {
    sp: UnsafeCell<usize>,
    /// TPIDR_EL0, which user code writes itself: read back at each switch.
    tls: UnsafeCell<usize>,
    fpu: fpu::Area,
    /// What its kernel code runs on, and where `fpu` lies, which is dropped before; `None` for idle threads, which run on the
    /// boot stacks.
    stack: Option<KernelStack>,
}

// SAFETY: see the type's rule.
unsafe impl Sync for ArchThread {}
// SAFETY: as above.
unsafe impl Send for ArchThread {}

unsafe extern "C" {
    fn switch_stacks(from: *mut usize, to: usize);
    fn user_thread_start();
    fn kernel_thread_start();
}

global_asm!(
    r#"
    .text
    .balign 16
    switch_stacks:
    stp x19, x20, [sp, #-96]!
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp x19, x20, [sp], #96
    ret

    // A new user thread's first return address: its trap frame is what is on the stack.
    user_thread_start:
    bl {entered}
    b trap_return

    // A new kernel thread's: entry in x19, argument in x20.
    kernel_thread_start:
    mov x0, x20
    mov x30, xzr
    blr x19
    brk #0
"#,
    entered = sym crate::task::thread_entered,
);

impl Saved {
    /// Puts what a thread starts with that returns to `at`, with these two in x19 and x20, on its stack below `top`: the
    /// stack pointer.
    ///
    /// # Safety
    /// The stack is mapped, and nobody uses it yet.
    unsafe fn start(at: unsafe extern "C" fn(), x19: usize, x20: usize, top: usize) -> usize {
        let mut saved = Saved::default();
        saved.x19_to_x30[..2].copy_from_slice(&[x19, x20]);
        saved.x19_to_x30[11] = at as usize;
        let sp = top - size_of::<Saved>();
        // SAFETY: the caller's promise.
        unsafe { (sp as *mut Saved).write(saved) };
        sp
    }
}

fn read_tls() -> usize {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) value, options(nostack, nomem)) };
    value
}

fn write_tls(value: usize) {
    // SAFETY: the register is user code's.
    unsafe { asm!("msr tpidr_el0, {}", in(reg) value, options(nostack, nomem)) };
}

impl ArchThread {
    /// The code that runs already: the boot path, which becomes a CPU's idle thread.
    pub fn running() -> ArchThread {
        ArchThread {
            sp: UnsafeCell::new(0),
            stack: None,
            tls: UnsafeCell::new(0),
            fpu: fpu::Area::none(),
        }
    }

    /// A kernel thread that starts in `entry(argument)`.
    pub fn kernel(stack: KernelStack, entry: extern "C" fn(usize) -> !, argument: usize) -> ArchThread {
        // SAFETY: the new thread's own stack, which nobody uses yet.
        let sp = unsafe { Saved::start(kernel_thread_start, entry as usize, argument, stack.top()) };
        ArchThread {
            sp: UnsafeCell::new(sp),
            stack: Some(stack),
            ..ArchThread::running()
        }
    }

    /// A thread that first calls `crate::task::thread_entered` on its own stack and then enters user mode with `frame`, but
    /// for the result, which is 0, and what is its `own`. FP/SIMD state and the TLS register come from `parent` (the running
    /// thread) when given, else they are fresh.
    pub fn user(stack: KernelStack, frame: &TrapFrame, own: OwnRegisters, parent: Option<&ArchThread>) -> ArchThread {
        let (inherited, fpu) = match parent {
            Some(parent) => (read_tls(), fpu::copy_of_running(&parent.fpu, &stack)),
            None => (0, fpu::Area::fresh(&stack)),
        };
        let frame_at = stack.top() - FRAME_SIZE;
        // SAFETY: the new thread's own stack, which nobody uses yet.
        let sp = unsafe {
            let entry = frame_at as *mut TrapFrame;
            entry.copy_from_nonoverlapping(frame, 1);
            (*entry).start_child(own.sp);
            Saved::start(user_thread_start, 0, 0, frame_at)
        };
        ArchThread {
            sp: UnsafeCell::new(sp),
            stack: Some(stack),
            tls: UnsafeCell::new(own.tls.unwrap_or(inherited)),
            fpu,
        }
    }

    /// Where its kernel stack ends; `None` for idle threads.
    pub fn stack_top(&self) -> Option<usize> {
        self.stack.as_ref().map(KernelStack::top)
    }

    /// execve(2): fresh FP/SIMD state and TLS for the running thread.
    pub fn reset_user(&self) {
        write_tls(0);
        fpu::reset_running();
    }
}

/// Bytes on top of a kernel stack for FP/SIMD state, a multiple of 64, its alignment.
pub const fn state_size() -> usize {
    size_of::<fpu::State>().next_multiple_of(64)
}

/// Leaves `from`, which is running, and continues `to`; returns when something switches back to `from`. Also moves the
/// FP/SIMD state as far as it was used. Traps from user mode find the kernel stack by themselves: the stack pointer of the
/// kernel stays at its top while user code runs.
///
/// # Safety
/// `from` is the running thread's, `to` a thread's that no CPU runs, and both stay where they are until switched away from.
pub unsafe fn switch(from: &ArchThread, to: &ArchThread) {
    fpu::switch(&from.fpu, &to.fpu);
    // SAFETY: `from` runs here and `to` nowhere, so their cells are this CPU's.
    unsafe {
        *from.tls.get() = read_tls();
        if to.stack.is_some() {
            write_tls(*to.tls.get());
        }
        switch_stacks(from.sp.get(), *to.sp.get());
    }
}

/// Return addresses along the chain of frame pointers, innermost first, as long as it stays in the kernel. A release build
/// has no frame pointers, which would be a tenth of a short system call.
pub fn return_addresses() -> impl Iterator<Item = usize> {
    let mut frame: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, x29", out(reg) frame, options(nostack, nomem, preserves_flags)) };
    if !cfg!(debug_assertions) {
        frame = 0;
    }
    core::iter::from_fn(move || {
        if frame < super::DIRECT_MAP || !frame.is_multiple_of(8) {
            return None;
        }
        // SAFETY: this build has frame pointers: the next one and the return address are here. Chains end at 0, which new
        // stacks set, or at a system call's, with an address of user memory.
        let [next, address] = unsafe { *(frame as *const [usize; 2]) };
        // Frames lie towards higher addresses; anything else is no chain.
        frame = if next > frame { next } else { 0 };
        Some(address)
    })
}
