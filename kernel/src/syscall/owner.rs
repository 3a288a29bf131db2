//! Who hears of a descriptor by signals: O_ASYNC, F_SETOWN, F_SETSIG and their kind, fcntl(2).

use super::Call;
use crate::file::OpenFile;
use crate::file::signal_driven::Owner;
use crate::mm::user;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::signal::SIGNAL_COUNT;

/// The commands of fcntl(2) about it.
pub fn control(call: &Call, open: &OpenFile, command: u32) -> Result<usize, Errno> {
    let signals = open.signals();
    match command {
        F_GETOWN => return Ok(open.owner_number() as isize as usize),
        F_GETSIG => return Ok(signals.map_or(0, |signals| signals.signal()) as usize),
        F_GETOWN_EX => {
            let owner = signals.map(|signals| signals.owner()).unwrap_or_default();
            let kind = match owner {
                Owner::Nobody | Owner::Thread(_) => F_OWNER_TID,
                Owner::Process(_) => F_OWNER_PID,
                Owner::Group(_) => F_OWNER_PGRP,
            };
            user::write(call.arg(2), &[kind, owner.number().abs()])?;
        }
        F_SETOWN => open.set_owner_number(call.int(2))?,
        F_SETOWN_EX => {
            let [kind, number]: [i32; 2] = user::read(call.arg(2))?;
            let owner = match kind {
                F_OWNER_TID | F_OWNER_PID | F_OWNER_PGRP if number == 0 => Owner::Nobody,
                F_OWNER_TID => Owner::thread(number)?,
                F_OWNER_PID => Owner::process(number)?,
                F_OWNER_PGRP => Owner::group(number)?,
                _ => return Err(Errno::EINVAL),
            };
            open.signals_or_new().set_owner(owner)?;
        }
        // F_SETSIG.
        _ => {
            let signal = u32::try_from(call.arg(2)).unwrap_or(u32::MAX);
            if signal > SIGNAL_COUNT {
                return Err(Errno::EINVAL);
            }
            open.signals_or_new().set_signal(signal);
        }
    }
    Ok(0)
}

/// FIOASYNC: ENOTTY for a file that sends no signals.
pub fn set_async(open: &OpenFile, fd: i32, on: bool) -> Result<usize, Errno> {
    if on != (open.flags() & O_ASYNC != 0) && !open.file.sends_signals() {
        return Err(Errno::ENOTTY);
    }
    open.set_async(fd, on).map(|()| 0)
}
