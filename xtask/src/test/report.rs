//! Results as they come, a line each, and what they sum up to.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// What it said.
    Failed(String),
    /// Why.
    Skipped(String),
}

#[derive(Clone, Debug)]
pub struct Record {
    pub name: String,
    pub seconds: f64,
    pub outcome: Outcome,
}

#[derive(Default)]
pub struct Report {
    records: Mutex<Vec<Record>>,
}

impl Report {
    pub fn passed(&self, name: &str, seconds: f64) {
        self.add(name, seconds, Outcome::Passed);
    }

    pub fn failed(&self, name: &str, seconds: f64, said: &str) {
        self.add(name, seconds, Outcome::Failed(said.to_string()));
    }

    pub fn skipped(&self, name: &str, reason: &str) {
        self.add(name, 0.0, Outcome::Skipped(reason.to_string()));
    }

    pub fn add(&self, name: &str, seconds: f64, outcome: Outcome) {
        let record = Record {
            name: name.to_string(),
            seconds,
            outcome,
        };
        // Under the lock, so that results of parallel machines keep their lines.
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{}", line(&record));
        if let Outcome::Failed(said) = &record.outcome {
            for line in said.trim_end().lines() {
                println!("    {line}");
            }
        }
        records.push(record);
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Names the failures again, prints the count as the last line, gives the exit status.
    pub fn summary(&self) -> u8 {
        let records = self.records();
        let is_failure = |record: &&Record| matches!(record.outcome, Outcome::Failed(_));
        let failed = records.iter().filter(is_failure).count();
        let skipped = records
            .iter()
            .filter(|record| matches!(record.outcome, Outcome::Skipped(_)))
            .count();
        let passed = records.len() - failed - skipped;
        println!("------------");
        for record in records.iter().filter(is_failure) {
            println!("{}", line(record));
        }
        let mut count = format!("{passed} passed, {failed} failed");
        if skipped > 0 {
            // A String takes any text.
            let _ = write!(count, ", {skipped} skipped");
        }
        println!("{count}");
        // Nothing tested is no success: a name on the command line may be misspelt.
        u8::from(failed > 0 || records.is_empty())
    }
}

fn line(record: &Record) -> String {
    let (word, colour) = match record.outcome {
        Outcome::Passed => ("PASS", "32"),
        Outcome::Failed(_) => ("FAIL", "31"),
        Outcome::Skipped(_) => ("SKIP", "33"),
    };
    let word = if std::io::stdout().is_terminal() {
        format!("\x1b[1;{colour}m{word}\x1b[0m")
    } else {
        word.to_string()
    };
    let mut line = format!("        {word} [{:8.3}s] {}", record.seconds, record.name);
    if let Outcome::Skipped(reason) = &record.outcome {
        line.push_str(&format!(": {reason}"));
    }
    line
}
