//! Copies between kernel and user memory that recover from faults. The caller has checked that the range lies below
//! [`super::USER_END`]; a fault is first offered to `crate::trap::kernel_fault_on_user`, and ends the copy if that declines.
//!
//! The copies use unprivileged loads and stores, which see user memory as user code does, whatever PAN says.

pub use crate::arch::fixups::Faults;
use crate::arch::fixups::{self, fixup};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, Ordering};

static PAN: AtomicBool = AtomicBool::new(false);

pub(super) fn init(pan: bool) {
    PAN.store(pan, Ordering::Relaxed);
}

/// The other machine opens user pages to the kernel here; unprivileged accesses need no such thing.
#[inline]
pub fn with_user_pages<R>(f: impl FnOnce() -> R) -> R {
    f()
}

unsafe extern "C" {
    fn copy_in(destination: usize, source: usize, len: usize) -> usize;
    fn copy_in_bytes();
    fn copy_in_end();
    fn copy_out(destination: usize, source: usize, len: usize) -> usize;
    fn copy_out_bytes();
    fn copy_out_end();
    fn user_compare_exchange(address: usize, expected: u32, new: u32) -> i64;
    fn user_word_failed();
}

global_asm!(
    r#"
    .text
    .balign 16
    // (to, from, bytes) -> bytes not copied: 32 at a time, 8 at a time, one by one. In each turn user memory is touched
    // before a register changes, so after a fault the single bytes go on from there and find the exact place.
    copy_in:
    subs x3, x2, #32
    b.lo 2f
    1:
    ldtr x4, [x1]
    ldtr x5, [x1, #8]
    ldtr x6, [x1, #16]
    ldtr x7, [x1, #24]
    add x1, x1, #32
    stp x4, x5, [x0], #16
    stp x6, x7, [x0], #16
    mov x2, x3
    subs x3, x3, #32
    b.hs 1b
    2:
    subs x3, x2, #8
    b.lo copy_in_bytes
    ldtr x4, [x1]
    add x1, x1, #8
    str x4, [x0], #8
    mov x2, x3
    b 2b
    copy_in_bytes:
    cbz x2, copy_in_end
    ldtrb w4, [x1]
    add x1, x1, #1
    strb w4, [x0], #1
    sub x2, x2, #1
    b copy_in_bytes
    copy_in_end:
    mov x0, x2
    ret

    .balign 16
    copy_out:
    subs x3, x2, #32
    b.lo 2f
    1:
    ldp x4, x5, [x1]
    ldp x6, x7, [x1, #16]
    sttr x4, [x0]
    sttr x5, [x0, #8]
    sttr x6, [x0, #16]
    sttr x7, [x0, #24]
    add x0, x0, #32
    add x1, x1, #32
    mov x2, x3
    subs x3, x3, #32
    b.hs 1b
    2:
    subs x3, x2, #8
    b.lo copy_out_bytes
    ldr x4, [x1]
    sttr x4, [x0]
    add x0, x0, #8
    add x1, x1, #8
    mov x2, x3
    b 2b
    copy_out_bytes:
    cbz x2, copy_out_end
    ldrb w4, [x1]
    sttrb w4, [x0]
    add x0, x0, #1
    add x1, x1, #1
    sub x2, x2, #1
    b copy_out_bytes
    copy_out_end:
    mov x0, x2
    ret

    // (address, expected, new) -> the word found, or -1.
    user_compare_exchange:
    ldaxr w3, [x0]
    cmp w3, w1
    b.ne 3f
    stlxr w4, w2, [x0]
    cbnz w4, user_compare_exchange
    3:
    clrex
    mov w0, w3
    ret

    user_word_failed:
    mov x0, #-1
    ret
"#
);

/// Where to go on when the instruction at `ip` met a fault that can't be mended; `None`: it is no user copy.
pub(super) fn fixup(ip: usize) -> Option<usize> {
    let at = |label: unsafe extern "C" fn()| label as usize;
    let ranges = [
        (copy_in as *const () as usize, at(copy_in_bytes), at(copy_in_bytes)),
        (at(copy_in_bytes), at(copy_in_end), at(copy_in_end)),
        (copy_out as *const () as usize, at(copy_out_bytes), at(copy_out_bytes)),
        (at(copy_out_bytes), at(copy_out_end), at(copy_out_end)),
        (
            user_compare_exchange as *const () as usize,
            at(user_word_failed),
            at(user_word_failed),
        ),
    ];
    ranges
        .iter()
        .find(|(start, end, _)| (*start..*end).contains(&ip))
        .map(|&(_, _, go_on)| go_on)
        .or_else(|| fixups::find(ip))
}

/// Copies to user memory; the bytes NOT copied.
///
/// # Safety
/// `source` is readable for `len` bytes.
pub unsafe fn copy_to_user(destination: usize, source: *const u8, len: usize) -> usize {
    // SAFETY: the source by the caller's promise; the destination recovers from faults.
    unsafe { copy_out(destination, source as usize, len) }
}

/// Copies from user memory; the bytes NOT copied.
///
/// # Safety
/// `destination` is writable for `len` bytes.
pub unsafe fn copy_from_user(destination: *mut u8, source: usize, len: usize) -> usize {
    // SAFETY: as in `copy_to_user`, the other way round.
    unsafe { copy_in(destination as usize, source, len) }
}

/// A load from user memory by one instruction, `AT` bytes behind an address. What it gives means nothing where `faults` has
/// it.
macro_rules! load {
    ($name:ident, $integer:ty, $width:literal) => {
        #[inline]
        pub fn $name<const AT: usize>(address: usize, faults: &mut Faults) -> $integer {
            let value: $integer;
            // SAFETY: reads one integer, and recovers from faults.
            unsafe {
                asm!(
                    concat!("2: ldtr {value:", $width, "}, [{address}, #{at}]"),
                    "3:",
                    ".pushsection .text.unlikely, \"ax\"",
                    "4: mov {failed:w}, #1",
                    "b 3b",
                    ".popsection",
                    fixup!("2b", "4b"),
                    address = in(reg) address,
                    at = const AT,
                    value = out(reg) value,
                    failed = inout(reg) faults.0,
                    options(nostack, readonly),
                );
            }
            value
        }
    };
}
load!(load_u64, u64, "x");
load!(load_u32, u32, "w");

/// A store to user memory by one instruction, `AT` bytes behind an address; whether it could be done.
macro_rules! store {
    ($name:ident, $integer:ty, $width:literal) => {
        #[inline]
        pub fn $name<const AT: usize>(address: usize, value: $integer) -> bool {
            // SAFETY: writes one integer, and recovers from faults.
            unsafe {
                asm!(
                    concat!("2: sttr {value:", $width, "}, [{address}, #{at}]"),
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
store!(store_u64, u64, "x");
store!(store_u32, u32, "w");

/// Compare-and-exchange of an aligned user word: the value found, `None` on a fault. Exclusive accesses have no
/// unprivileged form, so PAN is lifted around them; the caller has checked the address, and the page's protection counts.
pub fn compare_exchange_u32(address: usize, expected: u32, new: u32) -> Option<u32> {
    let pan = PAN.load(Ordering::Relaxed);
    // SAFETY: recovers from faults; PAN is back on before anything else runs.
    unsafe {
        if pan {
            asm!(".arch_extension pan", "msr pan, #0", options(nostack));
        }
        let found = user_compare_exchange(address, expected, new);
        if pan {
            asm!(".arch_extension pan", "msr pan, #1", options(nostack));
        }
        u32::try_from(found).ok()
    }
}
