//! The ways in: the PVH door's 32-bit stub with the boot page tables, Limine's door, and the hand-over to `crate::start`.
//!
//! PVH (Xen's direct boot, which `qemu -kernel` uses) enters in 32-bit protected mode without paging, `ebx` pointing to
//! `hvm_start_info`. The stub maps the first 4 GiB three times (at 0, in the direct map and, the first GiB, where the
//! kernel is linked), enters long mode and calls [`pvh`].
//!
//! Limine enters the ELF's entry point in long mode, on tables of its own that map RAM somewhere and the kernel where it is
//! linked; a stub takes the boot stack and calls [`limine`].
//!
//! Both read what their door says and go to [`finish`], which builds the kernel's own page tables from the first free RAM.

use super::{cpu, irq, lapic, paging, smp, syscall, timer, trap};
use crate::arch::symbols;
use crate::boot::regions::RegionList;
use crate::boot::{BootInfo, Door, MAX_REGIONS, Region, limine as protocol};
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};
use limine::request::RsdpRequest;

global_asm!(
    r#"
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .balign 4
    .long pvh_start - 0xffffffff80000000

    .section .bss.boot_tables, "aw", @nobits
    .balign 4096
    .global boot_pml4
    boot_pml4: .skip 4096
    .global boot_pdpt_low
    boot_pdpt_low: .skip 4096
    boot_pdpt_high: .skip 4096
    boot_pds: .skip 4 * 4096

    .section .data.boot_gdt, "aw"
    .balign 16
    boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff
    .quad 0x00cf92000000ffff
    boot_gdt_end:
    boot_gdt_pointer:
    .word boot_gdt_end - boot_gdt - 1
    .quad boot_gdt - 0xffffffff80000000

    .text
    .code32
    pvh_start:
    cld
    mov esi, ebx

    // Four page directories of 2 MiB pages: 0 to 4 GiB.
    mov edi, offset boot_pds - 0xffffffff80000000
    mov eax, 0x83
    mov ecx, 2048
    2:
    mov [edi], eax
    mov dword ptr [edi + 4], 0
    add eax, 0x200000
    add edi, 8
    dec ecx
    jnz 2b

    mov edi, offset boot_pdpt_low - 0xffffffff80000000
    mov eax, offset boot_pds - 0xffffffff80000000 + 3
    mov ecx, 4
    3:
    mov [edi], eax
    add eax, 4096
    add edi, 8
    dec ecx
    jnz 3b

    mov eax, offset boot_pds - 0xffffffff80000000 + 3
    mov edi, offset boot_pdpt_high - 0xffffffff80000000
    mov [edi + 510 * 8], eax

    mov edi, offset boot_pml4 - 0xffffffff80000000
    mov eax, offset boot_pdpt_low - 0xffffffff80000000 + 3
    mov [edi], eax
    mov [edi + 273 * 8], eax
    mov eax, offset boot_pdpt_high - 0xffffffff80000000 + 3
    mov [edi + 511 * 8], eax

    mov cr3, edi
    mov eax, cr4
    or eax, 0x20
    mov cr4, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x901
    wrmsr
    mov eax, cr0
    or eax, 0x80010001
    mov cr0, eax
    lgdt [boot_gdt_pointer - 0xffffffff80000000]
    ljmp 8, offset pvh_long - 0xffffffff80000000

    .code64
    pvh_long:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    lea rsp, [rip + {boot_stack}]
    mov rax, offset pvh_high
    jmp rax
    pvh_high:
    mov rsp, offset {boot_stack} + {boot_stack_size}
    mov edi, esi
    xor ebp, ebp
    call {pvh}
    ud2

    // Limine's stack is in its own direct map, which is about to go.
    .global limine_start
    limine_start:
    mov rsp, offset {boot_stack} + {boot_stack_size}
    xor ebp, ebp
    call {limine}
    ud2
"#,
    boot_stack = sym BOOT_STACK,
    boot_stack_size = const BOOT_STACK_SIZE,
    pvh = sym pvh,
    limine = sym limine,
);

const BOOT_STACK_SIZE: usize = 64 * 1024;

/// The stack of the boot path, later CPU 0's idle stack. Its lowest page is unmapped by the final page tables.
#[repr(C, align(4096))]
struct BootStack(UnsafeCell<[u8; BOOT_STACK_SIZE]>);
// SAFETY: only the boot path runs on it; nothing else touches it.
unsafe impl Sync for BootStack {}
static BOOT_STACK: BootStack = BootStack(UnsafeCell::new([0; BOOT_STACK_SIZE]));

/// The address of the page below the boot stack's usable part.
pub(in crate::arch) fn boot_stack_guard() -> usize {
    BOOT_STACK.0.get() as usize
}

const COMMAND_LINE_MAX: usize = 4096;

/// What a door fills in before anything else runs; read-only from [`finish`] on.
struct BootCell {
    info: UnsafeCell<BootInfo>,
    command_line: UnsafeCell<[u8; COMMAND_LINE_MAX]>,
}
// SAFETY: written by the one boot path before any other code runs, only read after.
unsafe impl Sync for BootCell {}

static BOOT: BootCell = BootCell {
    info: UnsafeCell::new(BootInfo {
        door: Door::Pvh,
        regions: [Region { start: 0, end: 0 }; MAX_REGIONS],
        region_count: 0,
        command_line: "",
        initramfs: &[],
        rsdp: None,
        device_tree: None,
    }),
    command_line: UnsafeCell::new([0; COMMAND_LINE_MAX]),
};

#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    _reserved: u32,
}

#[repr(C)]
struct Module {
    start: u64,
    size: u64,
    command_line: u64,
    _reserved: u64,
}

#[repr(C)]
struct MemoryMapEntry {
    start: u64,
    size: u64,
    kind: u32,
    _reserved: u32,
}

