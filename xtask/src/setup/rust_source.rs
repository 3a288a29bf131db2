//! The standard library's source, from which `core` and `alloc` are built for the kernel. Looked for in the toolchain,
//! then asked of rustup, then in the tree `VIGIL_RUST_SRC` names, then fetched from Debian.

use super::debian::{self, Suite};
use super::packages::run;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where it is.
#[derive(Clone, Debug)]
pub enum RustSource {
    /// Where cargo looks by itself.
    Toolchain,
    /// The `library` folder to tell cargo of.
    Elsewhere(PathBuf),
}

impl fmt::Display for RustSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RustSource::Toolchain => f.write_str("in the toolchain"),
            RustSource::Elsewhere(library) => library.display().fmt(f),
        }
    }
}

/// A tree with `library/` in it.
const VARIABLE: &str = "VIGIL_RUST_SRC";
/// The version of rust-toolchain.toml: another one's source does not build with it.
const VERSION: &str = "1.95.0";

/// Finds it, fetching it when it must.
pub fn find() -> Result<RustSource> {
    static FOUND: OnceLock<RustSource> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = look()?;
    Ok(FOUND.get_or_init(|| found).clone())
}

fn look() -> Result<RustSource> {
    if in_toolchain()? {
        return Ok(RustSource::Toolchain);
    }
    if let Some(tree) = std::env::var_os(VARIABLE) {
        let library = Path::new(&tree).join("library");
        ensure!(
            is_library(&library),
            "{VARIABLE} is {}, which has no library/core",
            Path::new(&tree).display()
        );
        return Ok(RustSource::Elsewhere(library));
    }
    let cached = cache()?;
    if is_library(&cached) {
        return Ok(RustSource::Elsewhere(cached));
    }
    eprintln!("fetching the source of Rust's standard library");
    let rustup = run(&["rustup"], &["component", "add", "rust-src"]);
    if rustup.is_ok() && in_toolchain()? {
        return Ok(RustSource::Toolchain);
    }
    from_debian(&cached).with_context(|| {
        format!("no rust-src: try `rustup component add rust-src`, or name a tree of Rust {VERSION} in {VARIABLE}")
    })?;
    Ok(RustSource::Elsewhere(cached))
}

fn is_library(folder: &Path) -> bool {
    folder.join("core/src/lib.rs").is_file() && folder.join("Cargo.lock").is_file()
}

fn in_toolchain() -> Result<bool> {
    let sysroot = run(&["rustc"], &["--print", "sysroot"])?;
    Ok(is_library(
        &Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library"),
    ))
}

fn cache() -> Result<PathBuf> {
    Ok(debian::cache()?.join(format!("rust-src-{VERSION}/library")))
}

/// Debian's package `rust-src` lies in a newer suite than the machine's own.
fn from_debian(library: &Path) -> Result<()> {
    const SUITE: &str = "trixie-backports";
    let suite = Suite::open("rust-src", SUITE, None)?;
    let version = suite
        .versions("rust-src")?
        .into_iter()
        .find(|version| version.starts_with(VERSION))
        .with_context(|| format!("the mirror has no rust-src {VERSION} in {SUITE}"))?;
    let unpacked = suite.unpack(&format!("rust-src={version}"))?;
    let found = find_library(&unpacked.join("usr")).context("the package has no library/core")?;
    debian::move_into_place(&found, library)?;
    suite.forget()
}

/// The package has the library below a folder with the version in its name.
fn find_library(folder: &Path) -> Option<PathBuf> {
    const DEPTH: usize = 6;
    let mut level = vec![folder.to_path_buf()];
    for _ in 0..DEPTH {
        if let Some(found) = level
            .iter()
            .map(|folder| folder.join("library"))
            .find(|library| is_library(library))
        {
            return Some(found);
        }
        level = level
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())))
            .filter(|path| path.is_dir() && !path.is_symlink())
            .collect();
    }
    None
}
