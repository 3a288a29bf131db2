//! Raw mode on the user's terminal, undone whatever happens.

use rustix::termios::{self, OptionalActions, Termios};

/// A terminal in raw mode, put back when dropped.
pub struct Raw(Termios);

impl Raw {
    /// Standard input into raw mode; `None` when it is no terminal.
    pub fn enter() -> Option<Raw> {
        let stdin = rustix::stdio::stdin();
        let before = termios::tcgetattr(stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone; nothing is left to restore then.
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}
