//! `cargo xtask image`: boot media for a machine of one's own, made with a Limine release.

use crate::arch::Arch;
use crate::build::{self, Kernel, Profile};
use crate::limine::{Content, Release};
use crate::paths;
use crate::payload::Payload;
use anyhow::{Context, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value = "x86_64")]
    arch: Arch,
    /// Optimise the kernel and the demonstration
    #[arg(long)]
    release: bool,
    /// The folder of a Limine release [default: qemu/limine]
    #[arg(long, value_name = "DIR")]
    limine_dir: Option<PathBuf>,
    /// Where the images go [default: target/vigil/images]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    payload: Payload,
}

pub fn command(options: &Options) -> Result<()> {
    let arch = options.arch;
    let release = Release::find(options.limine_dir.as_deref(), arch)?;
    let profile = Profile::of(options.release);
    let archive = options.payload.archive(arch, profile, false)?;
    let kernel = build::kernel(arch, profile, Kernel::Plain)?;
    let folder = match &options.out {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            folder.clone()
        }
        None => paths::made("images")?,
    };
    let root = folder.join(format!("root-{arch}.cpio"));
    std::fs::write(&root, archive).with_context(|| format!("cannot write {}", root.display()))?;
    let content = Content {
        arch,
        release: &release,
        kernel: &kernel.elf,
        root: &root,
        parameters: "stdin=tty",
    };
    let disk = folder.join(format!("vigil-{arch}.img"));
    content.write_disk(&disk)?;
    let iso = folder.join(format!("vigil-{arch}.iso"));
    content.write_iso(&iso)?;
    std::fs::remove_file(&root).with_context(|| format!("cannot remove {}", root.display()))?;
    println!("disk with an EFI system partition: {}", disk.display());
    println!("ISO image:                         {}", iso.display());
    Ok(())
}
