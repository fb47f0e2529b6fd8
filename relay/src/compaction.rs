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

/// What a snapshot is made of.
#[derive(Debug)]
pub struct Source {
    /// The earlier snapshot, and the changes in it.
    snapshot: Vec<u8>,
    packed: Vec<ChangeHash>,
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
        let (snapshot, packed) = match &document.snapshot {
            None => (Vec::new(), Vec::new()),
            Some(summary) => {
                let damaged = || LoadError::Damaged { what: format!("snapshot of {key}") };
                let items = decode_index(&summary.index).ok_or_else(damaged)?;
                (store.read_snapshot(key)?, items.into_iter().map(|item| item.id).collect())
            }
        };
        Ok(Self { snapshot, packed, changes, through })
    }

    /// Makes the snapshot.
    pub fn pack(self) -> Result<Packed, PackError> {
        let mut stored = self.snapshot;
        stored.extend(self.changes.iter().flat_map(|(_, bytes)| bytes));
        let packed = pack(&stored)?;
        drop(stored);

        let held: BTreeSet<_> = packed.items.iter().map(|item| item.id).collect();
        let mut left_out = Vec::new();
        let mut left_out_at = Vec::new();
        for (position, bytes) in &self.changes {
            let hash =
                ParsedChange::parse(bytes).map_err(|_| PackError::Damaged { position: *position })?.hash;
            if !held.contains(&hash) {
                left_out.push(hash);
                left_out_at.push(*position);
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
    #[error("the document can't be opened: {0}")]
    Open(#[from] OpenError),
    #[error("change {} is damaged", position.0)]
    Damaged { position: Position },
    #[error("change {hash} was in the earlier snapshot, and would not be in the new one")]
    Lost { hash: ChangeHash },
    #[error("no graph accepts the new snapshot: {0}")]
    OutOfOrder(#[from] OutOfOrder),
}
