//! A relay small enough to see through: it stores at once, lets everybody do everything, and never opens a document.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, Item};
use crate::id::DocumentId;
use crate::sync::{Manner, Message, State};
use crate::time::Timestamp;
use crate::wire::{
    Capabilities, Capability, Denial, DenialCode, DocumentHeads, Frame, PROTOCOL_VERSION, PeerId,
    PeerMetadata, PeerRef, Route,
};

#[derive(Default)]
pub(super) struct Relay {
    pub(super) documents: BTreeMap<DocumentId, Graph<Box<[u8]>>>,
    peers: BTreeMap<u64, Far>,
    /// Behaves as automerge-repo's own server: without our extensions.
    pub(super) is_plain: bool,
    /// Lets nobody write these.
    pub(super) read_only: BTreeSet<DocumentId>,
    /// Can't store what comes for these.
    pub(super) failing: BTreeSet<DocumentId>,
    /// Says nothing any more, as a machine whose network cable was pulled.
    pub(super) is_mute: bool,
    outbox: Vec<(u64, Vec<u8>)>,
}

struct Far {
    peer: PeerId,
    capabilities: Capabilities,
    states: BTreeMap<DocumentId, State>,
}

impl Relay {
    /// What it has to send, to whom.
    pub(super) fn take(&mut self) -> Vec<(u64, Vec<u8>)> {
        let sent = std::mem::take(&mut self.outbox);
        if self.is_mute { Vec::new() } else { sent }
    }

    pub(super) fn closed(&mut self, link: u64) {
        self.peers.remove(&link);
    }

    /// Sends a frame to everybody who is connected.
    pub(super) fn announce(&mut self, frame: impl Fn(Route<'_>) -> Vec<u8>) {
        for (link, far) in &self.peers {
            self.outbox.push((*link, frame(Route { sender: relay(), target: far.peer.borrowed() })));
        }
    }

    pub(super) fn received(&mut self, link: u64, bytes: &[u8]) {
        match Frame::decode(bytes).expect("our own replicas write frames") {
            Frame::Join { sender, metadata, .. } => self.joined(link, sender, &metadata),
            Frame::Sync { document, data, .. } => self.sync(link, document, data),
            Frame::Request { route, document, data } => {
                self.sync(link, document, data);
                if self.documents.get(&document).is_none_or(Graph::is_empty) {
                    let route = Route { sender: relay(), target: route.sender };
                    self.outbox.push((link, Frame::Unavailable { route, document }.encode()));
                }
            }
            Frame::Open { documents, .. } => self.open(link, documents),
            Frame::Ping { route, count } => {
                let route = Route { sender: relay(), target: route.sender };
                self.outbox.push((link, Frame::Pong { route, count }.encode()));
            }
            _ => {}
        }
    }

    fn joined(&mut self, link: u64, sender: PeerRef<'_>, metadata: &PeerMetadata<'_>) {
        let ours = if self.is_plain { Capabilities::NONE } else { Capabilities::all() };
        let capabilities = ours.common(metadata.capabilities);
        let far = Far { peer: sender.to_owned(), capabilities, states: BTreeMap::new() };
        self.peers.insert(link, far);
        let route = Route { sender: relay(), target: sender };
        let metadata = PeerMetadata { capabilities: ours, ..PeerMetadata::default() };
        self.outbox.push((link, Frame::Peer { route, metadata, version: PROTOCOL_VERSION }.encode()));
    }

    fn open(&mut self, link: u64, documents: Vec<DocumentHeads>) {
        let mut durable = Vec::new();
        for DocumentHeads { document, heads } in documents {
            let graph = self.documents.entry(document).or_default();
            let mut state = State::resume(Manner::RELAY, heads.clone());
            if graph.heads() == heads {
                state.agree(&heads);
            }
            durable.push(DocumentHeads { document, heads: graph.heads() });
            self.far(link).states.insert(document, state);
        }
        let opened: Vec<_> = durable.iter().map(|entry| entry.document).collect();
        self.tell_durable(link, durable);
        for document in opened {
            self.speak(link, document);
        }
    }

    fn sync(&mut self, link: u64, document: DocumentId, data: &[u8]) {
        if self.failing.contains(&document) {
            let far = self.far(link);
            far.states.remove(&document);
            let route = Route { sender: relay(), target: far.peer.borrowed() };
            let (document, code) = (Some(document), DenialCode::Storage);
            let denial = Denial { document, code, reason: "the disk is full", retry_after: None };
            let frame = Frame::Denied { route, denial }.encode();
            return self.outbox.push((link, frame));
        }
        let may_write = !self.read_only.contains(&document);
        let graph = self.documents.entry(document).or_default();
        let far = self.peers.get_mut(&link).expect("joined first");
        let state = far.states.entry(document).or_insert_with(|| State::new(Manner::RELAY));
        state.set_read_only(!may_write);
        let message = Message::decode(data).unwrap();
        let has_changes = !message.chunks.is_empty();
        let received = state.receive(&message).unwrap();
        let count = graph.len();
        for change in received.changes {
            let accepted = graph.insert(Item::from(&change), change.bytes, Timestamp::ZERO).accepted;
            graph.settle(accepted.end);
        }
        let is_new = graph.len() > count;
        let heads = graph.heads();
        if is_new {
            self.tell_durable(link, vec![DocumentHeads { document, heads }]);
        } else if has_changes && !may_write {
            let route = Route { sender: relay(), target: far.peer.borrowed() };
            let reason = "you may read this document, but not write it";
            let (document, retry_after) = (Some(document), None);
            let denial = Denial { document, code: DenialCode::Forbidden, reason, retry_after };
            self.outbox.push((link, Frame::Denied { route, denial }.encode()));
        }
        self.speak(link, document);
        let others: Vec<_> = self.peers.keys().copied().filter(|other| is_new && *other != link).collect();
        for other in others {
            self.speak(other, document);
        }
    }

    fn far(&mut self, link: u64) -> &mut Far {
        self.peers.get_mut(&link).expect("joined first")
    }

    fn speak(&mut self, link: u64, document: DocumentId) {
        let Self { documents, peers, outbox, .. } = self;
        let graph = &documents[&document];
        let far = peers.get_mut(&link).expect("joined first");
        let Some(outgoing) = far.states.get_mut(&document).and_then(|state| state.generate(graph)) else {
            return;
        };
        let positions = outgoing.changes.iter().map(|hash| graph.position(hash).expect("it is here"));
        let chunks: Vec<_> = positions.map(|position| &**graph.payload(position).expect("kept")).collect();
        let route = Route { sender: relay(), target: far.peer.borrowed() };
        let data = outgoing.encode(chunks.into_iter());
        outbox.push((link, Frame::Sync { route, document, data: &data }.encode()));
    }

    fn tell_durable(&mut self, link: u64, documents: Vec<DocumentHeads>) {
        let far = &self.peers[&link];
        if far.capabilities.has(Capability::DurableHeads) {
            let route = Route { sender: relay(), target: far.peer.borrowed() };
            self.outbox.push((link, Frame::Durable { route, documents }.encode()));
        }
    }
}

fn relay() -> PeerRef<'static> {
    PeerRef::new("relay").unwrap()
}
