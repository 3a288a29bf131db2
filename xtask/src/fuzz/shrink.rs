//! Makes a differing program as short as it gets: the delta debugging of Zeller and Hildebrandt (2002), on lines, and then
//! on the words of the lines that are left.

use anyhow::Result;

type Lines = Vec<String>;

/// Shrinks `lines`. `differs` gets candidates, shorter ones first, and gives the first that still differs.
pub fn shrink(lines: Lines, mut differs: impl FnMut(&[Lines]) -> Result<Option<usize>>) -> Result<Lines> {
    let mut best = lines;
    loop {
        let before = best.clone();
        best = fewer_lines(best, &mut differs)?;
        best = simpler_lines(best, &mut differs)?;
        if best == before {
            return Ok(best);
        }
    }
}

fn fewer_lines(mut best: Lines, differs: &mut impl FnMut(&[Lines]) -> Result<Option<usize>>) -> Result<Lines> {
    let mut pieces = 2;
    while best.len() > 1 {
        let size = best.len().div_ceil(pieces);
        let candidates: Vec<Lines> = (0..best.len())
            .step_by(size)
            .map(|from| {
                let to = (from + size).min(best.len());
                [&best[..from], &best[to..]].concat()
            })
            .collect();
        match differs(&candidates)? {
            Some(index) => {
                best.clone_from(&candidates[index]);
                pieces = (pieces - 1).max(2);
            }
            None if size == 1 => break,
            None => pieces = (pieces * 2).min(best.len()),
        }
    }
    Ok(best)
}

/// Leaves out flags, and the words at a line's end.
fn simpler_lines(mut best: Lines, differs: &mut impl FnMut(&[Lines]) -> Result<Option<usize>>) -> Result<Lines> {
    loop {
        let candidates: Vec<Lines> = (0..best.len())
            .flat_map(|at| {
                let best = &best;
                simpler(&best[at]).into_iter().map(move |line| {
                    let mut lines = best.clone();
                    lines[at] = line;
                    lines
                })
            })
            .collect();
        match differs(&candidates)? {
            Some(index) => best.clone_from(&candidates[index]),
            None => return Ok(best),
        }
    }
}

/// Lines a little simpler than `line`.
fn simpler(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut simpler = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let parts: Vec<&str> = word.split('|').collect();
        for left_out in 0..parts.len() {
            if parts.len() < 2 {
                break;
            }
            let mut parts = parts.clone();
            parts.remove(left_out);
            let joined = parts.join("|");
            let mut words = words.clone();
            words[at] = &joined;
            simpler.push(words.join(" "));
        }
    }
    simpler
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        text.lines().map(str::to_string).collect()
    }

    fn shrunk(program: &str, differs: impl Fn(&Lines) -> bool) -> Lines {
        shrink(lines(program), |candidates| Ok(candidates.iter().position(&differs))).expect("nothing fails here")
    }

    #[test]
    fn keeps_what_matters() {
        let program: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
        let both = |lines: &Lines| {
            ["line 17", "line 83"]
                .iter()
                .all(|wanted| lines.iter().any(|line| line == wanted))
        };
        assert_eq!(shrunk(&program.join("\n"), both), lines("line 17\nline 83"));
    }

    #[test]
    fn leaves_flags_out() {
        let has_et = |lines: &Lines| lines.iter().any(|line| line.contains("et"));
        assert_eq!(
            shrunk("a\nctl ep add fd in|out|et x\nb", has_et),
            lines("ctl ep add fd et x")
        );
    }
}
