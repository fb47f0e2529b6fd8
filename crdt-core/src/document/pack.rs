//! A document packed for storage and for cold starts: what a relay's background compaction makes.

use super::change::hash_of;
use super::{Document, LoadError};
use crate::graph::chunk::split;
use crate::graph::{Authorship, Item};
use crate::id::{ActorId, ChangeHash};

/// A whole document as one chunk, with the list of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The document chunk. A cold peer is served this, then the changes that are newer.
    pub bytes: Vec<u8>,
    /// The changes within, in causal order, as [`crate::graph::Graph::from_snapshot`] takes them. Their `bytes` is zero:
    /// by themselves they have none.
    pub items: Vec<Item>,
    /// Changes that were read but are not within: refused, or lacking a dependency. They keep their own bytes.
    pub left_out: Vec<ChangeHash>,
}

/// Packs a document given as chunks one after another: an earlier snapshot, then single changes.
///
/// This opens the document, so it costs time and memory in proportion to it: call it where nobody waits. It is the only
/// use that a relay has for an open document.
///
/// ```
/// use crdt_core::document::{Document, pack};
/// use crdt_core::graph::Graph;
/// use crdt_core::id::ActorId;
///
/// let mut phone = Document::new(ActorId::from_bytes([1; 16]));
/// let mut stored = Vec::new();
/// for text in ["ring twice", "leave at the door"] {
///     let mut edit = phone.edit();
///     edit.put("n/cart", text);
///     edit.commit();
/// }
/// for change in phone.changes_for_peer(&[]) {
///     stored.extend_from_slice(change.bytes());
/// }
/// let packed = pack(&stored)?;
/// assert_eq!(packed.items.len(), 2);
/// let graph = Graph::<()>::from_snapshot(packed.items)?;
/// assert_eq!(graph.heads(), phone.heads());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pack(bytes: &[u8]) -> Result<Packed, LoadError> {
    let reader = ActorId::derive(&["pack"]);
    let (document, applied) = Document::load_reporting(bytes, reader)?;
    let refused = applied.refused.into_iter().map(|(hash, _)| hash);
    let left_out = refused.chain(document.held.hashes().copied()).collect();
    let bytes = document.save();
    check(&bytes)?;
    Ok(Packed { items: document.items(), bytes, left_out })
}

/// Checks that whoever is served what was packed will take it: what replaces single changes must be as good as they are.
fn check(bytes: &[u8]) -> Result<(), LoadError> {
    for chunk in split(bytes) {
        let chunk = chunk?.packed()?;
        chunk.unpack()?.check_fit().map_err(|misfit| LoadError::Damaged { why: misfit.to_string() })?;
    }
    Ok(())
}

impl Document {
    /// Every change of the document as a graph's item, in causal order.
    fn items(&self) -> Vec<Item> {
        let metas = self.automerge.get_changes_meta(&[]).into_iter();
        metas
            .map(|meta| Item {
                id: hash_of(&meta.hash),
                deps: meta.deps.iter().map(hash_of).collect(),
                author: Some(Authorship {
                    actor: ActorId::from_slice(meta.actor.to_bytes()).expect("checked when it came in"),
                    seq: meta.seq,
                    start_op: meta.start_op,
                    max_op: meta.max_op,
                }),
                bytes: 0,
            })
            .collect()
    }
}
