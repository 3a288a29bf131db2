//! getrandom(2).

use super::Call;
use super::table::{Line, line};
use crate::mm::user::Sink;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[line(nr::GETRANDOM, getrandom)];

const GRND_NONBLOCK: u32 = 1;
const GRND_RANDOM: u32 = 2;
const GRND_INSECURE: u32 = 4;

/// The generator is seeded before the first program runs: no flag makes a difference, nothing blocks.
fn getrandom(call: &mut Call) -> Result<usize, Errno> {
    let flags = call.uint(2);
    let both = GRND_RANDOM | GRND_INSECURE;
    if flags & !(GRND_NONBLOCK | both) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    crate::random::fill_sink(&mut Sink::user(call.arg(0), call.arg(1))?)
}
