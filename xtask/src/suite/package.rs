//! A published crate's own tests as a few binaries: a package that takes the crate's source from where cargo keeps it.
//!
//! Nothing is copied or patched. The manifest is the published one with other test targets: each binary has several of
//! the crate's test files as modules, because linking one static binary for each file takes far longer than compiling
//! them. A file still runs as a process of its own, by a filter on its module's name.

use crate::arch::Arch;
use crate::{build, paths, progress, setup};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

pub struct Package {
    name: String,
    pub source: PathBuf,
    folder: PathBuf,
    /// Test files by the binary they are in.
    pub groups: BTreeMap<String, Vec<String>>,
}

/// The group of the crate's unit tests, which are not in files of their own.
pub const UNIT: &str = "unit";

impl Package {
    /// The package for the crate `name` as Cargo.lock has it; `group_of` sorts its test files into binaries.
    pub fn generate(name: &str, group_of: impl Fn(&str) -> &'static str) -> Result<Package> {
        let source = published(name)?;
        let folder = paths::made(&format!("suite/{name}"))?;
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let tests = source.join("tests");
        let entries = tests
            .read_dir()
            .with_context(|| format!("{name} was published without tests"))?;
        for entry in entries {
            let path = entry?.path();
            if let (Some("rs"), Some(file)) = (
                path.extension().and_then(|extension| extension.to_str()),
                path.file_stem().and_then(|stem| stem.to_str()),
            ) {
                groups
                    .entry(group_of(file).to_string())
                    .or_default()
                    .push(file.to_string());
            }
        }
        groups.values_mut().for_each(|files| files.sort());
        for (group, files) in &groups {
            write_changed(&folder.join(format!("{group}.rs")), &modules(name, &tests, files))?;
        }
        let published = std::fs::read_to_string(source.join("Cargo.toml"))?;
        write_changed(
            &folder.join("Cargo.toml"),
            &manifest(name, &source, &published, &groups),
        )?;
        // The versions its authors tested with.
        if !folder.join("Cargo.lock").exists() {
            let published = std::fs::read_to_string(source.join("Cargo.lock"))
                .with_context(|| format!("{name} was published without Cargo.lock"))?;
            write_changed(&folder.join("Cargo.lock"), &lock(name, &published))?;
        }
        Ok(Package {
            name: name.to_string(),
            source,
            folder,
            groups,
        })
    }

