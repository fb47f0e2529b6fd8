//! What criterion left on disk, and the table made of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

/// One measured benchmark. Times are nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) time: f64,
    pub(super) at_most: Option<f64>,
}

/// The benchmarks below criterion's folder that were measured after `began`, by name.
pub(super) fn measured_since(folder: &Path, began: SystemTime) -> Result<Vec<Row>> {
    let mut files = Vec::new();
    find_estimates(folder, &mut files)?;
    let mut rows = Vec::new();
    for file in files {
        if fs::metadata(&file)?.modified()? < began {
            continue;
        }
        let read = |path: &Path| -> Result<Value> {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            Ok(serde_json::from_str(&text)?)
        };
        let estimates = read(&file)?;
        let about = read(&file.with_file_name("benchmark.json"))?;
        // The slope is steadier; benchmarks with few iterations have only a mean.
        let time = estimates["slope"]["point_estimate"].as_f64();
        let time = time.or_else(|| estimates["mean"]["point_estimate"].as_f64());
        let name = about["full_id"].as_str().map(str::to_owned);
        let (Some(name), Some(time)) = (name, time) else { continue };
        rows.push(Row { name, time, at_most: None });
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

fn find_estimates(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_estimates(&path, files)?;
        } else if path.ends_with("new/estimates.json") {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads lines like `cart/add to 200 lines = 150 µs`; `#` begins a comment.
pub(super) fn targets(text: &str) -> Result<BTreeMap<String, f64>> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = lines.filter(|line| !line.is_empty());
    let target = |line: &str| {
        let wrong = || anyhow!("`{line}` should read `benchmark = 150 µs`");
        let (name, time) = line.rsplit_once('=').ok_or_else(wrong)?;
        let (count, unit) = time.trim().split_once(' ').ok_or_else(wrong)?;
        let (_, scale) = UNITS.iter().find(|(known, _)| *known == unit).ok_or_else(wrong)?;
        let count: f64 = count.parse().map_err(|_| wrong())?;
        Ok((name.trim().to_owned(), count * scale))
    };
    lines.map(target).collect()
}

const UNITS: [(&str, f64); 4] = [("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0)];

/// The rows as a person reads them.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(9);
    let mut table = format!("{:width$}  {:>10}  {:>10}\n", "benchmark", "time", "at most");
    for row in rows {
        let at_most = row.at_most.map_or_else(String::new, time);
        let verdict = match row.at_most {
            None => "",
            Some(at_most) if row.time <= at_most => "  ok",
            Some(_) => "  SLOWER",
        };
        let _ = writeln!(table, "{:width$}  {:>10}  {at_most:>10}{verdict}", row.name, time(row.time));
    }
    table
}

fn time(nanoseconds: f64) -> String {
    let (unit, scale) = UNITS.into_iter().find(|(_, scale)| nanoseconds >= *scale).unwrap_or(UNITS[3]);
    let count = nanoseconds / scale;
    if count < 100.0 { format!("{count:.1} {unit}") } else { format!("{count:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_with_their_units() {
        let targets =
            targets("# from the issue\ncart/add = 150 µs  # with the view\n\ncart/open = 5 ms\n").unwrap();
        assert_eq!(targets, BTreeMap::from([("cart/add".into(), 150_000.0), ("cart/open".into(), 5e6)]));
        assert!(super::targets("cart/add = fast").is_err());
    }

    #[test]
    fn the_table_says_what_is_too_slow() {
        let row = |name: &str, time, at_most| Row { name: name.into(), time, at_most };
        let table = table(&[row("cart/add", 42_130.0, Some(150_000.0)), row("cart/open", 7.2e6, Some(5e6))]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[1], "cart/add      42.1 µs      150 µs  ok");
        assert_eq!(lines[2], "cart/open      7.2 ms      5.0 ms  SLOWER");
    }

    #[test]
    fn only_what_was_measured_now_is_shown() {
        let folder = std::env::temp_dir().join(format!("pannier-bench-report-{}", std::process::id()));
        let new = folder.join("cart/add/new");
        fs::create_dir_all(&new).unwrap();
        fs::write(new.join("estimates.json"), r#"{"mean":{"point_estimate":2.5},"slope":null}"#).unwrap();
        fs::write(new.join("benchmark.json"), r#"{"full_id":"cart/add"}"#).unwrap();
        let rows = measured_since(&folder, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(rows, [Row { name: "cart/add".into(), time: 2.5, at_most: None }]);
        let later = SystemTime::now() + std::time::Duration::from_mins(1);
        assert_eq!(measured_since(&folder, later).unwrap(), []);
        fs::remove_dir_all(&folder).unwrap();
    }
}
