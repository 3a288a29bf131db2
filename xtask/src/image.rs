//! ELF to the flat image arm64 boots: the loadable segments at their distance from the lowest load address.

use anyhow::{Context, Result, ensure};
use elf::ElfBytes;
use elf::abi::PT_LOAD;
use elf::endian::LittleEndian;
use std::path::Path;

pub fn flatten(elf_file: &Path, image_file: &Path) -> Result<()> {
    let bytes = std::fs::read(elf_file).with_context(|| format!("cannot read {}", elf_file.display()))?;
    let image = flat(&bytes).with_context(|| format!("{} has no flat image", elf_file.display()))?;
    std::fs::write(image_file, image).with_context(|| format!("cannot write {}", image_file.display()))
}

fn flat(bytes: &[u8]) -> Result<Vec<u8>> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(bytes)?;
    let loaded: Vec<_> = elf
        .segments()
        .context("no segments")?
        .into_iter()
        .filter(|segment| segment.p_type == PT_LOAD && segment.p_filesz > 0)
        .collect();
    let base = loaded
        .iter()
        .map(|segment| segment.p_paddr)
        .min()
        .context("nothing to load")?;
    let mut image = Vec::new();
    for segment in &loaded {
        let data = elf.segment_data(segment)?;
        let start = usize::try_from(segment.p_paddr - base)?;
        let end = start + data.len();
        ensure!(end < 1 << 30, "load addresses are further apart than 1 GiB");
        if image.len() < end {
            image.resize(end, 0);
        }
        image[start..end].copy_from_slice(data);
    }
    Ok(image)
}
