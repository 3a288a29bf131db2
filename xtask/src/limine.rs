//! Boot media by the Limine boot loader, from a release that the user has: a disk with an EFI system partition, and an ISO
//! image. `qemu/limine.conf` is what Limine reads there.

use crate::arch::Arch;
use crate::setup;
use anyhow::{Context, Result, bail};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What Limine reads; `{parameters}` is replaced.
const CONFIGURATION: &str = include_str!("../../qemu/limine.conf");
const KERNEL: &str = "boot/vigil.elf";
const ROOT: &str = "boot/root.cpio";

/// A folder with a Limine release.
#[derive(Clone, Debug)]
pub struct Release {
    folder: PathBuf,
}

impl Release {
    /// The release in `folder`, or where one is looked for.
    pub fn find(folder: Option<&Path>, arch: Arch) -> Result<Release> {
        let usual = crate::paths::repository().join("qemu/limine");
        let release = Release {
            folder: folder.unwrap_or(&usual).to_path_buf(),
        };
        if release.file(loader(arch)).is_none() {
            bail!(
                "no Limine release with {} in {}: get a binary release (version 8 or later, from limine-bootloader.org), \
                 unpack it there, or name its folder with --limine-dir",
                loader(arch),
                release.folder.display()
            );
        }
        Ok(release)
    }

    /// A file of the release, as unpacked or as installed.
    fn file(&self, name: &str) -> Option<PathBuf> {
        ["", "bin", "share/limine"]
            .into_iter()
            .map(|inner| self.folder.join(inner).join(name))
            .find(|file| file.is_file())
    }

    /// Whether an ISO image for the old firmware can be made of it.
    pub fn has_bios(&self) -> bool {
        BIOS_FILES.into_iter().all(|name| self.file(name).is_some())
    }
}

const BIOS_CD: &str = "limine-bios-cd.bin";
const UEFI_CD: &str = "limine-uefi-cd.bin";
const BIOS_FILES: [&str; 2] = ["limine-bios.sys", BIOS_CD];

/// The boot loader as UEFI looks for it.
pub fn loader(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "BOOTX64.EFI",
        Arch::Aarch64 => "BOOTAA64.EFI",
    }
}

/// What a medium carries.
pub struct Content<'a> {
    pub arch: Arch,
    pub release: &'a Release,
    /// With its symbols; Limine loads ELF files.
    pub kernel: &'a Path,
    pub root: &'a Path,
    pub parameters: &'a str,
}

