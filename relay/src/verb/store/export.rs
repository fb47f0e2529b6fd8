//! `relay store export`: writes documents to files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use axum::http::StatusCode;
use clap::Args;
use crdt_core::id::DocumentId;
use crdt_core::time::Timestamp;
use relay::archive::{Archive, List};
use relay::id::{DocumentKey, Sequence, Tenant};
use relay::store::Loaded;
use relay::transfer::{bytes_of, pack_up};
use serde::Deserialize;
use serde_json::json;

use super::remote::{Remote, reason};
use super::{Place, Selection, count, ended, show, size};

/// Entries of the change feed that are asked for at once.
const PAGE: usize = 1000;

/// Each document becomes one file, FOLDER/TENANT/DOCUMENT.automerge, which `Automerge.load` reads; documents.json beside them
/// says whose they are, and which were erased. `relay store import` takes it all back.
///
/// From a relay that is running: `--url http://127.0.0.1:3030`, with a token of the role admin, or of the role reader, to
/// which the relay does not say whose the documents are. Run it again with the same folder, and only what has changed since is
/// fetched.
#[derive(Args)]
pub(in crate::verb) struct Export {
    /// The folder to write to. Created when it does not exist
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    place: Place,

    /// Ask the relay that is running there, instead of reading the data; it goes on serving
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    url: Option<String>,

    /// A file with the token for --url
    #[arg(long, value_name = "FILE", env = "RELAY_TOKEN_FILE", requires = "url")]
    token_file: Option<PathBuf>,

    /// Say it in JSON
    #[arg(long)]
    json: bool,
}

/// What has been written.
#[derive(Default)]
struct Tally {
    documents: usize,
    bytes: u64,
    erased: usize,
    /// Documents that are not packed, or are not there at all, and why.
    troubles: Vec<(DocumentKey, String)>,
    /// Some document is not there at all.
    lacks_documents: bool,
    /// Nobody said whose the documents are.
    lacks_access: bool,
}

impl Export {
    pub(super) fn run(self) -> Result<ExitCode> {
        let tally = match &self.url {
            None => self.read()?,
            Some(url) => {
                let token = self.token_file.as_ref().map(|path| {
                    let token = std::fs::read_to_string(path);
                    token.with_context(|| format!("{} can't be read", path.display()))
                });
                let token = token.transpose()?.map(|token| token.trim().to_owned());
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(self.fetch(url, token))?
            }
        };
        self.report(&tally)
    }

