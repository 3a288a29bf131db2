//! Where programs run: on this computer's Linux, which is right by definition, and in Vigil.

use crate::arch::Arch;
use crate::build::{self, Built, Profile};
use crate::console::Stream;
use crate::cpio::Archive;
use crate::machine::Machine;
use crate::paths;
use crate::root::{self, Start};
use crate::test::boot::Boot;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A program with its name.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: String,
    pub lines: Vec<String>,
}

/// What a run of several programs printed, and how it ended where it did not get through all.
pub struct Printed {
    pub text: String,
    pub trouble: Option<String>,
}

/// How much a run prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A digest of each program's results.
    Digests,
    /// All results.
    Full,
}

/// The two that are compared.
pub struct Places<'a> {
    host: PathBuf,
    guest: PathBuf,
    kernel: &'a Built,
    machine: &'a Machine,
    /// The machine as tests name it, for the files it boots.
    label: String,
}

/// Without a word for so long, the machine hangs.
const LIMIT: Duration = Duration::from_secs(20);

impl<'a> Places<'a> {
    /// `host` and `guest` are `differ`, built for here and for the machine.
    pub fn new(machine: &'a Machine, kernel: &'a Built, host: PathBuf, guest: PathBuf) -> Places<'a> {
        Places {
            host,
            guest,
            kernel,
            machine,
            label: crate::test::label(machine),
        }
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    fn folder() -> Result<PathBuf> {
        paths::made("fuzz")
    }

    pub fn on_linux(&self, programs: &[Program], detail: Detail) -> Result<String> {
        let file = Self::folder()?.join(format!("{}-{}.txt", self.label, std::process::id()));
        std::fs::write(&file, text(programs)).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new("timeout");
        command.args(["--kill-after=1", "100"]).arg(&self.host);
        if detail == Detail::Full {
            command.arg("--full");
        }
        let output = command.arg(&file).stdin(Stdio::null()).output();
        let _ = std::fs::remove_file(&file);
        let output = output.with_context(|| format!("cannot run {}", self.host.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "differ ended here with {}\n{said}",
            output.status
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub fn in_vigil(&self, programs: &[Program], detail: Detail) -> Result<Printed> {
        let contents = std::fs::read(&self.guest).with_context(|| format!("cannot read {}", self.guest.display()))?;
        let mut arguments = vec!["/programs".to_string()];
        if detail == Detail::Full {
            arguments.insert(0, "--full".to_string());
        }
        let mut files = Archive::default();
        files.file("programs", 0o644, text(programs).as_bytes());
        let root = root::archive(&Start {
            path: "/bin/differ",
            contents: &contents,
            arguments: &arguments,
            files: &files.finish(),
            ..Start::default()
        });
        let boot = Boot {
            machine: self.machine,
            kernel: self.kernel,
            root: &root,
            parameters: "",
            input: &[],
            limit: LIMIT,
        };
        let root_file = Self::folder()?.join(format!("{}-{}.cpio", self.label, std::process::id()));
        let mut complaints = String::new();
        let ended = boot.run(&root_file, |stream, bytes| {
            if stream != Stream::Output {
                complaints.push_str(&String::from_utf8_lossy(bytes));
            }
        })?;
        let went_well = ended.status == Some(0);
        Ok(Printed {
            text: String::from_utf8_lossy(&ended.output).into_owned(),
            trouble: (!went_well).then(|| ended.said()),
        })
    }
}

/// The file `differ` reads.
fn text(programs: &[Program]) -> String {
    let mut text = String::new();
    for program in programs {
        text += &format!("program {}\n", program.name);
        for line in &program.lines {
            text += line;
            text.push('\n');
        }
    }
    text
}

/// Builds what [`Places`] needs for a machine: the kernel, and `differ` for here and there.
pub fn build(arch: Arch, profile: Profile) -> Result<(Built, PathBuf, PathBuf)> {
    let host = Arch::ALL
        .into_iter()
        .find(|arch| arch.is_host())
        .context("the programs run on this computer's Linux first, and there is none for it")?;
    let differ = |arch| build::program(arch, profile, "userspace-tests", "differ");
    Ok((
        build::kernel(arch, profile, build::Kernel::Plain)?,
        differ(host)?,
        differ(arch)?,
    ))
}
