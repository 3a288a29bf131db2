//! The interrupt controller, GICv2 and GICv3: enabling lines, taking interrupts, interrupting other CPUs.

use super::{cpu, irq, paging, timer};
use crate::arch::MAX_CPUS;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use fdt::Fdt;

// Distributor.
const CONTROL: usize = 0x000;
const TYPE: usize = 0x004;
const GROUP: usize = 0x080;
const SET_ENABLE: usize = 0x100;
const PRIORITY: usize = 0x400;
const TARGETS: usize = 0x800;
const SOFTWARE: usize = 0xf00;
const ROUTING: usize = 0x6000;

// GICv2 CPU interface.
const CPU_CONTROL: usize = 0x00;
const CPU_PRIORITY_MASK: usize = 0x04;
const CPU_ACKNOWLEDGE: usize = 0x0c;
const CPU_END: usize = 0x10;

// GICv3 redistributor.
const REDISTRIBUTOR_TYPE: usize = 0x08;
const REDISTRIBUTOR_WAKER: usize = 0x14;
const REDISTRIBUTOR_STRIDE: usize = 0x2_0000;
/// The frame for interrupts 0 to 31 follows the first.
const REDISTRIBUTOR_PRIVATE: usize = 0x1_0000;

pub(super) const SGI_RESCHEDULE: u32 = 0;
pub(super) const SGI_SHOOTDOWN: u32 = 1;
pub(super) const SGI_STOP: u32 = 2;

const FIRST_SHARED: u32 = 32;
/// Numbers from here on are no interrupts.
const SPECIAL: u32 = 1020;
const PRIORITY_NORMAL: u8 = 0xa0;

static DISTRIBUTOR: AtomicUsize = AtomicUsize::new(0);
/// GICv2's CPU interface, GICv3's redistributors.
static INTERFACE: AtomicUsize = AtomicUsize::new(0);
static INTERFACE_LEN: AtomicUsize = AtomicUsize::new(0);
static IS_V3: AtomicBool = AtomicBool::new(false);
/// How each CPU is named to interrupt it: GICv2's number, GICv3's affinity.
static NAMES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// Each CPU's GICv3 redistributor.
static REDISTRIBUTORS: [AtomicUsize; MAX_CPUS] = [const { AtomicUsize::new(0) }; MAX_CPUS];

fn register(base: usize, offset: usize) -> &'static AtomicU32 {
    // SAFETY: registers of the controller, mapped by `init` for ever; 32 bits wide.
    unsafe { &*((base + offset) as *const AtomicU32) }
}

fn distributor(offset: usize) -> &'static AtomicU32 {
    register(DISTRIBUTOR.load(Ordering::Relaxed), offset)
}

fn interface(offset: usize) -> &'static AtomicU32 {
    register(INTERFACE.load(Ordering::Relaxed), offset)
}

fn is_v3() -> bool {
    IS_V3.load(Ordering::Relaxed)
}

/// Finds the controller in the device tree, and sets its distributor up.
pub(super) fn init(tree: &Fdt) {
    let v3 = tree.find_compatible(&["arm,gic-v3"]);
    let Some(node) = v3.or_else(|| tree.find_compatible(&["arm,cortex-a15-gic", "arm,gic-400"])) else {
        panic!("the machine has no interrupt controller that Vigil knows (GICv2, GICv3)");
    };
    let mut regions = node.reg().into_iter().flatten();
    let mut map = || {
        let region = regions.next().expect("the interrupt controller has registers");
        let len = region.size.unwrap_or(4096).min(MAX_CPUS * REDISTRIBUTOR_STRIDE);
        (paging::map_device(region.starting_address as u64, len), len)
    };
    DISTRIBUTOR.store(map().0, Ordering::Relaxed);
    let (interface, len) = map();
    INTERFACE.store(interface, Ordering::Relaxed);
    INTERFACE_LEN.store(len, Ordering::Relaxed);
    IS_V3.store(v3.is_some(), Ordering::Relaxed);

    const GROUPS_WITH_ROUTING: u32 = 1 << 4 | 2 | 1;
    distributor(CONTROL).store(0, Ordering::Relaxed);
    let lines = ((distributor(TYPE).load(Ordering::Relaxed) & 31) + 1) * 32;
    if is_v3() {
        for word in 1..lines as usize / 32 {
            distributor(GROUP + word * 4).store(u32::MAX, Ordering::Relaxed);
        }
    }
    distributor(CONTROL).store(if is_v3() { GROUPS_WITH_ROUTING } else { 1 }, Ordering::Relaxed);
}

/// Sets up this CPU's side.
pub(super) fn init_cpu() {
    if is_v3() {
        init_cpu_v3();
        return;
    }
    // The distributor's target bytes of a private interrupt name the CPU that reads them.
    let name = distributor(TARGETS).load(Ordering::Relaxed) & 0xff;
    NAMES[cpu::id()].store(name.into(), Ordering::Relaxed);
    interface(CPU_PRIORITY_MASK).store(0xff, Ordering::Relaxed);
    interface(CPU_CONTROL).store(1, Ordering::Relaxed);
    for sgi in [SGI_RESCHEDULE, SGI_SHOOTDOWN, SGI_STOP] {
        enable(sgi);
    }
}

