//! The steps of a command: run in order, timed, counted, and summed up in one line.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How many tests a program reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

type Work = Box<dyn Fn() -> Result<Counts>>;

/// One thing a command does.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// What it proves, in a few words.
    pub(crate) why: &'static str,
    work: Work,
}

impl Step {
    pub(crate) fn new(
        name: &'static str,
        why: &'static str,
        work: impl Fn() -> Result<Counts> + 'static,
    ) -> Self {
        Self { name, why, work: Box::new(work) }
    }
}

/// What became of all steps.
#[derive(Debug, Default)]
struct Outcome {
    steps: usize,
    failed_steps: Vec<&'static str>,
    counts: Counts,
}

/// Runs every step, also after one has failed, and says whether all passed.
pub(crate) fn run(steps: &[Step]) -> bool {
    let began = Instant::now();
    let mut outcome = Outcome::default();
    for (step, number) in steps.iter().zip(1..) {
        println!("\n[{number}/{}] {}: {}", steps.len(), step.name, step.why);
        let step_began = Instant::now();
        let verdict = outcome.take(step.name, (step.work)());
        println!("[{number}/{}] {}: {verdict} ({})", steps.len(), step.name, Elapsed(step_began.elapsed()));
    }
    println!("\n{outcome}, {}", Elapsed(began.elapsed()));
    outcome.failed_steps.is_empty()
}

impl Outcome {
    /// Notes what a step came to, and says it in a few words.
    fn take(&mut self, name: &'static str, result: Result<Counts>) -> String {
        self.steps += 1;
        match result {
            Ok(counts) if counts.failed == 0 => {
                // A step that is one check, such as the formatter's, counts as one.
                let passed = counts.passed.max(1);
                self.counts.add(Counts { passed, failed: 0 });
                if counts.passed == 0 { "ok".to_owned() } else { format!("ok, {passed} passed") }
            }
            Ok(counts) => {
                self.counts.add(counts);
                self.failed_steps.push(name);
                format!("FAILED, {} passed, {} failed", counts.passed, counts.failed)
            }
            Err(error) => {
                self.counts.add(Counts { passed: 0, failed: 1 });
                self.failed_steps.push(name);
                format!("FAILED: {error:#}")
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { passed, failed } = self.counts;
        let good = self.steps - self.failed_steps.len();
        write!(f, "{passed} passed, {failed} failed: {good} of {} steps", self.steps)?;
        if self.failed_steps.is_empty() {
            return Ok(());
        }
        write!(f, ", not {}", self.failed_steps.join(", "))
    }
}

/// A duration as people say it.
pub(crate) struct Elapsed(pub(crate) Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds < 60 {
            write!(f, "{:.1} s", self.0.as_secs_f64())
        } else {
            write!(f, "{} min {} s", seconds / 60, seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_last_line_counts_tests_and_names_failed_steps() {
        let mut outcome = Outcome::default();
        outcome.take("format", Ok(Counts::default()));
        outcome.take("native", Ok(Counts { passed: 40, failed: 0 }));
        assert_eq!(outcome.to_string(), "41 passed, 0 failed: 2 of 2 steps");
        outcome.take("wasm", Err(anyhow!("no linker")));
        outcome.take("browser", Ok(Counts { passed: 3, failed: 2 }));
        assert_eq!(outcome.to_string(), "44 passed, 3 failed: 2 of 4 steps, not wasm, browser");
    }

    #[test]
    fn one_failed_step_fails_the_plan_and_the_others_still_run() {
        let steps = [
            Step::new("first", "fails", || Err(anyhow!("broken"))),
            Step::new("second", "passes", || Ok(Counts::default())),
        ];
        assert!(!run(&steps));
        assert!(run(&steps[1..]));
    }
}
