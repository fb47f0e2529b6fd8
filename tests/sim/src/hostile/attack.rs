//! Attacks: frames that no honest peer sends. Every hostile input that is known to have worked against some server is here.

use std::time::Duration;

use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::wire::{
    Capabilities, DeviceRef, DocumentHeads, Ephemeral, Frame, PeerMetadata, PeerRef, Presence, Route,
    SessionRef,
};
use pannier_forge::chunk::{Header, inflating_chunk};
use pannier_forge::message::{SyncMessage, bloom};

use crate::chance::Chance;

/// One thing a stranger can do once connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// Bytes that mean nothing.
    Noise,
    /// A frame cut short.
    HalfFrame,
    /// A frame heard earlier, sent back.
    Replay,
    /// A frame heard earlier with some bytes changed.
    Mutation,
    /// A second `join`, perhaps under the name of somebody connected.
    JoinAgain,
    /// A filter that claims entries without bits.
    FilterWithoutBits,
    /// A filter with millions of probes.
    FilterWithManyProbes,
    /// A filter that claims more entries than memory holds.
    FilterWithManyEntries,
    /// A small change that inflates to much.
    InflatingChange,
    /// A change whose checksum is wrong.
    BadChecksum,
    /// Garbage operations under a valid checksum.
    GarbageOperations,
    /// Two different changes of one actor with one number.
    SequenceReused,
    /// A change that skips numbers.
    SequenceGap,
    /// A change whose operations count from far above.
    CounterJump,
    /// Changes that depend on what does not exist.
    Orphans,
    /// A well-formed change, to a document that may or may not be theirs to write.
    HonestChange,
    /// Hundreds of documents that nobody has.
    UnknownDocuments,
    /// A document of somebody else.
    ForeignDocument,
    /// Needs that nobody can meet, again and again.
    EndlessNeed,
    /// An ephemeral message in somebody else's name.
    ForgedEphemeral,
    /// A presence in somebody else's name.
    ForgedPresence,
    /// A frame in somebody else's name.
    ForgedSender,
    /// More frames at once than anybody honest sends.
    Flood,
    /// Nothing at all, while the connection stays open.
    Silence,
}

impl Attack {
    pub const ALL: [Self; 24] = [
        Self::Noise,
        Self::HalfFrame,
        Self::Replay,
        Self::Mutation,
        Self::JoinAgain,
        Self::FilterWithoutBits,
        Self::FilterWithManyProbes,
        Self::FilterWithManyEntries,
        Self::InflatingChange,
        Self::BadChecksum,
        Self::GarbageOperations,
        Self::SequenceReused,
        Self::SequenceGap,
        Self::CounterJump,
        Self::Orphans,
        Self::HonestChange,
        Self::UnknownDocuments,
        Self::ForeignDocument,
        Self::EndlessNeed,
        Self::ForgedEphemeral,
        Self::ForgedPresence,
        Self::ForgedSender,
        Self::Flood,
        Self::Silence,
    ];
}

impl Attack {
    /// Whether it brings changes that are well-formed, one by one.
    fn brings_changes(self) -> bool {
        matches!(
            self,
            Self::SequenceReused | Self::SequenceGap | Self::CounterJump | Self::Orphans | Self::HonestChange
        )
    }
}

/// What an attacker knows.
#[derive(Clone, Debug)]
pub struct Knowledge {
    /// The name it joined under.
    pub name: String,
    /// Names of devices in the world.
    pub names: Vec<String>,
    /// Documents of the world, its own and others'.
    pub documents: Vec<DocumentId>,
    /// Those of them to which it brings changes that anybody would take.
    pub writable: Vec<DocumentId>,
    /// The actor it writes as.
    pub actor: ActorId,
    /// Frames that it was sent.
    pub heard: Vec<Vec<u8>>,
}

impl Knowledge {
    /// The `join` of somebody who understands every extension.
    pub fn join(&self) -> Vec<u8> {
        join_as(&self.name)
    }

