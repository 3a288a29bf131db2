//! Which programs may run: known instructions, jumps that stay inside, a return at the end, and no cell of the scratch memory
//! read before it is written.

use crate::{Invalid, packet};
use alloc::vec::Vec;
use libsyscall::abi::filter::*;

pub fn check(program: &[Instruction]) -> Result<(), Invalid> {
    if program.len() > INSTRUCTIONS_MAX {
        return Err(Invalid);
    }
    for (at, &instruction) in program.iter().enumerate() {
        // How many instructions come behind this one.
        let behind = program.len() - at - 1;
        if !is_allowed(instruction, behind) {
            return Err(Invalid);
        }
    }
    match program.last() {
        Some(last) if last.code & 7 == BPF_RET => check_cells(program),
        _ => Err(Invalid),
    }
}

/// Whether an instruction is one, and its number makes sense.
fn is_allowed(instruction: Instruction, behind: usize) -> bool {
    let Instruction {
        code,
        jump_true,
        jump_false,
        k,
    } = instruction;
    let operation = code & 0xf0;
    let by_x = code & BPF_X != 0;
    let is_inside = |count: usize| count < behind;
    // No bit is set that says nothing.
    let is_one_of = |codes: &[u16]| codes.contains(&code);
    match code & 7 {
        _ if code > 0xff => false,
        BPF_LD
            if is_one_of(&[
                BPF_LD | BPF_W | BPF_ABS,
                BPF_LD | BPF_H | BPF_ABS,
                BPF_LD | BPF_B | BPF_ABS,
            ]) =>
        {
            k < SKF_AD_OFF as u32 || packet::is_known(k - SKF_AD_OFF as u32)
        }
        BPF_LD | BPF_LDX if is_one_of(&[BPF_LD | BPF_MEM, BPF_LDX | BPF_MEM]) => (k as usize) < CELLS,
        BPF_LD => is_one_of(&[
            BPF_LD | BPF_W | BPF_IND,
            BPF_LD | BPF_H | BPF_IND,
            BPF_LD | BPF_B | BPF_IND,
            BPF_LD | BPF_LEN,
            BPF_LD | BPF_IMM,
        ]),
        BPF_LDX => is_one_of(&[BPF_LDX | BPF_LEN, BPF_LDX | BPF_IMM, BPF_LDX | BPF_B | BPF_MSH]),
        BPF_ST | BPF_STX => is_one_of(&[BPF_ST, BPF_STX]) && (k as usize) < CELLS,
        BPF_ALU => match operation {
            BPF_NEG => !by_x,
            BPF_DIV | BPF_MOD => by_x || k != 0,
            BPF_LSH | BPF_RSH => by_x || k < u32::BITS,
            _ => operation <= BPF_XOR,
        },
        BPF_JMP => match operation {
            BPF_JA => !by_x && is_inside(k as usize),
            BPF_JEQ | BPF_JGT | BPF_JGE | BPF_JSET => is_inside(jump_true.into()) && is_inside(jump_false.into()),
            _ => false,
        },
        BPF_RET => is_one_of(&[BPF_RET | BPF_K, BPF_RET | BPF_A]),
        _ => is_one_of(&[BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA]),
    }
}

/// Whether each cell has been written on every way to where it is read. Every jump goes forward, so one pass suffices: what
/// is written on all ways to an instruction is known when it is reached.
fn check_cells(program: &[Instruction]) -> Result<(), Invalid> {
    let mut written: Vec<u16> = Vec::new();
    written.try_reserve_exact(program.len()).map_err(|_| Invalid)?;
    // Before the first way there, everything is.
    written.resize(program.len(), u16::MAX);
    let mut now = 0;
    for (at, instruction) in program.iter().enumerate() {
        now &= written[at];
        let cell = 1 << (instruction.k as usize % CELLS);
        let mut jumps_over = |count: usize| written[at + 1 + count] &= now;
        match instruction.code & 7 {
            BPF_ST | BPF_STX => now |= cell,
            BPF_LD | BPF_LDX if instruction.code & 0xe0 == BPF_MEM && now & cell == 0 => return Err(Invalid),
            BPF_JMP if instruction.code & 0xf0 == BPF_JA => {
                jumps_over(instruction.k as usize);
                now = u16::MAX;
            }
            BPF_JMP => {
                jumps_over(instruction.jump_true.into());
                jumps_over(instruction.jump_false.into());
                now = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
