//! Whatever strangers and disks do, in any order: the hub goes on, keeps within its bounds, and honest devices meet.
//!
//! Bytes spell what happens, so that any generator of bytes can drive it.

use std::sync::LazyLock;

use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::wire::{
    Capabilities, DeviceRef, DocumentHeads, Ephemeral, Frame, PeerMetadata, PeerRef, Presence, Route,
    SessionRef,
};
use pannier_forge::chunk::{Header, inflating_chunk};
use pannier_forge::message::{SyncMessage, bloom};

use super::stage::{CART, Device, Stage, user};
use crate::hub::{Input, Limits};
use crate::id::ConnectionId;

#[cfg(test)]
const DRILLS: u64 = 1_000;

/// Bytes of one drill.
#[cfg(test)]
const DRILL_BYTES: usize = 600;

const STRANGERS_MAX: usize = 4;

/// What rooms may take of memory in a drill, which brings less than this.
const MEMORY_MAX: usize = 256 << 10;

static INFLATING: LazyLock<Vec<u8>> = LazyLock::new(|| inflating_chunk(32 << 20));

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
        let (some, rest) =
            self.0.split_at(usize::from(self.0.first().copied().unwrap_or(0) % max).min(self.0.len()));
        self.0 = rest;
        some.to_vec()
    }

    /// A small number, or now and then a large one.
    fn number(&mut self) -> u64 {
        match self.byte() {
            large @ 224.. => 1 << (large - 192),
            small => u64::from(small % 8),
        }
    }
}

struct Drill<'a> {
    choices: Choices<'a>,
    stage: Stage,
    phone: Device,
    laptop: Device,
    strangers: Vec<ConnectionId>,
    written: usize,
}

/// Does what the bytes spell, heals everything, and demands that the honest devices meet.
pub fn drill(bytes: &[u8]) {
    let limits = Limits {
        documents_per_connection_max: 8,
        parked_bytes_max: 64 << 10,
        held_bytes_max: 16 << 10,
        cache_bytes_max: 32 << 10,
        ephemeral_sessions_max: 4,
        ..Limits::default()
    };
    let mut stage = Stage::with_limits(limits);
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    // A document belongs to whoever writes it first.
    phone.write("before");
    stage.talk(&mut [&mut phone, &mut laptop]);
    let mut drill =
        Drill { choices: Choices(bytes), stage, phone, laptop, strangers: Vec::new(), written: 0 };
    while !drill.choices.0.is_empty() {
        drill.step();
        let memory = drill.stage.hub.memory_bytes();
        assert!(memory <= MEMORY_MAX, "{memory} bytes in rooms");
    }
    drill.heal();
}