    /// The frames of this attack.
    pub fn frames(&self, attack: Attack, chance: &mut Chance) -> Vec<Vec<u8>> {
        let documents = if attack.brings_changes() { &self.writable } else { &self.documents };
        let Some(document) = chance.pick(documents).copied() else { return Vec::new() };
        let sync = |message: &SyncMessage| sync_as(&self.name, document, &message.encode());
        let have = |filter: Vec<u8>| {
            let last_sync = Vec::new();
            sync(&SyncMessage { have: vec![(last_sync, filter)], ..SyncMessage::default() })
        };
        let carrying = |change: Vec<u8>, heads: Vec<ChangeHash>| {
            let have = vec![(Vec::new(), Vec::new())];
            sync(&SyncMessage { heads, have, changes: vec![change], ..SyncMessage::default() })
        };
        match attack {
            Attack::Noise => {
                let len = chance.index(200);
                vec![chance.bytes(len)]
            }
            Attack::HalfFrame => {
                let whole = self.any_frame(chance);
                vec![whole[..chance.index(whole.len())].to_vec()]
            }
            Attack::Replay => vec![self.any_frame(chance)],
            Attack::Mutation => vec![self.mutated(chance)],
            Attack::JoinAgain => {
                let name = chance.pick(&self.names).unwrap_or(&self.name);
                vec![join_as(name)]
            }
            Attack::FilterWithoutBits => vec![have(bloom(1, 0, 7, &[]))],
            Attack::FilterWithManyProbes => vec![have(bloom(1, 10, 1 << 26, &[0xff, 0xff]))],
            Attack::FilterWithManyEntries => vec![have(bloom(1 << 40, 10, 7, &[0xff; 8]))],
            Attack::InflatingChange => vec![carrying(inflating_chunk(8 << 20), Vec::new())],
            Attack::BadChecksum => {
                let mut bytes = self.header(chance).put("n/cart", "x");
                bytes[4] ^= 1;
                vec![carrying(bytes, Vec::new())]
            }
            Attack::GarbageOperations => {
                let len = chance.index(40);
                let noise = chance.bytes(len);
                vec![carrying(self.header(chance).noise(&noise), vec![any_hash(chance)])]
            }
            Attack::SequenceReused => {
                let header = self.header(chance);
                ["one", "two"].map(|text| carrying(header.put("n/cart", text), Vec::new())).into()
            }
            Attack::SequenceGap => {
                let header = Header { seq: 2 + chance.within(0..=1000), ..self.header(chance) };
                vec![carrying(header.put("n/cart", "gap"), Vec::new())]
            }
            Attack::CounterJump => {
                let header = Header { start_op: 1 << chance.within(20..=40), ..self.header(chance) };
                vec![carrying(header.put("n/cart", "jump"), Vec::new())]
            }
            Attack::Orphans => {
                let orphan = |chance: &mut Chance| {
                    let header = Header { deps: vec![any_hash(chance)], ..self.header(chance) };
                    carrying(header.put("n/cart", "orphan"), vec![any_hash(chance)])
                };
                (0..20).map(|_| orphan(chance)).collect()
            }
            Attack::HonestChange => vec![carrying(self.header(chance).put("n/cart", "hello"), Vec::new())],
            Attack::UnknownDocuments => self.unknown_documents(chance),
            Attack::ForeignDocument => {
                let empty = SyncMessage { have: vec![(Vec::new(), Vec::new())], ..SyncMessage::default() };
                vec![self.request(document, &empty.encode())]
            }
            Attack::EndlessNeed => {
                let need = |chance: &mut Chance| SyncMessage {
                    heads: vec![any_hash(chance)],
                    need: vec![any_hash(chance)],
                    ..SyncMessage::default()
                };
                (0..10).map(|_| sync(&need(chance))).collect()
            }
            Attack::ForgedEphemeral => vec![self.ephemeral(document, chance)],
            Attack::ForgedPresence => vec![self.presence(document, chance)],
            Attack::ForgedSender => {
                let name = chance.pick(&self.names).unwrap_or(&self.name);
                let empty = SyncMessage { have: vec![(Vec::new(), Vec::new())], ..SyncMessage::default() };
                vec![sync_as(name, document, &empty.encode())]
            }
            Attack::Flood => {
                let frame = self.any_frame(chance);
                vec![frame; 300]
            }
            Attack::Silence => Vec::new(),
        }
    }

    /// A fresh actor each time: what one attack leaves must not make the next one pointless.
    fn header(&self, chance: &mut Chance) -> Header {
        let mut actor = self.actor.as_bytes().to_vec();
        actor.extend(chance.bytes(4));
        let actor = ActorId::from_slice(&actor).expect("20 bytes are an actor");
        Header { deps: Vec::new(), actor, seq: 1, start_op: 1 }
    }

