//! Packages of a Debian suite that need not be the machine's own. apt gets lists of its own for it, made of the mirror the
//! machine uses already; packages are unpacked, nothing is installed.

use super::packages::{in_path, run};
use crate::paths;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A suite as apt sees it.
pub struct Suite {
    work: PathBuf,
    options: Vec<String>,
}

impl Suite {
    /// Fetches the lists of `suite` for machines of `architecture` (Debian's name; this machine's when left out). What is
    /// fetched lies in a folder `name` until [`Suite::forget`].
    pub fn open(name: &str, suite: &str, architecture: Option<&str>) -> Result<Suite> {
        ensure!(in_path("apt-get") && in_path("dpkg"), "this is not a Debian system");
        let work = paths::made(name)?;
        for folder in ["lists/partial", "archives/partial"] {
            std::fs::create_dir_all(work.join(folder))?;
        }
        let sources = work.join("sources.list");
        std::fs::write(&sources, format!("deb {} {suite} main\n", mirror()?))?;
        let mut settings = vec![
            ("Dir::Etc::sourcelist", sources.display().to_string()),
            ("Dir::Etc::sourceparts", "-".to_string()),
            ("Dir::State::lists", work.join("lists").display().to_string()),
            ("Dir::Cache", work.display().to_string()),
            ("APT::Get::List-Cleanup", "0".to_string()),
            // `_apt` cannot write below a home directory; what is fetched is checked by signature all the same.
            ("APT::Sandbox::User", "root".to_string()),
        ];
        if let Some(architecture) = architecture {
            settings.push(("APT::Architecture", architecture.to_string()));
            settings.push(("APT::Architectures", architecture.to_string()));
        }
        let options = settings
            .into_iter()
            .map(|(name, value)| format!("-o{name}={value}"))
            .collect();
        let suite = Suite { work, options };
        suite.apt("apt-get", &["update", "-qq"])?;
        Ok(suite)
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let options = self.options.iter().map(String::as_str);
        run(
            &[program],
            &options.chain(arguments.iter().copied()).collect::<Vec<_>>(),
        )
    }

    /// The versions the suite has of a package, newest first.
    pub fn versions(&self, package: &str) -> Result<Vec<String>> {
        let lines = self.apt("apt-cache", &["madison", package])?;
        let versions = lines.lines().filter_map(|line| line.split('|').nth(1));
        Ok(versions.map(|version| version.trim().to_string()).collect())
    }

    /// The first package a package depends on whose name starts so.
    pub fn dependency(&self, package: &str, start: &str) -> Result<Option<String>> {
        let lines = self.apt("apt-cache", &["depends", package])?;
        let mut names = lines.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.find(|name| name.starts_with(start)).map(str::to_string))
    }

    /// Downloads a package, as `NAME` or `NAME=VERSION`, and gives the folder it is unpacked in.
    pub fn unpack(&self, package: &str) -> Result<PathBuf> {
        // apt-get puts the package into the current folder.
        let output = Command::new("apt-get")
            .args(&self.options)
            .args(["download", "-qq", package])
            .current_dir(&self.work)
            .output()
            .context("cannot run apt-get")?;
        ensure!(
            output.status.success(),
            "apt-get download failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let file = std::fs::read_dir(&self.work)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get downloaded no package")?;
        let unpacked = self.work.join("unpacked");
        run(
            &["dpkg"],
            &["-x", &file.display().to_string(), &unpacked.display().to_string()],
        )?;
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        Ok(unpacked)
    }

    /// Removes what was fetched.
    pub fn forget(self) -> Result<()> {
        std::fs::remove_dir_all(&self.work).context("cannot clean up")
    }
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

/// A copy by cp(1) beside the goal, then one rename: a half copy is never found by the next run.
pub fn move_into_place(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("the cache has no folder")?;
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let partial = parent.join(format!("partial-{}", std::process::id()));
    run(
        &["cp"],
        &["-rL", &from.display().to_string(), &partial.display().to_string()],
    )?;
    std::fs::rename(&partial, to).with_context(|| format!("cannot make {}", to.display()))
}

/// The user's cache, so that a second checkout finds what the first has fetched.
pub fn cache() -> Result<PathBuf> {
    match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if Path::new(&cache).is_absolute() => Ok(PathBuf::from(cache).join("vigil")),
        (_, Some(home)) => Ok(PathBuf::from(home).join(".cache/vigil")),
        _ => paths::made("cache"),
    }
}
