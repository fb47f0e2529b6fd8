//! One document in this replica's hands: being loaded, or open; what of it is stored, and what is not confirmed.

use std::collections::{BTreeMap, VecDeque};

use super::port::{ConnectionId, Intent, RecordKey, WriteId, WritePart};
use super::queue::Priority;
use super::standing::{Standing, Stored};
use crate::document::{Change, Document};
use crate::id::{ChangeHash, DocumentId};
use crate::limits::{APPENDED_CHANGES_MAX, SHARED_STORAGES_MAX};
use crate::wire::StorageId;

/// One document in memory, or on its way there.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) phase: Phase,
    /// The application has it open, and why.
    pub(super) wanted: Option<Intent>,
    pub(super) priority: Priority,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The local store has been asked. What peers say meanwhile waits.
    Loading {
        waiting: VecDeque<Waiting>,
    },
    Ready(Box<Ready>),
}

/// A sync message that waits for its document.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) connection: ConnectionId,
    pub(super) data: Vec<u8>,
    pub(super) is_request: bool,
}

impl Waiting {
    /// What it costs to keep, in bytes. Being asked to load something costs too.
    pub(super) fn cost(&self) -> usize {
        self.data.len() + WAITING_OVERHEAD_BYTES
    }
}

/// What a waiting message costs besides its bytes.
const WAITING_OVERHEAD_BYTES: usize = 4096;

/// An open document.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) document: Document,
    pub(super) standing: Standing,
    /// What is shared with stores elsewhere, as it is worth keeping.
    shared: BTreeMap<StorageId, Vec<u8>>,
    shared_is_dirty: bool,
    /// Heads of what the local store was last asked to hold.
    written: Vec<ChangeHash>,
    /// Changes appended since the document was last written whole.
    appended: usize,
    writing: Option<WriteId>,
    /// A write failed: the next one writes the document whole.
    pub(super) has_failed: bool,
    pub(super) told: Told,
}

/// What the application was told of a document it has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// Nobody has it.
    Unavailable,
    /// It is open.
    Opened,
}

impl Holding {
    pub(super) fn loading(wanted: Option<Intent>, priority: Priority) -> Self {
        Self { phase: Phase::Loading { waiting: VecDeque::new() }, wanted, priority }
    }

    pub(super) fn ready(&self) -> Option<&Ready> {
        match &self.phase {
            Phase::Ready(ready) => Some(ready),
            Phase::Loading { .. } => None,
        }
    }

    pub(super) fn ready_mut(&mut self) -> Option<&mut Ready> {
        match &mut self.phase {
            Phase::Ready(ready) => Some(ready),
            Phase::Loading { .. } => None,
        }
    }

    /// Whether it may leave memory: nobody uses it, all of it is stored, and nothing of it is on its way to a relay.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_none()
            && self.ready().is_some_and(|ready| {
                ready.is_stored() && ready.standing.pending() == 0 && !ready.shared_is_dirty
            })
    }
}

impl Ready {
    pub(super) fn new(document: Document, standing: Standing, shared: BTreeMap<StorageId, Vec<u8>>) -> Self {
        Self {
            written: document.heads(),
            document,
            standing,
            shared,
            shared_is_dirty: false,
            appended: 0,
            writing: None,
            has_failed: false,
            told: Told::Nothing,
        }
    }

    /// Whether the local store has confirmed all of the document.
    pub(super) fn is_stored(&self) -> bool {
        self.writing.is_none() && !self.has_failed && self.written == self.document.heads()
    }

    /// What was shared with a store elsewhere when we last met.
    pub(super) fn shared(&self, storage: &StorageId) -> Option<&[u8]> {
        self.shared.get(storage).map(Vec::as_slice)
    }

    /// Notes what is shared with a store elsewhere. It is written when something else is, or when the connection ends.
    pub(super) fn set_shared(&mut self, storage: &StorageId, state: Vec<u8>) {
        let is_known = self.shared.contains_key(storage);
        if self.shared.get(storage) != Some(&state) && (is_known || self.shared.len() < SHARED_STORAGES_MAX) {
            self.shared.insert(storage.clone(), state);
            self.shared_is_dirty = true;
        }
    }

    /// What to write now, if anything; it is awaited under this id. One write at a time: what comes meanwhile goes
    /// together with the next.
    pub(super) fn take_write(&mut self, id: DocumentId, write: WriteId) -> Option<Vec<WritePart>> {
        if self.writing.is_some() || self.has_failed {
            return None;
        }
        let mut parts = Vec::new();
        let heads = self.document.heads();
        if heads != self.written {
            parts.push(self.write_document(id));
            self.written = heads;
        }
        if let Some(record) = self.standing.take_record() {
            let key = RecordKey::Standing(id);
            parts.push(match record {
                Stored::Record(value) => WritePart::Put { key, value },
                Stored::Nothing => WritePart::Delete { key },
            });
        }
        if std::mem::take(&mut self.shared_is_dirty) {
            let put = |(storage, value): (&StorageId, &Vec<u8>)| WritePart::Put {
                key: RecordKey::Shared(id, storage.clone()),
                value: value.clone(),
            };
            parts.extend(self.shared.iter().map(put));
        }
        if parts.is_empty() {
            return None;
        }
        self.writing = Some(write);
        Some(parts)
    }