fn init_cpu_v3() {
    const LAST: u64 = 1 << 4;
    const PROCESSOR_SLEEP: u32 = 2;
    const CHILDREN_ASLEEP: u32 = 4;
    let affinity = cpu::affinity();
    let packed = affinity & 0xff_ffff | (affinity >> 32) << 24;
    let mut base = INTERFACE.load(Ordering::Relaxed);
    let end = base + INTERFACE_LEN.load(Ordering::Relaxed);
    while base < end {
        // SAFETY: a redistributor's type register, 64 bits.
        let kind = unsafe { (*((base + REDISTRIBUTOR_TYPE) as *const AtomicU64)).load(Ordering::Relaxed) };
        if kind >> 32 == packed {
            break;
        }
        assert!(kind & LAST == 0, "no redistributor for CPU {affinity:#x}");
        base += REDISTRIBUTOR_STRIDE;
    }
    REDISTRIBUTORS[cpu::id()].store(base, Ordering::Relaxed);
    NAMES[cpu::id()].store(affinity, Ordering::Relaxed);
    let waker = register(base, REDISTRIBUTOR_WAKER);
    waker.store(waker.load(Ordering::Relaxed) & !PROCESSOR_SLEEP, Ordering::Relaxed);
    while waker.load(Ordering::Relaxed) & CHILDREN_ASLEEP != 0 {
        core::hint::spin_loop();
    }
    register(base, REDISTRIBUTOR_PRIVATE + GROUP).store(u32::MAX, Ordering::Relaxed);
    // SAFETY: ICC_SRE, ICC_PMR, ICC_IGRPEN1: system registers on, all priorities, group 1 on.
    unsafe {
        asm!(
            "msr s3_0_c12_c12_5, {sre}", "isb",
            "msr s3_0_c4_c6_0, {mask}",
            "msr s3_0_c12_c12_7, {group}", "isb",
            sre = in(reg) 7u64, mask = in(reg) 0xffu64, group = in(reg) 1u64, options(nostack),
        );
    }
    for sgi in [SGI_RESCHEDULE, SGI_SHOOTDOWN, SGI_STOP] {
        enable(sgi);
    }
}

/// Where an interrupt's bit and priority are: shared ones in the distributor, private ones of GICv3 with the CPU.
fn bank(number: u32) -> usize {
    if is_v3() && number < FIRST_SHARED {
        REDISTRIBUTORS[cpu::id()].load(Ordering::Relaxed) + REDISTRIBUTOR_PRIVATE
    } else {
        DISTRIBUTOR.load(Ordering::Relaxed)
    }
}

/// Lets an interrupt through: a shared one to this CPU.
pub(super) fn enable(number: u32) {
    let base = bank(number);
    let byte = |offset: usize, value: u8| {
        // SAFETY: priorities and targets are accessible by bytes.
        unsafe { ((base + offset + number as usize) as *mut u8).write_volatile(value) };
    };
    byte(PRIORITY, PRIORITY_NORMAL);
    if number >= FIRST_SHARED {
        let name = NAMES[cpu::id()].load(Ordering::Relaxed);
        if is_v3() {
            // SAFETY: a routing register, 64 bits.
            unsafe { ((base + ROUTING + 8 * number as usize) as *mut u64).write_volatile(name) };
        } else {
            byte(TARGETS, name as u8);
        }
    }
    register(base, SET_ENABLE + number as usize / 32 * 4).store(1 << (number % 32), Ordering::Relaxed);
}

/// Interrupts another CPU. What was written before is visible to its handler.
pub(super) fn send(cpu: usize, sgi: u32) {
    let name = NAMES[cpu].load(Ordering::Relaxed);
    // SAFETY: a barrier; for GICv3 ICC_SGI1R, which names the CPU by its affinity.
    unsafe {
        asm!("dsb ishst", options(nostack));
        if is_v3() {
            let value = (name >> 32 & 0xff) << 48 | (name >> 16 & 0xff) << 32 | (name >> 8 & 0xff) << 16;
            let value = value | u64::from(sgi) << 24 | 1 << (name & 15);
            asm!("msr s3_0_c12_c11_5, {}", "isb", in(reg) value, options(nostack));
            return;
        }
    }
    distributor(SOFTWARE).store((name as u32) << 16 | sgi, Ordering::Relaxed);
}

fn acknowledge() -> u32 {
    if !is_v3() {
        return interface(CPU_ACKNOWLEDGE).load(Ordering::Relaxed);
    }
    let value: u64;
    // SAFETY: ICC_IAR1.
    unsafe { asm!("mrs {}, s3_0_c12_c12_0", "dsb sy", out(reg) value, options(nostack)) };
    value as u32
}

fn end(acknowledged: u32) {
    if !is_v3() {
        interface(CPU_END).store(acknowledged, Ordering::Relaxed);
        return;
    }
    // SAFETY: ICC_EOIR1.
    unsafe { asm!("msr s3_0_c12_c12_1, {}", "isb", in(reg) u64::from(acknowledged), options(nostack)) };
}

/// Takes the interrupts that wait, on top of user code or of idle.
pub(super) fn interrupt() {
    loop {
        let acknowledged = acknowledge();
        // GICv2 has the sender's number above the interrupt's.
        let number = acknowledged & if is_v3() { 0xff_ffff } else { 0x3ff };
        if number >= SPECIAL {
            return;
        }
        if number == timer::line() {
            timer::interrupt();
            end(acknowledged);
            continue;
        }
        if number >= FIRST_SHARED {
            // The device's line stays up until its handler has seen to it.
            irq::device(number);
            end(acknowledged);
            continue;
        }
        end(acknowledged);
        match number {
            SGI_RESCHEDULE => crate::trap::reschedule(),
            SGI_SHOOTDOWN => crate::trap::shootdown(),
            SGI_STOP => irq::halt(),
            _ => {}
        }
    }
}
