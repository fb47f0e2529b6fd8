//! `relay store compact`: packs documents.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use relay::id::Position;
use relay::store::Summary;
use relay::transfer::compact;
use serde_json::json;

use super::{Place, Selection, count, ended, show, size};

/// A relay packs by itself what people use. This is for what nobody has used since it grew.
#[derive(Args)]
pub(in crate::verb) struct Compact {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    selection: Selection,

    /// Only documents with at least so many changes that are not packed
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    unpacked_min: u64,

    /// Say it in JSON
    #[arg(long)]
    json: bool,
}

impl Compact {
    pub(super) fn run(self) -> Result<ExitCode> {
        let hint = "It packs documents by itself, in the background.";
        let mut store = self.place.open(hint)?;
        let (mut packed, mut refused, mut damaged) = (0, Vec::new(), 0);
        let (mut before, mut after) = (0, 0);
        for (key, summary) in self.selection.of(&*store)? {
            let Ok(Summary { changes, unpacked, bytes, erased, .. }) = summary else {
                damaged += 1;
                continue;
            };
            if erased || unpacked < self.unpacked_min.max(1) {
                continue;
            }
            let taken = store.usage(&key.tenant)?.bytes;
            match compact(&*store, &key, Position(changes)) {
                Err(error) => refused.push((key, error)),
                Ok(write) => {
                    store.commit(vec![write]).remove(0)?;
                    packed += 1;
                    before += bytes;
                    after += (bytes + store.usage(&key.tenant)?.bytes).saturating_sub(taken);
                }
            }
        }
        let mut text =
            format!("{} packed: {} became {}\n", count(packed, "document"), size(before), size(after));
        for (key, error) in &refused {
            writeln!(text, "{key} stays as it is: {error}")?;
        }
        if damaged > 0 {
            writeln!(text, "{} can't be read: see relay store check", count(damaged, "document"))?;
        }
        let is_well = refused.is_empty() && damaged == 0;
        let refused: Vec<_> = refused
            .iter()
            .map(|(key, error)| json!({"tenant": key.tenant, "document": key.document, "why": error.to_string()}))
            .collect();
        let json = json!({
            "packed": packed, "bytes_before": before, "bytes_after": after, "refused": refused, "damaged": damaged,
        });
        show(self.json, &json, &text);
        Ok(ended(is_well))
    }
}
