//! `cargo xtask sim`: seeded worlds that torment replicas and relays, as many as there is time for.

use anyhow::Result;

use crate::args::Args;
use crate::shell::Run;
use crate::workspace;

/// A few minutes on a laptop.
const SEEDS: u64 = 1_000;

pub(super) fn run(mut args: Args) -> Result<bool> {
    let first = args.number("--seed")?;
    let seeds = args.number("--seeds")?;
    let aloud = args.flag("--aloud");
    let plant = args.option("--plant")?;
    args.finish("sim [--seeds N] [--seed S] [--aloud] [--plant BUG]")?;
    // Together with everything else, so that what the tests were built of is not built again.
    Run::cargo()
        .args("build --quiet --locked --workspace --bin pannier-sim")
        .folder(workspace::root())
        .go()?;
    // A seed alone is one to be seen again; otherwise it is where to begin.
    let seeds = seeds.unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let mut worlds = Run::new(workspace::target().join("debug/pannier-sim"));
    worlds = worlds.arg("--seed").arg(first.unwrap_or(0).to_string()).arg("--seeds").arg(seeds.to_string());
    if aloud {
        worlds = worlds.arg("--aloud");
    }
    if let Some(plant) = plant {
        worlds = worlds.arg("--plant").arg(plant);
    }
    Ok(worlds.go().is_ok())
}