    /// Builds the binaries of `groups` statically with these features of the crate; their paths in the same order.
    pub fn build(&self, arch: Arch, features: &str, groups: &[&str]) -> Result<Vec<PathBuf>> {
        setup::for_building(arch)?;
        let _step = progress::step(format!("building the {arch} tests of {}", self.name));
        let mut cargo = build::talking_cargo("test");
        cargo
            .current_dir(&self.folder)
            .args(["--no-run", "--message-format", "json-render-diagnostics"])
            .args(["--target", arch.program_target(), "--features", features])
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .env("RUSTFLAGS", "-C target-feature=+crt-static");
        for &group in groups {
            if group == UNIT {
                cargo.arg("--lib");
            } else {
                cargo.args(["--test", group]);
            }
        }
        if !arch.is_host() {
            build::build_std(&mut cargo, "std,panic_unwind,test")?;
        }
        let output = cargo.stdin(Stdio::null()).output().context("cannot run cargo")?;
        if !output.status.success() {
            bail!(
                "the tests of {} did not build\n{}",
                self.name,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let built: Vec<&Path> = messages.lines().filter_map(executable).map(Path::new).collect();
        groups
            .iter()
            .map(|&group| {
                let name = if group == UNIT { &self.name } else { group };
                let is_it = |path: &&&Path| {
                    let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
                    file.rsplit_once('-').is_some_and(|(start, _)| start == name)
                };
                let path = built
                    .iter()
                    .find(is_it)
                    .with_context(|| format!("cargo built no {name}"))?;
                Ok(path.to_path_buf())
            })
            .collect()
    }
}

/// Where cargo keeps the source of a crate that the workspace depends on.
fn published(name: &str) -> Result<PathBuf> {
    let output = build::cargo("metadata")
        .args(["--format-version", "1"])
        .output()
        .context("cannot run cargo")?;
    let metadata = String::from_utf8_lossy(&output.stdout);
    let folder = |path: &&str| {
        let folder = path.rsplit('/').nth(1).unwrap_or_default();
        let version = folder.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        version.is_some_and(|version| version.starts_with(|digit: char| digit.is_ascii_digit()))
    };
    let manifest = metadata
        .split("\"manifest_path\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .find(folder)
        .with_context(|| format!("{name} is not in Cargo.lock"))?;
    Ok(Path::new(manifest)
        .parent()
        .context("a manifest in no folder")?
        .to_path_buf())
}

/// The file of a message about a binary that was built.
fn executable(message: &str) -> Option<&str> {
    message.split_once("\"executable\":\"")?.1.split('"').next()
}

/// A test target's source.
fn modules(name: &str, tests: &Path, files: &[String]) -> String {
    // What the crate's authors allow themselves stands in their root files, as do names that others call by `crate::`.
    let mut source = format!("#![allow(warnings)]\nuse {name}::*;\n");
    for file in files {
        let path = tests.join(format!("{file}.rs"));
        // A String takes any text.
        let _ = writeln!(source, "#[path = {path:?}]\nmod {file};");
    }
    source
}

/// The published manifest with the library where it is and other tests. Every other crate that uses this one, its
/// tests' helpers first of all, uses this package.
fn manifest(name: &str, source: &Path, published: &str, groups: &BTreeMap<String, Vec<String>>) -> String {
    let mut manifest = String::new();
    let mut is_kept = true;
    for line in published.lines() {
        if line.starts_with('[') {
            is_kept = !["[lib]", "[[test]]", "[[bench]]", "[[example]]"].contains(&line);
        }
        if is_kept {
            manifest.push_str(line);
            manifest.push('\n');
        }
    }
    // A String takes any text.
    let _ = writeln!(
        manifest,
        "\n[lib]\nname = {name:?}\npath = {:?}",
        source.join("src/lib.rs")
    );
    for group in groups.keys() {
        let _ = writeln!(manifest, "\n[[test]]\nname = {group:?}\npath = \"{group}.rs\"");
    }
    manifest.push_str("\n[workspace]\n");
    let _ = writeln!(manifest, "\n[patch.crates-io]\n{name} = {{ path = \".\" }}");
    // Emulated machines are slow, linking is too; tests count on debug assertions.
    manifest.push_str("\n[profile.dev]\nopt-level = 1\ndebug = false\nincremental = false\nstrip = \"debuginfo\"\n");
    manifest
}

/// The published lock file without the crate's own former version, which its tests' helpers used: they use this one.
fn lock(name: &str, published: &str) -> String {
    const SEPARATOR: &str = "\n[[package]]\n";
    let start = format!("name = \"{name}\"\n");
    let is_other = |package: &&str| package.starts_with(&start) && package.contains("\nsource = ");
    let mut lock = published.to_string();
    for package in published.split(SEPARATOR).filter(is_other) {
        lock = lock.replace(&format!("{SEPARATOR}{package}"), "");
        if let Some(version) = package.split('"').nth(3) {
            lock = lock.replace(&format!("\"{name} {version}\""), &format!("\"{name}\""));
        }
    }
    lock
}

/// Writes a file unless it has this text: cargo builds again what is newer.
fn write_changed(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|former| former == text) {
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_keeps_all_but_targets() {
        let published = "[package]\nname = \"a\"\n\n[lib]\npath = \"x\"\n\n[[test]]\nname = \"t\"\n\n[dependencies.b]\nversion = \"1\"\n";
        let groups = BTreeMap::from([("net".to_string(), vec!["tcp".to_string()])]);
        let manifest = manifest("a", Path::new("/s"), published, &groups);
        assert!(manifest.contains("[dependencies.b]\nversion = \"1\"\n"));
        assert!(manifest.contains("path = \"/s/src/lib.rs\""));
        assert!(manifest.contains("[[test]]\nname = \"net\"\npath = \"net.rs\""));
        assert!(!manifest.contains("\"t\"") && !manifest.contains("\"x\""));
    }

    #[test]
    fn the_lock_has_the_crate_once() {
        let helper = "\n[[package]]\nname = \"h\"\nversion = \"1.0.0\"\ndependencies = [\n \"a 0.9.0\",\n]\n";
        let own = "\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n";
        let other = "\n[[package]]\nname = \"a\"\nversion = \"0.9.0\"\nsource = \"registry\"\n";
        let lock = lock("a", &format!("version = 4\n{other}{own}{helper}"));
        assert_eq!(lock, format!("version = 4\n{own}{}", helper.replace("a 0.9.0", "a")));
    }

    #[test]
    fn modules_name_their_files() {
        let source = modules("a", Path::new("/s/tests"), &["tcp".to_string()]);
        assert!(source.ends_with("#[path = \"/s/tests/tcp.rs\"]\nmod tcp;\n"));
    }

    #[test]
    fn cargo_says_what_it_built() {
        let message = r#"{"reason":"compiler-artifact","executable":"/t/net-0a","fresh":true}"#;
        assert_eq!(executable(message), Some("/t/net-0a"));
        assert_eq!(executable(r#"{"executable":null}"#), None);
    }
}
