//! This CPU and its fellows.

use super::{irq, psci, trap};
use crate::arch::MAX_CPUS;
use aarch64_cpu::registers::{
    ID_AA64ISAR0_EL1, ID_AA64ISAR1_EL1, ID_AA64MMFR1_EL1, ID_AA64MMFR2_EL1, ID_AA64PFR0_EL1, MIDR_EL1, MPIDR_EL1,
    Readable,
};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

const EMERGENCY_STACK_SIZE: usize = 8192;

/// From the block's start to the emergency stack's top, for the vectors.
pub(super) const EMERGENCY_STACK_END: usize = EMERGENCY_STACK_SIZE;
const _: () = assert!(core::mem::offset_of!(Block, emergency_stack) == 0);
pub(super) const CURRENT_OFFSET: usize = core::mem::offset_of!(Block, current);

/// A CPU's own block; TPIDR_EL1 points to it.
#[repr(C, align(16))]
pub(super) struct Block {
    /// For the exception that finds the kernel stack full.
    emergency_stack: UnsafeCell<[u8; EMERGENCY_STACK_SIZE]>,
    id: usize,
    current: UnsafeCell<*const ()>,
    /// The thread whose FP/SIMD state the registers hold, as the address of its area; 0 for none.
    pub fpu_owner: UnsafeCell<usize>,
    /// The running thread's area.
    pub fpu_area: UnsafeCell<*const super::fpu::Area>,
    /// Whether the registers hold the running thread's state (user code may use them).
    pub fpu_live: UnsafeCell<bool>,
}

// SAFETY: a block is touched only by its own CPU, and before that CPU starts by the one that starts it.
unsafe impl Sync for Block {}

static BLOCKS: [Block; MAX_CPUS] = {
    let mut blocks = [const {
        Block {
            emergency_stack: UnsafeCell::new([0; EMERGENCY_STACK_SIZE]),
            id: 0,
            current: UnsafeCell::new(core::ptr::null()),
            fpu_owner: UnsafeCell::new(0),
            fpu_area: UnsafeCell::new(core::ptr::null()),
            fpu_live: UnsafeCell::new(false),
        }
    }; MAX_CPUS];
    let mut id = 0;
    while id < MAX_CPUS {
        blocks[id].id = id;
        id += 1;
    }
    blocks
};

/// Sets up the block of the CPU this runs on.
pub(super) fn init_block(cpu: usize) {
    let block = &raw const BLOCKS[cpu];
    // SAFETY: the register is the kernel's own.
    unsafe { asm!("msr tpidr_el1, {}", in(reg) block, options(nostack)) };
}

/// This CPU's block.
#[inline]
pub(super) fn block() -> &'static Block {
    let block: *const Block;
    // SAFETY: `init_block` has set the register to an element of `BLOCKS`.
    unsafe {
        asm!("mrs {}, tpidr_el1", out(reg) block, options(nostack, nomem, preserves_flags));
        &*block
    }
}

/// Index of the CPU this runs on, below [`online`].
#[inline]
pub fn id() -> usize {
    block().id
}

/// The word that names the running thread, as [`set_current`] left it.
#[inline]
pub fn current() -> *const () {
    // SAFETY: this CPU's block. Volatile, since a switch changes CPUs under the compiler's eyes.
    unsafe { block().current.get().read_volatile() }
}

