//! What every boot door leaves behind: one [`BootInfo`], whichever way the machine was entered.

pub mod command_line;
pub mod limine;
pub mod regions;

/// Bytes of RAM that the kernel may use, by physical address; page-aligned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    pub start: u64,
    pub end: u64,
}

/// The way the machine was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Xen's PVH entry, as `qemu -kernel` uses it on x86_64.
    Pvh,
    /// The arm64 Linux Image protocol.
    Image,
    /// The Limine boot protocol.
    Limine,
}

pub const MAX_REGIONS: usize = 64;

/// What the boot door learnt. Everything it points to stays where it is for ever.
pub struct BootInfo {
    pub door: Door,
    /// Free RAM: the kernel, the initramfs, the device tree and the boot page tables are not in it.
    pub regions: [Region; MAX_REGIONS],
    pub region_count: usize,
    pub command_line: &'static str,
    /// The cpio archive, through the direct map.
    pub initramfs: &'static [u8],
    /// Physical address of the ACPI root pointer (x86_64).
    pub rsdp: Option<u64>,
    /// The flattened device tree (aarch64), through the direct map.
    pub device_tree: Option<&'static [u8]>,
}

impl BootInfo {
    pub fn regions(&self) -> &[Region] {
        &self.regions[..self.region_count]
    }
}
