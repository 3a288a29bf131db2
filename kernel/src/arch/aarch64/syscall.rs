//! The system-call entry; ends in `crate::syscall::dispatch(&mut TrapFrame)`.
