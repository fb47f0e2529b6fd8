//! `cargo xtask test`: everything that must hold, in the order in which people want to know.

use anyhow::{Result, bail};

use super::demo;
use crate::args::Args;
use crate::plan::{self, Counts, Step};
use crate::shell::{self, Run};
use crate::{tool, wasm, workspace};

pub(super) fn run(args: Args) -> Result<bool> {
    run_steps(args, steps(), "test [--only STEP] [--list]")
}

/// The steps, cheapest news first. A new suite is one more step here.
pub(super) fn steps() -> Vec<Step> {
    vec![
        Step::new("native", "every Rust test and every example in the docs", || {
            let color = if shell::is_watched() { "always" } else { "auto" };
            Run::cargo().args("test --workspace --locked --no-fail-fast --color").arg(color).count_tests()
        }),
        Step::new("examples", "every example program runs to its end", || {
            let mut counts = Counts::default();
            for example in workspace::targets("example")? {
                demo::run_example(&example)?;
                counts.passed += 1;
            }
            Ok(counts)
        }),
        Step::new(
            "wasm",
            "the core as a browser runs it: every vector's answers, and two replicas that meet",
            || {
                tool::node()?;
                let mut node = Run::new("node").args("--test --test-reporter=spec");
                for (package, name) in [
                    ("pannier-conformance", "PANNIER_WASM_MODULE"),
                    ("pannier-wasm-smoke", "PANNIER_WASM_SMOKE"),
                ] {
                    let module = wasm::build(package)?;
                    let folder = workspace::target().join("wasm").join(package);
                    wasm::glue(&module, "nodejs", &folder)?;
                    node = node.env(name, folder.join(format!("{}.js", package.replace('-', "_"))));
                }
                node.args("tests/wasm/vectors.test.mjs tests/wasm/replica.test.mjs").count_tests()
            },
        ),
        Step::new("interop", "unmodified automerge-repo clients sync through the relay's binary", || {
            tool::node()?;
            let folder = workspace::root().join("tests/interop/js");
            Run::new("npm").args("ci --no-audit --no-fund").folder(&folder).go()?;
            // As the step `native` builds it: another selection would build the relay and what it is made of once more.
            Run::cargo().args("test --workspace --locked --no-run --quiet").go()?;
            Run::new("node")
                .args("--test --test-force-exit --test-reporter=spec clients.test.mjs")
                .folder(&folder)
                .env("PANNIER_RELAY", workspace::target().join("debug/relay"))
                .count_tests()
        }),
        Step::new("page", "the status page as people see it: on phones and desks, light and dark", || {
            let chromium = tool::chromium()?;
            ask_over_http("page.test.mjs")?.env("PANNIER_CHROMIUM", chromium).count_tests()
        }),
        Step::new("api", "the relay answers as its description says, whatever it is asked", || {
            let schemathesis = tool::schemathesis()?;
            ask_over_http("api.test.mjs")?.env("PANNIER_SCHEMATHESIS", schemathesis).count_tests()
        }),
    ]
}

/// A program of `tests/http`, about to be run against the relay's binary.
fn ask_over_http(test: &str) -> Result<Run> {
    tool::node()?;
    let folder = workspace::root().join("tests/http");
    Run::new("npm").args("ci --no-audit --no-fund").folder(&folder).go()?;
    // As the step `native` builds it: another selection would build the relay and what it is made of once more.
    Run::cargo().args("test --workspace --locked --no-run --quiet").go()?;
    let node = Run::new("node").args("--test --test-reporter=spec").arg(test).folder(&folder);
    Ok(node.env("PANNIER_RELAY", workspace::target().join("debug/relay")))
}

/// Runs all the steps of a verb, or shows them, or runs one.
pub(super) fn run_steps(mut args: Args, mut steps: Vec<Step>, usage: &str) -> Result<bool> {
    let list = args.flag("--list");
    let only = args.option("--only")?;
    args.finish(usage)?;
    if list {
        for step in &steps {
            println!("{:8}  {}", step.name, step.why);
        }
        return Ok(true);
    }
    if let Some(only) = only {
        let names: Vec<_> = steps.iter().map(|step| step.name).collect();
        steps.retain(|step| step.name == only);
        if steps.is_empty() {
            bail!("there is no step `{only}`: the steps are {}", names.join(", "));
        }
    }
    std::env::set_current_dir(workspace::root())?;
    Ok(plan::run(&steps))
}
