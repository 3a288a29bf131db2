//! The kernel's trace of wake-ups as Chrome's trace format, which Perfetto (<https://ui.perfetto.dev>) shows: a track for
//! each thread, a slice from being woken to running, an arrow from who woke it.
//!
//! The kernel prints a line for each wake-up (`kernel/src/trace/wakeups.rs` shows one).

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Who wakes or is woken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Thread {
        pid: u32,
        tid: u32,
        name: String,
    },
    /// `timer` or `device`.
    Interrupt(String),
}

/// One wake-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wakeup {
    pub at_ns: u64,
    pub waker: Who,
    pub woken: Who,
    /// By which descriptor and bits, through which epolls, in which call.
    pub cause: String,
    /// From the wake-up until it ran; `None` where it was still awake.
    pub latency_ns: Option<u64>,
}

/// Reads `1/2 "name"`, `timer` or `device` at the start of a text; the rest comes back too.
fn who(text: &str) -> Option<(Who, &str)> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        let (name, _) = text.split_once([' ', ':'])?;
        return Some((Who::Interrupt(name.to_string()), &text[name.len()..]));
    }
    let (numbers, rest) = text.split_once(" \"")?;
    let (pid, tid) = numbers.split_once('/')?;
    let (name, rest) = quoted(rest)?;
    let (pid, tid) = (pid.parse().ok()?, tid.parse().ok()?);
    Some((Who::Thread { pid, tid, name }, rest))
}

/// What stands before the closing quotation mark, as it is printed; a mark within is escaped.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((text[..end].to_string(), &text[end + 1..]))
}

/// A line of the trace; `None` for other lines.
pub fn parse(line: &str) -> Option<Wakeup> {
    let (time, rest) = line.strip_prefix("wakeup ")?.split_once(": ")?;
    let (seconds, ns) = time.split_once('.')?;
    let (waker, rest) = who(rest)?;
    let (woken, rest) = who(rest.strip_prefix(" wakes ")?)?;
    let (cause, after) = rest.strip_prefix(": ")?.split_once("; ")?;
    let latency_ns = match after.strip_prefix("runs after ") {
        Some(after) => Some(after.strip_suffix(" ns")?.parse().ok()?),
        None => None,
    };
    Some(Wakeup {
        at_ns: seconds.parse::<u64>().ok()? * 1_000_000_000 + ns.parse::<u64>().ok()?,
        waker,
        woken,
        cause: cause.to_string(),
        latency_ns,
    })
}

/// Takes the wake-ups out of what the kernel prints.
#[derive(Default)]
pub struct Recorder {
    /// A line that has not ended yet.
    begun: Vec<u8>,
    wakeups: Vec<Wakeup>,
}

impl Recorder {
    /// Takes the kernel's next bytes; gives the whole lines among them that are no wake-ups.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut others = Vec::new();
        for &byte in bytes {
            self.begun.push(byte);
            if byte != b'\n' {
                continue;
            }
            match parse(String::from_utf8_lossy(&self.begun).trim_end()) {
                Some(wakeup) => self.wakeups.push(wakeup),
                None => others.extend(&self.begun),
            }
            self.begun.clear();
        }
        others
    }

    /// Writes the file that Perfetto opens.
    pub fn save(&self, file: &Path) -> Result<()> {
        let text = self.chrome_trace().to_string();
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The wake-ups in Chrome's trace format (Trace Event Format, Google 2016).
    pub fn chrome_trace(&self) -> Value {
        let mut events = Vec::new();
        let mut tracks: BTreeMap<(u32, u32), &str> = BTreeMap::new();
        for (number, wakeup) in self.wakeups.iter().enumerate() {
            for who in [&wakeup.waker, &wakeup.woken] {
                tracks.insert(track(who), name(who));
            }
            let (from, to) = (track(&wakeup.waker), track(&wakeup.woken));
            let at_us = wakeup.at_ns as f64 / 1e3;
            let latency_us = wakeup.latency_ns.unwrap_or(0) as f64 / 1e3;
            let slice = |(pid, tid): (u32, u32), title: String, duration: f64| {
                json!({
                    "ph": "X", "cat": "wakeup", "name": title, "pid": pid, "tid": tid, "ts": at_us, "dur": duration,
                    "args": { "cause": wakeup.cause, "latency_ns": wakeup.latency_ns },
                })
            };
            // An arrow starts and ends in slices; the waker's has the shortest length there is.
            const INSTANT_US: f64 = 0.001;
            events.push(slice(from, format!("wakes {}", name(&wakeup.woken)), INSTANT_US));
            events.push(slice(to, wakeup.cause.clone(), latency_us.max(INSTANT_US)));
            for (phase, (pid, tid)) in [("s", from), ("f", to)] {
                events.push(json!({
                    "ph": phase, "bp": "e", "cat": "wakeup", "name": "wakeup", "id": number,
                    "pid": pid, "tid": tid, "ts": at_us,
                }));
            }
        }
        for ((pid, tid), name) in tracks {
            events.push(json!({
                "ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": { "name": name },
            }));
        }
        json!({ "displayTimeUnit": "ns", "traceEvents": events })
    }
}

