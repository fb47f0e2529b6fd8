//! Documents into a store and out of it, whole: for operators, and for whoever moves in or out.

use std::collections::BTreeMap;

use crdt_core::document::pack;
use crdt_core::graph::chunk::{ChunkKind, InvalidChunk, ParsedChange, split};
use crdt_core::graph::{Graph, Item, OutOfOrder, Refusal};
use crdt_core::id::ChangeHash;
use crdt_core::time::Timestamp;

use crate::access::Access;
use crate::compaction::{PackError, Source};
use crate::hub::decode_index;
use crate::id::{DocumentKey, Position};
use crate::store::{Append, LoadError, Loaded, Store, StoredDocument, Write};

/// A document on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// What Automerge loads.
    pub bytes: Vec<u8>,
    /// Why it is not one packed document but its changes one after another, if so.
    pub unpacked: Option<String>,
}

/// Makes one packed document of what a relay serves of it: a snapshot and changes, one after another. What can't be packed is
/// handed on as it is, which Automerge loads as well.
pub fn pack_up(stored: Vec<u8>) -> Outbound {
    match pack(&stored) {
        // A document that was left something out of would not be the whole document.
        Ok(packed) if packed.left_out.is_empty() => Outbound { bytes: packed.bytes, unpacked: None },
        Ok(packed) => {
            let why = format!("{} changes don't fit it", packed.left_out.len());
            Outbound { bytes: stored, unpacked: Some(why) }
        }
        Err(error) => Outbound { bytes: stored, unpacked: Some(error.to_string()) },
    }
}

/// Everything stored of a document, one after another.
pub fn bytes_of(
    store: &dyn Store,
    key: &DocumentKey,
    document: &StoredDocument,
) -> Result<Vec<u8>, LoadError> {
    let mut bytes = match document.snapshot {
        Some(_) => store.read_snapshot(key)?,
        None => Vec::new(),
    };
    bytes.extend(document.changes.iter().flat_map(|(_, change)| change));
    Ok(bytes)
}

/// The changes of a document that somebody hands over: packed, single, or any mixture.
pub fn take_apart(bytes: &[u8]) -> Result<Vec<ParsedChange>, InvalidChunk> {
    let mut changes = Vec::new();
    for chunk in split(bytes) {
        let chunk = chunk?;
        if chunk.kind() == ChunkKind::Document {
            changes.extend(chunk.packed()?.unpack()?.changes());
        } else {
            changes.push(chunk.change()?);
        }
    }
    Ok(changes)
}

/// What becomes of a document that is brought in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    /// What makes it so: nothing, if all of it was there.
    pub writes: Vec<Write>,
    /// Changes that were not there.
    pub added: usize,
    /// Changes that were.
    pub known: usize,
    /// Changes that can never be part of the document.
    pub refused: Vec<(ChangeHash, Refusal)>,
    /// Changes that depend on some that nobody brought.
    pub detached: usize,
}

/// Adds changes to what is stored of a document, and says what to write. Nothing is written yet.
///
/// `access` is whose the document is to be if it is new. One that was erased comes back only if `may_revive`.
pub fn bring_in(
    store: &dyn Store,
    key: &DocumentKey,
    mut changes: Vec<ParsedChange>,
    access: &Access,
    may_revive: bool,
    now: Timestamp,
) -> Result<Inbound, InboundError> {
    let mut inbound = Inbound::default();
    let (mut graph, is_new) = match store.load(key)? {
        Loaded::Document(document) => (graph_of(&document)?, false),
        Loaded::Erased { .. } if !may_revive => return Err(InboundError::Erased),
        Loaded::Erased { .. } => {
            inbound.writes.push(Write::Readmit { key: key.clone() });
            (Graph::new(), true)
        }
        Loaded::Unknown => (Graph::new(), true),
    };
    let start = graph.len();
    let mut end = start;
    let mut bytes = BTreeMap::new();
    // No change is numbered before those that it depends on, so that hardly any has to wait for another.
    changes.sort_by_key(|change| change.start_op);
    for change in changes {
        if graph.position(&change.hash).is_some_and(|position| position < start) {
            inbound.known += 1;
            continue;
        }
        let inserted = graph.insert(Item::from(&change), (), now);
        bytes.insert(change.hash, change.bytes);
        end = end.max(inserted.accepted.end);
        inbound.refused.extend(inserted.refused);
    }
    let take = |position| bytes.remove(&graph.id(position)).expect("it has just been taken in").into_vec();
    let accepted: Vec<_> = (start..end).map(take).collect();
    inbound.added = accepted.len();
    inbound.detached = graph.held_len();
    graph.settle(end);
    if accepted.is_empty() {
        inbound.writes.clear();
        return Ok(inbound);
    }
    inbound.writes.push(Write::Append(Append {
        key: key.clone(),
        changes: accepted,
        heads: graph.heads(),
        access: is_new.then(|| access.clone()),
        at: now,
    }));
    Ok(inbound)
}

/// Packs everything stored of a document into a snapshot, however much memory that takes.
pub fn compact(store: &dyn Store, key: &DocumentKey, through: Position) -> Result<Write, PackError> {
    let packed = Source::read(store, key, through)?.pack(u64::MAX)?;
    Ok(Write::Snapshot { key: key.clone(), snapshot: packed.snapshot })
}

/// The changes of a stored document, all durable.
fn graph_of(document: &StoredDocument) -> Result<Graph<()>, InboundError> {
    let mut graph = match &document.snapshot {
        None => Graph::new(),
        Some(snapshot) => Graph::from_snapshot(decode_index(&snapshot.index).ok_or(InboundError::Index)?)?,
    };
    for (position, bytes) in &document.changes {
        let change =
            ParsedChange::parse(bytes).map_err(|why| InboundError::Change { position: *position, why })?;
        let inserted = graph.insert(Item::from(&change), (), Timestamp::ZERO);
        graph.settle(inserted.accepted.end);
    }
    Ok(graph)
}

/// Why a document can't be brought in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InboundError {
    #[error("it was erased")]
    Erased,
    #[error("what is stored of it can't be read: {0}")]
    Load(#[from] LoadError),
    #[error("what is stored of it can't be read: the snapshot's index is damaged")]
    Index,
    #[error("what is stored of it can't be read: {0}")]
    OutOfOrder(#[from] OutOfOrder),
    #[error("what is stored of it can't be read: change {}: {why}", position.0)]
    Change { position: Position, why: InvalidChunk },
}