#[inline]
pub fn set_current(thread: *const ()) {
    // SAFETY: as above.
    unsafe { block().current.get().write_volatile(thread) };
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

/// This CPU's affinity, as the device tree and PSCI name CPUs.
pub(super) fn affinity() -> u64 {
    MPIDR_EL1.get() & 0xff_00ff_ffff
}

/// Unmasks interrupts, halts until one has been taken, masks them again. An interrupt that is pending already is taken
/// at once, so "queue empty, then wait" has no gap.
pub fn wait_for_interrupt() {
    // SAFETY: `wfi` returns for a pending interrupt even while they are masked; it is taken at the unmasking.
    unsafe {
        asm!(
            "dsb sy",
            "wfi",
            "msr daifclr, #2",
            "isb",
            "msr daifset, #2",
            options(nostack)
        )
    };
}

/// Takes the interrupts that are pending. The caller could as well be switched away from.
pub fn take_interrupts() {
    // SAFETY: nothing here holds a lock that a handler takes.
    unsafe { asm!("msr daifclr, #2", "isb", "msr daifset, #2", options(nostack)) };
}

/// Ends the machine with an exit status for QEMU: semihosting's SYS_EXIT_EXTENDED, else PSCI.
pub fn power_off(status: u8) -> ! {
    const SYS_EXIT_EXTENDED: u64 = 0x20;
    const APPLICATION_EXIT: u64 = 0x20026;
    let block = [APPLICATION_EXIT, u64::from(status)];
    trap::expect_halt_trap();
    // SAFETY: with semihosting the machine ends here; without it the instruction traps and is stepped over.
    unsafe { asm!("hlt #0xf000", in("w0") SYS_EXIT_EXTENDED, in("x1") &block, options(nostack)) };
    psci::system_off();
    irq::halt()
}

fn field(register: u64, shift: u32) -> u64 {
    register >> shift & 15
}

/// Whether the CPU has Privileged Access Never.
pub(super) fn has_pan() -> bool {
    field(ID_AA64MMFR1_EL1.get(), 20) != 0
}

/// Random bits from the hardware, where it has them.
pub fn random() -> Option<u64> {
    if field(ID_AA64ISAR0_EL1.get(), 60) == 0 {
        return None;
    }
    let value: u64;
    let failed: u64;
    // SAFETY: the CPU has RNDR.
    unsafe { asm!("mrs {}, s3_3_c2_c4_0", "cset {}, eq", out(reg) value, out(reg) failed, options(nostack, nomem)) };
    (failed == 0).then_some(value)
}

/// A feature: the ID register's field that shows it, from which value on, its bit in AT_HWCAP, its name.
type Capability = (Register, u32, u64, u32, &'static str);

#[derive(Clone, Copy)]
enum Register {
    InstructionSet0,
    InstructionSet1,
    Memory2,
}

/// Those that need nothing from the kernel but FP/SIMD. CPUID (bit 11) is missing on purpose: user code that sees it reads
/// ID registers, which trap.
const CAPABILITIES: &[Capability] = &[
    (Register::InstructionSet0, 4, 1, 3, "aes"),
    (Register::InstructionSet0, 4, 2, 4, "pmull"),
    (Register::InstructionSet0, 8, 1, 5, "sha1"),
    (Register::InstructionSet0, 12, 1, 6, "sha2"),
    (Register::InstructionSet0, 16, 1, 7, "crc32"),
    (Register::InstructionSet0, 20, 2, 8, "atomics"),
    (Register::InstructionSet0, 28, 1, 12, "asimdrdm"),
    (Register::InstructionSet1, 12, 1, 13, "jscvt"),
    (Register::InstructionSet1, 16, 1, 14, "fcma"),
    (Register::InstructionSet1, 20, 1, 15, "lrcpc"),
    (Register::InstructionSet1, 0, 1, 16, "dcpop"),
    (Register::InstructionSet0, 32, 1, 17, "sha3"),
    (Register::InstructionSet0, 36, 1, 18, "sm3"),
    (Register::InstructionSet0, 40, 1, 19, "sm4"),
    (Register::InstructionSet0, 44, 1, 20, "asimddp"),
    (Register::InstructionSet0, 12, 2, 21, "sha512"),
    (Register::InstructionSet0, 48, 1, 23, "asimdfhm"),
    (Register::Memory2, 32, 1, 25, "uscat"),
    (Register::InstructionSet1, 20, 2, 26, "ilrcpc"),
    (Register::InstructionSet0, 52, 1, 27, "flagm"),
];

/// The capabilities this CPU has, with bit and name. FP and SIMD show 15 where they are missing.
fn capabilities() -> impl Iterator<Item = (u32, &'static str)> {
    let processor = ID_AA64PFR0_EL1.get();
    let floating = [(16, 0, "fp"), (20, 1, "asimd")]
        .into_iter()
        .filter(move |&(shift, ..)| field(processor, shift) != 15)
        .map(|(_, bit, name)| (bit, name));
    let half = [(16, 9, "fphp"), (20, 10, "asimdhp")]
        .into_iter()
        .filter(move |&(shift, ..)| field(processor, shift) == 1)
        .map(|(_, bit, name)| (bit, name));
    let others = CAPABILITIES
        .iter()
        .filter(|&&(register, shift, least, ..)| {
            let register = match register {
                Register::InstructionSet0 => ID_AA64ISAR0_EL1.get(),
                Register::InstructionSet1 => ID_AA64ISAR1_EL1.get(),
                Register::Memory2 => ID_AA64MMFR2_EL1.get(),
            };
            field(register, shift) >= least
        })
        .map(|&(.., bit, name)| (bit, name));
    floating.chain(half).chain(others)
}

/// AT_HWCAP and AT_HWCAP2 for the auxiliary vector.
pub fn hwcap() -> (usize, usize) {
    (capabilities().fold(0, |all, (bit, _)| all | 1 << bit), 0)
}

/// Bytes a signal frame needs at most, for AT_MINSIGSTKSZ.
pub fn signal_stack_min() -> usize {
    super::signal::FRAME_LEN + 16 + 16
}

/// Text of /proc/cpuinfo for one CPU.
pub fn describe(cpu: usize, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    let midr = MIDR_EL1.get();
    writeln!(out, "processor\t: {cpu}")?;
    write!(out, "Features\t:")?;
    for (_, name) in capabilities() {
        write!(out, " {name}")?;
    }
    writeln!(out)?;
    writeln!(out, "CPU implementer\t: {:#04x}", midr >> 24 & 0xff)?;
    writeln!(out, "CPU architecture: 8")?;
    writeln!(out, "CPU variant\t: {:#x}", midr >> 20 & 15)?;
    writeln!(out, "CPU part\t: {:#05x}", midr >> 4 & 0xfff)?;
    writeln!(out, "CPU revision\t: {}\n", midr & 15)
}

/// Turns on, on this CPU, what it has: user pages closed to the kernel, the counter open to user code.
pub(super) fn init_features() {
    // SAFETY: SPAN off makes every exception set PAN; the kernel reaches user pages by unprivileged accesses only.
    unsafe {
        if has_pan() {
            let mut sctlr: u64;
            asm!("mrs {}, sctlr_el1", out(reg) sctlr, options(nostack));
            sctlr &= !(1 << 23);
            asm!("msr sctlr_el1, {}", "isb", in(reg) sctlr, options(nostack));
            asm!(".arch_extension pan", "msr pan, #1", options(nostack));
        }
    }
    super::uaccess::init(has_pan());
    super::fpu::init_cpu();
}