    fn any_frame(&self, chance: &mut Chance) -> Vec<u8> {
        chance.pick(&self.heard).cloned().unwrap_or_else(|| self.join())
    }

    fn mutated(&self, chance: &mut Chance) -> Vec<u8> {
        let mut frame = self.any_frame(chance);
        for _ in 0..chance.within(1..=6) {
            let at = chance.index(frame.len());
            match chance.within(0..=2) {
                0 => frame[at] ^= 1 << chance.within(0..=7),
                1 => frame.insert(at, chance.bytes(1)[0]),
                _ if frame.len() > 1 => drop(frame.remove(at)),
                _ => {}
            }
        }
        frame
    }

    fn unknown_documents(&self, chance: &mut Chance) -> Vec<Vec<u8>> {
        let unknown = |chance: &mut Chance| {
            DocumentId::from_bytes(chance.bytes(16).try_into().expect("sixteen were drawn"))
        };
        let documents = (0..500)
            .map(|_| DocumentHeads { document: unknown(chance), heads: vec![any_hash(chance)] })
            .collect();
        let mut frames = vec![Frame::Open { route: route(&self.name), documents }.encode()];
        let empty = SyncMessage { have: vec![(Vec::new(), Vec::new())], ..SyncMessage::default() };
        frames.extend((0..50).map(|_| self.request(unknown(chance), &empty.encode())));
        frames
    }

    fn ephemeral(&self, document: DocumentId, chance: &mut Chance) -> Vec<u8> {
        let sender = chance.pick(&self.names).unwrap_or(&self.name);
        let message = Ephemeral {
            route: route(sender),
            document,
            session: SessionRef::new("forged").expect("a short name"),
            count: chance.within(0..=u64::MAX >> 11),
            data: &[0xa0],
        };
        Frame::Ephemeral(message).encode()
    }

    fn presence(&self, document: DocumentId, chance: &mut Chance) -> Vec<u8> {
        let sender = chance.pick(&self.names).unwrap_or(&self.name);
        let presence = Presence {
            session: SessionRef::new("forged").expect("a short name"),
            device: DeviceRef::new("forged").expect("a short name"),
            count: chance.within(0..=u64::MAX >> 11),
            document: Some(document),
            idle: Duration::ZERO,
            expires_after: chance.millis(0..=1 << 50),
            data: &[0xa0],
        };
        Frame::Presence { route: route(sender), presence }.encode()
    }

    fn request(&self, document: DocumentId, data: &[u8]) -> Vec<u8> {
        Frame::Request { route: route(&self.name), document, data }.encode()
    }
}

fn sync_as(sender: &str, document: DocumentId, data: &[u8]) -> Vec<u8> {
    Frame::Sync { route: route(sender), document, data }.encode()
}

fn route(sender: &str) -> Route<'_> {
    let name = |text| PeerRef::new(text).expect("names in the world are short");
    Route { sender: name(sender), target: name("relay") }
}

fn join_as(name: &str) -> Vec<u8> {
    let metadata = PeerMetadata { capabilities: Capabilities::all(), ..PeerMetadata::default() };
    let sender = PeerRef::new(name).expect("names in the world are short");
    Frame::Join { sender, metadata, versions: vec!["1"] }.encode()
}

fn any_hash(chance: &mut Chance) -> ChangeHash {
    ChangeHash::from_bytes(chance.bytes(32).try_into().expect("32 were drawn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_writes_the_frames_it_promises() {
        let knowledge = Knowledge {
            name: "stranger-0".into(),
            names: vec!["device-0".into()],
            documents: vec![DocumentId::from_bytes([1; 16])],
            writable: vec![DocumentId::from_bytes([1; 16])],
            actor: ActorId::from_bytes([9; 16]),
            heard: vec![b"heard".to_vec()],
        };
        let mut chance = Chance::new(1, "attacks");
        for attack in Attack::ALL {
            let frames = knowledge.frames(attack, &mut chance);
            assert_eq!(frames.is_empty(), attack == Attack::Silence, "{attack:?}");
            let bytes: usize = frames.iter().map(Vec::len).sum();
            assert!(bytes < 1 << 20, "{attack:?} is {bytes} bytes: the world would spend its time on them");
        }
        let forged = knowledge.frames(Attack::ForgedSender, &mut chance).remove(0);
        let Ok(Frame::Sync { route, .. }) = Frame::decode(&forged) else { panic!("a sync frame") };
        assert_eq!(route.sender.as_str(), "device-0");
    }
}
