//! This CPU and its fellows.

use super::{lapic, trap};
use crate::arch::MAX_CPUS;
use core::arch::{asm, x86_64::__cpuid_count};
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicUsize, Ordering};
use x86_64::VirtAddr;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{GsBase, KernelGsBase};

/// A CPU's own block; the GS base points to it while the kernel runs.
#[repr(C)]
pub(super) struct Block {
    /// Where a system call finds its frame, on top of the running thread's kernel stack; what it calls lies below.
    pub frame_base: UnsafeCell<usize>,
    /// Where the system-call entry keeps the user's stack pointer for a moment.
    pub user_stack: UnsafeCell<usize>,
    id: UnsafeCell<usize>,
    current: UnsafeCell<*const ()>,
    /// The thread whose FP/SIMD state the registers hold, as the address of its area; 0 for none.
    pub fpu_owner: UnsafeCell<usize>,
    /// The running thread's area.
    pub fpu_area: UnsafeCell<*const super::fpu::Area>,
    /// Whether the registers hold the running thread's state (CR0.TS is clear).
    pub fpu_live: UnsafeCell<bool>,
}

// SAFETY: a block is touched only by its own CPU, and before that CPU starts by the one that starts it.
unsafe impl Sync for Block {}

static BLOCKS: [Block; MAX_CPUS] = [const {
    Block {
        frame_base: UnsafeCell::new(0),
        user_stack: UnsafeCell::new(0),
        id: UnsafeCell::new(0),
        current: UnsafeCell::new(core::ptr::null()),
        fpu_owner: UnsafeCell::new(0),
        fpu_area: UnsafeCell::new(core::ptr::null()),
        fpu_live: UnsafeCell::new(false),
    }
}; MAX_CPUS];

pub(super) const FRAME_BASE_OFFSET: usize = offset_of!(Block, frame_base);
pub(super) const CURRENT_OFFSET: usize = offset_of!(Block, current);
pub(super) const USER_STACK_OFFSET: usize = offset_of!(Block, user_stack);

/// Sets up the block of the CPU this runs on.
pub(super) fn init_block(cpu: usize) {
    let block = &BLOCKS[cpu];
    // SAFETY: this CPU's own block.
    unsafe { *block.id.get() = cpu };
    GsBase::write(VirtAddr::from_ptr(block));
    KernelGsBase::write(VirtAddr::zero());
}

/// This CPU's block.
pub(super) fn block() -> &'static Block {
    &BLOCKS[id()]
}

/// Index of the CPU this runs on, below [`online`].
#[inline]
pub fn id() -> usize {
    let id: usize;
    // SAFETY: in the kernel the GS base is this CPU's block.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) id, offset = const offset_of!(Block, id),
             options(nostack, preserves_flags, readonly));
    }
    id
}

/// The word that names the running thread, as [`set_current`] left it.
#[inline]
pub fn current() -> *const () {
    let current: *const ();
    // SAFETY: as in `id`.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) current, offset = const offset_of!(Block, current),
             options(nostack, preserves_flags, readonly));
    }
    current
}

#[inline]
pub fn set_current(thread: *const ()) {
    // SAFETY: as in `id`.
    unsafe {
        asm!("mov gs:[{offset}], {}", in(reg) thread, offset = const offset_of!(Block, current),
             options(nostack, preserves_flags));
    }
}

static ONLINE: AtomicUsize = AtomicUsize::new(1);

/// CPUs that run.
pub fn online() -> usize {
    ONLINE.load(Ordering::Relaxed)
}

/// This CPU, which has just been started, runs.
pub(super) fn now_online() {
    ONLINE.fetch_add(1, Ordering::Release);
}

/// Starts the other CPUs; each ends in `crate::start_secondary`. Returns when all that answer are up.
pub fn start_others() {
    super::smp::start_others(&ONLINE);
}

/// Unmasks interrupts, halts until one has been taken, masks them again. An interrupt that is pending already is taken
/// at once, so "queue empty, then wait" has no gap.
pub fn wait_for_interrupt() {
    // SAFETY: `sti` takes effect after the next instruction, so no interrupt slips in before the halt.
    unsafe { asm!("sti; hlt; cli", options(nostack)) };
}

/// Takes the interrupts that are pending. The caller could as well be switched away from.
pub fn take_interrupts() {
    // SAFETY: nothing here holds a lock that a handler takes; `sti` takes effect after the next instruction.
    unsafe { asm!("sti; nop; cli", options(nostack)) };
}

