//! Process groups and sessions: credentials(7), setpgid(2), setsid(2).

use super::{Process, table};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use libsyscall::abi::Errno;

/// setpgid(2): puts `pid` (0: the caller) into `group` (0: its own).
pub fn set_group(caller: &Arc<Process>, pid: i32, group: i32) -> Result<(), Errno> {
    if group < 0 {
        return Err(Errno::EINVAL);
    }
    let table = table::lock();
    let pid = if pid == 0 { caller.pid } else { pid };
    let target = table.processes.get(&pid).ok_or(Errno::ESRCH)?;
    if pid != caller.pid {
        if target.parent_id() != caller.pid {
            return Err(Errno::ESRCH);
        }
        if target.has_executed.load(Acquire) {
            return Err(Errno::EACCES);
        }
    }
    let group = if group == 0 { pid } else { group };
    let is_leader = target.session() == pid;
    let exists = group == pid
        || table
            .processes
            .values()
            .any(|other| other.group() == group && other.session() == target.session());
    if is_leader || target.session() != caller.session() || !exists {
        return Err(Errno::EPERM);
    }
    target.set_group(&table, group);
    Ok(())
}

/// setsid(2): the new session's number. EPERM for the leader of a process group.
pub fn new_session(caller: &Arc<Process>) -> Result<i32, Errno> {
    let table = table::lock();
    if table.processes.values().any(|other| other.group() == caller.pid) {
        return Err(Errno::EPERM);
    }
    caller.set_session(&table, caller.pid);
    caller.set_group(&table, caller.pid);
    Ok(caller.pid)
}

/// Whether `parent` ties its child's process group to another one of its session: job control can continue the group.
pub fn is_link(child: &Process, parent: &Process) -> bool {
    child.group() != parent.group() && child.session() == parent.session()
}

/// Whether no member of a process group has a parent that could continue it after a stop: then nothing of the terminal
/// stops it. Process 1 continues its own children, not those it has adopted.
pub fn is_orphaned(group: i32) -> bool {
    let table = table::lock();
    let is_tied = |member: &Arc<Process>| {
        let parent = table.processes.get(&member.parent_id());
        parent.is_some_and(|parent| is_link(member, parent))
            && !(member.parent_id() == 1 && member.is_adopted.load(Relaxed))
            && !member.is_ending()
    };
    !table
        .processes
        .values()
        .any(|member| member.group() == group && is_tied(member))
}
