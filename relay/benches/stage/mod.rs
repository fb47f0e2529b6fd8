//! A hub with documents, who writes them and who reads them, over storage that answers at once and costs nothing.

use crdt_core::document::Document;
use crdt_core::graph::chunk::ParsedChange;
use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::sync::{Flags, Have, Message};
use crdt_core::time::Timestamp;
use crdt_core::wire::{Capabilities, Frame, PeerId, PeerMetadata, PeerRef, Route};
use relay::access::{Access, Permit};
use relay::hub::{Hub, Input, Limits, Output, Rate};
use relay::id::{ConnectionId, DocumentKey, Position, Sequence, Subject, Tenant};
use relay::store::{Committed, Loaded, StoredDocument, Usage};

/// The changes of one cart, each made on top of the one before.
pub(crate) struct History {
    pub(crate) changes: Vec<Vec<u8>>,
    hashes: Vec<ChangeHash>,
}

impl History {
    pub(crate) fn of(changes: usize) -> Self {
        let mut cart = Document::new(ActorId::from_bytes([1; 16]));
        for n in 0..changes {
            let key = format!("q/sku-{}/{n}.0123456789abcdef0123456789abcdef", n % 50);
            let mut edit = cart.edit();
            edit.put(&key, r#"{"k":"add","l":"cart","n":2,"p":{"amount":1999,"currency":"EUR"}}"#);
            edit.commit();
        }
        let changes: Vec<_> =
            cart.changes_for_peer(&[]).iter().map(|change| change.bytes().to_vec()).collect();
        let hashes = changes.iter().map(|bytes| ParsedChange::parse(bytes).expect("our own").hash).collect();
        Self { changes, hashes }
    }

    /// What a device tells that has just written change number `n`, counted from zero, and has all before it.
    pub(crate) fn news(&self, n: usize) -> Vec<u8> {
        let have = Have { last_sync: vec![self.hashes[n - 1]], ..Have::default() };
        let heads = vec![self.hashes[n]];
        let chunks = vec![self.changes[n].as_slice()];
        Message { heads, have: vec![have], chunks, ..in_step() }.encode()
    }

    /// What a device tells that has just heard of change number `n`, and has all before it.
    pub(crate) fn thanks(&self, n: usize) -> Vec<u8> {
        let have = Have { last_sync: vec![self.hashes[n]], ..Have::default() };
        Message { heads: vec![self.hashes[n]], have: vec![have], ..in_step() }.encode()
    }
}

/// What every device tells of itself.
fn in_step() -> Message<'static> {
    Message { flags: Some(Flags { understands_reset: true, ..Flags::default() }), ..Message::default() }
}

/// A hub with a writer who follows every document, and readers.
pub(crate) struct Stage {
    hub: Hub,
    pub(crate) now: Timestamp,
    /// How many changes are stored of each document.
    stored: Vec<u64>,
    sequence: u64,
}

/// The connection of the one who writes; readers are numbered from the one after it.
pub(crate) const PHONE: ConnectionId = ConnectionId(0);

pub(crate) fn reader(number: usize) -> ConnectionId {
    ConnectionId(1 + number as u64)
}

fn document(number: usize) -> DocumentId {
    let number = number as u64;
    let mut bytes = [0; 16];
    // In no order, as ids are, and the number itself.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    DocumentId::from_bytes(bytes)
}

impl Stage {
    /// The writer and so many readers have joined.
    pub(crate) fn new(readers: usize) -> Self {
        // What a benchmark sends in a second no device sends in an hour.
        let rate = Rate { per_second: 1 << 40, burst: 1 << 40 };
        let limits = Limits { frames: rate, bytes: rate, frames_of_subject: rate, ..Limits::default() };
        let hub = Hub::new(PeerId::new("relay").expect("a name"), None, limits);
        let mut stage =
            Self { hub, now: Timestamp::from_millis(1), stored: Vec::with_capacity(1000), sequence: 0 };
        for number in 0..=readers {
            let connection = ConnectionId(number as u64);
            let permit = Permit::user(tenant(), subject());
            stage.handle(Input::Connected { connection, permit });
            let (name, metadata) =
                (name(connection), PeerMetadata { capabilities: Capabilities::NONE, ..<_>::default() });
            let sender = PeerRef::new(&name).expect("a name");
            let frame = Frame::Join { sender, metadata, versions: vec!["1"] }.encode();
            stage.give(connection, frame);
        }
        stage
    }

    /// A stored document with the first `changes` of `history`, which `followers` have and follow.
    pub(crate) fn open(&mut self, history: &History, changes: usize, followers: &[ConnectionId]) {
        let number = self.stored.len();
        let stored = StoredDocument {
            access: Some(Access::owned_by(subject())),
            snapshot: None,
            changes: (0..).map(Position).zip(history.changes[..changes].iter().cloned()).collect(),
            sequence: Sequence(1),
            modified: self.now,
        };
        self.stored.push(changes as u64);
        let thanks = history.thanks(changes - 1);
        let mut stored = Some(stored);
        for follower in followers {
            let frame = frame_of(number, *follower, &thanks);
            self.give(*follower, frame);
            if let Some(stored) = stored.take() {
                let loaded = Ok((Loaded::Document(stored), Usage::default()));
                self.handle(Input::Loaded { key: key(number), loaded });
            }
        }
    }

    /// Takes in a frame, and does all that follows from it. Returns how many frames were sent.
    pub(crate) fn give(&mut self, connection: ConnectionId, frame: Vec<u8>) -> usize {
        self.handle(Input::Received { connection, frame })
    }

    /// Hands an input to the hub and does what it wants: appends are stored at once, sockets take what they are sent.
    /// Returns how many frames were sent.
    pub(crate) fn handle(&mut self, input: Input) -> usize {
        self.hub.handle(self.now, input);
        let mut sent = 0;
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { connection, frame } => {
                    sent += 1;
                    self.hub.handle(self.now, Input::Written { connection, bytes: frame.len() });
                }
                Output::Append(append) => {
                    let number = number_of(append.key.document);
                    let position = Position(self.stored[number]);
                    self.stored[number] += append.changes.len() as u64;
                    self.sequence += 1;
                    let committed = Committed { sequence: Sequence(self.sequence), position };
                    self.hub.handle(self.now, Input::Stored { key: append.key, stored: Ok(committed) });
                }
                _ => {}
            }
        }
        sent
    }
}

/// A frame in which `connection` says this of a document.
pub(crate) fn frame_of(number: usize, connection: ConnectionId, message: &[u8]) -> Vec<u8> {
    let name = name(connection);
    let target = PeerRef::new("relay").expect("a name");
    let route = Route { sender: PeerRef::new(&name).expect("a name"), target };
    Frame::Sync { route, document: document(number), data: message }.encode()
}

fn number_of(document: DocumentId) -> usize {
    let (_, last) = document.as_bytes().split_last_chunk::<8>().expect("sixteen bytes");
    usize::try_from(u64::from_be_bytes(*last)).expect("numbered above")
}

fn name(connection: ConnectionId) -> String {
    format!("device-{}", connection.0)
}

fn tenant() -> Tenant {
    Tenant::new("shop").expect("a name")
}

fn subject() -> Subject {
    Subject::new("student-7").expect("a name")
}

fn key(number: usize) -> DocumentKey {
    DocumentKey { tenant: tenant(), document: document(number) }
}
