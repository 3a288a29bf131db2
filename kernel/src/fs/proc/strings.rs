//! /proc/PID/cmdline and environ: what lies in the program's memory now. A program shows there what it does, as
//! setproctitle(3) has it.

use super::process::Subject;
use crate::arch::PAGE_SIZE;
use crate::mm::space::AddressSpace;
use crate::mm::user::Sink;
use crate::trap::Access;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use libsyscall::abi::Errno;

pub fn command_line(subject: &Subject, text: &mut String) -> Result<(), Errno> {
    let process = subject.find()?;
    let Some(space) = process.try_space() else {
        return Ok(());
    };
    let range = space.strings().arguments;
    let mut bytes = read(&space, range.clone())?;
    // A title longer than the arguments were goes on where the environment was, up to its own NUL.
    let is_title = bytes.len() == range.len() && bytes.last().is_some_and(|&last| last != 0);
    if is_title {
        bytes = read(&space, range.start..range.start + PAGE_SIZE)?;
        if let Some(nul) = bytes.iter().position(|&byte| byte == 0) {
            bytes.truncate(nul + 1);
        }
    }
    text.push_str(&String::from_utf8_lossy(&bytes));
    Ok(())
}

pub fn environment(subject: &Subject, text: &mut String) -> Result<(), Errno> {
    let process = subject.find()?;
    if let Some(space) = process.try_space() {
        let bytes = read(&space, space.strings().environment)?;
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    Ok(())
}

/// The bytes of a range, up to the first that cannot be read.
fn read(space: &AddressSpace, range: Range<usize>) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(range.len()).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(range.len(), 0);
    let mut done = 0;
    while done < bytes.len() {
        let at = range.start + done;
        let len = (PAGE_SIZE - at % PAGE_SIZE).min(bytes.len() - done);
        let Ok(page) = space.page(at, Access::Read) else {
            break;
        };
        Sink::kernel(&mut bytes[done..done + len]).put_frame(&page, at % PAGE_SIZE, len)?;
        done += len;
    }
    bytes.truncate(done);
    Ok(bytes)
}
