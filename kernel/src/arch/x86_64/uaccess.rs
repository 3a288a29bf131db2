//! Copies between kernel and user memory that recover from faults. The caller has checked that the range lies below
//! [`super::USER_END`]; a fault is first offered to `crate::trap::kernel_fault_on_user`, and ends the copy if that declines.

pub use crate::arch::fixups::Faults;
use crate::arch::fixups::{self, fixup};
use core::arch::{asm, global_asm};
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

unsafe extern "C" {
    fn user_copy(destination: usize, source: usize, len: usize) -> usize;
    fn user_copy_words();
    fn user_copy_words_failed();
    fn user_copy_bytes();
    fn user_copy_bytes_failed();
    fn user_compare_exchange(address: usize, expected: u32, new: u32) -> i64;
    fn user_compare_exchange_word();
    fn user_word_failed();
}

global_asm!(
    r#"
    .text
    .balign 16
    // (to, from, bytes) -> bytes not copied. Eight at a time, then the rest.
    user_copy:
    mov rcx, rdx
    shr rcx, 3
    and edx, 7
    user_copy_words:
    rep movsq
    mov ecx, edx
    user_copy_bytes:
    rep movsb
    user_copy_bytes_failed:
    mov rax, rcx
    ret
    user_copy_words_failed:
    lea rax, [rcx * 8 + rdx]
    ret

    // (address, expected, new) -> the word found, or -1.
    user_compare_exchange:
    mov eax, esi
    user_compare_exchange_word:
    lock cmpxchg [rdi], edx
    mov eax, eax
    ret

    user_word_failed:
    mov rax, -1
    ret
"#
);

/// Where to go on when the instruction at `ip` met a fault that can't be mended; `None`: it is no user copy.
pub(super) fn fixup(ip: usize) -> Option<usize> {
    let pairs: [(unsafe extern "C" fn(), unsafe extern "C" fn()); 3] = [
        (user_copy_words, user_copy_words_failed),
        (user_copy_bytes, user_copy_bytes_failed),
        (user_compare_exchange_word, user_word_failed),
    ];
    pairs
        .iter()
        .find(|(at, _)| *at as usize == ip)
        .map(|(_, go_on)| *go_on as usize)
        .or_else(|| fixups::find(ip))
}

/// Copies to user memory; the bytes NOT copied.
///
/// # Safety
/// `source` is readable for `len` bytes.
pub unsafe fn copy_to_user(destination: usize, source: *const u8, len: usize) -> usize {
    // SAFETY: the source by the caller's promise; the destination recovers from faults.
    with_user_pages(|| unsafe { user_copy(destination, source as usize, len) })
}

/// Copies from user memory; the bytes NOT copied.
///
/// # Safety
/// `destination` is writable for `len` bytes.
pub unsafe fn copy_from_user(destination: *mut u8, source: usize, len: usize) -> usize {
    // SAFETY: as in `copy_to_user`, the other way round.
    with_user_pages(|| unsafe { user_copy(destination as usize, source, len) })
}

/// A load from user memory by one instruction, inside [`with_user_pages`]. What it gives means nothing where `faults` has it.
macro_rules! load {
    ($name:ident, $integer:ty, $mov:literal, $width:literal) => {
        #[inline]
        pub fn $name(address: usize, faults: &mut Faults) -> $integer {
            let value: usize;
            // SAFETY: reads one integer, and recovers from faults.
            unsafe {
                asm!(
                    concat!("2: ", $mov, " {value", $width, "}, [{address}]"),
                    "3:",
                    ".pushsection .text.unlikely, \"ax\"",
                    "4: mov {failed:e}, 1",
                    "jmp 3b",
                    ".popsection",
                    fixup!("2b", "4b"),
                    address = in(reg) address,
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

/// A store to user memory by one instruction, inside [`with_user_pages`]; whether it could be done.
macro_rules! store {
    ($name:ident, $integer:ty, $size:literal, $width:literal) => {
        #[inline]
        pub fn $name(address: usize, value: $integer) -> bool {
            // SAFETY: writes one integer, and recovers from faults.
            unsafe {
                asm!(
                    concat!("2: mov ", $size, " ptr [{address}], {value", $width, "}"),
                    fixup!("2b", "{failed}"),
                    address = in(reg) address,
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
pub fn compare_exchange_u32(address: usize, expected: u32, new: u32) -> Option<u32> {
    // SAFETY: recovers from faults.
    u32::try_from(with_user_pages(|| unsafe {
        user_compare_exchange(address, expected, new)
    }))
    .ok()
}
