//! `relay store erase`: leaves nothing of documents but the fact that they were erased.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use crdt_core::id::DocumentId;
use relay::id::{DocumentKey, Tenant};
use relay::store::{CommitError, Write};
use serde_json::json;

use super::{Place, count, ended, now, show};

/// From a relay that is running, erase with `curl -X DELETE http://ADDRESS/v1/documents/DOCUMENT`. Devices that still have an
/// erased document are told that it is gone, and can't bring it back. The bytes leave the disk when the store next
/// needs their space: where that is too late, keep the data on an encrypted disk.
#[derive(Args)]
pub(in crate::verb) struct Erase {
    #[command(flatten)]
    place: Place,

    /// The documents
    #[arg(value_name = "DOCUMENT", required = true)]
    documents: Vec<DocumentId>,

    /// Whose they are
    #[arg(long, value_name = "NAME")]
    tenant: Tenant,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Say it in JSON
    #[arg(long)]
    json: bool,
}

impl Erase {
    pub(super) fn run(self) -> Result<ExitCode> {
        let hint =
            "Erase through it: curl -X DELETE http://ADDRESS/v1/documents/DOCUMENT, as an administrator.";
        let mut store = self.place.open(hint)?;
        if !self.yes && !self.is_sure()? {
            bail!("nothing was erased");
        }
        let at = now()?;
        let write = |document: &DocumentId| {
            let key = DocumentKey { tenant: self.tenant.clone(), document: *document };
            Write::Erase { key, at }
        };
        let results = store.commit(self.documents.iter().map(write).collect());
        let (mut erased, mut already) = (Vec::new(), Vec::new());
        for (document, result) in self.documents.iter().zip(results) {
            match result {
                Ok(_) => erased.push(document),
                Err(CommitError::Erased) => already.push(document),
                Err(error) => return Err(error.into()),
            }
        }
        let mut text = format!("{} erased\n", count(erased.len(), "document"));
        if !already.is_empty() {
            writeln!(text, "{} had been erased before", count(already.len(), "document"))?;
        }
        show(self.json, &json!({"erased": erased, "erased_before": already}), &text);
        Ok(ended(true))
    }

    /// Asks whoever sits there. Nobody there is no yes.
    fn is_sure(&self) -> Result<bool> {
        if !io::stdin().is_terminal() {
            bail!("nobody is there to ask whether that is meant: say --yes");
        }
        let documents = count(self.documents.len(), "document");
        eprint!("Erase {documents} of {}? There is no way back but a backup. [y/N] ", self.tenant);
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}
