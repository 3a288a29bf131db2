//! Timers: order of many sleeps, no early wake-up, cancellation, a deadline reached under load.

use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut sleeps = JoinSet::new();
    for number in (0..50u64).rev() {
        sleeps.spawn(async move {
            let length = Duration::from_millis(20 + number * 2);
            let start = Instant::now();
            sleep(length).await;
            assert!(
                start.elapsed() >= length,
                "a sleep of {length:?} took {:?}",
                start.elapsed()
            );
        });
    }
    println!("{} sleeps, none early", sleeps.join_all().await.len());

    let start = Instant::now();
    let cancelled = timeout(Duration::from_millis(30), sleep(Duration::from_secs(3600))).await;
    println!(
        "an hour cut short: {}",
        cancelled.is_err() && start.elapsed() < Duration::from_secs(60)
    );

    let deadline = tokio::time::Instant::now() + Duration::from_millis(50);
    let busy = tokio::spawn(async move {
        let mut turns = 0u64;
        while tokio::time::Instant::now() < deadline {
            turns += 1;
            tokio::task::yield_now().await;
        }
        turns
    });
    sleep_until(deadline).await;
    println!(
        "deadline reached under load: {}",
        busy.await.is_ok_and(|turns| turns > 0)
    );
}
