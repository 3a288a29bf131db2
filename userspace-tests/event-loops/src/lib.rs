//! Event loops of three kinds, written against epoll(7) as their authors would for Linux:
//!
//! - [`strand`]: green threads that block on descriptors, over edge-triggered one-shot registrations;
//! - [`readiness`]: a small loop with an interface that names no operating system;
//! - [`scheduler`]: many threads, of which one at a time waits in the reactor.
//!
//! Each has a program of tests in `bin/`, run on Linux first and then in Vigil.

pub mod epoll;
pub mod readiness;
pub mod scheduler;
pub mod strand;
