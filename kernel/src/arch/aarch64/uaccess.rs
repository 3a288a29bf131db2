//! Copies between kernel and user memory that recover from faults. The caller has checked that the range lies below
//! [`super::USER_END`]; a fault is first offered to `crate::trap::kernel_fault_on_user`, and ends the copy if that declines.
//!
//! The copies use unprivileged loads and stores, which see user memory as user code does, whatever PAN says.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, Ordering};

static PAN: AtomicBool = AtomicBool::new(false);

pub(super) fn init(pan: bool) {
    PAN.store(pan, Ordering::Relaxed);
}

unsafe extern "C" {
    fn user_copy_to(destination: usize, source: usize, len: usize) -> usize;
    fn user_copy_to_word();
    fn user_copy_to_byte();
    fn user_copy_from(destination: usize, source: usize, len: usize) -> usize;
    fn user_copy_from_word();
    fn user_copy_from_byte();
    fn user_copy_failed();
    fn user_load(address: usize) -> i64;
    fn user_load_word();
    fn user_compare_exchange(address: usize, expected: u32, new: u32) -> i64;
    fn user_compare_exchange_load();
    fn user_compare_exchange_store();
    fn user_word_failed();
}

global_asm!(
    r#"
    .text
    .balign 16
    // (to, from, bytes) -> bytes not copied. Eight at a time, then the rest; x2 is what is left.
    user_copy_to:
    subs x3, x2, #8
    b.lo 2f
    1:
    ldr x4, [x1], #8
    user_copy_to_word:
    sttr x4, [x0]
    add x0, x0, #8
    mov x2, x3
    subs x3, x3, #8
    b.hs 1b
    2:
    cbz x2, user_copy_failed
    ldrb w4, [x1], #1
    user_copy_to_byte:
    sttrb w4, [x0]
    add x0, x0, #1
    sub x2, x2, #1
    b 2b

    user_copy_from:
    subs x3, x2, #8
    b.lo 2f
    1:
    user_copy_from_word:
    ldtr x4, [x1]
    add x1, x1, #8
    str x4, [x0], #8
    mov x2, x3
    subs x3, x3, #8
    b.hs 1b
    2:
    cbz x2, user_copy_failed
    user_copy_from_byte:
    ldtrb w4, [x1]
    add x1, x1, #1
    strb w4, [x0], #1
    sub x2, x2, #1
    b 2b

    user_copy_failed:
    mov x0, x2
    ret

    // (address) -> the word, or -1.
    user_load:
    user_load_word:
    ldtr w0, [x0]
    ret

    // (address, expected, new) -> the word found, or -1.
    user_compare_exchange:
    user_compare_exchange_load:
    ldaxr w3, [x0]
    cmp w3, w1
    b.ne 3f
    user_compare_exchange_store:
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
    let pairs: [(unsafe extern "C" fn(), unsafe extern "C" fn()); 7] = [
        (user_copy_to_word, user_copy_failed),
        (user_copy_to_byte, user_copy_failed),
        (user_copy_from_word, user_copy_failed),
        (user_copy_from_byte, user_copy_failed),
        (user_load_word, user_word_failed),
        (user_compare_exchange_load, user_word_failed),
        (user_compare_exchange_store, user_word_failed),
    ];
    pairs
        .iter()
        .find(|(at, _)| *at as usize == ip)
        .map(|(_, go_on)| *go_on as usize)
}

/// Copies to user memory; the bytes NOT copied.
///
/// # Safety
/// `source` is readable for `len` bytes.
pub unsafe fn copy_to_user(destination: usize, source: *const u8, len: usize) -> usize {
    // SAFETY: the source by the caller's promise; the destination recovers from faults.
    unsafe { user_copy_to(destination, source as usize, len) }
}

/// Copies from user memory; the bytes NOT copied.
///
/// # Safety
/// `destination` is writable for `len` bytes.
pub unsafe fn copy_from_user(destination: *mut u8, source: usize, len: usize) -> usize {
    // SAFETY: as in `copy_to_user`, the other way round.
    unsafe { user_copy_from(destination as usize, source, len) }
}

/// Reads an aligned word, as futex(2) does.
pub fn load_u32(address: usize) -> Option<u32> {
    // SAFETY: recovers from faults.
    u32::try_from(unsafe { user_load(address) }).ok()
}

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
