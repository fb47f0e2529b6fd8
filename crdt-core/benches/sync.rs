//! What one more change costs a relay: from its graph, and from a live Automerge document.
//!
//! `cargo bench -p crdt-core --bench sync`; the sizes of a first sync are printed before the first measurement.

use std::hint::black_box;

use automerge::sync::SyncDoc;
use automerge::{AutoCommit, ROOT, transaction::Transactable};
use crdt_core::document::pack;
use crdt_core::graph::chunk::ParsedChange;
use crdt_core::graph::{Graph, Item};
use crdt_core::id::ChangeHash;
use crdt_core::sync::{Manner, Message, State};
use crdt_core::time::Timestamp;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

type Relay = Graph<Box<[u8]>>;

/// A cart with this many changes, and the change that comes next.
fn cart(changes: usize) -> (AutoCommit, Vec<u8>) {
    let mut cart = AutoCommit::new();
    for n in 0..=changes {
        let key = format!("q/sku-{}/{n}.0123456789abcdef0123456789abcdef", n % 50);
        cart.put(ROOT, key, r#"{"k":"add","l":"cart","n":2,"p":{"amount":1999,"currency":"EUR"}}"#).unwrap();
        cart.commit();
    }
    let last = cart.get_last_local_change().unwrap().raw_bytes().to_vec();
    let all = cart.get_changes(&[]);
    let mut before = AutoCommit::new();
    before.apply_changes(all[..changes].to_vec()).unwrap();
    (before, last)
}

fn graph_of(cart: &mut AutoCommit) -> Relay {
    let mut graph = Relay::new();
    for change in cart.get_changes(&[]) {
        insert(&mut graph, ParsedChange::parse(change.raw_bytes()).unwrap());
    }
    graph
}

fn insert(graph: &mut Relay, change: ParsedChange) {
    let inserted = graph.insert(Item::from(&change), change.bytes, Timestamp::ZERO);
    assert_eq!(inserted.refused, []);
    graph.settle(inserted.accepted.end);
}

fn encoded(state: &mut State, graph: &Relay) -> Option<Vec<u8>> {
    let outgoing = state.generate(graph)?;
    let payload = |id: &ChangeHash| &**graph.payload(graph.position(id).unwrap()).unwrap();
    Some(outgoing.encode(outgoing.changes.iter().map(payload)))
}

/// The state towards a peer that holds what the graph holds.
fn in_step(graph: &Relay) -> State {
    let mut state = State::new(Manner::RELAY);
    let message = Message { heads: graph.heads(), ..Message::default() };
    for _ in 0..2 {
        state.receive(&message).unwrap();
        state.generate(graph);
    }
    state
}

fn relay_one_change(bench: &mut Criterion) {
    for changes in [20, 10_000] {
        let (mut cart, change) = cart(changes);
        let graph = graph_of(&mut cart);
        let heads_after =
            [*ParsedChange::parse(&change).unwrap().hash.as_bytes()].map(ChangeHash::from_bytes);
        let message =
            Message { heads: heads_after.to_vec(), chunks: vec![&change], ..Message::default() }.encode();
        let (writer, reader) = (in_step(&graph), in_step(&graph));

        let mut group = bench.benchmark_group(format!("relay one change at {changes}"));
        group.bench_function("graph", |bench| {
            // One graph at rest for each iteration would not fit memory: the change is added to a graph that lacks it.
            bench.iter_batched_ref(
                || (graph_of(&mut cart.clone()), writer.clone(), reader.clone()),
                |(graph, writer, reader)| {
                    let received = writer.receive(&Message::decode(&message).unwrap()).unwrap();
                    for change in received.changes {
                        insert(graph, change);
                    }
                    black_box((encoded(writer, graph), encoded(reader, graph)))
                },
                if changes > 100 { BatchSize::PerIteration } else { BatchSize::SmallInput },
            );
        });

        let (writer, reader) = (foreign_in_step(&mut cart), foreign_in_step(&mut cart));
        let foreign = automerge::sync::Message::decode(&message).unwrap();
        group.bench_function("live document", |bench| {
            bench.iter_batched_ref(
                || (cart.clone(), writer.clone(), reader.clone(), foreign.clone()),
                |(cart, writer, reader, message)| {
                    cart.sync().receive_sync_message(writer, message.clone()).unwrap();
                    let to_writer = cart.sync().generate_sync_message(writer);
                    let to_reader = cart.sync().generate_sync_message(reader);
                    black_box((
                        to_writer.map(automerge::sync::Message::encode),
                        to_reader.map(automerge::sync::Message::encode),
                    ))
                },
                if changes > 100 { BatchSize::PerIteration } else { BatchSize::SmallInput },
            );
        });
        group.finish();
    }
}

fn foreign_in_step(cart: &mut AutoCommit) -> automerge::sync::State {
    let (mut state, mut theirs) = (automerge::sync::State::new(), automerge::sync::State::new());
    let mut peer = cart.clone();
    loop {
        let there = cart.sync().generate_sync_message(&mut state);
        let back = peer.sync().generate_sync_message(&mut theirs);
        if there.is_none() && back.is_none() {
            return state;
        }
        if let Some(message) = there {
            peer.sync().receive_sync_message(&mut theirs, message).unwrap();
        }
        if let Some(message) = back {
            cart.sync().receive_sync_message(&mut state, message).unwrap();
        }
    }
}

fn first_sync(_: &mut Criterion) {
    let (mut cart, _) = cart(10_000);
    let raw: usize = cart.get_changes(&[]).iter().map(|change| change.raw_bytes().len()).sum();
    let packed = pack(&cart.save()).unwrap();
    let graph = Relay::from_snapshot(packed.items).unwrap();
    let mut state = State::new(Manner::RELAY);
    // A peer that has nothing and reads whole documents.
    let hello = Message {
        have: vec![crdt_core::sync::Have::default()],
        flags: Some(<_>::default()),
        ..<_>::default()
    };
    state.receive(&hello).unwrap();
    let outgoing = state.generate(&graph).unwrap();
    assert!(outgoing.snapshot && outgoing.changes.is_empty());
    let sent = outgoing.encode(std::iter::once(packed.bytes.as_slice())).len();
    println!("first sync of 10000 changes: {sent} bytes; packed {}, one by one {raw}", packed.bytes.len());
}

criterion_group!(benches, first_sync, relay_one_change);
criterion_main!(benches);
