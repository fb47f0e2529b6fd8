//! What is in this repository.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::Run;

/// The directory that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask sits in the workspace")
}

/// Where builds go.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// One thing cargo can build: a library, program, test, example or benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) package: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

/// Everything cargo can build here of one kind (`bench`, `example`, `bin`, ...), in order.
pub(crate) fn targets(kind: &str) -> Result<Vec<Target>> {
    let metadata = Run::cargo()
        .args("metadata --no-deps --format-version 1 --manifest-path")
        .arg(root().join("Cargo.toml"))
        .output()
        .context("`cargo metadata` failed: run it by hand to see why")?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let mut targets = targets_in(&metadata);
    targets.retain(|target| target.kind == kind);
    Ok(targets)
}

fn targets_in(metadata: &Value) -> Vec<Target> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let targets = package["targets"].as_array().into_iter().flatten();
        targets.map(move |target| Target {
            package: text(&package["name"]),
            kind: text(&target["kind"][0]),
            name: text(&target["name"]),
            folder: manifest.parent().unwrap_or(Path::new("")).to_owned(),
        })
    });
    targets.collect()
}
