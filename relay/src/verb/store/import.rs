//! `relay store import`: brings documents in from files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use crdt_core::id::DocumentId;
use crdt_core::time::Timestamp;
use relay::access::Access;
use relay::archive::{self, Archive, List};
use relay::id::{DocumentKey, Position, Subject, Tenant};
use relay::store::{Loaded, Store, Write};
use relay::transfer::{bring_in, compact, take_apart};
use serde_json::json;

use super::{Place, count, ended, now, show};

/// Documents with as many single changes are packed at once: devices are served them faster.
const PACKED_FROM: usize = 16;

/// Read are the folders that `relay store export` writes; folders with files named after their documents, with or without the
/// ending .automerge; and the folders of automerge-repo's nodefs storage. What is stored already stays: documents are merged,
/// so that bringing something in twice is as bringing it in once.
#[derive(Args)]
pub(in crate::verb) struct Import {
    #[command(flatten)]
    place: Place,

    /// The folder to read
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// Only these documents; without any, all
    #[arg(value_name = "DOCUMENT")]
    documents: Vec<DocumentId>,

    /// Whose documents they are to be: needed where the folder does not say, and then the only tenant that is brought in
    #[arg(long, value_name = "NAME")]
    tenant: Option<Tenant>,

    /// Who is to own documents of which the folder does not say whose they are
    #[arg(long, value_name = "SUBJECT")]
    owner: Option<Subject>,

    /// Also bring in documents that have been erased here
    #[arg(long)]
    revive: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Say it in JSON
    #[arg(long)]
    json: bool,
}

/// What has become of everything.
#[derive(Default)]
struct Tally {
    new: usize,
    grown: usize,
    unchanged: usize,
    changes: usize,
    erased: usize,
    /// Documents of which something was not brought in, and why.
    troubles: Vec<(DocumentKey, String)>,
    others: Vec<PathBuf>,
}

impl Import {
    pub(super) fn run(self) -> Result<ExitCode> {
        let sources = self.sources()?;
        let hint = "Stop that relay first: two processes can't write one store.";
        let mut store = self.place.open_or_begin(hint)?;
        let mut tally = Tally::default();
        let now = now()?;
        for (tenant, archive) in sources {
            self.bring_in_all(&mut *store, &tenant, &archive, now, &mut tally)?;
        }
        self.report(&tally)
    }

    /// The folders to read, and whose they are.
    fn sources(&self) -> Result<Vec<(Tenant, Archive)>> {
        let named = |archive: Archive| -> Result<(Tenant, Archive)> {
            let list = archive.list()?;
            let tenant = self.tenant.clone().or(list.map(|list| list.tenant));
            let tenant = tenant.with_context(|| {
                format!(
                    "{} does not say whose its documents are: say it with --tenant",
                    self.folder.display()
                )
            })?;
            Ok((tenant, archive))
        };
        if !self.folder.is_dir() {
            bail!("{} is not a folder", self.folder.display());
        }
        let mut tenants = archive::tenants(&self.folder)?;
        if tenants.is_empty() {
            return Ok(vec![named(Archive::at(&self.folder))?]);
        }
        tenants.retain(|(tenant, _)| self.tenant.as_ref().is_none_or(|only| only == tenant));
        if tenants.is_empty() {
            bail!("{} has no such tenant", self.folder.display());
        }
        Ok(tenants)
    }

    fn bring_in_all(
        &self,
        store: &mut dyn Store,
        tenant: &Tenant,
        archive: &Archive,
        now: Timestamp,
        tally: &mut Tally,
    ) -> Result<()> {
        let list = archive.list()?.unwrap_or_else(|| List::of(tenant.clone()));
        let contents = archive.contents()?;
        let selected = |document: &DocumentId| self.documents.is_empty() || self.documents.contains(document);
        if let Some(missing) = self.documents.iter().find(|it| !contents.documents.contains_key(it)) {
            bail!("{} has no document {missing}", archive.folder().display());
        }
        tally.others.extend(contents.others);
        for (document, files) in contents.documents.into_iter().filter(|(document, _)| selected(document)) {
            let key = DocumentKey { tenant: tenant.clone(), document };
            let access =
                list.access.get(&document).cloned().or_else(|| self.owner.clone().map(Access::owned_by));
            let Some(access) = access else {
                bail!(
                    "{} does not say who owns {document}: say who is to own such documents with --owner",
                    archive.folder().display()
                );
            };
            if let Err(trouble) = self.bring_in(store, &key, &files, &access, now, tally)? {
                tally.troubles.push((key, trouble));
            }
        }
        if self.documents.is_empty() {
            self.erase_all(store, tenant, &list.erased, tally)?;
        }
        Ok(())
    }

