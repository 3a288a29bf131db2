//! Who a process acts for and what it may: credentials(7), capabilities(7).

use super::Call;
use super::table::Line;
use crate::mm::user;
use crate::task::table;
use alloc::vec::Vec;
use libsyscall::abi::capability::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    (nr::GETUID, getuid),
    (nr::GETEUID, geteuid),
    (nr::GETGID, getgid),
    (nr::GETEGID, getegid),
    (nr::SETUID, setuid),
    (nr::SETGID, setgid),
    (nr::SETREUID, setreuid),
    (nr::SETREGID, setregid),
    (nr::SETRESUID, setresuid),
    (nr::SETRESGID, setresgid),
    (nr::GETRESUID, getresuid),
    (nr::GETRESGID, getresgid),
    (nr::GETGROUPS, getgroups),
    (nr::SETGROUPS, setgroups),
    (nr::CAPGET, capget),
    (nr::CAPSET, capset),
];

fn getuid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().process.full_credentials().uid.real as usize)
}

fn geteuid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().process.full_credentials().uid.effective as usize)
}

fn getgid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().process.full_credentials().gid.real as usize)
}

fn getegid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().process.full_credentials().gid.effective as usize)
}

fn setuid(call: &mut Call) -> Result<usize, Errno> {
    let mut credentials = call.thread().process.full_credentials();
    credentials.change_user(|ids, any| ids.set(call.uint(0), any))?;
    Ok(0)
}

fn setgid(call: &mut Call) -> Result<usize, Errno> {
    let mut credentials = call.thread().process.full_credentials();
    let privileged = credentials.has(CAP_SETGID);
    credentials.gid.set(call.uint(0), privileged).map(|()| 0)
}

fn setreuid(call: &mut Call) -> Result<usize, Errno> {
    let mut credentials = call.thread().process.full_credentials();
    credentials.change_user(|ids, any| ids.set_two(call.uint(0), call.uint(1), any))?;
    Ok(0)
}

fn setregid(call: &mut Call) -> Result<usize, Errno> {
    let mut credentials = call.thread().process.full_credentials();
    let privileged = credentials.has(CAP_SETGID);
    credentials
        .gid
        .set_two(call.uint(0), call.uint(1), privileged)
        .map(|()| 0)
}

fn setresuid(call: &mut Call) -> Result<usize, Errno> {
    let mut credentials = call.thread().process.full_credentials();
    credentials.change_user(|ids, any| ids.set_all(call.uint(0), call.uint(1), call.uint(2), any))?;
    Ok(0)
}

fn setresgid(call: &mut Call) -> Result<usize, Errno> {
    let mut credentials = call.thread().process.full_credentials();
    let privileged = credentials.has(CAP_SETGID);
    credentials
        .gid
        .set_all(call.uint(0), call.uint(1), call.uint(2), privileged)
        .map(|()| 0)
}

fn getresuid(call: &mut Call) -> Result<usize, Errno> {
    let ids = call.thread().process.full_credentials().uid;
    for (n, id) in [ids.real, ids.effective, ids.saved].into_iter().enumerate() {
        user::write(call.arg(n), &id)?;
    }
    Ok(0)
}

fn getresgid(call: &mut Call) -> Result<usize, Errno> {
    let ids = call.thread().process.full_credentials().gid;
    for (n, id) in [ids.real, ids.effective, ids.saved].into_iter().enumerate() {
        user::write(call.arg(n), &id)?;
    }
    Ok(0)
}

/// NGROUPS_MAX.
const GROUPS_MAX: usize = 65536;

fn getgroups(call: &mut Call) -> Result<usize, Errno> {
    let groups = call.thread().process.full_credentials().groups.clone();
    let room = usize::try_from(call.int(0)).map_err(|_| Errno::EINVAL)?;
    if room != 0 {
        if room < groups.len() {
            return Err(Errno::EINVAL);
        }
        for (index, group) in groups.iter().enumerate() {
            user::write(call.arg(1) + index * size_of::<u32>(), group)?;
        }
    }
    Ok(groups.len())
}

fn setgroups(call: &mut Call) -> Result<usize, Errno> {
    if !call.thread().process.full_credentials().has(CAP_SETGID) {
        return Err(Errno::EPERM);
    }
    let count = call.arg(0);
    if count > GROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let groups: Vec<u32> = (0..count)
        .map(|index| user::read(call.arg(1) + index * size_of::<u32>()))
        .collect::<Result<_, _>>()?;
    call.thread().process.full_credentials().groups = groups.into();
    Ok(0)
}

/// The header of capget(2) and capset(2): the process it is about, and halves in a set. An unknown version is EINVAL and
/// becomes the known one.
fn capability_header(call: &Call) -> Result<(i32, usize), Errno> {
    let header: CapabilityHeader = user::read(call.arg(0))?;
    match header.version {
        CAPABILITY_VERSION_1 => Ok((header.pid, 1)),
        CAPABILITY_VERSION_2 | CAPABILITY_VERSION_3 => Ok((header.pid, 2)),
        _ => {
            user::write(call.arg(0), &CAPABILITY_VERSION_3)?;
            Err(Errno::EINVAL)
        }
    }
}

fn capget(call: &mut Call) -> Result<usize, Errno> {
    let (pid, halves) = match capability_header(call) {
        // Without sets it only asks for the version.
        Err(Errno::EINVAL) | Ok(_) if call.arg(1) == 0 => return Ok(0),
        header => header?,
    };
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    let process = match pid {
        0 => call.thread().process.clone(),
        tid => table::thread(tid).ok_or(Errno::ESRCH)?.process.clone(),
    };
    let sets = process.full_credentials().capabilities;
    for half in 0..halves {
        let part = |set: u64| (set >> (32 * half)) as u32;
        let data = CapabilityData {
            effective: part(sets.effective),
            permitted: part(sets.permitted),
            inheritable: part(sets.inheritable),
        };
        user::write(call.arg(1).wrapping_add(half * size_of::<CapabilityData>()), &data)?;
    }
    Ok(0)
}

fn capset(call: &mut Call) -> Result<usize, Errno> {
    let (pid, halves) = capability_header(call)?;
    if pid != 0 && pid != call.thread().tid() {
        return Err(Errno::EPERM);
    }
    let [mut effective, mut permitted, mut inheritable] = [0; 3];
    for half in 0..halves {
        let data: CapabilityData = user::read(call.arg(1).wrapping_add(half * size_of::<CapabilityData>()))?;
        let whole = |part: u32| u64::from(part) << (32 * half);
        effective |= whole(data.effective);
        permitted |= whole(data.permitted);
        inheritable |= whole(data.inheritable);
    }
    let mut credentials = call.thread().process.full_credentials();
    credentials.capabilities.set(effective, permitted, inheritable)?;
    Ok(0)
}
