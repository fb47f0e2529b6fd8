//! `cargo xtask wasm`: the core, built for browsers.

use anyhow::Result;

use crate::args::Args;
use crate::plan::{self, Counts, Step};
use crate::{wasm, workspace};

pub(super) fn run(args: Args) -> Result<bool> {
    args.finish("wasm")?;
    std::env::set_current_dir(workspace::root())?;
    let build = Step::new("wasm", "the core compiles for wasm32-unknown-unknown", || {
        wasm::build("crdt-core")?;
        Ok(Counts::default())
    });
    Ok(plan::run(&[build]))
}
