//! Writes the JavaScript and the type declarations that load a compiled wasm module.
//!
//! The format between a module and this program is private to one version of wasm-bindgen. Being built from the same
//! lock file as the modules, it always has theirs; a separately installed program would have to be kept in step.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

const USAGE: &str = "usage: wasm-glue nodejs|web|bundler MODULE.wasm FOLDER";

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [host, module, folder] = &args[..] else { bail!(USAGE) };
    let mut bindgen = Bindgen::new();
    match host.as_str() {
        "nodejs" => bindgen.nodejs(true)?,
        "web" => bindgen.web(true)?,
        "bundler" => bindgen.bundler(true)?,
        _ => bail!(USAGE),
    };
    bindgen
        .input_path(PathBuf::from(module))
        .typescript(true)
        .generate(folder)
        .with_context(|| format!("{module} could not be made into a module for {host}"))
}
