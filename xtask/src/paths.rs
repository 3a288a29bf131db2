//! Where things lie.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo's target folder: this program lies in `target/PROFILE`.
pub fn target() -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot tell where this program lies")?;
    let target = me
        .ancestors()
        .nth(2)
        .context("this program does not lie in a target folder")?;
    Ok(target.to_path_buf())
}

/// The folder for what xtask makes itself, created when needed.
pub fn made(name: &str) -> Result<PathBuf> {
    let folder = target()?.join("vigil").join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
