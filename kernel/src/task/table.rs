//! Who is who: every process and every thread by its number. One lock guards the table and what it says about kinship
//! (parents, process groups, sessions), so a walk over a family sees one moment of it.
//!
//! The lock is taken before a process's signal lock and never while a run queue's is held.

use super::credentials::Credentials;
use super::{Process, Thread};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};
use sync::{SpinGuard, SpinLock};

/// Every process that has not been reaped and every thread that has not ended.
pub struct Table {
    pub processes: BTreeMap<i32, Arc<Process>>,
    pub threads: BTreeMap<i32, Arc<Thread>>,
}

static TABLE: SpinLock<Table> = SpinLock::new(Table {
    processes: BTreeMap::new(),
    threads: BTreeMap::new(),
});

/// Numbers wrap here, as Linux's default `pid_max` for 64-bit machines does.
pub const PID_MAX: i32 = 4_194_304;
/// Numbers below this are not given again after a wrap.
const RESERVED: i32 = 300;
/// The next number, were there no end to them.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// The first program's; 0 while there is none.
static FIRST: AtomicI32 = AtomicI32::new(0);
/// The number given last, for /proc/loadavg.
static LAST_ID: AtomicI32 = AtomicI32::new(0);

/// The table, locked.
pub fn lock() -> SpinGuard<'static, Table> {
    TABLE.lock()
}

/// A number that no process, thread, process group or session has.
pub fn new_id() -> i32 {
    loop {
        let number = NEXT.fetch_add(1, Relaxed);
        let (id, is_used) = match number.checked_sub(PID_MAX as u64) {
            // Nobody has ever had it.
            None => (number as i32, false),
            Some(after) => {
                let id = RESERVED + (after % (PID_MAX - RESERVED) as u64) as i32;
                (id, is_used(id))
            }
        };
        if !is_used {
            LAST_ID.store(id, Relaxed);
            return id;
        }
    }
}

#[cold]
fn is_used(id: i32) -> bool {
    let table = TABLE.lock();
    table.processes.contains_key(&id)
        || table.threads.contains_key(&id)
        || table.processes.values().any(|p| p.group() == id || p.session() == id)
}

/// A number for the first program. An init is process 1. A program by itself is process 2, as if an init had started it: a
/// program takes 1 as its parent's number for the sign that its parent has ended.
pub fn first_id(is_init: bool) -> i32 {
    if !is_init {
        NEXT.fetch_max(2, Relaxed);
    }
    let id = new_id();
    FIRST.store(id, Relaxed);
    id
}

/// The first program's number.
pub fn first() -> i32 {
    FIRST.load(Relaxed)
}

/// The number given out last.
pub fn last_id() -> i32 {
    LAST_ID.load(Relaxed)
}

pub fn process(pid: i32) -> Option<Arc<Process>> {
    TABLE.lock().processes.get(&pid).cloned()
}

pub fn thread(tid: i32) -> Option<Arc<Thread>> {
    TABLE.lock().threads.get(&tid).cloned()
}

/// The credentials of a thread by its number; that of a process's first thread stands for it also after its end.
pub fn credentials(tid: i32) -> Option<Arc<Credentials>> {
    match thread(tid) {
        Some(thread) => Some(thread.credentials().clone()),
        None => process(tid).map(|process| process.credentials().clone()),
    }
}

/// Every process, in order of its number.
pub fn processes() -> Vec<Arc<Process>> {
    TABLE.lock().processes.values().cloned().collect()
}

pub fn threads() -> Vec<Arc<Thread>> {
    TABLE.lock().threads.values().cloned().collect()
}

/// The processes of a group.
pub fn group(group: i32) -> Vec<Arc<Process>> {
    TABLE
        .lock()
        .processes
        .values()
        .filter(|process| process.group() == group)
        .cloned()
        .collect()
}

/// (processes, threads), for sysinfo(2) and /proc/stat.
pub fn counts() -> (usize, usize) {
    let table = TABLE.lock();
    (table.processes.len(), table.threads.len())
}

impl Table {
    /// The children of a process.
    pub fn children(&self, pid: i32) -> impl Iterator<Item = &Arc<Process>> {
        self.processes
            .values()
            .filter(move |process| process.parent_id() == pid)
    }
}
