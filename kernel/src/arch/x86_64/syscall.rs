//! The system-call entry; ends in `crate::syscall::dispatch(&mut TrapFrame)`.

use super::{cpu, trap};
use crate::arch::trap::TrapFrame;
use core::arch::global_asm;
use core::mem::offset_of;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{LStar, Msr, SFMask};
use x86_64::registers::rflags::RFlags;

const MSR_STAR: u32 = 0xc000_0081;

/// Points the `syscall` instruction to the entry, on this CPU.
pub(super) fn init_cpu() {
    unsafe extern "C" {
        fn syscall_entry();
    }
    // `sysretq` takes SS from this selector + 8 and CS from it + 16; `syscall` takes the kernel's CS and SS.
    let star = (u64::from(0x10 | 3u16) << 48) | (u64::from(trap::KERNEL_CODE) << 32);
    // SAFETY: the selectors are those of the table that `trap::init_cpu` loaded.
    unsafe { Msr::new(MSR_STAR).write(star) };
    LStar::write(VirtAddr::new(syscall_entry as *const () as u64));
    SFMask::write(
        RFlags::INTERRUPT_FLAG
            | RFlags::TRAP_FLAG
            | RFlags::DIRECTION_FLAG
            | RFlags::ALIGNMENT_CHECK
            | RFlags::NESTED_TASK,
    );
}

/// From the assembler, with the C calling convention.
extern "C" fn enter(frame: &mut TrapFrame) {
    crate::syscall::dispatch(frame);
}

global_asm!(
    r#"
    .text
    .balign 16
    syscall_entry:
    swapgs
    mov gs:[{user_stack}], rsp
    mov rsp, gs:[{kernel_stack}]
    push {user_data}
    push qword ptr gs:[{user_stack}]
    push r11
    push {user_code}
    push rcx
    push rax
    push 0
    push rdi
    push rsi
    push rdx
    push rcx
    push rax
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    xor ebp, ebp
    mov rdi, rsp
    call {dispatch}

    // A frame that something else rewrote (exec, a signal) needs every register: the slow way. Otherwise the compiler
    // has kept those that a function must keep.
    cmp qword ptr [rsp + {full}], 0
    jne trap_return
    mov rbp, [rsp + {rbp}]
    add rsp, {kept}
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    mov rsp, [rsp + {rsp_after}]
    swapgs
    sysretq
"#,
    user_stack = const cpu::USER_STACK_OFFSET,
    kernel_stack = const cpu::KERNEL_STACK_OFFSET,
    user_data = const trap::USER_DATA,
    user_code = const trap::USER_CODE,
    dispatch = sym enter,
    full = const offset_of!(TrapFrame, full),
    rbp = const offset_of!(TrapFrame, rbp),
    kept = const offset_of!(TrapFrame, r11),
    rsp_after = const offset_of!(TrapFrame, rsp) - offset_of!(TrapFrame, full),
);
