//! A process: what its threads share.

use super::credentials::Credentials;
use super::signal::{Pending, ProcessSignals};
use super::usage::Usage;
use super::{Thread, sched, table};
use crate::file::FdTable;
use crate::fs::Place;
use crate::mm::space::AddressSpace;
use crate::time::signal_timer::Timers;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use event::WaitQueue;
use libsyscall::abi::Errno;
use libsyscall::abi::process::*;
use sync::{SpinGuard, SpinLock};

/// [`Process::ending`] while nobody has ended it.
const ALIVE: i32 = -1;

pub struct Process {
    pub pid: i32,
    /// Gone when the process has ended.
    space: SpinLock<Option<Arc<AddressSpace>>>,
    threads: SpinLock<Vec<Arc<Thread>>>,

    /// Guarded by the table's lock (`table.rs`), read without.
    parent: AtomicI32,
    group: AtomicI32,
    session: AtomicI32,
    /// Its parent has ended, and process 1 has taken it.
    pub is_adopted: AtomicBool,
    /// It has called execve(2), after which setpgid(2) by its parent fails.
    pub has_executed: AtomicBool,

    pub(super) signals: SpinLock<ProcessSignals>,
    /// Signals for any of its threads.
    pub(super) pending: Pending,
    pub(super) signal_arrivals: WaitQueue,
    /// Signal to the parent at the end; SIGCHLD but for clone(2)'s word.
    pub exit_signal: AtomicU32,
    /// The wait status of exit_group(2) or a fatal signal, as soon as there is one.
    ending: AtomicI32,
    /// What wait4(2) has to tell, see `wait.rs`.
    pub(super) report: SpinLock<super::wait::Report>,
    /// Woken when it becomes a zombie and when it is reaped: pidfd.
    pub(super) exit_queue: WaitQueue,
    /// The parent that sleeps until this vfork(2) child executes or ends.
    pub(super) vfork_parent: SpinLock<Option<Arc<Thread>>>,

    /// Its first thread's, also after that has ended.
    credentials: SpinLock<Arc<Credentials>>,
    limits: SpinLock<[Limit; RLIMIT_COUNT]>,
    /// Soft RLIMIT_NOFILE, where opening a file finds it without a lock.
    file_limit: AtomicU64,
    /// Soft RLIMIT_FSIZE, likewise.
    file_size_limit: AtomicU64,
    /// The thread that ends all others to execute a program.
    pub(super) executing: SpinLock<Option<Arc<Thread>>>,
    /// It takes its descendants' orphans: prctl(PR_SET_CHILD_SUBREAPER).
    pub is_subreaper: AtomicBool,
    /// prctl(PR_SET_DUMPABLE), which execve(2) sets.
    pub dumpable: AtomicU32,
    /// The program it runs: /proc/PID/exe.
    executable: SpinLock<Option<Place>>,
    pub nice: AtomicI32,
    /// /proc/PID/oom_score_adj. Who finds no memory is the one that ends here, so it weighs nothing.
    pub oom_score: AtomicI32,
    /// Where a signal handler without a restorer returns to, in the process's memory.
    pub(super) signal_return: AtomicUsize,

    /// Of setitimer(2) and timer_create(2).
    pub timers: Timers,
    pub started_ns: u64,
    /// CPU time of threads that have ended.
    pub(super) ended_ns: AtomicU64,
    /// Their page faults.
    pub(super) ended_faults: AtomicU64,
    /// The most memory that any of its former spaces had, in bytes.
    pub(super) former_peak: AtomicUsize,
    /// Of children that have been waited for.
    pub(super) children: SpinLock<Usage>,
}

/// One resource's limits, getrlimit(2).
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

fn default_limits() -> [Limit; RLIMIT_COUNT] {
    let unlimited = Limit {
        soft: RLIM_INFINITY,
        hard: RLIM_INFINITY,
    };
    let mut limits = [unlimited; RLIMIT_COUNT];
    limits[RLIMIT_STACK] = Limit {
        soft: 8 << 20,
        hard: RLIM_INFINITY,
    };
    limits[RLIMIT_CORE] = Limit {
        soft: 0,
        hard: RLIM_INFINITY,
    };
    limits[RLIMIT_NOFILE] = Limit {
        soft: 1024,
        hard: 1 << 20,
    };
    limits[RLIMIT_MEMLOCK] = Limit {
        soft: 8 << 20,
        hard: 8 << 20,
    };
    limits[RLIMIT_NPROC] = Limit {
        soft: 32768,
        hard: 32768,
    };
    limits[RLIMIT_SIGPENDING] = Limit {
        soft: 32768,
        hard: 32768,
    };
    limits[RLIMIT_MSGQUEUE] = Limit {
        soft: 819_200,
        hard: 819_200,
    };
    limits[RLIMIT_NICE] = Limit { soft: 0, hard: 0 };
    limits[RLIMIT_RTPRIO] = Limit { soft: 0, hard: 0 };
    limits
}

