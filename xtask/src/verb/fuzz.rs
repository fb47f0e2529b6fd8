//! `cargo xtask fuzz`: arbitrary bytes at everything that reads foreign bytes.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::plan::{self, Counts, Step};
use crate::shell::Run;
use crate::{tool, workspace};

/// Enough to notice a shallow defect in every target while waiting for it.
const MINUTES: u64 = 1;

pub(super) fn run(mut args: Args) -> Result<bool> {
    // The engine takes zero as without end.
    let minutes = args.number("--minutes")?.unwrap_or(MINUTES).max(1);
    let chosen = args.word();
    args.finish("fuzz [TARGET] [--minutes N]")?;
    let mut targets = targets()?;
    if let Some(chosen) = chosen {
        if !targets.contains(&chosen) {
            bail!("there is no fuzz target `{chosen}`: there are {}", targets.join(", "));
        }
        targets = vec![chosen];
    }
    let cargo_fuzz = tool::cargo_fuzz()?;
    let steps: Vec<_> = targets.into_iter().map(|target| step(&cargo_fuzz, target, minutes)).collect();
    Ok(plan::run(&steps))
}

fn step(cargo_fuzz: &Path, target: String, minutes: u64) -> Step {
    let cargo_fuzz = cargo_fuzz.to_owned();
    let name: &'static str = target.leak();
    Step::new(name, "no input makes it panic, hang or eat memory", move || {
        let corpus = format!("fuzz/corpus/{name}");
        let seeds = format!("fuzz/seeds/{name}");
        std::fs::create_dir_all(workspace::root().join(&corpus)).context("the corpus needs a folder")?;
        // What is found goes to the first folder; what is committed is only read.
        let folders = std::iter::once(corpus).chain(workspace::root().join(&seeds).is_dir().then_some(seeds));
        folders
            // Safe Rust leaves a sanitizer nothing to find, and without one many more inputs are tried.
            .fold(Run::new(&cargo_fuzz).args("fuzz run --sanitizer none").arg(name), Run::arg)
            .arg("--")
            .arg(format!("-max_total_time={}", minutes * 60))
            .args("-timeout=10 -rss_limit_mb=1024 -print_final_stats=1")
            // The fuzzer's instrumentation is an unstable option of a stable compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .folder(workspace::root())
            .go()
            .context("the input that did it is under fuzz/artifacts; keep it as a named test")?;
        Ok(Counts::default())
    })
}

fn targets() -> Result<Vec<String>> {
    let folder = workspace::root().join("fuzz/fuzz_targets");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("no fuzz targets in {}", folder.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            targets.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}
