//! `relay store check`: whether everything that is stored is whole.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use relay::audit::{Audited, audit};
use relay::id::DocumentKey;
use relay::store::{LoadError, Loaded, Oddity, Store};
use serde_json::json;

use super::{Place, ended, show, size};

#[derive(Args)]
pub(in crate::verb) struct Check {
    #[command(flatten)]
    place: Place,

    /// Remove what belongs to nothing, and count again what was miscounted. No document is touched
    #[arg(long)]
    mend: bool,

    /// Say it in JSON
    #[arg(long)]
    json: bool,
}

/// A document that is not as it should be.
struct Damaged {
    key: DocumentKey,
    fault: String,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode> {
        let hint = "Stop that relay first: what it is writing can't be checked.";
        let mut store = self.place.open(hint)?;
        let mended = if self.mend { store.mend()? } else { Vec::new() };
        let checked = store.check()?;
        let (total, damaged) = audit_all(&*store)?;
        let is_sound = damaged.is_empty() && checked.odd.is_empty();
        let text = text(&total, checked.erased, &damaged, &checked.odd, &mended)?;
        let sentences = |odd: &[Oddity]| odd.iter().map(ToString::to_string).collect::<Vec<_>>();
        let damaged: Vec<_> = damaged
            .iter()
            .map(|it| json!({"tenant": it.key.tenant, "document": it.key.document, "fault": it.fault}))
            .collect();
        let json = json!({
            "sound": is_sound, "documents": total.documents, "erased": checked.erased,
            "changes": total.audited.packed + total.audited.unpacked, "bytes": total.audited.bytes,
            "damaged": damaged, "odd": sentences(&checked.odd), "mended": sentences(&mended),
        });
        show(self.json, &json, &text);
        Ok(ended(is_sound))
    }
}

/// What all documents come to.
#[derive(Default)]
struct Total {
    documents: u64,
    audited: Audited,
}

/// Looks at every document, down to the hash of every change.
fn audit_all(store: &dyn Store) -> Result<(Total, Vec<Damaged>)> {
    let mut keys = Vec::new();
    store.documents(&mut |key, _| keys.push(key))?;
    let (mut total, mut damaged) = (Total::default(), Vec::new());
    for key in keys {
        let fault = match store.load(&key) {
            Ok(Loaded::Document(document)) => match audit(store, &key, &document) {
                Ok(audited) => {
                    total.documents += 1;
                    total.audited.packed += audited.packed;
                    total.audited.unpacked += audited.unpacked;
                    total.audited.bytes += audited.bytes;
                    continue;
                }
                Err(fault) => fault.to_string(),
            },
            Ok(_) => continue,
            Err(error @ LoadError::Unavailable { .. }) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        damaged.push(Damaged { key, fault });
    }
    Ok((total, damaged))
}

fn text(
    total: &Total,
    erased: u64,
    damaged: &[Damaged],
    odd: &[Oddity],
    mended: &[Oddity],
) -> Result<String> {
    let mut text = String::new();
    let Audited { packed, unpacked, bytes } = total.audited;
    let changes = packed + unpacked;
    writeln!(text, "documents    {} whole, {} damaged, {erased} erased", total.documents, damaged.len())?;
    writeln!(text, "changes      {changes}, the hash of each computed again; {packed} of them in snapshots")?;
    writeln!(text, "bytes        {}", size(bytes))?;
    if !mended.is_empty() {
        writeln!(text, "\nMended:")?;
        list(&mut text, mended)?;
    }
    if !damaged.is_empty() {
        writeln!(text, "\nDamaged:")?;
        for Damaged { key, fault } in damaged {
            writeln!(text, "  {key}\n      {fault}")?;
        }
        let Damaged { key, .. } = &damaged[0];
        writeln!(
            text,
            "\nA relay serves all the others, and refuses these. To have one back from a backup:\n  \
             relay store erase --tenant {tenant} {document}\n  \
             relay store import BACKUP --tenant {tenant} --revive {document}\n\
             Devices that have newer changes bring them by themselves afterwards. Look at the disk as well: sound ones do not\n\
             damage records.",
            tenant = key.tenant,
            document = key.document
        )?;
    }
    if !odd.is_empty() {
        writeln!(text, "\nOdd, though no document suffers from it:")?;
        list(&mut text, odd)?;
        writeln!(text, "\n`relay store check --mend` removes what belongs to nothing, and counts again.")?;
    }
    if damaged.is_empty() && odd.is_empty() {
        writeln!(text, "\nEverything is whole.")?;
    }
    Ok(text)
}

fn list(text: &mut String, odd: &[Oddity]) -> Result<()> {
    for oddity in odd {
        writeln!(text, "  {oddity}")?;
    }
    Ok(())
}
