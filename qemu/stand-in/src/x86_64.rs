//! x86_64: long mode already; the other CPUs by INIT and STARTUP.

use crate::Pages;
use crate::tables::Tables;
use alloc::vec::Vec;
use core::arch::{asm, global_asm};
use uefi::boot::{self, AllocateType, MemoryType};

/// Where RAM is mapped for the kernel; not where Vigil has it, so that nothing works by chance.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
pub const MAX_CPUS: usize = 8;
pub const STACK: u64 = 64 << 10;

pub const TABLE: u64 = 3;
pub const LARGE_RAM: u64 = 3 | 1 << 7;

pub fn page(writable: bool, executable: bool) -> u64 {
    1 | u64::from(writable) << 1 | u64::from(!executable) << 63
}

/// The processors' answer after its revision: flags and this CPU's number in one word.
pub const MP_HEADER: fn(u64) -> [u64; 1] = |own| [own << 32];

pub struct Cpu {
    number: u64,
    pub id: u64,
}

impl Cpu {
    pub fn info(&self) -> [u64; 4] {
        [self.number | self.id << 32, 0, 0, 0]
    }
}

/// The CPUs that QEMU has: their APIC numbers count up.
pub fn cpus(_rsdp: Option<u64>) -> Vec<Cpu> {
    (0..u64::from(count())).map(|id| Cpu { number: id, id }).collect()
}

/// QEMU's firmware configuration, item 5: how many CPUs.
fn count() -> u16 {
    let (low, high): (u8, u8);
    // SAFETY: the selector and data ports of a device that only answers.
    unsafe {
        asm!("out dx, ax", in("dx") 0x510u16, in("ax") 5u16, options(nostack));
        asm!("in al, dx", in("dx") 0x511u16, out("al") low, options(nostack));
        asm!("in al, dx", in("dx") 0x511u16, out("al") high, options(nostack));
    }
    u16::from_le_bytes([low, high])
}

const TRAMPOLINE: u64 = 0x8000;

global_asm!(
    r#"
    .section .rodata
    // Where things are once the page is copied.
    .set at_gdt, trampoline_gdt - trampoline + {base}
    .set at_gdt_pointer, trampoline_gdt_pointer - trampoline + {base}
    .set at_long, trampoline_long - trampoline + {base}
    .set at_root, trampoline_root - trampoline + {base}
    .set at_stack, trampoline_stack - trampoline + {base}
    .set at_info, trampoline_info - trampoline + {base}
    .set at_then, trampoline_then - trampoline + {base}
    .code16
    .balign 16
    trampoline:
    cli
    xor ax, ax
    mov ds, ax
    lgdt [at_gdt_pointer]
    mov eax, 0x20
    mov cr4, eax
    mov eax, [at_root]
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x900
    wrmsr
    mov eax, 0x80010001
    mov cr0, eax
    ljmp 8, offset at_long
    .code64
    trampoline_long:
    mov rsp, [at_stack]
    mov rdi, [at_info]
    mov rax, [at_then]
    jmp rax
    .balign 8
    trampoline_gdt:
    .quad 0
    .quad 0x00af9a000000ffff
    trampoline_gdt_pointer:
    .word 15
    .long at_gdt
    .balign 8
    trampoline_root: .quad 0
    trampoline_stack: .quad 0
    trampoline_info: .quad 0
    trampoline_then: .quad 0
    trampoline_end:
    .text
    // rdi: this CPU's structure. Waits for its address, and goes there with the stack as a call would leave it.
    wait_for_address:
    pause
    mov rax, [rdi + 16]
    test rax, rax
    jz wait_for_address
    xor ebp, ebp
    push 0
    jmp rax
"#,
    base = const TRAMPOLINE,
);

unsafe extern "C" {
    static trampoline: u8;
    static trampoline_root: u8;
    static trampoline_end: u8;
    fn wait_for_address();
}

/// Takes the page the other CPUs start in.
pub fn prepare() {
    boot::allocate_pages(AllocateType::Address(TRAMPOLINE), MemoryType::LOADER_DATA, 1).expect("no page below 1 MiB");
}

fn send(id: u64, command: u32) {
    const LAPIC: u64 = 0xfee0_0000;
    // SAFETY: registers of the local APIC, which UEFI maps at its address: the target, then the command.
    unsafe {
        ((LAPIC + 0x310) as *mut u32).write_volatile((id as u32) << 24);
        ((LAPIC + 0x300) as *mut u32).write_volatile(command);
    }
}

fn pause() {
    for _ in 0..2_000_000 {
        core::hint::spin_loop();
    }
}

/// Starts the CPUs whose structures these are, in the order of their numbers, into their wait.
pub fn start_others(infos: &[u64], tables: &Tables, stacks: &Pages) {
    lend_identity(tables);
    let code = &raw const trampoline;
    let len = &raw const trampoline_end as usize - code as usize;
    let cells = (TRAMPOLINE + (&raw const trampoline_root as u64 - code as u64)) as *mut u64;
    // SAFETY: the page is ours.
    unsafe { core::ptr::copy_nonoverlapping(code, TRAMPOLINE as *mut u8, len) };
    for (number, &info) in (1..).zip(infos) {
        let values = [
            tables.root(),
            stacks.start + (number + 1) * STACK,
            info,
            wait_for_address as *const () as u64,
        ];
        for (cell, value) in values.into_iter().enumerate() {
            // SAFETY: cells of the page, for the one CPU that is starting.
            unsafe { cells.add(cell).write_volatile(value) };
        }
        send(number, 0x4500);
        pause();
        send(number, 0x4600 | (TRAMPOLINE >> 12) as u32);
        pause();
    }
}

/// Maps the first GiBs at their own address too, for the code of this loader.
fn lend_identity(tables: &Tables) {
    let own: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr3", out(reg) own, options(nostack, nomem)) };
    // SAFETY: both are roots, identity-mapped; nothing else changes them.
    unsafe { *(tables.root() as *mut u64) = *((own & !0xfff) as *const u64) };
}

/// Enters the kernel.
pub fn enter(entry: u64, tables: &Tables, stack: u64) -> ! {
    // SAFETY: the tables map this code, the stack and the kernel.
    unsafe {
        asm!(
            "cli",
            "mov cr3, {root}",
            "mov rsp, {stack}",
            "xor ebp, ebp",
            "push 0",
            "jmp {entry}",
            root = in(reg) tables.root(),
            stack = in(reg) DIRECT_MAP + stack,
            entry = in(reg) entry,
            options(noreturn),
        )
    }
}
