//! `cargo xtask bench`: run criterion benchmarks and set what they measured beside what they must reach; or put load on a
//! relay.

mod load;
mod report;

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Result, bail};

use self::report::{Row, measured_since, table, targets};
use crate::args::Args;
use crate::shell::Run;
use crate::workspace::{self, Target};

pub(super) fn run(mut args: Args) -> Result<bool> {
    let quick = args.flag("--quick");
    let name = args.word();
    if name.as_deref() == Some("relay") {
        return load::run(args, quick);
    }
    args.finish("bench [NAME] [--quick]")?;
    let all = workspace::targets("bench")?;
    let chosen: Vec<_> =
        all.iter().filter(|bench| name.as_deref().is_none_or(|name| is_called(bench, name))).collect();
    if chosen.is_empty() {
        let names: Vec<_> = all.iter().map(|bench| format!("{} ({})", bench.name, bench.package)).collect();
        bail!("no benchmark or package is called that: there are {}", names.join(", "));
    }
    let began = SystemTime::now();
    for bench in &chosen {
        // Benchmarks of all packages share one build of what they stand on.
        let run = Run::cargo().args("bench --locked --workspace --bench").arg(&bench.name);
        let run = if quick { run.args("-- --quick") } else { run };
        run.folder(workspace::root()).go()?;
    }
    let rows = rows_of(&chosen, began)?;
    // Some benchmarks count something else than time, and say so themselves.
    if !rows.is_empty() {
        println!("\n{}", table(&rows));
    }
    Ok(true)
}

/// A package answers to its name, also without what all its siblings share; a benchmark to its own, and to both together.
fn is_called(bench: &Target, name: &str) -> bool {
    let short = bench.package.trim_start_matches("crdt-").trim_start_matches("pannier-");
    let both = format!("{short}-{}", bench.name);
    [bench.package.as_str(), short, bench.name.as_str(), both.as_str()].contains(&name)
}

fn rows_of(chosen: &[&Target], began: SystemTime) -> Result<Vec<Row>> {
    let mut rows = measured_since(&workspace::target().join("criterion"), began)?;
    let mut files: Vec<_> = chosen.iter().map(|bench| bench.folder.join("benches/targets.txt")).collect();
    files.dedup();
    for file in files.iter().filter(|file| Path::exists(file)) {
        let at_most = targets(&std::fs::read_to_string(file)?)?;
        for row in &mut rows {
            row.at_most = row.at_most.or_else(|| at_most.get(&row.name).copied());
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_benchmarks_answer_to_short_names() {
        let bench = Target {
            package: "crdt-core".into(),
            kind: "bench".into(),
            name: "cart".into(),
            folder: "/work".into(),
        };
        assert!(["core", "crdt-core", "cart", "core-cart"].iter().all(|name| is_called(&bench, name)));
        assert!(!is_called(&bench, "relay"));
    }
}
