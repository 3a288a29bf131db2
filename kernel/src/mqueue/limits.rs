//! What there may be of queues: /proc/sys/fs/mqueue, and RLIMIT_MSGQUEUE of each user.

use crate::fs::access::Credentials;
use crate::per_user::PerUser;
use crate::task;
use alloc::sync::Arc;
use core::ops::RangeInclusive;
use core::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_SYS_RESOURCE;
use libsyscall::abi::mqueue::*;
use libsyscall::abi::process::RLIMIT_MSGQUEUE;

/// A number in /proc/sys/fs/mqueue.
pub struct Setting {
    value: AtomicU32,
    allowed: RangeInclusive<u32>,
}

impl Setting {
    const fn new(value: u32, allowed: RangeInclusive<u32>) -> Setting {
        Setting {
            value: AtomicU32::new(value),
            allowed,
        }
    }

    pub fn get(&self) -> u32 {
        self.value.load(Relaxed)
    }

    /// EINVAL for what is no number or not allowed.
    pub fn set(&self, text: &str) -> Result<(), Errno> {
        let value = text.trim().parse().map_err(|_| Errno::EINVAL)?;
        if !self.allowed.contains(&value) {
            return Err(Errno::EINVAL);
        }
        self.value.store(value, Relaxed);
        Ok(())
    }
}

/// mq_maxmsg: at most, and where nothing is said.
pub static MSG_MAX: Setting = Setting::new(10, 1..=HARD_MSGMAX);
pub static MSG_DEFAULT: Setting = Setting::new(10, 1..=HARD_MSGMAX);
/// mq_msgsize likewise.
pub static MSGSIZE_MAX: Setting = Setting::new(8192, MIN_MSGSIZEMAX..=HARD_MSGSIZEMAX);
pub static MSGSIZE_DEFAULT: Setting = Setting::new(8192, MIN_MSGSIZEMAX..=HARD_MSGSIZEMAX);
/// Queues.
pub static QUEUES_MAX: Setting = Setting::new(256, 0..=i32::MAX as u32);

/// How large a queue is.
#[derive(Clone, Copy)]
pub struct Size {
    /// Messages.
    pub maximum: usize,
    /// Bytes of each.
    pub message: usize,
}

impl Size {
    fn usual() -> Size {
        Size {
            maximum: MSG_MAX.get().min(MSG_DEFAULT.get()) as usize,
            message: MSGSIZE_MAX.get().min(MSGSIZE_DEFAULT.get()) as usize,
        }
    }

    /// As mq_open(3) asks for it: EINVAL.
    fn checked(who: &Credentials, maximum: i64, message: i64) -> Result<Size, Errno> {
        let (maximum_most, message_most) = if who.has(CAP_SYS_RESOURCE) {
            (HARD_MSGMAX, HARD_MSGSIZEMAX)
        } else {
            (MSG_MAX.get(), MSGSIZE_MAX.get())
        };
        if !(1..=i64::from(maximum_most)).contains(&maximum) || !(1..=i64::from(message_most)).contains(&message) {
            return Err(Errno::EINVAL);
        }
        Ok(Size {
            maximum: maximum as usize,
            message: message as usize,
        })
    }

    /// What it counts against RLIMIT_MSGQUEUE: its messages, and for each what Linux keeps beside it, and for each of the
    /// priorities that they can have.
    fn bytes(self) -> u64 {
        const MESSAGE_HEAD: u64 = 48;
        const PRIORITY_HEAD: u64 = 48;
        let maximum = self.maximum as u64;
        let heads = maximum * MESSAGE_HEAD + maximum.min(u64::from(MQ_PRIO_MAX)) * PRIORITY_HEAD;
        heads + maximum * self.message as u64
    }
}

/// Queues there are.
static QUEUES: AtomicUsize = AtomicUsize::new(0);
/// Bytes of each user's queues.
static USERS: PerUser<AtomicU64> = PerUser::new();

/// A queue's part of what is counted, for as long as it lives.
pub struct Share {
    user: Arc<AtomicU64>,
    bytes: u64,
}

impl Share {
    /// For a queue that the running process makes, as large as `wanted` says in messages and bytes of each. ENOSPC where
    /// there are enough, EINVAL, EMFILE where the user has as much as RLIMIT_MSGQUEUE allows, in this order; ENOMEM.
    pub fn take(who: &Credentials, wanted: Option<(i64, i64)>) -> Result<(Size, Share), Errno> {
        let (uid, limit) = task::with_current(|thread| {
            (
                thread.credentials().uid.real,
                thread.process.limit(RLIMIT_MSGQUEUE).soft,
            )
        });
        let user = USERS.get(uid, AtomicU64::default)?;
        let most = if who.has(CAP_SYS_RESOURCE) {
            usize::MAX
        } else {
            QUEUES_MAX.get() as usize
        };
        if QUEUES.fetch_add(1, AcqRel) >= most {
            QUEUES.fetch_sub(1, AcqRel);
            return Err(Errno::ENOSPC);
        }
        // From here on it gives back what it took.
        let mut share = Share { user, bytes: 0 };
        let size = match wanted {
            Some((maximum, message)) => Size::checked(who, maximum, message)?,
            None => Size::usual(),
        };
        share.bytes = size.bytes();
        let before = share.user.fetch_add(share.bytes, AcqRel);
        if before.saturating_add(share.bytes) > limit {
            return Err(Errno::EMFILE);
        }
        Ok((size, share))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.user.fetch_sub(self.bytes, AcqRel);
        QUEUES.fetch_sub(1, AcqRel);
    }
}
