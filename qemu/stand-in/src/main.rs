//! A UEFI application that takes Limine's place in the tests: no release of Limine can be fetched where they run.
//!
//! It reads `limine.conf` beside it as Limine would, loads the kernel and the module that it names, answers the requests
//! that Vigil makes by the protocol's base revision 6, and enters the kernel in the state the protocol describes: RAM, and
//! nothing else, in a direct map; the kernel by its segments, at an odd page; the other CPUs waiting for an address. What
//! it does not do is everything a user would want of a boot loader.
#![no_std]
#![no_main]

extern crate alloc;

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod machine;
mod requests;
mod tables;

use alloc::vec::Vec;
use elf::ElfBytes;
use elf::abi::PT_LOAD;
use elf::endian::LittleEndian;
use linked_list_allocator::LockedHeap;
use tables::Tables;
use uefi::boot::{self, AllocateType, MemoryType};
use uefi::fs::FileSystem;
use uefi::mem::memory_map::MemoryMap;
use uefi::prelude::*;
use uefi::table::cfg::ConfigTableEntry;
use uefi::{CString16, Guid, guid, system};

const DEVICE_TREE: Guid = guid!("b1b621d5-f19c-41a5-830b-d9152c69aae0");
const PAGE: u64 = 4096;

/// Memory that stays: pages of RAM, through UEFI's identity map.
struct Pages {
    start: u64,
    len: u64,
}

impl Pages {
    fn new(len: u64) -> Pages {
        let count = len.div_ceil(PAGE) as usize;
        let start = boot::allocate_pages(AllocateType::AnyPages, MemoryType::LOADER_DATA, count).expect("no memory");
        // SAFETY: the pages are ours.
        unsafe { start.write_bytes(0, count * PAGE as usize) };
        Pages {
            start: start.as_ptr() as u64,
            len,
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: ours, and UEFI maps RAM at its physical address.
        unsafe { core::slice::from_raw_parts_mut(self.start as *mut u8, self.len as usize) }
    }
}

/// A part of RAM as the protocol's memory map has it.
pub struct Region {
    pub start: u64,
    pub len: u64,
    pub kind: u64,
}

const USABLE: u64 = 0;
const RESERVED: u64 = 1;
const ACPI_RECLAIMABLE: u64 = 2;
const ACPI_NVS: u64 = 3;
const LOADER: u64 = 5;
const KERNEL_AND_MODULES: u64 = 6;

/// UEFI's own memory goes with the boot services; this stays, with room for the files.
#[global_allocator]
static ALLOCATOR: LockedHeap = LockedHeap::empty();
const HEAP: u64 = 128 << 20;

#[entry]
fn main() -> Status {
    let heap = Pages::new(HEAP);
    // SAFETY: the pages are the heap's alone, and stay.
    unsafe { ALLOCATOR.lock().init(heap.start as *mut u8, HEAP as usize) };

    let volume = boot::get_image_file_system(boot::image_handle()).expect("no boot volume");
    let mut files = FileSystem::new(volume);
    let mut read = |path: &str| {
        let path = CString16::try_from(path.replace('/', "\\").as_str()).expect("an odd path");
        files.read(path.as_ref()).expect("a file is missing")
    };
    let configuration = read("/limine.conf");
    let configuration = core::str::from_utf8(&configuration).expect("limine.conf is no text");
    let option = |wanted: &str| {
        configuration
            .lines()
            .filter_map(|line| line.trim().split_once(':'))
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.trim())
    };
    let file = |name: &str| {
        let path = option(name).expect("limine.conf lacks a path");
        path.strip_prefix("boot():").expect("a path not on the boot volume")
    };
    let elf_file = read(file("path"));
    let archive = read(file("module_path"));
    let mut module = Pages::new(archive.len() as u64);
    module.bytes().copy_from_slice(&archive);
    let mut command_line = option("cmdline").unwrap_or("").as_bytes().to_vec();
    command_line.push(0);

    let elf = ElfBytes::<LittleEndian>::minimal_parse(&elf_file).expect("the kernel is no ELF file");
    let segments: Vec<_> = elf
        .segments()
        .expect("the kernel has no segments")
        .iter()
        .filter(|segment| segment.p_type == PT_LOAD)
        .collect();
    let base = segments
        .iter()
        .map(|segment| segment.p_vaddr)
        .min()
        .expect("nothing to load");
    let end = segments
        .iter()
        .map(|segment| segment.p_vaddr + segment.p_memsz)
        .max()
        .expect("nothing to load");
    // A page late, so that no kernel relies on more alignment than it asks for.
    let mut image = Pages::new(end - base + PAGE);
    let kernel = image.start + PAGE;
    for segment in &segments {
        let at = (segment.p_vaddr - base + PAGE) as usize;
        let data = elf.segment_data(segment).expect("the kernel is cut off");
        image.bytes()[at..at + data.len()].copy_from_slice(data);
    }

    let table = |guid| {
        system::with_config_table(|all| {
            all.iter()
                .find(|entry| entry.guid == guid)
                .map(|entry| entry.address as u64)
        })
    };
    let rsdp = table(ConfigTableEntry::ACPI2_GUID);
    let device_tree = table(DEVICE_TREE);
    let mut arena = requests::Arena::new(Pages::new(1 << 20));
    let table_pages = Pages::new(2 << 20);
    let stacks = Pages::new(machine::MAX_CPUS as u64 * machine::STACK);
    machine::prepare();

    // SAFETY: nothing of the boot services is used from here on.
    let map = unsafe { boot::exit_boot_services(None) };
    let mut regions: Vec<Region> = Vec::new();
    for entry in map.entries() {
        let kind = match entry.ty {
            MemoryType::CONVENTIONAL | MemoryType::BOOT_SERVICES_CODE | MemoryType::BOOT_SERVICES_DATA => USABLE,
            MemoryType::LOADER_CODE | MemoryType::LOADER_DATA => LOADER,
            MemoryType::ACPI_RECLAIM => ACPI_RECLAIMABLE,
            MemoryType::ACPI_NON_VOLATILE => ACPI_NVS,
            MemoryType::MMIO | MemoryType::MMIO_PORT_SPACE => continue,
            _ => RESERVED,
        };
        requests::add_region(&mut regions, entry.phys_start, entry.page_count * PAGE, kind);
    }
    for pages in [&image, &module] {
        requests::carve(
            &mut regions,
            pages.start,
            pages.len.next_multiple_of(PAGE),
            KERNEL_AND_MODULES,
        );
    }

    let mut tables = Tables::new(&table_pages);
    for region in regions.iter().filter(|region| region.kind != RESERVED) {
        tables.map_ram(machine::DIRECT_MAP + region.start, region.start, region.len);
    }
    for segment in &segments {
        let start = segment.p_vaddr & !(PAGE - 1);
        let len = (segment.p_vaddr + segment.p_memsz).next_multiple_of(PAGE) - start;
        tables.map_kernel(start, kernel + (start - base), len, segment.p_flags);
    }

    let loaded = &mut image.bytes()[PAGE as usize..];
    let processors = requests::answer(
        loaded,
        &mut arena,
        &requests::Facts {
            regions: &regions,
            kernel,
            base,
            command_line: &command_line,
            module: (module.start, module.len),
            rsdp,
            device_tree,
            cpus: machine::cpus(rsdp),
        },
    );
    machine::start_others(&processors, &tables, &stacks);
    machine::enter(elf.ehdr.e_entry, &tables, stacks.start + machine::STACK)
}
