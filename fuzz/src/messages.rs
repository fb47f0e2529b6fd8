//! Any bytes are a sync message or an error; one written again reads the same; and whatever a peer says, a relay and an
//! open document answer finitely.

use crdt_core::document::{Change, Document};
use crdt_core::graph::chunk::ParsedChange;
use crdt_core::graph::{Graph, Item};
use crdt_core::id::ActorId;
use crdt_core::sync::{Manner, Message, State};
use crdt_core::time::Timestamp;

use crate::sealing::{forged, sealed};

/// Hears a message as it is, then with each chunk's bytes as a body under a checksum that holds. Whether it is one.
pub fn hear(bytes: &[u8]) -> bool {
    let Ok(message) = Message::decode(bytes) else { return false };
    assert_eq!(Message::decode(&message.encode()), Ok(message.clone()));
    answer(bytes, &message);
    let chunks: Vec<_> = message.chunks.iter().map(|chunk| sealed_by_kind(chunk)).collect();
    if !chunks.is_empty() {
        let chunks = chunks.iter().map(Vec::as_slice).collect();
        let resealed = Message { chunks, ..message }.encode();
        answer(&resealed, &Message::decode(&resealed).expect("it was encoded"));
    }
    true
}

fn sealed_by_kind(chunk: &[u8]) -> Vec<u8> {
    match chunk.split_first() {
        Some((kind, body)) if kind % 2 == 0 => forged(body).unwrap_or_else(|| sealed(0, body)),
        Some((_, body)) => sealed(1, body),
        None => Vec::new(),
    }
}

fn answer(bytes: &[u8], message: &Message<'_>) {
    let history = history();
    let mut graph = Graph::new();
    for change in &history {
        let parsed = ParsedChange::parse(change.bytes()).expect("our own");
        let accepted = graph.insert(Item::from(&parsed), parsed.bytes, Timestamp::ZERO).accepted;
        graph.settle(accepted.end);
    }
    let mut state = State::new(Manner::RELAY);
    let mut answers = 0;
    for _ in 0..100 {
        let Ok(received) = state.receive(message) else { break };
        for change in received.changes {
            let accepted = graph.insert(Item::from(&change), change.bytes, Timestamp::ZERO).accepted;
            graph.settle(accepted.end.max(graph.len()));
        }
        answers += usize::from(state.generate(&graph).is_some());
    }
    assert!(answers < 60, "an exchange without progress ends");

    let mut document = Document::new(ActorId::from_bytes([9; 16]));
    document.apply(history).expect("our own");
    let mut state = State::new(Manner::OPEN);
    for _ in 0..3 {
        if state.receive_into(&mut document, bytes).is_err() {
            break;
        }
        let _ = state.generate_for(&mut document);
    }
    State::decode(&state.encode(), Manner::OPEN).expect("what is kept can be read");
    let again =
        Document::load(&document.save(), ActorId::from_bytes([8; 16])).expect("what is saved can be loaded");
    assert_eq!(again.heads(), document.heads());
}

fn history() -> Vec<Change> {
    let mut phone = Document::new(ActorId::from_bytes([1; 16]));
    for n in 0..5 {
        let mut edit = phone.edit();
        edit.put(&format!("key {n}"), "value");
        edit.commit();
    }
    phone.changes_for_peer(&[])
}
