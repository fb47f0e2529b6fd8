//! Whatever strangers, networks and disks do, in any order: the replica goes on, and honest devices meet.
//!
//! Bytes spell what happens, so that any generator of bytes can drive it.

use std::time::Duration;

use super::world::{CART, World};
use crate::document::{Change, Document};
use crate::id::{ActorId, ChangeHash, DocumentId};
use crate::limits::PRESENCES_MAX;
use crate::replica::{ConnectionId, Input};
use crate::sync::{Bloom, Have, Message};
use crate::wire::{
    Capabilities, DeviceRef, DocumentHeads, Ephemeral, Frame, PeerMetadata, PeerRef, Presence, Route,
    SessionRef,
};

const PHONE: usize = 0;
const LAPTOP: usize = 1;

#[cfg(test)]
const DRILLS: u64 = 500;

/// Bytes of one drill.
#[cfg(test)]
const DRILL_BYTES: usize = 400;

const STRANGERS_MAX: usize = 4;

/// Choices spelled by bytes. When they are used up, each further one is the first.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, count: u8) -> u8 {
        self.byte() % count
    }

    fn bytes(&mut self, max: u8) -> Vec<u8> {
        let count = usize::from(self.below(max)).min(self.0.len());
        let (some, rest) = self.0.split_at(count);
        self.0 = rest;
        some.to_vec()
    }
}

struct Drill<'a> {
    choices: Choices<'a>,
    world: World,
    strangers: Vec<ConnectionId>,
    /// Changes that a stranger can send as they are, or broken.
    changes: Vec<Change>,
    written: usize,
}

/// Does what the bytes spell, heals everything, and demands that the honest devices meet.
pub fn drill(bytes: &[u8]) {
    let mut world = World::new(&["phone", "laptop"]);
    world.open(PHONE, CART);
    world.open(LAPTOP, CART);
    world.connect_to(LAPTOP, PHONE);
    world.put(PHONE, CART, "before");
    let mut foreign = Document::new(ActorId::from_bytes([9; 16]));
    for key in ["one", "two", "three"] {
        let mut edit = foreign.edit();
        edit.put(key, "v");
        edit.commit();
    }
    let changes = foreign.changes_for_peer(&[]);
    let mut drill = Drill { choices: Choices(bytes), world, strangers: Vec::new(), changes, written: 0 };
    while !drill.choices.0.is_empty() {
        drill.step();
        assert!(drill.world.devices[PHONE].replica.documents().count() <= 8, "unknown documents are kept");
        assert!(drill.world.devices[PHONE].replica.present().count() <= PRESENCES_MAX);
    }
    drill.heal();
}

