//! In-kernel tests of the line discipline.

use super::line::{DEFAULTS, Effect, Line};
use crate::ktest::{Test, check};
use alloc::vec::Vec;
use libsyscall::abi::ioctl::*;
use libsyscall::abi::signal::SIGINT;

pub const TESTS: &[Test] = &[
    ("tty::a_line_is_read_when_complete", a_line_is_read_when_complete),
    (
        "tty::erasing_works_on_line_and_screen",
        erasing_works_on_line_and_screen,
    ),
    ("tty::end_of_file", end_of_file),
    ("tty::interrupt_flushes_and_signals", interrupt_flushes_and_signals),
    ("tty::raw_bytes_come_at_once", raw_bytes_come_at_once),
];

/// Types a text; what the screen shows.
fn type_in(line: &mut Line, text: &[u8]) -> Vec<u8> {
    let mut screen = Vec::new();
    for &byte in text {
        line.receive(byte, &mut screen);
    }
    screen
}

fn a_line_is_read_when_complete() -> Result<(), &'static str> {
    let mut line = Line::new(DEFAULTS);
    check(
        type_in(&mut line, b"hel") == b"hel" && !line.is_readable(),
        "half a line is readable",
    )?;
    check(
        type_in(&mut line, b"lo\rnext") == b"lo\nnext" && line.is_readable(),
        "a carriage return ends no line",
    )?;
    check(line.take(3).as_deref() == Some(b"hel"), "a line can't be read in parts")?;
    check(line.take(100).as_deref() == Some(b"lo\n"), "more than a line is read")?;
    check(line.take(100).is_none(), "the unfinished line is read")
}

fn erasing_works_on_line_and_screen() -> Result<(), &'static str> {
    let mut line = Line::new(DEFAULTS);
    check(
        type_in(&mut line, b"ab\x7f") == b"ab\x08 \x08",
        "the screen keeps the character",
    )?;
    type_in(&mut line, b"\x15one two \x17three\n");
    check(
        line.take(100).as_deref() == Some(b"one three\n"),
        "word and line are not erased",
    )?;
    check(
        type_in(&mut line, b"\x01\x7f") == b"^A\x08 \x08\x08 \x08",
        "a control character takes two columns",
    )
}

fn end_of_file() -> Result<(), &'static str> {
    let mut line = Line::new(DEFAULTS);
    type_in(&mut line, b"ab\x04");
    check(line.take(100).as_deref() == Some(b"ab"), "^D does not end a line early")?;
    type_in(&mut line, b"\x04");
    check(
        line.take(100).as_deref() == Some(b""),
        "^D on an empty line is no end of file",
    )?;
    check(line.take(100).is_none(), "the end of file stays")
}

fn interrupt_flushes_and_signals() -> Result<(), &'static str> {
    let mut line = Line::new(DEFAULTS);
    let mut screen = Vec::new();
    type_in(&mut line, b"done\ngarbage");
    check(
        line.receive(3, &mut screen) == Some(Effect::Signal(SIGINT)) && screen == b"^C",
        "^C does not interrupt",
    )?;
    check(!line.is_readable(), "^C does not flush")?;
    line.settings.c_lflag &= !ISIG;
    check(line.receive(3, &mut screen).is_none(), "^C interrupts without ISIG")
}

fn raw_bytes_come_at_once() -> Result<(), &'static str> {
    let mut line = Line::new(DEFAULTS);
    let mut settings = line.settings;
    settings.c_lflag &= !(ICANON | ECHO | ISIG | IEXTEN);
    settings.c_iflag = 0;
    type_in(&mut line, b"typed before");
    line.set(settings);
    check(
        line.take(100).as_deref() == Some(b"typed before"),
        "what was typed is lost",
    )?;
    check(type_in(&mut line, b"\r\x03\x7f").is_empty(), "an echo")?;
    check(line.take(100).as_deref() == Some(b"\r\x03\x7f"), "bytes are changed")
}
