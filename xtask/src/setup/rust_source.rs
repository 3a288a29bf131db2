//! The standard library's source, from which `core` and `alloc` are built for the kernel. Looked for in the toolchain,
//! then asked of rustup, then in the tree `VIGIL_RUST_SRC` names, then fetched from Debian.

use super::packages::{in_path, run};
use crate::paths;
use anyhow::{Context, Result, bail, ensure};
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

/// The user's cache, so that a second checkout finds it.
fn cache() -> Result<PathBuf> {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if Path::new(&cache).is_absolute() => PathBuf::from(cache).join("vigil"),
        (_, Some(home)) => PathBuf::from(home).join(".cache/vigil"),
        _ => paths::made("cache")?,
    };
    Ok(cache.join(format!("rust-src-{VERSION}/library")))
}

/// Debian's package `rust-src` lies in a newer suite than the machine's own, so apt gets lists of its own, made of the
/// mirror the machine uses already. Nothing is installed.
fn from_debian(library: &Path) -> Result<()> {
    const SUITE: &str = "trixie-backports";
    ensure!(in_path("apt-get") && in_path("dpkg"), "this is not a Debian system");
    let work = paths::made("rust-src")?;
    for folder in ["lists/partial", "archives/partial"] {
        std::fs::create_dir_all(work.join(folder))?;
    }
    let sources = work.join("sources.list");
    std::fs::write(&sources, format!("deb {} {SUITE} main\n", mirror()?))?;
    let apt_options: Vec<String> = [
        ("Dir::Etc::sourcelist", sources.display().to_string()),
        ("Dir::Etc::sourceparts", "-".to_string()),
        ("Dir::State::lists", work.join("lists").display().to_string()),
        ("Dir::Cache", work.display().to_string()),
        ("APT::Get::List-Cleanup", "0".to_string()),
        // `_apt` cannot write below a home directory; what is fetched is checked by signature all the same.
        ("APT::Sandbox::User", "root".to_string()),
    ]
    .into_iter()
    .map(|(name, value)| format!("-o{name}={value}"))
    .collect();
    let apt = |program: &str, arguments: &[&str]| {
        let options = apt_options.iter().map(String::as_str);
        run(
            &[program],
            &options.chain(arguments.iter().copied()).collect::<Vec<_>>(),
        )
    };
    apt("apt-get", &["update", "-qq"])?;
    let versions = apt("apt-cache", &["madison", "rust-src"])?;
    let version = versions
        .lines()
        .filter_map(|line| line.split('|').nth(1).map(str::trim))
        .find(|version| version.starts_with(VERSION))
        .with_context(|| format!("the mirror has no rust-src {VERSION} in {SUITE}"))?;

    // apt-get puts the package into the current folder.
    let mut download = std::process::Command::new("apt-get");
    download
        .args(&apt_options)
        .args(["download", "-qq", &format!("rust-src={version}")])
        .current_dir(&work);
    let output = download.output().context("cannot run apt-get")?;
    ensure!(
        output.status.success(),
        "apt-get download failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let package = std::fs::read_dir(&work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded no package")?;
    let unpacked = work.join("unpacked");
    run(
        &["dpkg"],
        &["-x", &package.display().to_string(), &unpacked.display().to_string()],
    )?;
    let found = find_library(&unpacked.join("usr")).context("the package has no library/core")?;
    move_into_place(&found, library)?;
    std::fs::remove_dir_all(&work).context("cannot clean up")
}

/// The mirror of the machine's first Debian source.
fn mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = std::fs::read_dir("/etc/apt/sources.list.d") {
        let mut more: Vec<_> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
        more.sort();
        files.extend(more);
    }
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        let words = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(str::split_whitespace);
        for word in words {
            // `/debian` is the main archive; security and third parties have other paths.
            let address = word.trim_end_matches('/');
            if address.starts_with("http") && address.ends_with("/debian") {
                return Ok(address.to_string());
            }
        }
    }
    bail!("no Debian mirror in /etc/apt/sources.list or sources.list.d")
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

/// A copy by cp(1) beside the goal, then one rename: a half copy is never found by the next run.
fn move_into_place(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("the cache has no folder")?;
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let partial = parent.join(format!("partial-{}", std::process::id()));
    run(
        &["cp"],
        &["-rL", &from.display().to_string(), &partial.display().to_string()],
    )?;
    std::fs::rename(&partial, to).with_context(|| format!("cannot make {}", to.display()))
}
