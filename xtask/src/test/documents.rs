//! The commands in the documents: each one is a command that exists, and those shown with what they print are run and must
//! print that.

use super::Plan;
use crate::{Command, paths};
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

const START: &str = "cargo xtask ";

/// A command line of a document.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    line: usize,
    arguments: Vec<String>,
    /// What stands below it; empty where nothing does.
    output: Vec<String>,
}

pub fn run(plan: &Plan) -> Result<()> {
    for document in documents()? {
        let text = std::fs::read_to_string(&document).with_context(|| format!("cannot read {}", document.display()))?;
        let shown_name = document.strip_prefix(paths::repository()).unwrap_or(&document);
        for shown in commands(&text) {
            let name = format!("document {}:{}", shown_name.display(), shown.line);
            if !plan.wants(&name) {
                continue;
            }
            let start = Instant::now();
            let result = check(&shown);
            let seconds = start.elapsed().as_secs_f64();
            match result {
                Ok(()) => plan.report.passed(&name, seconds),
                Err(error) => plan.report.failed(&name, seconds, &format!("{error:#}")),
            }
        }
    }
    Ok(())
}

/// The README and its like, and all of `docs`.
fn documents() -> Result<Vec<PathBuf>> {
    let mut documents: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "qemu/README.md"]
        .into_iter()
        .map(|name| paths::repository().join(name))
        .collect();
    let folder = paths::repository().join("docs");
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    documents.sort();
    Ok(documents)
}

/// The commands of a document's console blocks. A comment behind one, and its redirections, are the shell's.
fn commands(text: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let mut in_console = false;
    let mut collecting = false;
    for (at, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_console = !in_console && line == "```console";
            collecting = false;
        } else if !in_console {
        } else if let Some(command) = line.strip_prefix("$ ") {
            collecting = false;
            // One inside a command substitution is one too.
            if let Some(start) = command.find(START) {
                let command = &command[start + START.len()..];
                found.push(Shown {
                    line: at + 1,
                    arguments: words(command),
                    output: Vec::new(),
                });
                collecting = true;
            }
        } else if collecting && let Some(shown) = found.last_mut() {
            shown.output.push(line.to_string());
        }
    }
    found
}

/// The words of a command, up to the shell's own signs. Double quotes keep spaces in a word.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quoted = false;
    for letter in command.chars() {
        match letter {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '#' | '<' | '>' | '|' | ')' | '&' if !quoted => break,
            ' ' if !quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

fn check(shown: &Shown) -> Result<()> {
    let words = ["cargo xtask"]
        .into_iter()
        .chain(shown.arguments.iter().map(String::as_str));
    if let Err(error) = Command::try_parse_from(words) {
        bail!("{error}");
    }
    if shown.output.is_empty() {
        return Ok(());
    }
    let xtask = std::env::current_exe().context("cannot tell where this program lies")?;
    let output = std::process::Command::new(xtask)
        .args(&shown.arguments)
        .current_dir(paths::repository())
        .stdin(Stdio::null())
        .output()
        .context("cannot run xtask")?;
    // A document does not say where this computer keeps things.
    let printed = String::from_utf8_lossy(&output.stdout);
    let printed: Vec<&str> = printed.lines().collect();
    ensure!(
        printed == shown.output,
        "it printed\n{}\nand said\n{}",
        printed.join("\n"),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_a_document() {
        let text = "Text with `$ cargo xtask nothing`.\n\
                    ```console\n$ cargo xtask run -- a < b # why\n$ eval \"$(cargo xtask runner --print)\"\n```\n\
                    ```rust\n$ cargo xtask not this\n```\n\
                    ```console\n$ cargo xtask build\nkernel: there\n$ ls\nfile\n```\n";
        let shown = |line, arguments: &str, output: &[&str]| Shown {
            line,
            arguments: arguments.split_whitespace().map(str::to_string).collect(),
            output: output.iter().map(|line| line.to_string()).collect(),
        };
        assert_eq!(
            commands(text),
            [
                shown(3, "run -- a", &[]),
                shown(4, "runner --print", &[]),
                shown(10, "build", &["kernel: there"]),
            ]
        );
    }

    #[test]
    fn words_of_a_command() {
        assert_eq!(
            words("debug --ex \"break here\" -- a\"b\" < c"),
            ["debug", "--ex", "break here", "--", "ab"]
        );
        assert_eq!(words("run \"\""), ["run", ""]);
    }

    #[test]
    fn unknown_commands_and_options_are_found() {
        let shown = |arguments: &str| Shown {
            line: 1,
            arguments: arguments.split_whitespace().map(str::to_string).collect(),
            output: Vec::new(),
        };
        assert!(check(&shown("run --smp 4 --release -- program")).is_ok());
        assert!(check(&shown("run --smp none")).is_err());
        assert!(check(&shown("walk")).is_err());
        assert!(check(&shown("test --no-such-option")).is_err());
    }

    #[test]
    fn the_repository_has_documents() {
        let documents = documents().expect("they are there");
        assert!(documents.iter().any(|path| path.ends_with("docs/boot.md")));
    }
}