impl Process {
    fn build(pid: i32, space: Option<Arc<AddressSpace>>, credentials: Arc<Credentials>) -> Process {
        if let Some(space) = &space {
            space.add_user();
        }
        let limits = default_limits();
        Process {
            pid,
            space: SpinLock::new(space),
            threads: SpinLock::default(),
            parent: AtomicI32::new(0),
            group: AtomicI32::new(pid),
            session: AtomicI32::new(pid),
            is_adopted: AtomicBool::new(false),
            has_executed: AtomicBool::new(false),
            signals: SpinLock::default(),
            pending: Pending::default(),
            signal_arrivals: WaitQueue::new(),
            exit_signal: AtomicU32::new(libsyscall::abi::signal::SIGCHLD),
            ending: AtomicI32::new(ALIVE),
            report: SpinLock::default(),
            exit_queue: WaitQueue::new(),
            vfork_parent: SpinLock::new(None),
            credentials: SpinLock::new(credentials),
            file_limit: AtomicU64::new(limits[RLIMIT_NOFILE].soft),
            file_size_limit: AtomicU64::new(RLIM_INFINITY),
            executing: SpinLock::new(None),
            is_subreaper: AtomicBool::new(false),
            dumpable: AtomicU32::new(1),
            limits: SpinLock::new(limits),
            executable: SpinLock::new(None),
            nice: AtomicI32::new(0),
            oom_score: AtomicI32::new(0),
            signal_return: AtomicUsize::new(0),
            timers: Timers::default(),
            started_ns: crate::time::now_ns(),
            ended_ns: AtomicU64::new(0),
            ended_faults: AtomicU64::new(0),
            former_peak: AtomicUsize::new(0),
            children: SpinLock::default(),
        }
    }

    /// The kernel's own.
    pub(super) fn kernel() -> Arc<Process> {
        Arc::new(Process::build(0, None, Arc::default()))
    }

    /// The first program's process.
    pub fn first(pid: i32, session: i32, space: Arc<AddressSpace>) -> Arc<Process> {
        let mut process = Process::build(pid, Some(space), Arc::default());
        process.session = AtomicI32::new(session);
        process.parent = AtomicI32::new(if pid == 1 { 0 } else { 1 });
        Arc::new(process)
    }

    /// A child that the running thread makes.
    pub(super) fn child(maker: &Thread, space: Arc<AddressSpace>, signals: ProcessSignals) -> Arc<Process> {
        let parent = &maker.process;
        let credentials = maker.credentials().clone();
        let mut process = Process::build(table::new_id(), Some(space), credentials);
        process.parent = AtomicI32::new(parent.pid);
        process.group = AtomicI32::new(parent.group());
        process.session = AtomicI32::new(parent.session());
        process.signals = SpinLock::new(signals);
        process.limits = SpinLock::new(*parent.limits.lock());
        process.file_limit = AtomicU64::new(parent.file_limit.load(Relaxed));
        process.file_size_limit = AtomicU64::new(parent.file_size_limit.load(Relaxed));
        process.dumpable = AtomicU32::new(parent.dumpable.load(Relaxed));
        process.executable = SpinLock::new(parent.executable.lock().clone());
        process.nice = AtomicI32::new(parent.nice.load(Relaxed));
        process.oom_score = AtomicI32::new(parent.oom_score.load(Relaxed));
        process.signal_return = AtomicUsize::new(parent.signal_return.load(Relaxed));
        Arc::new(process)
    }

    /// The descriptors of its first thread, or of another where that one has ended; `None` where all have.
    pub fn files(&self) -> Option<Arc<FdTable>> {
        self.threads().first().map(|thread| thread.files().clone())
    }

    /// The address space of a process that runs.
    pub fn space(&self) -> Arc<AddressSpace> {
        self.try_space().expect("a running process has an address space")
    }

    /// Where its address space stands, for [`super::with_space`].
    #[inline]
    pub(super) fn space_slot(&self) -> *const Option<Arc<AddressSpace>> {
        self.space.as_ptr()
    }

    /// The address space; `None` for zombies and the kernel.
    pub fn try_space(&self) -> Option<Arc<AddressSpace>> {
        self.space.lock().clone()
    }

    pub(super) fn space_id(&self) -> usize {
        self.space.lock().as_ref().map_or(0, sched::id_of)
    }

    /// execve(2) and the end: the former space, to be dropped when this CPU has left it.
    pub(super) fn replace_space(&self, space: Option<Arc<AddressSpace>>) -> Option<Arc<AddressSpace>> {
        if let Some(space) = &space {
            space.add_user();
        }
        let former = core::mem::replace(&mut *self.space.lock(), space);
        if let Some(space) = &former {
            self.former_peak.fetch_max(space.peak(), Relaxed);
            space.remove_user();
        }
        former
    }

