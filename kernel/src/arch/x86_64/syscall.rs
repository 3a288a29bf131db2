//! The system-call entry; ends in `crate::syscall::table`.

use super::{cpu, trap};
use crate::arch::frame::WHOLE;
use crate::arch::trap::TrapFrame;
use crate::syscall::table;
use crate::task::thread;
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

/// From the assembler, with the C calling convention: every register is in the frame now.
extern "C" fn finish(frame: &mut TrapFrame, result: isize) {
    crate::syscall::finish(frame, result);
}

// The frame is on top of the stack, and a call fills in what it needs: what `sysretq` takes and the registers that a C
// function may spoil. Those it keeps come back by themselves; where something is left to do before user code goes on they
// are saved too, and then everything is as after a trap. What is always the same is not written: CS and SS in user mode are
// those of the last trap, and `full` is as `trap_return` leaves it.
global_asm!(
    r#"
    .text
    .balign 16
    syscall_entry:
    swapgs
    mov gs:[{user_stack}], rsp
    mov rsp, gs:[{frame_base}]
    mov [rsp + {rip}], rcx
    mov [rsp + {rflags}], r11
    mov [rsp + {original_rax}], rax
    mov [rsp + {rdi}], rdi
    mov [rsp + {rsi}], rsi
    mov [rsp + {rdx}], rdx
    mov [rsp + {r10}], r10
    mov [rsp + {r8}], r8
    mov [rsp + {r9}], r9
    mov rcx, gs:[{user_stack}]
    mov [rsp + {rsp}], rcx
    cmp rax, {calls}
    jae 3f
    5:
    mov rcx, [rip + {table}]
    mov rdi, rsp
    call [rcx + rax * 8]

    6:
    mov rcx, gs:[{current}]
    test dword ptr [rcx + {flags}], {work}
    jnz 2f
    mov rcx, [rsp + {rip}]
    mov r11, [rsp + {rflags}]
    mov rdi, [rsp + {rdi}]
    mov rsi, [rsp + {rsi}]
    mov rdx, [rsp + {rdx}]
    mov r10, [rsp + {r10}]
    mov r8, [rsp + {r8}]
    mov r9, [rsp + {r9}]
    mov rsp, [rsp + {rsp}]
    swapgs
    sysretq

    2:
    mov rsi, rax
    mov rcx, [rsp + {rip}]
    mov [rsp + {rcx}], rcx
    mov r11, [rsp + {rflags}]
    mov [rsp + {r11}], r11
    mov [rsp + {rbx}], rbx
    mov [rsp + {rbp}], rbp
    mov [rsp + {r12}], r12
    mov [rsp + {r13}], r13
    mov [rsp + {r14}], r14
    mov [rsp + {r15}], r15
    mov qword ptr [rsp + {full}], {whole}
    mov rdi, rsp
    call {finish}
    jmp trap_return

    // The number is an int.
    3:
    mov eax, eax
    cmp eax, {calls}
    jb 5b
    mov rdi, rsp
    call {unknown}
    jmp 6b
"#,
    user_stack = const cpu::USER_STACK_OFFSET,
    frame_base = const cpu::FRAME_BASE_OFFSET,
    current = const cpu::CURRENT_OFFSET,
    flags = const thread::FLAGS_OFFSET,
    work = const thread::WORK,
    rip = const offset_of!(TrapFrame, rip),
    rflags = const offset_of!(TrapFrame, rflags),
    original_rax = const offset_of!(TrapFrame, original_rax),
    rcx = const offset_of!(TrapFrame, rcx),
    rdi = const offset_of!(TrapFrame, rdi),
    rsi = const offset_of!(TrapFrame, rsi),
    rdx = const offset_of!(TrapFrame, rdx),
    r10 = const offset_of!(TrapFrame, r10),
    r8 = const offset_of!(TrapFrame, r8),
    r9 = const offset_of!(TrapFrame, r9),
    r11 = const offset_of!(TrapFrame, r11),
    rbx = const offset_of!(TrapFrame, rbx),
    rbp = const offset_of!(TrapFrame, rbp),
    r12 = const offset_of!(TrapFrame, r12),
    r13 = const offset_of!(TrapFrame, r13),
    r14 = const offset_of!(TrapFrame, r14),
    r15 = const offset_of!(TrapFrame, r15),
    rsp = const offset_of!(TrapFrame, rsp),
    full = const offset_of!(TrapFrame, full),
    whole = const WHOLE,
    calls = const table::TABLE_LEN,
    table = sym table::CHOSEN,
    unknown = sym table::unknown,
    finish = sym finish,
);