    /// Writes what is stored here.
    fn read(&self) -> Result<Tally> {
        let hint = "It can be asked while it runs: relay store export FOLDER --url http://ADDRESS";
        let store = self.place.open(hint)?;
        let mut tally = Tally::default();
        let mut lists: BTreeMap<Tenant, (Archive, List)> = BTreeMap::new();
        for (key, _) in self.selection.of(&*store)? {
            let (archive, list) = match lists.entry(key.tenant.clone()) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => entry.insert(self.begin(&key.tenant)?),
            };
            match store.load(&key) {
                Ok(Loaded::Document(document)) => {
                    let bytes = bytes_of(&*store, &key, &document);
                    match bytes {
                        Ok(bytes) => put(archive, &key, bytes, &mut tally)?,
                        Err(error) => tally.troubles.push((key.clone(), error.to_string())),
                    }
                    list.erased.remove(&key.document);
                    list.access.extend(document.access.map(|access| (key.document, access)));
                }
                Ok(Loaded::Erased { at }) => note_erased(archive, list, key.document, at, &mut tally)?,
                Ok(_) => {}
                Err(error) => tally.troubles.push((key, error.to_string())),
            }
        }
        for (archive, list) in lists.values() {
            archive.put_list(list)?;
        }
        Ok(tally)
    }

    /// Writes what a running relay has, since the last time if it was asked before.
    async fn fetch(&self, url: &str, token: Option<String>) -> Result<Tally> {
        let mut remote = Remote::connect(url, token).await?;
        let mut tally = Tally::default();
        let first: Page = remote.get_json("/v1/changes?since=0&limit=1").await?;
        if self.selection.tenant.as_ref().is_some_and(|tenant| *tenant != first.tenant) {
            bail!("the relay shows the documents of {}, since the token says so", first.tenant);
        }
        let (archive, mut list) = self.begin(&first.tenant)?;
        let is_whole = self.selection.documents.is_empty();
        let mut since = if is_whole { list.followed } else { Sequence(0) };
        let mut asks_access = true;
        loop {
            let page: Page = remote.get_json(&format!("/v1/changes?since={}&limit={PAGE}", since.0)).await?;
            for Entry { document, erased } in &page.changes {
                let key = DocumentKey { tenant: first.tenant.clone(), document: *document };
                if !self.selection.has(&key) {
                    continue;
                }
                if *erased {
                    // The feed does not say when it was.
                    note_erased(&archive, &mut list, *document, Timestamp::ZERO, &mut tally)?;
                    continue;
                }
                let path = format!("/v1/documents/{document}");
                match remote.get(&path).await? {
                    (StatusCode::OK, bytes) => put(&archive, &key, bytes.into(), &mut tally)?,
                    // Erased a moment ago: the feed is about to say so.
                    (StatusCode::NOT_FOUND | StatusCode::GONE, _) => continue,
                    (status, body) => {
                        tally.troubles.push((key, reason(status, &body)));
                        tally.lacks_documents = true;
                        continue;
                    }
                }
                list.erased.remove(document);
                if asks_access {
                    match remote.get(&format!("{path}/access")).await? {
                        (StatusCode::OK, body) => {
                            list.access.insert(*document, serde_json::from_slice(&body)?);
                        }
                        (StatusCode::FORBIDDEN, _) => asks_access = false,
                        _ => {}
                    }
                }
            }
            // What could not be fetched is asked for again the next time.
            if is_whole && !tally.lacks_documents {
                list.followed = page.next;
            }
            archive.put_list(&list)?;
            if page.changes.len() < PAGE {
                tally.lacks_access = !asks_access;
                return Ok(tally);
            }
            since = page.next;
        }
    }

    /// The folder of a tenant, and what is known of what is in it.
    fn begin(&self, tenant: &Tenant) -> Result<(Archive, List)> {
        let archive = Archive::of_tenant(&self.folder, tenant);
        archive.create().with_context(|| format!("{} can't be made", archive.folder().display()))?;
        let list = archive.list()?.unwrap_or_else(|| List::of(tenant.clone()));
        Ok((archive, list))
    }

    fn report(&self, tally: &Tally) -> Result<ExitCode> {
        let folder = self.folder.display();
        let documents = count(tally.documents, "document");
        let mut text = format!("{documents}, {}, written to {folder}\n", size(tally.bytes));
        if tally.erased > 0 {
            writeln!(text, "{} noted as erased", count(tally.erased, "document"))?;
        }
        if tally.lacks_access {
            text += "The relay did not say whose the documents are: that needs a token of the role admin.\n";
        }
        for (key, trouble) in &tally.troubles {
            writeln!(text, "{key}: {trouble}")?;
        }
        let troubles: Vec<_> = tally
            .troubles
            .iter()
            .map(|(key, trouble)| json!({"tenant": key.tenant, "document": key.document, "why": trouble}))
            .collect();
        let json = json!({
            "folder": self.folder, "documents": tally.documents, "bytes": tally.bytes, "erased": tally.erased,
            "access": !tally.lacks_access, "troubles": troubles,
        });
        show(self.json, &json, &text);
        Ok(ended(troubles.is_empty()))
    }
}

/// A page of a relay's change feed.
#[derive(Deserialize)]
struct Page {
    tenant: Tenant,
    changes: Vec<Entry>,
    next: Sequence,
}

#[derive(Deserialize)]
struct Entry {
    document: DocumentId,
    #[serde(default)]
    erased: bool,
}

/// Writes one document, packed if it can be.
fn put(archive: &Archive, key: &DocumentKey, bytes: Vec<u8>, tally: &mut Tally) -> Result<()> {
    let outbound = pack_up(bytes);
    archive
        .put(key.document, &outbound.bytes)
        .with_context(|| format!("{} can't be written", archive.folder().display()))?;
    tally.documents += 1;
    tally.bytes += outbound.bytes.len() as u64;
    if let Some(why) = outbound.unpacked {
        tally
            .troubles
            .push((key.clone(), format!("written as it is stored, since it can't be packed: {why}")));
    }
    Ok(())
}

fn note_erased(
    archive: &Archive,
    list: &mut List,
    document: DocumentId,
    at: Timestamp,
    tally: &mut Tally,
) -> Result<()> {
    archive.remove(document)?;
    list.access.remove(&document);
    list.erased.entry(document).or_insert(at);
    tally.erased += 1;
    Ok(())
}
