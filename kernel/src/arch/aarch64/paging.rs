//! Page tables: 4 levels of 512 entries, 4 KiB pages.
//!
//! The machine walks two trees: TTBR0's for user addresses, a root per address space, and TTBR1's for the kernel's, one for
//! all CPUs and spaces. All address spaces have the same identifier (ASID 0), so activating one forgets the other's entries.

use super::DIRECT_MAP;
use crate::arch::PAGE_SIZE;
pub use crate::arch::kernel_tables::{Bump, map_device, map_kernel, unmap_kernel};
use crate::arch::kernel_tables::{large_entry, map_image};
use crate::arch::page_table::{ENTRIES, Table, index, table, user_table};
pub use crate::arch::page_table::{OutOfFrames, PageFlags, PageTable, Verdict};
use crate::arch::symbols;
use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

pub(in crate::arch) const PRESENT: u64 = 1;
/// A table, or a page in the last level; without it a block.
const TABLE: u64 = 1 << 1;
const DEVICE_ATTRIBUTE: u64 = 1 << 2;
const USER: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const KERNEL_NO_EXECUTE: u64 = 1 << 53;
const USER_NO_EXECUTE: u64 = 1 << 54;
const COUNTED: u64 = 1 << 55;
/// Software bit of a last-level entry that is not present: a page with no right at all (PROT_NONE), which keeps its frame.
const HIDDEN: u64 = 1 << 56;
/// Either: the entry has a frame.
pub(in crate::arch) const MAPPED: u64 = PRESENT | HIDDEN;
pub(in crate::arch) const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// An entry for a table.
pub(in crate::arch) const LINK: u64 = PRESENT | TABLE;
/// The same of a user half.
pub(in crate::arch) const USER_LINK: u64 = LINK;

/// The boot tables map this much.
pub(in crate::arch) const BOOT_MAPPED: u64 = 512 << 30;
/// Entries of a user root: all.
pub(in crate::arch) const USER_SLOTS: usize = ENTRIES;
const LARGE_PAGE: u64 = 2 << 20;

pub(in crate::arch) fn encode(flags: PageFlags) -> u64 {
    let presence = if flags.contains(PageFlags::READ) {
        PRESENT
    } else {
        HIDDEN
    };
    let mut bits = presence | TABLE | ACCESSED;
    bits |= if flags.contains(PageFlags::DEVICE) {
        DEVICE_ATTRIBUTE
    } else {
        INNER_SHAREABLE
    };
    if !flags.contains(PageFlags::WRITE) {
        bits |= READ_ONLY;
    }
    let user = flags.contains(PageFlags::USER);
    if user {
        bits |= USER | NOT_GLOBAL;
    }
    if !user || !flags.contains(PageFlags::EXEC) {
        bits |= USER_NO_EXECUTE;
    }
    if user || !flags.contains(PageFlags::EXEC) {
        bits |= KERNEL_NO_EXECUTE;
    }
    if flags.contains(PageFlags::COUNTED) {
        bits |= COUNTED;
    }
    bits
}

pub(in crate::arch) fn decode(entry: u64) -> PageFlags {
    let mut flags = PageFlags::empty();
    for (present, flag) in [
        (entry & PRESENT != 0, PageFlags::READ),
        (entry & READ_ONLY == 0, PageFlags::WRITE),
        (entry & USER != 0, PageFlags::USER),
        (entry & DEVICE_ATTRIBUTE != 0, PageFlags::DEVICE),
        (entry & COUNTED != 0, PageFlags::COUNTED),
        (
            entry
                & if entry & USER != 0 {
                    USER_NO_EXECUTE
                } else {
                    KERNEL_NO_EXECUTE
                }
                == 0,
            PageFlags::EXEC,
        ),
    ] {
        if present {
            flags |= flag;
        }
    }
    flags
}

/// An entry that allows no writing, and else what `value` does.
pub(in crate::arch) fn without_write(value: u64) -> u64 {
    value | READ_ONLY
}

/// Makes stores to tables visible to the walker.
#[inline]
pub(in crate::arch) fn publish() {
    // SAFETY: barriers.
    unsafe { asm!("dsb ishst", "isb", options(nostack)) };
}

