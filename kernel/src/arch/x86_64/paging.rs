//! Page tables: 4 levels of 512 entries, 4 KiB pages.
//!
//! The upper half of every root is the kernel's: the direct map, the kernel's mappings (stacks, devices) and the kernel
//! image. Its level-3 tables are made once at boot, so a copy of 256 root entries shares everything mapped later.

use super::{DIRECT_MAP, KERNEL_MAPPINGS, boot};
use crate::arch::PAGE_SIZE;
pub use crate::arch::kernel_tables::{Bump, map_device, map_kernel, unmap_kernel};
use crate::arch::kernel_tables::{large_entry, map_image};
use crate::arch::page_table::{ENTRIES, Table, for_each_occupied, index, table, user_table};
pub use crate::arch::page_table::{OutOfFrames, PageFlags, PageTable, Verdict};
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::registers::model_specific::{Efer, EferFlags};
use x86_64::structures::paging::PhysFrame;

pub(in crate::arch) const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const COUNTED: u64 = 1 << 9;
/// Software bit of a last-level entry that is not present: a page with no right at all (PROT_NONE), which keeps its frame.
const HIDDEN: u64 = 1 << 10;
const NO_EXECUTE: u64 = 1 << 63;
/// Either: the entry has a frame.
pub(in crate::arch) const MAPPED: u64 = PRESENT | HIDDEN;
pub(in crate::arch) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// An entry for a table of the kernel's.
pub(in crate::arch) const LINK: u64 = PRESENT | WRITABLE;
/// An entry for a table of a user half.
pub(in crate::arch) const USER_LINK: u64 = LINK | USER;

/// The boot tables of the direct doors map this much.
pub(in crate::arch) const BOOT_MAPPED: u64 = 4 << 30;
/// Entries of a root that are the user's: the lower half.
pub(in crate::arch) const USER_SLOTS: usize = ENTRIES / 2;
const LARGE_PAGE: u64 = 2 << 20;

pub(in crate::arch) fn encode(flags: PageFlags) -> u64 {
    let mut bits = if flags.contains(PageFlags::READ) {
        PRESENT
    } else {
        HIDDEN
    };
    for (flag, bit) in [
        (PageFlags::WRITE, WRITABLE),
        (PageFlags::USER, USER),
        (PageFlags::DEVICE, WRITE_THROUGH | CACHE_DISABLE),
        (PageFlags::COUNTED, COUNTED),
    ] {
        if flags.contains(flag) {
            bits |= bit;
        }
    }
    if !flags.contains(PageFlags::USER) {
        bits |= GLOBAL;
    }
    if !flags.contains(PageFlags::EXEC) {
        bits |= NO_EXECUTE;
    }
    bits
}

pub(in crate::arch) fn decode(entry: u64) -> PageFlags {
    let mut flags = PageFlags::empty();
    for (bit, flag) in [
        (PRESENT, PageFlags::READ),
        (WRITABLE, PageFlags::WRITE),
        (USER, PageFlags::USER),
        (CACHE_DISABLE, PageFlags::DEVICE),
        (COUNTED, PageFlags::COUNTED),
    ] {
        if entry & bit != 0 {
            flags |= flag;
        }
    }
    if entry & NO_EXECUTE == 0 {
        flags |= PageFlags::EXEC;
    }
    flags
}

/// An entry that allows no writing, and else what `value` does.
pub(in crate::arch) fn without_write(value: u64) -> u64 {
    value & !WRITABLE
}

/// Makes stores to tables visible to the walker: on this machine they are, in their order.
#[inline]
pub(in crate::arch) fn publish() {}

/// The last-level entry of `address`, where its tables exist.
///
/// # Safety
/// `root` is a root table, and the caller has the right to change it.
pub(in crate::arch) unsafe fn entry<'a>(root: u64, address: usize) -> Option<&'a AtomicU64> {
    let mut physical = root;
    for level in [3, 2, 1] {
        // SAFETY: `physical` came from a present entry of a table above it.
        let value = unsafe { table(physical) }[index(address, level)].load(Ordering::Relaxed);
        if value & PRESENT == 0 || value & LARGE != 0 {
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
        // SAFETY: both are root tables; the kernel's upper half is final after boot.
        let (new, kernel) = unsafe { (table(root), table(KERNEL_ROOT.load(Ordering::Relaxed))) };
        for_each_occupied(&kernel[USER_SLOTS..], |slot, _, value| {
            new[USER_SLOTS + slot].store(value, Ordering::Relaxed);
        });
        Ok(PageTable { root })
    }

    /// Maps one page, replacing what was there. No flush: the caller knows whether a stale entry can exist.
    pub fn map(&mut self, address: usize, frame: u64, flags: PageFlags) -> Result<(), OutOfFrames> {
        let entry = self.entry_or_make(address)?;
        entry.store(frame | encode(flags), Ordering::Release);
        Ok(())
    }

    /// Makes this the address space of this CPU.
    pub fn activate(&self) {
        set_root(self.root);
    }
}

fn set_root(root: u64) {
    // SAFETY: a root table with the kernel's half in it.
    unsafe { Cr3::write(PhysFrame::containing_address(PhysAddr::new(root)), Cr3Flags::empty()) };
}

/// The tables without a user half: idle's, dying threads', and the model of every other root's upper half.
static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);

