//! POSIX message queues, mq_overview(7).

/// Priorities are below this.
pub const MQ_PRIO_MAX: u32 = 32768;

/// What mq_maxmsg and mq_msgsize are at most with CAP_SYS_RESOURCE, whatever /proc/sys/fs/mqueue says.
pub const HARD_MSGMAX: u32 = 65536;
pub const HARD_MSGSIZEMAX: u32 = 16 << 20;
/// The least that msgsize_max and msgsize_default can be set to there.
pub const MIN_MSGSIZEMAX: u32 = 128;

/// Bytes of the message that SIGEV_THREAD has sent through a netlink socket; the last one says why.
pub const NOTIFY_COOKIE_LEN: usize = 32;
/// A message has come.
pub const NOTIFY_WOKENUP: u8 = 1;
/// The request was taken back.
pub const NOTIFY_REMOVED: u8 = 2;

/// `struct mq_attr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MqAttr {
    /// O_NONBLOCK or 0.
    pub mq_flags: i64,
    pub mq_maxmsg: i64,
    pub mq_msgsize: i64,
    pub mq_curmsgs: i64,
    pub _reserved: [i64; 4],
}

const _: () = assert!(size_of::<MqAttr>() == 64);
