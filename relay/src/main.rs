//! The binary: `relay --help`.

mod verb;

use std::process::ExitCode;

fn main() -> ExitCode {
    match verb::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
