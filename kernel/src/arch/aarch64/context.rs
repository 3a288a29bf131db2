//! What a thread keeps besides its trap frame, and the switch between two threads.

use super::fpu;
use super::trap::{FRAME_SIZE, TrapFrame};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use libsyscall::abi::Errno;

/// The registers a function keeps for its caller, and the stack pointer: 104 bytes.
#[derive(Default)]
#[repr(C)]
struct Saved {
    x19_to_x30: [usize; 12],
    sp: usize,
}

const _: () = assert!(size_of::<Saved>() == 104);

/// Stack pointer, TLS register, FP/SIMD state. Touched only by the CPU that runs the thread, or, while it does not run,
/// by the one that switches to it.
pub struct ArchThread {
    saved: UnsafeCell<Saved>,
    stack_top: usize,
    /// TPIDR_EL0, which user code writes itself: read back at each switch.
    tls: UnsafeCell<usize>,
    fpu: fpu::Area,
}

// SAFETY: see the type's rule.
unsafe impl Sync for ArchThread {}
// SAFETY: as above.
unsafe impl Send for ArchThread {}

unsafe extern "C" {
    fn switch_registers(from: *mut Saved, to: *const Saved);
    fn user_thread_start();
    fn kernel_thread_start();
}

global_asm!(
    r#"
    .text
    .balign 16
    switch_registers:
    stp x19, x20, [x0]
    stp x21, x22, [x0, #16]
    stp x23, x24, [x0, #32]
    stp x25, x26, [x0, #48]
    stp x27, x28, [x0, #64]
    stp x29, x30, [x0, #80]
    mov x9, sp
    str x9, [x0, #96]
    ldp x19, x20, [x1]
    ldp x21, x22, [x1, #16]
    ldp x23, x24, [x1, #32]
    ldp x25, x26, [x1, #48]
    ldp x27, x28, [x1, #64]
    ldp x29, x30, [x1, #80]
    ldr x9, [x1, #96]
    mov sp, x9
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
    fn start(at: unsafe extern "C" fn(), sp: usize) -> Saved {
        let mut saved = Saved { sp, ..Saved::default() };
        saved.x19_to_x30[11] = at as usize;
        saved
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
            saved: UnsafeCell::new(Saved::default()),
            stack_top: 0,
            tls: UnsafeCell::new(0),
            fpu: fpu::Area::none(),
        }
    }

    /// A kernel thread that starts in `entry(argument)` on the stack ending at `stack_top`.
    pub fn kernel(stack_top: usize, entry: extern "C" fn(usize) -> !, argument: usize) -> Result<ArchThread, Errno> {
        let mut saved = Saved::start(kernel_thread_start, stack_top);
        saved.x19_to_x30[0] = entry as usize;
        saved.x19_to_x30[1] = argument;
        Ok(ArchThread {
            saved: UnsafeCell::new(saved),
            stack_top,
            ..ArchThread::running()
        })
    }

    /// A thread that first calls `crate::task::thread_entered` on its own stack and then enters user mode with `frame`.
    /// `tls` replaces the TLS register; FP/SIMD state and the TLS register come from `parent` (the running thread) when
    /// given, else they are fresh.
    pub fn user(
        stack_top: usize,
        frame: &TrapFrame,
        tls: Option<usize>,
        parent: Option<&ArchThread>,
    ) -> Result<ArchThread, Errno> {
        let (inherited, fpu) = match parent {
            Some(_) => (read_tls(), fpu::copy_of_running()?),
            None => (0, fpu::Area::fresh()?),
        };
        let frame_at = stack_top - FRAME_SIZE;
        // SAFETY: the new thread's own stack, which nobody uses yet.
        unsafe { (frame_at as *mut TrapFrame).write(*frame) };
        Ok(ArchThread {
            saved: UnsafeCell::new(Saved::start(user_thread_start, frame_at)),
            stack_top,
            tls: UnsafeCell::new(tls.unwrap_or(inherited)),
            fpu,
        })
    }

    /// execve(2): fresh FP/SIMD state and TLS for the running thread.
    pub fn reset_user(&self) {
        write_tls(0);
        fpu::reset_running();
    }
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
        if to.stack_top != 0 {
            write_tls(*to.tls.get());
        }
        switch_registers(from.saved.get(), to.saved.get());
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
