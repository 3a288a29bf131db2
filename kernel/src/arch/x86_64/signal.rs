//! The signal frame, in Linux's layout for this machine: `struct rt_sigframe` with its FP/SIMD state above it.

use super::fpu;
use super::trap::{Cause, TrapFrame};
use crate::mm::user;
use crate::task::signal::AlternateStack;
use libsyscall::abi::Errno;

/// What a handler is started with.
pub struct Delivery<'a> {
    pub signal: u32,
    /// sigaction(2)'s handler and restorer (0: none given).
    pub handler: usize,
    pub restorer: usize,
    /// 128 bytes of siginfo_t.
    pub info: &'a [u8; 128],
    /// The last exception that became a signal.
    pub cause: Cause,
    /// The mask to put back at sigreturn.
    pub mask: u64,
    /// As it is now.
    pub alternate: AlternateStack,
    /// Top of the stack the frame goes on: the alternate stack's end, or `None` for the interrupted one.
    pub stack_top: Option<usize>,
}

/// `struct rt_sigframe` up to the FP/SIMD state, in words: return address, then `struct ucontext`, then `siginfo_t`.
const WORDS: usize = 1 + 5 + 32 + 1;
const UCONTEXT: usize = 8;
/// Registers of `struct sigcontext_64` start here in the frame, as words.
const REGISTERS: usize = 1 + 5;
const FPSTATE_WORD: usize = REGISTERS + 23;
const MASK_WORD: usize = REGISTERS + 32;
const FRAME_LEN: usize = WORDS * 8 + 128;

const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

/// Bytes 464 to 511 of the legacy area are the software's: what follows it, by Linux's description.
const SOFTWARE: usize = 464;
const MAGIC_1: u32 = 0x4650_5853;
const MAGIC_2: u32 = 0x4650_5845;

/// Bytes below the stack pointer that the ABI lets functions use without saying so.
const RED_ZONE: usize = 128;

/// The largest frame this CPU makes, with alignment and red zone.
pub(super) fn frame_size_max() -> usize {
    FRAME_LEN + fpu::size() + 4 + RED_ZONE + 128
}

/// Writes the frame (registers, FP/SIMD state, mask, siginfo, alternate stack) to the user stack and points `frame` at
/// the handler. EFAULT: the stack can't take it, and the thread is to die of SIGSEGV.
pub fn push(frame: &mut TrapFrame, delivery: &Delivery) -> Result<(), Errno> {
    let top = delivery
        .stack_top
        .unwrap_or_else(|| (frame.rsp as usize).wrapping_sub(RED_ZONE));
    let state = fpu::get();
    let fpstate = top.wrapping_sub(state.len() + 4) & !63;
    // As after a call: the stack pointer is 8 below a multiple of 16.
    let at = (fpstate.wrapping_sub(FRAME_LEN) & !15).wrapping_sub(8);

    user::write_bytes(fpstate, state)?;
    let mut software = [0u8; 48];
    if fpu::components() != 0 {
        software[..4].copy_from_slice(&MAGIC_1.to_le_bytes());
        software[4..8].copy_from_slice(&(state.len() as u32 + 4).to_le_bytes());
        software[8..16].copy_from_slice(&fpu::components().to_le_bytes());
        software[16..20].copy_from_slice(&(state.len() as u32).to_le_bytes());
        user::write_bytes(fpstate + state.len(), &MAGIC_2.to_le_bytes())?;
    }
    user::write_bytes(fpstate + SOFTWARE, &software)?;

    let mut words = [0u64; WORDS];
    words[0] = delivery.restorer as u64;
    let flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    words[1] = if fpu::components() != 0 {
        flags | UC_FP_XSTATE
    } else {
        flags
    };
    words[3] = delivery.alternate.base as u64;
    words[4] = delivery.alternate.flags.into();
    words[5] = delivery.alternate.size as u64;
    words[REGISTERS..REGISTERS + 18].copy_from_slice(&[
        frame.r8,
        frame.r9,
        frame.r10,
        frame.r11,
        frame.r12,
        frame.r13,
        frame.r14,
        frame.r15,
        frame.rdi,
        frame.rsi,
        frame.rbp,
        frame.rbx,
        frame.rdx,
        frame.rax,
        frame.rcx,
        frame.rsp,
        frame.rip,
        frame.rflags,
    ]);
    words[REGISTERS + 18] = frame.cs | frame.ss << 48;
    words[REGISTERS + 19] = delivery.cause.error;
    words[REGISTERS + 20] = delivery.cause.vector;
    words[REGISTERS + 21] = delivery.mask;
    words[REGISTERS + 22] = delivery.cause.address;
    words[FPSTATE_WORD] = fpstate as u64;
    words[MASK_WORD] = delivery.mask;
    let mut bytes = [0u8; FRAME_LEN];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    bytes[WORDS * 8..].copy_from_slice(delivery.info);
    user::write_bytes(at, &bytes)?;

    fpu::reset_running();
    *frame = TrapFrame {
        rdi: delivery.signal.into(),
        rsi: (at + WORDS * 8) as u64,
        rdx: (at + UCONTEXT) as u64,
        rax: 0,
        rip: delivery.handler as u64,
        rsp: at as u64,
        // DF, RF and TF are off in a handler.
        rflags: frame.rflags & !(0x400 | 0x1_0000 | 0x100),
        ..*frame
    };
    frame.sanitise();
    Ok(())
}

