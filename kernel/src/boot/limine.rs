//! The Limine boot protocol, as far as the two machines have it in common: what the kernel asks for and what it is told.
//!
//! Limine finds the requests in the loaded image by their magic numbers and fills in pointers to its answers, which lie in
//! memory of its own at its own direct map's addresses. All of it is read once, on Limine's page tables, into physical
//! addresses, so that nothing of Limine's is needed later but the waiting CPUs' start words. Its memory stays its own: a
//! few MiB, which the waiting CPUs execute.

use super::regions::RegionList;
use crate::arch::MAX_CPUS;
use core::ops::Range;
use limine::BaseRevision;
use limine::memmap;
use limine::mp::MpInfo;
use limine::paging::PagingMode;
use limine::request::{
    ExecutableAddressRequest, ExecutableFileRequest, HhdmRequest, MemmapRequest, ModulesRequest, MpRequest,
    PagingModeRequest,
};

/// The newest revision asked for; an older Limine answers by the newest it knows. On aarch64 a new one refuses less.
#[used]
static REVISION: BaseRevision = BaseRevision::with_revision(6);
#[used]
static DIRECT_MAP: HhdmRequest = HhdmRequest::new();
#[used]
static MEMORY_MAP: MemmapRequest = MemmapRequest::new();
#[used]
static KERNEL: ExecutableAddressRequest = ExecutableAddressRequest::new();
/// It has the command line in every release; a request of its own for that came late.
#[used]
static KERNEL_FILE: ExecutableFileRequest = ExecutableFileRequest::new();
#[used]
static MODULES: ModulesRequest = ModulesRequest::new();
#[used]
static PROCESSORS: MpRequest = MpRequest::new(0);
#[used]
static PAGING: PagingModeRequest = PagingModeRequest::new_exact(PagingMode::MIN);

/// What Limine said; addresses are physical.
pub struct Answers {
    pub free: RegionList,
    /// From the first to the last byte of RAM, of whatever use.
    pub ram: Range<u64>,
    /// Where Limine maps RAM.
    pub direct_map: usize,
    pub kernel: u64,
    pub command_line: &'static str,
    pub initramfs: Range<u64>,
    /// The other CPUs' start words.
    pub processors: [u64; MAX_CPUS],
    pub processor_count: usize,
}

impl Answers {
    /// What an address of Limine's is in RAM. Base revision 3 gives some as that already.
    pub fn physical(&self, address: usize) -> u64 {
        address.checked_sub(self.direct_map).unwrap_or(address) as u64
    }
}

/// Reads the answers. The command line still lies in Limine's memory, and is to be copied. Without the answers that no
/// kernel can do without, `None`: there is no console yet to complain on.
pub fn answers() -> Option<Answers> {
    let direct_map = DIRECT_MAP.response()?.offset as usize;
    let mut answers = Answers {
        free: RegionList::new(),
        ram: 0..0,
        direct_map,
        kernel: KERNEL.response()?.physical_base,
        command_line: KERNEL_FILE.response()?.executable_file().cmdline(),
        initramfs: 0..0,
        processors: [0; MAX_CPUS],
        processor_count: 0,
    };
    for entry in MEMORY_MAP.response()?.entries() {
        let end = entry.base + entry.length;
        if entry.type_ == memmap::MEMMAP_USABLE {
            answers.free.add(entry.base, end);
        }
        let is_ram = matches!(
            entry.type_,
            memmap::MEMMAP_USABLE
                | memmap::MEMMAP_ACPI_RECLAIMABLE
                | memmap::MEMMAP_ACPI_NVS
                | memmap::MEMMAP_BOOTLOADER_RECLAIMABLE
                | memmap::MEMMAP_EXECUTABLE_AND_MODULES
        );
        if is_ram {
            // The map is sorted.
            let start = if answers.ram.is_empty() {
                entry.base
            } else {
                answers.ram.start
            };
            answers.ram = start..end;
        }
    }
    if let Some(archive) = MODULES.response().and_then(|modules| modules.modules().first()) {
        let start = answers.physical(archive.data().as_ptr() as usize);
        answers.initramfs = start..start + archive.data().len() as u64;
    }
    for processor in PROCESSORS
        .response()
        .into_iter()
        .flat_map(|processors| processors.cpus())
    {
        if answers.processor_count < MAX_CPUS {
            answers.processors[answers.processor_count] =
                answers.physical(core::ptr::from_ref::<MpInfo>(processor) as usize);
            answers.processor_count += 1;
        }
    }
    Some(answers)
}
