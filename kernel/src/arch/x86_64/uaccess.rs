//! Copies between kernel and user memory that recover from faults. The caller has checked that the range lies below
//! [`super::USER_END`]; a fault is first offered to `crate::trap::kernel_fault_on_user`, and ends the copy if that declines.

pub use crate::arch::fixups::Faults;
use crate::arch::fixups::fixup;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

/// Whether the CPUs forbid the kernel user pages (SMAP), so that a copy must lift that.
static SMAP: AtomicBool = AtomicBool::new(false);

pub(super) fn init(smap: bool) {
    SMAP.store(smap, Ordering::Relaxed);
}

/// [`SMAP`], looked at by two instructions: the compiler takes three to load an atomic and to test it.
#[inline(always)]
fn has_smap() -> bool {
    // SAFETY: reads a byte of ours, which is written before there are programs.
    unsafe {
        asm!(
            "cmp byte ptr [rip + {smap}], 0",
            "jne {on}",
            smap = sym SMAP,
            on = label { return true },
            options(nostack, readonly),
        );
    }
    false
}

/// Runs `f` with user pages open to the kernel: what the loads and stores of single words are made in.
#[inline]
pub fn with_user_pages<R>(f: impl FnOnce() -> R) -> R {
    let smap = has_smap();
    if smap {
        // SAFETY: the CPU has SMAP; the flag is dropped again below.
        unsafe { asm!("stac", options(nostack)) };
    }
    let result = f();
    if smap {
        // SAFETY: as above.
        unsafe { asm!("clac", options(nostack)) };
    }
    result
}

/// Copies eight bytes at a time, then the rest; the bytes NOT copied. Inline, so that nothing is saved that it does not touch.
///
/// # Safety
/// What of the two is not user memory is readable, or writable, for `len` bytes.
#[inline]
unsafe fn copy(to: usize, from: usize, len: usize) -> usize {
    with_user_pages(|| {
        let left;
        // SAFETY: kernel memory by the caller's promise; user memory recovers from faults.
        unsafe {
            asm!(
                "2: rep movsq",
                "mov ecx, {rest:e}",
                "3: rep movsb",
                "4:",
                ".pushsection .text.unlikely, \"ax\"",
                "5: lea rcx, [rcx * 8 + {rest}]",
                "jmp 4b",
                ".popsection",
                fixup!("2b", "5b"),
                fixup!("3b", "4b"),
                rest = in(reg) len % 8,
                inout("rcx") len / 8 => left,
                inout("rdi") to => _,
                inout("rsi") from => _,
                options(nostack, preserves_flags),
            );
        }
        left
    })
}

/// Copies to user memory; the bytes NOT copied.
///
/// # Safety
/// `source` is readable for `len` bytes.
#[inline]
pub unsafe fn copy_to_user(destination: usize, source: *const u8, len: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { copy(destination, source.expose_provenance(), len) }
}

/// Copies from user memory; the bytes NOT copied.
///
/// # Safety
/// `destination` is writable for `len` bytes.
#[inline]
pub unsafe fn copy_from_user(destination: *mut u8, source: usize, len: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { copy(destination.expose_provenance(), source, len) }
}

/// After an instruction at label 2: a fault of it sets `failed`, and the program goes on behind it all the same.
macro_rules! or_failed {
    () => {
        concat!(
            "3:\n.pushsection .text.unlikely, \"ax\"\n4: mov {failed:e}, 1\njmp 3b\n.popsection\n",
            fixup!("2b", "4b")
        )
    };
}

/// A load from user memory by one instruction, `AT` bytes behind an address, inside [`with_user_pages`]. What it gives means
/// nothing where `faults` has it.
macro_rules! load {
    ($name:ident, $integer:ty, $mov:literal, $width:literal) => {
        #[inline]
        pub fn $name<const AT: usize>(address: usize, faults: &mut Faults) -> $integer {
            let value: usize;
            // SAFETY: reads one integer, and recovers from faults.
            unsafe {
                asm!(
                    concat!("2: ", $mov, " {value", $width, "}, [{address} + {at}]"),
                    or_failed!(),
                    address = in(reg) address,
                    at = const AT,
                    value = out(reg) value,
                    failed = inout(reg) faults.0,
                    options(nostack, readonly),
                );
            }
            value as $integer
        }
    };
}
load!(load_u64, u64, "mov", "");
load!(load_u32, u32, "mov", ":e");

/// A store to user memory by one instruction, `AT` bytes behind an address, inside [`with_user_pages`]; whether it could be
/// done.
macro_rules! store {
    ($name:ident, $integer:ty, $size:literal, $width:literal) => {
        #[inline]
        pub fn $name<const AT: usize>(address: usize, value: $integer) -> bool {
            // SAFETY: writes one integer, and recovers from faults.
            unsafe {
                asm!(
                    concat!("2: mov ", $size, " ptr [{address} + {at}], {value", $width, "}"),
                    fixup!("2b", "{failed}"),
                    address = in(reg) address,
                    at = const AT,
                    value = in(reg) value,
                    failed = label { return false },
                    options(nostack),
                );
            }
            true
        }
    };
}
store!(store_u64, u64, "qword", "");
store!(store_u32, u32, "dword", ":e");

/// Compare-and-exchange of an aligned user word: the value found, `None` on a fault.
#[inline]
pub fn compare_exchange_u32(address: usize, expected: u32, new: u32) -> Option<u32> {
    with_user_pages(|| {
        let mut failed = 0;
        let found;
        // SAFETY: writes one integer of user memory, and recovers from faults.
        unsafe {
            asm!(
                "2: lock cmpxchg [{address}], {new:e}",
                or_failed!(),
                address = in(reg) address,
                new = in(reg) new,
                inout("eax") expected => found,
                failed = inout(reg) failed,
                options(nostack),
            );
        }
        (failed == 0).then_some(found)
    })
}
