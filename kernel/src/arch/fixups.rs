//! Where to go on when an instruction that touches user memory met a fault that can't be mended.
//!
//! Whoever writes such an instruction inline leaves a pair of addresses in a section of its own: the instruction's, and
//! where to go on.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ptr::NonNull;

/// An instruction and what follows its fault.
#[derive(Clone, Copy)]
#[repr(C)]
struct Fixup {
    at: usize,
    go_on: usize,
}

/// Whether any of some loads from user memory has failed: asked once, after the last.
pub struct Faults(pub(super) u32);

impl Faults {
    pub const NONE: Faults = Faults(0);

    #[inline]
    pub fn any(&self) -> bool {
        self.0 != 0
    }
}

/// The table's entry for the instruction at label `$at`, as assembler.
macro_rules! fixup {
    ($at:literal, $go_on:literal) => {
        concat!(
            ".pushsection .fixups, \"aw\"\n.balign 8\n.quad ",
            $at,
            ", ",
            $go_on,
            "\n.popsection"
        )
    };
}
pub(super) use fixup;

unsafe extern "C" {
    static __fixups_start: UnsafeCell<Fixup>;
    static __fixups_end: UnsafeCell<Fixup>;
}

fn table() -> NonNull<[Fixup]> {
    let (start, end) = (&raw const __fixups_start, &raw const __fixups_end);
    let len = (end.addr() - start.addr()) / size_of::<Fixup>();
    NonNull::slice_from_raw_parts(
        NonNull::new(UnsafeCell::raw_get(start)).expect("a symbol of the image"),
        len,
    )
}

/// Puts the table in order, for [`find`].
///
/// # Safety
/// Nobody else looks: there is one CPU, and it has not touched user memory.
pub(super) unsafe fn sort() {
    // SAFETY: the linker script puts the two symbols around the section, and nobody else has it by the caller's promise.
    let fixups = unsafe { table().as_mut() };
    fixups.sort_unstable_by_key(|fixup| fixup.at);
}

/// Where to go on after a fault at `ip`; `None` where it is nobody's. There are hundreds, and a program's own faults come by
/// here too, when the kernel is the first to touch a page.
pub(super) fn find(ip: usize) -> Option<usize> {
    // SAFETY: as in `sort`; from then on the table is not written.
    let fixups = unsafe { table().as_ref() };
    let at = fixups.binary_search_by_key(&ip, |fixup| fixup.at).ok()?;
    Some(fixups[at].go_on)
}
