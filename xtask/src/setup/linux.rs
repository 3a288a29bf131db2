//! A Linux to measure against: Debian's newest kernel for clouds, as a file that QEMU boots.

use super::debian::{self, Suite};
use super::packages::run;
use crate::arch::Arch;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Where Debian's newest kernels arrive first.
const SUITE: &str = "sid";

/// The kernel and its version. One that was fetched before is taken as it is, unless `refresh`.
pub fn find(arch: Arch, refresh: bool) -> Result<(PathBuf, String)> {
    let cached = debian::cache()?.join(format!("linux-{arch}"));
    if refresh || !cached.join("vmlinuz").exists() {
        fetch(arch, &cached).context("no Linux to compare with; name one with --linux")?;
    }
    let version = std::fs::read_to_string(cached.join("version")).context("the fetched Linux has no version")?;
    Ok((cached.join("vmlinuz"), version.trim().to_string()))
}

fn fetch(arch: Arch, cached: &Path) -> Result<()> {
    let architecture = match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    };
    eprintln!("fetching Debian's newest Linux for {arch}");
    let suite = Suite::open(&format!("linux-{arch}"), SUITE, Some(architecture))?;
    let image = suite
        .dependency(&format!("linux-image-cloud-{architecture}"), "linux-image-")?
        .with_context(|| format!("{SUITE} has no linux-image-cloud-{architecture}"))?;
    let version = image.trim_start_matches("linux-image-").to_string();
    // The kernel itself may be in a package of its own.
    let package = suite.dependency(&image, "linux-binary-")?.unwrap_or(image);
    let unpacked = suite.unpack(&package)?;
    let places = [
        unpacked.join(format!("boot/vmlinuz-{version}")),
        unpacked.join(format!("usr/lib/modules/{version}/vmlinuz")),
    ];
    let kernel = places.iter().find(|place| place.is_file());
    let kernel = kernel.with_context(|| format!("{package} has no vmlinuz"))?;
    let complete = unpacked.join("complete");
    std::fs::create_dir(&complete)?;
    std::fs::write(complete.join("vmlinuz"), bootable(&std::fs::read(kernel)?, &unpacked)?)?;
    std::fs::write(complete.join("version"), version)?;
    if cached.exists() {
        std::fs::remove_dir_all(cached)?;
    }
    debian::move_into_place(&complete, cached)?;
    suite.forget()
}

/// What QEMU can boot: an image compressed for EFI, which unpacks itself only there, is unpacked here.
fn bootable(image: &[u8], folder: &Path) -> Result<Vec<u8>> {
    // include/linux zboot header: "MZ", 2 bytes, "zimg", offset and size of the payload, 8 bytes, the compression's name.
    if image.get(4..8) != Some(b"zimg") {
        return Ok(image.to_vec());
    }
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("a kernel image of a few bytes")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    let (offset, size) = (word(8)?, word(12)?);
    let payload = image
        .get(offset..offset + size)
        .context("the kernel image is cut off")?;
    let method: Vec<u8> = image[24..56].iter().copied().take_while(|&byte| byte != 0).collect();
    let program = String::from_utf8_lossy(&method).into_owned();
    ensure!(
        ["gzip", "zstd", "xz", "lzma", "lz4", "lzo"].contains(&program.as_str()),
        "the kernel image is compressed by {program:?}"
    );
    let file = folder.join("payload");
    std::fs::write(&file, payload)?;
    let unpacked = folder.join("unpacked");
    run(
        &["sh", "-c", "\"$1\" -dc < \"$2\" > \"$3\"", "sh"],
        &[&program, &file.display().to_string(), &unpacked.display().to_string()],
    )?;
    Ok(std::fs::read(unpacked)?)
}
