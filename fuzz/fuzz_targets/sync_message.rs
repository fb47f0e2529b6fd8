//! Any bytes are a sync message or an error; one written again reads the same; and whatever a peer says, a relay and an
//! open document answer finitely.

#![no_main]

use std::cell::LazyCell;

use crdt_core::document::{Change, Document};
use crdt_core::graph::chunk::ParsedChange;
use crdt_core::graph::{Graph, Item};
use crdt_core::id::ActorId;
use crdt_core::sync::{Manner, Message, State};
use crdt_core::time::Timestamp;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static HISTORY: LazyCell<Vec<Change>> = LazyCell::new(|| {
        let mut phone = Document::new(ActorId::from_bytes([1; 16]));
        for n in 0..5 {
            let mut edit = phone.edit();
            edit.put(&format!("key {n}"), "value");
            edit.commit();
        }
        phone.changes_for_peer(&[])
    });
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::decode(bytes) else { return };
    let again = message.encode();
    assert_eq!(Message::decode(&again), Ok(message.clone()));
    let history = HISTORY.with(|history| (**history).clone());

    let mut graph = Graph::new();
    for change in &history {
        let parsed = ParsedChange::parse(change.bytes()).expect("our own");
        let accepted = graph.insert(Item::from(&parsed), parsed.bytes, Timestamp::ZERO).accepted;
        graph.settle(accepted.end);
    }
    let mut state = State::new(Manner::RELAY);
    let mut answers = 0;
    for _ in 0..100 {
        let Ok(received) = state.receive(&message) else { break };
        for change in received.changes {
            let accepted = graph.insert(Item::from(&change), change.bytes, Timestamp::ZERO).accepted;
            graph.settle(accepted.end.max(graph.len()));
        }
        answers += usize::from(state.generate(&graph).is_some());
    }
    assert!(answers < 60);

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
});
