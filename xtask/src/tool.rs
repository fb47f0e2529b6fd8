//! Programs that a step needs: found, or installed after saying what and why.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::shell::Run;
use crate::workspace;

/// Pinned: a new release may judge our dependencies differently, and that should be a commit of its own.
const CARGO_DENY: &str = "0.20.2";
const CARGO_FUZZ: &str = "0.13.2";
const SCHEMATHESIS: &str = "4.32.5";

/// The program that judges dependencies, built into `target/tools` when it is not there.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    cargo_program("cargo-deny", CARGO_DENY, "it checks the licences, sources and bans of all dependencies")
}

/// The program that builds and runs the fuzz targets, with the C++ compiler that its engine needs.
pub(crate) fn cargo_fuzz() -> Result<PathBuf> {
    let compiler = Run::new("c++").arg("--version").succeeds();
    debian_packages(&["g++"], compiler, "the fuzzing engine is built from C++")?;
    cargo_program("cargo-fuzz", CARGO_FUZZ, "it builds the fuzz targets and runs them")
}

fn cargo_program(name: &str, version: &str, why: &str) -> Result<PathBuf> {
    let root = workspace::target().join("tools");
    let program = root.join("bin").join(name);
    let installed = Run::new(&program).arg("--version").output();
    if installed.is_some_and(|says| says.split_whitespace().any(|word| word == version)) {
        return Ok(program);
    }
    println!("  installing {name} {version} into {}: {why}", root.display());
    Run::cargo()
        .args("install --quiet --locked --force --debug --version")
        .args(version)
        .arg("--root")
        .arg(&root)
        .arg(name)
        .go()
        .with_context(|| format!("{name} did not install: it needs a reachable crate registry"))?;
    Ok(program)
}

/// Installs Debian packages unless `present` says that they are there.
pub(crate) fn debian_packages(packages: &[&str], present: bool, why: &str) -> Result<()> {
    if present {
        return Ok(());
    }
    let names = packages.join(" ");
    if !Run::new("apt-get").arg("--version").succeeds() {
        bail!(
            "this needs the programs of Debian's `{names}` ({why}), and there is no apt-get here to install them"
        );
    }
    println!("  installing {names} with apt-get: {why}");
    let root = Run::new("id").arg("-u").output().is_some_and(|id| id.trim() == "0");
    let apt = || {
        let run = if root { Run::new("apt-get") } else { Run::new("sudo").arg("apt-get") };
        run.arg("--quiet=2")
    };
    apt().arg("update").go()?;
    apt()
        .args("install --yes --no-install-recommends")
        .args(&names)
        .go()
        .with_context(|| format!("install {names} by hand, then run this again"))
}

/// A browser that nobody has to look at, and letters for it.
pub(crate) fn chromium() -> Result<PathBuf> {
    let is_here = Run::new("chromium").arg("--version").succeeds();
    debian_packages(
        &["chromium", "fonts-dejavu-core"],
        is_here,
        "the status page is tested in a real browser",
    )?;
    Ok("/usr/bin/chromium".into())
}

/// The program that makes requests up from a description of them, in an environment of its own.
pub(crate) fn schemathesis() -> Result<PathBuf> {
    let root = workspace::target().join("tools").join("schemathesis");
    let program = root.join("bin").join("schemathesis");
    let installed = Run::new(&program).arg("--version").output();
    if installed.is_some_and(|says| says.split_whitespace().any(|word| word == SCHEMATHESIS)) {
        return Ok(program);
    }
    let has_environments = Run::new("python3").args("-c").arg("import ensurepip, venv").succeeds();
    debian_packages(&["python3-venv"], has_environments, "schemathesis gets an environment of its own")?;
    println!(
        "  installing schemathesis {SCHEMATHESIS} into {}: it asks the relay whatever its description allows",
        root.display()
    );
    Run::new("python3").args("-m venv --clear").arg(&root).go()?;
    Run::new(root.join("bin").join("pip"))
        .args("install --quiet --disable-pip-version-check")
        .arg(format!("schemathesis=={SCHEMATHESIS}"))
        .go()
        .context("schemathesis did not install: it needs a reachable registry of Python packages")?;
    Ok(program)
}

/// The JavaScript runtime, which is not installed for you: every system has its own way of getting it.
pub(crate) fn node() -> Result<()> {
    if Run::new("node").arg("--version").succeeds() {
        return Ok(());
    }
    bail!("node is missing: install Node.js 20 or newer (https://nodejs.org), then run this again")
}
