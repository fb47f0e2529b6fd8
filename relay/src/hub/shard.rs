//! Sharding: the documents of one relay shared out among several hubs, so that each hub can have a core of its own.
//!
//! A document is always handled by the same hub, chosen by its id. What is not about a document (who is connected, as
//! whom, under which permit) is decided by one hub alone, the front, which lets the others know by
//! [`Output::Joined`](super::Output::Joined) and [`Output::Left`](super::Output::Left). So a driver tells the front about
//! connections, brings frames and the store's answers to where [`Shards`] says, and passes on what the front says.
//!
//! What hubs grant per connection, such as rates, each grants by itself: a connection spread over all of them can have
//! as much more. What they keep in memory they share.

use std::num::NonZeroU16;

use crdt_core::id::DocumentId;
use crdt_core::wire::Frame;

use super::Limits;

/// How many hubs share a relay's documents.
///
/// ```
/// use crdt_core::id::DocumentId;
/// use relay::hub::Shards;
/// let shards = Shards::new(4.try_into()?);
/// let holders = shards.iter().filter(|shard| shard.holds(DocumentId::from_bytes([7; 16])));
/// assert_eq!(holders.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    count: NonZeroU16,
}

/// One hub's share of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u16,
    of: Shards,
}

/// Which hubs a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The hub with this number. The front is number 0.
    One(usize),
    /// Every hub: each takes from it what is about its documents.
    All,
}

impl Shards {
    /// A hub that has no others beside it.
    pub const SOLE: Self = Self { count: NonZeroU16::MIN };

    pub fn new(count: NonZeroU16) -> Self {
        Self { count }
    }

    pub fn count(self) -> usize {
        usize::from(self.count.get())
    }

    /// The share of each hub, the front's first.
    pub fn iter(self) -> impl Iterator<Item = Shard> {
        (0..self.count.get()).map(move |index| Shard { index, of: self })
    }

    /// The number of the hub that handles a document. Ids are random or hashes, so any part of one spreads them evenly.
    pub fn holder(self, document: DocumentId) -> usize {
        let [.., high, low] = *document.as_bytes();
        usize::from(u16::from_be_bytes([high, low]) % self.count)
    }

    /// Where a frame belongs. What is not a frame is for the front to refuse.
    pub fn place(self, frame: &[u8]) -> Place {
        if self == Self::SOLE {
            return Place::One(0);
        }
        let document = match Frame::decode(frame) {
            Ok(Frame::Open { .. }) => return Place::All,
            Ok(Frame::Sync { document, .. } | Frame::Request { document, .. }) => Some(document),
            Ok(Frame::Ephemeral(ephemeral)) => Some(ephemeral.document),
            Ok(Frame::Presence { presence, .. }) => presence.document,
            _ => None,
        };
        Place::One(document.map_or(0, |document| self.holder(document)))
    }
}

impl Shard {
    /// The share of a hub that has no others beside it: everything.
    pub const SOLE: Self = Self { index: 0, of: Shards::SOLE };

    /// The number of the hub.
    pub fn index(self) -> usize {
        usize::from(self.index)
    }

    /// Whether this hub decides about connections.
    pub fn is_front(self) -> bool {
        self.index == 0
    }

    /// Whether there are other hubs.
    pub fn has_others(self) -> bool {
        self.of != Shards::SOLE
    }

    pub fn holds(self, document: DocumentId) -> bool {
        self.of.holder(document) == self.index()
    }

    /// The part of the relay's bounds that this hub has to keep.
    pub(super) fn limits(self, relay: Limits) -> Limits {
        let count = self.of.count();
        Limits {
            held_bytes_max: relay.held_bytes_max / count,
            cache_bytes_max: relay.cache_bytes_max / count,
            // The front has counted.
            connections_per_subject_max: if self.is_front() {
                relay.connections_per_subject_max
            } else {
                usize::MAX
            },
            ..relay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_spread_evenly() {
        let shards = Shards::new(NonZeroU16::new(3).unwrap());
        let mut held = [0_u32; 3];
        for number in 0..3_000_u16 {
            let mut bytes = [0; 16];
            bytes[14..].copy_from_slice(&number.to_be_bytes());
            held[shards.holder(DocumentId::from_bytes(bytes))] += 1;
        }
        assert_eq!(held, [1_000; 3]);
    }

    #[test]
    fn what_is_not_a_frame_is_for_the_front() {
        let shards = Shards::new(NonZeroU16::new(3).unwrap());
        assert_eq!(shards.place(b"GET / HTTP/1.1"), Place::One(0));
    }
}
