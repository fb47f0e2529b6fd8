//! `cargo xtask bench relay`: the relay's binary under load, alone or beside other servers of its protocol.

use anyhow::Result;

use crate::args::Args;
use crate::shell::Run;
use crate::workspace;

const USAGE: &str = "bench relay [SCENARIO...] [--quick] [--rounds N] [--url URL [--process PID]]
       cargo xtask bench relay soak [--minutes N]";

pub(super) fn run(mut args: Args, quick: bool) -> Result<bool> {
    let url = args.option("--url")?;
    let mut options = Vec::new();
    for name in ["--rounds", "--minutes", "--process"] {
        if let Some(value) = args.number(name)? {
            options.extend([name.to_owned(), value.to_string()]);
        }
    }
    while let Some(scenario) = args.word() {
        options.push(scenario);
    }
    args.finish(USAGE)?;
    if quick {
        options.push("--quick".to_owned());
    }
    Run::cargo()
        .args("build --release --locked --workspace --bin relay --bin load")
        .folder(workspace::root())
        .go()?;
    let built = workspace::target().join("release");
    let load = Run::new(built.join("load")).arg("--data").arg(workspace::target().join("load"));
    let load = match url {
        Some(url) => load.arg("--url").arg(url),
        None => load.arg("--relay").arg(built.join("relay")),
    };
    // What it measures, and against which bounds, is in its table; a bound that is missed is news, not a failure.
    options.iter().fold(load, Run::arg).go()?;
    Ok(true)
}
