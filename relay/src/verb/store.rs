//! `relay store`: what an operator does to the data itself.

mod check;
mod compact;
mod erase;
mod export;
mod import;
mod remote;
mod stats;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use crdt_core::id::DocumentId;
use crdt_core::time::Timestamp;
use relay::config::Settings;
use relay::id::{DocumentKey, Tenant};
use relay::store::{LoadError, OpenError, Sled, Store, Summary};
use serde_json::Value;

/// Where a relay keeps its data when nobody says.
const DATA: &str = "relay-data";

/// Memory for pages of the data file: these verbs read everything once.
const CACHE_BYTES: u64 = 64 << 20;

/// Everything was done, and something that was found needs a person.
const NEEDS_ATTENTION: u8 = 3;

/// How scripts are told how it went.
const EXIT_CODES: &str = "Exit codes: 0 all is well; 1 it could not be done; 2 the command makes no sense; 3 it was done, and \
                          something needs attention.";

#[derive(Subcommand)]
#[command(after_help = EXIT_CODES)]
pub(super) enum Verb {
    /// Look whether everything that is stored is whole, and say what to do where it is not
    Check(check::Check),
    /// Tell how much is stored, for each tenant
    Stats(stats::Stats),
    /// Write documents to files that any automerge-repo application can read; also from a relay that is running
    Export(export::Export),
    /// Bring documents in from files: an export, or automerge-repo's nodefs storage
    Import(import::Import),
    /// Pack documents, so that devices which have nothing yet are served faster
    Compact(compact::Compact),
    /// Leave nothing of documents but the fact that they were erased
    Erase(erase::Erase),
}

pub(super) fn run(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Check(check) => check.run(),
        Verb::Stats(stats) => stats.run(),
        Verb::Export(export) => export.run(),
        Verb::Import(import) => import.run(),
        Verb::Compact(compact) => compact.run(),
        Verb::Erase(erase) => erase.run(),
    }
}

/// Whose data it is about.
#[derive(Args)]
struct Place {
    /// Directory of the data. No relay may be using it [default: relay-data]
    #[arg(long, value_name = "DIRECTORY", env = "RELAY_DATA")]
    data: Option<PathBuf>,

    /// The relay's configuration file, which may say where the data is
    #[arg(long, value_name = "FILE", env = "RELAY_CONFIG")]
    config: Option<PathBuf>,
}

impl Place {
    fn path(&self) -> Result<PathBuf> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let file = self.config.as_deref().map(Settings::read).transpose()?;
        Ok(file.and_then(|file| file.data).unwrap_or_else(|| DATA.into()))
    }

    /// The store there. `while_running` says what to do if a relay uses it.
    fn open(&self, while_running: &str) -> Result<Box<dyn Store>> {
        let sled = Sled { path: self.path()?, cache_bytes: CACHE_BYTES };
        if !sled.exists() {
            bail!("there is no relay's data in {}: say where it is with --data", sled.path.display());
        }
        sled.open().map_err(|error| match error {
            OpenError::InUse { .. } => anyhow::anyhow!("{error}. {while_running}"),
            error => error.into(),
        })
    }

    /// As [`Place::open`], beginning a store if there is none.
    fn open_or_begin(&self, while_running: &str) -> Result<Box<dyn Store>> {
        let sled = Sled { path: self.path()?, cache_bytes: CACHE_BYTES };
        if sled.exists() { self.open(while_running) } else { Ok(sled.open()?) }
    }
}

/// Which documents it is about.
#[derive(Args)]
struct Selection {
    /// Only these documents; without any, all
    #[arg(value_name = "DOCUMENT")]
    documents: Vec<DocumentId>,

    /// Only documents of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<Tenant>,
}

impl Selection {
    fn has(&self, key: &DocumentKey) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == key.tenant)
            && (self.documents.is_empty() || self.documents.contains(&key.document))
    }

    /// Those of them that are stored, or were, in the order of tenants.
    fn of(&self, store: &dyn Store) -> Result<Vec<(DocumentKey, Result<Summary, LoadError>)>> {
        let mut selected = Vec::new();
        store.documents(&mut |key, summary| {
            if self.has(&key) {
                selected.push((key, summary));
            }
        })?;
        let missing = self
            .documents
            .iter()
            .find(|document| !selected.iter().any(|(key, _): &(DocumentKey, _)| key.document == **document));
        match missing {
            Some(document) => bail!("{document} is not stored"),
            None => Ok(selected),
        }
    }
}

/// Shows what a verb has to say: as JSON, or else for people.
fn show(is_json: bool, json: &Value, text: &str) {
    if is_json {
        println!("{json:#}");
    } else {
        print!("{text}");
    }
}

/// How a verb that went through ends.
fn ended(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { NEEDS_ATTENTION.into() }
}

fn now() -> Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp::from_millis(u64::try_from(since.as_millis())?))
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next().expect("there are some");
    while tenths >= 10_240
        && let Some(larger) = units.next()
    {
        tenths /= 1024;
        unit = larger;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// So many of something for people.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (5 << 40, "5.0 TiB"),
            (5000 << 40, "5000.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
