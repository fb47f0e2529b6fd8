//! Whether what is stored of a document is one: every hash recomputed, every change in its place, nothing missing.
//!
//! The store knows bytes and their checksums. What they say to peers is looked at here, without opening the document.

use std::collections::BTreeSet;

use crdt_core::graph::chunk::{InvalidChunk, ParsedChange, split};
use crdt_core::graph::{Graph, Item, OutOfOrder, Refusal};
use crdt_core::id::ChangeHash;
use crdt_core::time::Timestamp;

use crate::hub::decode_index;
use crate::id::{DocumentKey, Position, Sequence};
use crate::store::{FeedEntry, LoadError, News, Store, StoredDocument};

/// What was found to be as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Changes in the snapshot.
    pub packed: u64,
    /// Changes with bytes of their own.
    pub unpacked: u64,
    pub bytes: u64,
}

/// Looks at everything of one stored document.
pub fn audit(store: &dyn Store, key: &DocumentKey, document: &StoredDocument) -> Result<Audited, Fault> {
    let mut audited = Audited::default();
    let mut graph = match &document.snapshot {
        None => Graph::new(),
        Some(summary) => {
            let items = decode_index(&summary.index).ok_or(Fault::Index)?;
            let bytes = store.read_snapshot(key)?;
            audited.packed = items.len() as u64;
            audited.bytes = bytes.len() as u64;
            compare(&bytes, &items)?;
            Graph::from_snapshot(items)?
        }
    };
    for (position, bytes) in &document.changes {
        let position = *position;
        let change = ParsedChange::parse(bytes).map_err(|why| Fault::Change { position, why })?;
        let inserted = graph.insert(Item::from(&change), (), Timestamp::ZERO);
        if let Some((_, why)) = inserted.refused.into_iter().next() {
            return Err(Fault::Refused { position, why });
        }
        if graph.held_len() > 0 {
            return Err(Fault::Detached { position });
        }
        graph.settle(inserted.accepted.end);
        audited.unpacked += 1;
        audited.bytes += bytes.len() as u64;
    }
    let before = Sequence(document.sequence.0.saturating_sub(1));
    let Some(FeedEntry { news: News::Changed { heads: told }, .. }) =
        store.feed(&key.tenant, before, 1)?.pop()
    else {
        return Err(Fault::Untold);
    };
    let heads = graph.heads();
    if told != heads {
        return Err(Fault::Heads { told, found: heads });
    }
    Ok(audited)
}

/// Takes a snapshot apart, which recomputes the hash of every change in it, and compares it with its index.
fn compare(bytes: &[u8], items: &[Item]) -> Result<(), Fault> {
    let mut found = BTreeSet::new();
    for chunk in split(bytes) {
        let packed = chunk.and_then(|chunk| chunk.packed()).map_err(Fault::Snapshot)?;
        found.extend(packed.unpack().map_err(Fault::Snapshot)?.hashes());
    }
    let listed: BTreeSet<_> = items.iter().map(|item| item.id).collect();
    match listed.symmetric_difference(&found).next() {
        None => Ok(()),
        Some(hash) => Err(Fault::Coverage { hash: *hash, is_listed: listed.contains(hash) }),
    }
}

/// What is wrong with a stored document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the snapshot's index can't be read")]
    Index,
    #[error("the snapshot can't be read: {0}")]
    Snapshot(InvalidChunk),
    #[error("change {hash} is {} the snapshot's index, but {} the snapshot", if *is_listed { "in" } else { "not in" }, if *is_listed { "not in" } else { "in" })]
    Coverage { hash: ChangeHash, is_listed: bool },
    #[error("the snapshot's index is of no document: {0}")]
    OutOfOrder(#[from] OutOfOrder),
    #[error("change {} can't be read: {why}", position.0)]
    Change { position: Position, why: InvalidChunk },
    #[error("change {} does not fit the document: {why}", position.0)]
    Refused { position: Position, why: Refusal },
    #[error("change {} depends on one that is not stored", position.0)]
    Detached { position: Position },
    #[error("the change feed does not tell of it")]
    Untold,
    #[error("its heads are {}, and the change feed tells of {}", list(found), list(told))]
    Heads { told: Vec<ChangeHash>, found: Vec<ChangeHash> },
}

fn list(heads: &[ChangeHash]) -> String {
    let names: Vec<_> = heads.iter().map(|head| head.to_string()[..16].to_owned()).collect();
    names.join(", ")
}
