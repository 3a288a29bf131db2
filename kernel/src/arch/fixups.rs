//! Where to go on when an instruction that touches user memory met a fault that can't be mended.
//!
//! Whoever writes such an instruction inline leaves a pair of addresses in a section of its own: the instruction's, and
//! where to go on.
#![allow(unsafe_code)]

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
            ".pushsection .fixups, \"a\"\n.balign 8\n.quad ",
            $at,
            ", ",
            $go_on,
            "\n.popsection"
        )
    };
}
pub(super) use fixup;

/// Where to go on after a fault at `ip`; `None` where it is nobody's.
pub(super) fn find(ip: usize) -> Option<usize> {
    unsafe extern "C" {
        static __fixups_start: Fixup;
        static __fixups_end: Fixup;
    }
    let (start, end) = (&raw const __fixups_start, &raw const __fixups_end);
    let len = (end.addr() - start.addr()) / size_of::<Fixup>();
    // SAFETY: the linker script puts the two symbols around the section, which is never written.
    let fixups = unsafe { core::slice::from_raw_parts(start, len) };
    fixups.iter().find(|fixup| fixup.at == ip).map(|fixup| fixup.go_on)
}
