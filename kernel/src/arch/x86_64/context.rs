//! What a thread keeps besides its trap frame, and the switch between two threads.

use super::trap::{FRAME_SIZE, TrapFrame};
use super::{fpu, trap};
use crate::arch::frame::OwnRegisters;
use crate::mm::stack::KernelStack;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{FsBase, KernelGsBase};

/// Stack pointer, TLS register, FP/SIMD state. Touched only by the CPU that runs the thread, or, while it does not run,
/// by the one that switches to it.
pub struct ArchThread {
    sp: UnsafeCell<usize>,
    stack_top: usize,
    /// FS and GS bases of user code; it may change them itself (FSGSBASE), so they are read back at each switch.
    fs: UnsafeCell<u64>,
    gs: UnsafeCell<u64>,
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
    // 6 registers and the return address: 56 + 8 = 64 bytes with the pushes' own slot for the stack pointer.
    switch_stacks:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp
    mov rsp, rsi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret

    // A new user thread's first return address: its trap frame is what is left on the stack.
    user_thread_start:
    call {entered}
    jmp trap_return

    // A new kernel thread's: entry in r12, argument in r13.
    kernel_thread_start:
    mov rdi, r13
    xor ebp, ebp
    call r12
    ud2
"#,
    entered = sym crate::task::thread_entered,
);

/// What [`switch_stacks`] pops, lowest address first.
#[repr(C)]
struct Saved {
    r15: usize,
    r14: usize,
    r13: usize,
    r12: usize,
    rbx: usize,
    rbp: usize,
    rip: usize,
}

impl ArchThread {
    /// The code that runs already: the boot path, which becomes a CPU's idle thread.
    pub fn running() -> ArchThread {
        ArchThread {
            sp: UnsafeCell::new(0),
            stack_top: 0,
            stack: None,
            fs: UnsafeCell::new(0),
            gs: UnsafeCell::new(0),
            fpu: fpu::Area::none(),
        }
    }

    /// A kernel thread that starts in `entry(argument)`.
    pub fn kernel(stack: KernelStack, entry: extern "C" fn(usize) -> !, argument: usize) -> ArchThread {
        let saved = Saved {
            r15: 0,
            r14: 0,
            r13: argument,
            r12: entry as usize,
            rbx: 0,
            rbp: 0,
            rip: kernel_thread_start as *const () as usize,
        };
        let stack_top = stack.top();
        let sp = stack_top - size_of::<Saved>() - 8;
        // SAFETY: the new thread's own stack, which nobody uses yet.
        unsafe { (sp as *mut Saved).write(saved) };
        ArchThread {
            sp: UnsafeCell::new(sp),
            stack_top,
            stack: Some(stack),
            ..ArchThread::running()
        }
    }

    /// A thread that first calls `crate::task::thread_entered` on its own stack and then enters user mode with `frame`, but
    /// for the result, which is 0, and what is its `own`. FP/SIMD state and the TLS register come from `parent` (the running
    /// thread) when given, else they are fresh.
    pub fn user(stack: KernelStack, frame: &TrapFrame, own: OwnRegisters, parent: Option<&ArchThread>) -> ArchThread {
        let (fs, gs, fpu) = match parent {
            Some(parent) => (
                FsBase::read().as_u64(),
                KernelGsBase::read().as_u64(),
                fpu::copy_of_running(&parent.fpu, &stack),
            ),
            None => (0, 0, fpu::Area::fresh(&stack)),
        };
        let start = user_thread_start as *const () as usize;
        let saved = Saved {
            r15: 0,
            r14: 0,
            r13: 0,
            r12: 0,
            rbx: 0,
            rbp: 0,
            rip: start,
        };
        let stack_top = stack.top();
        let frame_at = stack_top - FRAME_SIZE;
        let sp = frame_at - size_of::<Saved>();
        // SAFETY: the new thread's own stack, which nobody uses yet.
        unsafe {
            let entry = frame_at as *mut TrapFrame;
            entry.copy_from_nonoverlapping(frame, 1);
            (*entry).start_child(own.sp);
            (sp as *mut Saved).write(saved);
        }
        ArchThread {
            sp: UnsafeCell::new(sp),
            stack_top,
            stack: Some(stack),
            fs: UnsafeCell::new(own.tls.map_or(fs, |tls| tls as u64)),
            gs: UnsafeCell::new(gs),
            fpu,
        }
    }

    /// Where its kernel stack ends; `None` for idle threads.
    pub fn stack_top(&self) -> Option<usize> {
        self.stack.as_ref().map(KernelStack::top)
    }

    /// execve(2): fresh FP/SIMD state and TLS for the running thread.
    pub fn reset_user(&self) {
        FsBase::write(VirtAddr::zero());
        KernelGsBase::write(VirtAddr::zero());
        fpu::reset_running();
    }

    /// arch_prctl(ARCH_SET_FS) and CLONE_SETTLS for the running thread.
    pub fn set_tls(&self, value: usize) {
        FsBase::write(VirtAddr::new_truncate(value as u64));
    }

    pub fn tls(&self) -> usize {
        FsBase::read().as_u64() as usize
    }
}

/// Bytes on top of a kernel stack for FP/SIMD state, a multiple of 64, its alignment.
#[inline]
pub fn state_size() -> usize {
    fpu::size().next_multiple_of(64)
}

/// Leaves `from`, which is running, and continues `to`; returns when something switches back to `from`. Also sets the
/// kernel stack that traps from user mode use, and moves the FP/SIMD state as far as it was used.
///
/// # Safety
/// `from` is the running thread's, `to` a thread's that no CPU runs, and both stay where they are until switched away from.
pub unsafe fn switch(from: &ArchThread, to: &ArchThread) {
    fpu::switch(&from.fpu, &to.fpu);
    // SAFETY: `from` runs here and `to` nowhere, so their cells are this CPU's.
    unsafe {
        *from.fs.get() = FsBase::read().as_u64();
        *from.gs.get() = KernelGsBase::read().as_u64();
        if to.stack_top != 0 {
            if *to.fs.get() != *from.fs.get() {
                FsBase::write(VirtAddr::new_truncate(*to.fs.get()));
            }
            if *to.gs.get() != *from.gs.get() {
                KernelGsBase::write(VirtAddr::new_truncate(*to.gs.get()));
            }
            trap::set_kernel_stack(to.stack_top);
        } else {
            *to.fs.get() = *from.fs.get();
        }
        switch_stacks(from.sp.get(), *to.sp.get());
    }
}

/// Return addresses along the chain of frame pointers, innermost first, as long as it stays in the kernel. A release build
/// has no frame pointers, which would be a tenth of a short system call.
pub fn return_addresses() -> impl Iterator<Item = usize> {
    let mut frame: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nostack, nomem, preserves_flags)) };
    if !cfg!(debug_assertions) {
        frame = 0;
    }
    core::iter::from_fn(move || {
        let valid = frame >= super::DIRECT_MAP && frame.is_multiple_of(8);
        let [next, address] = if valid {
            // SAFETY: this build has frame pointers: the next one and the return address are here. Chains end at 0,
            // which new stacks set, or at a system call's, with an address of user memory.
            unsafe { *(frame as *const [usize; 2]) }
        } else {
            return None;
        };
        // Frames lie towards higher addresses; anything else is no chain.
        frame = if next > frame { next } else { 0 };
        Some(address)
    })
}
