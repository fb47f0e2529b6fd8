//! What `cargo xtask` can do: one file per verb.

mod bench;
mod ci;
mod demo;
mod fuzz;
mod sim;
mod test;
mod wasm;

use std::fmt::Write as _;

use anyhow::{Result, bail};

use crate::args::Args;

/// One verb of the command line.
struct Verb {
    name: &'static str,
    /// What may follow the name.
    takes: &'static str,
    about: &'static str,
    /// Says whether everything passed; an error is a command that could not do its work.
    run: fn(Args) -> Result<bool>,
}

const VERBS: [Verb; 7] = [
    Verb {
        name: "test",
        takes: "[--only STEP] [--list]",
        about: "everything that must hold: laws, vectors, worlds, doctests, and the core in WASM",
        run: test::run,
    },
    Verb {
        name: "ci",
        takes: "[--only STEP] [--list]",
        about: "what a merge needs: format, lints, docs, dependencies, then `test`",
        run: ci::run,
    },
    Verb {
        name: "bench",
        takes: "[NAME | relay ...] [--quick]",
        about: "measure one package or benchmark; or `relay`, the binary under load",
        run: bench::run,
    },
    Verb {
        name: "fuzz",
        takes: "[TARGET] [--minutes N]",
        about: "throw bytes at every decoder and fold, or at one of them",
        run: fuzz::run,
    },
    Verb {
        name: "sim",
        takes: "[--seeds N] [--seed S] [--aloud]",
        about: "torment replicas and relays in seeded worlds; see one again by its seed",
        run: sim::run,
    },
    Verb {
        name: "demo",
        takes: "[NAME]",
        about: "watch two devices change one cart offline, and merge",
        run: demo::run,
    },
    Verb { name: "wasm", takes: "", about: "build the core for browsers, and nothing else", run: wasm::run },
];

/// Runs the command line. `false` when something did not pass.
pub(crate) fn run(mut words: Vec<String>) -> Result<bool> {
    let asks_for_help =
        words.is_empty() || words.iter().any(|word| ["--help", "-h", "help"].contains(&&**word));
    if asks_for_help {
        print!("{}", help());
        return Ok(true);
    }
    let name = words.remove(0);
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        bail!("there is no `{name}` here\n\n{}", help());
    };
    (verb.run)(Args::new(words))
}

fn help() -> String {
    let mut help = String::from("The commands of this workspace.\n\nusage: cargo xtask <command>\n\n");
    let width = VERBS.iter().map(|verb| verb.name.len() + verb.takes.len() + 1).max().unwrap_or(0);
    for verb in &VERBS {
        let call = format!("{} {}", verb.name, verb.takes);
        let _ = writeln!(help, "  {call:width$}  {}", verb.about);
    }
    help.push_str(
        "\nStart with `test`. `--list` shows the steps of a command, `--only STEP` runs one of them.\n\
         What a step needs and this machine lacks is installed, after saying what and why.\n",
    );
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_verb_and_fits_a_terminal() {
        let help = help();
        assert!(VERBS.iter().all(|verb| help.contains(verb.about)));
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    }

    #[test]
    fn an_unknown_verb_is_answered_with_the_known_ones() {
        let error = run(vec!["tset".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`tset`") && error.contains("cargo xtask <command>"), "{error}");
    }
}
