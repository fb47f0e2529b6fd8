//! Any body under a checksum that holds is a change or an error; what is accepted Automerge accepts, and spells alike.

#![no_main]

use crdt_core::document::{Change, Document};
use crdt_core::graph::chunk::{ParsedChange, split};
use crdt_core::id::ActorId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = split(body).map(|chunk| chunk.map(|chunk| (chunk.change(), chunk.packed()))).count();
    let chunk = fuzz::sealing::sealed(1, body);
    let Ok(parsed) = ParsedChange::parse(&chunk) else { return };
    let theirs = automerge::Change::try_from(&chunk[..]).expect("what is accepted, Automerge accepts");
    assert_eq!(theirs.hash().0, *parsed.hash.as_bytes());
    let respelled = automerge::Change::from(theirs.decode());
    assert_eq!(respelled.raw_bytes(), theirs.raw_bytes());

    let change = Change::parse(&chunk).expect("what is accepted, Automerge accepts");
    let mut document = Document::new(ActorId::from_bytes([9; 16]));
    document.apply([change]).expect("changes are refused one by one");
    let loaded = Document::load(&document.save(), ActorId::from_bytes([8; 16])).expect("what is saved can be loaded");
    assert_eq!(loaded.heads(), document.heads());
});
