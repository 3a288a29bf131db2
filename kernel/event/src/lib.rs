//! The readiness core.
#![cfg_attr(not(loom), no_std)]
#![forbid(unsafe_code)]
