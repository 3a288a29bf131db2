//! Socket filters: SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER. A socket's filter looks at each message that comes for
//! it, drops it or says how much of it is kept; who sent it is told nothing. The crate `bpf` checks and runs them.

use super::options::OptionValue;
use crate::mm::frame;
use crate::mm::user::{self, Source};
use crate::{arch, random};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bpf::{Device, Packet, Program};
use libsyscall::abi::Errno;
use libsyscall::abi::filter::{INSTRUCTIONS_MAX, Instruction, SOCK_FPROG_LEN};

/// What a socket has of it as an option. The kind of socket has the program once more, where messages come.
#[derive(Clone, Default)]
pub struct Filter {
    pub program: Option<Arc<Program>>,
    /// It is neither changed nor taken away any more.
    pub locked: bool,
}

impl Filter {
    /// EPERM.
    pub fn check_unlocked(&self) -> Result<(), Errno> {
        if self.locked { Err(Errno::EPERM) } else { Ok(()) }
    }
}

/// Where a struct sock_fprog says that so many instructions are: EINVAL, EFAULT.
pub fn place(value: OptionValue) -> Result<(usize, usize), Errno> {
    if value.len != SOCK_FPROG_LEN {
        return Err(Errno::EINVAL);
    }
    let [count, at]: [u64; 2] = value.read()?;
    Ok((at as usize, usize::from(count as u16)))
}

/// The program that is there: EINVAL for what is none, EFAULT, ENOMEM.
pub fn read(at: usize, count: usize) -> Result<Arc<Program>, Errno> {
    if at == 0 || !(1..=INSTRUCTIONS_MAX).contains(&count) {
        return Err(Errno::EINVAL);
    }
    frame::admit()?;
    let mut instructions = Vec::new();
    instructions.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count {
        let bits = user::read(at + index * size_of::<Instruction>())?;
        instructions.push(Instruction::from_bits(bits));
    }
    let program = Program::new(instructions).map_err(|_| Errno::EINVAL)?;
    Ok(Arc::new(program))
}

/// Writes a program: EFAULT.
pub fn write(program: &Program, at: usize) -> Result<(), Errno> {
    for (index, instruction) in program.instructions().iter().enumerate() {
        user::write(at + index * size_of::<Instruction>(), &instruction.bits())?;
    }
    Ok(())
}

/// The headers of a message that has come by a network.
pub struct Headers<'a> {
    pub link: &'a [u8],
    pub network: &'a [u8],
    pub transport: &'a [u8],
    /// ETH_P_*.
    pub protocol: u16,
    pub device: Option<Device>,
    pub mark: u32,
}

impl Headers<'_> {
    /// Of a message that has come by none.
    pub const NONE: Headers<'static> = Headers {
        link: &[],
        network: &[],
        transport: &[],
        protocol: 0,
        device: None,
        mark: 0,
    };
}

/// How many bytes of a message are kept, with those of the transport's header; `None`: it is dropped.
pub fn run(program: &Program, headers: &Headers, payload: &[u8]) -> Option<usize> {
    let kept = program.run(&Packet {
        link: headers.link,
        network: headers.network,
        transport: headers.transport,
        payload,
        protocol: headers.protocol,
        device: headers.device,
        mark: headers.mark,
        cpu: arch::cpu::id() as u32,
        random: &|| random::number() as u32,
    });
    (kept > 0).then_some(kept as usize)
}

/// The bytes of a message that a program keeps; `None`: it is dropped. EFAULT, ENOBUFS.
pub fn keep(program: &Program, from: &mut Source) -> Result<Option<Vec<u8>>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(from.len()).map_err(|_| Errno::ENOBUFS)?;
    bytes.resize(from.len(), 0);
    if !bytes.is_empty() && from.get(&mut bytes)? < bytes.len() {
        return Err(Errno::EFAULT);
    }
    Ok(run(program, &Headers::NONE, &bytes).map(|kept| {
        bytes.truncate(kept);
        bytes
    }))
}