    /// The threads that have not ended. Taken after the signal lock where both are.
    pub fn threads(&self) -> SpinGuard<'_, Vec<Arc<Thread>>> {
        self.threads.lock()
    }

    pub fn parent_id(&self) -> i32 {
        self.parent.load(Relaxed)
    }

    pub(super) fn set_parent(&self, _table: &table::Table, pid: i32) {
        self.parent.store(pid, Relaxed);
    }

    pub fn group(&self) -> i32 {
        self.group.load(Relaxed)
    }

    pub fn session(&self) -> i32 {
        self.session.load(Relaxed)
    }

    pub(super) fn set_group(&self, _table: &table::Table, group: i32) {
        self.group.store(group, Relaxed);
    }

    pub(super) fn set_session(&self, _table: &table::Table, session: i32) {
        self.session.store(session, Relaxed);
    }

    pub fn is_ending(&self) -> bool {
        self.ending.load(Acquire) != ALIVE
    }

    /// Sets the status the process ends with; false where another one came first.
    pub(super) fn begin_ending(&self, status: i32) -> bool {
        self.ending.compare_exchange(ALIVE, status, AcqRel, Acquire).is_ok()
    }

    pub(super) fn ending_status(&self) -> Option<i32> {
        Some(self.ending.load(Acquire)).filter(|&status| status != ALIVE)
    }

    /// Whether it has ended and not been waited for.
    pub fn is_zombie(&self) -> bool {
        self.report.lock().is_zombie()
    }

    /// Woken when it ends and when it has been waited for: pidfd.
    pub fn exit_queue(&self) -> &WaitQueue {
        &self.exit_queue
    }

    /// Its first thread's credentials, locked: what others go by who mean the process.
    pub fn credentials(&self) -> SpinGuard<'_, Arc<Credentials>> {
        self.credentials.lock()
    }

    pub(super) fn set_credentials(&self, new: Arc<Credentials>) {
        let former = core::mem::replace(&mut *self.credentials(), new);
        drop(former);
    }

    /// Soft limit of RLIMIT_NOFILE.
    #[inline]
    pub fn file_limit(&self) -> usize {
        self.file_limit.load(Relaxed) as usize
    }

    pub fn limit(&self, resource: usize) -> Limit {
        self.limits.lock()[resource]
    }

    /// setrlimit(2): EINVAL, EPERM.
    pub fn set_limit(&self, resource: usize, limit: Limit, privileged: bool) -> Result<(), Errno> {
        if limit.soft > limit.hard {
            return Err(Errno::EINVAL);
        }
        let mut limits = self.limits.lock();
        if limit.hard > limits[resource].hard && !privileged {
            return Err(Errno::EPERM);
        }
        if resource == RLIMIT_FSIZE {
            self.file_size_limit.store(limit.soft, Relaxed);
        }
        if resource == RLIMIT_NOFILE {
            // fs.nr_open: the descriptor table grows no further.
            if limit.hard > 1 << 20 {
                return Err(Errno::EPERM);
            }
            self.file_limit.store(limit.soft, Relaxed);
        }
        limits[resource] = limit;
        drop(limits);
        if let Some(space) = self.try_space() {
            self.limit_space(&space);
        }
        Ok(())
    }

    /// Tells a space the limits that it keeps.
    pub(super) fn limit_space(&self, space: &AddressSpace) {
        let bytes = |resource| usize::try_from(self.limit(resource).soft).unwrap_or(usize::MAX);
        space.limits.total.store(bytes(RLIMIT_AS), Relaxed);
        space.limits.data.store(bytes(RLIMIT_DATA), Relaxed);
        // Room for more was not left when the space was laid out.
        let stack = bytes(RLIMIT_STACK).min(crate::mm::space::STACK_LIMIT);
        space.limits.stack.store(stack, Relaxed);
    }

    /// Soft limit of RLIMIT_FSIZE.
    pub fn file_size_limit(&self) -> u64 {
        self.file_size_limit.load(Relaxed)
    }

    /// The program it runs.
    pub fn executable(&self) -> Option<Place> {
        self.executable.lock().clone()
    }

    pub fn set_executable(&self, executable: Place) {
        let former = self.executable.lock().replace(executable);
        drop(former);
        self.has_executed.store(true, Release);
    }

    /// Its end: its program's file is free to go. Whoever holds the process from now on may let it go anywhere.
    pub(super) fn leave_executable(&self) {
        let former = self.executable.lock().take();
        drop(former);
    }

    /// execve(2): handlers become the default, timers of timer_create(2) go.
    pub(super) fn reset_for_execve(&self) {
        self.timers.clear(false);
        self.signals.lock().reset_handlers();
    }

    /// CPU time of all its threads, ended ones too.
    pub fn ran_ns(&self) -> u64 {
        let running: u64 = self.threads().iter().map(|thread| thread.ran_ns()).sum();
        self.ended_ns.load(Relaxed) + running
    }
}

/// A child that came to nothing.
impl Drop for Process {
    fn drop(&mut self) {
        drop(self.replace_space(None));
    }
}
