//! The results as JUnit XML: a test suite for each first word of the names, the machine or `host`.

use super::report::{Outcome, Record, Report};
use anyhow::{Context, Result};
use std::path::Path;

pub fn write(file: &Path, report: &Report) -> Result<()> {
    std::fs::write(file, xml(&report.records())).with_context(|| format!("cannot write {}", file.display()))
}

fn xml(records: &[Record]) -> String {
    let mut suites: Vec<(&str, Vec<(&str, &Record)>)> = Vec::new();
    for record in records {
        let (suite, name) = record.name.split_once(' ').unwrap_or(("vigil", &record.name));
        match suites.iter_mut().find(|(other, _)| *other == suite) {
            Some((_, cases)) => cases.push((name, record)),
            None => suites.push((suite, vec![(name, record)])),
        }
    }
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (suite, cases) in suites {
        let count = |is: fn(&Outcome) -> bool| cases.iter().filter(|(_, record)| is(&record.outcome)).count();
        xml.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">\n",
            escape(suite),
            cases.len(),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
            cases.iter().map(|(_, record)| record.seconds).sum::<f64>(),
        ));
        for (name, record) in cases {
            let case = format!(
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                escape(suite),
                escape(name),
                record.seconds
            );
            xml.push_str(&match &record.outcome {
                Outcome::Passed => format!("{case}/>\n"),
                Outcome::Failed(said) => format!("{case}><failure>{}</failure></testcase>\n", escape(said)),
                Outcome::Skipped(why) => format!("{case}><skipped message=\"{}\"/></testcase>\n", escape(why)),
            });
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Control characters have no place in XML 1.0, escaped or not.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_escapes() {
        let record = |name: &str, outcome| Record {
            name: name.to_string(),
            seconds: 0.5,
            outcome,
        };
        let xml = xml(&[
            record("host a::b", Outcome::Passed),
            record("x86_64-smp1 a::b", Outcome::Failed("1 < 2 \u{1b}[0m".to_string())),
            record("host a::c", Outcome::Skipped("\"no\"".to_string())),
        ]);
        assert!(xml.contains("<testsuite name=\"host\" tests=\"2\" failures=\"0\" skipped=\"1\" time=\"1.000\">"));
        assert!(xml.contains("<failure>1 &lt; 2 \u{fffd}[0m</failure>"));
        assert!(xml.contains("<skipped message=\"&quot;no&quot;\"/>"));
    }
}
