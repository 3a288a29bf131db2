//! epoll(7), eventfd(2), timerfd_create(2), signalfd(2), poll(2).

pub const EPOLL_CTL_ADD: i32 = 1;
pub const EPOLL_CTL_DEL: i32 = 2;
pub const EPOLL_CTL_MOD: i32 = 3;
pub const EPOLL_CLOEXEC: u32 = 0o2000000;

pub const EFD_SEMAPHORE: u32 = 1;
pub const EFD_CLOEXEC: u32 = 0o2000000;
pub const EFD_NONBLOCK: u32 = 0o4000;

pub const TFD_CLOEXEC: u32 = 0o2000000;
pub const TFD_NONBLOCK: u32 = 0o4000;
pub const TFD_TIMER_ABSTIME: u32 = 1;
pub const TFD_TIMER_CANCEL_ON_SET: u32 = 2;
/// ioctl(2) of a timerfd: the count that the next read gives.
pub const TFD_IOC_SET_TICKS: u32 = 0x4008_5400;

pub const SFD_CLOEXEC: u32 = 0o2000000;
pub const SFD_NONBLOCK: u32 = 0o4000;

/// `struct epoll_event`: packed on x86_64, so that 32-bit programs agree; not elsewhere (semantics 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
pub struct EpollEvent {
    pub events: u32,
    #[cfg(not(target_arch = "x86_64"))]
    _gap: u32,
    pub data: u64,
}

impl EpollEvent {
    pub const fn new(events: u32, data: u64) -> EpollEvent {
        EpollEvent {
            events,
            #[cfg(not(target_arch = "x86_64"))]
            _gap: 0,
            data,
        }
    }
}

#[cfg(target_arch = "x86_64")]
const _: () = assert!(size_of::<EpollEvent>() == 12 && core::mem::offset_of!(EpollEvent, data) == 4);
#[cfg(not(target_arch = "x86_64"))]
const _: () = assert!(size_of::<EpollEvent>() == 16 && core::mem::offset_of!(EpollEvent, data) == 8);

/// ioctl(2) of an epoll: sets and gets its [`EpollParams`], ioctl_eventpoll(2).
pub const EPIOCSPARAMS: u32 = 0x4008_8a01;
pub const EPIOCGPARAMS: u32 = 0x8008_8a02;

/// `struct epoll_params`: how long a wait may poll network devices, in microseconds, how many packets at most, and whether
/// it should rather do that than wait for interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EpollParams {
    pub busy_poll_usecs: u32,
    pub busy_poll_budget: u16,
    pub prefer_busy_poll: u8,
    /// Must be 0.
    pub pad: u8,
}

const _: () = assert!(size_of::<EpollParams>() == 8);

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PollFd {
    pub fd: i32,
    pub events: i16,
    pub revents: i16,
}

const _: () = assert!(size_of::<PollFd>() == 8 && core::mem::offset_of!(PollFd, revents) == 6);
