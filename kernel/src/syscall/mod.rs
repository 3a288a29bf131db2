//! System calls: decode, call one method, encode. No policy, no locks.

mod attribute;
mod descriptor;
mod event;
mod file;
mod futex;
mod identity;
mod inotify;
#[cfg(target_arch = "x86_64")]
mod legacy_files;
mod lock;
mod memory;
mod mqueue;
mod owner;
mod path;
mod poll;
mod process;
mod process_memory;
mod random;
mod sched;
mod signal;
mod socket;
mod splice;
mod stat;
pub mod system;
pub mod table;
mod thread;
mod time;
mod timer;
mod tree;

use crate::arch::trap::TrapFrame;
use crate::file::OpenFile;
use crate::println;
use crate::task::{self, Thread, current};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use libsyscall::abi::{Errno, nr};

/// One system call of the running thread, in flight: the registers that it was made with.
#[repr(transparent)]
pub struct Call {
    pub frame: TrapFrame,
}

impl Call {
    /// Who makes it.
    #[inline]
    pub fn thread(&self) -> &Arc<Thread> {
        current::thread_of(self)
    }

    /// Argument `n` as it is.
    #[inline]
    pub fn arg(&self, n: usize) -> usize {
        self.frame.argument(n)
    }
    /// Argument `n` as a C int.
    #[inline]
    pub fn int(&self, n: usize) -> i32 {
        self.frame.argument(n) as i32
    }
    /// Argument `n` as an unsigned C int.
    #[inline]
    pub fn uint(&self, n: usize) -> u32 {
        self.frame.argument(n) as u32
    }
    /// For a call that reads registers besides its arguments: an error that has it made again with all of them.
    #[inline]
    pub fn need_whole_frame(&self) -> Result<(), Errno> {
        if self.frame.is_whole() {
            Ok(())
        } else {
            Err(Errno::EWHOLEFRAME)
        }
    }
    /// The open file of descriptor argument `n`; EBADF.
    #[inline]
    pub fn file(&self, n: usize) -> Result<Arc<OpenFile>, Errno> {
        self.thread().files().get(self.int(n))
    }
    /// Lends the open file of descriptor argument `n`, O_PATH or not, to `f`, which closes no descriptor: EBADF.
    #[inline]
    pub fn with_file<R>(&self, n: usize, f: impl FnOnce(&OpenFile) -> Result<R, Errno>) -> Result<R, Errno> {
        task::with_file(self.int(n), f)
    }
    /// [`Call::with_file`] of two descriptor arguments.
    #[inline]
    pub fn with_two_files<R>(
        &self,
        n: usize,
        m: usize,
        f: impl FnOnce(&OpenFile, &OpenFile) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        task::with_two_files(self.int(n), self.int(m), f)
    }
}

/// Errors from here on stay inside the kernel: they say how the call is to be taken up again.
pub const FIRST_INSIDE_ERROR: usize = 512;

/// From the machine's entry, which has made a call ([`table::CHOSEN`]) and found [`task::thread::WORK`] in the thread's flags.
/// Every register is in the frame now: makes the call again, where it was broken off for that, and does what is left to do
/// before user code goes on.
pub fn finish(frame: &mut TrapFrame, result: isize) {
    task::with_current(|thread| {
        frame.set_result(result);
        let mut unfinished = thread.take_unfinished();
        if unfinished == Some(Errno::EWHOLEFRAME) {
            let result = table::make(frame);
            frame.set_result(result);
            unfinished = thread.take_unfinished();
        }
        task::signal::before_user(thread, frame, unfinished);
    });
}

/// What a call gives where it can be made: a number, or nothing, which a program sees as 0.
pub trait Value {
    fn word(self) -> isize;
}

impl Value for usize {
    #[inline]
    fn word(self) -> isize {
        self as isize
    }
}

impl Value for () {
    #[inline]
    fn word(self) -> isize {
        0
    }
}

/// A result as the program's register has it. Where a call is to be taken up again, the thread knows.
#[inline]
fn encode<R: Value>(result: Result<R, Errno>) -> isize {
    match result {
        Ok(value) => value.word(),
        Err(error) if error.number() < FIRST_INSIDE_ERROR => -(error.number() as isize),
        Err(error) => leave_unfinished(error),
    }
}

/// A call that did not come to its end; what it leaves in the result's register is not for the program.
#[cold]
fn leave_unfinished(error: Errno) -> isize {
    task::with_current(|thread| thread.set_unfinished(error));
    -(error.number() as isize)
}

/// Calls that have been named as missing: a bit each.
static NAMED: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// ENOSYS; the first time a number comes, the console says which program wanted it.
#[cold]
fn unknown(call: &mut Call) -> Result<usize, Errno> {
    let number = call.frame.syscall_number();
    let bit = 1 << (number % 64);
    let first = NAMED
        .get(number / 64)
        .is_some_and(|word| word.fetch_or(bit, Relaxed) & bit == 0);
    if first {
        let program = call.thread().name();
        let name = nr::name(number).unwrap_or("no call of this machine");
        println!("vigil: {program} made system call {number} ({name}), which Vigil does not have: ENOSYS");
    }
    Err(Errno::ENOSYS)
}
