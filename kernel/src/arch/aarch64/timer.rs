//! The clock and its one-shot alarm.

/// Nanoseconds since the machine started; the same on all CPUs, never going back.
pub fn now_ns() -> u64 {
    todo!()
}

/// Nanoseconds since 1970 at the moment `now_ns` was 0, from the battery clock.
pub fn epoch_ns() -> u64 {
    todo!()
}

/// Has `crate::trap::timer` called on this CPU at `deadline_ns` or soon after, never before. Replaces the earlier alarm.
pub fn arm(_deadline_ns: u64) {
    todo!()
}

/// No alarm on this CPU.
pub fn disarm() {
    todo!()
}
