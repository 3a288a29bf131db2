//! Which number is which call. Every family has its own list, `CALLS`, beside its calls; the table is made of them at
//! compile time, and a number listed twice stops the build.

use super::Handler;
use crate::arch::chosen::Chosen;

/// Numbers the table has room for; both machines stay below.
const TABLE_LEN: usize = 512;

/// A line of a family's list: the number, from `libsyscall::abi::nr`, and the call.
pub type Line = (usize, Handler);

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

static TABLE: [Handler; TABLE_LEN] = build();

const fn build() -> [Handler; TABLE_LEN] {
    let mut table: [Handler; TABLE_LEN] = [super::unknown; TABLE_LEN];
    let mut listed = [false; TABLE_LEN];
    let mut family = 0;
    while family < FAMILIES.len() {
        let lines = FAMILIES[family];
        let mut line = 0;
        while line < lines.len() {
            let (number, handler) = lines[line];
            assert!(!listed[number], "a system call is listed twice");
            (table[number], listed[number]) = (handler, true);
            line += 1;
        }
        family += 1;
    }
    table
}

/// What the entry looks in: a kernel that traces has every call go through that.
static CHOSEN: Chosen<[Handler; TABLE_LEN]> = Chosen::new(&TABLE);

/// From now on every call is traced.
pub fn trace() {
    static TRACED: [Handler; TABLE_LEN] = [super::traced; TABLE_LEN];
    CHOSEN.choose(&TRACED);
}

/// What the entry is to make of a number; `None` where the table has no room for it.
#[inline]
pub fn entry(number: usize) -> Option<Handler> {
    CHOSEN.get().get(number).copied()
}

/// The call of a number; ENOSYS's where Vigil has none.
pub fn handler(number: usize) -> Handler {
    TABLE.get(number).copied().unwrap_or(super::unknown)
}
