//! What a machine boots into: a program of this computer, the demonstration, or the interactive system.

use crate::arch::Arch;
use crate::build::{self, Profile};
use crate::root::{self, Start};
use crate::{pack, program, userland};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Payload {
    /// The shell, which a terminal gets without this
    #[arg(long, conflicts_with = "program")]
    shell: bool,
    /// The interactive system with another program of it as process 1
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["program", "shell"])]
    init: Option<String>,
    /// A folder whose contents come into the machine's root
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// A variable for the program's environment
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A static Linux program of this computer, with its arguments [default: the shell on a terminal, else the
    /// demonstration]
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

/// The environment of a program, and what a shell's session has beside.
const ENVIRONMENT: [&str; 2] = ["PATH=/bin", "HOME=/root"];
const SESSION: [&str; 3] = ["USER=root", "LOGNAME=root", "SHELL=/bin/bash"];
const TERMINAL: &str = "xterm-256color";

impl Payload {
    /// The root archive; `on_terminal` says what is meant where nothing is named.
    pub fn archive(&self, arch: Arch, profile: Profile, on_terminal: bool) -> Result<Vec<u8>> {
        ensure!(
            self.env.iter().all(|variable| variable.contains('=')),
            "--env takes NAME=VALUE"
        );
        let mut environment: Vec<String> = ENVIRONMENT.map(str::to_string).into();
        let mut files = Vec::new();
        let interactive = self.shell || self.init.is_some() || (self.program.is_empty() && on_terminal);
        if interactive {
            environment.extend(SESSION.map(str::to_string));
            let terminal = std::env::var("TERM").unwrap_or_else(|_| TERMINAL.to_string());
            environment.push(format!("TERM={terminal}"));
            files = userland::archive(arch)?;
        }
        environment.extend(self.env.iter().cloned());
        if let Some(folder) = &self.root {
            files.extend(pack::as_root(folder)?);
        }
        let start = Start {
            environment: &environment,
            files: &files,
            ..Start::default()
        };
        if interactive {
            let (path, arguments) = match &self.init {
                Some(program) => (program.as_str(), Vec::new()),
                None => (userland::INIT, userland::shell()),
            };
            return Ok(root::archive(&Start {
                path,
                arguments: &arguments,
                is_init: true,
                directory: "/root",
                ..start
            }));
        }
        let path = self.program_file(arch, profile)?;
        let contents = program::read(&path, arch)?;
        let name = path
            .file_name()
            .and_then(OsStr::to_str)
            .context("the program's name is not UTF-8")?;
        Ok(root::archive(&Start {
            path: &format!("/bin/{name}"),
            contents: &contents,
            arguments: self.program.get(1..).unwrap_or_default(),
            ..start
        }))
    }

    /// The file of the program, or of the demonstration.
    pub fn program_file(&self, arch: Arch, profile: Profile) -> Result<PathBuf> {
        match self.program.first() {
            Some(program) => Ok(PathBuf::from(program)),
            None => Ok(build::programs(arch, profile)?.join("demonstration")),
        }
    }
}
