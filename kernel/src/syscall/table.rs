//! Which number is which call. Every family has its own list, `CALLS`, beside its calls; the table is made of them at
//! compile time, and a number listed twice stops the build.

use super::{Call, Value, encode};
use crate::arch::chosen::Chosen;
use crate::arch::trap::TrapFrame;
use crate::task::current;
use core::ptr::NonNull;
use libsyscall::abi::Errno;

/// Numbers the table has room for; both machines stay below.
pub const TABLE_LEN: usize = 512;

/// A call as the machine's entry makes it, by the C calling convention: with the running thread's frame. What it gives is for
/// the register of the result.
pub type Entry = extern "C" fn(&mut TrapFrame) -> isize;

/// A line of a family's list.
pub type Line = (usize, Entry);

/// The call of a number, which is from `libsyscall::abi::nr`.
pub const fn line<H: Fn(&mut Call) -> Result<R, Errno> + Copy, R: Value>(number: usize, _handler: H) -> Line {
    const { assert!(size_of::<H>() == 0, "a handler captures nothing") };
    (number, entry::<H, R>)
}

/// One function for each call, so that neither a second table nor the shape of a result lies between it and the machine.
#[expect(
    unsafe_code,
    reason = "a function's type has one value, and no safe way leads from the one to the other"
)]
extern "C" fn entry<H: Fn(&mut Call) -> Result<R, Errno> + Copy, R: Value>(frame: &mut TrapFrame) -> isize {
    // SAFETY: `line` was given a handler, so there is one; it may be copied, and a copy has no bytes.
    let handler = unsafe { NonNull::<H>::dangling().read() };
    encode(handler(current::as_call(frame)))
}

const FAMILIES: &[&[Line]] = &[
    super::attribute::CALLS,
    super::descriptor::CALLS,
    super::event::CALLS,
    super::file::CALLS,
    super::futex::CALLS,
    super::inotify::CALLS,
    super::lock::CALLS,
    super::poll::CALLS,
    super::memory::CALLS,
    super::mqueue::CALLS,
    super::identity::CALLS,
    super::process::CALLS,
    super::process_memory::CALLS,
    super::sched::CALLS,
    super::signal::CALLS,
    super::socket::CALLS,
    super::splice::CALLS,
    super::random::CALLS,
    super::stat::CALLS,
    super::system::CALLS,
    super::thread::CALLS,
    super::time::CALLS,
    super::timer::CALLS,
    super::tree::CALLS,
    #[cfg(target_arch = "x86_64")]
    super::legacy_files::CALLS,
];

static TABLE: [Entry; TABLE_LEN] = build();

const fn build() -> [Entry; TABLE_LEN] {
    let mut table: [Entry; TABLE_LEN] = [unknown; TABLE_LEN];
    let mut listed = [false; TABLE_LEN];
    let mut family = 0;
    while family < FAMILIES.len() {
        let lines = FAMILIES[family];
        let mut line = 0;
        while line < lines.len() {
            let (number, entry) = lines[line];
            assert!(!listed[number], "a system call is listed twice");
            (table[number], listed[number]) = (entry, true);
            line += 1;
        }
        family += 1;
    }
    table
}

/// What the machine's entry looks in, by numbers below [`TABLE_LEN`]; for others it calls [`unknown`]. A kernel that traces
/// has every call go through that.
pub static CHOSEN: Chosen<[Entry; TABLE_LEN]> = Chosen::new(&TABLE);

/// From now on every call is traced.
pub fn trace() {
    static TRACED: [Entry; TABLE_LEN] = [traced; TABLE_LEN];
    CHOSEN.choose(&TRACED);
}

/// `--trace`: a line for the call, which therefore is made once only.
extern "C" fn traced(frame: &mut TrapFrame) -> isize {
    let call = current::as_call(frame);
    if let Err(error) = call.need_whole_frame() {
        return encode::<usize>(Err(error));
    }
    crate::trace::traced(call, look_up(&TABLE, call.frame.syscall_number()))
}

/// Of a number that is no call's.
pub extern "C" fn unknown(frame: &mut TrapFrame) -> isize {
    encode(super::unknown(current::as_call(frame)))
}

fn look_up(table: &[Entry; TABLE_LEN], number: usize) -> Entry {
    table.get(number).copied().unwrap_or(unknown)
}

/// Makes the call that a frame is of, as the machine's entry does.
pub fn make(frame: &mut TrapFrame) -> isize {
    look_up(CHOSEN.get(), frame.syscall_number())(frame)
}
