//! Folders of this computer as parts of a root archive.

use crate::cpio::{self, Archive};
use anyhow::{Context, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Packs a file or a link as `name`; a socket, a device and what may not be read stay here.
pub fn entry(archive: &mut Archive, path: &Path, name: &str) -> Result<()> {
    let about = path
        .symlink_metadata()
        .with_context(|| format!("cannot look at {}", path.display()))?;
    if about.is_symlink() {
        let target = path
            .read_link()
            .with_context(|| format!("cannot read {}", path.display()))?;
        archive.symbolic_link(name, &target.to_string_lossy());
    } else if about.is_file()
        && let Ok(contents) = std::fs::read(path)
    {
        let modified_s = about.modified().map_or(0, cpio::seconds);
        archive.file_of(name, about.permissions().mode() & 0o7777, modified_s, &contents);
    }
    Ok(())
}

/// A folder's contents, so that they come where the root's are.
pub fn as_root(folder: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    tree(&mut archive, folder, "")?;
    Ok(archive.finish())
}

fn tree(archive: &mut Archive, folder: &Path, at: &str) -> Result<()> {
    for path in sorted(folder)? {
        let name = format!("{at}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        let about = path
            .symlink_metadata()
            .with_context(|| format!("cannot look at {}", path.display()))?;
        if about.is_dir() {
            archive.directory(&name, about.permissions().mode() & 0o7777);
            tree(archive, &path, &name)?;
        } else {
            entry(archive, &path, &name)?;
        }
    }
    Ok(())
}

/// What is in a folder, in the order of names.
pub fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder
        .read_dir()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