/// The last-level entry of `address`, where its tables exist.
///
/// # Safety
/// `root` is a root table, and the caller has the right to change it.
pub(in crate::arch) unsafe fn entry<'a>(root: u64, address: usize) -> Option<&'a AtomicU64> {
    let mut physical = root;
    for level in [3, 2, 1] {
        // SAFETY: `physical` came from a present entry of a table above it.
        let value = unsafe { table(physical) }[index(address, level)].load(Ordering::Relaxed);
        if value & PRESENT == 0 || value & TABLE == 0 {
            return None;
        }
        physical = value & ADDRESS;
    }
    // SAFETY: as above.
    Some(&unsafe { table(physical) }[index(address, 0)])
}

impl PageTable {
    pub fn new() -> Result<PageTable, OutOfFrames> {
        let root = user_table()?;
        Ok(PageTable { root })
    }

    /// Maps one page, replacing what was there. No flush: the caller knows whether a stale entry can exist.
    pub fn map(&mut self, address: usize, frame: u64, flags: PageFlags) -> Result<(), OutOfFrames> {
        let entry = self.entry_or_make(address)?;
        let old = entry.load(Ordering::Relaxed);
        if old & PRESENT != 0 && old & ADDRESS != frame {
            // Another frame for a page: no CPU may find both in its translations (break before make).
            entry.store(0, Ordering::Release);
            flush_page(address);
        }
        entry.store(frame | encode(flags), Ordering::Release);
        publish();
        Ok(())
    }

    /// Makes this the address space of this CPU.
    pub fn activate(&self) {
        set_user_root(self.root);
    }
}

fn set_user_root(root: u64) {
    // SAFETY: a root table; entries of the space before are forgotten.
    unsafe {
        asm!("msr ttbr0_el1, {}", "isb", "tlbi aside1, xzr", "dsb nsh", "isb", in(reg) root, options(nostack));
    }
}

/// The kernel's root, an empty user root (idle's, dying threads'), and where the image lies in RAM.
static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);
static EMPTY_ROOT: AtomicU64 = AtomicU64::new(0);
static KERNEL_PHYSICAL: AtomicU64 = AtomicU64::new(0);

/// Leaves user space unmapped on this CPU (idle, dying threads).
pub fn activate_kernel_only() {
    set_user_root(EMPTY_ROOT.load(Ordering::Relaxed));
}

pub(in crate::arch) fn kernel_root() -> u64 {
    KERNEL_ROOT.load(Ordering::Relaxed)
}

/// The physical address of something in the kernel's image.
pub(super) fn image_physical<T>(of: *const T) -> u64 {
    KERNEL_PHYSICAL.load(Ordering::Relaxed) + (of as u64 - &raw const symbols::__kernel_start as u64)
}

/// Forgets one user page's translation, on all CPUs.
pub fn flush_page(address: usize) {
    let page = address >> 12 & 0xfff_ffff_ffff;
    // SAFETY: forgetting is always allowed.
    unsafe { asm!("dsb ishst", "tlbi vaae1is, {}", "dsb ish", "isb", in(reg) page, options(nostack)) };
}

/// Forgets all user translations, on all CPUs.
pub fn flush_user() {
    // SAFETY: as above.
    unsafe { asm!("dsb ishst", "tlbi aside1is, xzr", "dsb ish", "isb", options(nostack)) };
}

/// Makes instructions that were written through the direct map visible to all CPUs' fetches.
pub fn sync_instruction_cache(address: usize, len: usize) {
    let ctr: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nostack, nomem)) };
    let line = 4usize << (ctr >> 16 & 15);
    for at in (address & !(line - 1)..address + len).step_by(line) {
        // SAFETY: cleaning to the point of unification changes no data.
        unsafe { asm!("dc cvau, {}", in(reg) at, options(nostack)) };
    }
    // SAFETY: forgets cached instructions, which are fetched again.
    unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack)) };
}

/// Fills a page with zeroes, by cache lines where the machine has an instruction for it.
///
/// # Safety
/// `page` starts a page of ordinary memory that nobody else uses.
pub unsafe fn zero_page(page: *mut u8) {
    /// DCZID_EL0: the instruction is not to be used.
    const PROHIBITED: u64 = 1 << 4;
    let kind: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, dczid_el0", out(reg) kind, options(nostack, nomem, preserves_flags)) };
    if kind & PROHIBITED != 0 {
        // SAFETY: the caller's promise.
        unsafe { page.write_bytes(0, PAGE_SIZE) };
        return;
    }
    // The register has the binary logarithm of a line's words.
    let line = 4usize << (kind & 15);
    // SAFETY: the caller's promise; lines are aligned, and no longer than a page.
    unsafe {
        asm!(
            "2:", "dc zva, {at}", "add {at}, {at}, {line}", "cmp {at}, {end}", "b.lo 2b",
            at = inout(reg) page => _, line = in(reg) line, end = in(reg) page.add(PAGE_SIZE), options(nostack),
        );
    }
}

