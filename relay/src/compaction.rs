//! Packing a document into a snapshot: the one place where a relay opens one.
//!
//! It costs time and memory in proportion to the document, so it is done apart from everything else: [`Source::read`]
//! where the store is, [`Source::pack`] where nobody waits. A snapshot takes the place of the changes in it, so it is
//! checked before it is handed on: what it claims to hold is there, in an order that a graph accepts.

use std::collections::BTreeSet;

use crdt_core::document::{LoadError as OpenError, pack};
use crdt_core::graph::chunk::ParsedChange;
use crdt_core::graph::{Graph, OutOfOrder};
use crdt_core::id::ChangeHash;

use crate::hub::{Compacted, decode_index, encode_index};
use crate::id::{DocumentKey, Position};
use crate::store::{LoadError, Loaded, Snapshot, Store};

/// Memory that packing takes for each operation of a document, and for each of its bytes: a little more than was measured (1 GiB for
/// a document of 2 million operations in 5 MB).
const OPERATION_MEMORY: u64 = 560;
const BYTE_MEMORY: u64 = 8;

/// What a snapshot is made of.
#[derive(Debug)]
pub struct Source {
    /// The earlier snapshot, and the changes in it.
    snapshot: Vec<u8>,
    packed: Vec<ChangeHash>,
    packed_operations: u64,
    changes: Vec<(Position, Vec<u8>)>,
    through: Position,
}

/// A snapshot, and what the hub is told of it once it is stored.
#[derive(Debug)]
pub struct Packed {
    pub snapshot: Snapshot,
    pub compacted: Compacted,
}

impl Source {
    /// Reads what is stored of a document before `through`.
    pub fn read(store: &dyn Store, key: &DocumentKey, through: Position) -> Result<Self, LoadError> {
        let Loaded::Document(document) = store.load(key)? else {
            return Err(LoadError::Missing { what: key.to_string() });
        };
        let mut changes = document.changes;
        changes.retain(|(position, _)| *position < through);
        let mut packed_operations = 0;
        let (snapshot, packed) = match &document.snapshot {
            None => (Vec::new(), Vec::new()),
            Some(summary) => {
                let damaged = || LoadError::Damaged { what: format!("snapshot of {key}") };
                let items = decode_index(&summary.index).ok_or_else(damaged)?;
                let authors = items.iter().filter_map(|item| item.author.as_ref());
                packed_operations = authors.map(|author| author.max_op + 1 - author.start_op).sum();
                (store.read_snapshot(key)?, items.into_iter().map(|item| item.id).collect())
            }
        };
        Ok(Self { snapshot, packed, packed_operations, changes, through })
    }

    /// Makes the snapshot, unless that takes more memory than there is for it.
    pub fn pack(self, memory_max: u64) -> Result<Packed, PackError> {
        let changes = self.changes.iter().map(|(position, bytes)| {
            let damaged = |_| PackError::Damaged { position: *position };
            let change = ParsedChange::parse(bytes).map_err(damaged)?;
            Ok((*position, change.hash, u64::from(change.op_count)))
        });
        let changes: Vec<_> = changes.collect::<Result<_, PackError>>()?;
        let operations =
            self.packed_operations + changes.iter().map(|(.., operations)| operations).sum::<u64>();
        let bytes = self.snapshot.len() + self.changes.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let memory = OPERATION_MEMORY * operations + BYTE_MEMORY * bytes as u64;
        if memory > memory_max {
            return Err(PackError::TooLarge { operations, memory, max: memory_max });
        }

        let mut stored = self.snapshot;
        stored.extend(self.changes.iter().flat_map(|(_, bytes)| bytes));
        let packed = pack(&stored)?;
        drop(stored);

        let held: BTreeSet<_> = packed.items.iter().map(|item| item.id).collect();
        let mut left_out = Vec::new();
        let mut left_out_at = Vec::new();
        for (position, hash, _) in changes {
            if !held.contains(&hash) {
                left_out.push(hash);
                left_out_at.push(position);
            }
        }
        if let Some(lost) = self.packed.iter().find(|hash| !held.contains(hash)) {
            return Err(PackError::Lost { hash: *lost });
        }
        let index = encode_index(&packed.items);
        Graph::<()>::from_snapshot(packed.items)?;
        let compacted = Compacted { left_out, bytes: packed.bytes.len() as u64 };
        let snapshot = Snapshot { through: self.through, left_out: left_out_at, index, bytes: packed.bytes };
        Ok(Packed { snapshot, compacted })
    }
}

/// Why no snapshot could be made. The document is served as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(
        "packing its {operations} operations takes about {memory} bytes of memory, and may take {max} (--pack-memory-mib)"
    )]
    TooLarge { operations: u64, memory: u64, max: u64 },
    #[error("the document can't be opened: {0}")]
    Open(#[from] OpenError),
    #[error("change {} is damaged", position.0)]
    Damaged { position: Position },
    #[error("change {hash} was in the earlier snapshot, and would not be in the new one")]
    Lost { hash: ChangeHash },
    #[error("no graph accepts the new snapshot: {0}")]
    OutOfOrder(#[from] OutOfOrder),
}

#[cfg(test)]
mod tests {
    use crdt_core::document::Document;
    use crdt_core::id::ActorId;

    use super::*;

    #[test]
    fn what_takes_more_memory_than_it_may_stays_as_it_is() {
        let mut phone = Document::new(ActorId::derive(&["phone"]));
        for number in 0..100 {
            let mut edit = phone.edit();
            edit.put(&format!("n/{number}"), "ring twice");
            edit.commit();
        }
        let changes = phone.changes_since(&[]);
        let changes = changes.iter().map(|change| change.bytes().to_vec());
        let changes: Vec<_> = (0..).map(Position).zip(changes).collect();
        let through = Position(100);
        let source = |changes| Source {
            snapshot: Vec::new(),
            packed: Vec::new(),
            packed_operations: 0,
            changes,
            through,
        };
        let refusal = source(changes.clone()).pack(10_000).unwrap_err();
        assert!(matches!(refusal, PackError::TooLarge { operations: 100, .. }), "{refusal:?}");
        assert!(source(changes).pack(1 << 20).is_ok());
    }
}
