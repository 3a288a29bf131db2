//! The user's terminal while a guest has it: raw, and put back whatever happens.

use rustix::termios::{self, OptionalActions, Termios};

/// A terminal in raw mode, put back when dropped.
pub struct Raw {
    before: Termios,
    raw: Termios,
}

impl Raw {
    /// Standard input into raw mode; `None` when it is no terminal.
    pub fn enter() -> Option<Raw> {
        let before = termios::tcgetattr(rustix::stdio::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        let entered = Raw { before, raw };
        entered.again();
        Some(entered)
    }

    /// Raw mode once more: a shell that stopped this process and let it go on has set its own.
    pub fn again(&self) {
        set(&self.raw);
    }

    pub fn restore(&self) {
        set(&self.before);
    }
}

fn set(settings: &Termios) {
    // The terminal may be gone; nothing is left to set then.
    let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, settings);
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Rows and columns; `None` where the terminal does not know.
pub fn window() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(rustix::stdio::stdin()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}
