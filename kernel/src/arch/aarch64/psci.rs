//! PSCI: the firmware's calls to start a CPU and to turn the machine off.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use fdt::Fdt;

const CPU_ON: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;

/// Whether the firmware is called by `smc` (it is, where we came down from EL2) or by `hvc`.
static BY_SMC: AtomicBool = AtomicBool::new(false);

pub(super) fn init(tree: &Fdt) {
    let method = tree
        .find_node("/psci")
        .and_then(|node| node.property("method")?.as_str());
    BY_SMC.store(method == Some("smc"), Ordering::Relaxed);
}

fn call(function: u64, arguments: [u64; 3]) -> i64 {
    let mut result = function;
    let [first, second, third] = arguments;
    // SAFETY: the calls below have no effect on this CPU's memory or registers but x0 to x3 (SMC calling convention 1.1;
    // 4 to 17 may change under 1.0).
    unsafe {
        if BY_SMC.load(Ordering::Relaxed) {
            asm!("smc #0", inout("x0") result, in("x1") first, in("x2") second, in("x3") third, clobber_abi("C"));
        } else {
            asm!("hvc #0", inout("x0") result, in("x1") first, in("x2") second, in("x3") third, clobber_abi("C"));
        }
    }
    result as i64
}

/// Starts the CPU with this affinity at a physical address, which gets `context` in x0. Whether the firmware agreed.
pub(super) fn start(affinity: u64, entry: u64, context: u64) -> bool {
    call(CPU_ON, [affinity, entry, context]) == 0
}

pub(super) fn system_off() {
    call(SYSTEM_OFF, [0; 3]);
}
