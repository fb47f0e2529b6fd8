//! A summary of many hashes in ten bits each, wrong about one in a hundred that it does not hold.

use crate::id::ChangeHash;
use crate::leb128::{Malformed, Reader, write_unsigned};
use crate::limits::{BLOOM_BITS_PER_ENTRY_MAX, BLOOM_PROBES_MAX, DOCUMENT_CHANGES_MAX};

/// A bloom filter as Automerge peers exchange them.
///
/// One read from foreign bytes is safe to ask: its size, its probes and its entries agree with one another and stay
/// within their bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bloom {
    entries: u64,
    bits_per_entry: u64,
    probes: u64,
    bits: Vec<u8>,
}

impl Bloom {
    const BITS_PER_ENTRY: u64 = 10;
    const PROBES: u64 = 7;

    /// The filter of these hashes.
    pub fn of(hashes: &[ChangeHash]) -> Self {
        if hashes.is_empty() {
            return Self::default();
        }
        let entries = hashes.len() as u64;
        let length =
            usize::try_from((entries * Self::BITS_PER_ENTRY).div_ceil(8)).expect("smaller than the hashes");
        let mut filter = Self {
            entries,
            bits_per_entry: Self::BITS_PER_ENTRY,
            probes: Self::PROBES,
            bits: vec![0; length],
        };
        for hash in hashes {
            for bit in filter.bits_of(hash) {
                filter.bits[bit / 8] |= 1 << (bit % 8);
            }
        }
        filter
    }

    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes that the filter's bits take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bits.len()
    }

    /// Whether the hash is probably among those the filter was made of. `false` is certain.
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        !self.is_empty() && self.bits_of(hash).all(|bit| self.bits[bit / 8] & 1 << (bit % 8) != 0)
    }

    /// Reads what [`Bloom::encode`] or any Automerge library wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidBloom> {
        let mut reader = Reader::new(bytes);
        if reader.is_empty() {
            return Ok(Self::default());
        }
        let (entries, bits_per_entry, probes) = (reader.unsigned()?, reader.unsigned()?, reader.unsigned()?);
        let sound = (1..=DOCUMENT_CHANGES_MAX as u64).contains(&entries)
            && (1..=BLOOM_BITS_PER_ENTRY_MAX).contains(&bits_per_entry)
            && (1..=BLOOM_PROBES_MAX).contains(&probes);
        if !sound {
            return Err(InvalidBloom::Unsound { entries, bits_per_entry, probes });
        }
        let bits = reader.rest();
        if bits.len() as u64 != (entries * bits_per_entry).div_ceil(8) {
            return Err(InvalidBloom::WrongSize { entries, bytes: bits.len() });
        }
        Ok(Self { entries, bits_per_entry, probes, bits: bits.to_vec() })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.is_empty() {
            for number in [self.entries, self.bits_per_entry, self.probes] {
                write_unsigned(&mut bytes, number);
            }
            bytes.extend_from_slice(&self.bits);
        }
        bytes
    }

    /// The bits that stand for `hash`: triple hashing, with the hash's own first bytes.
    fn bits_of(&self, hash: &ChangeHash) -> impl Iterator<Item = usize> + use<> {
        let size = self.bits.len() as u64 * 8;
        let (words, _) = hash.as_bytes().as_chunks::<4>();
        let word = |at: usize| u64::from(u32::from_le_bytes(words[at])) % size;
        let (mut bit, mut step, growth) = (word(0), word(1), word(2));
        (0..self.probes).map(move |_| {
            let this = bit;
            bit = (bit + step) % size;
            step = (step + growth) % size;
            usize::try_from(this).expect("within the filter")
        })
    }
}

/// Why bytes are not a bloom filter that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBloom {
    #[error(
        "a bloom filter of {entries} entries, {bits_per_entry} bits each and {probes} probes is not accepted"
    )]
    Unsound { entries: u64, bits_per_entry: u64, probes: u64 },
    #[error("a bloom filter of {entries} entries does not have {bytes} bytes")]
    WrongSize { entries: u64, bytes: usize },
    #[error(transparent)]
    Malformed(#[from] Malformed),
}
