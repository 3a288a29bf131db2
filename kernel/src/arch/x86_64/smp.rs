//! Starting the other CPUs.
//!
//! Direct boot leaves them to the kernel: INIT and STARTUP, a page of real-mode code, the boot page tables, then the
//! kernel's. Limine has them wait in long mode on its own tables, each watching a word for the address to go to.

use super::{boot, cpu, irq, lapic, paging, timer, trap};
use crate::arch::MAX_CPUS;
use crate::mm::direct;
use crate::mm::stack::KernelStack;
use core::arch::global_asm;
use core::sync::atomic::{AtomicUsize, Ordering};
use limine::mp::MpInfo;
use spin::Once;

/// Where the first page lies that another CPU runs; below 1 MiB, which is never given out.
const TRAMPOLINE: u64 = 0x8000;

global_asm!(
    r#"
    .section .rodata
    // Where things are once the page is copied.
    .set at_gdt_pointer, trampoline_gdt_pointer - trampoline + {base}
    .set at_long, trampoline_long - trampoline + {base}
    .set at_stack, trampoline_stack - trampoline + {base}
    .set at_cpu, trampoline_cpu - trampoline + {base}
    .set at_entry, trampoline_entry - trampoline + {base}
    .code16
    .balign 16
    trampoline:
    cli
    xor ax, ax
    mov ds, ax
    lgdt [at_gdt_pointer]
    mov eax, 0x20
    mov cr4, eax
    mov eax, offset boot_pml4 - 0xffffffff80000000
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x901
    wrmsr
    mov eax, 0x80010001
    mov cr0, eax
    ljmp 8, offset at_long
    .code64
    trampoline_long:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov rsp, [at_stack]
    mov rdi, [at_cpu]
    mov rax, [at_entry]
    xor ebp, ebp
    call rax
    ud2
    .balign 8
    trampoline_gdt:
    .quad 0
    .quad 0x00af9a000000ffff
    .quad 0x00cf92000000ffff
    trampoline_gdt_pointer:
    .word 23
    .long trampoline_gdt - trampoline + {base}
    .balign 8
    trampoline_stack: .quad 0
    trampoline_cpu: .quad 0
    trampoline_entry: .quad 0
    trampoline_end:
    .text
"#,
    base = const TRAMPOLINE,
);

global_asm!(
    r#"
    .text
    // From Limine's tables and stack to the kernel's; the kernel's code is at the same addresses in both.
    from_limine:
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x801
    wrmsr
    mov rax, [rip + {orders}]
    mov rsp, [rip + {orders} + 8]
    mov rdi, [rip + {orders} + 16]
    mov cr3, rax
    xor ebp, ebp
    call {secondary}
    ud2
"#,
    orders = sym ORDERS,
    secondary = sym secondary,
);

/// What a CPU reads that comes from Limine: root table, stack, number.
static ORDERS: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

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

unsafe extern "C" {
    fn from_limine(_: &MpInfo) -> !;
    static trampoline: u8;
    static trampoline_end: u8;
    static trampoline_stack: u8;
}

/// How long a CPU may take to answer.
const ANSWER_NS: u64 = 200_000_000;

/// Starts the other CPUs, one after the other. `online` counts those that run.
pub(super) fn start_others(online: &AtomicUsize) {
    match WAITING.get() {
        Some((words, count)) => start_waiting(&words[..*count], online),
        None => start_halted(online),
    }
}

/// Starts the CPUs that wait in Limine.
fn start_waiting(words: &[u64], online: &AtomicUsize) {
    for &word in words {
        // SAFETY: Limine's memory is no free RAM: the structure stays there, and no other CPU but the waiting one reads it.
        let processor = unsafe { &*(direct(word) as *const MpInfo) };
        if processor.lapic_id == u32::from(lapic::own_id()) {
            continue;
        }
        let cpu = online.load(Ordering::Acquire);
        let Ok(stack) = KernelStack::new() else { return };
        for (order, value) in ORDERS.iter().zip([paging::kernel_root() as usize, stack.top(), cpu]) {
            order.store(value, Ordering::Relaxed);
        }
        // It is that CPU's idle stack from now on, even if it starts late.
        core::mem::forget(stack);
        processor.bootstrap(from_limine, 0);
        if !wait_until(timer::now_ns() + ANSWER_NS, || online.load(Ordering::Acquire) > cpu) {
            log::warn!(
                "CPU with APIC id {} does not answer; going on without it",
                processor.lapic_id
            );
            return;
        }
    }
}

/// Starts the CPUs that the MADT names.
fn start_halted(online: &AtomicUsize) {
    let Some(madt) = irq::madt_found() else { return };
    let own = lapic::own_id();
    let code = &raw const trampoline;
    let len = &raw const trampoline_end as usize - code as usize;
    let cells = (direct(TRAMPOLINE) + (&raw const trampoline_stack as usize - code as usize)) as *mut usize;
    paging::lend_to_boot_tables();
    // SAFETY: the page is the trampoline's alone.
    unsafe { core::ptr::copy_nonoverlapping(code, direct(TRAMPOLINE) as *mut u8, len) };
    for &apic_id in madt.apic_ids[..madt.cpu_count]
        .iter()
        .filter(|&&apic_id| apic_id != own)
    {
        let cpu = online.load(Ordering::Acquire);
        let Ok(stack) = KernelStack::new() else { return };
        // SAFETY: as above; the CPU reads them after it is started.
        unsafe {
            cells.write_volatile(stack.top());
            cells.add(1).write_volatile(cpu);
            cells.add(2).write_volatile(secondary as *const () as usize);
        }
        lapic::send_init(apic_id);
        wait_until(timer::now_ns() + 200_000, || false);
        lapic::send_startup(apic_id, (TRAMPOLINE >> 12) as u8);
        // It is that CPU's idle stack from now on, even if it starts late.
        core::mem::forget(stack);
        if !wait_until(timer::now_ns() + ANSWER_NS, || online.load(Ordering::Acquire) > cpu) {
            log::warn!("CPU with APIC id {apic_id} does not answer; going on without it");
            return;
        }
    }
}

/// Waits for `done`, until `deadline_ns` at the latest; whether it is.
fn wait_until(deadline_ns: u64, done: impl Fn() -> bool) -> bool {
    while !done() {
        if timer::now_ns() >= deadline_ns {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Another CPU in long mode, on its idle stack.
extern "C" fn secondary(cpu: usize) -> ! {
    paging::enter_kernel_tables();
    cpu::init_block(cpu);
    trap::init_cpu(cpu);
    boot::init_cpu();
    cpu::now_online();
    crate::start_secondary(cpu)
}
