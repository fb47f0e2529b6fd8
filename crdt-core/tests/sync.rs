//! Every pairing of an open document, a relay's graph and Automerge's own implementation comes to agree, and then falls
//! silent.

mod histories;

use automerge::sync::SyncDoc;
use automerge::{AutoCommit, ROOT, transaction::Transactable};
use crdt_core::document::{Document, pack};
use crdt_core::graph::chunk::ParsedChange;
use crdt_core::graph::{Graph, Item};
use crdt_core::id::{ActorId, ChangeHash};
use crdt_core::sync::{Manner, Message, State};
use crdt_core::time::Timestamp;
use proptest::prelude::*;

/// One side of an exchange.
trait Side {
    fn receive(&mut self, message: &[u8]);
    fn generate(&mut self) -> Option<Vec<u8>>;
    fn heads(&mut self) -> Vec<ChangeHash>;
    /// The connection was lost; what is worth keeping was kept.
    fn reconnect(&mut self);
}

struct Open {
    document: Document,
    state: State,
}

impl Open {
    fn new(actor: u8) -> Self {
        Self { document: Document::new(ActorId::from_bytes([actor; 16])), state: State::new(Manner::OPEN) }
    }

    fn write(&mut self, key: &str, text: &str) {
        let mut edit = self.document.edit();
        edit.put(key, text);
        edit.commit();
    }
}

impl Side for Open {
    fn receive(&mut self, message: &[u8]) {
        let applied = self.state.receive_into(&mut self.document, message).unwrap();
        assert_eq!(applied.refused, []);
    }

    fn generate(&mut self) -> Option<Vec<u8>> {
        self.state.generate_for(&mut self.document)
    }

    fn heads(&mut self) -> Vec<ChangeHash> {
        self.document.heads()
    }

    fn reconnect(&mut self) {
        self.state = State::decode(&self.state.encode(), Manner::OPEN).unwrap();
    }
}

/// A relay with one document and one peer.
struct Relay {
    graph: Graph<Box<[u8]>>,
    snapshot: Vec<u8>,
    state: State,
}

impl Relay {
    fn new() -> Self {
        Self { graph: Graph::new(), snapshot: Vec::new(), state: State::new(Manner::RELAY) }
    }

    fn take(&mut self, change: ParsedChange) {
        let inserted = self.graph.insert(Item::from(&change), change.bytes, Timestamp::ZERO);
        assert_eq!(inserted.refused, []);
        self.graph.settle(inserted.accepted.end.max(self.graph.len()));
    }

    /// What background compaction does.
    fn compact(&mut self) {
        let tail = (0..self.graph.len()).filter_map(|position| self.graph.payload(position));
        let stored: Vec<u8> =
            self.snapshot.iter().copied().chain(tail.flat_map(|bytes| bytes.to_vec())).collect();
        let packed = pack(&stored).unwrap();
        self.graph.pack(self.graph.len(), &packed.left_out);
        self.snapshot = packed.bytes;
    }
}

impl Side for Relay {
    fn receive(&mut self, message: &[u8]) {
        let received = self.state.receive(&Message::decode(message).unwrap()).unwrap();
        assert!(received.documents.is_empty());
        for change in received.changes {
            self.take(change);
        }
    }

    fn generate(&mut self) -> Option<Vec<u8>> {
        let outgoing = self.state.generate(&self.graph)?;
        let payload = |id: &ChangeHash| &**self.graph.payload(self.graph.position(id).unwrap()).unwrap();
        let snapshot = outgoing.snapshot.then_some(self.snapshot.as_slice());
        Some(outgoing.encode(snapshot.into_iter().chain(outgoing.changes.iter().map(payload))))
    }

    fn heads(&mut self) -> Vec<ChangeHash> {
        self.graph.heads()
    }

    fn reconnect(&mut self) {
        self.state = State::decode(&self.state.encode(), Manner::RELAY).unwrap();
    }
}

/// A peer that runs Automerge's own implementation.
struct Foreign {
    document: AutoCommit,
    state: automerge::sync::State,
}

impl Foreign {
    fn new(document: AutoCommit) -> Self {
        Self { document, state: automerge::sync::State::new() }
    }
}

