//! The trace: what happened, as a hash that two runs are compared by and as lines that people read.

use std::collections::VecDeque;
use std::fmt;

use crdt_core::time::Timestamp;
use sha2::{Digest, Sha256};

/// How many of the last lines are kept for the report of a failure.
const LINES_KEPT_MAX: usize = 400;

/// Everything observable that happened in one run.
pub struct Trace {
    hasher: Sha256,
    lines: VecDeque<String>,
    count: u64,
    aloud: bool,
    began: Timestamp,
}

/// The hash of a whole trace. Equal hashes: the same things happened, byte for byte, in the same order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceHash([u8; 32]);

impl Trace {
    /// An empty trace of a world that begins at `began`. Aloud, every line is printed as it happens.
    pub fn new(began: Timestamp, aloud: bool) -> Self {
        Self { hasher: Sha256::new(), lines: VecDeque::new(), count: 0, aloud, began }
    }

    /// Notes one thing that happened.
    pub fn note(&mut self, now: Timestamp, what: fmt::Arguments<'_>) {
        let since = u64::try_from(now.since(self.began).as_millis()).expect("worlds are short");
        let line = format!("{:>4}.{:03} {what}", since / 1000, since % 1000);
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
        self.count += 1;
        if self.aloud {
            println!("{line}");
        }
        if self.lines.len() == LINES_KEPT_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Adds bytes to the hash without a line of their own.
    pub fn mix(&mut self, bytes: &[u8]) {
        self.hasher.update((bytes.len() as u64).to_be_bytes());
        self.hasher.update(bytes);
    }

    /// How many things happened.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last lines, oldest first.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    pub fn hash(&self) -> TraceHash {
        TraceHash(self.hasher.clone().finalize().into())
    }
}

impl fmt::Display for TraceHash {
    /// The first eight bytes: enough to compare by eye.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_shows_in_the_hash() {
        let run = |at: u64, what: &str, bytes: &[u8]| {
            let mut trace = Trace::new(Timestamp::ZERO, false);
            trace.note(Timestamp::from_millis(at), format_args!("{what}"));
            trace.mix(bytes);
            trace.hash()
        };
        let hash = run(1, "phone opens", b"frame");
        assert_eq!(hash, run(1, "phone opens", b"frame"));
        assert_ne!(hash, run(2, "phone opens", b"frame"));
        assert_ne!(hash, run(1, "phone closes", b"frame"));
        assert_ne!(hash, run(1, "phone opens", b"fram"));
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut trace = Trace::new(Timestamp::ZERO, false);
        for n in 0..=LINES_KEPT_MAX {
            trace.note(Timestamp::from_millis(1_500), format_args!("line {n}"));
        }
        assert_eq!(trace.tail().count(), LINES_KEPT_MAX);
        assert_eq!(trace.tail().next(), Some("   1.500 line 1"));
        assert_eq!(trace.count(), 1 + LINES_KEPT_MAX as u64);
    }
}
