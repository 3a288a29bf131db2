//! FP/SIMD state: saved only by threads that used it, restored for those that have lately, for others at the first use.
//!
//! While a thread runs, CR0.TS is set until its state is in the registers; the first FP/SIMD instruction then traps
//! ([`first_use`]). A CPU remembers whose state its registers hold, so a thread that comes back to registers nobody else
//! used goes on without restoring.

use super::cpu;
use crate::mm::stack::KernelStack;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

/// Bytes of the area, and the components XSAVE keeps (0: the CPU has FXSAVE only). The same on all CPUs.
static AREA_SIZE: AtomicUsize = AtomicUsize::new(512);
static COMPONENTS: AtomicUsize = AtomicUsize::new(0);

const LEGACY_SIZE: usize = 512;
const FRESH_CONTROL: u16 = 0x37f;
const FRESH_MXCSR: u32 = 0x1f80;
const MXCSR_OFFSET: usize = 24;
const XSTATE_BV_OFFSET: usize = 512;

/// Where a thread's state is when it is not in the registers: on top of its kernel stack.
pub(super) struct Area {
    bytes: UnsafeCell<*mut u8>,
    /// Bytes of it may come from user memory (sigreturn), also where the machine keeps nothing.
    is_given: AtomicBool,
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
            bytes: UnsafeCell::new(core::ptr::null_mut()),
            is_given: AtomicBool::new(false),
            last_cpu: AtomicUsize::new(0),
            eager: AtomicU8::new(0),
        }
    }

    /// The state a program starts with.
    pub fn fresh(stack: &KernelStack) -> Area {
        let area = Area::on(stack);
        area.reset();
        area
    }

    /// With whatever the stack has on top, of a thread that has `stack` for its own.
    fn on(stack: &KernelStack) -> Area {
        let mut area = Area::none();
        *area.bytes.get_mut() = stack.state();
        area
    }

    /// The bytes of the area; empty for a kernel thread.
    ///
    /// # Safety
    /// No other reference to them is alive.
    #[expect(clippy::mut_from_ref, reason = "the owner's promise, as for UnsafeCell")]
    pub unsafe fn bytes(&self) -> &mut [u8] {
        // SAFETY: the caller's promise.
        unsafe {
            let start = *self.bytes.get();
            if start.is_null() {
                &mut []
            } else {
                core::slice::from_raw_parts_mut(start, AREA_SIZE.load(Ordering::Relaxed))
            }
        }
    }

    /// Back to what a program starts with, in memory only.
    fn reset(&self) {
        // SAFETY: the running thread's own area, or one that no thread has yet.
        let bytes = unsafe { self.bytes() };
        bytes.fill(0);
        if bytes.len() >= LEGACY_SIZE {
            bytes[..2].copy_from_slice(&FRESH_CONTROL.to_le_bytes());
            bytes[MXCSR_OFFSET..MXCSR_OFFSET + 4].copy_from_slice(&FRESH_MXCSR.to_le_bytes());
        }
        if COMPONENTS.load(Ordering::Relaxed) != 0 && !bytes.is_empty() {
            // x87 and SSE are in the area; the rest starts in its initial state.
            bytes[XSTATE_BV_OFFSET] = 3;
        }
        self.last_cpu.store(0, Ordering::Relaxed);
    }

    fn address(&self) -> usize {
        self as *const Area as usize
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        if *self.is_given.get_mut() {
            // The stack's next thread, which may be of another process, is not to find them.
            // SAFETY: the thread is no more, and its stack is given back after this.
            unsafe { self.bytes() }.fill(0);
        }
    }
}

/// Turns FP/SIMD on for user code, on this CPU.
pub(super) fn init_cpu() {
    let features = cpu::cpuid(1, 0);
    if features.ecx & (1 << 26) != 0 {
        let supported = cpu::cpuid(0xd, 0);
        let avx512 = XCr0Flags::OPMASK | XCr0Flags::ZMM_HI256 | XCr0Flags::HI16_ZMM;
        let mut components = XCr0Flags::X87 | XCr0Flags::SSE;
        for group in [XCr0Flags::AVX, avx512] {
            if u64::from(supported.eax) & group.bits() == group.bits() {
                components |= group;
            }
        }
        // SAFETY: the components are those CPUID offers.
        unsafe {
            Cr4::update(|cr4| *cr4 |= Cr4Flags::OSXSAVE);
            XCr0::write(components);
        }
        AREA_SIZE.store(cpu::cpuid(0xd, 0).ebx as usize, Ordering::Relaxed);
        COMPONENTS.store(components.bits() as usize, Ordering::Relaxed);
    }
    set_task_switched(true);
}

fn set_task_switched(on: bool) {
    // SAFETY: TS only decides whether FP/SIMD instructions trap, and the kernel has none.
    unsafe {
        if on {
            Cr0::update(|cr0| cr0.insert(Cr0Flags::TASK_SWITCHED));
        } else {
            asm!("clts", options(nostack, nomem));
        }
        *cpu::block().fpu_live.get() = !on;
    }
}

/// Whether the registers hold the running thread's state.
fn live() -> bool {
    // SAFETY: this CPU's block.
    unsafe { *cpu::block().fpu_live.get() }
}

