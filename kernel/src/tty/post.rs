//! Output processing, termios(3) `c_oflag`: what a program writes on its way to the screen. Pure.

use alloc::vec::Vec;
use libsyscall::abi::ioctl::*;

/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// The cursor's column, as far as the bytes tell.
#[derive(Default)]
pub struct Post {
    column: usize,
}

impl Post {
    /// Adds to `screen` what `byte` becomes under the output flags.
    pub fn push(&mut self, byte: u8, flags: u32, screen: &mut Vec<u8>) {
        if flags & OPOST == 0 {
            screen.push(byte);
            return;
        }
        match byte {
            b'\n' => {
                if flags & ONLRET != 0 {
                    self.column = 0;
                }
                if flags & ONLCR != 0 {
                    self.column = 0;
                    screen.push(b'\r');
                }
                screen.push(b'\n');
            }
            b'\r' if flags & ONOCR != 0 && self.column == 0 => {}
            b'\r' => {
                let replaced = flags & OCRNL != 0;
                if !replaced || flags & ONLRET != 0 {
                    self.column = 0;
                }
                screen.push(if replaced { b'\n' } else { b'\r' });
            }
            b'\t' => {
                let spaces = TAB - self.column % TAB;
                self.column += spaces;
                if flags & TAB3 == TAB3 {
                    screen.extend(core::iter::repeat_n(b' ', spaces));
                } else {
                    screen.push(b'\t');
                }
            }
            b'\x08' => {
                self.column = self.column.saturating_sub(1);
                screen.push(byte);
            }
            _ => {
                // Control characters and the later bytes of a UTF-8 character take no column.
                if byte >= 0x20 && byte != 0x7f && byte & 0xc0 != 0x80 {
                    self.column += 1;
                }
                screen.push(if flags & OLCUC != 0 {
                    byte.to_ascii_uppercase()
                } else {
                    byte
                });
            }
        }
    }
}
