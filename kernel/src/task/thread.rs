//! A thread: its kernel stack, machine state, signals, and how it sleeps.
use super::Process;
use alloc::sync::Arc;

pub struct Thread {
    pub tid: i32,
    pub process: Arc<Process>,
}
