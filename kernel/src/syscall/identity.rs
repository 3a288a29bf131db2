//! Who a thread acts for and what it may: credentials(7), capabilities(7).

use super::Call;
use super::table::{Line, line};
use crate::mm::user;
use crate::task::capabilities::Capabilities;
use crate::task::credentials::Ids;
use crate::task::table;
use alloc::vec::Vec;
use libsyscall::abi::capability::*;
use libsyscall::abi::process::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::GETUID, getuid),
    line(nr::GETEUID, geteuid),
    line(nr::GETGID, getgid),
    line(nr::GETEGID, getegid),
    line(nr::SETUID, setuid),
    line(nr::SETGID, setgid),
    line(nr::SETREUID, setreuid),
    line(nr::SETREGID, setregid),
    line(nr::SETRESUID, setresuid),
    line(nr::SETRESGID, setresgid),
    line(nr::GETRESUID, getresuid),
    line(nr::GETRESGID, getresgid),
    line(nr::SETFSUID, setfsuid),
    line(nr::SETFSGID, setfsgid),
    line(nr::GETGROUPS, getgroups),
    line(nr::SETGROUPS, setgroups),
    line(nr::CAPGET, capget),
    line(nr::CAPSET, capset),
];

fn getuid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().credentials().uid.real as usize)
}

fn geteuid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().credentials().uid.effective as usize)
}

fn getgid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().credentials().gid.real as usize)
}

fn getegid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().credentials().gid.effective as usize)
}

fn change_user(call: &Call, change: impl FnOnce(&mut Ids, bool) -> Result<(), Errno>) -> Result<(), Errno> {
    call.thread()
        .change_credentials(|credentials| credentials.change_user(change))?;
    Ok(())
}

fn change_group(call: &Call, change: impl FnOnce(&mut Ids, bool) -> Result<(), Errno>) -> Result<(), Errno> {
    call.thread()
        .change_credentials(|credentials| credentials.change_group(change))?;
    Ok(())
}

fn setuid(call: &mut Call) -> Result<(), Errno> {
    change_user(call, |ids, any| ids.set(call.uint(0), any))
}

fn setgid(call: &mut Call) -> Result<(), Errno> {
    change_group(call, |ids, any| ids.set(call.uint(0), any))
}

fn setreuid(call: &mut Call) -> Result<(), Errno> {
    change_user(call, |ids, any| ids.set_two(call.uint(0), call.uint(1), any))
}

fn setregid(call: &mut Call) -> Result<(), Errno> {
    change_group(call, |ids, any| ids.set_two(call.uint(0), call.uint(1), any))
}

fn setresuid(call: &mut Call) -> Result<(), Errno> {
    change_user(call, |ids, any| {
        ids.set_all(call.uint(0), call.uint(1), call.uint(2), any)
    })
}

fn setresgid(call: &mut Call) -> Result<(), Errno> {
    change_group(call, |ids, any| {
        ids.set_all(call.uint(0), call.uint(1), call.uint(2), any)
    })
}

/// The former identity, also where the wish is not granted.
fn setfsuid(call: &mut Call) -> Result<usize, Errno> {
    let former = call
        .thread()
        .change_credentials(|credentials| Ok(credentials.set_file_user(call.uint(0))))?;
    Ok(former as usize)
}

fn setfsgid(call: &mut Call) -> Result<usize, Errno> {
    let former = call
        .thread()
        .change_credentials(|credentials| Ok(credentials.set_file_group(call.uint(0))))?;
    Ok(former as usize)
}

fn getresuid(call: &mut Call) -> Result<(), Errno> {
    let ids = call.thread().credentials().uid;
    write_three(call, &ids)
}

fn getresgid(call: &mut Call) -> Result<(), Errno> {
    let ids = call.thread().credentials().gid;
    write_three(call, &ids)
}

fn write_three(call: &Call, ids: &Ids) -> Result<(), Errno> {
    for (n, id) in ids.three().iter().enumerate() {
        user::write(call.arg(n), id)?;
    }
    Ok(())
}

/// NGROUPS_MAX.
const GROUPS_MAX: usize = 65536;

