//! The words of a program and the numbers they stand for.

use libsyscall::abi::event::*;
use libsyscall::abi::fcntl::{O_CLOEXEC, O_DIRECT, O_NONBLOCK};

/// Flags and event bits, to be joined by `|`; none is ambiguous.
const BITS: &[(&str, u32)] = &[
    ("in", EPOLLIN),
    ("pri", EPOLLPRI),
    ("out", EPOLLOUT),
    ("err", EPOLLERR),
    ("hup", EPOLLHUP),
    ("nval", EPOLLNVAL),
    ("rdnorm", EPOLLRDNORM),
    ("rdband", EPOLLRDBAND),
    ("wrnorm", EPOLLWRNORM),
    ("wrband", EPOLLWRBAND),
    ("msg", EPOLLMSG),
    ("rdhup", EPOLLRDHUP),
    ("exclusive", EPOLLEXCLUSIVE),
    ("wakeup", EPOLLWAKEUP),
    ("oneshot", EPOLLONESHOT),
    ("et", EPOLLET),
    ("nonblock", O_NONBLOCK),
    ("cloexec", O_CLOEXEC),
    ("direct", O_DIRECT),
    ("semaphore", EFD_SEMAPHORE),
];

/// Signals, each alone in a call and joined by `|` in a set.
const SIGNALS: &[(&str, u32)] = &[("usr1", 10), ("usr2", 12), ("pipe", 13), ("chld", 17), ("rt", 40)];

/// Numbers with a name that stand alone.
const NAMED: &[(&str, i64)] = &[
    ("add", EPOLL_CTL_ADD as i64),
    ("del", EPOLL_CTL_DEL as i64),
    ("mod", EPOLL_CTL_MOD as i64),
    ("stream", libc::SOCK_STREAM as i64),
    ("datagram", libc::SOCK_DGRAM as i64),
    ("packet", libc::SOCK_SEQPACKET as i64),
    ("max", u64::MAX as i64),
];

fn find<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == word).map(|&(_, value)| value)
}

/// A decimal or hexadecimal number, with its sign.
pub fn number(word: &str) -> Option<i64> {
    if let Some(named) = find(NAMED, word) {
        return Some(named);
    }
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as i64),
        None => word.parse().ok(),
    }
}

/// Flags or event bits: words and numbers joined by `|`.
pub fn bits(word: &str) -> Option<u32> {
    word.split('|').try_fold(0, |bits, part| {
        let part = find(BITS, part).or_else(|| number(part).map(|value| value as u32))?;
        Some(bits | part)
    })
}

pub fn signal(word: &str) -> Option<u32> {
    find(SIGNALS, word).or_else(|| number(word).map(|value| value as u32))
}

/// A signal set as the kernel takes it.
pub fn signals(word: &str) -> Option<u64> {
    word.split('|').try_fold(0, |set, part| {
        let signal = signal(part).filter(|signal| (1..=64).contains(signal))?;
        Some(set | 1 << (signal - 1))
    })
}

/// Event bits as a program writes them; `0` for none.
pub fn events(mut events: u32) -> String {
    let mut names = Vec::new();
    for &(name, bit) in BITS.iter().take_while(|(_, bit)| *bit != O_NONBLOCK) {
        if events & bit != 0 {
            names.push(name.to_string());
            events &= !bit;
        }
    }
    if events != 0 || names.is_empty() {
        names.push(format!("{events:#x}"));
    }
    names.join("|")
}

/// A registration's data: its name's first eight bytes.
pub fn data(name: &str) -> u64 {
    let mut bytes = [0; 8];
    let len = name.len().min(8);
    bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
    u64::from_le_bytes(bytes)
}

/// The name that data came from.
pub fn data_name(data: u64) -> String {
    let bytes = data.to_le_bytes();
    let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(8);
    if len > 0 && bytes[..len].iter().all(u8::is_ascii_alphanumeric) && bytes[len..].iter().all(|&byte| byte == 0) {
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    } else {
        format!("{data:#x}")
    }
}
