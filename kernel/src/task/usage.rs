//! What threads and processes have used, getrusage(2).

use super::{Process, Thread};
use core::sync::atomic::Ordering::Relaxed;

/// What is counted of a thread, a process, or children that have been waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub ran_ns: u64,
    /// Page faults that were mended.
    pub faults: u64,
    /// The most memory that one process had at a time, in bytes.
    pub peak: usize,
}

impl Usage {
    /// Adds another's; of memory the larger one counts.
    pub fn add(&mut self, other: Usage) {
        self.ran_ns += other.ran_ns;
        self.faults += other.faults;
        self.peak = self.peak.max(other.peak);
    }
}

impl Thread {
    /// What it has used; memory is its process's.
    pub fn usage(&self) -> Usage {
        Usage {
            ran_ns: self.ran_ns(),
            faults: self.faults.load(Relaxed),
            peak: self.process.peak(),
        }
    }
}

impl Process {
    /// What its threads have used, ended ones too.
    pub fn usage(&self) -> Usage {
        let faults: u64 = self.threads().iter().map(|thread| thread.faults.load(Relaxed)).sum();
        Usage {
            ran_ns: self.ran_ns(),
            faults: self.ended_faults.load(Relaxed) + faults,
            peak: self.peak(),
        }
    }

    /// The most memory it has had at a time, in bytes, under earlier programs too.
    fn peak(&self) -> usize {
        let now = self.try_space().map_or(0, |space| space.peak());
        self.former_peak.load(Relaxed).max(now)
    }

    /// What the children that have been waited for have used.
    pub fn children_usage(&self) -> Usage {
        *self.children.lock()
    }
}