impl Drill<'_> {
    fn step(&mut self) {
        match self.choices.below(12) {
            0 => self.connect(),
            1..=4 => {
                let Some(stranger) = self.stranger() else { return };
                let frame = self.frame();
                self.stage.send_bytes(stranger, &frame);
            }
            5 => self.send_back(),
            6 => self.stage.disk_is_prompt = !self.stage.disk_is_prompt,
            7 if !self.stage.appends.is_empty() => self.stage.fail_one(),
            8 if !self.stage.appends.is_empty() => self.stage.store_one(),
            9 => {
                if let Some(connection) = self.stranger() {
                    self.strangers.retain(|stranger| *stranger != connection);
                    self.stage.handle(Input::Closed { connection });
                }
            }
            10 => {
                let time = std::time::Duration::from_secs(1 + u64::from(self.choices.below(12)));
                self.stage.wait(time);
            }
            _ => self.write(),
        }
    }

    /// A stranger comes, as the owner of the cart or as somebody else, and mostly says hello.
    fn connect(&mut self) {
        if self.strangers.len() == STRANGERS_MAX {
            return;
        }
        let subject = ["student-7", "student-8"][usize::from(self.choices.below(2))];
        let name = ["tablet", "desk", "watch"][usize::from(self.choices.below(3))];
        let stranger = match self.choices.below(4) {
            0 => self.stage.connect(user(subject)),
            1 => self.stage.join(name, user(subject), Capabilities::NONE),
            _ => self.stage.join(name, user(subject), Capabilities::all()),
        };
        self.strangers.push(stranger);
    }

    fn stranger(&mut self) -> Option<ConnectionId> {
        let count = u8::try_from(self.strangers.len()).unwrap();
        (count > 0).then(|| self.strangers[usize::from(self.choices.below(count))])
    }

    /// A frame that the relay has sent comes back with a byte changed.
    fn send_back(&mut self) {
        let Some(stranger) = self.stranger() else { return };
        let Some(mut frame) = self.stage.take(stranger).pop() else { return };
        let at = usize::from(self.choices.byte()) % frame.len();
        frame[at] = frame[at].wrapping_add(self.choices.byte());
        self.stage.send_bytes(stranger, &frame);
    }

    /// An honest device writes and says so; it may be that nobody hears it.
    fn write(&mut self) {
        self.written += 1;
        let text = format!("note {}", self.written);
        let device = if self.choices.below(2) == 0 { &mut self.phone } else { &mut self.laptop };
        device.write(&text);
        if let Some(frame) = device.speak() {
            self.stage.send_bytes(device.connection, &frame);
        }
        for device in [&mut self.phone, &mut self.laptop] {
            while let Some(frame) = self.stage.next(device.connection) {
                device.hear(&frame);
            }
        }
    }

    fn frame(&mut self) -> Vec<u8> {
        let document =
            [CART, CART, DocumentId::from_bytes([8; 16]), DocumentId::from_bytes([self.choices.byte(); 16])]
                [usize::from(self.choices.below(4))];
        let name = ["tablet", "desk", "watch", "phone"][usize::from(self.choices.below(4))];
        let route = Route { sender: PeerRef::new(name).unwrap(), target: PeerRef::new("relay").unwrap() };
        let session = SessionRef::new("run").unwrap();
        match self.choices.below(16) {
            0 => self.choices.bytes(64),
            1 => {
                let metadata = PeerMetadata { capabilities: Capabilities::all(), ..PeerMetadata::default() };
                Frame::Join { sender: route.sender, metadata, versions: vec!["1"] }.encode()
            }
            2 => Frame::Peer { route, metadata: PeerMetadata::default(), version: "1" }.encode(),
            3 => Frame::Ephemeral(Ephemeral {
                route,
                document,
                session,
                count: self.choices.number(),
                data: b"x",
            })
            .encode(),
            4 => {
                let presence = Presence {
                    session,
                    device: DeviceRef::new("a").unwrap(),
                    count: self.choices.number(),
                    document: (self.choices.below(2) == 0).then_some(document),
                    idle: std::time::Duration::ZERO,
                    expires_after: std::time::Duration::from_secs(self.choices.number()),
                    data: b"x",
                };
                Frame::Presence { route, presence }.encode()
            }
            5 => {
                let heads = self.hashes();
                Frame::Open { route, documents: vec![DocumentHeads { document, heads }] }.encode()
            }
            6 => Frame::Ping { route, count: 1 }.encode(),
            7 => Frame::Unavailable { route, document }.encode(),
            8 => Frame::Durable { route, documents: Vec::new() }.encode(),
            9 => {
                let data = [&[0x42][..], &self.choices.bytes(40)].concat();
                Frame::Request { route, document, data: &data }.encode()
            }
            kind => {
                let data = self.message().encode();
                if kind == 10 {
                    Frame::Request { route, document, data: &data }.encode()
                } else {
                    Frame::Sync { route, document, data: &data }.encode()
                }
            }
        }
    }

    fn message(&mut self) -> SyncMessage {
        let have = (0..self.choices.below(3)).map(|_| {
            let (entries, bits, probes) =
                (self.choices.number(), self.choices.number(), self.choices.number());
            (self.hashes(), bloom(entries, bits, probes, &self.choices.bytes(16)))
        });
        let have = have.collect();
        let changes = (0..self.choices.below(4)).map(|_| self.change()).collect();
        SyncMessage { heads: self.hashes(), need: self.hashes(), have, changes }
    }

    fn change(&mut self) -> Vec<u8> {
        let header = Header {
            deps: self.hashes(),
            actor: ActorId::from_bytes([self.choices.below(4); 16]),
            seq: self.choices.number(),
            start_op: self.choices.number(),
        };
        match self.choices.below(8) {
            0 => header.noise(&self.choices.bytes(24)),
            1 => INFLATING.clone(),
            2 => self.choices.bytes(48),
            3 => {
                let mut wrong = header.put("n/cart", "x");
                wrong[4] ^= 1;
                wrong
            }
            _ => header.put("n/cart", "x"),
        }
    }

    /// Some of the cart's heads, or hashes of nothing.
    fn hashes(&mut self) -> Vec<ChangeHash> {
        match self.choices.below(5) {
            0 => self.phone.heads(),
            1 => self.laptop.heads(),
            2 => vec![ChangeHash::from_bytes([self.choices.byte(); 32])],
            _ => Vec::new(),
        }
    }

    fn heal(mut self) {
        self.stage.disk_is_prompt = true;
        while !self.stage.appends.is_empty() {
            self.stage.store_one();
        }
        for connection in std::mem::take(&mut self.strangers) {
            self.stage.handle(Input::Closed { connection });
        }
        self.phone.write("at last");
        for device in [&mut self.phone, &mut self.laptop] {
            device.rejoin(&mut self.stage, user("student-7"));
        }
        self.stage.talk(&mut [&mut self.phone, &mut self.laptop]);
        assert_eq!(self.phone.heads(), self.laptop.heads());
        assert!(self.laptop.document.values("n/phone/at last").len() == 1);
        for connection in [self.phone.connection, self.laptop.connection] {
            self.stage.handle(Input::Closed { connection });
        }
        self.stage.wait(std::time::Duration::from_secs(30));
        assert_eq!(self.stage.hub.memory_bytes(), 0, "what nobody follows takes nothing");
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
