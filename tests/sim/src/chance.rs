//! Chance: every random decision of the world, drawn from the seed.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// One stream of random decisions.
///
/// Each part of the world draws from a stream of its own, named after what it decides. So one more draw by the network
/// leaves the disks' decisions as they were, and a world with one fault fewer is otherwise the same world.
#[derive(Clone, Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of this seed for this purpose.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"pannier/1/sim");
        hasher.update(seed.to_be_bytes());
        hasher.update(purpose.as_bytes());
        Self(ChaCha8Rng::from_seed(hasher.finalize().into()))
    }

    /// The generator itself, for machines that take one.
    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }

    /// Any number: the seed of what should have a stream of its own.
    pub fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number of the range, all alike likely.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        assert!(low <= high, "an empty range holds no number");
        let span = u128::from(high - low) + 1;
        // Multiplying instead of dividing: no bias that matters at these sizes, and no loop.
        let scaled = (u128::from(self.0.next_u64()) * span) >> 64;
        low + u64::try_from(scaled).expect("below the span")
    }

    /// An index of something with this many elements.
    pub fn index(&mut self, len: usize) -> usize {
        assert!(len > 0, "nothing to choose from");
        usize::try_from(self.within(0..=len as u64 - 1)).expect("an index fits")
    }

    /// A duration of the range, in milliseconds.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// Whether something happens that does so this many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.within(0..=99) < percent
    }

    /// Whether something happens that does so this many times in a thousand.
    pub fn permille(&mut self, permille: u64) -> bool {
        self.within(0..=999) < permille
    }

    /// One of them; `None` when there are none.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { Some(&all[self.index(all.len())]) }
    }

    /// This many random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_streams_differ() {
        let draw = |seed, purpose| {
            let mut chance = Chance::new(seed, purpose);
            (0..8).map(|_| chance.seed()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, "network"), draw(7, "network"));
        assert_ne!(draw(7, "network"), draw(7, "disk"));
        assert_ne!(draw(7, "network"), draw(8, "network"));
    }

    #[test]
    fn ranges_are_drawn_from_end_to_end() {
        let mut chance = Chance::new(1, "ranges");
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| chance.within(3..=6)).collect();
        assert_eq!(drawn, [3, 4, 5, 6].into());
        assert_eq!(chance.within(u64::MAX..=u64::MAX), u64::MAX);
        let _ = chance.within(0..=u64::MAX);
        let hits = (0..1000).filter(|_| chance.percent(30)).count();
        assert!((200..400).contains(&hits), "{hits}");
    }
}
