//! Documents as files: what any automerge-repo application can read, and what it can hand over.
//!
//! ```text
//! FOLDER/main/                                  a folder for each tenant
//!     4NMNnkMhL8jXrdJ9jamS58PAVdXu.automerge    a document, as Automerge saves it
//!     documents.json                            whose they are, and which were erased
//! ```
//!
//! Read are files like these, with or without the ending, and the folders of automerge-repo's nodefs storage.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crdt_core::id::DocumentId;
use crdt_core::limits::DOCUMENT_BYTES_MAX;
use crdt_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::id::{Sequence, Tenant};

/// Version of the list beside the documents.
const FORMAT_VERSION: u32 = 1;

/// Ending of the documents' files.
const ENDING: &str = ".automerge";

/// The list beside the documents.
const LIST: &str = "documents.json";

/// The documents of one tenant in a folder.
#[derive(Clone, Debug)]
pub struct Archive {
    folder: PathBuf,
}

/// What the documents themselves don't say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    format: u32,
    pub tenant: Tenant,
    /// Up to where the change feed of a running relay has been followed.
    #[serde(default)]
    pub followed: Sequence,
    /// Who may use the documents, as far as it is known.
    #[serde(default)]
    pub access: BTreeMap<DocumentId, Access>,
    /// What must not come back.
    #[serde(default)]
    pub erased: BTreeMap<DocumentId, Timestamp>,
}

/// What lies in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The files of each document: one, or the snapshots and changes that nodefs storage keeps apart.
    pub documents: BTreeMap<DocumentId, Vec<PathBuf>>,
    /// What is none of it.
    pub others: Vec<PathBuf>,
}

impl Archive {
    /// The documents that lie in this very folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder of a tenant in a folder for all. Names that are no file names are spelled so that they are.
    pub fn of_tenant(folder: &Path, tenant: &Tenant) -> Self {
        Self::at(folder.join(spell(tenant.as_str())))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder, if need be.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)
    }

    /// Writes one document, wholly or not at all.
    pub fn put(&self, document: DocumentId, bytes: &[u8]) -> io::Result<()> {
        self.write(&format!("{document}{ENDING}"), bytes)
    }

    /// Removes one document, if it is there.
    pub fn remove(&self, document: DocumentId) -> io::Result<()> {
        match fs::remove_file(self.folder.join(format!("{document}{ENDING}"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// The list beside the documents, if there is one.
    pub fn list(&self) -> Result<Option<List>, ArchiveError> {
        let path = self.folder.join(LIST);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(|error| ArchiveError::unreadable(&path, &error))?,
        };
        let malformed = |why: String| ArchiveError::Malformed { path: path.clone(), why };
        let list: List = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if list.format > FORMAT_VERSION {
            let found = list.format;
            return Err(malformed(format!(
                "it has version {found}; this relay reads up to {FORMAT_VERSION}"
            )));
        }
        Ok(Some(list))
    }

    pub fn put_list(&self, list: &List) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(list)?;
        json.push(b'\n');
        self.write(LIST, &json)
    }

    /// What lies in the folder.
    pub fn contents(&self) -> Result<Contents, ArchiveError> {
        let mut contents = Contents::default();
        for path in entries(&self.folder)? {
            let name = name_of(&path);
            let document = name.strip_suffix(ENDING).unwrap_or(name).parse();
            match document {
                Ok(document) if path.is_file() => contents.documents.entry(document).or_default().push(path),
                _ if path.is_dir() && name.chars().count() == 2 => contents.add_storage(&path)?,
                _ if name == LIST => {}
                _ => contents.others.push(path),
            }
        }
        Ok(contents)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let half = self.folder.join(format!(".{name}.half"));
        let mut file = File::create(&half)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(half, self.folder.join(name))
    }
}

impl List {
    pub fn of(tenant: Tenant) -> Self {
        Self {
            format: FORMAT_VERSION,
            tenant,
            followed: Sequence(0),
            access: BTreeMap::new(),
            erased: BTreeMap::new(),
        }
    }
}

impl Contents {
    /// Adds what nodefs storage keeps below one folder: its name begins the ids of the documents in it.
    fn add_storage(&mut self, folder: &Path) -> Result<(), ArchiveError> {
        for below in entries(folder)? {
            let Ok(document) = format!("{}{}", name_of(folder), name_of(&below)).parse::<DocumentId>() else {
                // The adapter's own id is kept like this.
                self.others.push(below);
                continue;
            };
            let files = self.documents.entry(document).or_default();
            for kind in ["snapshot", "incremental"] {
                let chunks = below.join(kind);
                if chunks.is_dir() {
                    files.extend(entries(&chunks)?.into_iter().filter(|path| path.is_file()));
                }
            }
        }
        Ok(())
    }
}

/// The tenants' folders in a folder for all, each with the tenant that its name spells.
pub fn tenants(folder: &Path) -> Result<Vec<(Tenant, Archive)>, ArchiveError> {
    let mut tenants = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() && path.join(LIST).is_file() {
            let archive = Archive::at(&path);
            if let Some(list) = archive.list()? {
                tenants.push((list.tenant, archive));
            }
        }
    }
    Ok(tenants)
}

