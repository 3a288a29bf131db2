//! FP/SIMD state: saved only by threads that used it, restored for those that have lately, for others at the first use.
//!
//! While a thread runs, CPACR_EL1 traps user FP/SIMD until its state is in the registers; the first instruction then
//! comes to [`first_use`]. A CPU remembers whose state its registers hold, so a thread that comes back to registers nobody
//! else used goes on without restoring.

use super::cpu;
use crate::mm::stack::KernelStack;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// The registers v0 to v31, then FPSR and FPCR.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct State {
    pub registers: [u128; 32],
    pub fpsr: u32,
    pub fpcr: u32,
}

/// Where a thread's state is when it is not in the registers: on top of its kernel stack.
pub(super) struct Area {
    state: UnsafeCell<*mut State>,
    /// The CPU that last held this state in its registers, plus one.
    last_cpu: AtomicUsize,
    /// How many more times a switch restores it without waiting for its first use, see [`EAGER`].
    eager: AtomicU8,
}

/// So many times a thread's state is restored as soon as it has the CPU, once it was used: a trap costs more, and who used
/// it will again. Then one trap finds out whether it still does.
const EAGER: u8 = 16;

// SAFETY: touched by the CPU that runs the thread, or by the one that creates it before it runs.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    /// No state at all: kernel threads.
    pub const fn none() -> Area {
        Area {
            state: UnsafeCell::new(core::ptr::null_mut()),
            last_cpu: AtomicUsize::new(0),
            eager: AtomicU8::new(0),
        }
    }

    /// The state a program starts with: all zero.
    pub fn fresh(stack: &KernelStack) -> Area {
        let area = Area::on(stack);
        // SAFETY: nobody else's yet.
        unsafe { area.pointer().write_bytes(0, 1) };
        area
    }

    /// With whatever the stack has on top, of a thread that has `stack` for its own.
    fn on(stack: &KernelStack) -> Area {
        let mut area = Area::none();
        *area.state.get_mut() = stack.state().cast();
        area
    }

    fn pointer(&self) -> *mut State {
        // SAFETY: written at creation only.
        unsafe { *self.state.get() }
    }

    fn address(&self) -> usize {
        self as *const Area as usize
    }
}

unsafe extern "C" {
    fn fpu_save(to: *mut State);
    fn fpu_restore(from: *const State);
}

global_asm!(
    r#"
    .text
    .arch_extension fp
    .arch_extension simd
    .macro fpu_pairs instruction
    .irp pair, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
    fpu_pair \instruction, \pair
    .endr
    .endm
    .altmacro
    .macro fpu_pair instruction, first
    fpu_pair_of \instruction, \first, %(\first + 1)
    .endm
    .macro fpu_pair_of instruction, first, second
    \instruction q\first, q\second, [x0, #(16 * \first)]
    .endm
    fpu_save:
    fpu_pairs stp
    mrs x1, fpsr
    mrs x2, fpcr
    str w1, [x0, #512]
    str w2, [x0, #516]
    ret
    fpu_restore:
    fpu_pairs ldp
    ldr w1, [x0, #512]
    ldr w2, [x0, #516]
    msr fpsr, x1
    msr fpcr, x2
    ret
    .noaltmacro
    .arch_extension nosimd
    .arch_extension nofp
"#
);

/// FP/SIMD by both privilege levels; none: user code's first use traps.
const FPEN: u64 = 3 << 20;

fn set_open(open: bool) {
    let value = if open { FPEN } else { 0 };
    // SAFETY: decides only whether FP/SIMD traps, and the kernel's own uses are here.
    unsafe {
        asm!("msr cpacr_el1, {}", "isb", in(reg) value, options(nostack));
        *cpu::block().fpu_live.get() = open;
    }
}

pub(super) fn init_cpu() {
    set_open(false);
}

/// Whether the registers hold the running thread's state.
fn live() -> bool {
    // SAFETY: this CPU's block.
    unsafe { *cpu::block().fpu_live.get() }
}

/// At a switch between threads.
pub(super) fn switch(from: &Area, to: &Area) {
    let block = cpu::block();
    let was_live = live();
    // SAFETY: this CPU's block; `from` runs here.
    unsafe {
        if was_live {
            fpu_save(from.pointer());
            *block.fpu_owner.get() = from.address();
            from.last_cpu.store(cpu::id() + 1, Ordering::Relaxed);
        }
        *block.fpu_area.get() = to;
        let kept = *block.fpu_owner.get() == to.address() && to.last_cpu.load(Ordering::Relaxed) == cpu::id() + 1;
        let eager = to.eager.load(Ordering::Relaxed);
        let goes_on = kept || eager > 0;
        if goes_on != was_live {
            set_open(goes_on);
        }
        if goes_on && !kept {
            to.eager.store(eager - 1, Ordering::Relaxed);
            fpu_restore(to.pointer());
            *block.fpu_owner.get() = to.address();
        }
    }
}

/// The running thread's first FP/SIMD instruction since it came here.
pub(super) fn first_use() {
    set_open(true);
    let area = running();
    area.eager.store(EAGER, Ordering::Relaxed);
    // SAFETY: the running thread's own area; the registers are open now.
    unsafe {
        fpu_restore(area.pointer());
        *cpu::block().fpu_owner.get() = area.address();
    }
}

fn running() -> &'static Area {
    // SAFETY: set at each switch to the running thread's area, which outlives its running.
    unsafe { &**cpu::block().fpu_area.get() }
}

/// Brings the running thread's state into its area, where it can be read.
fn settle(area: &Area) {
    if live() {
        // SAFETY: the running thread's own area.
        unsafe { fpu_save(area.pointer()) };
    }
}

/// The running thread's state.
pub(super) fn get() -> State {
    let area = running();
    settle(area);
    // SAFETY: the running thread's own.
    unsafe { *area.pointer() }
}

/// Replaces the running thread's state.
pub(super) fn put(state: &State) {
    let area = running();
    // SAFETY: the running thread's own. Every bit pattern is a state; undefined bits of the control words are ignored.
    unsafe {
        *area.pointer() = *state;
        *cpu::block().fpu_owner.get() = 0;
    }
    // The registers of the CPU where it was last hold a state from before.
    area.last_cpu.store(0, Ordering::Relaxed);
    set_open(false);
}

/// execve(2): a fresh state for the running thread.
pub(super) fn reset_running() {
    put(&State {
        registers: [0; 32],
        fpsr: 0,
        fpcr: 0,
    });
}

/// A copy of the running thread's state, for its child that is to have `stack`.
pub(super) fn copy_of_running(area: &Area, stack: &KernelStack) -> Area {
    let copy = Area::on(stack);
    copy.eager.store(area.eager.load(Ordering::Relaxed), Ordering::Relaxed);
    // SAFETY: the running thread's own, and a new one.
    unsafe {
        if live() {
            fpu_save(copy.pointer());
        } else {
            copy.pointer().copy_from_nonoverlapping(area.pointer(), 1);
        }
    }
    copy
}

/// The FPE_* code of a floating-point exception, by its syndrome.
pub(super) fn exception_code(esr: u64) -> i32 {
    const DIVIDE: i32 = 3;
    const OVERFLOW: i32 = 4;
    const UNDERFLOW: i32 = 5;
    const INEXACT: i32 = 6;
    const INVALID: i32 = 7;
    [INVALID, DIVIDE, OVERFLOW, UNDERFLOW, INEXACT]
        .into_iter()
        .enumerate()
        .find(|(bit, _)| esr >> bit & 1 != 0)
        .map_or(INVALID, |(_, code)| code)
}
