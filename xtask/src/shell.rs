//! Running other programs: what is run is shown, what it prints passes through, and failures say what was run.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::plan::Counts;

/// A program with its arguments, about to run in the workspace's root.
pub(crate) struct Run {
    command: Command,
    shown: String,
}

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let shown =
            Path::new(program.as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { command: Command::new(program), shown }
    }

    /// The cargo that runs this program.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Adds arguments separated by blanks.
    pub(crate) fn args(mut self, line: &str) -> Self {
        for arg in line.split_whitespace() {
            self = self.arg(arg);
        }
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{name}={} {}", value.as_ref().to_string_lossy(), self.shown);
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs to the end; anything but success is an error.
    pub(crate) fn go(mut self) -> Result<()> {
        println!("  $ {}", self.shown);
        let status = self.command.status().with_context(|| format!("can't start `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.shown);
        }
        Ok(())
    }

    /// Runs to the end and counts the tests it reports. Failing tests are in the counts; an error is a program that
    /// failed without naming a failed test.
    pub(crate) fn count_tests(mut self) -> Result<Counts> {
        println!("  $ {}", self.shown);
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't start `{}`", self.shown))?;
        let stdout = child.stdout.take().expect("piped above");
        let counts = count_while_copying(BufReader::new(stdout), &mut std::io::stdout())?;
        let status = child.wait()?;
        if !status.success() && counts.failed == 0 {
            bail!("`{}` ended with {status}: see above", self.shown);
        }
        Ok(counts)
    }

    /// Runs quietly and returns what it prints; `None` when it can't start or fails.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.command.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs with its output hidden and says whether it succeeded.
    pub(crate) fn succeeds(self) -> bool {
        self.output().is_some()
    }
}

/// Whether a person is watching.
pub(crate) fn is_watched() -> bool {
    std::io::stdout().is_terminal()
}

fn count_while_copying(from: impl BufRead, to: &mut impl Write) -> Result<Counts> {
    let mut counts = Counts::default();
    for line in from.split(b'\n') {
        let line = line?;
        to.write_all(&line)?;
        to.write_all(b"\n")?;
        if let Some(reported) = reported_counts(&String::from_utf8_lossy(&line)) {
            counts.add(reported);
        }
    }
    Ok(counts)
}

/// Reads the summary lines of Rust's test harness and of node's.
fn reported_counts(line: &str) -> Option<Counts> {
    let line = without_colors(line);
    if let Some(rest) = line.strip_prefix("test result: ") {
        let number = |word: &str| {
            let before = rest.split(&format!(" {word};")).next()?;
            before.rsplit(' ').next()?.parse().ok()
        };
        return Some(Counts { passed: number("passed")?, failed: number("failed")? });
    }
    // node --test: "ℹ pass 3" on a terminal, "# pass 3" otherwise.
    let node = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "))?;
    let (word, count) = node.split_once(' ')?;
    let count = count.parse().ok()?;
    match word {
        "pass" => Some(Counts { passed: count, failed: 0 }),
        "fail" => Some(Counts { passed: 0, failed: count }),
        _ => None,
    }
}

fn without_colors(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_test_programs_are_counted() {
        let rust = "test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 12 passed; 1 failed; 0 ignored; 0 measured";
        assert_eq!(reported_counts(rust), Some(Counts { passed: 12, failed: 1 }));
        assert_eq!(reported_counts("# pass 3"), Some(Counts { passed: 3, failed: 0 }));
        assert_eq!(reported_counts("ℹ fail 2"), Some(Counts { passed: 0, failed: 2 }));
        assert_eq!(reported_counts("test a ... ok"), None);
    }

    #[test]
    fn a_program_that_fails_without_a_failed_test_is_an_error() {
        let error = Run::new("false").count_tests().unwrap_err();
        assert!(error.to_string().contains("`false`"), "{error}");
    }

    #[test]
    fn what_a_program_prints_passes_through_unchanged() {
        let printed =
            b"running\ntest result: ok. 1 passed; 0 failed;\n\ntest result: FAILED. 1 passed; 2 failed;\n";
        let mut seen = Vec::new();
        let counts = count_while_copying(&printed[..], &mut seen).unwrap();
        assert_eq!(counts, Counts { passed: 2, failed: 2 });
        assert_eq!(seen, printed);
    }
}
