//! Starting the other CPUs: by PSCI, or by the words that they watch when they come from Limine.
//!
//! A CPU starts with its MMU off, so it reads its orders by their physical address, and they are cleaned out of the caches
//! first. Its kernel half is the kernel's own from the moment the MMU goes on: its stack is mapped nowhere else.

use super::{boot, cpu, paging, psci, timer, trap};
use crate::arch::MAX_CPUS;
use crate::arch::symbols;
use crate::mm::direct;
use crate::mm::stack::KernelStack;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use fdt::Fdt;
use limine::mp::MpInfo;
use spin::Once;

global_asm!(
    r#"
    .text
    .balign 16
    // On Limine's tables. x0: the orders, physical; x1: where `without_mmu` lies in RAM. The user half becomes the identity map first, with
    // our table format and Limine's memory attributes, of which number 0 is ordinary memory as ours.
    leave_limine_tables:
    msr daifset, #15
    mrs x2, tcr_el1
    mov x3, #0xffff
    bic x2, x2, x3
    mov x3, #{tcr_user}
    orr x2, x2, x3
    msr tcr_el1, x2
    adrp x3, boot_identity
    adr x4, without_mmu
    sub x3, x3, x4
    add x3, x3, x1
    msr ttbr0_el1, x3
    isb
    tlbi vmalle1
    dsb sy
    isb
    br x1
    without_mmu:
    ldr x2, ={sctlr_off}
    msr sctlr_el1, x2
    isb

    // MMU off. x0: its orders, physical.
    secondary_entry:
    mov x20, x0
    bl down_to_el1
    ldp x0, x21, [x20]
    ldp x22, x23, [x20, #16]
    bl mmu_on
    ldr x0, =secondary_high
    br x0
    secondary_high:
    mov sp, x21
    mov x0, x22
    mov x29, xzr
    mov x30, xzr
    blr x23
    brk #0
    .ltorg
"#,
    tcr_user = const boot::TCR_USER,
    sctlr_off = const boot::SCTLR_OFF,
);

unsafe extern "C" {
    fn secondary_entry();
    fn without_mmu();
    fn leave_limine_tables(orders: u64, without_mmu: u64) -> !;
}

/// What a starting CPU reads, in one cache line.
#[repr(C, align(64))]
struct Orders {
    root: u64,
    stack: usize,
    cpu: usize,
    then: extern "C" fn(usize) -> !,
}

struct OrdersCell(UnsafeCell<Orders>);
// SAFETY: written by CPU 0 while no CPU is starting, read by the one that is.
unsafe impl Sync for OrdersCell {}
static ORDERS: OrdersCell = OrdersCell(UnsafeCell::new(Orders {
    root: 0,
    stack: 0,
    cpu: 0,
    then: secondary,
}));

/// Writes the orders of the CPU that starts next, and gives their place in RAM.
fn order(stack: usize, cpu: usize, then: extern "C" fn(usize) -> !) -> u64 {
    let orders = ORDERS.0.get();
    // SAFETY: no CPU is starting. The line is cleaned to memory, where the new CPU reads it without caches.
    unsafe {
        *orders = Orders {
            root: paging::kernel_root(),
            stack,
            cpu,
            then,
        };
        asm!("dc civac, {}", "dsb sy", in(reg) orders, options(nostack));
    }
    paging::image_physical(orders)
}

/// Leaves Limine's tables and goes on with `then`, on the kernel's.
pub(super) fn leave_limine(stack: usize, then: extern "C" fn(usize) -> !) -> ! {
    let image = &raw const symbols::__kernel_start as usize..&raw const symbols::__kernel_end as usize;
    // With the MMU off, instructions come from memory.
    for line in image.step_by(16) {
        // SAFETY: cleaning changes no data.
        unsafe { asm!("dc cvac, {}", in(reg) line, options(nostack)) };
    }
    let orders = order(stack, 0, then);
    // SAFETY: the kernel's tables are built; `then` never returns to what was before.
    unsafe { leave_limine_tables(orders, paging::image_physical(without_mmu as *const ())) }
}

/// Another CPU, on Limine's tables and stack.
unsafe extern "C" fn from_limine(_: &MpInfo) -> ! {
    // SAFETY: the orders are for this CPU; nothing is on Limine's stack that is needed again.
    unsafe {
        leave_limine_tables(
            paging::image_physical(ORDERS.0.get()),
            paging::image_physical(without_mmu as *const ()),
        )
    }
}

/// Physical addresses of the words that Limine's CPUs watch; none after direct boot.
static WAITING: Once<([u64; MAX_CPUS], usize)> = Once::new();

/// Limine has CPUs waiting, this one among them.
pub(super) fn waiting(processors: &[u64]) {
    WAITING.call_once(|| {
        let mut words = [0; MAX_CPUS];
        words[..processors.len()].copy_from_slice(processors);
        (words, processors.len())
    });
}

/// Affinities of the CPUs that the device tree names.
static AFFINITIES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static FOUND: AtomicUsize = AtomicUsize::new(0);

pub(super) fn init(tree: &Fdt) {
    let mut found = 0;
    for cpu in tree.cpus().take(MAX_CPUS) {
        AFFINITIES[found].store(cpu.ids().first() as u64, Ordering::Relaxed);
        found += 1;
    }
    FOUND.store(found, Ordering::Relaxed);
}

/// How long a CPU may take to answer.
const ANSWER_NS: u64 = 1_000_000_000;

/// Starts the other CPUs, one after the other. `online` counts those that run.
pub(super) fn start_others(online: &AtomicUsize) {
    match WAITING.get() {
        Some((words, count)) => {
            for &word in &words[..*count] {
                // SAFETY: Limine's memory is no free RAM: the structure stays there, and only the waiting CPU reads it.
                let processor = unsafe { &*(direct(word) as *const MpInfo) };
                let start = |_orders| {
                    processor.bootstrap(from_limine, 0);
                    true
                };
                if !start_one(online, processor.mpidr, start) {
                    return;
                }
            }
        }
        None => {
            for affinity in &AFFINITIES[..FOUND.load(Ordering::Relaxed)] {
                let affinity = affinity.load(Ordering::Relaxed);
                let entry = paging::image_physical(secondary_entry as *const ());
                if !start_one(online, affinity, |orders| psci::start(affinity, entry, orders)) {
                    return;
                }
            }
        }
    }
}

/// Has one CPU started, unless it is this one, and waits for it. Whether it came.
fn start_one(online: &AtomicUsize, affinity: u64, start: impl FnOnce(u64) -> bool) -> bool {
    if affinity == cpu::affinity() {
        return true;
    }
    let cpu = online.load(Ordering::Acquire);
    let Ok(stack) = KernelStack::new() else { return false };
    let orders = order(stack.top(), cpu, secondary);
    // It is that CPU's idle stack from now on, even if it starts late.
    core::mem::forget(stack);
    let accepted = start(orders);
    let deadline_ns = timer::now_ns() + ANSWER_NS;
    while accepted && online.load(Ordering::Acquire) == cpu && timer::now_ns() < deadline_ns {
        core::hint::spin_loop();
    }
    let came = online.load(Ordering::Acquire) != cpu;
    if !came {
        log::warn!("the CPU with affinity {affinity:#x} does not answer; going on without it");
    }
    came
}

/// Another CPU, on the kernel's tables and on its idle stack.
extern "C" fn secondary(cpu: usize) -> ! {
    paging::enter_kernel_tables();
    cpu::init_block(cpu);
    trap::init_cpu();
    boot::init_cpu();
    cpu::now_online();
    crate::start_secondary(cpu)
}
