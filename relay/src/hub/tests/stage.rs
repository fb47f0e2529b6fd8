//! A relay on a stage: its store answers when told to, and devices are open documents that speak through it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crdt_core::document::Document;
use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::sync::{Manner, State};
use crdt_core::time::Timestamp;
use crdt_core::wire::{Capabilities, Frame, PeerId, PeerMetadata, PeerRef, Route};

use super::super::{Compacted, Hub, Input, Limits, Output, Place, ReadBytes, Shards};
use crate::access::Permit;
use crate::compaction::Source;
use crate::id::{ConnectionId, DocumentKey, Position, Subject, Tenant};
use crate::store::{CommitError, LoadError, Memory, Store, Write};

pub(super) const CART: DocumentId = DocumentId::from_bytes([7; 16]);

pub(super) struct Stage {
    /// The front, where there are several.
    pub(super) hub: Hub,
    pub(super) others: Vec<Hub>,
    shards: Shards,
    pub(super) now: Timestamp,
    pub(super) store: Box<dyn Store>,
    disk: Memory,
    /// Appends that the disk has not answered.
    pub(super) appends: VecDeque<crate::store::Append>,
    /// Whether the disk answers at once.
    pub(super) disk_is_prompt: bool,
    /// Whether sockets take what they are sent at once.
    pub(super) sockets_are_prompt: bool,
    /// Everything else that the hub wanted.
    pub(super) outputs: Vec<Output>,
    sent: BTreeMap<ConnectionId, VecDeque<Vec<u8>>>,
    pub(super) closed: BTreeMap<ConnectionId, String>,
    connections: u64,
}

pub(super) fn shop() -> Tenant {
    Tenant::new("shop").unwrap()
}

pub(super) fn key(document: DocumentId) -> DocumentKey {
    DocumentKey { tenant: shop(), document }
}

