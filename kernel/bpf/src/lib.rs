//! Socket filters, classic BPF: a program looks at a packet and says how many bytes of it are kept, as pure logic that the
//! host tests.
//!
//! A program that [`Program::new`] has taken ends: every jump goes forward, and the last instruction returns. It reads
//! nothing but the packet and what it has written itself. So one is run wherever a packet comes, under a lock too: it takes
//! as many steps as it has instructions at most, and there are no more than 4096.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod check;
mod packet;

use alloc::vec::Vec;
use libsyscall::abi::filter::*;
pub use packet::{Device, Packet};

/// A program that can be run on any packet.
pub struct Program(Vec<Instruction>);

/// A program that is none: EINVAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// The two registers and the scratch memory.
#[derive(Default)]
struct Machine {
    a: u32,
    x: u32,
    cells: [u32; CELLS],
}

/// A DIV or MOD by nothing ends the program, and drops the packet.
fn compute(operation: u16, a: u32, b: u32) -> Option<u32> {
    Some(match operation {
        BPF_ADD => a.wrapping_add(b),
        BPF_SUB => a.wrapping_sub(b),
        BPF_MUL => a.wrapping_mul(b),
        BPF_DIV => a.checked_div(b)?,
        BPF_MOD => a.checked_rem(b)?,
        BPF_OR => a | b,
        BPF_AND => a & b,
        BPF_XOR => a ^ b,
        BPF_LSH => a.wrapping_shl(b),
        BPF_RSH => a.wrapping_shr(b),
        // There is one more, of one operand.
        _ => a.wrapping_neg(),
    })
}

fn holds(condition: u16, a: u32, b: u32) -> bool {
    match condition {
        BPF_JEQ => a == b,
        BPF_JGT => a > b,
        BPF_JGE => a >= b,
        _ => a & b != 0,
    }
}

/// What an instruction leads to.
enum Next {
    /// The instruction behind it, and so many more passed over.
    Skip(u32),
    Return(u32),
}

const GO_ON: Next = Next::Skip(0);

impl Program {
    pub fn new(instructions: Vec<Instruction>) -> Result<Program, Invalid> {
        check::check(&instructions)?;
        Ok(Program(instructions))
    }

    /// As they were attached.
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    /// How many bytes of a packet are kept, from [`Packet::transport`] on; 0: it is dropped. So does a load from where there is
    /// no packet.
    pub fn run(&self, packet: &Packet) -> u32 {
        let mut machine = Machine::default();
        let mut at = 0;
        while let Some(&instruction) = self.0.get(at) {
            match machine.step(instruction, packet) {
                Some(Next::Skip(count)) => at += 1 + count as usize,
                Some(Next::Return(count)) => return count,
                None => return 0,
            }
        }
        0
    }
}

impl Machine {
    /// One instruction; `None` drops the packet.
    fn step(&mut self, instruction: Instruction, packet: &Packet) -> Option<Next> {
        let Instruction {
            code,
            jump_true,
            jump_false,
            k,
        } = instruction;
        let cell = k as usize % CELLS;
        let operand = if code & BPF_X != 0 { self.x } else { k };
        match code & 7 {
            BPF_LD => return self.load(code, k, packet),
            BPF_LDX => {
                self.x = match code & 0xe0 {
                    BPF_IMM => k,
                    BPF_MEM => self.cells[cell],
                    BPF_LEN => packet.len(),
                    // The length of an IPv4 header, in its first byte.
                    _ => (packet.byte(k)? & 0xf) << 2,
                }
            }
            BPF_ST => self.cells[cell] = self.a,
            BPF_STX => self.cells[cell] = self.x,
            BPF_ALU => self.a = compute(code & 0xf0, self.a, operand)?,
            BPF_JMP if code & 0xf0 == BPF_JA => return Some(Next::Skip(k)),
            BPF_JMP => {
                let count = if holds(code & 0xf0, self.a, operand) {
                    jump_true
                } else {
                    jump_false
                };
                return Some(Next::Skip(count.into()));
            }
            BPF_RET => return Some(Next::Return(if code & BPF_A != 0 { self.a } else { k })),
            _ if code & BPF_TXA != 0 => self.a = self.x,
            _ => self.x = self.a,
        }
        Some(GO_ON)
    }

    fn load(&mut self, code: u16, k: u32, packet: &Packet) -> Option<Next> {
        let width = match code & 0x18 {
            BPF_W => 4,
            BPF_H => 2,
            _ => 1,
        };
        let fact = k.wrapping_sub(SKF_AD_OFF as u32);
        self.a = match code & 0xe0 {
            BPF_IMM => k,
            BPF_MEM => self.cells[k as usize % CELLS],
            BPF_LEN => packet.len(),
            BPF_IND => packet.load(self.x.wrapping_add(k), width)?,
            _ if fact == SKF_AD_ALU_XOR_X => self.a ^ self.x,
            _ if fact < SKF_AD_MAX => match packet.fact(fact) {
                Some(value) => value,
                // Of a device where there is none. What A is then is the answer.
                None => return Some(Next::Return(self.a)),
            },
            _ => packet.load(k, width)?,
        };
        Some(GO_ON)
    }
}
