//! `cargo xtask bench relay`: the relay's binary under load, alone or beside other servers of its protocol.

use std::path::PathBuf;

use anyhow::Result;

use crate::args::Args;
use crate::shell::Run;
use crate::{tool, workspace};

const USAGE: &str = "bench relay [SCENARIO...] [--peers] [--quick] [--rounds N] [--url URL [--process PID]]
       cargo xtask bench relay soak [--minutes N]";

pub(super) fn run(mut args: Args, quick: bool) -> Result<bool> {
    let url = args.option("--url")?;
    let peers = args.flag("--peers");
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
    let build = Run::cargo().args("build --release --locked --workspace --bin relay --bin load");
    let build = if peers { build.args("--bin samod-server") } else { build };
    build.folder(workspace::root()).go()?;
    let programs = workspace::target().join("release");
    let mut load = Run::new(programs.join("load")).arg("--data").arg(workspace::target().join("load"));
    load = match url {
        Some(url) => load.arg("--url").arg(url),
        None => load.arg("--relay").arg(programs.join("relay")),
    };
    if peers {
        load = load.arg("--automerge-repo").arg(automerge_repo()?);
        load = load.arg("--samod").arg(programs.join("samod-server"));
    }
    // What it measures, and against which bounds, is in its table; a bound that is missed is news, not a failure.
    options.iter().fold(load, Run::arg).go()?;
    Ok(true)
}

/// The script of an automerge-repo server, with the published packages that it needs.
fn automerge_repo() -> Result<PathBuf> {
    tool::node()?;
    let folder = workspace::root().join("tests/load/automerge-repo");
    Run::new("npm").args("ci --no-audit --no-fund").folder(&folder).go()?;
    Ok(folder.join("server.mjs"))
}
