//! The signal frame, in Linux's layout for this machine: siginfo, `struct ucontext` with the registers, then records of
//! which the FP/SIMD state is one.

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

// Offsets in the frame.
const UCONTEXT: usize = 128;
const STACK: usize = UCONTEXT + 16;
const MASK: usize = UCONTEXT + 40;
const FAULT_ADDRESS: usize = UCONTEXT + 176;
const REGISTERS: usize = FAULT_ADDRESS + 8;
const STACK_POINTER: usize = REGISTERS + 31 * 8;
const RECORDS: usize = UCONTEXT + 176 + 288;
/// The frame as Linux makes it: room for 4096 bytes of records.
pub(super) const FRAME_LEN: usize = RECORDS + 4096;

const FPSIMD_MAGIC: u32 = 0x4650_8001;
const FPSIMD_LEN: usize = 8 + 8 + 512;
const ESR_MAGIC: u32 = 0x4553_5201;
const ESR_LEN: usize = 16;
/// The end of the records: one without magic or length.
const END_LEN: usize = 8;

/// Writes the frame (registers, FP/SIMD state, mask, siginfo, alternate stack) to the user stack and points `frame` at
/// the handler. EFAULT: the stack can't take it, and the thread is to die of SIGSEGV.
pub fn push(frame: &mut TrapFrame, delivery: &Delivery) -> Result<(), Errno> {
    let top = delivery.stack_top.unwrap_or(frame.sp as usize);
    // A frame record for debuggers that walk the stack, then the signal frame below it.
    let record = (top & !15).wrapping_sub(16);
    let at = record.wrapping_sub(FRAME_LEN);

    user::write_bytes(record, record_bytes(frame).as_slice())?;
    user::write_bytes(at, delivery.info)?;
    let mut context = [0u8; RECORDS - UCONTEXT + FPSIMD_LEN + ESR_LEN + END_LEN];
    let mut put = |offset: usize, bytes: &[u8]| {
        let start = offset - UCONTEXT;
        context[start..start + bytes.len()].copy_from_slice(bytes);
    };
    put(STACK, &delivery.alternate.base.to_le_bytes());
    put(STACK + 8, &delivery.alternate.flags.to_le_bytes());
    put(STACK + 16, &delivery.alternate.size.to_le_bytes());
    put(MASK, &delivery.mask.to_le_bytes());
    for (n, register) in frame.x.iter().chain([&frame.sp, &frame.pc, &frame.pstate]).enumerate() {
        put(REGISTERS + n * 8, &register.to_le_bytes());
    }
    let state = fpu::get();
    put(RECORDS, &FPSIMD_MAGIC.to_le_bytes());
    put(RECORDS + 4, &(FPSIMD_LEN as u32).to_le_bytes());
    put(RECORDS + 8, &state.fpsr.to_le_bytes());
    put(RECORDS + 12, &state.fpcr.to_le_bytes());
    for (n, register) in state.registers.iter().enumerate() {
        put(RECORDS + 16 + n * 16, &register.to_le_bytes());
    }
    put(FAULT_ADDRESS, &delivery.cause.address.to_le_bytes());
    if delivery.cause.syndrome != 0 {
        put(RECORDS + FPSIMD_LEN, &ESR_MAGIC.to_le_bytes());
        put(RECORDS + FPSIMD_LEN + 4, &(ESR_LEN as u32).to_le_bytes());
        put(RECORDS + FPSIMD_LEN + 8, &delivery.cause.syndrome.to_le_bytes());
    }
    user::write_bytes(at + UCONTEXT, &context)?;

    frame.x[0] = delivery.signal.into();
    frame.x[1] = at as u64;
    frame.x[2] = (at + UCONTEXT) as u64;
    frame.x[29] = record as u64;
    frame.x[30] = delivery.restorer as u64;
    frame.sp = at as u64;
    frame.pc = delivery.handler as u64;
    frame.sanitise();
    Ok(())
}

/// x29 and x30 as a function would have stored them.
fn record_bytes(frame: &TrapFrame) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&frame.x[29].to_le_bytes());
    bytes[8..].copy_from_slice(&frame.x[30].to_le_bytes());
    bytes
}

/// What rt_sigreturn(2) found: the mask and alternate stack to go back to.
pub struct Returned {
    pub mask: u64,
    pub alternate: AlternateStack,
}

/// What user mode never has: another mode than EL0 with 64 bits, and masked exceptions. A program that asks for them is wrong.
const PSTATE_PRIVILEGED: u64 = 0x1f | 0xf << 6;

/// Takes the frame back from the user stack: registers into `frame`, FP/SIMD state into the CPU or the running thread.
pub fn pop(frame: &mut TrapFrame) -> Result<Returned, Errno> {
    let at = frame.sp as usize;
    if !at.is_multiple_of(16) {
        return Err(Errno::EFAULT);
    }
    let mut context = [0u8; RECORDS - UCONTEXT + FPSIMD_LEN];
    user::read_bytes(at.wrapping_add(UCONTEXT), &mut context)?;
    let long = |offset: usize| {
        let start = offset - UCONTEXT;
        u64::from_le_bytes(context[start..start + 8].try_into().expect("eight bytes"))
    };
    let word = |offset: usize| {
        let start = offset - UCONTEXT;
        u32::from_le_bytes(context[start..start + 4].try_into().expect("four bytes"))
    };
    // Linux writes the FP/SIMD record first, and a program that rewrites the frame keeps it there.
    if word(RECORDS) != FPSIMD_MAGIC || word(RECORDS + 4) as usize != FPSIMD_LEN {
        return Err(Errno::EFAULT);
    }
    let pstate = long(STACK_POINTER + 16);
    if pstate & PSTATE_PRIVILEGED != 0 {
        return Err(Errno::EFAULT);
    }
    let mut state = fpu::State {
        registers: [0; 32],
        fpsr: word(RECORDS + 8),
        fpcr: word(RECORDS + 12),
    };
    for (n, register) in state.registers.iter_mut().enumerate() {
        let start = RECORDS + 16 + n * 16;
        *register = u128::from(long(start)) | u128::from(long(start + 8)) << 64;
    }
    fpu::put(&state);
    for (n, register) in frame.x.iter_mut().enumerate() {
        *register = long(REGISTERS + n * 8);
    }
    frame.sp = long(STACK_POINTER);
    frame.pc = long(STACK_POINTER + 8);
    frame.pstate = pstate;
    frame.original_x0 = frame.x[0];
    frame.sanitise();
    Ok(Returned {
        mask: long(MASK),
        alternate: AlternateStack {
            base: long(STACK) as usize,
            flags: word(STACK + 8),
            size: long(STACK + 16) as usize,
        },
    })
}