pub(super) fn user(name: &str) -> Permit {
    Permit::user(shop(), Subject::new(name).unwrap())
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(super) fn with_limits(limits: Limits) -> Self {
        Self::with_shards(limits, Shards::SOLE)
    }

    pub(super) fn with_shards(limits: Limits, shards: Shards) -> Self {
        let disk = Memory::default();
        let id = PeerId::new("relay").unwrap();
        let mut hubs = shards.iter().map(|shard| Hub::shard(id.clone(), None, limits, shard));
        Self {
            hub: hubs.next().unwrap(),
            others: hubs.collect(),
            shards,
            now: Timestamp::from_millis(1_000_000),
            store: disk.open().unwrap(),
            disk,
            appends: VecDeque::new(),
            disk_is_prompt: true,
            sockets_are_prompt: true,
            outputs: Vec::new(),
            sent: BTreeMap::new(),
            closed: BTreeMap::new(),
            connections: 0,
        }
    }

    pub(super) fn handle(&mut self, input: Input) {
        let place = match &input {
            Input::Received { frame, .. } => self.shards.place(frame),
            Input::Loaded { key, .. }
            | Input::Read { key, .. }
            | Input::Stored { key, .. }
            | Input::Compacted { key, .. }
            | Input::AccessChanged { key, .. }
            | Input::Erased { key, .. } => Place::One(self.shards.holder(key.document)),
            Input::Put { put, .. } => Place::One(self.shards.holder(put.document)),
            Input::Tick => Place::All,
            _ => Place::One(0),
        };
        let now = self.now;
        match place {
            Place::One(index) => self.hub_at(index).handle(now, input),
            Place::All => {
                self.tell_others(&input);
                self.hub.handle(now, input);
            }
        }
        self.drain();
    }

    fn hub_at(&mut self, index: usize) -> &mut Hub {
        index.checked_sub(1).map_or(&mut self.hub, |other| &mut self.others[other])
    }

    pub(super) fn drain(&mut self) {
        let count = self.others.len() + 1;
        while let Some((index, output)) =
            (0..count).find_map(|index| Some((index, self.hub_at(index).poll_output()?)))
        {
            self.act(index, output);
        }
    }

    fn tell_others(&mut self, input: &Input) {
        for other in &mut self.others {
            other.handle(self.now, input.clone());
        }
    }

    fn act(&mut self, index: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Joined { connection, permit, peer } => {
                self.tell_others(&Input::Joined { connection, permit, peer });
            }
            Output::Left { connection } => self.tell_others(&Input::Closed { connection }),
            Output::Send { connection, frame } => {
                if self.sockets_are_prompt {
                    let written = Input::Written { connection, bytes: frame.len() };
                    self.hub_at(index).handle(now, written);
                }
                self.sent.entry(connection).or_default().push_back(frame);
            }
            Output::Close { connection, reason } => {
                self.closed.insert(connection, reason);
                if index > 0 {
                    self.hub.handle(now, Input::Closed { connection });
                }
            }
            Output::Load { key } => {
                let usage = self.store.usage(&key.tenant).unwrap();
                let loaded = self.store.load(&key).map(|loaded| (loaded, usage));
                self.hub_at(index).handle(now, Input::Loaded { key, loaded });
            }
            Output::Read { key, positions, snapshot } => {
                let read = self.read(&key, &positions, snapshot);
                self.hub_at(index).handle(now, Input::Read { key, read });
            }
            Output::Append(append) => {
                self.appends.push_back(append);
                if self.disk_is_prompt {
                    self.store_one();
                }
            }
            other => self.outputs.push(other),
        }
    }

    pub(super) fn read(
        &self,
        key: &DocumentKey,
        positions: &[crate::id::Position],
        snapshot: bool,
    ) -> Result<ReadBytes, LoadError> {
        let changes = self.store.read(key, positions)?;
        let snapshot = snapshot.then(|| self.store.read_snapshot(key)).transpose()?;
        Ok(ReadBytes { changes, snapshot })
    }

    /// The disk answers the oldest append.
    pub(super) fn store_one(&mut self) {
        let append = self.appends.pop_front().expect("something was appended");
        let key = append.key.clone();
        let stored = self.store.commit(vec![Write::Append(append)]).remove(0);
        self.handle(Input::Stored { key, stored });
    }

    /// The disk fails the oldest append.
    pub(super) fn fail_one(&mut self) {
        let append = self.appends.pop_front().expect("something was appended");
        let error = CommitError::Unavailable { why: "no space left".to_owned() };
        self.handle(Input::Stored { key: append.key, stored: Err(error) });
    }

    /// Makes the one snapshot that was asked for. Returns of what, and before which position.
    pub(super) fn compact(&mut self) -> (DocumentKey, Position) {
        let (key, through, compacted) = self.pack();
        self.handle(Input::Compacted { key: key.clone(), compacted: Some(compacted) });
        (key, through)
    }

    /// As [`Stage::compact`], but the relay does not know yet.
    pub(super) fn pack(&mut self) -> (DocumentKey, Position, Compacted) {
        let asked = self.outputs.iter().filter_map(|output| match output {
            Output::Compact { key, through } => Some((key.clone(), *through)),
            _ => None,
        });
        let [(key, through)]: [_; 1] = asked.collect::<Vec<_>>().try_into().expect("one is asked for");
        let packed = Source::read(&*self.store, &key, through).unwrap().pack(u64::MAX).unwrap();
        let write = Write::Snapshot { key: key.clone(), snapshot: packed.snapshot };
        self.store.commit(vec![write]).remove(0).unwrap();
        (key, through, packed.compacted)
    }

    /// The relay's process ends, with all that had not reached the disk, and begins anew.
    pub(super) fn crash(&mut self) {
        self.hub = Hub::new(PeerId::new("relay").unwrap(), None, Limits::default());
        self.store = self.disk.open().unwrap();
        self.appends.clear();
        self.sent.clear();
    }

    pub(super) fn wait(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.now = self.now + Duration::from_secs(1);
            self.handle(Input::Tick);
        }
    }

    /// Connects without a word.
    pub(super) fn connect(&mut self, permit: Permit) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.handle(Input::Connected { connection, permit });
        connection
    }

    /// Connects, and joins under this name.
    pub(super) fn join(&mut self, name: &str, permit: Permit, capabilities: Capabilities) -> ConnectionId {
        let connection = self.connect(permit);
        let metadata = PeerMetadata { capabilities, ..PeerMetadata::default() };
        let sender = PeerRef::new(name).unwrap();
        self.send(connection, &Frame::Join { sender, metadata, versions: vec!["1"] });
        connection
    }

    pub(super) fn send(&mut self, connection: ConnectionId, frame: &Frame<'_>) {
        self.send_bytes(connection, &frame.encode());
    }

    pub(super) fn send_bytes(&mut self, connection: ConnectionId, frame: &[u8]) {
        self.handle(Input::Received { connection, frame: frame.to_vec() });
    }

    /// The next frame that was sent to the connection.
    pub(super) fn next(&mut self, connection: ConnectionId) -> Option<Vec<u8>> {
        self.sent.get_mut(&connection)?.pop_front()
    }

    /// All frames that were sent to the connection and not looked at.
    pub(super) fn take(&mut self, connection: ConnectionId) -> Vec<Vec<u8>> {
        self.sent.remove(&connection).unwrap_or_default().into()
    }

    /// Lets devices and relay talk until nobody has anything to say.
    pub(super) fn talk(&mut self, devices: &mut [&mut Device]) {
        for _ in 0..100 {
            let mut is_quiet = true;
            for device in devices.iter_mut() {
                while let Some(frame) = self.next(device.connection) {
                    device.hear(&frame);
                    is_quiet = false;
                }
                if let Some(frame) = device.speak() {
                    self.send_bytes(device.connection, &frame);
                    is_quiet = false;
                }
            }
            if is_quiet {
                return;
            }
        }
        panic!("the talk does not end");
    }
}

