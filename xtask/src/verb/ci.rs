//! `cargo xtask ci`: what must pass before a change is merged.

use anyhow::Result;

use super::test;
use crate::args::Args;
use crate::plan::{Counts, Step};
use crate::shell::Run;
use crate::tool;

pub(super) fn run(args: Args) -> Result<bool> {
    let mut steps = vec![
        Step::new("format", "every file is laid out by rustfmt", || {
            check(Run::cargo().args("fmt --all --check"))
        }),
        Step::new("lints", "clippy has nothing to say", || {
            check(Run::cargo().args("clippy --workspace --all-targets --locked -- -D warnings"))
        }),
        Step::new("docs", "the documentation builds and every link in it leads somewhere", || {
            let doc = Run::cargo().args("doc --workspace --no-deps --locked");
            check(doc.env("RUSTDOCFLAGS", "-D warnings"))
        }),
        Step::new("deny", "licences, sources, bans and known advisories of all dependencies", deny),
    ];
    steps.extend(test::steps());
    test::run_steps(args, steps, "ci [--only STEP] [--list]")
}

fn check(run: Run) -> Result<Counts> {
    run.go()?;
    Ok(Counts::default())
}

fn deny() -> Result<Counts> {
    let deny = tool::cargo_deny()?;
    let check_of = |what: &str| {
        Run::new(&deny).args("--log-level error --locked check --hide-inclusion-graph").args(what)
    };
    check_of("bans licenses sources").go()?;
    let fetched = Run::new(&deny).args("--log-level error fetch db").succeeds();
    if fetched {
        check_of("advisories").go()?;
    } else {
        println!("  known advisories are not checked: their database can't be reached from here");
    }
    Ok(Counts::default())
}
