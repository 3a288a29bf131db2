//! Runs jobs of machines in parallel: a job holds as many places as its machine has CPUs.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// Places: more machines at once than this only make each other slow, and timing tests fail.
const PLACES: u32 = 2;

/// Calls `job` for each item, at most [`PLACES`] CPUs of machines at a time; `weight` gives an item's CPUs.
pub fn run<T: Sync>(items: &[T], weight: impl Fn(&T) -> u32, job: impl Fn(&T) + Sync) {
    let free = Mutex::new(PLACES);
    let freed = Condvar::new();
    let (free, freed, job) = (&free, &freed, &job);
    thread::scope(|scope| {
        for item in items {
            let weight = weight(item).clamp(1, PLACES);
            let places = free.lock().unwrap_or_else(PoisonError::into_inner);
            let mut places = freed
                .wait_while(places, |places| *places < weight)
                .unwrap_or_else(PoisonError::into_inner);
            *places -= weight;
            drop(places);
            scope.spawn(move || {
                job(item);
                *free.lock().unwrap_or_else(PoisonError::into_inner) += weight;
                freed.notify_all();
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn every_job_runs_and_never_too_many() {
        let running = AtomicU32::new(0);
        let done = AtomicU32::new(0);
        let items: Vec<u32> = (0..40).map(|number| number % 5).collect();
        run(
            &items,
            |&item| item,
            |&item| {
                let weight = item.clamp(1, PLACES);
                assert!(running.fetch_add(weight, Ordering::SeqCst) + weight <= PLACES);
                thread::yield_now();
                running.fetch_sub(weight, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
            },
        );
        assert_eq!(done.into_inner(), 40);
    }
}
