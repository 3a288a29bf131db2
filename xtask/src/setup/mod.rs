//! `cargo xtask setup`: what building and running needs beyond cargo. Each part looks first and fetches only what is
//! missing, so the other commands call it whenever they start.

mod debian;
mod linux;
mod packages;
mod rust_source;

pub use linux::find as linux;
pub use rust_source::{RustSource, find as rust_source};

use crate::arch::Arch;
use anyhow::{Result, ensure};

/// Everything, for both machines.
pub fn all() -> Result<()> {
    for arch in Arch::ALL {
        for_building(arch)?;
        for_running(arch)?;
    }
    println!("rust-src: {}", rust_source()?);
    println!("everything is there");
    Ok(())
}

/// What building for `arch` needs.
pub fn for_building(arch: Arch) -> Result<()> {
    rust_source()?;
    if arch == Arch::Aarch64 && !arch.is_host() {
        packages::need(&[packages::CROSS_GCC, packages::CROSS_LIBC])?;
    }
    Ok(())
}

/// What booting `arch` by UEFI firmware needs: the firmware's file.
pub fn for_firmware(arch: Arch) -> Result<&'static str> {
    let (package, file) = match arch {
        Arch::X86_64 => (packages::OVMF, packages::OVMF_FILE),
        Arch::Aarch64 => (packages::AAVMF, packages::AAVMF_FILE),
    };
    packages::need(&[package])?;
    Ok(file)
}

/// What debugging needs: the debugger's name.
pub fn for_debugging() -> Result<&'static str> {
    packages::need(&[packages::GDB])?;
    Ok(packages::GDB_PROGRAM)
}

/// What making ISO images needs.
pub fn for_iso() -> Result<()> {
    packages::need(&[packages::XORRISO])
}

/// What building C++ programs on Boost needs: the compiler's name.
pub fn for_boost(arch: Arch) -> Result<&'static str> {
    let (package, compiler) = if arch.is_host() {
        (packages::CXX, "g++")
    } else {
        ensure!(arch == Arch::Aarch64, "no C++ compiler is known here for {arch}");
        (packages::CROSS_CXX, "aarch64-linux-gnu-g++")
    };
    packages::need(&[package, packages::BOOST])?;
    Ok(compiler)
}

/// What running a machine of `arch` needs.
pub fn for_running(arch: Arch) -> Result<()> {
    packages::need(&[match arch {
        Arch::X86_64 => packages::QEMU_X86,
        Arch::Aarch64 => packages::QEMU_ARM,
    }])
}
