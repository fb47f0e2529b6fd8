//! `relay store stats`: how much is stored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use crdt_core::time::Timestamp;
use relay::id::Tenant;
use serde_json::json;

use super::table::Table;
use super::{Place, Selection, count, ended, now, show, size};

#[derive(Args)]
pub(in crate::verb) struct Stats {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    selection: Selection,

    /// Also name so many of the largest documents
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    largest: usize,

    /// Say it in JSON
    #[arg(long)]
    json: bool,
}

/// What a tenant has.
#[derive(Default)]
struct Total {
    documents: u64,
    erased: u64,
    damaged: u64,
    changes: u64,
    unpacked: u64,
    bytes: u64,
    modified: Timestamp,
}

impl Stats {
    pub(super) fn run(self) -> Result<ExitCode> {
        let hint = "A relay that is running tells how it does at /v1/status and /metrics.";
        let store = self.place.open(hint)?;
        let mut totals: BTreeMap<Tenant, Total> = BTreeMap::new();
        let mut largest = Vec::new();
        for (key, summary) in self.selection.of(&*store)? {
            let total = totals.entry(key.tenant.clone()).or_default();
            match summary {
                Err(_) => total.damaged += 1,
                Ok(summary) if summary.erased => total.erased += 1,
                Ok(summary) => {
                    total.documents += 1;
                    total.changes += summary.changes;
                    total.unpacked += summary.unpacked;
                    total.bytes += summary.bytes;
                    total.modified = total.modified.max(summary.modified);
                    largest.push((summary.bytes, summary.changes, key));
                }
            }
        }
        largest.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.2.cmp(&other.2)));
        largest.truncate(self.largest);

        let now = now()?;
        let mut table =
            Table::new(&["tenant", "documents", "erased", "changes", "not packed", "bytes", "last change"]);
        for (tenant, total) in &totals {
            let age = if total.documents > 0 { age(now, total.modified) } else { String::new() };
            let numbers =
                [total.documents, total.erased, total.changes, total.unpacked].map(|it| it.to_string());
            table.row([tenant.to_string()].into_iter().chain(numbers).chain([size(total.bytes), age]));
        }
        let mut text = if totals.is_empty() { "nothing is stored\n".to_owned() } else { table.text() };
        if !largest.is_empty() {
            let mut table = Table::new(&["document", "changes", "bytes"]);
            for (bytes, changes, key) in &largest {
                table.row([key.to_string(), changes.to_string(), size(*bytes)]);
            }
            write!(text, "\n{}", table.text())?;
        }
        let damaged: u64 = totals.values().map(|total| total.damaged).sum();
        if damaged > 0 {
            let documents = count(usize::try_from(damaged)?, "document");
            writeln!(text, "\n{documents} can't be read: see relay store check")?;
        }
        let tenants: Vec<_> = totals
            .iter()
            .map(|(tenant, total)| {
                json!({
                    "tenant": tenant, "documents": total.documents, "erased": total.erased, "damaged": total.damaged,
                    "changes": total.changes, "unpacked": total.unpacked, "bytes": total.bytes,
                    "last_updated_at": total.modified,
                })
            })
            .collect();
        let largest: Vec<_> = largest
            .iter()
            .map(|(bytes, changes, key)| {
                json!({"tenant": key.tenant, "document": key.document, "changes": changes, "bytes": bytes})
            })
            .collect();
        show(self.json, &json!({"tenants": tenants, "largest": largest}), &text);
        Ok(ended(damaged == 0))
    }
}

/// How long ago it was, for people.
fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.since(then).as_secs();
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_as_exact_as_anyone_cares() {
        let ago = |seconds: u64| {
            age(
                Timestamp::from_millis(10_000_000_000),
                Timestamp::from_millis(10_000_000_000 - 1000 * seconds),
            )
        };
        for (seconds, text) in
            [(5, "5 s ago"), (600, "10 min ago"), (8000, "2 h ago"), (200_000, "2 days ago")]
        {
            assert_eq!(ago(seconds), text);
        }
        assert_eq!(age(Timestamp::ZERO, Timestamp::MAX), "0 s ago", "a clock that was set back");
    }
}
