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
mod table;
mod thread;
mod time;
mod timer;
mod tree;

use crate::arch::trap::TrapFrame;
use crate::file::OpenFile;
use crate::task::thread::{TRACE, WORK};
use crate::task::{self, Thread};
use crate::{println, trace};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use libsyscall::abi::{Errno, nr};

/// One system call in flight.
pub struct Call<'a> {
    pub frame: &'a mut TrapFrame,
    pub thread: &'a Arc<Thread>,
}

/// A system call: its result, or its error.
pub type Handler = fn(&mut Call) -> Result<usize, Errno>;

impl Call<'_> {
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
        self.thread.process.files().get(self.int(n))
    }
    /// Lends the open file of descriptor argument `n` to `f`, which closes no descriptor: EBADF.
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
        task::with_two_files([self.int(n), self.int(m)], f)
    }
}

/// Errors from here on stay inside the kernel: they say how the call is to be taken up again.
const FIRST_INSIDE_ERROR: usize = 512;

/// From the machine's entry: one call of the running thread. Where what follows the call needs registers that the entry
/// has not saved, it asks for them and leaves the rest to [`dispatch_whole`].
pub fn dispatch(frame: &mut TrapFrame) {
    task::with_current(|thread| {
        if thread.has_flag(TRACE) {
            return traced(frame, thread);
        }
        let result = invoke(&mut Call { frame, thread });
        finish(frame, thread, result);
    });
}

/// Every register is in the frame now, for the reason that [`TrapFrame::make_whole`] was given: makes the call, where that
/// is EWHOLEFRAME, or goes on behind it.
pub fn dispatch_whole(frame: &mut TrapFrame, reason: Option<Errno>) {
    if reason == Some(Errno::EWHOLEFRAME) {
        dispatch(frame);
    } else {
        task::with_current(|thread| task::signal::before_user(thread, frame, reason));
    }
}

#[inline]
fn finish(frame: &mut TrapFrame, thread: &Arc<Thread>, result: Result<usize, Errno>) {
    let restart = match result {
        Ok(value) => {
            frame.set_result(value as isize);
            None
        }
        Err(error) => {
            frame.set_result(-(error.0 as isize));
            (error.0 >= FIRST_INSIDE_ERROR).then_some(error)
        }
    };
    if thread.has_flag(WORK) || restart.is_some() {
        before_user(frame, thread, restart);
    }
}

#[cold]
fn before_user(frame: &mut TrapFrame, thread: &Arc<Thread>, restart: Option<Errno>) {
    if frame.is_whole() {
        task::signal::before_user(thread, frame, restart);
    } else {
        frame.make_whole(restart);
    }
}

/// `--trace`: a line for the call, which therefore is made once only.
#[cold]
fn traced(frame: &mut TrapFrame, thread: &Arc<Thread>) {
    if frame.is_whole() {
        let result = trace::traced(&mut Call { frame, thread }, invoke);
        finish(frame, thread, result);
    } else {
        frame.make_whole(Some(Errno::EWHOLEFRAME));
    }
}

#[inline]
fn invoke(call: &mut Call) -> Result<usize, Errno> {
    table::handler(call.frame.syscall_number())(call)
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
        let program = call.thread.name();
        let name = nr::name(number).unwrap_or("no call of this machine");
        println!("vigil: {program} made system call {number} ({name}), which Vigil does not have: ENOSYS");
    }
    Err(Errno::ENOSYS)
}