/// Leaves user space unmapped on this CPU (idle, dying threads).
pub fn activate_kernel_only() {
    set_root(kernel_root());
}

pub(in crate::arch) fn kernel_root() -> u64 {
    KERNEL_ROOT.load(Ordering::Relaxed)
}

/// Forgets one user page's translation on this CPU.
pub fn flush_page(address: usize) {
    x86_64::instructions::tlb::flush(x86_64::VirtAddr::new_truncate(address as u64));
}

/// Forgets all user translations on this CPU.
pub fn flush_user() {
    // Kernel pages are global and stay.
    x86_64::instructions::tlb::flush_all();
}

/// Makes freshly written instructions visible; this machine does it by itself.
pub fn sync_instruction_cache(_address: usize, _len: usize) {}

/// Fills a page with zeroes.
///
/// # Safety
/// `page` starts a page of ordinary memory that nobody else uses.
pub unsafe fn zero_page(page: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { page.write_bytes(0, PAGE_SIZE) };
}

pub fn flush_kernel(address: usize) {
    flush_page(address);
}

/// Builds the kernel's own tables and goes over to them: the direct map (no execution), the image by section, the roots
/// of the kernel's mappings. `kernel` is the image's place in RAM.
pub fn build_kernel_tables(bump: &mut Bump, kernel: u64, ram_end: u64) {
    let root = bump.frame();
    // The local APIC and the like lie below 4 GiB and are mapped as devices, not here; RAM only, but without holes.
    let mut physical = 0;
    while physical < ram_end.max(BOOT_MAPPED) {
        let entry = large_entry(bump, root, DIRECT_MAP + physical as usize);
        entry.store(
            physical | PRESENT | WRITABLE | LARGE | GLOBAL | NO_EXECUTE,
            Ordering::Relaxed,
        );
        physical += LARGE_PAGE;
    }

    map_image(bump, root, kernel);

    // SAFETY: a table of this boot.
    let entry = &unsafe { table(root) }[index(KERNEL_MAPPINGS, 3)];
    entry.store(bump.frame() | LINK, Ordering::Relaxed);

    KERNEL_ROOT.store(root, Ordering::Relaxed);
    enter_kernel_tables();
}

/// Makes [`direct`] work on Limine's tables, for the first [`BOOT_MAPPED`] bytes: a level-3 table of our own in the direct
/// map's place takes over Limine's entries for `theirs`. False if that place is taken, or `theirs` not on a GiB. `physical`
/// says where something in the image lies in RAM.
pub(super) fn borrow_direct_map(theirs: usize, own_table: *const u8, physical: impl Fn(*const u8) -> u64) -> bool {
    const GIB: usize = 1 << 30;
    let (root, _) = Cr3::read();
    let at = |physical: u64| (theirs + physical as usize) as *const Table;
    // SAFETY: Limine maps its tables, as all RAM, at `theirs`; no other CPU changes them.
    let root = unsafe { &*at(root.start_address().as_u64()) };
    let slot = &root[index(DIRECT_MAP, 3)];
    if slot.load(Ordering::Relaxed) != 0 || !theirs.is_multiple_of(GIB) {
        return false;
    }
    // SAFETY: a page of the image, of this use only in this boot.
    let table = unsafe { &*own_table.cast::<Table>() };
    for (gib, entry) in table.iter().enumerate().take(BOOT_MAPPED as usize / GIB) {
        let address = theirs + gib * GIB;
        let above = root[index(address, 3)].load(Ordering::Relaxed);
        if above & PRESENT != 0 {
            // SAFETY: as for the root.
            let entries = unsafe { &*at(above & ADDRESS) };
            entry.store(entries[index(address, 2)].load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
    slot.store(physical(own_table) | LINK, Ordering::Release);
    true
}

/// Gives the boot tables the kernel's mappings: another CPU starts on them, with a stack from there.
pub(super) fn lend_to_boot_tables() {
    unsafe extern "C" {
        static boot_pml4: u8;
    }
    let boot = &raw const boot_pml4 as u64 - boot::KERNEL_OFFSET;
    let slot = index(KERNEL_MAPPINGS, 3);
    // SAFETY: both are root tables; the boot's own is in use by a starting CPU at most.
    unsafe { table(boot)[slot].store(table(kernel_root())[slot].load(Ordering::Relaxed), Ordering::Relaxed) };
}

/// Goes over to the kernel's tables on this CPU.
pub(super) fn enter_kernel_tables() {
    // SAFETY: no-execute must be on before tables that use the bit.
    unsafe { Efer::update(|efer| *efer |= EferFlags::NO_EXECUTE_ENABLE | EferFlags::SYSTEM_CALL_EXTENSIONS) };
    set_root(kernel_root());
}