pub fn flush_kernel(address: usize) {
    flush_page(address);
}

/// Builds the kernel's own tables: the direct map (no execution), the image by section. `kernel` is the image's place in
/// RAM, `ram` all of RAM.
pub fn build_kernel_tables(bump: &mut Bump, kernel: u64, ram: Range<u64>) {
    let root = bump.frame();
    let start = ram.start & !(LARGE_PAGE - 1);
    let ordinary = PRESENT | ACCESSED | INNER_SHAREABLE | KERNEL_NO_EXECUTE | USER_NO_EXECUTE;
    for physical in (start..ram.end).step_by(LARGE_PAGE as usize) {
        let entry = large_entry(bump, root, DIRECT_MAP + physical as usize);
        entry.store(physical | ordinary, Ordering::Relaxed);
    }
    // The first GiB is devices' on this machine, the console's among them: it must print before it is mapped by itself.
    // SAFETY: tables of this boot.
    let gigabytes = unsafe { table(table(root)[index(DIRECT_MAP, 3)].load(Ordering::Relaxed) & ADDRESS) };
    if start >= 1 << 30 {
        let device = PRESENT | ACCESSED | DEVICE_ATTRIBUTE | KERNEL_NO_EXECUTE | USER_NO_EXECUTE;
        gigabytes[0].store(device, Ordering::Relaxed);
    }

    map_image(bump, root, kernel);
    KERNEL_ROOT.store(root, Ordering::Relaxed);
    EMPTY_ROOT.store(bump.frame(), Ordering::Relaxed);
    KERNEL_PHYSICAL.store(kernel, Ordering::Relaxed);
}

/// Makes [`direct`] work on Limine's tables: where Limine maps RAM at another place, its root entries are entered in the
/// direct map's place too. False if that place is taken, or is not as aligned. `physical` says where something in the image
/// lies in RAM; the identity map that Limine's CPUs leave by is made here too.
pub(super) fn borrow_direct_map(theirs: usize, physical: impl Fn(*const u8) -> u64) -> bool {
    const SPAN: usize = 1 << 39;
    if !theirs.is_multiple_of(SPAN) {
        return false;
    }
    if theirs != DIRECT_MAP {
        let root: u64;
        // SAFETY: reads a register.
        unsafe { asm!("mrs {}, ttbr1_el1", out(reg) root, options(nostack, nomem)) };
        // SAFETY: Limine maps its tables, as all RAM, at `theirs`; no other CPU changes them.
        let root = unsafe { &*((theirs + (root & ADDRESS) as usize) as *const Table) };
        let (from, to) = (&root[index(theirs, 3)], &root[index(DIRECT_MAP, 3)]);
        if to.load(Ordering::Relaxed) != 0 {
            return false;
        }
        to.store(from.load(Ordering::Relaxed), Ordering::Release);
        publish();
    }
    unsafe extern "C" {
        static boot_identity: Table;
        static boot_level1: Table;
    }
    // SAFETY: pages of the image, which nobody walks yet.
    let (identity, level1) = unsafe { (&boot_identity, &boot_level1) };
    identity[0].store(physical((&raw const boot_level1).cast()) | LINK, Ordering::Relaxed);
    for (gib, entry) in level1.iter().enumerate().skip(1) {
        let ordinary = PRESENT | ACCESSED | INNER_SHAREABLE;
        entry.store((gib as u64) << 30 | ordinary, Ordering::Relaxed);
    }
    publish();
    true
}

/// Goes over to the kernel's tables on this CPU.
pub(super) fn enter_kernel_tables() {
    // SAFETY: the tables map what runs here at the same addresses as the boot tables do.
    unsafe {
        asm!(
            "dsb ish", "msr ttbr1_el1, {}", "msr ttbr0_el1, {}", "isb", "tlbi vmalle1", "dsb nsh", "isb",
            in(reg) kernel_root(), in(reg) EMPTY_ROOT.load(Ordering::Relaxed), options(nostack),
        );
    }
}