impl Content<'_> {
    /// Every file, by its path on the medium.
    fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let read = |file: &Path| std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
        let mut files = vec![
            (
                "limine.conf".to_string(),
                CONFIGURATION.replace("{parameters}", self.parameters).into_bytes(),
            ),
            (KERNEL.to_string(), read(self.kernel)?),
            (ROOT.to_string(), read(self.root)?),
        ];
        let name = loader(self.arch);
        if let Some(file) = self.release.file(name) {
            files.push((format!("EFI/BOOT/{name}"), read(&file)?));
        }
        for name in BIOS_FILES.into_iter().chain([UEFI_CD]) {
            if let Some(file) = self.release.file(name) {
                files.push((format!("boot/limine/{name}"), read(&file)?));
            }
        }
        Ok(files)
    }

    /// Writes a disk image with one partition: an EFI system partition.
    pub fn write_disk(&self, image: &Path) -> Result<()> {
        const SECTOR: usize = 512;
        const FIRST: usize = 2048;
        const SLACK: usize = 8 << 20;
        let files = self.files()?;
        let sum: usize = files.iter().map(|(_, contents)| contents.len()).sum();
        // FAT32 begins at 32 MiB, which is what every firmware reads.
        let len = (sum + sum / 64 + SLACK).max(40 << 20).next_multiple_of(1 << 20);
        let mut volume = Cursor::new(vec![0; len]);
        fatfs::format_volume(&mut volume, FormatVolumeOptions::new().volume_label(*b"VIGIL      "))
            .context("cannot make a file system")?;
        {
            let system = FileSystem::new(&mut volume, FsOptions::new()).context("cannot make a file system")?;
            let top = system.root_dir();
            for (path, contents) in &files {
                for (at, _) in path.match_indices('/') {
                    top.create_dir(&path[..at])?;
                }
                top.create_file(path)?.write_all(contents)?;
            }
        }
        let mut table = [0; SECTOR];
        // One entry: not active, addresses by number only, type EFI system, first sector, count; then the mark.
        let entry = &mut table[446..462];
        entry[1..8].copy_from_slice(&[0xfe, 0xff, 0xff, 0xef, 0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&(FIRST as u32).to_le_bytes());
        entry[12..16].copy_from_slice(&((len / SECTOR) as u32).to_le_bytes());
        table[510..].copy_from_slice(&[0x55, 0xaa]);
        let mut disk = table.to_vec();
        disk.resize(FIRST * SECTOR, 0);
        disk.extend(volume.into_inner());
        std::fs::write(image, disk).with_context(|| format!("cannot write {}", image.display()))
    }

    /// Writes an ISO image, for the old firmware where the release and the machine have it, and for UEFI.
    pub fn write_iso(&self, image: &Path) -> Result<()> {
        setup::for_iso()?;
        let folder = image.with_extension("iso-files");
        // A leftover of a run that was cut off.
        let _ = std::fs::remove_dir_all(&folder);
        for (path, contents) in self.files()? {
            let file = folder.join(path);
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
            }
            std::fs::write(&file, contents).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let mut xorriso = Command::new("xorriso");
        xorriso.args(["-as", "mkisofs", "-quiet", "-R", "-r", "-J"]);
        if self.arch == Arch::X86_64 && self.release.has_bios() {
            xorriso.arg("-b").arg(format!("boot/limine/{BIOS_CD}"));
            xorriso.args(["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]);
        }
        if self.release.file(UEFI_CD).is_some() {
            xorriso.arg("--efi-boot").arg(format!("boot/limine/{UEFI_CD}"));
            xorriso.args(["-efi-boot-part", "--efi-boot-image"]);
        }
        xorriso
            .arg("--protective-msdos-label")
            .arg(&folder)
            .arg("-o")
            .arg(image);
        let output = xorriso.stdin(Stdio::null()).output().context("cannot run xorriso")?;
        if !output.status.success() {
            bail!("xorriso failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        // A leftover costs some disk space only.
        let _ = std::fs::remove_dir_all(&folder);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// A release of files that say their names, and a disk made of it.
    fn disk(root: &[u8]) -> Vec<u8> {
        let folder = std::env::temp_dir().join(format!("vigil-limine-{}-{}", std::process::id(), root.len()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for name in ["BOOTX64.EFI", "limine-bios.sys", "kernel"] {
            std::fs::write(folder.join(name), name).expect("a file");
        }
        std::fs::write(folder.join("root"), root).expect("a file");
        let release = Release::find(Some(&folder), Arch::X86_64).expect("a release");
        assert!(
            Release::find(Some(&folder), Arch::Aarch64).is_err(),
            "it has no BOOTAA64.EFI"
        );
        assert!(!release.has_bios(), "it has no limine-bios-cd.bin");
        let image = folder.join("disk.img");
        Content {
            arch: Arch::X86_64,
            release: &release,
            kernel: &folder.join("kernel"),
            root: &folder.join("root"),
            parameters: "log=info",
        }
        .write_disk(&image)
        .expect("a disk");
        let disk = std::fs::read(&image).expect("the disk");
        std::fs::remove_dir_all(&folder).expect("ours");
        disk
    }

    #[test]
    fn the_disk_has_one_partition_with_every_file() {
        let root: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        let disk = disk(&root);
        assert_eq!(disk[510..512], [0x55, 0xaa]);
        assert_eq!(disk[450], 0xef);
        let word = |at: usize| u32::from_le_bytes(disk[at..at + 4].try_into().expect("4 bytes")) as usize;
        let (first, count) = (word(454) * 512, word(458) * 512);
        assert_eq!(disk.len(), first + count);
        let volume = Cursor::new(disk[first..].to_vec());
        let system = FileSystem::new(volume, FsOptions::new()).expect("a file system");
        let read = |path: &str| {
            let mut contents = Vec::new();
            let mut file = system.root_dir().open_file(path).expect(path);
            file.read_to_end(&mut contents).expect(path);
            contents
        };
        assert_eq!(read("EFI/BOOT/BOOTX64.EFI"), b"BOOTX64.EFI");
        assert_eq!(read("boot/limine/limine-bios.sys"), b"limine-bios.sys");
        assert_eq!(read("boot/vigil.elf"), b"kernel");
        assert_eq!(read("boot/root.cpio"), root);
        let configuration = String::from_utf8(read("limine.conf")).expect("text");
        assert!(configuration.contains("cmdline: log=info\n"), "{configuration}");
    }

    #[test]
    fn a_large_archive_has_room() {
        let disk = disk(&vec![7; 50 << 20]);
        assert!(disk.len() > 58 << 20);
    }
}