fn getgroups(call: &mut Call) -> Result<usize, Errno> {
    let groups = call.thread().credentials().groups.clone();
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

fn setgroups(call: &mut Call) -> Result<(), Errno> {
    if !call.thread().credentials().has(CAP_SETGID) {
        return Err(Errno::EPERM);
    }
    let count = call.arg(0);
    if count > GROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let groups: Vec<u32> = (0..count)
        .map(|index| user::read(call.arg(1) + index * size_of::<u32>()))
        .collect::<Result<_, _>>()?;
    call.thread().change_credentials(|credentials| {
        credentials.groups = groups.into();
        Ok(())
    })
}

/// The header of capget(2) and capset(2): the thread it is about, and halves in a set. An unknown version is EINVAL and
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

fn capget(call: &mut Call) -> Result<(), Errno> {
    let (pid, halves) = match capability_header(call) {
        // Without sets it only asks for the version.
        Err(Errno::EINVAL) | Ok(_) if call.arg(1) == 0 => return Ok(()),
        header => header?,
    };
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    let sets = match pid {
        0 => call.thread().credentials().capabilities,
        tid => table::credentials(tid).ok_or(Errno::ESRCH)?.capabilities,
    };
    for half in 0..halves {
        let part = |set: u64| (set >> (32 * half)) as u32;
        let data = CapabilityData {
            effective: part(sets.effective),
            permitted: part(sets.permitted),
            inheritable: part(sets.inheritable),
        };
        user::write(call.arg(1).wrapping_add(half * size_of::<CapabilityData>()), &data)?;
    }
    Ok(())
}

fn capset(call: &mut Call) -> Result<(), Errno> {
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
    call.thread()
        .change_credentials(|credentials| credentials.capabilities.set(effective, permitted, inheritable))
}

/// What prctl(2) says of them. It takes unsigned longs, and says EINVAL where those after the last are not 0.
pub fn privileges(call: &Call) -> Result<usize, Errno> {
    let thread = call.thread();
    let sets = thread.credentials().capabilities;
    let rest_is_zero = |from: usize| (from..5).all(|n| call.arg(n) == 0);
    let has = |set: u64| (set >> call.arg(1) & 1) as usize;
    let change = |change: &dyn Fn(&mut Capabilities) -> Result<(), Errno>| {
        thread.change_credentials(|credentials| change(&mut credentials.capabilities).map(|()| 0))
    };
    match call.int(0) {
        PR_GET_KEEPCAPS => Ok(usize::from(sets.are_kept())),
        PR_SET_KEEPCAPS if call.arg(1) <= 1 => change(&|sets| sets.set_kept(call.arg(1) == 1)),
        PR_CAPBSET_READ if call.arg(1) <= CAP_LAST as usize => Ok(has(sets.bounding)),
        PR_CAPBSET_DROP if !sets.has(CAP_SETPCAP) => Err(Errno::EPERM),
        PR_CAPBSET_DROP if call.arg(1) <= CAP_LAST as usize => change(&|sets| {
            sets.bounding &= !(1 << call.arg(1));
            Ok(())
        }),
        PR_GET_SECUREBITS => Ok(sets.secure_bits as usize),
        PR_SET_SECUREBITS => change(&|sets| sets.set_secure_bits(call.arg(1))),
        PR_GET_NO_NEW_PRIVS if rest_is_zero(1) => Ok(usize::from(thread.credentials().no_new_privileges)),
        PR_SET_NO_NEW_PRIVS if call.arg(1) == 1 && rest_is_zero(2) => thread.change_credentials(|credentials| {
            credentials.no_new_privileges = true;
            Ok(0)
        }),
        PR_CAP_AMBIENT => ambient(call),
        _ => Err(Errno::EINVAL),
    }
}

/// prctl(PR_CAP_AMBIENT): EINVAL, EPERM.
fn ambient(call: &Call) -> Result<usize, Errno> {
    let (operation, number) = (call.arg(1), call.arg(2));
    let has_zeroes = call.arg(3) == 0 && call.arg(4) == 0;
    let is_known = match operation {
        PR_CAP_AMBIENT_CLEAR_ALL => number == 0,
        PR_CAP_AMBIENT_IS_SET | PR_CAP_AMBIENT_RAISE | PR_CAP_AMBIENT_LOWER => number <= CAP_LAST as usize,
        _ => false,
    };
    if !has_zeroes || !is_known {
        return Err(Errno::EINVAL);
    }
    let thread = call.thread();
    if operation == PR_CAP_AMBIENT_IS_SET {
        let ambient = thread.credentials().capabilities.ambient;
        return Ok((ambient >> number & 1) as usize);
    }
    thread.change_credentials(|credentials| {
        let sets = &mut credentials.capabilities;
        match operation {
            PR_CAP_AMBIENT_RAISE => sets.raise_ambient(number as u32)?,
            PR_CAP_AMBIENT_LOWER => sets.ambient &= !(1 << number),
            _ => sets.ambient = 0,
        }
        Ok(0)
    })
}
