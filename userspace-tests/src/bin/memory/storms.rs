//! That nothing is lost, however many processes come and go.

use super::pages::*;
use std::fs::{self};
use userspace_tests::harness::ignore;
use userspace_tests::{alone_on_this_machine, check};

/// MemFree of /proc/meminfo, in KiB.
fn free_kib() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    text.lines()
        .find_map(|line| line.strip_prefix("MemFree:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok())
        .ok_or_else(|| String::from("no MemFree in /proc/meminfo"))
}

/// Runs a storm of children some times; what was free before must be free again after one of them at least. Other work on
/// the machine may hide that once, but not always.
fn leaks_nothing(noise_kib: u64, mut storm: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    if !alone_on_this_machine() {
        ignore("other programs use this machine's memory too");
    }
    storm()?;
    let mut lost = Vec::new();
    for _ in 0..5 {
        let before = free_kib()?;
        storm()?;
        lost.push(before.saturating_sub(free_kib()?));
        if lost.last() < Some(&noise_kib) {
            return Ok(());
        }
    }
    Err(format!("KiB lost in five storms: {lost:?}"))
}

pub fn fork_storm_leaks_nothing() -> Result<(), String> {
    let at = map(64 * PAGE, RW, PRIVATE)?;
    // A leak of one page a child would be 800 KiB.
    leaks_nothing(300, || {
        for _ in 0..200 {
            in_child(|| {
                (0..64).for_each(|page| put(at, page * PAGE, 1));
                0
            });
        }
        Ok(())
    })?;
    unmap(at, 64 * PAGE)
}

pub fn exec_storm_leaks_nothing() -> Result<(), String> {
    // The children are asked for a test that there is not.
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    // A leak of one page a child would be 160 KiB.
    leaks_nothing(100, || {
        for _ in 0..40 {
            let status = std::process::Command::new(&program).arg("none").status();
            check!(status.map_err(|error| error.to_string())?.success());
        }
        Ok(())
    })
}
