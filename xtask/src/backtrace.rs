//! Backtraces: the kernel prints addresses of its own, and registers and stack of programs; what reads them here puts the
//! functions' names there.

use crate::symbols::Symbols;
use crate::unwind::Crash;
use std::path::{Path, PathBuf};

/// The kernel's messages on their way to whoever reads them.
pub struct Backtraces<'a> {
    elf: PathBuf,
    /// The files that programs come from.
    archive: &'a [u8],
    /// Read when the first backtrace comes.
    symbols: Option<Symbols>,
    /// The part of a line that has come.
    line: Vec<u8>,
    /// The program that is being described.
    crash: Crash,
}

impl<'a> Backtraces<'a> {
    pub fn of(elf: &Path, archive: &'a [u8]) -> Backtraces<'a> {
        Backtraces {
            elf: elf.to_path_buf(),
            archive,
            symbols: None,
            line: Vec::new(),
            crash: Crash::default(),
        }
    }

    /// The lines that `bytes` complete, with names behind the addresses of a backtrace.
    pub fn name(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut named = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend(piece);
            if piece.ends_with(b"\n") {
                named.extend(self.rest());
            }
        }
        named
    }

    /// What has come of a line when there will be no more.
    pub fn rest(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.line);
        if let Some(of_crash) = std::str::from_utf8(&line)
            .ok()
            .and_then(|line| line.strip_prefix("crash "))
        {
            return match of_crash.trim_end() {
                "end" => std::mem::take(&mut self.crash).backtrace(self.archive).into_bytes(),
                // What is not understood is left out: the rest may do.
                part => {
                    let _ = self.crash.take(part);
                    Vec::new()
                }
            };
        }
        match address(&line) {
            Some(address) => {
                let symbols = self.symbols.get_or_insert_with(|| read(&self.elf));
                // Where the call will return to may be past the function's end, when it never does.
                let name = symbols.name(address - 1);
                let text = String::from_utf8_lossy(&line);
                format!("{} {name}\n", text.trim_end()).into_bytes()
            }
            None => line,
        }
    }
}

/// Without its file there are no names, and the addresses still help.
fn read(elf: &Path) -> Symbols {
    let mut symbols = Symbols::default();
    let _ = symbols.add(elf, "", None);
    symbols
}

/// The address of a backtrace's line: spaces, a number, a colon, the address.
fn address(line: &[u8]) -> Option<u64> {
    let (number, address) = std::str::from_utf8(line).ok()?.strip_prefix("  ")?.split_once(": 0x")?;
    number.trim().parse::<u8>().ok()?;
    u64::from_str_radix(address.trim_end(), 16)
        .ok()
        .filter(|&address| address != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_backtrace() {
        assert_eq!(address(b"   0: 0xffffffff80270b9c\n"), Some(0xffff_ffff_8027_0b9c));
        assert_eq!(address(b"  12: 0x10"), Some(16));
        assert_eq!(address(b"kernel panic on CPU 1: 0x10\n"), None);
        assert_eq!(address(b"  cpu 0: 0x10\n"), None);
    }

    #[test]
    fn lines_come_whole_and_others_unchanged() {
        let mut backtraces = Backtraces::of(Path::new("/nowhere"), &[]);
        assert_eq!(backtraces.name(b"vigil: a\nvig"), b"vigil: a\n");
        assert_eq!(backtraces.name(b"il: b\n"), b"vigil: b\n");
        assert_eq!(backtraces.name(b"   1: 0x20"), b"");
        assert_eq!(backtraces.rest(), b"   1: 0x20 (unknown)\n");
        assert_eq!(backtraces.rest(), b"");
    }
}