impl Drill<'_> {
    fn step(&mut self) {
        match self.choices.below(12) {
            0 => self.connect(),
            1..=4 => {
                let Some(connection) = self.stranger() else { return };
                let frame = self.frame();
                self.world.give(PHONE, Input::Received { connection, frame });
            }
            5 => {
                let Some(connection) = self.stranger() else { return };
                self.strangers.retain(|stranger| *stranger != connection);
                self.world.give(PHONE, Input::Closed { connection, why: "gone".into() });
            }
            6 => self.world.cut(PHONE),
            7 => self.world.pass(Duration::from_secs(u64::from(self.choices.below(60)))),
            8 => {
                let store = &mut self.world.devices[PHONE].store;
                store.is_failing = !store.is_failing;
            }
            9 if self.world.devices[PHONE].store.is_held => self.world.release_store(PHONE),
            9 => self.world.devices[PHONE].store.is_held = true,
            10 => {
                let data = self.choices.bytes(8);
                self.world.give(PHONE, Input::Broadcast { document: CART, data });
            }
            _ => {
                self.written += 1;
                let device = usize::from(self.choices.below(2));
                self.world.put(device, CART, &format!("note {}", self.written));
            }
        }
    }

    /// A stranger comes, and mostly says hello.
    fn connect(&mut self) {
        if self.strangers.len() == STRANGERS_MAX {
            return;
        }
        let connection = self.world.devices[PHONE].replica.accept();
        self.strangers.push(connection);
        if self.choices.below(4) > 0 {
            let metadata = PeerMetadata { capabilities: Capabilities::all(), ..PeerMetadata::default() };
            let join =
                Frame::Join { sender: PeerRef::new("stranger").unwrap(), metadata, versions: vec!["1"] };
            self.world.give(PHONE, Input::Received { connection, frame: join.encode() });
        }
    }

    fn stranger(&mut self) -> Option<ConnectionId> {
        let count = u8::try_from(self.strangers.len()).unwrap();
        (count > 0).then(|| self.strangers[usize::from(self.choices.below(count))])
    }

    fn frame(&mut self) -> Vec<u8> {
        let document = if self.choices.below(3) > 0 {
            CART
        } else {
            DocumentId::from_bytes([self.choices.below(4); 16])
        };
        let name = ["stranger", "stranger", "stranger", "laptop"][usize::from(self.choices.below(4))];
        let route = Route { sender: PeerRef::new(name).unwrap(), target: PeerRef::new("phone").unwrap() };
        let session = SessionRef::new("run").unwrap();
        let count = u64::from(self.choices.byte());
        match self.choices.below(12) {
            0 => self.choices.bytes(64),
            1 => Frame::Peer { route, metadata: PeerMetadata::default(), version: "1" }.encode(),
            2 => Frame::Ephemeral(Ephemeral { route, document, session, count, data: b"x" }).encode(),
            3 => {
                let device = DeviceRef::new("a").unwrap();
                let (idle, expires_after) = (Duration::ZERO, Duration::from_secs(count));
                let document = Some(document);
                let presence = Presence { session, device, count, document, idle, expires_after, data: b"x" };
                Frame::Presence { route, presence }.encode()
            }
            4 => {
                let heads = self.hashes();
                Frame::Open { route, documents: vec![DocumentHeads { document, heads }] }.encode()
            }
            5 => {
                let heads = self.hashes();
                Frame::Durable { route, documents: vec![DocumentHeads { document, heads }] }.encode()
            }
            6 => Frame::Unavailable { route, document }.encode(),
            7 => {
                let data = [&[0x43][..], &self.choices.bytes(40)].concat();
                Frame::Sync { route, document, data: &data }.encode()
            }
            kind => {
                let data = self.message();
                if kind == 8 {
                    Frame::Request { route, document, data: &data }.encode()
                } else {
                    Frame::Sync { route, document, data: &data }.encode()
                }
            }
        }
    }

    /// A sync message, of which now and then a byte is not what it was.
    fn message(&mut self) -> Vec<u8> {
        let chunks: Vec<_> = (0..self.choices.below(4)).map(|_| self.chunk()).collect();
        let have = (0..self.choices.below(3)).map(|_| {
            let last_sync = self.hashes();
            Have { last_sync, bloom: Bloom::of(&self.hashes()) }
        });
        let have = have.collect();
        let message = Message {
            heads: self.hashes(),
            need: self.hashes(),
            have,
            chunks: chunks.iter().map(Vec::as_slice).collect(),
            flags: None,
            is_version_2: self.choices.below(2) == 0,
        };
        let mut bytes = message.encode();
        if self.choices.below(4) == 0 {
            let at = usize::from(self.choices.byte()) % bytes.len();
            bytes[at] = self.choices.byte();
        }
        bytes
    }

    fn chunk(&mut self) -> Vec<u8> {
        let which = usize::from(self.choices.below(3));
        let mut bytes = self.changes[which].bytes().to_vec();
        if self.choices.below(3) == 0 {
            let at = usize::from(self.choices.byte()) % bytes.len();
            bytes[at] = self.choices.byte();
        }
        bytes
    }

    /// Some of the cart's heads, of the stranger's changes, or hashes of nothing.
    fn hashes(&mut self) -> Vec<ChangeHash> {
        match self.choices.below(5) {
            0 => self.world.devices[LAPTOP].replica.document(CART).unwrap().heads(),
            1 => vec![self.changes[usize::from(self.choices.below(3))].hash()],
            2 => vec![ChangeHash::from_bytes([self.choices.byte(); 32])],
            _ => Vec::new(),
        }
    }

    fn heal(mut self) {
        for connection in std::mem::take(&mut self.strangers) {
            self.world.give(PHONE, Input::Closed { connection, why: "gone".into() });
        }
        self.world.devices[PHONE].store.is_failing = false;
        self.world.release_store(PHONE);
        self.world.put(PHONE, CART, "at last");
        self.world.pass(Duration::from_mins(10));
        let heads = |device: usize| self.world.devices[device].replica.document(CART).unwrap().heads();
        assert_eq!(heads(PHONE), heads(LAPTOP));
        assert!(self.world.keys(LAPTOP, CART).contains("at last"));
        assert!(self.world.devices[PHONE].replica.is_stored(CART));
    }
}

/// Bytes that differ with the seed.
#[cfg(test)]
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..DRILL_BYTES).map(|_| byte()).collect()
}

#[test]
fn whatever_comes_honest_devices_meet() {
    for seed in 0..DRILLS {
        let result = std::panic::catch_unwind(|| drill(&noise(seed)));
        assert!(result.is_ok(), "seed {seed}");
    }
}
