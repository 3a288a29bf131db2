//! The kernel's own mappings: what boot maps (RAM, the image), and what comes later (stacks, devices).
#![allow(unsafe_code)]

use super::page_table::{OutOfFrames, PageFlags, Table, index, table, zeroed_table};
use super::paging::{ADDRESS, BOOT_MAPPED, LINK, PRESENT, encode, entry, flush_kernel, kernel_root, publish};
use super::{KERNEL_MAPPINGS, boot, symbols};
use crate::boot::Region;
use crate::mm::direct;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use sync::SpinLock;

/// Serialises changes of the kernel's own tables.
static KERNEL_TABLES: SpinLock<()> = SpinLock::new(());

/// The last-level entry of `address` in the kernel's tables, which are made on the way with `allocate`.
///
/// # Safety
/// `root` is a root table, and the caller has the right to change it.
unsafe fn entry_or_make<'a>(
    root: u64,
    address: usize,
    allocate: &mut dyn FnMut() -> Result<u64, OutOfFrames>,
) -> Result<&'a AtomicU64, OutOfFrames> {
    let mut at = root;
    for level in [3, 2, 1] {
        // SAFETY: `at` is the root, or came from a present entry of a table above it.
        let entry = &unsafe { table(at) }[index(address, level)];
        let mut value = entry.load(Ordering::Relaxed);
        if value & PRESENT == 0 {
            value = allocate()? | LINK;
            entry.store(value, Ordering::Release);
        }
        at = value & ADDRESS;
    }
    // SAFETY: as above.
    Ok(&unsafe { table(at) }[index(address, 0)])
}

/// Maps one page of the kernel's own region ([`KERNEL_MAPPINGS`]) for all CPUs. The region's tables hang on root entries
/// that exist from boot on, so every address space has them.
pub fn map_kernel(address: usize, frame: u64, flags: PageFlags) -> Result<(), OutOfFrames> {
    let _guard = KERNEL_TABLES.lock();
    // SAFETY: the lock makes this the only change of the kernel's tables.
    let entry = unsafe { entry_or_make(kernel_root(), address, &mut zeroed_table)? };
    entry.store(frame | encode(flags), Ordering::Release);
    publish();
    Ok(())
}

/// Undoes [`map_kernel`] on this CPU; others must be told to [`flush_kernel`].
pub fn unmap_kernel(address: usize) -> Option<u64> {
    let _guard = KERNEL_TABLES.lock();
    // SAFETY: as in `map_kernel`.
    let value = unsafe { entry(kernel_root(), address)? }.swap(0, Ordering::AcqRel);
    flush_kernel(address);
    (value & PRESENT != 0).then_some(value & ADDRESS)
}

/// Devices are mapped from the top half of the kernel's region upwards and stay for ever.
static NEXT_DEVICE: AtomicUsize = AtomicUsize::new(KERNEL_MAPPINGS + (256 << 30));

/// Maps a device's registers and returns their address.
pub fn map_device(physical: u64, len: usize) -> usize {
    let offset = physical as usize & 4095;
    let pages = (offset + len).div_ceil(4096);
    let address = NEXT_DEVICE.fetch_add((pages + 1) * 4096, Ordering::Relaxed);
    for page in 0..pages {
        map_kernel(
            address + page * 4096,
            (physical & !4095) + page as u64 * 4096,
            PageFlags::READ | PageFlags::WRITE | PageFlags::DEVICE,
        )
        .expect("no memory for a device's page table at boot");
    }
    address + offset
}

/// Frames for the tables that boot makes, from the region that has most room in what the boot tables map.
pub struct Bump {
    start: u64,
    next: u64,
    end: u64,
}

impl Bump {
    pub fn new(regions: &[Region]) -> Bump {
        let room = |region: &&Region| region.end.min(BOOT_MAPPED).saturating_sub(region.start);
        let region = regions.iter().max_by_key(room).expect("the machine has no free RAM");
        Bump {
            start: region.start,
            next: region.start,
            end: region.end.min(BOOT_MAPPED),
        }
    }

    pub(super) fn frame(&mut self) -> u64 {
        assert!(self.next < self.end, "too little RAM for the page tables");
        let frame = self.next;
        self.next += 4096;
        // SAFETY: a free frame, mapped by the boot tables.
        unsafe { core::ptr::write_bytes(direct(frame) as *mut u8, 0, 4096) };
        frame
    }

    /// Takes what was used out of the map.
    pub fn take_from(self, regions: &mut [Region]) {
        for region in regions {
            if region.start == self.start {
                region.start = self.next;
            }
        }
    }
}

/// The entry for the large page at `address` in tables that boot makes.
pub(super) fn large_entry<'a>(bump: &mut Bump, root: u64, address: usize) -> &'a AtomicU64 {
    let mut at = root;
    for level in [3, 2] {
        // SAFETY: tables of this boot.
        let entry = &unsafe { table(at) }[index(address, level)];
        if entry.load(Ordering::Relaxed) == 0 {
            entry.store(bump.frame() | LINK, Ordering::Relaxed);
        }
        at = entry.load(Ordering::Relaxed) & ADDRESS;
    }
    // SAFETY: as above.
    let directory: &Table = unsafe { table(at) };
    &directory[index(address, 1)]
}

/// Maps the image, which lies at `physical` in RAM, by section: nothing in it can be both written and executed.
pub(super) fn map_image(bump: &mut Bump, root: u64, physical: u64) {
    let image = (&raw const symbols::__kernel_start) as usize;
    let sections = [
        (
            image,
            (&raw const symbols::__text_end) as usize,
            PageFlags::READ | PageFlags::EXEC,
        ),
        (
            (&raw const symbols::__rodata_start) as usize,
            (&raw const symbols::__rodata_end) as usize,
            PageFlags::READ,
        ),
        (
            (&raw const symbols::__data_start) as usize,
            (&raw const symbols::__kernel_end) as usize,
            PageFlags::READ | PageFlags::WRITE,
        ),
    ];
    for (start, end, flags) in sections {
        for address in (start..end).step_by(4096) {
            if address == boot::boot_stack_guard() {
                continue;
            }
            // SAFETY: tables of this boot.
            let entry = unsafe { entry_or_make(root, address, &mut || Ok(bump.frame())) };
            let entry = entry.expect("a bump that is empty panics by itself");
            entry.store((physical + (address - image) as u64) | encode(flags), Ordering::Relaxed);
        }
    }
}
