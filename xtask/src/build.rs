//! Builds the kernel and the programs, by cargo with what each target needs.

use crate::arch::Arch;
use crate::{image, limine, paths, progress, setup};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(clap::Args)]
pub struct Options {
    /// One machine only
    #[arg(long)]
    arch: Option<Arch>,
    /// Optimise
    #[arg(long)]
    release: bool,
}

pub fn command(options: &Options) -> Result<()> {
    let machines = options.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]);
    let profile = Profile::of(options.release);
    for arch in machines {
        let kernel = kernel(arch, profile, Kernel::Plain)?;
        let programs = programs(arch, profile)?;
        println!("{arch} kernel:   {}", kernel.boot_file.display());
        println!("{arch} programs: {}", programs.display());
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Dev,
    Release,
}

impl Profile {
    pub fn of(release: bool) -> Profile {
        if release { Profile::Release } else { Profile::Dev }
    }

    fn name(self) -> &'static str {
        match self {
            Profile::Dev => "dev",
            Profile::Release => "release",
        }
    }

    /// Cargo's name for the profile's folder.
    fn folder(self) -> &'static str {
        match self {
            Profile::Dev => "debug",
            Profile::Release => "release",
        }
    }
}

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    Plain,
    /// With the in-kernel tests.
    Tests,
}

/// A kernel's files.
#[derive(Clone)]
pub struct Built {
    /// What QEMU's `-kernel` takes.
    pub boot_file: PathBuf,
    /// With its symbols, as boot loaders and debuggers load it.
    pub elf: PathBuf,
}

pub fn kernel(arch: Arch, profile: Profile, kind: Kernel) -> Result<Built> {
    setup::for_building(arch)?;
    let _step = progress::step(format!("building the {arch} kernel ({})", profile.name()));
    let mut cargo = cargo("build");
    cargo.args(["--package", "kernel", "--profile", profile.name()]);
    bare(&mut cargo, arch.kernel_target())?;
    if kind == Kernel::Tests {
        cargo.args(["--features", "ktest"]);
    }
    if profile == Profile::Dev {
        // Added to the flags of `.cargo/config.toml`, where a profile can't have its own. A panic's addresses come by them.
        let target = arch.kernel_target();
        cargo.args([
            "--config",
            &format!("target.{target}.rustflags=['-Cforce-frame-pointers=yes']"),
        ]);
    }
    finish(cargo, "the kernel")?;

    let built = paths::target()?
        .join(arch.kernel_target())
        .join(profile.folder())
        .join("vigil");
    // A copy stays when the kernel is built with other features into the same place.
    let kernel = place(arch, profile, kind)?;
    std::fs::copy(&built, &kernel.elf).with_context(|| format!("cannot copy {}", built.display()))?;
    if kernel.boot_file != kernel.elf {
        image::flatten(&kernel.elf, &kernel.boot_file)?;
    }
    Ok(kernel)
}

/// The kernel as it was built last, whatever its source is now; built when it never was.
pub fn last_kernel(arch: Arch, profile: Profile) -> Result<Built> {
    let last = place(arch, profile, Kernel::Plain)?;
    if last.boot_file.exists() {
        Ok(last)
    } else {
        kernel(arch, profile, Kernel::Plain)
    }
}

/// Where a kernel's files lie.
fn place(arch: Arch, profile: Profile, kind: Kernel) -> Result<Built> {
    let suffix = if kind == Kernel::Tests { "-tests" } else { "" };
    let folder = paths::made(&format!("{arch}-{}{suffix}", profile.name()))?;
    let elf = folder.join("vigil.elf");
    Ok(Built {
        boot_file: match arch {
            Arch::X86_64 => elf.clone(),
            Arch::Aarch64 => folder.join("Image"),
        },
        elf,
    })
}

/// The packages of `userspace-tests` whose programs have a standard library, as cargo's arguments.
pub const PROGRAM_PACKAGES: [&str; 6] = [
    "--package",
    "userspace-tests",
    "--package",
    "tokio-programs",
    "--package",
    "event-loops",
];

/// Builds every program of `userspace-tests` statically and gives the folder they are in.
pub fn programs(arch: Arch, profile: Profile) -> Result<PathBuf> {
    setup::for_building(arch)?;
    let target = arch.program_target();
    let folder = paths::target()?.join(target).join(profile.folder());

    let step = progress::step(format!("building the {arch} programs ({})", profile.name()));
    let mut std_programs = std_program(arch, profile)?;
    std_programs.args(PROGRAM_PACKAGES);
    finish(std_programs, "the programs")?;
    drop(step);

    let _step = progress::step(format!("building hello for {arch}"));
    let mut hello = cargo("build");
    hello.args(["--package", "hello", "--profile", "bare"]);
    hello.env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static");
    bare(&mut hello, target)?;
    finish(hello, "hello")?;
    let built = paths::target()?.join(target).join("bare/hello");
    std::fs::copy(&built, folder.join("hello")).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(folder)
}

