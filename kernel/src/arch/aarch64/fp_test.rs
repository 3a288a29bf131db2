//! A program for the in-kernel test of FP/SIMD registers: it fills three with the word on its stack, gives the CPU away a
//! hundred times, and ends with 0 if they kept it, else with 1.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .rodata
    .arch_extension fp
    .balign 4
    fp_test:
    ldr x19, [sp]
    fmov d0, x19
    fmov d8, x19
    fmov d31, x19
    mov x20, #100
    2:
    mov x8, #{sched_yield}
    svc #0
    fmov x1, d0
    cmp x1, x19
    b.ne 3f
    fmov x1, d8
    cmp x1, x19
    b.ne 3f
    fmov x1, d31
    cmp x1, x19
    b.ne 3f
    subs x20, x20, #1
    b.ne 2b
    mov x0, #0
    mov x8, #{exit}
    svc #0
    3:
    mov x0, #1
    mov x8, #{exit}
    svc #0
    fp_test_end:
    .text
"#,
    sched_yield = const libsyscall::abi::nr::SCHED_YIELD,
    exit = const libsyscall::abi::nr::EXIT_GROUP,
);

/// The program; it may lie anywhere.
pub fn program() -> &'static [u8] {
    unsafe extern "C" {
        static fp_test: u8;
        static fp_test_end: u8;
    }
    let start = &raw const fp_test;
    // SAFETY: the bytes between the two labels are constant.
    unsafe { core::slice::from_raw_parts(start, &raw const fp_test_end as usize - start as usize) }
}
