//! `cargo xtask demo`: the small programs in `examples/`.

use anyhow::{Result, bail};

use crate::args::Args;
use crate::shell::Run;
use crate::workspace::{self, Target};

/// What is shown to someone who asks for nothing in particular.
const FIRST: &str = "two_devices";

pub(super) fn run(mut args: Args) -> Result<bool> {
    let name = args.word().unwrap_or_else(|| FIRST.to_owned());
    args.finish("demo [NAME]")?;
    let examples = workspace::targets("example")?;
    let Some(example) = examples.iter().find(|example| example.name == name) else {
        let names: Vec<_> = examples.iter().map(|example| &*example.name).collect();
        bail!("there is no demo `{name}`: there are {}", names.join(", "));
    };
    run_example(example)?;
    Ok(true)
}

/// Builds an example and runs it to its end.
pub(super) fn run_example(example: &Target) -> Result<()> {
    // Together with the others, so that what the tests were built of is not built again.
    Run::cargo().args("build --quiet --locked --workspace --examples").folder(workspace::root()).go()?;
    Run::new(workspace::target().join("debug/examples").join(&example.name)).folder(workspace::root()).go()
}
