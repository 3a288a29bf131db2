//! In-kernel tests of descriptors and descriptions.

use super::{FdTable, OpenFile};
use crate::fs;
use crate::ktest::{Test, check};
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;

pub const TESTS: &[Test] = &[
    ("file::lowest_number_first", lowest_number_first),
    ("file::numbers_beyond_a_word_row", numbers_beyond_a_word_row),
    ("file::limit_is_emfile", limit_is_emfile),
    ("file::close_on_exec_is_per_number", close_on_exec_is_per_number),
    ("file::status_flags_that_change", status_flags_that_change),
];

const LIMIT: usize = 1 << 20;

fn null() -> Result<Arc<OpenFile>, &'static str> {
    fs::open(&fs::root(), b"/dev/null", O_RDWR | O_APPEND, 0, fs::Bounds::empty())
        .map_err(|_| "/dev/null can't be opened")
}

fn lowest_number_first() -> Result<(), &'static str> {
    let (table, file) = (FdTable::new(), null()?);
    for expected in 0..200 {
        check(
            table.insert(file.clone(), false, 0, LIMIT) == Ok(expected),
            "numbers do not follow each other",
        )?;
    }
    for closed in [150, 64, 63, 3] {
        check(table.close(closed).is_ok(), "an open number can't be closed")?;
    }
    check(table.close(3).is_err(), "a number can be closed twice")?;
    for expected in [3, 63, 64, 150, 200] {
        check(
            table.insert(file.clone(), false, 0, LIMIT) == Ok(expected),
            "not the lowest free number",
        )?;
    }
    check(table.close(70).is_ok(), "an open number can't be closed")?;
    check(
        table.insert(file.clone(), false, 100, LIMIT) == Ok(201),
        "a number below the lowest asked for",
    )?;
    check(
        table.insert(file, false, 1000, LIMIT) == Ok(1000),
        "a free number is not given",
    )
}

/// The second row of bits has 64 words of 64 numbers in a word: 4096 numbers.
fn numbers_beyond_a_word_row() -> Result<(), &'static str> {
    let (table, file) = (FdTable::new(), null()?);
    for expected in 0..5000 {
        check(
            table.insert(file.clone(), false, 0, LIMIT) == Ok(expected),
            "numbers do not follow each other",
        )?;
    }
    check(
        table.close(4500).is_ok() && table.close(4100).is_ok(),
        "an open number can't be closed",
    )?;
    check(
        table.insert(file.clone(), false, 0, LIMIT) == Ok(4100),
        "not the lowest free number",
    )?;
    check(
        table.insert(file.clone(), false, 0, LIMIT) == Ok(4500),
        "not the lowest free number",
    )?;
    check(
        table.insert(file, false, 0, LIMIT) == Ok(5000),
        "not the lowest free number",
    )
}

fn limit_is_emfile() -> Result<(), &'static str> {
    let (table, file) = (FdTable::new(), null()?);
    for _ in 0..3 {
        check(
            table.insert(file.clone(), false, 0, 3).is_ok(),
            "a number below the limit is refused",
        )?;
    }
    check(
        table.insert(file.clone(), false, 0, 3) == Err(Errno::EMFILE),
        "the limit is not kept",
    )?;
    check(table.replace(3, file, false, 3).is_err(), "dup2 beyond the limit")
}

fn close_on_exec_is_per_number() -> Result<(), &'static str> {
    let (table, file) = (FdTable::new(), null()?);
    for cloexec in [false, true, false] {
        check(table.insert(file.clone(), cloexec, 0, LIMIT).is_ok(), "no number")?;
    }
    let copy = table.duplicate().map_err(|_| "the table can't be copied")?;
    copy.close_on_exec();
    check(
        copy.get(0).is_ok() && copy.get(1).is_err() && copy.get(2).is_ok(),
        "the wrong numbers are closed",
    )?;
    check(
        table.cloexec(1) == Ok(true) && table.cloexec(2) == Ok(false),
        "the copy changed the original",
    )
}

fn status_flags_that_change() -> Result<(), &'static str> {
    let file = null()?;
    check(
        file.flags() == O_RDWR | O_APPEND | O_LARGEFILE,
        "flags are not those of open",
    )?;
    file.set_flags(O_WRONLY | O_NONBLOCK | O_CREAT);
    check(
        file.flags() == O_RDWR | O_NONBLOCK | O_LARGEFILE,
        "F_SETFL changed what it must not",
    )
}
