//! A program for the in-kernel test of FP/SIMD registers: it fills three with the word on its stack, gives the CPU away a
//! hundred times, and ends with 0 if they kept it, else with 1.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .rodata
    fp_test:
    mov rbx, [rsp]
    movq xmm0, rbx
    movq xmm7, rbx
    movq xmm15, rbx
    mov r12d, 100
    2:
    mov eax, {sched_yield}
    syscall
    movq rax, xmm0
    cmp rax, rbx
    jne 3f
    movq rax, xmm7
    cmp rax, rbx
    jne 3f
    movq rax, xmm15
    cmp rax, rbx
    jne 3f
    dec r12d
    jnz 2b
    xor edi, edi
    mov eax, {exit}
    syscall
    3:
    mov edi, 1
    mov eax, {exit}
    syscall
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
