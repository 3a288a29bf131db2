//! In-kernel tests of pipes.

use super::{PipeEnd, create};
use crate::arch::PAGE_SIZE;
use crate::file::OpenFile;
use crate::ktest::{Test, check};
use crate::mm::user::{Sink, Source};
use crate::task::{self, Thread, sched};
use alloc::sync::Arc;
use alloc::vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use event::{EventMask, Pollable};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use sync::SpinLock;

pub const TESTS: &[Test] = &[
    ("pipe::small_writes_share_a_page", small_writes_share_a_page),
    ("pipe::full_by_slots", full_by_slots),
    ("pipe::page_sized_writes_are_whole", page_sized_writes_are_whole),
    ("pipe::masks_of_the_ends", masks_of_the_ends),
    ("pipe::packets", packets),
    ("pipe::blocked_reader_gets_every_byte", blocked_reader_gets_every_byte),
];

type Ends = (Arc<OpenFile>, Arc<OpenFile>);

fn pair(flags: u32) -> Result<Ends, &'static str> {
    create(flags).map_err(|_| "no pipe")
}

fn write(end: &OpenFile, len: usize) -> Result<usize, Errno> {
    end.write(&mut Source::kernel(&vec![7; len]))
}

fn read(end: &OpenFile, len: usize) -> Result<usize, Errno> {
    end.read(&mut Sink::kernel(&mut vec![0; len]))
}

fn ready(end: &OpenFile) -> EventMask {
    end.downcast::<PipeEnd>()
        .map_or(EventMask::empty(), |end| end.readiness())
}

/// How much goes in by writes of `len`.
fn fill(end: &OpenFile, len: usize) -> usize {
    core::iter::from_fn(|| write(end, len).ok()).sum()
}

fn small_writes_share_a_page() -> Result<(), &'static str> {
    let (_reader, writer) = pair(O_NONBLOCK)?;
    check(fill(&writer, 1) == 16 * PAGE_SIZE, "single bytes do not fill pages")?;
    let (_reader, writer) = pair(O_NONBLOCK)?;
    check(
        fill(&writer, 1000) == 16 * 4000,
        "four writes of 1000 bytes go into a page, a fifth does not",
    )
}

fn full_by_slots() -> Result<(), &'static str> {
    let (reader, writer) = pair(O_NONBLOCK)?;
    let end = writer.downcast::<PipeEnd>().ok_or("no pipe end")?;
    check(end.set_capacity(1) == Ok(PAGE_SIZE), "a page is the least")?;
    check(
        write(&writer, PAGE_SIZE) == Ok(PAGE_SIZE) && write(&writer, 1) == Err(Errno::EAGAIN),
        "not full",
    )?;
    check(read(&reader, PAGE_SIZE / 2) == Ok(PAGE_SIZE / 2), "a read is short")?;
    check(
        !ready(&writer).contains(EventMask::OUT),
        "writable with its one page in use",
    )?;
    check(read(&reader, PAGE_SIZE) == Ok(PAGE_SIZE / 2), "a read is short")?;
    check(ready(&writer).contains(EventMask::OUT), "not writable when empty")?;
    check(
        end.set_capacity(3 * PAGE_SIZE) == Ok(4 * PAGE_SIZE),
        "sizes are powers of two of pages",
    )?;
    fill(&writer, PAGE_SIZE);
    check(
        end.set_capacity(PAGE_SIZE) == Err(Errno::EBUSY),
        "shrinks below what is in it",
    )
}

fn page_sized_writes_are_whole() -> Result<(), &'static str> {
    let (reader, writer) = pair(O_NONBLOCK)?;
    fill(&writer, PAGE_SIZE);
    check(read(&reader, 100) == Ok(100), "a read is short")?;
    check(
        write(&writer, 50) == Err(Errno::EAGAIN),
        "a small write is torn or put where there is no slot",
    )?;
    check(
        read(&reader, PAGE_SIZE) == Ok(PAGE_SIZE),
        "a read does not go over pages",
    )?;
    check(
        write(&writer, 3 * PAGE_SIZE) == Ok(PAGE_SIZE),
        "a large write is not cut to what fits",
    )
}

fn masks_of_the_ends() -> Result<(), &'static str> {
    let (readable, writable) = (super::READABLE, super::WRITABLE);
    let (reader, writer) = pair(O_NONBLOCK)?;
    check(ready(&reader).is_empty() && ready(&writer) == writable, "an idle pipe")?;
    check(
        write(&writer, 1) == Ok(1) && ready(&reader) == readable,
        "a pipe with data",
    )?;
    drop(writer);
    check(ready(&reader) == readable | EventMask::HUP, "data and no writer")?;
    check(
        read(&reader, 5) == Ok(1) && ready(&reader) == EventMask::HUP,
        "no data and no writer",
    )?;
    check(read(&reader, 5) == Ok(0), "no end of file")?;
    let (reader, writer) = pair(O_NONBLOCK)?;
    drop(reader);
    check(ready(&writer) == writable | EventMask::ERR, "room and no reader")
}

fn packets() -> Result<(), &'static str> {
    let (reader, writer) = pair(O_NONBLOCK | O_DIRECT)?;
    check(
        write(&writer, 10) == Ok(10) && write(&writer, 20) == Ok(20),
        "a packet is short",
    )?;
    check(read(&reader, 4) == Ok(4), "the first packet's part")?;
    check(read(&reader, 100) == Ok(20), "the first packet's rest was kept")
}

static ENDS: SpinLock<Option<Arc<OpenFile>>> = SpinLock::new(None);
const BYTES: usize = 300_000;

/// Writes far more than fits, then closes.
fn writing_thread(_: usize) {
    let Some(writer) = ENDS.lock().take() else { return };
    let bytes: alloc::vec::Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    if writer.write(&mut Source::kernel(&bytes)) == Ok(BYTES) {
        WRITTEN.store(BYTES, Ordering::Release);
    }
}

static WRITTEN: AtomicUsize = AtomicUsize::new(0);

fn blocked_reader_gets_every_byte() -> Result<(), &'static str> {
    let (reader, writer) = pair(0)?;
    *ENDS.lock() = Some(writer);
    sched::start(Thread::kernel(writing_thread, 0).map_err(|_| "no thread")?);
    let mut at = 0;
    loop {
        let mut bytes = [0; 777];
        match reader.read(&mut Sink::kernel(&mut bytes)) {
            Ok(0) => break,
            Ok(count) => {
                let in_order = bytes[..count]
                    .iter()
                    .enumerate()
                    .all(|(index, &byte)| byte == ((at + index) % 251) as u8);
                check(in_order, "bytes come in another order")?;
                at += count;
            }
            Err(_) => return Err("a read fails"),
        }
        task::preempt_point();
    }
    check(
        at == BYTES && WRITTEN.load(Ordering::Acquire) == BYTES,
        "bytes are lost",
    )
}
