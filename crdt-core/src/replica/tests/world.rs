//! A world for stories: devices with a store each, a relay, and connections that are there or not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::relay::Relay;
use crate::id::DocumentId;
use crate::replica::{
    Command, ConnectionId, Edited, EndpointId, Event, Input, Intent, OperationId, Output, Priority,
    RecordKey, Replica, ReplicaConfig, Role, StorageRequest, WriteId, WritePart,
};
use crate::time::Timestamp;
use crate::wire::{DeviceId, Frame, PeerId, SessionId};

/// The relay's endpoint; a device's is its index after it.
pub(super) const RELAY: EndpointId = EndpointId(0);

pub(super) const CART: DocumentId = DocumentId::from_bytes([7; 16]);

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) devices: Vec<Device>,
    pub(super) relay: Relay,
    pub(super) relay_is_up: bool,
    links: Vec<Link>,
}

pub(super) struct Device {
    pub(super) name: &'static str,
    pub(super) replica: Replica,
    pub(super) rng: ChaCha8Rng,
    pub(super) store: Store,
    /// What the application was told since it was last asked.
    pub(super) events: Vec<Event>,
    pub(super) commands: Vec<(Command, u32)>,
    pub(super) dialled: Vec<(Timestamp, EndpointId)>,
    /// Frames received from the relay.
    pub(super) received: Vec<Vec<u8>>,
    /// Frames sent, by what people call them.
    pub(super) sent: Vec<&'static str>,
    /// Every output, for comparing runs.
    pub(super) trace: Vec<String>,
    runs: u64,
}

/// The disk of a device.
#[derive(Default)]
pub(super) struct Store {
    pub(super) documents: BTreeMap<DocumentId, Vec<u8>>,
    pub(super) records: BTreeMap<RecordKey, Vec<u8>>,
    pub(super) is_failing: bool,
    /// Writes wait until the store is let go.
    pub(super) is_held: bool,
    held: Vec<(WriteId, Vec<WritePart>)>,
    pub(super) writes: usize,
}

/// A connection, from a device to the relay or to another.
#[derive(Clone, Copy)]
struct Link {
    id: u64,
    from: (usize, ConnectionId),
    to: Option<(usize, ConnectionId)>,
}

