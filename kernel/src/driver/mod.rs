//! Devices.
#![allow(unsafe_code)]

pub mod network;
#[cfg(target_arch = "aarch64")]
pub mod pl011;
pub mod serial;
#[cfg(target_arch = "x86_64")]
pub mod uart16550;