/// Builds the programs of the interactive system statically and gives the folder they are in. The first time takes
/// minutes; then they are kept.
pub fn userland(arch: Arch) -> Result<PathBuf> {
    setup::for_building(arch)?;
    let _step = progress::step(format!(
        "building the {arch} shell and its tools: some minutes the first time"
    ));
    let workspace = paths::repository().join("userland");
    let target = paths::made("userland")?;
    copy_when_changed(&workspace.join("Cargo.lock"), &target.join("Cargo.lock"))?;
    let mut cargo = cargo("build");
    cargo.current_dir(workspace);
    cargo.args(["--locked", "--bins", "--target", arch.program_target()]);
    // The published packages are found among the dependencies of the first.
    for package in ["packages", "brush-shell", "mini-redis", "init", "hello-server", "tools"] {
        cargo.args(["--package", package]);
    }
    cargo
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        // As `build_std` sets it: build scripts are run again where it changes, and all that depends on them.
        .env("RUSTC_BOOTSTRAP", "1");
    if !arch.is_host() {
        build_std(&mut cargo, "std,panic_unwind")?;
    }
    finish(cargo, "the interactive system")?;
    Ok(target.join(arch.program_target()).join("debug"))
}

/// The coreutils are built again when the `Cargo.lock` nearest to their target folder is touched; this one is not.
fn copy_when_changed(from: &Path, to: &Path) -> Result<()> {
    let contents = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if std::fs::read(to).ok().as_ref() != Some(&contents) {
        std::fs::write(to, contents).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// Builds the loader that takes Limine's place in the tests, and gives a folder that looks like a release of it.
pub fn stand_in(arch: Arch) -> Result<PathBuf> {
    setup::for_building(arch)?;
    let _step = progress::step(format!("building the {arch} stand-in for Limine"));
    finish(stand_in_cargo("build", arch)?, "the stand-in for Limine")?;
    let built = paths::target()?.join(arch.firmware_target()).join("debug/stand-in.efi");
    let folder = paths::made("stand-in")?;
    let loader = folder.join(limine::loader(arch));
    std::fs::copy(&built, loader).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(folder)
}

/// Cargo for the stand-in.
pub fn stand_in_cargo(command: &str, arch: Arch) -> Result<Command> {
    let mut cargo = cargo(command);
    cargo.args(["--package", "stand-in"]);
    bare(&mut cargo, arch.firmware_target())?;
    Ok(cargo)
}

/// Builds the program on Boost.Asio, unless it is newer than its source, into the folder of the others.
pub fn boost_asio(arch: Arch, folder: &Path) -> Result<()> {
    let source = paths::repository().join("userspace-tests/boost-asio/demonstration.cpp");
    let program = folder.join("boost_asio");
    let changed = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified());
    if let (Ok(built), Ok(written)) = (changed(&program), changed(&source))
        && built > written
    {
        return Ok(());
    }
    let compiler = setup::for_boost(arch)?;
    let _step = progress::step(format!("building the Boost.Asio program for {arch}"));
    let mut command = Command::new(compiler);
    command.args(["-O1", "-std=c++17", "-Wall", "-Wextra", "-static", "-pthread"]);
    if !arch.is_host() {
        // Boost is headers for every machine; the machine's own come first.
        command.args(["-idirafter", "/usr/include"]);
    }
    command.arg("-o").arg(&program).arg(source);
    finish(command, "the Boost.Asio program")
}

/// Builds one program of a package statically.
pub fn program(arch: Arch, profile: Profile, package: &str, name: &str) -> Result<PathBuf> {
    setup::for_building(arch)?;
    let _step = progress::step(format!("building {name} for {arch} ({})", profile.name()));
    let mut cargo = std_program(arch, profile)?;
    cargo.args(["--package", package, "--bin", name]);
    finish(cargo, name)?;
    let target = paths::target()?.join(arch.program_target());
    Ok(target.join(profile.folder()).join(name))
}

/// Cargo that builds static programs over the standard library.
fn std_program(arch: Arch, profile: Profile) -> Result<Command> {
    let mut cargo = cargo("build");
    cargo.args(["--profile", profile.name(), "--target", arch.program_target()]);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    if !arch.is_host() {
        build_std(&mut cargo, "std,panic_unwind")?;
    }
    Ok(cargo)
}

/// Cargo at the repository's root, quiet.
pub fn cargo(command: &str) -> Command {
    let mut cargo = talking_cargo(command);
    cargo.arg("--quiet");
    cargo
}

/// Cargo at the repository's root. A quiet `cargo test` would have its tests quiet too, which then name none.
pub fn talking_cargo(command: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::repository()).arg(command);
    // Flags for the host's programs are not for the kernel, whose own stand in .cargo/config.toml.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    if let Ok(target) = paths::target() {
        cargo.env("CARGO_TARGET_DIR", target);
    }
    cargo
}

/// A crate over `core` and `alloc` only, with the memory functions libc would bring.
pub fn bare(cargo: &mut Command, target: &str) -> Result<()> {
    cargo.args(["--target", target, "-Zbuild-std-features=compiler-builtins-mem"]);
    build_std(cargo, "core,alloc,compiler_builtins")
}

/// Builds `crates` of the standard library from source instead of taking compiled ones.
pub fn build_std(cargo: &mut Command, crates: &str) -> Result<()> {
    cargo.arg(format!("-Zbuild-std={crates}")).env("RUSTC_BOOTSTRAP", "1");
    if let setup::RustSource::Elsewhere(library) = setup::rust_source()? {
        cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    Ok(())
}

/// Runs cargo or a compiler; what it says comes out when it fails or warns.
fn finish(mut cargo: Command, what: &str) -> Result<()> {
    let output = cargo
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot build {what}"))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    if !messages.trim().is_empty() {
        eprint!("{messages}");
    }
    if !output.status.success() {
        bail!("{what} did not build");
    }
    Ok(())
}
