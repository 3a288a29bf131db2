//! Starting the other CPUs, by PSCI.
//!
//! A CPU starts with its MMU off, so it reads its orders by their physical address, and they are cleaned out of the caches
//! first. Its kernel half is the kernel's own from the moment the MMU goes on: its stack is mapped nowhere else.

use super::{boot, cpu, paging, psci, timer, trap};
use crate::arch::MAX_CPUS;
use crate::mm::stack::KernelStack;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use fdt::Fdt;

global_asm!(
    r#"
    .text
    .balign 16
    // x0: its orders, physical.
    secondary_entry:
    mov x20, x0
    bl down_to_el1
    ldp x0, x21, [x20]
    ldr x22, [x20, #16]
    bl mmu_on
    ldr x0, =secondary_high
    br x0
    secondary_high:
    mov sp, x21
    mov x0, x22
    mov x29, xzr
    mov x30, xzr
    bl {secondary}
    brk #0
    .ltorg
"#,
    secondary = sym secondary,
);

unsafe extern "C" {
    fn secondary_entry();
}

/// What a starting CPU reads, in one cache line.
#[repr(C, align(64))]
struct Orders {
    root: u64,
    stack: usize,
    cpu: usize,
}

struct OrdersCell(UnsafeCell<Orders>);
// SAFETY: written by CPU 0 while no CPU is starting, read by the one that is.
unsafe impl Sync for OrdersCell {}
static ORDERS: OrdersCell = OrdersCell(UnsafeCell::new(Orders {
    root: 0,
    stack: 0,
    cpu: 0,
}));

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

/// Starts the CPUs of the device tree, one after the other. `online` counts those that run.
pub(super) fn start_others(online: &AtomicUsize) {
    for affinity in &AFFINITIES[..FOUND.load(Ordering::Relaxed)] {
        let affinity = affinity.load(Ordering::Relaxed);
        if affinity == cpu::affinity() {
            continue;
        }
        let cpu = online.load(Ordering::Acquire);
        let Ok(stack) = KernelStack::new() else { return };
        let orders = ORDERS.0.get();
        // SAFETY: no CPU is starting. The line is cleaned to memory, where the new CPU reads it without caches.
        unsafe {
            *orders = Orders {
                root: paging::kernel_root(),
                stack: stack.top(),
                cpu,
            };
            asm!("dc civac, {}", "dsb sy", in(reg) orders, options(nostack));
        }
        // It is that CPU's idle stack from now on, even if it starts late.
        core::mem::forget(stack);
        let entry = paging::image_physical(secondary_entry as *const ());
        let accepted = psci::start(affinity, entry, paging::image_physical(orders));
        let deadline_ns = timer::now_ns() + ANSWER_NS;
        while accepted && online.load(Ordering::Acquire) == cpu && timer::now_ns() < deadline_ns {
            core::hint::spin_loop();
        }
        if online.load(Ordering::Acquire) == cpu {
            log::warn!("the CPU with affinity {affinity:#x} does not answer; going on without it");
            return;
        }
    }
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