fn save(area: &Area) {
    // SAFETY: the area is as large as the CPU's components need, and aligned to 64.
    unsafe {
        let to = *area.bytes.get();
        if COMPONENTS.load(Ordering::Relaxed) != 0 {
            asm!("xsave64 [{}]", in(reg) to, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        } else {
            asm!("fxsave64 [{}]", in(reg) to, options(nostack));
        }
    }
}

fn restore(area: &Area) {
    // SAFETY: as in `save`; what is in the area was saved there, or checked by `put`.
    unsafe {
        let from = *area.bytes.get();
        if COMPONENTS.load(Ordering::Relaxed) != 0 {
            asm!("xrstor64 [{}]", in(reg) from, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        } else {
            asm!("fxrstor64 [{}]", in(reg) from, options(nostack));
        }
    }
}

/// At a switch between threads.
pub(super) fn switch(from: &Area, to: &Area) {
    let block = cpu::block();
    let was_live = live();
    // SAFETY: this CPU's block.
    unsafe {
        if was_live {
            save(from);
            *block.fpu_owner.get() = from.address();
            from.last_cpu.store(cpu::id() + 1, Ordering::Relaxed);
        }
        *block.fpu_area.get() = to;
        let kept = *block.fpu_owner.get() == to.address() && to.last_cpu.load(Ordering::Relaxed) == cpu::id() + 1;
        let eager = to.eager.load(Ordering::Relaxed);
        let goes_on = kept || eager > 0;
        if goes_on != was_live {
            set_task_switched(!goes_on);
        }
        if goes_on && !kept {
            to.eager.store(eager - 1, Ordering::Relaxed);
            restore(to);
            *block.fpu_owner.get() = to.address();
        }
    }
}

/// The running thread's first FP/SIMD instruction since it came here.
pub(super) fn first_use() {
    let block = cpu::block();
    set_task_switched(false);
    // SAFETY: this CPU's block; the running thread's area lives as long as the thread runs.
    unsafe {
        let area = &**block.fpu_area.get();
        area.eager.store(EAGER, Ordering::Relaxed);
        restore(area);
        *block.fpu_owner.get() = area.address();
    }
}

/// Brings the running thread's state into its area, where it can be read.
fn settle(area: &Area) {
    if live() {
        save(area);
    }
}

/// Forgets what the registers hold: the area is what counts now.
fn forget() {
    // SAFETY: this CPU's block.
    unsafe { *cpu::block().fpu_owner.get() = 0 };
    set_task_switched(true);
}

/// A copy of the running thread's state, for its child that is to have `stack`.
pub(super) fn copy_of_running(area: &Area, stack: &KernelStack) -> Area {
    let copy = Area::on(stack);
    copy.eager.store(area.eager.load(Ordering::Relaxed), Ordering::Relaxed);
    if live() {
        save(&copy);
    } else {
        // SAFETY: the running thread's own area, which is no kernel thread's, and a new one of the same size.
        unsafe { copy.bytes().copy_from_slice(area.bytes()) };
        let is_given = area.is_given.load(Ordering::Relaxed);
        copy.is_given.store(is_given, Ordering::Relaxed);
    }
    copy
}

/// execve(2) and the start of a signal handler: a fresh state for the running thread.
pub(super) fn reset_running() {
    running().reset();
    forget();
}

fn running() -> &'static Area {
    // SAFETY: set at each switch to the running thread's area, which outlives its running.
    unsafe { &**cpu::block().fpu_area.get() }
}

/// Bytes of the state as it goes into a signal frame.
pub(super) fn size() -> usize {
    AREA_SIZE.load(Ordering::Relaxed)
}

/// The components in the state, as XCR0 has them; 0 without XSAVE.
pub(super) fn components() -> u64 {
    COMPONENTS.load(Ordering::Relaxed) as u64
}

/// The running thread's state as bytes.
pub(super) fn get() -> &'static [u8] {
    let area = running();
    settle(area);
    // SAFETY: the running thread's own; the caller is done with it before the thread goes on.
    unsafe { area.bytes() }
}

/// Takes a state that user memory gave: reserved bits are cleared, so that restoring it cannot fault.
pub(super) fn put(state: &[u8]) {
    let area = running();
    area.reset();
    area.is_given.store(true, Ordering::Relaxed);
    // SAFETY: the running thread's own.
    let bytes = unsafe { area.bytes() };
    let len = state.len().min(bytes.len());
    bytes[..len].copy_from_slice(&state[..len]);
    let mxcsr = u32::from_le_bytes(bytes[MXCSR_OFFSET..MXCSR_OFFSET + 4].try_into().expect("four bytes"));
    bytes[MXCSR_OFFSET..MXCSR_OFFSET + 4].copy_from_slice(&(mxcsr & 0xffff).to_le_bytes());
    let components = components();
    if components != 0 && bytes.len() >= XSTATE_BV_OFFSET + 64 {
        let header = &mut bytes[XSTATE_BV_OFFSET..XSTATE_BV_OFFSET + 64];
        let present = if len > LEGACY_SIZE {
            u64::from_le_bytes(header[..8].try_into().expect("eight bytes")) & components
        } else {
            3
        };
        header.fill(0);
        header[..8].copy_from_slice(&present.to_le_bytes());
    }
    forget();
}

/// The FPE_* code of a floating-point exception that user code just met.
pub(super) fn exception_code(simd: bool) -> i32 {
    let state = get();
    let word = |at: usize| u16::from_le_bytes([state[at], state[at + 1]]);
    let pending = if simd {
        let mxcsr = word(MXCSR_OFFSET);
        mxcsr & !(mxcsr >> 7)
    } else {
        word(2) & !word(0)
    };
    const INVALID: u16 = 1;
    const DENORMAL_UNDERFLOW: u16 = 0x12;
    const DIVIDE: u16 = 4;
    const OVERFLOW: u16 = 8;
    if pending & INVALID != 0 {
        7
    } else if pending & DIVIDE != 0 {
        3
    } else if pending & OVERFLOW != 0 {
        4
    } else if pending & DENORMAL_UNDERFLOW != 0 {
        5
    } else {
        6
    }
}
