//! The results of both places side by side.

use super::place::{Detail, Places, Program};
use anyhow::Result;
use std::fmt::{self, Display};

/// The programs whose results differ. Where the machine ended early, the one it ended in is the last of them.
pub fn differing<'a>(places: &Places, programs: &'a [Program]) -> Result<Vec<&'a Program>> {
    if programs.is_empty() {
        return Ok(Vec::new());
    }
    let expected = places.on_linux(programs, Detail::Digests)?;
    let got = places.in_vigil(programs, Detail::Digests)?;
    let mut differing = Vec::new();
    let mut got_lines = got.text.lines();
    for (program, expected) in programs.iter().zip(expected.lines()) {
        let got = got_lines.next();
        if got != Some(expected) {
            differing.push(program);
        }
        if got.is_none() {
            break;
        }
    }
    Ok(differing)
}

/// A program, and its results on Linux and in Vigil.
pub struct Difference {
    lines: Vec<String>,
    expected: Vec<String>,
    got: Vec<String>,
    trouble: Option<String>,
}

/// Runs a program with all its results shown.
pub fn compare(places: &Places, program: &Program) -> Result<Difference> {
    let programs = std::slice::from_ref(program);
    // The first line is the program's name.
    let lines = |text: &str| text.lines().skip(1).map(str::to_string).collect();
    let got = places.in_vigil(programs, Detail::Full)?;
    Ok(Difference {
        lines: program.lines.clone(),
        expected: lines(&places.on_linux(programs, Detail::Full)?),
        got: lines(&got.text),
        trouble: got.trouble,
    })
}

impl Display for Difference {
    /// The program, then the results that are equal, and of the others both: `-` Linux, `+` Vigil.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "results:")?;
        for number in 0..self.expected.len().max(self.got.len()) {
            let (expected, got) = (self.expected.get(number), self.got.get(number));
            if expected == got {
                writeln!(f, "  {}", expected.map_or("", String::as_str))?;
                continue;
            }
            for (sign, line) in [('-', expected), ('+', got)] {
                if let Some(line) = line {
                    writeln!(f, "{sign} {line}")?;
                }
            }
        }
        if let Some(trouble) = &self.trouble {
            writeln!(f, "{trouble}")?;
        }
        Ok(())
    }
}