const MEMORY_MAP_RAM: u32 = 1;

/// The PVH door, in long mode on the boot tables.
extern "C" fn pvh(start_info: usize) -> ! {
    crate::driver::serial::init();
    // SAFETY: the hypervisor's structures lie in RAM below 4 GiB, which the boot tables map at the direct map; they are
    // read before any frame is handed out. This is the one boot path, so the cells have no other user.
    let info = unsafe { &mut *BOOT.info.get() };
    // The loader need not align what it leaves: microvm's list of modules begins at an odd address.
    // SAFETY: as above.
    let start = unsafe { (crate::mm::direct(start_info as u64) as *const StartInfo).read_unaligned() };
    let entries = crate::mm::direct(start.memory_map) as *const MemoryMapEntry;
    // SAFETY: as above; the count is the list's.
    let entries = (0..start.memory_map_entries as usize).map(|at| unsafe { entries.add(at).read_unaligned() });
    let module = (start.module_count > 0).then(|| {
        // SAFETY: as above.
        unsafe { (crate::mm::direct(start.modules) as *const Module).read_unaligned() }
    });
    if start.command_line != 0 {
        // SAFETY: as above; the string ends in a NUL.
        let line = unsafe { CStr::from_ptr(crate::mm::direct(start.command_line) as *const c_char) };
        info.command_line = keep(line.to_bytes());
    }
    info.door = Door::Pvh;
    info.rsdp = (start.rsdp != 0).then_some(start.rsdp);

    let mut map = RegionList::new();
    for entry in entries.filter(|entry| entry.kind == MEMORY_MAP_RAM) {
        map.add(entry.start, entry.start + entry.size);
    }
    let ram_end = map.extent().end;
    // The first MiB has the firmware's tables, and the page other CPUs start in.
    map.remove(0, 0x10_0000);
    let (kernel_start, kernel_end) = kernel_physical();
    map.remove(kernel_start, kernel_end);
    if let Some(module) = module {
        map.remove(module.start, module.start + module.size);
        // SAFETY: the archive stays where it is: its RAM was just taken out of the map.
        info.initramfs =
            unsafe { core::slice::from_raw_parts(crate::mm::direct(module.start) as *const u8, module.size as usize) };
    }
    finish(info, map, kernel_start, ram_end)
}

/// Copies the command line to where it can stay; what is too long is cut off.
fn keep(line: &[u8]) -> &'static str {
    // SAFETY: this is the one boot path, and calls this once.
    let kept = unsafe { &mut *BOOT.command_line.get() };
    let len = line.len().min(COMMAND_LINE_MAX);
    kept[..len].copy_from_slice(&line[..len]);
    core::str::from_utf8(&kept[..len]).unwrap_or("")
}

#[used]
static RSDP: RsdpRequest = RsdpRequest::new();

/// Limine's door, in long mode on Limine's tables.
extern "C" fn limine() -> ! {
    crate::driver::serial::init();
    let Some(answers) = protocol::answers() else {
        crate::driver::serial::write(b"Vigil needs Limine 8 or later\n");
        irq::halt();
    };
    let physical = |of: *const u8| answers.kernel + (of as u64 - &raw const symbols::__kernel_start as u64);
    if !paging::borrow_direct_map(answers.direct_map, &raw const boot_pdpt_low, physical) {
        crate::driver::serial::write(b"Limine's direct map is in the way; set `randomise_hhdm_base: no`\n");
        irq::halt();
    }
    // SAFETY: this is the one boot path, so the cell has no other user.
    let info = unsafe { &mut *BOOT.info.get() };
    info.door = Door::Limine;
    info.command_line = keep(answers.command_line.as_bytes());
    info.rsdp = RSDP.response().map(|rsdp| answers.physical(rsdp.address as usize));
    let archive = answers.initramfs;
    // SAFETY: modules are no free RAM, so the archive stays where it is.
    info.initramfs = unsafe {
        core::slice::from_raw_parts(
            crate::mm::direct(archive.start) as *const u8,
            (archive.end - archive.start) as usize,
        )
    };
    smp::waiting(&answers.processors[..answers.processor_count]);
    let mut map = answers.free;
    // As with PVH.
    map.remove(0, 0x10_0000);
    finish(info, map, answers.kernel, answers.ram.end)
}

unsafe extern "C" {
    static boot_pdpt_low: u8;
}

/// The kernel's place in RAM when it was loaded by PVH.
fn kernel_physical() -> (u64, u64) {
    let start = (&raw const symbols::__kernel_start) as u64 - KERNEL_OFFSET;
    let end = (&raw const symbols::__kernel_end) as u64 - KERNEL_OFFSET;
    (start, end)
}

pub(super) const KERNEL_OFFSET: u64 = 0xffff_ffff_8000_0000;

/// Where every door ends: own page tables, this CPU's block, then the kernel. `kernel` is where it lies in RAM.
pub fn finish(info: &'static mut BootInfo, mut map: RegionList, kernel: u64, ram_end: u64) -> ! {
    let mut bump = paging::Bump::new(map.as_slice());
    paging::build_kernel_tables(&mut bump, kernel, ram_end);
    bump.take_from(map.as_mut_slice());
    (info.regions, info.region_count) = map.into_parts();
    cpu::init_block(0);
    trap::init_cpu(0);
    crate::mm::init_frames(info);
    lapic::map();
    init_cpu();
    timer::init();
    irq::init(info);
    // SAFETY: the first CPU's way, before there are others and programs.
    unsafe { crate::arch::fixups::sort() };
    crate::start(info)
}

/// What every CPU does once its tables and its block are there.
pub(super) fn init_cpu() {
    syscall::init_cpu();
    cpu::init_features();
}
