//! Sleeps for two seconds on an idle runtime: the CPUs should be halted meanwhile, which the idle time in
//! `/proc/uptime` shows where there is one.

use std::time::{Duration, Instant};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    const SLEEP: Duration = Duration::from_secs(2);
    let before = idle_seconds();
    let start = Instant::now();
    tokio::time::sleep(SLEEP).await;
    println!("slept 2 s: {}", start.elapsed() >= SLEEP);
    if let (Some(before), Some(after)) = (before, idle_seconds()) {
        // On standard error: the figure is for people and differs from run to run.
        eprintln!(
            "CPUs idled {:.2} s in {:.2} s",
            after - before,
            start.elapsed().as_secs_f64()
        );
    }
}

/// The second number of proc_uptime(5): time idle, summed over the CPUs.
fn idle_seconds() -> Option<f64> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    uptime.split_whitespace().nth(1)?.parse().ok()
}
