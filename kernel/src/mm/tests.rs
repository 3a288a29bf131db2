//! In-kernel tests of frames, the heap and address spaces: what is taken comes back.

use super::frame::{self, Frame};
use super::heap;
use super::space::{AddressSpace, Backing, Mapping, Placement, Protection};
use super::user::{Sink, Source};
use crate::arch::PAGE_SIZE;
use crate::ktest::{Test, check};
use crate::trap::Access;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;

pub const TESTS: &[Test] = &[
    ("memory::bytes_are_moved_and_filled", bytes_are_moved_and_filled),
    ("memory::frames_count_their_owners", frames_count_their_owners),
    ("memory::frames_come_back", frames_come_back),
    ("memory::runs_split_and_join", runs_split_and_join),
    ("memory::heap_objects_keep_apart", heap_objects_keep_apart),
    ("memory::heap_gives_slabs_back", heap_gives_slabs_back),
    ("memory::too_large_is_refused", too_large_is_refused),
    ("memory::spaces_come_back", spaces_come_back),
    ("memory::fork_copies_on_write", fork_copies_on_write),
    (
        "memory::sinks_and_sources_stop_at_their_end",
        sinks_and_sources_stop_at_their_end,
    ),
];

const NO_MEMORY: &str = "no memory";

fn free() -> usize {
    frame::totals().1
}

/// What the compiler calls for it, at every length up to some blocks and every alignment, overlapping or not.
fn bytes_are_moved_and_filled() -> Result<(), &'static str> {
    const PLACES: [usize; 12] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 17, 64, 300];
    let fresh = || core::array::from_fn(|index| index as u8);
    for len in 0..=200 {
        for from in PLACES {
            for to in PLACES {
                let mut bytes: [u8; 512] = fresh();
                // A length that the compiler does not know.
                bytes.copy_within(from..from + core::hint::black_box(len), to);
                let expected = |at: usize| match at.checked_sub(to) {
                    Some(step) if step < len => (from + step) as u8,
                    _ => at as u8,
                };
                let right = bytes.iter().enumerate().all(|(at, &byte)| byte == expected(at));
                check(right, "bytes are moved wrongly")?;
            }
            let (mut bytes, source): ([u8; 512], [u8; 512]) = (fresh(), fresh());
            let len = core::hint::black_box(len);
            bytes[from..from + len].fill(0xa5);
            let filled = |at: usize| (from..from + len).contains(&at);
            let right = (0..512).all(|at| bytes[at] == if filled(at) { 0xa5 } else { at as u8 });
            check(right, "bytes are filled wrongly")?;
            bytes[from..from + len].copy_from_slice(&source[300 - from..300 - from + len]);
            let copied = |at: usize| if filled(at) { at + 300 - 2 * from } else { at };
            let right = (0..512).all(|at| bytes[at] == copied(at) as u8);
            check(right, "bytes are copied wrongly")?;
        }
    }
    Ok(())
}

fn frames_count_their_owners() -> Result<(), &'static str> {
    let frame = Frame::zeroed().map_err(|_| NO_MEMORY)?;
    check(frame.is_sole(), "a new frame has another owner")?;
    let share = frame.clone();
    check(
        !frame.is_sole() && share.physical() == frame.physical(),
        "a share is not counted",
    )?;
    drop(share);
    check(frame.is_sole(), "a share that is gone is counted")
}

fn frames_come_back() -> Result<(), &'static str> {
    let before = free();
    let mut frames = [const { None }; 300];
    for slot in &mut frames {
        *slot = Some(Frame::new().map_err(|_| NO_MEMORY)?);
    }
    check(free() == before - frames.len(), "frames taken are not counted")?;
    drop(frames);
    check(free() == before, "frames are lost")
}

fn runs_split_and_join() -> Result<(), &'static str> {
    let before = free();
    // As much as one run can hold but for a page: the rest is split off and goes back at once.
    let pages = (1 << 8) - 1;
    let mut bytes = Vec::<u8>::new();
    bytes.try_reserve_exact(pages * PAGE_SIZE).map_err(|_| NO_MEMORY)?;
    check(free() == before - pages, "the rest of a run is kept")?;
    drop(bytes);
    check(free() == before, "a run is lost")
}

