//! The system as a whole: uname(2), sysinfo(2), getrandom(2) and their like.

use super::Call;
use super::table::{Line, line};
use super::time::timeval;
use crate::mm::{frame, user};
use crate::task::table;
use crate::task::usage::Usage;
use crate::{arch, time};
use libsyscall::abi::capability::CAP_SYS_ADMIN;
use libsyscall::abi::process::*;
use libsyscall::abi::time::NANOSECONDS;
use libsyscall::abi::{Errno, nr};
use sync::SpinLock;

pub const CALLS: &[Line] = &[
    line(nr::UNAME, uname),
    line(nr::SYSINFO, sysinfo),
    line(nr::SETHOSTNAME, sethostname),
    line(nr::GETRUSAGE, getrusage),
    line(nr::PERSONALITY, personality),
];

const FIELD_LEN: usize = 65;
pub const NAME: &str = "Linux";
/// What programs compare with the kernels they know; the rules they may then expect are those of 6.18.
pub const RELEASE: &str = "6.18.0-vigil";
pub const VERSION: &str = concat!("#1 SMP Vigil ", env!("CARGO_PKG_VERSION"));

/// The node's name and its length.
static HOSTNAME: SpinLock<([u8; 64], usize)> = SpinLock::new(initial_hostname());

const fn initial_hostname() -> ([u8; 64], usize) {
    let (name, mut bytes, mut at) = (b"vigil", [0; 64], 0);
    while at < name.len() {
        bytes[at] = name[at];
        at += 1;
    }
    (bytes, name.len())
}

/// The node's name.
pub fn hostname() -> alloc::vec::Vec<u8> {
    let name = HOSTNAME.lock();
    name.0[..name.1].to_vec()
}

fn uname(call: &mut Call) -> Result<(), Errno> {
    let mut bytes = [0; 6 * FIELD_LEN];
    let node = hostname();
    let fields: [&[u8]; 6] = [
        b"Linux",
        &node,
        RELEASE.as_bytes(),
        VERSION.as_bytes(),
        arch::MACHINE.as_bytes(),
        b"(none)",
    ];
    for (index, field) in fields.into_iter().enumerate() {
        bytes[index * FIELD_LEN..][..field.len()].copy_from_slice(field);
    }
    user::write_bytes(call.arg(0), &bytes)
}

fn sethostname(call: &mut Call) -> Result<(), Errno> {
    if !call.thread().credentials().has(CAP_SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let len = call.arg(1);
    if len > 64 {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; 64];
    user::read_bytes(call.arg(0), &mut bytes[..len])?;
    *HOSTNAME.lock() = (bytes, len);
    Ok(())
}

/// struct sysinfo, in words; the memory unit is a byte.
fn sysinfo(call: &mut Call) -> Result<(), Errno> {
    let (total, free) = frame::totals();
    let mut words = [0u64; 14];
    words[0] = time::now_ns() / NANOSECONDS;
    // Load averages are not kept; 1, 2, 3.
    words[4] = (total * arch::PAGE_SIZE) as u64;
    words[5] = (free * arch::PAGE_SIZE) as u64;
    words[10] = table::counts().1.min(u16::MAX as usize) as u64;
    // mem_unit, an int behind two words of "high memory".
    words[13] = 1;
    user::write(call.arg(0), &words)
}

/// getrusage(2).
fn getrusage(call: &mut Call) -> Result<(), Errno> {
    let process = &call.thread().process;
    let usage = match call.int(0) {
        RUSAGE_SELF => process.usage(),
        RUSAGE_THREAD => call.thread().usage(),
        RUSAGE_CHILDREN => process.children_usage(),
        _ => return Err(Errno::EINVAL),
    };
    user::write(call.arg(1), &rusage(usage))
}

/// struct rusage: all CPU time counts as user time; then the most memory in KiB, and page faults that read nothing from a
/// disk, of which there is none. The other counts are not kept.
pub fn rusage(usage: Usage) -> [u64; 18] {
    const MAX_RSS: usize = 4;
    const MINOR_FAULTS: usize = 8;
    let mut words = [0; 18];
    words[..2].copy_from_slice(&timeval(usage.ran_ns));
    words[MAX_RSS] = usage.peak as u64 / 1024;
    words[MINOR_FAULTS] = usage.faults;
    words
}

/// Only the standard one; asking (0xffffffff) is no change.
fn personality(call: &mut Call) -> Result<usize, Errno> {
    match call.uint(0) {
        0 | u32::MAX => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
