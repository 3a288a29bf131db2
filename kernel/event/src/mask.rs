//! Event bits, as epoll(7) and poll(2) number them.

use bitflags::bitflags;

bitflags! {
    /// Readiness, and what of it somebody wants. The last four bits are wishes of a registration and never readiness.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct EventMask: u32 {
        const IN = 0x1;
        const PRI = 0x2;
        const OUT = 0x4;
        const ERR = 0x8;
        const HUP = 0x10;
        const NVAL = 0x20;
        const RDNORM = 0x40;
        const RDBAND = 0x80;
        const WRNORM = 0x100;
        const WRBAND = 0x200;
        const MSG = 0x400;
        const RDHUP = 0x2000;
        const EXCLUSIVE = 1 << 28;
        const WAKEUP = 1 << 29;
        const ONESHOT = 1 << 30;
        const ET = 1 << 31;
    }
}

impl EventMask {
    /// Wishes of a registration, never matched against readiness (semantics 6).
    pub const PRIVATE: EventMask = EventMask::EXCLUSIVE
        .union(EventMask::WAKEUP)
        .union(EventMask::ONESHOT)
        .union(EventMask::ET);
    /// Reported whether asked for or not (semantics 60).
    pub const ALWAYS: EventMask = EventMask::ERR.union(EventMask::HUP);
    /// Readable, as most files report it.
    pub const READABLE: EventMask = EventMask::IN.union(EventMask::RDNORM);
    /// Writable, as most files report it.
    pub const WRITABLE: EventMask = EventMask::OUT.union(EventMask::WRNORM);
}