/// Ends the machine with an exit status for QEMU.
pub fn power_off(status: u8) -> ! {
    // SAFETY: the debug-exit device's port; without the device the write goes nowhere.
    unsafe { x86_64::instructions::port::Port::<u32>::new(0xf4).write(status as u32) };
    // No such device: a triple fault resets, and `-no-reboot` ends QEMU.
    trap::triple_fault()
}

/// Random bits from the hardware, where it has them.
pub fn random() -> Option<u64> {
    if cpuid(1, 0).ecx & (1 << 30) == 0 {
        return None;
    }
    for _ in 0..10 {
        let value: u64;
        let ok: u8;
        // SAFETY: CPUID says the instruction is there.
        unsafe { asm!("rdrand {}; setc {}", out(reg) value, out(reg_byte) ok, options(nostack, nomem)) };
        if ok != 0 {
            return Some(value);
        }
    }
    None
}

pub(super) struct Cpuid {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

pub(super) fn cpuid(leaf: u32, subleaf: u32) -> Cpuid {
    let result = __cpuid_count(leaf, subleaf);
    Cpuid {
        eax: result.eax,
        ebx: result.ebx,
        ecx: result.ecx,
        edx: result.edx,
    }
}

/// AT_HWCAP and AT_HWCAP2 for the auxiliary vector: CPUID 1 EDX; FSGSBASE is bit 1 of the second.
pub fn hwcap() -> (usize, usize) {
    (cpuid(1, 0).edx as usize, (has_fsgsbase() as usize) << 1)
}

/// Bytes a signal frame needs at most, for AT_MINSIGSTKSZ.
pub fn signal_stack_min() -> usize {
    super::signal::frame_size_max()
}

/// Text of /proc/cpuinfo for one CPU.
pub fn describe(cpu: usize, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    let version = cpuid(1, 0);
    let mut vendor = [0u8; 12];
    let leaf = cpuid(0, 0);
    for (at, word) in [leaf.ebx, leaf.edx, leaf.ecx].into_iter().enumerate() {
        vendor[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    let mut brand = [0u8; 48];
    for at in 0..3u32 {
        let leaf = cpuid(0x8000_0002 + at, 0);
        for (word, value) in [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx].into_iter().enumerate() {
            let from = at as usize * 16 + word * 4;
            brand[from..from + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    let text = |bytes: &[u8]| {
        alloc::string::String::from_utf8_lossy(bytes)
            .trim_matches(['\0', ' '])
            .into()
    };
    let (vendor, brand): (alloc::string::String, alloc::string::String) = (text(&vendor), text(&brand));
    writeln!(out, "processor\t: {cpu}")?;
    writeln!(out, "vendor_id\t: {vendor}")?;
    writeln!(out, "cpu family\t: {}", (version.eax >> 8) & 15)?;
    writeln!(
        out,
        "model\t\t: {}",
        (version.eax >> 4) & 15 | (version.eax >> 12) & 0xf0
    )?;
    writeln!(out, "model name\t: {brand}")?;
    writeln!(out, "stepping\t: {}\n", version.eax & 15)
}

const LEAF_7_EBX_FSGSBASE: u32 = 1;
const LEAF_7_EBX_SMEP: u32 = 1 << 7;
const LEAF_7_EBX_SMAP: u32 = 1 << 20;
const LEAF_7_ECX_UMIP: u32 = 1 << 2;

pub(super) fn has_fsgsbase() -> bool {
    cpuid(7, 0).ebx & LEAF_7_EBX_FSGSBASE != 0
}

/// Turns on, on this CPU, what it has: protection of the kernel from user pages, FP/SIMD for user code, the rest.
pub(super) fn init_features() {
    let features = cpuid(7, 0);
    let mut cr4 = Cr4::read() | Cr4Flags::PAGE_GLOBAL | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
    for (present, flag) in [
        (features.ebx & LEAF_7_EBX_FSGSBASE != 0, Cr4Flags::FSGSBASE),
        (
            features.ebx & LEAF_7_EBX_SMEP != 0,
            Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
        ),
        (
            features.ebx & LEAF_7_EBX_SMAP != 0,
            Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION,
        ),
        (
            features.ecx & LEAF_7_ECX_UMIP != 0,
            Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION,
        ),
    ] {
        if present {
            cr4 |= flag;
        }
    }
    // SAFETY: the flags are those the CPU has; the kernel touches user pages only with SMAP lifted.
    unsafe {
        Cr4::write(cr4);
        Cr0::update(|cr0| {
            cr0.remove(Cr0Flags::EMULATE_COPROCESSOR);
            cr0.insert(Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::NUMERIC_ERROR | Cr0Flags::WRITE_PROTECT);
        });
    }
    super::uaccess::init(features.ebx & LEAF_7_EBX_SMAP != 0);
    super::fpu::init_cpu();
    lapic::init_cpu();
}