impl Side for Foreign {
    fn receive(&mut self, message: &[u8]) {
        let message = automerge::sync::Message::decode(message).unwrap();
        self.document.sync().receive_sync_message(&mut self.state, message).unwrap();
    }

    fn generate(&mut self) -> Option<Vec<u8>> {
        self.document.sync().generate_sync_message(&mut self.state).map(automerge::sync::Message::encode)
    }

    fn heads(&mut self) -> Vec<ChangeHash> {
        let mut heads: Vec<_> =
            self.document.get_heads().iter().map(|head| ChangeHash::from_bytes(head.0)).collect();
        heads.sort_unstable();
        heads
    }

    fn reconnect(&mut self) {
        self.state = automerge::sync::State::decode(&self.state.encode()).unwrap();
    }
}

/// Exchanges messages, in turn, until neither side has anything to say. Returns how many were sent, and their bytes.
fn exchange(one: &mut dyn Side, other: &mut dyn Side) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    let mut deliver = |from: &mut dyn Side, to: &mut dyn Side| {
        let message = from.generate();
        if let Some(message) = &message {
            count += 1;
            bytes += message.len();
            to.receive(message);
        }
        message.is_none()
    };
    for _ in 0..100 {
        let quiet_there = deliver(one, other);
        let quiet_back = deliver(other, one);
        if quiet_there && quiet_back {
            return (count, bytes);
        }
    }
    panic!("the exchange does not end");
}

/// As [`exchange`], but both speak at once.
fn exchange_crossing(one: &mut dyn Side, other: &mut dyn Side) {
    for _ in 0..100 {
        let there = one.generate();
        let back = other.generate();
        if there.is_none() && back.is_none() {
            return;
        }
        if let Some(message) = there {
            other.receive(&message);
        }
        if let Some(message) = back {
            one.receive(&message);
        }
    }
    panic!("the exchange does not end");
}

/// As [`exchange`], but the connection breaks after so many messages; then it is made again.
fn interrupted(one: &mut dyn Side, other: &mut dyn Side, messages: usize) {
    for _ in 0..messages {
        let Some(there) = one.generate() else { break };
        other.receive(&there);
        let Some(back) = other.generate() else { break };
        one.receive(&back);
    }
    // What was on its way is lost.
    one.generate();
    other.generate();
    one.reconnect();
    other.reconnect();
    exchange(one, other);
}

