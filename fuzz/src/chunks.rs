//! Any body under a checksum that holds is a change or an error; what is accepted Automerge accepts, and spells alike.

use crdt_core::document::{Change, Document};
use crdt_core::graph::chunk::{ParsedChange, split};
use crdt_core::id::ActorId;

use crate::sealing::sealed;

/// Tries bytes as chunks, and as the body of one change. Whether that is one.
pub fn read(bytes: &[u8]) -> bool {
    for chunk in split(bytes).flatten() {
        let _ = chunk.change();
        if let Ok(packed) = chunk.packed() {
            let _ = packed.unpack();
        }
    }
    let chunk = sealed(1, bytes);
    let Ok(parsed) = ParsedChange::parse(&chunk) else { return false };
    let theirs = automerge::Change::try_from(&chunk[..]).expect("what is accepted, Automerge accepts");
    assert_eq!(theirs.hash().0, *parsed.hash.as_bytes());
    // Spelled anew from its parts, a change has its dependencies sorted; in a document they stay as they were.
    if parsed.deps.is_sorted() {
        let respelled = automerge::Change::from(theirs.decode());
        assert_eq!(respelled.raw_bytes(), theirs.raw_bytes());
    }

    let change = Change::parse(&chunk).expect("what is accepted, Automerge accepts");
    let mut document = Document::new(ActorId::from_bytes([9; 16]));
    let applied = document.apply([change]).expect("changes are refused one by one");
    let saved = document.save();
    let loaded = Document::load(&saved, ActorId::from_bytes([8; 16])).expect("what is saved can be loaded");
    assert_eq!(loaded.heads(), document.heads());
    if !applied.changes.is_empty() {
        let chunk = split(&saved).next().expect("it was saved").expect("it was saved");
        let packed = chunk.packed().expect("it was loaded");
        let unpacked = packed.unpack().expect("it was loaded");
        assert_eq!(unpacked.check_fit(), Ok(()));
        assert_eq!(unpacked.change(0).bytes, parsed.bytes);
    }
    true
}