fn heap_objects_keep_apart() -> Result<(), &'static str> {
    let used = heap::used();
    let mut objects: Vec<(*mut u8, Layout, u8)> = Vec::with_capacity(512);
    for round in 0..2 {
        for (number, size) in [
            1, 15, 16, 17, 48, 100, 250, 700, 1100, 2048, 2049, 5000, 32768, 32769, 70000,
        ]
        .into_iter()
        .cycle()
        .take(150)
        .enumerate()
        {
            let layout = Layout::from_size_align(size, 1 << (number % 13)).map_err(|_| "a layout")?;
            // SAFETY: the layout is not empty.
            let object = unsafe { alloc::alloc::alloc(layout) };
            check(!object.is_null(), NO_MEMORY)?;
            check(
                (object as usize).is_multiple_of(layout.align()),
                "an object is not aligned",
            )?;
            let pattern = (number + round) as u8;
            // SAFETY: the object's own bytes.
            unsafe { object.write_bytes(pattern, size) };
            objects.push((object, layout, pattern));
        }
        // Every other one goes, so that the second round fills gaps.
        let mut keep = round == 1;
        for &(object, layout, pattern) in &objects {
            // SAFETY: live objects of this test.
            let bytes = unsafe { core::slice::from_raw_parts(object, layout.size()) };
            check(bytes.iter().all(|&byte| byte == pattern), "objects overlap")?;
        }
        objects.retain(|&(object, layout, _)| {
            keep = !keep;
            if !keep || round == 1 {
                // SAFETY: a live object of this test, forgotten here.
                unsafe { alloc::alloc::dealloc(object, layout) };
            }
            keep && round == 0
        });
    }
    drop(objects);
    check(heap::used() == used, "bytes are lost")
}

fn heap_gives_slabs_back() -> Result<(), &'static str> {
    let before = free();
    let mut objects = Vec::with_capacity(8000);
    for number in 0..8000u64 {
        objects.push(Box::new([number; 12]));
    }
    check(free() + 180 < before, "eight thousand objects fit nowhere")?;
    check(
        objects
            .iter()
            .enumerate()
            .all(|(number, object)| object[11] == number as u64),
        "objects overlap",
    )?;
    drop(objects);
    // One empty slab of the class stays.
    check(free() + 1 >= before, "empty slabs stay")
}

fn too_large_is_refused() -> Result<(), &'static str> {
    let mut bytes = Vec::<u8>::new();
    check(bytes.try_reserve_exact(1 << 40).is_err(), "a TiB was found")?;
    check(
        bytes.try_reserve_exact(frame::total() * PAGE_SIZE).is_err(),
        "all of memory was found free",
    )
}

fn writable() -> Mapping {
    Mapping::new(Protection::READ | Protection::WRITE, Backing::Anonymous)
}

fn spaces_come_back() -> Result<(), &'static str> {
    let build = || -> Result<(), libsyscall::abi::Errno> {
        let space = AddressSpace::new()?;
        let at = space.map(0, 200 * PAGE_SIZE, writable(), Placement::Anywhere)?;
        for page in (0..200).step_by(3) {
            space.write(at + page * PAGE_SIZE, &[1; 100])?;
        }
        let child = space.fork()?;
        child.write(at, &[2])?;
        space.unmap(at + 50 * PAGE_SIZE, 70 * PAGE_SIZE)
    };
    build().map_err(|_| NO_MEMORY)?;
    let before = free();
    for _ in 0..20 {
        build().map_err(|_| NO_MEMORY)?;
    }
    check(free() == before, "address spaces leak")
}

fn fork_copies_on_write() -> Result<(), &'static str> {
    let space = AddressSpace::new().map_err(|_| NO_MEMORY)?;
    let at = space
        .map(0, 2 * PAGE_SIZE, writable(), Placement::Anywhere)
        .map_err(|_| NO_MEMORY)?;
    space.write(at, &[1]).map_err(|_| NO_MEMORY)?;
    let child = space.fork().map_err(|_| NO_MEMORY)?;
    let before = free();
    child
        .handle_fault(at, Access::Read)
        .map_err(|_| "reading a shared page fails")?;
    check(free() == before, "reading copies")?;
    child
        .handle_fault(at, Access::Write)
        .map_err(|_| "writing a shared page fails")?;
    check(free() == before - 1, "writing does not copy")?;
    space
        .handle_fault(at, Access::Write)
        .map_err(|_| "writing the last share fails")?;
    check(free() == before - 1, "the last owner copies")?;
    check(
        space.handle_fault(at + 2 * PAGE_SIZE, Access::Read).is_err(),
        "a hole can be read",
    )
}

fn sinks_and_sources_stop_at_their_end() -> Result<(), &'static str> {
    let mut bytes = [0; 8];
    let mut sink = Sink::kernel(&mut bytes);
    check(
        sink.put(b"abcde") == Ok(5) && sink.put(b"fghij") == Ok(3) && sink.put(b"k") == Ok(0),
        "a sink's end",
    )?;
    check(sink.len() == 0, "a sink's count")?;
    check(&bytes == b"abcdefgh", "a sink's bytes")?;
    let mut source = Source::kernel(&bytes);
    let mut part = [0; 6];
    check(
        source.skip(1) == 1 && source.get(&mut part) == Ok(6) && &part == b"bcdefg",
        "a source's bytes",
    )?;
    check(
        source.get(&mut part) == Ok(1) && source.get(&mut part) == Ok(0),
        "a source's end",
    )
}