/// What rt_sigreturn(2) found: the mask and alternate stack to go back to.
pub struct Returned {
    pub mask: u64,
    pub alternate: AlternateStack,
}

/// Takes the frame back from the user stack: registers into `frame`, FP/SIMD state into the CPU or the running thread.
pub fn pop(frame: &mut TrapFrame) -> Result<Returned, Errno> {
    // The handler's return took the first word, the restorer's address.
    let at = (frame.rsp as usize).wrapping_sub(8);
    let mut bytes = [0u8; WORDS * 8];
    user::read_bytes(at, &mut bytes)?;
    let mut words = [0u64; WORDS];
    for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(from.try_into().expect("eight bytes"));
    }
    if words[FPSTATE_WORD] == 0 {
        fpu::reset_running();
    } else {
        take_fpstate(words[FPSTATE_WORD] as usize)?;
    }
    let register = |n: usize| words[REGISTERS + n];
    *frame = TrapFrame {
        r8: register(0),
        r9: register(1),
        r10: register(2),
        r11: register(3),
        r12: register(4),
        r13: register(5),
        r14: register(6),
        r15: register(7),
        rdi: register(8),
        rsi: register(9),
        rbp: register(10),
        rbx: register(11),
        rdx: register(12),
        rax: register(13),
        rcx: register(14),
        rsp: register(15),
        rip: register(16),
        rflags: register(17),
        // No system call to restart.
        original_rax: u64::MAX,
        ..*frame
    };
    frame.sanitise();
    Ok(Returned {
        mask: words[MASK_WORD],
        alternate: AlternateStack {
            base: words[3] as usize,
            flags: words[4] as u32,
            size: words[5] as usize,
        },
    })
}

/// The FP/SIMD state from a signal frame: all of it where the description holds, else the legacy part.
fn take_fpstate(at: usize) -> Result<(), Errno> {
    let mut state = alloc::vec::Vec::new();
    state.try_reserve_exact(fpu::size()).map_err(|_| Errno::ENOMEM)?;
    state.resize(512, 0);
    user::read_bytes(at, &mut state)?;
    let word = |at: usize| u32::from_le_bytes(state[at..at + 4].try_into().expect("four bytes"));
    if fpu::components() != 0 && word(SOFTWARE) == MAGIC_1 && word(SOFTWARE + 16) as usize == fpu::size() {
        state.resize(fpu::size(), 0);
        user::read_bytes(at, &mut state)?;
    }
    fpu::put(&state);
    Ok(())
}
