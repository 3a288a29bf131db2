//! When a message came, as its receiver wants to be told: SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING.

use super::options::Options;
use alloc::vec::Vec;
use libsyscall::abi::socket::*;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Tells a control message (level, kind, data) for each kind of stamp that is on. `arrival_ns`: nanoseconds since 1970.
pub fn describe(options: &Options, arrival_ns: u64, tell: &mut impl FnMut(i32, i32, Vec<u8>)) {
    let (seconds, ns) = (arrival_ns / NS_PER_SECOND, arrival_ns % NS_PER_SECOND);
    if options.is_on::<SO_TIMESTAMP>() {
        tell(SOL_SOCKET, SO_TIMESTAMP, words([seconds, ns / 1000]));
    }
    if options.is_on::<SO_TIMESTAMPNS>() {
        tell(SOL_SOCKET, SO_TIMESTAMPNS, words([seconds, ns]));
    }
    const MADE_AND_TOLD: i32 = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    if options
        .get(SO_TIMESTAMPING)
        .is_ok_and(|flags| flags & MADE_AND_TOLD == MADE_AND_TOLD)
    {
        // The software's, one that is no more, and the network card's.
        tell(SOL_SOCKET, SO_TIMESTAMPING, words([seconds, ns, 0, 0, 0, 0]));
    }
}

fn words<const N: usize>(words: [u64; N]) -> Vec<u8> {
    words.map(u64::to_ne_bytes).concat()
}
