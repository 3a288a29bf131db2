//! The ways in: the arm64 Image door with the boot page tables, Limine's door, and the hand-over to `crate::start`.
//!
//! QEMU (like any boot loader for arm64 Linux) puts the flat image somewhere in RAM and enters its first instruction
//! with the MMU off, at EL1 or EL2, `x0` pointing to the device tree. The stub goes down to EL1, maps everything twice
//! (at its own address, for the moment the MMU goes on, and in the direct map) and the kernel where it is linked, turns
//! the MMU on and calls [`image`]. That reads the device tree.
//!
//! Limine enters the ELF's entry point with the MMU on, on tables of its own that map RAM somewhere and the kernel where it
//! is linked; a stub takes the boot stack and calls [`limine`]. Its memory attributes and table format are not ours, so the
//! MMU goes off once in between, the way the other CPUs come in (`smp`).
//!
//! Both doors end in [`finish`].

use super::{cpu, gic, irq, paging, psci, smp, timer, trap};
use crate::arch::symbols;
use crate::boot::regions::RegionList;
use crate::boot::{BootInfo, Door, MAX_REGIONS, Region, limine as protocol};
use crate::driver::serial;
use crate::mm::direct;
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::ops::Range;
use fdt::Fdt;
use limine::request::DtbRequest;

/// Memory attributes: index 0 is ordinary write-back memory, index 1 device registers (nGnRE).
pub(super) const MAIR: u64 = 0x04ff;

/// 48-bit addresses on both sides, 4 KiB pages, tables cached and inner shareable. The physical size is added by the stub.
const TCR: u64 = TCR_USER | 16 << 16 | (1 << 24 | 1 << 26 | 3 << 28) | 2 << 30;
pub(super) const TCR_USER: u64 = 16 | 1 << 8 | 1 << 10 | 3 << 12;

/// The bits that are 1 on CPUs without the extension they belong to, MMU, caches, stack alignment checks, and for user
/// code: cache maintenance, the cache type register, DC ZVA, WFI and WFE.
const SCTLR: u64 = 1 << 29
    | 1 << 28
    | 1 << 23
    | 1 << 22
    | 1 << 20
    | 1 << 11
    | 1 << 26
    | 1 << 18
    | 1 << 16
    | 1 << 15
    | 1 << 14
    | 1 << 12
    | 1 << 4
    | 1 << 3
    | 1 << 2
    | 1;

/// The same without MMU and caches.
pub(super) const SCTLR_OFF: u64 = SCTLR & !(1 | 1 << 2 | 1 << 12);