    fn write_document(&mut self, document: DocumentId) -> WritePart {
        let changes = self.document.changes_since(&self.written);
        self.appended += changes.len();
        if self.appended > APPENDED_CHANGES_MAX {
            self.appended = 0;
            return WritePart::Replace { document, chunks: self.document.save() };
        }
        let chunks = changes.iter().flat_map(Change::bytes).copied().collect();
        WritePart::Append { document, chunks }
    }

    /// A write is durable. Whether it was this document's.
    pub(super) fn stored(&mut self, write: WriteId) -> bool {
        let is_ours = self.writing == Some(write);
        if is_ours {
            self.writing = None;
        }
        is_ours
    }

    /// A write failed: nothing of it, or all of it, is there. The document is to be written whole after a while.
    pub(super) fn store_failed(&mut self) {
        self.writing = None;
        self.has_failed = true;
        self.standing.store_again();
        self.shared_is_dirty = !self.shared.is_empty();
    }

    /// Writes whole what failed to be written.
    pub(super) fn write_again(&mut self) {
        self.has_failed = false;
        self.written = Vec::new();
        self.appended = APPENDED_CHANGES_MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ActorId;

    const DOCUMENT: DocumentId = DocumentId::from_bytes([7; 16]);

    fn open() -> Ready {
        Ready::new(Document::new(ActorId::from_bytes([1; 16])), Standing::default(), BTreeMap::new())
    }

    fn put(ready: &mut Ready, key: &str) {
        let mut edit = ready.document.edit();
        edit.put(key, "v");
        edit.commit();
    }

    /// What a store holds after a write.
    fn store(disk: &mut Vec<u8>, parts: Vec<WritePart>) {
        for part in parts {
            match part {
                WritePart::Append { chunks, .. } => disk.extend(chunks),
                WritePart::Replace { chunks, .. } => *disk = chunks,
                // Whether the failed write stored the record of what is pending is not known, so it is dropped.
                WritePart::Delete { key } => assert_eq!(key, RecordKey::Standing(DOCUMENT)),
                WritePart::Put { .. } => panic!("nothing is pending or shared"),
            }
        }
    }

    #[test]
    fn what_is_written_while_a_write_is_on_its_way_goes_with_the_next() {
        let (mut ready, mut disk) = (open(), Vec::new());
        put(&mut ready, "a");
        store(&mut disk, ready.take_write(DOCUMENT, WriteId(1)).unwrap());
        put(&mut ready, "b");
        put(&mut ready, "c");
        assert_eq!(ready.take_write(DOCUMENT, WriteId(2)), None);
        assert!(!ready.stored(WriteId(9)));
        assert!(ready.stored(WriteId(1)) && !ready.is_stored());
        let parts = ready.take_write(DOCUMENT, WriteId(2)).unwrap();
        assert_eq!(parts.len(), 1);
        store(&mut disk, parts);
        assert!(ready.stored(WriteId(2)) && ready.is_stored());
        let again = Document::load(&disk, ActorId::from_bytes([2; 16])).unwrap();
        assert_eq!(again.heads(), ready.document.heads());
    }

    #[test]
    fn many_appended_changes_are_written_whole_and_so_is_what_failed() {
        let (mut ready, mut disk) = (open(), Vec::new());
        let mut replaced = 0;
        for n in 0..=APPENDED_CHANGES_MAX as u64 {
            put(&mut ready, &n.to_string());
            let parts = ready.take_write(DOCUMENT, WriteId(n)).unwrap();
            replaced += usize::from(matches!(parts[0], WritePart::Replace { .. }));
            store(&mut disk, parts);
            ready.stored(WriteId(n));
        }
        assert_eq!(replaced, 1);
        put(&mut ready, "lost");
        assert!(ready.take_write(DOCUMENT, WriteId(1000)).is_some());
        ready.store_failed();
        put(&mut ready, "later");
        assert_eq!(ready.take_write(DOCUMENT, WriteId(1001)), None, "it waits before it tries again");
        ready.write_again();
        let parts = ready.take_write(DOCUMENT, WriteId(1001)).unwrap();
        assert!(matches!(parts[0], WritePart::Replace { .. }));
        store(&mut disk, parts);
        let again = Document::load(&disk, ActorId::from_bytes([2; 16])).unwrap();
        assert_eq!(again.heads(), ready.document.heads());
    }
}
