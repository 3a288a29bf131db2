//! Looks at a host file before a machine boots for it: one clear line beats a guest's ENOEXEC.

use crate::arch::Arch;
use anyhow::{Context, Result, bail, ensure};
use elf::abi::{ELFMAGIC, ET_DYN, ET_EXEC, PT_INTERP, PT_LOAD};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::{ElfBytes, ParseError};
use std::path::Path;

/// The program's bytes, if a machine of `arch` can run it.
pub fn read(path: &Path, arch: Arch) -> Result<Vec<u8>> {
    let bytes = bytes(path)?;
    check(&bytes, arch).with_context(|| format!("cannot run {}", path.display()))?;
    Ok(bytes)
}

/// The program's bytes and the machine that can run it.
pub fn read_any(path: &Path) -> Result<(Vec<u8>, Arch)> {
    let bytes = bytes(path)?;
    let arch = Arch::ALL
        .into_iter()
        .find(|arch| bytes.get(18..20) == Some(&arch.elf_machine().to_le_bytes()))
        .unwrap_or(Arch::X86_64);
    check(&bytes, arch).with_context(|| format!("cannot run {}", path.display()))?;
    Ok((bytes, arch))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let about = std::fs::metadata(path).with_context(|| format!("cannot open {shown}"))?;
    ensure!(about.is_file(), "{shown} is not a regular file");
    std::fs::read(path).with_context(|| format!("cannot read {shown}"))
}

fn check(bytes: &[u8], arch: Arch) -> Result<()> {
    ensure!(bytes.starts_with(&ELFMAGIC), "it is not an ELF file");
    let elf = match ElfBytes::<LittleEndian>::minimal_parse(bytes) {
        Ok(elf) => elf,
        Err(ParseError::SliceReadError(_)) => bail!("it is truncated"),
        Err(error) => bail!("its ELF header is wrong: {error}"),
    };
    ensure!(elf.ehdr.class == Class::ELF64, "it is a 32-bit program");
    if elf.ehdr.e_machine != arch.elf_machine() {
        match Arch::ALL
            .into_iter()
            .find(|other| other.elf_machine() == elf.ehdr.e_machine)
        {
            Some(other) => bail!("it is a program for {other}; say --arch {other}"),
            None => bail!(
                "it is a program for another machine (ELF machine {})",
                elf.ehdr.e_machine
            ),
        }
    }
    ensure!(
        matches!(elf.ehdr.e_type, ET_EXEC | ET_DYN),
        "it is an ELF file but not a program"
    );
    let segments = elf.segments().context("it has no program headers")?;
    let mut loads = 0;
    for segment in segments {
        ensure!(
            segment.p_type != PT_INTERP,
            "it is dynamically linked; build it static (RUSTFLAGS=\"-C target-feature=+crt-static\")"
        );
        if segment.p_type == PT_LOAD {
            loads += 1;
            let end = segment.p_offset.checked_add(segment.p_filesz);
            ensure!(end.is_some_and(|end| end <= bytes.len() as u64), "it is truncated");
        }
    }
    ensure!(loads > 0, "it has nothing to load");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8], arch: Arch) -> String {
        check(bytes, arch).map_or_else(|error| error.to_string(), |()| String::new())
    }

    /// A static program's header with one segment of 16 bytes behind it.
    fn program(arch: Arch, kind: u32) -> Vec<u8> {
        let mut bytes = vec![0u8; 64 + 56 + 16];
        bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        bytes[16..18].copy_from_slice(&ET_EXEC.to_le_bytes());
        bytes[18..20].copy_from_slice(&arch.elf_machine().to_le_bytes());
        bytes[20] = 1;
        bytes[32] = 64; // e_phoff
        bytes[54] = 56; // e_phentsize
        bytes[56] = 1; // e_phnum
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes[64 + 8] = 120; // p_offset
        bytes[64 + 32] = 16; // p_filesz
        bytes
    }

    #[test]
    fn accepts_a_static_program() {
        assert_eq!(refusal(&program(Arch::Aarch64, PT_LOAD), Arch::Aarch64), "");
    }

    #[test]
    fn refuses_with_the_reason() {
        assert!(refusal(b"#!/bin/sh\n", Arch::X86_64).contains("not an ELF"));
        assert!(refusal(b"", Arch::X86_64).contains("not an ELF"));
        assert!(refusal(&program(Arch::Aarch64, PT_LOAD), Arch::X86_64).contains("--arch aarch64"));
        assert!(refusal(&program(Arch::X86_64, PT_INTERP), Arch::X86_64).contains("dynamically"));
    }

    #[test]
    fn refuses_every_truncation() {
        let whole = program(Arch::X86_64, PT_LOAD);
        for length in 4..whole.len() {
            assert!(
                !refusal(&whole[..length], Arch::X86_64).is_empty(),
                "accepted {length} bytes"
            );
        }
    }
}