/// A device with one document, as an automerge-repo client would have it.
pub(super) struct Device {
    pub(super) name: &'static str,
    pub(super) connection: ConnectionId,
    pub(super) document: Document,
    pub(super) state: State,
    pub(super) id: DocumentId,
    /// Frames other than sync messages that it was sent.
    pub(super) others: Vec<Vec<u8>>,
}

impl Device {
    /// A device that joins with a document of its own making.
    pub(super) fn join(stage: &mut Stage, name: &'static str, permit: Permit) -> Self {
        Self::join_with(stage, name, permit, Capabilities::NONE)
    }

    pub(super) fn join_with(
        stage: &mut Stage,
        name: &'static str,
        permit: Permit,
        capabilities: Capabilities,
    ) -> Self {
        let connection = stage.join(name, permit, capabilities);
        assert!(matches!(Frame::decode(&stage.next(connection).unwrap()).unwrap(), Frame::Peer { .. }));
        let actor = ActorId::derive(&[name]);
        Self {
            name,
            connection,
            document: Document::new(actor),
            state: State::new(Manner::OPEN),
            id: CART,
            others: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, text: &str) {
        let mut edit = self.document.edit();
        let entry = format!("n/{}/{text}", self.name);
        edit.put(&entry, text);
        edit.commit();
    }

    pub(super) fn heads(&self) -> Vec<ChangeHash> {
        self.document.heads()
    }

    pub(super) fn route(&self) -> Route<'static> {
        Route { sender: PeerRef::new(self.name).unwrap(), target: PeerRef::new("relay").unwrap() }
    }

    /// What it says next about its document.
    pub(super) fn speak(&mut self) -> Option<Vec<u8>> {
        let data = self.state.generate_for(&mut self.document)?;
        let (route, document) = (self.route(), self.id);
        let frame = if self.document.is_empty() {
            Frame::Request { route, document, data: &data }
        } else {
            Frame::Sync { route, document, data: &data }
        };
        Some(frame.encode())
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        match Frame::decode(bytes).unwrap() {
            Frame::Sync { document, data, .. } if document == self.id => {
                let applied = self.state.receive_into(&mut self.document, data).unwrap();
                assert_eq!(applied.refused, []);
            }
            _ => self.others.push(bytes.to_vec()),
        }
    }

    /// Says one thing, whatever the answer.
    pub(super) fn say(&mut self, stage: &mut Stage) {
        let frame = self.speak().expect("there is something to say");
        stage.send_bytes(self.connection, &frame);
    }

    /// Comes back over a new connection, with what it kept.
    pub(super) fn rejoin(&mut self, stage: &mut Stage, permit: Permit) {
        stage.handle(Input::Closed { connection: self.connection });
        self.connection = stage.join(self.name, permit, Capabilities::NONE);
        stage.next(self.connection).expect("a welcome");
        self.state = State::decode(&self.state.encode(), Manner::OPEN).unwrap();
    }

    /// What it was told besides sync messages, decoded by `read`.
    pub(super) fn told<T>(&mut self, read: impl Fn(&Frame<'_>) -> Option<T>) -> Vec<T> {
        let frames = std::mem::take(&mut self.others);
        frames.iter().filter_map(|bytes| read(&Frame::decode(bytes).unwrap())).collect()
    }
}