/// The bytes of a document that lies in these files.
pub fn read(files: &[PathBuf]) -> Result<Vec<u8>, ArchiveError> {
    let mut all = Vec::new();
    for path in files {
        let metadata = fs::metadata(path).map_err(|error| ArchiveError::unreadable(path, &error))?;
        if all.len() as u64 + metadata.len() > DOCUMENT_BYTES_MAX as u64 {
            return Err(ArchiveError::TooLarge { path: path.clone() });
        }
        all.extend(fs::read(path).map_err(|error| ArchiveError::unreadable(path, &error))?);
    }
    Ok(all)
}

/// What lies in a folder, by name. What was half written does not count.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let unreadable = |error| ArchiveError::unreadable(folder, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !name_of(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// A name as a file name that is the same on every system: all but the plainest bytes as `%` and two digits.
fn spell(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let spelled = name.bytes().enumerate().map(|(index, byte)| {
        let is_hidden = index == 0 && byte == b'.';
        if is_plain(byte) && !is_hidden { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    spelled.collect()
}

/// Why an archive can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    #[error("{} can't be read: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{}: {why}", path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("{} makes its document larger than {DOCUMENT_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
}

impl ArchiveError {
    fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Subject;

    const CART: DocumentId = DocumentId::from_bytes([7; 16]);

    #[test]
    fn names_of_tenants_lead_nowhere_else() {
        for (name, folder) in
            [("main", "main"), ("..", "%2E."), ("a/b", "a%2Fb"), ("é", "%C3%A9"), ("a%2Fb", "a%252Fb")]
        {
            assert_eq!(spell(name), folder);
        }
    }

    #[test]
    fn what_was_written_is_found_with_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let shop = Tenant::new("shop").unwrap();
        let archive = Archive::of_tenant(folder.path(), &shop);
        archive.create().unwrap();
        archive.put(CART, b"packed").unwrap();
        let mut list = List::of(shop.clone());
        list.access.insert(CART, Access::owned_by(Subject::new("student-7").unwrap()));
        archive.put_list(&list).unwrap();
        fs::write(archive.folder().join(".left-by-a-crash.half"), b"pac").unwrap();
        fs::write(archive.folder().join("notes.txt"), b"hello").unwrap();

        let [(tenant, found)] = &tenants(folder.path()).unwrap()[..] else { panic!("one tenant") };
        assert_eq!((tenant, found.list().unwrap()), (&shop, Some(list)));
        let contents = found.contents().unwrap();
        assert_eq!(contents.documents.keys().collect::<Vec<_>>(), [&CART]);
        assert_eq!(read(&contents.documents[&CART]).unwrap(), b"packed");
        assert_eq!(contents.others, [archive.folder().join("notes.txt")]);
        archive.remove(CART).unwrap();
        archive.remove(CART).unwrap();
        assert!(found.contents().unwrap().documents.is_empty());
    }

    #[test]
    fn nodefs_storage_is_read_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let id = CART.to_string();
        let below = folder.path().join(&id[..2]).join(&id[2..]);
        for (kind, name) in
            [("snapshot", "a"), ("incremental", "b"), ("incremental", "c"), ("sync-state", "d")]
        {
            fs::create_dir_all(below.join(kind)).unwrap();
            fs::write(below.join(kind).join(name), name).unwrap();
        }
        fs::create_dir_all(folder.path().join("st")).unwrap();
        fs::write(folder.path().join("st").join("orage-adapter-id"), b"37360df3").unwrap();
        let contents = Archive::at(folder.path()).contents().unwrap();
        assert_eq!(read(&contents.documents[&CART]).unwrap(), b"abc");
        assert_eq!(contents.documents.len(), 1);
    }

    #[test]
    fn lists_of_newer_relays_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LIST), r#"{"format": 2, "tenant": "shop"}"#).unwrap();
        let error = Archive::at(folder.path()).list().unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }
}
