//! The first sync of a long document with a device that has nothing: what is sent, and how long both sides take together.
//!
//! `cargo xtask bench first_sync`. The relay's way, from a change graph and a snapshot; `automerge::sync` between two live
//! documents; and samod between two repositories, in the same run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use automerge::sync::{self as live, SyncDoc as _};
use automerge::transaction::{CommitOptions, Transactable as _};
use automerge::{Automerge, ROOT};
use crdt_core::document::{Document, pack};
use crdt_core::graph::Graph;
use crdt_core::id::ActorId;
use crdt_core::sync::{Manner, Message, State};
use samod::transport::channel::ChannelDialer;
use samod::{BackoffConfig, Repo, Url};

const CHANGES: usize = 10_000;

/// How often each way is tried; the fastest counts.
const ROUNDS: usize = 5;

/// What may be sent, compared with the packed document.
const OVERHEAD_MAX: f64 = 1.05;

/// What came of one way.
#[derive(Clone, Copy)]
struct Outcome {
    time: Duration,
    /// Bytes of all sync messages.
    bytes: Option<usize>,
}

fn main() {
    let cart = cart();
    let packed = cart.save().len();
    println!("first sync of {CHANGES} changes; packed they are {packed} bytes");
    let relay = best(|| through_graph(&cart));
    let automerge = best(|| between_live_documents(&cart));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let samod = best(|| runtime.block_on(between_repositories(&cart)));
    for (name, outcome) in [("relay", relay), ("automerge::sync", automerge), ("samod", samod)] {
        let bytes = outcome.bytes.map_or_else(|| "        -".to_owned(), |bytes| format!("{bytes:>9}"));
        println!("  {name:<16} {bytes} bytes  {:>8.1} ms", outcome.time.as_secs_f64() * 1e3);
    }
    let sent = relay.bytes.expect("they were counted");
    #[expect(clippy::cast_precision_loss, reason = "documents are small")]
    let ratio = sent as f64 / packed as f64;
    let verdict = if ratio <= OVERHEAD_MAX { "ok" } else { "MISSED" };
    println!("  the relay sends {ratio:.3} times the packed document; {OVERHEAD_MAX} are allowed: {verdict}");
}

fn best(round: impl Fn() -> Outcome) -> Outcome {
    (0..ROUNDS).map(|_| round()).min_by_key(|outcome| outcome.time).expect("there are rounds")
}

/// A cart that has been written to so often.
fn cart() -> Automerge {
    let mut cart = Automerge::new();
    for n in 0..CHANGES {
        let key = format!("q/sku-{}/{n}.0123456789abcdef0123456789abcdef", n % 50);
        let unit = r#"{"k":"add","l":"cart","n":2,"p":{"amount":1999,"currency":"EUR"}}"#;
        let mut change = cart.transaction();
        change.put(ROOT, key, unit).expect("a text can be put");
        change.commit_with(CommitOptions::default());
    }
    cart
}

/// As the relay does it: its graph and its snapshot are there, the device opens what it is sent.
fn through_graph(cart: &Automerge) -> Outcome {
    let packed = pack(&cart.save()).expect("what was saved can be packed");
    let graph = Graph::<()>::from_snapshot(packed.items).expect("it is in order");
    let mut device = Document::new(ActorId::from_bytes([9; 16]));
    let (mut here, mut there) = (State::new(Manner::RELAY), State::new(Manner::OPEN));
    let (began, mut bytes) = (Instant::now(), 0);
    while device.heads() != graph.heads() {
        if let Some(message) = there.generate_for(&mut device) {
            bytes += message.len();
            here.receive(&Message::decode(&message).expect("our own")).expect("our own");
        }
        let outgoing = here.generate(&graph).expect("the device lacks something");
        assert!(outgoing.changes.is_empty(), "everything is packed");
        let message = outgoing.encode(outgoing.snapshot.then_some(packed.bytes.as_slice()).into_iter());
        bytes += message.len();
        there.receive_into(&mut device, &message).expect("our own");
    }
    Outcome { time: began.elapsed(), bytes: Some(bytes) }
}

fn between_live_documents(cart: &Automerge) -> Outcome {
    let (mut server, mut device) = (cart.clone(), Automerge::new());
    let (mut here, mut there) = (live::State::new(), live::State::new());
    let (began, mut bytes) = (Instant::now(), 0);
    while device.get_heads() != server.get_heads() {
        if let Some(message) = device.generate_sync_message(&mut there) {
            let message = message.encode();
            bytes += message.len();
            let message = live::Message::decode(&message).expect("its own");
            server.receive_sync_message(&mut here, message).expect("its own");
        }
        if let Some(message) = server.generate_sync_message(&mut here) {
            let message = message.encode();
            bytes += message.len();
            let message = live::Message::decode(&message).expect("its own");
            device.receive_sync_message(&mut there, message).expect("its own");
        }
    }
    Outcome { time: began.elapsed(), bytes: Some(bytes) }
}

/// Two repositories in one process, already connected.
async fn between_repositories(cart: &Automerge) -> Outcome {
    let (relay, device) = (Repo::build_tokio().load().await, Repo::build_tokio().load().await);
    let served = relay.create(cart.clone()).await.expect("the repository runs");
    let url = Url::parse("channel://first-sync").expect("a URL");
    let dialer = Arc::new(ChannelDialer::new(relay.make_acceptor(url).expect("the repository runs")));
    // It may begin as soon as they are connected.
    let began = Instant::now();
    let dialled = device.dial(BackoffConfig::default(), dialer).expect("the repository runs");
    dialled.established().await.expect("the other is there");
    let heads = cart.get_heads();
    loop {
        let found = device.find(served.document_id().clone()).await.expect("the repository runs");
        if found.is_some_and(|found| found.with_document(|found| found.get_heads() == heads)) {
            break;
        }
        tokio::task::yield_now().await;
    }
    let time = began.elapsed();
    device.stop().await;
    relay.stop().await;
    Outcome { time, bytes: None }
}