/// A side that begins with what a foreign device holds.
fn side(kind: u8, device: &mut AutoCommit, compacted: bool) -> Box<dyn Side> {
    match kind % 3 {
        0 => {
            let mut open = Open::new(kind + 100);
            open.document = Document::load(&device.save(), open.document.actor().clone()).unwrap();
            Box::new(open)
        }
        1 => {
            let mut relay = Relay::new();
            for change in device.get_changes(&[]) {
                relay.take(ParsedChange::parse(change.raw_bytes()).unwrap());
            }
            if compacted {
                relay.compact();
            }
            Box::new(relay)
        }
        _ => Box::new(Foreign::new(device.clone())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_two_sides_agree_and_fall_silent(
        steps in histories::plain_steps(50),
        kinds in (0..3_u8, 0..3_u8),
        compacted: (bool, bool),
        lost_after in 0..6_usize,
    ) {
        let mut devices = histories::devices(&steps);
        let mut one = side(kinds.0, &mut devices[0], compacted.0);
        let mut other = side(kinds.1, &mut devices[1], compacted.1);
        // Two relays don't read each other's snapshots; they are never compacted while they sync.
        prop_assume!(kinds != (1, 1) || compacted == (false, false));
        let mut merged = devices[0].clone();
        merged.merge(&mut devices[1]).unwrap();
        match lost_after {
            0 => drop(exchange(&mut *one, &mut *other)),
            1 => exchange_crossing(&mut *one, &mut *other),
            _ => interrupted(&mut *one, &mut *other, lost_after - 1),
        }
        let mut expected: Vec<_> = merged.get_heads().iter().map(|head| ChangeHash::from_bytes(head.0)).collect();
        expected.sort_unstable();
        prop_assert_eq!(one.heads(), expected.clone());
        prop_assert_eq!(other.heads(), expected);
        prop_assert_eq!(exchange(&mut *one, &mut *other), (0, 0));
    }

    #[test]
    fn many_devices_agree_through_one_relay(steps in histories::plain_steps(50), foreign in 0..5_usize) {
        let mut devices = histories::devices(&steps);
        let mut graph = Graph::new();
        let mut links: Vec<(Box<dyn Side>, State)> = Vec::new();
        for (n, device) in devices.iter_mut().enumerate() {
            let kind = if n < foreign { 2 } else { 0 };
            links.push((side(kind, device, false), State::new(Manner::RELAY)));
        }
        let mut quiet = false;
        for _ in 0..60 {
            quiet = true;
            for (device, state) in &mut links {
                let mut relay = Relay { graph: std::mem::take(&mut graph), snapshot: Vec::new(), state: state.clone() };
                if let Some(message) = device.generate() {
                    relay.receive(&message);
                    quiet = false;
                }
                if let Some(message) = relay.generate() {
                    device.receive(&message);
                    quiet = false;
                }
                graph = relay.graph;
                *state = relay.state;
            }
            if quiet {
                break;
            }
        }
        prop_assert!(quiet, "the exchange does not end");
        for (device, _) in &mut links {
            prop_assert_eq!(device.heads(), graph.heads());
        }
    }
}

fn full_phone(changes: usize) -> Open {
    let mut phone = Open::new(1);
    for n in 0..changes {
        phone.write(
            &format!("q/sku-{n}/{n}"),
            &format!(r#"{{"k":"add","l":"cart","n":{n},"why":"{}"}}"#, "x".repeat(200)),
        );
    }
    phone
}

#[test]
fn a_cold_peer_gets_the_snapshot_then_the_tail_in_one_message() {
    let mut phone = full_phone(300);
    let mut relay = Relay::new();
    exchange(&mut phone, &mut relay);
    relay.compact();
    phone.write("late", "tail");
    exchange(&mut phone, &mut relay);
    relay.state = State::new(Manner::RELAY);

    let mut laptop = Open::new(2);
    let (count, bytes) = exchange(&mut laptop, &mut relay);
    assert_eq!(laptop.heads(), phone.heads());
    assert!(count <= 4, "{count} messages");
    let packed = phone.document.save().len();
    assert!(bytes < packed + packed / 10 + 1000, "{bytes} bytes sent for {packed} packed");
}

#[test]
fn what_is_large_goes_in_batches() {
    let mut phone = full_phone(9000);
    let mut relay = Relay::new();
    let mut largest = 0;
    let mut rounds = 0;
    while let Some(message) = phone.generate() {
        largest = largest.max(message.len());
        rounds += 1;
        relay.receive(&message);
        relay.generate().into_iter().for_each(|message| phone.receive(&message));
    }
    assert_eq!(relay.heads(), phone.heads());
    assert!(rounds > 3, "{rounds} rounds");
    assert!(largest < 1100 * 1024, "{largest} bytes in one message");
}

#[test]
fn one_more_change_costs_one_message_each_way() {
    let mut phone = full_phone(50);
    let mut relay = Relay::new();
    exchange(&mut phone, &mut relay);
    phone.write("one", "more");
    let (count, bytes) = exchange(&mut phone, &mut relay);
    assert_eq!(count, 2);
    assert!(bytes < 600, "{bytes} bytes");
}

#[test]
fn peers_that_agree_beforehand_say_nothing_until_one_writes() {
    let mut phone = full_phone(20);
    let mut laptop = Open::new(2);
    exchange(&mut phone, &mut laptop);
    let heads = phone.heads();
    for side in [&mut phone, &mut laptop] {
        side.state = State::resume(Manner::OPEN, Vec::new());
        side.state.agree(&heads);
        assert_eq!(side.generate(), None);
    }
    laptop.write("k", "v");
    let (messages, bytes) = exchange(&mut laptop, &mut phone);
    assert_eq!(messages, 2);
    assert!(bytes < 500, "{bytes} bytes");
    assert_eq!(phone.heads(), laptop.heads());
}

#[test]
fn nothing_echoes() {
    let mut phone = full_phone(50);
    let mut tablet = Foreign::new(AutoCommit::new());
    let mut sent_back = 0;
    while let Some(message) = phone.generate() {
        tablet.receive(&message);
        if let Some(message) = tablet.generate() {
            sent_back += Message::decode(&message).unwrap().chunks.len();
            phone.receive(&message);
        }
    }
    assert_eq!((tablet.heads(), sent_back), (phone.heads(), 0));
}

#[test]
fn a_relay_restored_from_an_old_backup_is_brought_up_to_date() {
    for foreign in [false, true] {
        let mut devices = histories::devices(&[]);
        devices[0].put(ROOT, "key", "value").unwrap();
        devices[0].commit();
        let mut device = side(if foreign { 2 } else { 0 }, &mut devices[0], false);
        let mut relay = Relay::new();
        exchange(&mut *device, &mut relay);
        let mut restored = Relay::new();
        restored.state = relay.state.clone();
        restored.reconnect();
        device.reconnect();
        exchange(&mut *device, &mut restored);
        assert_eq!(device.heads(), restored.heads());
    }
}

#[test]
fn a_device_that_lost_everything_gets_everything() {
    let mut phone = full_phone(20);
    let mut relay = Relay::new();
    exchange(&mut phone, &mut relay);
    let mut wiped = Open::new(3);
    relay.reconnect();
    exchange(&mut wiped, &mut relay);
    assert_eq!(wiped.heads(), phone.heads());
}

#[test]
fn a_reader_is_not_listened_to_until_it_may_write() {
    for foreign in [false, true] {
        let mut reader: Box<dyn Side> = if foreign {
            let mut document = AutoCommit::new();
            document.put(ROOT, "mine", "?").unwrap();
            Box::new(Foreign::new(document))
        } else {
            Box::new(full_phone(1))
        };
        let mut relay = Relay::new();
        relay.take(ParsedChange::parse(full_phone_change().as_slice()).unwrap());
        relay.state = State::new(Manner::RELAY_READ_ONLY);
        exchange(&mut *reader, &mut relay);
        assert_eq!(relay.graph.len(), 1);
        assert_eq!(reader.heads().len(), 2);
        relay.state.set_read_only(false);
        exchange(&mut *reader, &mut relay);
        assert_eq!(relay.heads(), reader.heads());
    }
}

fn full_phone_change() -> Vec<u8> {
    let mut tablet = Open::new(9);
    tablet.write("theirs", "!");
    tablet.document.changes_since(&[])[0].bytes().to_vec()
}

#[test]
fn a_peer_that_asks_without_end_is_answered_finitely() {
    let mut relay = Relay::new();
    let mut phone = full_phone(3);
    exchange(&mut phone, &mut relay);
    let head = relay.heads();
    let ask = Message { heads: Vec::new(), need: head.clone(), ..Message::default() }.encode();
    let mut answers = 0;
    for _ in 0..1000 {
        relay.receive(&ask);
        answers += usize::from(relay.generate().is_some());
    }
    assert!(answers < 40, "{answers} answers");
    assert!(relay.state.is_stalled());
    phone.write("news", "!");
    relay.take(ParsedChange::parse(phone.document.changes_since(&head)[0].bytes()).unwrap());
    assert!(relay.generate().is_some(), "news end the silence");
}

#[test]
fn a_peer_that_advertises_what_it_never_sends_is_asked_finitely() {
    let mut relay = Relay::new();
    let promise = Message { heads: vec![ChangeHash::from_bytes([7; 32])], ..Message::default() }.encode();
    let mut questions = 0;
    for _ in 0..1000 {
        relay.receive(&promise);
        questions += usize::from(relay.generate().is_some());
    }
    assert!(questions < 40, "{questions} questions");
}

#[test]
fn automerge_reads_our_filters_as_we_read_its() {
    let hashes: Vec<_> =
        (0..200_u8).map(|n| ChangeHash::from_bytes([n.wrapping_mul(37); 32].map(|b| b ^ n))).collect();
    let ours = crdt_core::sync::Bloom::of(&hashes[..100]);
    let theirs = automerge::sync::BloomFilter::from_hashes(
        hashes[..100].iter().map(|hash| automerge::ChangeHash(*hash.as_bytes())),
    );
    assert_eq!(ours.encode(), theirs.to_bytes());
    for hash in &hashes {
        assert_eq!(ours.contains(hash), theirs.contains_hash(&automerge::ChangeHash(*hash.as_bytes())));
    }
}
