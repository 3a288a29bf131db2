//! The Linux ABI: numbers and layouts shared by the kernel and its test programs, and wrappers over the one
//! system-call instruction for the latter (feature `calls`).
#![no_std]

pub mod abi;
#[cfg(feature = "calls")]
pub mod arch;
#[cfg(feature = "calls")]
pub mod calls;
