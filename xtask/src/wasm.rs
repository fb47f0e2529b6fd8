//! Building for wasm32-unknown-unknown, with whichever toolchain this machine can have.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::Run;
use crate::{tool, workspace};

const TRIPLE: &str = "wasm32-unknown-unknown";

/// Overrides the choice of toolchain: `rustup` or `debian`.
const CHOICE: &str = "PANNIER_WASM_TOOLCHAIN";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Toolchain {
    /// The pinned toolchain with the target that rustup downloads.
    Rustup,
    /// Debian's own compiler, which builds the standard library from Debian's source package.
    Debian,
}

/// Builds one library package and returns its module.
pub(crate) fn build(package: &str) -> Result<PathBuf> {
    let toolchain = toolchain()?;
    toolchain
        .cargo()
        .args("build --locked --lib --target")
        .args(TRIPLE)
        .arg("--target-dir")
        .arg(toolchain.target())
        .args("--package")
        .arg(package)
        .go()?;
    let module = format!("{}.wasm", package.replace('-', "_"));
    Ok(toolchain.target().join(TRIPLE).join("debug").join(module))
}

/// Writes the JavaScript that loads `module` in `host` (`nodejs`, `web`, `bundler`), beside a copy of it, into `folder`.
pub(crate) fn glue(module: &Path, host: &str, folder: &Path) -> Result<()> {
    Run::cargo().args("run --quiet --package wasm-glue --").arg(host).arg(module).arg(folder).go()
}

fn toolchain() -> Result<Toolchain> {
    match std::env::var(CHOICE).as_deref() {
        Ok("rustup") => Toolchain::Rustup.prepare(),
        Ok("debian") => Toolchain::Debian.prepare(),
        Ok(other) => bail!("{CHOICE} is `{other}`; it can be `rustup` or `debian`"),
        Err(_) => Toolchain::Rustup.prepare().or_else(|error| {
            println!("  {error:#}; trying Debian's compiler instead");
            Toolchain::Debian.prepare()
        }),
    }
}

impl Toolchain {
    fn prepare(self) -> Result<Self> {
        match self {
            Self::Rustup => {
                let list = || Run::new("rustup").args("target list --installed").output();
                let installed = list().context("rustup is not here")?;
                if !installed.lines().any(|line| line == TRIPLE) {
                    println!("  adding the target {TRIPLE} with rustup: the core also runs in browsers");
                    let add = Run::new("rustup").args("target add").arg(TRIPLE);
                    add.go().context("rustup could not add the target")?;
                }
            }
            Self::Debian => {
                let present = Path::new(DEBIAN_STD).exists()
                    && Path::new(DEBIAN_CARGO).exists()
                    && Run::new("wasm-ld").arg("--version").succeeds();
                let why = "its compiler can build the standard library for browsers from source";
                tool::debian_packages(&["rustc-web", "cargo-web", "rust-web-src", "lld"], present, why)?;
            }
        }
        Ok(self)
    }

    fn cargo(self) -> Run {
        match self {
            Self::Rustup => Run::cargo(),
            Self::Debian => Run::new(DEBIAN_CARGO)
                // This process runs under the pinned toolchain, whose settings would reach Debian's compiler.
                .without_env("RUSTUP_TOOLCHAIN")
                .without_env("LD_LIBRARY_PATH")
                .without_env("CARGO")
                .env("RUSTC", DEBIAN_RUSTC)
                // Building the standard library is an unstable option of a stable compiler.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld")
                .args("-Z build-std=std,panic_abort"),
        }
    }

    /// Two compilers can't share what they built.
    fn target(self) -> PathBuf {
        match self {
            Self::Rustup => workspace::target(),
            Self::Debian => workspace::target().join("debian"),
        }
    }
}

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_STD: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
