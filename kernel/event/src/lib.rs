//! The readiness core.
#![cfg_attr(not(loom), no_std)]
#![forbid(unsafe_code)]
pub struct WaitQueue;
pub struct EventMask(pub u32);
pub trait Pollable: Send + Sync {
    fn readiness(&self) -> EventMask;
    fn wait_queue(&self) -> &WaitQueue;
}
