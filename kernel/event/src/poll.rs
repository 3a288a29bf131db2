//! Waiting for one of several objects: poll(2), select(2) and their kind.

use crate::{Blocked, EventMask, Pollable, Sleeper, Unparked};
use alloc::sync::Arc;

/// One object of a poll, and what came of it.
pub struct PollItem {
    /// `None`: not there, or nothing to wait for; `ready` is then what the caller put in.
    pub source: Option<Arc<dyn Pollable>>,
    /// What is asked for.
    pub interest: EventMask,
    pub ready: EventMask,
    token: u32,
    entry: Option<u32>,
}

impl PollItem {
    /// An object asked for these bits and no others. poll(2) asks for ERR and HUP in any case, select(2) where its set does.
    /// `token` is given to the sleeper's `wake`, which can tell by it what woke it.
    pub fn new(source: Arc<dyn Pollable>, interest: EventMask, token: u32) -> PollItem {
        PollItem {
            source: Some(source),
            interest,
            ready: EventMask::empty(),
            token,
            entry: None,
        }
    }

    /// An object whose answer is known: no such descriptor, or a file that is always ready.
    pub fn settled(ready: EventMask) -> PollItem {
        PollItem {
            source: None,
            interest: EventMask::empty(),
            ready,
            token: 0,
            entry: None,
        }
    }
}

/// Asks all; how many are ready.
fn look(items: &mut [PollItem]) -> usize {
    let mut count = 0;
    for item in items {
        if let Some(source) = &item.source {
            item.ready = source.readiness() & item.interest;
        }
        count += usize::from(!item.ready.is_empty());
    }
    count
}

/// Waits until one of the objects is ready; how many are, 0 when the time ran out. With a `deadline_ns` of 0 it only looks.
pub fn poll<S: Sleeper + 'static>(
    items: &mut [PollItem],
    sleeper: &Arc<S>,
    deadline_ns: Option<u64>,
) -> Result<usize, Blocked> {
    let count = look(items);
    if count > 0 || deadline_ns == Some(0) {
        return Ok(count);
    }
    let result = register_and_wait(items, sleeper, deadline_ns);
    for item in items {
        if let (Some(source), Some(entry)) = (&item.source, item.entry.take()) {
            source.wait_queue().remove(entry);
        }
    }
    result
}

fn register_and_wait<S: Sleeper + 'static>(
    items: &mut [PollItem],
    sleeper: &Arc<S>,
    deadline_ns: Option<u64>,
) -> Result<usize, Blocked> {
    for item in items.iter_mut() {
        if let Some(source) = &item.source {
            let mask = item.interest & source.told_of();
            let entry = source.wait_queue().add(sleeper.clone(), item.token, mask);
            item.entry = Some(entry.map_err(|_| Blocked::OutOfMemory)?);
        }
    }
    loop {
        let count = look(items);
        if count > 0 {
            return Ok(count);
        }
        match sleeper.park(deadline_ns) {
            Unparked::Woken => {}
            // What became ready at that instant is found by one more look.
            Unparked::TimedOut => return Ok(look(items)),
            Unparked::Interrupted => {
                return match look(items) {
                    0 => Err(Blocked::Interrupted),
                    count => Ok(count),
                };
            }
        }
    }
}
