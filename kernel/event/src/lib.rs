//! The readiness core.
#![cfg_attr(not(loom), no_std)]
#![forbid(unsafe_code)]
pub struct WaitQueue;
impl WaitQueue {
    pub const fn new() -> WaitQueue {
        WaitQueue
    }
    pub fn wake(&self, _events: EventMask) {}
}
bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct EventMask: u32 {
        const IN = 1;
        const PRI = 2;
        const OUT = 4;
        const ERR = 8;
        const HUP = 0x10;
        const RDNORM = 0x40;
        const WRNORM = 0x100;
        const RDHUP = 0x2000;
    }
}
pub trait Pollable: Send + Sync {
    fn readiness(&self) -> EventMask;
    fn wait_queue(&self) -> &WaitQueue;
}
