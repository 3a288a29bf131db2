//! `cargo xtask lint`: formatting, and clippy with warnings denied, for the host's crates and for each machine.

use crate::arch::Arch;
use crate::{build, progress, setup};
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// One check and the command that makes it.
pub struct Lint {
    pub name: String,
    command: Command,
}

impl Lint {
    /// The complaint, or nothing.
    pub fn check(mut self) -> Result<Option<String>> {
        let _step = progress::step(format!("checking {}", self.name));
        let output = self.command.stdin(Stdio::null()).output().context("cannot run cargo")?;
        let said = [output.stdout, output.stderr].concat();
        Ok((!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned()))
    }
}

pub fn command() -> Result<()> {
    let mut complaints = 0;
    for lint in all()? {
        let name = lint.name.clone();
        match lint.check()? {
            None => println!("{name}: clean"),
            Some(complaint) => {
                complaints += 1;
                println!("{complaint}{name}: see above");
            }
        }
    }
    if complaints > 0 {
        bail!("{complaints} of the checks complain");
    }
    Ok(())
}

pub fn all() -> Result<Vec<Lint>> {
    let mut format = build::cargo("fmt");
    format.args(["--all", "--check"]);
    let mut host = clippy();
    host.arg("--all-targets");
    let mut programs = clippy();
    programs.args(build::PROGRAM_PACKAGES);
    let mut lints = vec![
        Lint {
            name: "format".to_string(),
            command: format,
        },
        Lint {
            name: "clippy host".to_string(),
            command: denying(host),
        },
        Lint {
            name: "clippy programs".to_string(),
            command: denying(programs),
        },
    ];
    for arch in Arch::ALL {
        setup::for_building(arch)?;
        for features in ["", "ktest"] {
            let mut kernel = clippy();
            kernel.args(["--package", "kernel", "--features", features]);
            build::bare(&mut kernel, arch.kernel_target())?;
            let with = if features.is_empty() { "" } else { " with tests" };
            lints.push(Lint {
                name: format!("clippy {arch} kernel{with}"),
                command: denying(kernel),
            });
        }
    }
    for arch in Arch::ALL {
        lints.push(Lint {
            name: format!("clippy {arch} stand-in"),
            command: denying(build::stand_in_cargo("clippy", arch)?),
        });
    }
    let mut hello = clippy();
    hello.args(["--package", "hello", "--profile", "bare"]);
    build::bare(&mut hello, Arch::X86_64.program_target())?;
    lints.push(Lint {
        name: "clippy hello".to_string(),
        command: denying(hello),
    });
    Ok(lints)
}

fn clippy() -> Command {
    build::cargo("clippy")
}

fn denying(mut clippy: Command) -> Command {
    clippy.args(["--", "--deny", "warnings"]);
    clippy
}