fn name(who: &Who) -> &str {
    match who {
        Who::Thread { name, .. } | Who::Interrupt(name) => name,
    }
}

/// Process and thread; interrupts have tracks in a process 0.
fn track(who: &Who) -> (u32, u32) {
    match who {
        Who::Thread { pid, tid, .. } => (*pid, *tid),
        Who::Interrupt(name) => (0, u32::from(name != "timer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "wakeup 1.000000250: 1/2 \"a \\\" b\" wakes 1/1 \"main\": fd 7 EPOLLIN through epoll 5 through epoll 3 \
                        in epoll_pwait; runs after 12345 ns";

    fn thread(tid: u32, name: &str) -> Who {
        Who::Thread {
            pid: 1,
            tid,
            name: name.to_string(),
        }
    }

    #[test]
    fn lines_are_read() {
        let wakeup = parse(LINE).expect("a wake-up");
        assert_eq!(wakeup.at_ns, 1_000_000_250);
        assert_eq!(wakeup.waker, thread(2, "a \\\" b"));
        assert_eq!(wakeup.woken, thread(1, "main"));
        assert_eq!(
            wakeup.cause,
            "fd 7 EPOLLIN through epoll 5 through epoll 3 in epoll_pwait"
        );
        assert_eq!(wakeup.latency_ns, Some(12345));
    }

    #[test]
    fn interrupts_and_the_awake() {
        let wakeup = parse("wakeup 0.5: timer wakes 1/1 \"x\": in nanosleep; was awake").expect("a wake-up");
        assert_eq!(wakeup.waker, Who::Interrupt("timer".to_string()));
        assert_eq!(wakeup.latency_ns, None);
        assert_eq!(parse("vigil: something else"), None);
        assert_eq!(parse("wakeup call"), None);
    }

    #[test]
    fn other_lines_pass() {
        let mut recorder = Recorder::default();
        let text = format!("vigil: hello\n{LINE}\nbye\n");
        let (first, second) = text.as_bytes().split_at(40);
        let passed = [recorder.take(first), recorder.take(second)].concat();
        assert_eq!(passed, b"vigil: hello\nbye\n");
        assert_eq!(recorder.wakeups.len(), 1);
    }

    #[test]
    fn the_trace_has_an_arrow_for_each() {
        let mut recorder = Recorder::default();
        recorder.take(format!("{LINE}\n{LINE}\n").as_bytes());
        let trace = recorder.chrome_trace();
        let events = trace["traceEvents"].as_array().expect("an array");
        let count = |phase| events.iter().filter(|event| event["ph"] == phase).count();
        assert_eq!((count("s"), count("f"), count("X"), count("M")), (2, 2, 4, 2));
    }
}