    /// Brings in one document. What is wrong with it alone is not an error of the whole.
    fn bring_in(
        &self,
        store: &mut dyn Store,
        key: &DocumentKey,
        files: &[PathBuf],
        access: &Access,
        now: Timestamp,
        tally: &mut Tally,
    ) -> Result<Result<(), String>> {
        let changes = match archive::read(files).map(|bytes| take_apart(&bytes)) {
            Ok(Ok(changes)) => changes,
            Ok(Err(error)) => return Ok(Err(format!("{} is no document: {error}", file(files).display()))),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let inbound = match bring_in(store, key, changes, access, self.revive, now) {
            Ok(inbound) => inbound,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let is_new = !matches!(store.load(key), Ok(Loaded::Document(_)));
        tally.changes += inbound.added;
        match inbound.added {
            0 => tally.unchanged += 1,
            _ if is_new => tally.new += 1,
            _ => tally.grown += 1,
        }
        if !self.dry_run {
            for result in store.commit(inbound.writes) {
                result?;
            }
            if inbound.added >= PACKED_FROM {
                pack(store, key)?;
            }
        }
        if let Some((hash, refusal)) = inbound.refused.first() {
            return Ok(Err(format!("{} refused; {hash}: {refusal}", count(inbound.refused.len(), "change"))));
        }
        if inbound.detached > 0 {
            let changes = count(inbound.detached, "change");
            return Ok(Err(format!(
                "{changes} left out, since others that they depend on are not in the folder"
            )));
        }
        Ok(Ok(()))
    }

    /// What was erased where the files come from is erased here as well, unless it is in the folder again.
    fn erase_all(
        &self,
        store: &mut dyn Store,
        tenant: &Tenant,
        erased: &BTreeMap<DocumentId, Timestamp>,
        tally: &mut Tally,
    ) -> Result<()> {
        for (document, at) in erased {
            let key = DocumentKey { tenant: tenant.clone(), document: *document };
            // A document that is here has been brought since by somebody who may.
            if store.load(&key)? != Loaded::Unknown {
                continue;
            }
            tally.erased += 1;
            if !self.dry_run {
                store.commit(vec![Write::Erase { key, at: *at }]).remove(0)?;
            }
        }
        Ok(())
    }

    fn report(&self, tally: &Tally) -> Result<ExitCode> {
        let Tally { new, grown, unchanged, changes, erased, troubles, others } = tally;
        let would = if self.dry_run { "would be " } else { "" };
        let mut text = format!(
            "{} {would}new, {grown} {would}grown, {unchanged} unchanged, with {} that were not here\n",
            count(*new, "document"),
            count(*changes, "change")
        );
        if *erased > 0 {
            writeln!(text, "{} {would}noted as erased", count(*erased, "document"))?;
        }
        for (key, trouble) in troubles {
            writeln!(text, "{key}: {trouble}")?;
        }
        for other in others {
            writeln!(text, "{} is no document, and was left alone", other.display())?;
        }
        let sentences: Vec<_> = troubles
            .iter()
            .map(|(key, trouble)| json!({"tenant": key.tenant, "document": key.document, "why": trouble}))
            .collect();
        let json = json!({
            "dry_run": self.dry_run, "new": new, "grown": grown, "unchanged": unchanged, "changes": changes,
            "erased": erased, "troubles": sentences, "others": others,
        });
        show(self.json, &json, &text);
        Ok(ended(troubles.is_empty()))
    }
}

/// Packs what has just been brought in. What can't be packed is served as it is.
fn pack(store: &mut dyn Store, key: &DocumentKey) -> Result<()> {
    let Loaded::Document(document) = store.load(key)? else { return Ok(()) };
    let Some((last, _)) = document.changes.last() else { return Ok(()) };
    let through = Position(last.0 + 1);
    drop(document);
    match compact(store, key, through) {
        Ok(write) => drop(store.commit(vec![write]).remove(0)?),
        Err(error) => eprintln!("{key} stays unpacked: {error}"),
    }
    Ok(())
}

fn file(files: &[PathBuf]) -> &Path {
    files.first().map_or(Path::new(""), PathBuf::as_path)
}
