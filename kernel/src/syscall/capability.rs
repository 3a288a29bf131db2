//! capabilities(7), as far as they can be asked for: user 0 has them all.

use super::Call;
use super::table::Line;
use crate::mm::user;
use crate::task::table;
use libsyscall::abi::process::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[(nr::CAPGET, capget)];

/// The capabilities of a process in halves of 32 bits, each with its effective, permitted and inheritable ones. EINVAL:
/// an unknown version, for which the newest is written; without room for an answer that is all that was asked.
fn capget(call: &mut Call) -> Result<usize, Errno> {
    let (header, answer) = (call.arg(0), call.arg(1));
    let [version, pid]: [u32; 2] = user::read(header)?;
    let halves = match version {
        LINUX_CAPABILITY_VERSION_1 => 1,
        LINUX_CAPABILITY_VERSION_2 | LINUX_CAPABILITY_VERSION_3 => 2,
        _ => {
            user::write(header, &LINUX_CAPABILITY_VERSION_3)?;
            return if answer == 0 { Ok(0) } else { Err(Errno::EINVAL) };
        }
    };
    if answer == 0 {
        return Ok(0);
    }
    let credentials = match pid as i32 {
        ..0 => return Err(Errno::EINVAL),
        0 => call.thread.process.full_credentials().clone(),
        tid => {
            let thread = table::thread(tid).ok_or(Errno::ESRCH)?;
            thread.process.full_credentials().clone()
        }
    };
    let all = |has: bool| if has { ALL_CAPABILITIES } else { 0 };
    let effective = all(credentials.is_privileged());
    let permitted = all(credentials.may_be_privileged());
    let words = [0, 32].map(|shift| [(effective >> shift) as u32, (permitted >> shift) as u32, 0]);
    let bytes = words.as_flattened().iter().flat_map(|word| word.to_ne_bytes());
    let mut answer_bytes = [0; 24];
    answer_bytes.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    user::write_bytes(answer, &answer_bytes[..12 * halves])?;
    Ok(0)
}
