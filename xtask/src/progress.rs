//! A spinner with the current step while something builds; nothing on a standard error that is no terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Shows `step` until the result is dropped.
pub fn step(step: impl Into<String>) -> Step {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_message(step.into());
    bar.enable_steady_tick(Duration::from_millis(100));
    Step(bar)
}

pub struct Step(ProgressBar);

impl Drop for Step {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
