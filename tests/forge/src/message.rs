//! Sync messages that no honest peer sends.

use crdt_core::id::ChangeHash;

use crate::chunk::leb128;

/// A sync message, field by field.
#[derive(Clone, Debug, Default)]
pub struct SyncMessage {
    pub heads: Vec<ChangeHash>,
    pub need: Vec<ChangeHash>,
    /// Last common heads, and the bytes of a bloom filter.
    pub have: Vec<(Vec<ChangeHash>, Vec<u8>)>,
    pub changes: Vec<Vec<u8>>,
}

impl SyncMessage {
    /// The message of version 1.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = vec![0x42];
        hashes(&self.heads, &mut message);
        hashes(&self.need, &mut message);
        leb128(self.have.len() as u64, &mut message);
        for (last_sync, bloom) in &self.have {
            hashes(last_sync, &mut message);
            leb128(bloom.len() as u64, &mut message);
            message.extend_from_slice(bloom);
        }
        leb128(self.changes.len() as u64, &mut message);
        for change in &self.changes {
            leb128(change.len() as u64, &mut message);
            message.extend_from_slice(change);
        }
        message
    }
}

/// A bloom filter of this many entries, bits per entry and probes, followed by bits.
pub fn bloom(entries: u64, bits_per_entry: u64, probes: u64, bits: &[u8]) -> Vec<u8> {
    let mut filter = Vec::new();
    for number in [entries, bits_per_entry, probes] {
        leb128(number, &mut filter);
    }
    filter.extend_from_slice(bits);
    filter
}

fn hashes(hashes: &[ChangeHash], into: &mut Vec<u8>) {
    leb128(hashes.len() as u64, into);
    for hash in hashes {
        into.extend_from_slice(hash.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_message_is_spelled_as_automerge_spells_it() {
        let message = SyncMessage {
            heads: vec![ChangeHash::from_bytes([3; 32])],
            have: vec![(Vec::new(), bloom(1, 10, 7, &[0xff, 0x03]))],
            ..SyncMessage::default()
        };
        let mut expected = vec![0x42, 1];
        expected.extend([3; 32]);
        expected.extend([0, 1, 0, 5, 1, 10, 7, 0xff, 0x03, 0]);
        assert_eq!(message.encode(), expected);
    }
}
