//! aarch64: EL1 with the MMU on already; the other CPUs by PSCI.

use crate::Pages;
use crate::tables::Tables;
use alloc::vec::Vec;
use core::arch::{asm, global_asm};

pub const DIRECT_MAP: u64 = 0xffff_0000_0000_0000;
pub const MAX_CPUS: usize = 8;
pub const STACK: u64 = 64 << 10;

const ACCESSED: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 3 << 8;
pub const TABLE: u64 = 3;
pub const LARGE_RAM: u64 = 1 | ACCESSED | INNER_SHAREABLE | 1 << 53 | 1 << 54;

pub fn page(writable: bool, executable: bool) -> u64 {
    3 | ACCESSED | INNER_SHAREABLE | u64::from(!writable) << 7 | u64::from(!executable) << 53 | 1 << 54
}

/// The processors' answer after its revision: flags, then this CPU's number.
pub const MP_HEADER: fn(u64) -> [u64; 2] = |own| [0, own];

pub struct Cpu {
    number: u64,
    pub id: u64,
}

impl Cpu {
    pub fn info(&self) -> [u64; 5] {
        [self.number, self.id, 0, 0, 0]
    }
}

/// QEMU's `virt` numbers its CPUs by affinity level 0. PSCI is asked which of them there are.
pub fn cpus(_rsdp: Option<u64>) -> Vec<Cpu> {
    const AFFINITY_INFO: u64 = 0xc400_0004;
    (0..MAX_CPUS as u64)
        .take_while(|&id| psci(AFFINITY_INFO, id, 0, 0) >= 0)
        .map(|id| Cpu { number: id, id })
        .collect()
}

fn psci(function: u64, first: u64, second: u64, third: u64) -> i64 {
    let mut result = function;
    // SAFETY: a firmware call that changes no memory of ours.
    unsafe {
        asm!("hvc #0", inout("x0") result, in("x1") first, in("x2") second, in("x3") third, clobber_abi("C"));
    }
    result as i64
}

pub fn prepare() {}

/// Ordinary memory as attribute 0, as the kernel is promised, and as UEFI's own for its identity map.
const MAIR: u64 = 0xff00_00ff;

/// What a starting CPU takes over from this one, and then its own stack and structure.
#[repr(C)]
struct Start {
    mair: u64,
    tcr: u64,
    user_root: u64,
    root: u64,
    sctlr: u64,
    stack: u64,
    info: u64,
}

global_asm!(
    r#"
    .text
    // MMU off. x0: its `Start`.
    start_cpu:
    ldp x1, x2, [x0]
    msr mair_el1, x1
    msr tcr_el1, x2
    ldp x1, x2, [x0, #16]
    msr ttbr0_el1, x1
    msr ttbr1_el1, x2
    isb
    tlbi vmalle1
    dsb sy
    isb
    ldp x1, x2, [x0, #32]
    ldr x0, [x0, #48]
    msr sctlr_el1, x1
    isb
    mov sp, x2
    5:
    yield
    ldr x1, [x0, #24]
    cbz x1, 5b
    dmb sy
    mov x30, xzr
    br x1
"#,
);

unsafe extern "C" {
    fn start_cpu();
}

/// Starts the CPUs whose structures these are, in the order of their numbers, into their wait.
pub fn start_others(infos: &[u64], tables: &Tables, stacks: &Pages) {
    const CPU_ON: u64 = 0xc400_0003;
    switch_tables(tables);
    for (number, &info) in (1..).zip(infos) {
        let mut start = Start {
            mair: 0,
            tcr: 0,
            user_root: 0,
            root: 0,
            sctlr: 0,
            stack: DIRECT_MAP + stacks.start + (number + 1) * STACK,
            info,
        };
        // SAFETY: reads registers; cleans the structure to memory, where the new CPU reads it with its MMU off.
        unsafe {
            asm!("mrs {}, mair_el1", out(reg) start.mair);
            asm!("mrs {}, tcr_el1", out(reg) start.tcr);
            asm!("mrs {}, ttbr0_el1", out(reg) start.user_root);
            asm!("mrs {}, ttbr1_el1", out(reg) start.root);
            asm!("mrs {}, sctlr_el1", out(reg) start.sctlr);
            asm!("dc civac, {0}", "dsb sy", in(reg) &raw mut start);
        }
        psci(CPU_ON, number, start_cpu as *const () as u64, &raw const start as u64);
        for _ in 0..20_000_000 {
            core::hint::spin_loop();
        }
    }
}

/// Turns the kernel's half of the address space on, next to UEFI's identity map in the other.
fn switch_tables(tables: &Tables) {
    // SAFETY: the upper half was off; attribute 3, by which UEFI maps RAM, stays what it was.
    unsafe {
        asm!(
            "msr daifset, #15",
            "msr mair_el1, {mair}",
            "mrs {tcr}, tcr_el1",
            "and {tcr}, {tcr}, #0xffffffff0000ffff",
            "bic {tcr}, {tcr}, #(1 << 23)",
            "orr {tcr}, {tcr}, {upper}",
            "msr ttbr1_el1, {root}",
            "msr tcr_el1, {tcr}",
            "isb",
            "tlbi vmalle1",
            "dsb sy",
            "isb",
            mair = in(reg) MAIR,
            tcr = out(reg) _,
            upper = in(reg) 16u64 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30,
            root = in(reg) tables.root(),
        );
    }
}

/// Enters the kernel.
pub fn enter(entry: u64, _: &Tables, stack: u64) -> ! {
    // SAFETY: the tables map the stack and the kernel; this code stays mapped.
    unsafe {
        asm!(
            "mov sp, {stack}",
            "mov x29, xzr",
            "mov x30, xzr",
            "br {entry}",
            stack = in(reg) DIRECT_MAP + stack,
            entry = in(reg) entry,
            options(noreturn),
        )
    }
}
