//! The hubs that are one relay together, and what passes between them.

use std::num::NonZeroU16;

use crdt_core::time::Timestamp;
use crdt_core::wire::{PeerId, StorageId};
use relay::hub::{Hub, Input, Limits, Output, Place, Shards};

/// The number of the hub that decides about connections.
const FRONT: usize = 0;

/// All hubs of one relay.
pub(super) struct Hubs {
    shards: Shards,
    all: Vec<Hub>,
}

impl Hubs {
    pub(super) fn new(id: &PeerId, storage: &StorageId, limits: Limits, count: NonZeroU16) -> Self {
        let shards = Shards::new(count);
        let hub = |shard| Hub::shard(id.clone(), Some(storage.clone()), limits, shard);
        Self { shards, all: shards.iter().map(hub).collect() }
    }

    /// Hands an input to whom it is for.
    pub(super) fn handle(&mut self, now: Timestamp, input: Input) {
        match self.place(&input) {
            Place::One(index) => self.all[index].handle(now, input),
            Place::All => self.all.iter_mut().for_each(|hub| hub.handle(now, input.clone())),
        }
    }

    /// Tells the hub that sent a frame that it is written.
    pub(super) fn written(&mut self, now: Timestamp, from: usize, input: Input) {
        self.all[from].handle(now, input);
    }

    /// The next thing to do, and the number of the hub that wants it done.
    pub(super) fn poll_output(&mut self, now: Timestamp) -> Option<(usize, Output)> {
        let mut index = 0;
        while index < self.all.len() {
            match self.all[index].poll_output() {
                None => index += 1,
                Some(Output::Joined { connection, permit, peer }) => {
                    let joined = Input::Joined { connection, permit, peer };
                    self.tell_others(now, &joined);
                }
                Some(Output::Left { connection }) => self.tell_others(now, &Input::Closed { connection }),
                Some(output) => return Some((index, output)),
            }
        }
        None
    }

    pub(super) fn rooms(&self) -> usize {
        let rooms: u64 = self.all.iter().map(|hub| hub.counters().rooms).sum();
        usize::try_from(rooms).expect("rooms are counted")
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.all.iter().map(Hub::memory_bytes).sum()
    }

    fn tell_others(&mut self, now: Timestamp, input: &Input) {
        self.all[FRONT + 1..].iter_mut().for_each(|hub| hub.handle(now, input.clone()));
    }

    fn place(&self, input: &Input) -> Place {
        match input {
            Input::Received { frame, .. } => self.shards.place(frame),
            Input::Loaded { key, .. }
            | Input::Read { key, .. }
            | Input::Stored { key, .. }
            | Input::Compacted { key, .. }
            | Input::AccessChanged { key, .. }
            | Input::Erased { key, .. } => Place::One(self.shards.holder(key.document)),
            Input::Tick => Place::All,
            _ => Place::One(FRONT),
        }
    }
}