global_asm!(
    r#"
    .section .text.image_header, "ax"
    .global image_header
    image_header:
    b image_entry
    .long 0
    .quad 0                 // where in a 2 MiB block: at its start
    .quad __image_size
    .quad 0xa               // little endian, 4 KiB pages, anywhere in RAM
    .quad 0
    .quad 0
    .quad 0
    .ascii "ARM\x64"
    .long 0

    .text
    image_entry:
    mov x20, x0
    bl down_to_el1
    // The bss is not part of the image, so nobody has cleared it.
    adrp x0, __bss_start
    adrp x1, __kernel_end
    1:
    stp xzr, xzr, [x0], #16
    cmp x0, x1
    b.lo 1b

    // x19: where the image is. Level 1 of the identity and direct maps: 1 GiB blocks, the first for devices.
    adrp x19, image_header
    adrp x0, boot_level1
    mov x1, #0x405          // block, attribute 1, accessed
    orr x1, x1, #(1 << 53)
    orr x1, x1, #(1 << 54)
    str x1, [x0]
    mov x2, #1
    mov x3, #0x701          // block, attribute 0, inner shareable, accessed
    2:
    lsl x4, x2, #30
    orr x4, x4, x3
    str x4, [x0, x2, lsl #3]
    add x2, x2, #1
    cmp x2, #512
    b.lo 2b
    // Roots: user half (identity), kernel half (direct map at its start, the kernel at its end).
    adrp x1, boot_identity
    orr x2, x0, #3
    str x2, [x1]
    adrp x1, boot_root
    str x2, [x1]
    adrp x2, boot_kernel_level1
    orr x3, x2, #3
    str x3, [x1, #511 * 8]
    adrp x3, boot_kernel_level2
    orr x4, x3, #3
    str x4, [x2, #510 * 8]
    // The kernel: 2 MiB blocks from entry 1 on, as many as it may need.
    mov x4, #1
    mov x5, x19
    mov x6, #0x701
    3:
    orr x7, x5, x6
    str x7, [x3, x4, lsl #3]
    add x5, x5, #0x200000
    add x4, x4, #1
    cmp x4, #64
    b.lo 3b

    adrp x0, boot_root
    bl mmu_on
    ldr x0, =image_high
    br x0
    image_high:
    ldr x0, ={boot_stack}
    add x0, x0, #{boot_stack_size}
    mov sp, x0
    mov x29, xzr
    mov x30, xzr
    mov x0, x20
    mov x1, x19
    bl {image}
    brk #0

    // Limine's stack is in its own direct map, which is about to go.
    .global limine_start
    limine_start:
    msr daifset, #15
    msr spsel, #1
    ldr x0, ={boot_stack}
    add x0, x0, #{boot_stack_size}
    mov sp, x0
    mov x29, xzr
    mov x30, xzr
    bl {limine}
    brk #0

    // Leaves EL2 if that is where we are; returns at EL1 with interrupts masked.
    .global down_to_el1
    down_to_el1:
    msr daifset, #15
    mrs x1, currentel
    cmp x1, #8
    b.ne 4f
    mov x1, #(1 << 31)      // EL1 is 64-bit
    msr hcr_el2, x1
    isb
    mov x1, #3              // its counters are its own
    msr cnthctl_el2, x1
    msr cntvoff_el2, xzr
    mov x1, #0x33ff         // no traps of FP/SIMD
    msr cptr_el2, x1
    msr hstr_el2, xzr
    mrs x1, id_aa64pfr0_el1
    ubfx x1, x1, #24, #4
    cbz x1, 5f
    mov x1, #9              // GICv3: its system registers are EL1's too
    msr s3_4_c12_c9_5, x1
    isb
    5:
    ldr x1, ={sctlr_off}
    msr sctlr_el1, x1
    mov x1, #0x3c5          // EL1 with its own stack pointer, interrupts masked
    msr spsr_el2, x1
    msr elr_el2, x30
    eret
    4:
    ret

    // x0: the kernel half's root. The user half is the identity map for now.
    .global mmu_on
    mmu_on:
    ldr x1, ={mair}
    msr mair_el1, x1
    ldr x1, ={tcr}
    mrs x2, id_aa64mmfr0_el1
    and x2, x2, #15
    mov x3, #5              // 48 bits of physical address are all that 4 KiB pages reach
    cmp x2, x3
    csel x2, x2, x3, lo
    orr x1, x1, x2, lsl #32
    msr tcr_el1, x1
    adrp x1, boot_identity
    msr ttbr0_el1, x1
    msr ttbr1_el1, x0
    dsb sy
    tlbi vmalle1
    ic iallu
    dsb sy
    isb
    ldr x1, ={sctlr}
    msr sctlr_el1, x1
    isb
    ret

    .ltorg

    .section .bss.boot_tables, "aw", @nobits
    .balign 4096
    .global boot_level1
    boot_level1: .skip 4096
    .global boot_identity
    boot_identity: .skip 4096
    boot_root: .skip 4096
    boot_kernel_level1: .skip 4096
    boot_kernel_level2: .skip 4096
    .text
"#,
    boot_stack = sym BOOT_STACK,
    boot_stack_size = const BOOT_STACK_SIZE,
    image = sym image,
    limine = sym limine,
    mair = const MAIR,
    tcr = const TCR,
    sctlr = const SCTLR,
    sctlr_off = const SCTLR_OFF,
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

/// What a door fills in before anything else runs; read-only from [`finish`] on.
struct BootCell(UnsafeCell<BootInfo>);
// SAFETY: written by the one boot path before any other code runs, only read after.
unsafe impl Sync for BootCell {}

static BOOT: BootCell = BootCell(UnsafeCell::new(BootInfo {
    door: Door::Image,
    regions: [Region { start: 0, end: 0 }; MAX_REGIONS],
    region_count: 0,
    command_line: "",
    initramfs: &[],
    rsdp: None,
    device_tree: None,
}));

/// The UART of QEMU's `virt`, for messages before the device tree has been read.
const EARLY_UART: u64 = 0x0900_0000;

/// A number in a property of one or two cells.
fn cells(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The Image door, with the MMU on: the device tree's and the image's physical addresses.
extern "C" fn image(device_tree: u64, kernel: u64) -> ! {
    serial::init(direct(EARLY_UART), 0);
    // SAFETY: the boot protocol gives a device tree in RAM, which the boot tables map; it is reserved below and never
    // written.
    let tree = unsafe { Fdt::from_ptr(direct(device_tree) as *const u8) }.expect("no device tree");
    // SAFETY: as above.
    let tree_bytes = unsafe { core::slice::from_raw_parts(direct(device_tree) as *const u8, tree.total_size()) };
    // SAFETY: this is the one boot path, so the cell has no other user.
    let info = unsafe { &mut *BOOT.0.get() };
    info.device_tree = Some(tree_bytes);

    let mut map = RegionList::new();
    for region in tree.memory().regions() {
        let start = region.starting_address as u64;
        map.add(start, start + region.size.unwrap_or(0) as u64);
    }
    let ram = map.extent();
    let size = &raw const symbols::__kernel_end as u64 - &raw const symbols::__kernel_start as u64;
    map.remove(kernel, kernel + size);
    map.remove(device_tree, device_tree + tree_bytes.len() as u64);
    for reservation in tree.memory_reservations() {
        let start = reservation.address() as u64;
        map.remove(start, start + reservation.size() as u64);
    }
    if let Some(chosen) = tree.find_node("/chosen") {
        if let Some(line) = chosen.property("bootargs").and_then(|property| property.as_str()) {
            info.command_line = line.trim_end_matches('\0');
        }
        let cell = |name| chosen.property(name).map(|property| cells(property.value));
        if let (Some(start), Some(end)) = (cell("linux,initrd-start"), cell("linux,initrd-end")) {
            map.remove(start, end);
            // SAFETY: the archive stays where it is: its RAM was just taken out of the map.
            info.initramfs = unsafe { core::slice::from_raw_parts(direct(start) as *const u8, (end - start) as usize) };
        }
    }
    build(info, map, kernel, ram);
    paging::enter_kernel_tables();
    finish(0)
}

#[used]
static DEVICE_TREE: DtbRequest = DtbRequest::new();

/// Limine's door, on Limine's tables. Without an answer there is no console to complain on yet.
extern "C" fn limine() -> ! {
    let Some(answers) = protocol::answers() else {
        irq::halt();
    };
    let physical = |of: *const u8| answers.kernel + (of as u64 - &raw const symbols::__kernel_start as u64);
    if !paging::borrow_direct_map(answers.direct_map, physical) {
        irq::halt();
    }
    // SAFETY: this is the one boot path, so the cell has no other user.
    let info = unsafe { &mut *BOOT.0.get() };
    info.door = Door::Limine;
    info.command_line = keep(answers.command_line.as_bytes());
    let archive = &answers.initramfs;
    // SAFETY: modules are no free RAM, so the archive stays where it is.
    info.initramfs = unsafe {
        core::slice::from_raw_parts(
            direct(archive.start) as *const u8,
            (archive.end - archive.start) as usize,
        )
    };
    if let Some(answer) = DEVICE_TREE.response() {
        let tree = direct(answers.physical(answer.dtb_ptr as usize)) as *const u8;
        // SAFETY: as in `image`.
        info.device_tree = unsafe { Fdt::from_ptr(tree) }
            .ok()
            // SAFETY: as in `image`.
            .map(|found| unsafe { core::slice::from_raw_parts(tree, found.total_size()) });
    }
    smp::waiting(&answers.processors[..answers.processor_count]);
    build(info, answers.free, answers.kernel, answers.ram);
    smp::leave_limine(&raw const BOOT_STACK as usize + BOOT_STACK_SIZE, landed)
}

/// Limine's door continues on the kernel's own tables.
extern "C" fn landed(cpu: usize) -> ! {
    serial::init(direct(EARLY_UART), 0);
    finish(cpu)
}

/// Copies the command line to where it can stay; what is too long is cut off.
fn keep(line: &[u8]) -> &'static str {
    const MAX: usize = 4096;
    struct Line(UnsafeCell<[u8; MAX]>);
    // SAFETY: written by the one boot path, only read after.
    unsafe impl Sync for Line {}
    static LINE: Line = Line(UnsafeCell::new([0; MAX]));
    // SAFETY: as above; this is called once.
    let kept = unsafe { &mut *LINE.0.get() };
    let len = line.len().min(MAX);
    kept[..len].copy_from_slice(&line[..len]);
    core::str::from_utf8(&kept[..len]).unwrap_or("")
}

/// Builds the kernel's own tables. `kernel` is where it lies in RAM, `ram` all of RAM.
fn build(info: &mut BootInfo, mut map: RegionList, kernel: u64, ram: Range<u64>) {
    let mut bump = paging::Bump::new(map.as_slice());
    paging::build_kernel_tables(&mut bump, kernel, ram);
    bump.take_from(map.as_mut_slice());
    (info.regions, info.region_count) = map.into_parts();
}

/// Where every door ends, on the kernel's own tables: this CPU's block, the devices everything needs, then the kernel.
fn finish(_cpu: usize) -> ! {
    // SAFETY: the door is through with it, and nobody else has had it yet.
    let info: &'static BootInfo = unsafe { &*BOOT.0.get() };
    cpu::init_block(0);
    trap::init_cpu();
    crate::mm::init_frames(info);
    let tree = info
        .device_tree
        .and_then(|bytes| Fdt::new(bytes).ok())
        .expect("no device tree: start the machine with `-machine virt,acpi=off`");
    find_uart(&tree);
    gic::init(&tree);
    psci::init(&tree);
    smp::init(&tree);
    timer::init(&tree);
    init_cpu();
    // SAFETY: the first CPU's way, before there are others and programs.
    unsafe { crate::arch::fixups::sort() };
    crate::start(info)
}

/// What every CPU does once its tables and its block are there.
pub(super) fn init_cpu() {
    cpu::init_features();
    gic::init_cpu();
    timer::init_cpu();
}

/// Number of the interrupt in a node's first `interrupts` entry: 32 up for shared ones, 16 for private ones.
pub(super) fn interrupt(property: &[u8]) -> u32 {
    let cell = |at: usize| property.get(at * 4..at * 4 + 4).map_or(0, cells) as u32;
    cell(1) + if cell(0) == 0 { 32 } else { 16 }
}

fn find_uart(tree: &Fdt) {
    let Some(node) = tree.find_compatible(&["arm,pl011"]) else {
        return;
    };
    let Some(region) = node.reg().and_then(|mut regions| regions.next()) else {
        return;
    };
    let line = node
        .property("interrupts")
        .map_or(0, |property| interrupt(property.value));
    serial::init(
        paging::map_device(region.starting_address as u64, region.size.unwrap_or(4096)),
        line,
    );
}
