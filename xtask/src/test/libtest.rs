//! The lines every kind of test prints: `test NAME ... ok`, `... FAILED: why`, `... ignored, why`.

use super::report::Outcome;

/// A result line; `None` for any other.
pub fn parse(line: &str) -> Option<(&str, Outcome)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let why = |rest: &str| rest.trim_start_matches([':', ',', ' ']).to_string();
    let outcome = if result == "ok" {
        Outcome::Passed
    } else if let Some(rest) = result.strip_prefix("FAILED") {
        Outcome::Failed(why(rest))
    } else {
        Outcome::Skipped(why(result.strip_prefix("ignored")?))
    };
    // A should-panic test has that behind its name.
    Some((name.split(" - ").next().unwrap_or(name), outcome))
}

/// A failed test's own part of libtest's output.
pub fn said_by(output: &str, test: &str) -> String {
    let start = format!("---- {test} stdout ----");
    let Some((_, rest)) = output.split_once(&start) else {
        return output.to_string();
    };
    rest.split("\n---- ")
        .next()
        .unwrap_or(rest)
        .split("\nfailures:")
        .next()
        .unwrap_or(rest)
        .trim()
        .to_string()
}

/// Takes text in pieces and gives whole lines.
#[derive(Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(bytes);
        let Some(last) = self.0.iter().rposition(|&byte| byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.0.split_off(last + 1);
        let whole = std::mem::replace(&mut self.0, rest);
        String::from_utf8_lossy(&whole).lines().map(str::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results() {
        assert_eq!(parse("test a::b ... ok"), Some(("a::b", Outcome::Passed)));
        assert_eq!(
            parse("test a ... FAILED: left"),
            Some(("a", Outcome::Failed("left".to_string())))
        );
        assert_eq!(parse("test a ... FAILED"), Some(("a", Outcome::Failed(String::new()))));
        assert_eq!(
            parse("test a ... ignored, no"),
            Some(("a", Outcome::Skipped("no".to_string())))
        );
        assert_eq!(parse("test a - should panic ... ok"), Some(("a", Outcome::Passed)));
        assert_eq!(parse("test result: ok. 9 passed"), None);
        assert_eq!(parse("testing"), None);
    }

    #[test]
    fn lines_in_pieces() {
        let mut lines = Lines::default();
        assert!(lines.push(b"one").is_empty());
        assert_eq!(lines.push(b"\ntwo\nthr"), ["one", "two"]);
        assert_eq!(lines.push(b"ee\n"), ["three"]);
    }

    #[test]
    fn a_failure_says_its_own() {
        let output =
            "failures:\n\n---- a::b stdout ----\nleft\n\n---- a::c stdout ----\nright\n\nfailures:\n    a::b\n";
        assert_eq!(said_by(output, "a::b"), "left");
        assert_eq!(said_by(output, "a::c"), "right");
    }
}
