//! The few commands that tests of published crates call, in the machine they run in: one program of `userspace-tests`.

use crate::arch::Arch;
use crate::build::{self, Profile};
use crate::cpio::Archive;
use crate::paths;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// All that `tools` is, in `/bin`.
const NAMES: &[&str] = &[
    "bash", "cat", "echo", "env", "false", "pwd", "sh", "sleep", "true", "uname", "wc",
];

/// The program as it was built last; built when it never was.
pub fn last(arch: Arch) -> Result<PathBuf> {
    let last = paths::target()?.join(arch.program_target()).join("debug/tools");
    if last.exists() { Ok(last) } else { build(arch) }
}

pub fn build(arch: Arch) -> Result<PathBuf> {
    build::program(arch, Profile::Dev, "userspace-tests", "tools")
}

/// Packs `program` under all its names.
pub fn pack(archive: &mut Archive, program: &Path) -> Result<()> {
    let contents = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    archive.file("/bin/tools", 0o755, &contents);
    for name in NAMES {
        archive.symbolic_link(&format!("/bin/{name}"), "tools");
    }
    Ok(())
}
