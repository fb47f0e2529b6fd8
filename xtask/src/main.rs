//! The commands people run: `cargo xtask --help`.
//!
//! * [`verb`] has one file per command.
//! * [`plan`] runs the steps of a command, shows how far it is, and counts what passed.
//! * [`shell`] runs other programs; [`tool`] installs those that are missing; [`wasm`] builds for the browser;
//!   [`workspace`] knows what is in this repository.

mod args;
mod plan;
mod shell;
mod tool;
mod verb;
mod wasm;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    match verb::run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
