//! Devices.
#![allow(unsafe_code)]

pub mod serial;
