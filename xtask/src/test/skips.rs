//! Lists in `userspace-tests`: tests that cannot run on some machine (`skips.txt`) or fail there
//! (`known-failures.txt`), each with its reason.

use crate::paths;
use anyhow::{Context, Result, ensure};

pub struct Skips(Vec<Skip>);

struct Skip {
    machine: String,
    test: String,
    reason: String,
}

impl Skips {
    pub fn read(list: &str) -> Result<Skips> {
        let file = paths::repository().join("userspace-tests").join(list);
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Skips::parse(&text).with_context(|| format!("in {}", file.display()))
    }

    fn parse(text: &str) -> Result<Skips> {
        let mut skips = Vec::new();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let mut words = line.splitn(3, char::is_whitespace).map(str::trim);
            let mut word = || words.next().unwrap_or_default().to_string();
            let skip = Skip {
                machine: word(),
                test: word(),
                reason: word(),
            };
            ensure!(!skip.reason.is_empty(), "a line needs machine, test and reason: {line}");
            skips.push(skip);
        }
        Ok(Skips(skips))
    }

    /// Why a test is listed for a machine, if so.
    pub fn reason(&self, machine: &str, test: &str) -> Option<&str> {
        let skip = self
            .0
            .iter()
            .find(|skip| matches(&skip.machine, machine) && matches(&skip.test, test))?;
        Some(&skip.reason)
    }
}

/// A pattern's `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|from| text.is_char_boundary(from) && matches(rest, &text[from..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let skips = Skips::parse("# why\naarch64-* epoll::a no reason\n* poll::* slow\n").expect("well formed");
        assert_eq!(skips.reason("aarch64-smp2", "epoll::a"), Some("no reason"));
        assert_eq!(skips.reason("x86_64-smp2", "epoll::a"), None);
        assert_eq!(skips.reason("host", "poll::b"), Some("slow"));
        assert_eq!(skips.reason("host", "epoll::poll"), None);
        assert!(Skips::parse("host epoll::a\n").is_err());
    }
}
