//! What is on a device's disk: documents as appended chunks, and small records.

use std::collections::BTreeMap;

use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::replica::{Input, RecordKey, WriteId, WritePart};

/// What the disk is to do for the replica.
#[derive(Debug)]
pub(super) enum Job {
    ReadIndex,
    ReadDocument(DocumentId),
    Write {
        write: WriteId,
        parts: Vec<WritePart>,
        /// Operations that are on the disk once this is.
        operations: Vec<(DocumentId, ChangeHash)>,
        /// The replica was told already that it is done.
        is_told: bool,
    },
}

/// The content of the disk. A write is there wholly or not at all: a torn one is found by its checksum and dropped.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    documents: BTreeMap<DocumentId, Vec<u8>>,
    records: BTreeMap<RecordKey, Vec<u8>>,
}

impl Shelf {
    pub(super) fn read_index(&self) -> Input {
        let index = self.records.iter().filter(|(key, _)| key.is_in_index());
        Input::IndexLoaded { records: index.map(owned).collect() }
    }

    pub(super) fn read_document(&self, document: DocumentId) -> Input {
        let is_of = |key: &RecordKey| match key {
            RecordKey::Standing(of) | RecordKey::Shared(of, _) => *of == document,
            _ => false,
        };
        let records = self.records.iter().filter(|(key, _)| is_of(key)).map(owned).collect();
        let chunks = self.documents.get(&document).cloned().unwrap_or_default();
        Input::DocumentLoaded { document, chunks, records }
    }

    pub(super) fn write(&mut self, parts: Vec<WritePart>) {
        for part in parts {
            match part {
                WritePart::Append { document, chunks } => {
                    self.documents.entry(document).or_default().extend(chunks);
                }
                WritePart::Replace { document, chunks } => {
                    self.documents.insert(document, chunks);
                }
                WritePart::Put { key, value } => {
                    self.records.insert(key, value);
                }
                WritePart::Delete { key } => {
                    self.records.remove(&key);
                }
                other => unreachable!("no replica asks for {other:?}"),
            }
        }
    }
}

fn owned((key, value): (&RecordKey, &Vec<u8>)) -> (RecordKey, Vec<u8>) {
    (key.clone(), value.clone())
}
