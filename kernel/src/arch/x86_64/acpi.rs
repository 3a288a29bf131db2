//! The few facts ACPI's tables are asked for: the CPUs, the I/O APIC and its overrides (the MADT).

use crate::arch::MAX_CPUS;
use crate::mm::direct;

/// What the MADT says.
pub(super) struct Madt {
    pub apic_ids: [u8; MAX_CPUS],
    pub cpu_count: usize,
    /// Physical address and first global interrupt of the I/O APIC.
    pub io_apic: Option<(u64, u32)>,
    /// Global interrupt of each ISA line, and whether it is active low and level-triggered.
    pub isa: [(u32, bool, bool); 16],
}

/// A table in RAM, by its header's length.
fn table(physical: u64) -> &'static [u8] {
    // SAFETY: the firmware's tables lie in RAM, which the direct map covers, and nobody writes them.
    unsafe {
        let header = direct(physical) as *const u8;
        let len = u32::from_le(header.add(4).cast::<u32>().read_unaligned()) as usize;
        core::slice::from_raw_parts(header, len.max(36))
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .map_or(0, |word| u32::from_le_bytes(word.try_into().expect("four bytes")))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// Finds the table with this signature.
fn find(rsdp: u64, signature: &[u8; 4]) -> Option<&'static [u8]> {
    // SAFETY: as in `table`; an RSDP has 36 bytes from revision 2 on, and 20 before, of which only those are used then.
    let pointer = unsafe { core::slice::from_raw_parts(direct(rsdp) as *const u8, 36) };
    if !pointer.starts_with(b"RSD PTR ") {
        return None;
    }
    let wide = pointer[15] >= 2 && long(pointer, 24) != 0;
    let root = table(if wide {
        long(pointer, 24)
    } else {
        word(pointer, 16).into()
    });
    let entry_len = if wide { 8 } else { 4 };
    root[36..]
        .chunks_exact(entry_len)
        .map(|entry| table(if wide { long(entry, 0) } else { word(entry, 0).into() }))
        .find(|table| table.starts_with(signature))
}

/// Reads the MADT, if the machine has one.
pub(super) fn madt(rsdp: Option<u64>) -> Option<Madt> {
    const LOCAL_APIC: u8 = 0;
    const IO_APIC: u8 = 1;
    const OVERRIDE: u8 = 2;
    let bytes = find(rsdp?, b"APIC")?;
    let mut madt = Madt {
        apic_ids: [0; MAX_CPUS],
        cpu_count: 0,
        io_apic: None,
        isa: core::array::from_fn(|line| (line as u32, false, false)),
    };
    let mut rest = bytes.get(44..).unwrap_or(&[]);
    while rest.len() >= 2 && rest[1] >= 2 && rest.len() >= rest[1] as usize {
        let (entry, after) = rest.split_at(rest[1] as usize);
        rest = after;
        match entry[0] {
            // Enabled, or able to be.
            LOCAL_APIC if entry.len() >= 8 && word(entry, 4) & 1 != 0 && madt.cpu_count < MAX_CPUS => {
                madt.apic_ids[madt.cpu_count] = entry[3];
                madt.cpu_count += 1;
            }
            IO_APIC if entry.len() >= 12 && madt.io_apic.is_none() => {
                madt.io_apic = Some((word(entry, 4).into(), word(entry, 8)));
            }
            OVERRIDE if entry.len() >= 10 && entry[3] < 16 => {
                let flags = entry[8];
                madt.isa[entry[3] as usize] = (word(entry, 4), flags & 3 == 3, flags >> 2 & 3 == 3);
            }
            _ => {}
        }
    }
    Some(madt)
}