impl World {
    pub(super) fn new(names: &[&'static str]) -> Self {
        let devices = names.iter().map(|name| Device::new(name, config(name)));
        let mut world = Self {
            now: Timestamp::from_millis(1_700_000_000_000),
            devices: devices.collect(),
            relay: Relay::default(),
            relay_is_up: true,
            links: Vec::new(),
        };
        world.run();
        world
    }

    pub(super) fn give(&mut self, device: usize, input: Input) {
        let Device { replica, rng, .. } = &mut self.devices[device];
        replica.handle(self.now, rng, input);
        self.run();
    }

    pub(super) fn open(&mut self, device: usize, document: DocumentId) {
        let (intent, priority) = (Intent::OpenOrCreate, Priority::Medium);
        self.give(device, Input::Open { document, intent, priority });
    }

    pub(super) fn find(&mut self, device: usize, document: DocumentId) {
        let (intent, priority) = (Intent::Find, Priority::Medium);
        self.give(device, Input::Open { document, intent, priority });
    }

    pub(super) fn connect(&mut self, device: usize) {
        self.give(device, Input::Connect { endpoint: RELAY, role: Role::Relay });
    }

    pub(super) fn connect_to(&mut self, device: usize, other: usize) {
        let endpoint = EndpointId(u32::try_from(other).unwrap() + 1);
        self.give(device, Input::Connect { endpoint, role: Role::Peer });
    }

    pub(super) fn put(&mut self, device: usize, document: DocumentId, key: &str) -> Vec<OperationId> {
        let Device { replica, rng, .. } = &mut self.devices[device];
        let edited: Edited<()> = replica
            .edit(self.now, rng, document, |document| {
                let mut edit = document.edit();
                edit.put(key, "v");
                edit.commit();
            })
            .unwrap();
        self.run();
        edited.operations
    }

    /// Loses every connection of a device, without it having wanted that.
    pub(super) fn cut(&mut self, device: usize) {
        let is_of = |end: &(usize, ConnectionId)| end.0 == device;
        let lost = self.links.extract_if(.., |link| is_of(&link.from) || link.to.as_ref().is_some_and(is_of));
        for link in lost.collect::<Vec<_>>() {
            self.relay.closed(link.id);
            for (device, connection) in [Some(link.from), link.to].into_iter().flatten() {
                self.give(device, Input::Closed { connection, why: "cut".into() });
            }
        }
    }

    /// The device starts again, from what is on its disk.
    pub(super) fn restart(&mut self, device: usize) {
        self.links.retain(|link| link.from.0 != device && link.to.is_none_or(|to| to.0 != device));
        let old = &mut self.devices[device];
        old.runs += 1;
        let mut config = config(old.name);
        config.session = SessionId::new(&format!("run-{}", old.runs)).unwrap();
        old.store.held.clear();
        old.store.is_held = false;
        let (store, runs) = (std::mem::take(&mut old.store), old.runs);
        let mut rng = ChaCha8Rng::seed_from_u64(1000 + runs);
        let replica = Replica::new(config.clone(), self.now, &mut rng);
        self.devices[device] = Device { replica, rng, store, runs, ..Device::new(old.name, config) };
        self.run();
    }

    /// Lets time pass, waking whoever wants to be woken.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let deadlines = self.devices.iter().filter_map(|device| device.replica.next_deadline());
            let Some(next) = deadlines.min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            for device in 0..self.devices.len() {
                if self.devices[device].replica.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.give(device, Input::Wake);
                }
            }
        }
        self.now = end;
    }

    /// Carries out outputs until nobody has any.
    pub(super) fn run(&mut self) {
        loop {
            let mut is_quiet = true;
            for device in 0..self.devices.len() {
                while let Some(output) = self.devices[device].replica.poll_output() {
                    is_quiet = false;
                    self.devices[device].trace.push(format!("{output:?}"));
                    self.carry_out(device, output);
                }
            }
            for (link, frame) in self.relay.take() {
                is_quiet = false;
                if let Some(link) = self.links.iter().find(|known| known.id == link) {
                    let (device, connection) = link.from;
                    self.devices[device].received.push(frame.clone());
                    self.hand(device, Input::Received { connection, frame });
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    fn carry_out(&mut self, device: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Dial { endpoint, connection } => self.dial(device, endpoint, connection),
            Output::Close { connection } => self.close(device, connection),
            Output::Send { connection, frame } => self.send(device, connection, frame),
            Output::Storage(request) => {
                let Device { replica, rng, store, .. } = &mut self.devices[device];
                if let Some(input) = store.serve(request) {
                    replica.handle(now, rng, input);
                }
            }
            Output::Run { command, attempt } => self.devices[device].commands.push((command, attempt)),
            Output::Event(event) => self.devices[device].events.push(event),
        }
    }

    fn hand(&mut self, device: usize, input: Input) {
        let Device { replica, rng, .. } = &mut self.devices[device];
        replica.handle(self.now, rng, input);
    }

    fn dial(&mut self, device: usize, endpoint: EndpointId, connection: ConnectionId) {
        self.devices[device].dialled.push((self.now, endpoint));
        let to = if endpoint == RELAY {
            if !self.relay_is_up {
                return self.hand(device, Input::Closed { connection, why: "refused".into() });
            }
            None
        } else {
            let other = usize::try_from(endpoint.0).unwrap() - 1;
            Some((other, self.devices[other].replica.accept()))
        };
        let id = self.links.last().map_or(0, |link| link.id + 1);
        self.links.push(Link { id, from: (device, connection), to });
        self.hand(device, Input::Connected { connection });
    }

    fn close(&mut self, device: usize, connection: ConnectionId) {
        let end = (device, connection);
        let Some(at) = self.links.iter().position(|link| link.from == end || link.to == Some(end)) else {
            return;
        };
        let link = self.links.remove(at);
        self.relay.closed(link.id);
        for (device, connection) in
            [Some(link.from), link.to].into_iter().flatten().filter(|other| *other != end)
        {
            self.hand(device, Input::Closed { connection, why: "closed by the other end".into() });
        }
    }

    fn send(&mut self, device: usize, connection: ConnectionId, frame: Vec<u8>) {
        self.devices[device].sent.push(kind(&frame));
        let end = (device, connection);
        let Some(link) = self.links.iter().find(|link| link.from == end || link.to == Some(end)) else {
            return;
        };
        let (id, other) = (link.id, if link.from == end { link.to } else { Some(link.from) });
        match other {
            None => self.relay.received(id, &frame),
            Some((device, connection)) => self.hand(device, Input::Received { connection, frame }),
        }
    }

    /// What a device holds of a document, by its keys.
    pub(super) fn keys(&self, device: usize, document: DocumentId) -> BTreeSet<String> {
        let document = self.devices[device].replica.document(document).expect("it is open");
        document.scan("").map(|(key, _)| key).collect()
    }

    /// The connections of a device, oldest first.
    pub(super) fn connections(&self, device: usize) -> Vec<ConnectionId> {
        let ends = self.links.iter().flat_map(|link| [Some(link.from), link.to]).flatten();
        ends.filter(|end| end.0 == device).map(|end| end.1).collect()
    }

    /// Lets a held store do what it was asked, up to now.
    pub(super) fn release_store(&mut self, device: usize) {
        let store = &mut self.devices[device].store;
        store.is_held = false;
        for (write, parts) in std::mem::take(&mut store.held) {
            let answer = self.devices[device].store.write(write, parts);
            self.hand(device, answer);
        }
        self.run();
    }
}

impl Device {
    fn new(name: &'static str, config: ReplicaConfig) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(name.bytes().map(u64::from).sum());
        let now = Timestamp::from_millis(1_700_000_000_000);
        Self {
            name,
            replica: Replica::new(config, now, &mut rng),
            rng,
            store: Store::default(),
            events: Vec::new(),
            commands: Vec::new(),
            dialled: Vec::new(),
            received: Vec::new(),
            sent: Vec::new(),
            trace: Vec::new(),
            runs: 0,
        }
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn was_told(&self, is: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(is)
    }
}

impl Store {
    fn serve(&mut self, request: StorageRequest) -> Option<Input> {
        let owned = |(key, value): (&RecordKey, &Vec<u8>)| (key.clone(), value.clone());
        Some(match request {
            StorageRequest::LoadIndex => {
                let index = self.records.iter().filter(|(key, _)| key.is_in_index());
                Input::IndexLoaded { records: index.map(owned).collect() }
            }
            StorageRequest::LoadDocument { document } if self.is_failing => {
                Input::LoadFailed { document: Some(document), why: "the disk is tired".into() }
            }
            StorageRequest::LoadDocument { document } => {
                let is_of = |key: &RecordKey| match key {
                    RecordKey::Standing(of) | RecordKey::Shared(of, _) => *of == document,
                    RecordKey::Command(_) => false,
                };
                let records = self.records.iter().filter(|(key, _)| is_of(key)).map(owned).collect();
                let chunks = self.documents.get(&document).cloned().unwrap_or_default();
                Input::DocumentLoaded { document, chunks, records }
            }
            StorageRequest::Write { write, .. } if self.is_failing => {
                Input::StoreFailed { write, why: "the disk is full".into() }
            }
            StorageRequest::Write { write, parts } if self.is_held => {
                self.held.push((write, parts));
                return None;
            }
            StorageRequest::Write { write, parts } => self.write(write, parts),
        })
    }

    fn write(&mut self, write: WriteId, parts: Vec<WritePart>) -> Input {
        self.writes += 1;
        for part in parts {
            match part {
                WritePart::Append { document, chunks } => {
                    self.documents.entry(document).or_default().extend(chunks);
                }
                WritePart::Replace { document, chunks } => {
                    self.documents.insert(document, chunks);
                }
                WritePart::Put { key, value } => {
                    self.records.insert(key, value);
                }
                WritePart::Delete { key } => {
                    self.records.remove(&key);
                }
            }
        }
        Input::Stored { write }
    }
}

pub(super) fn config(name: &str) -> ReplicaConfig {
    let (device, session) = (DeviceId::new(name).unwrap(), SessionId::new("run-0").unwrap());
    ReplicaConfig::new(PeerId::new(name).unwrap(), device, session)
}

/// What people call a frame.
pub(super) fn kind(frame: &[u8]) -> &'static str {
    match Frame::decode(frame).unwrap() {
        Frame::Join { .. } => "join",
        Frame::Peer { .. } => "peer",
        Frame::Error { .. } => "error",
        Frame::Request { .. } => "request",
        Frame::Sync { .. } => "sync",
        Frame::Unavailable { .. } => "unavailable",
        Frame::Ephemeral(_) => "ephemeral",
        Frame::Denied { .. } => "denied",
        Frame::Durable { .. } => "durable",
        Frame::Open { .. } => "open",
        Frame::Renew { .. } => "renew",
        Frame::Presence { .. } => "presence",
        Frame::Ping { .. } => "ping",
        Frame::Pong { .. } => "pong",
        other => panic!("no replica says {other:?}"),
    }
}
