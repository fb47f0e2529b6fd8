//! The messages of the sync protocol.

use super::bloom::{Bloom, InvalidBloom};
use crate::graph::chunk::InvalidChunk;
use crate::id::ChangeHash;
use crate::leb128::{Malformed, Reader, write_hashes, write_length, write_prefixed};
use crate::limits::{HEADS_MAX, SYNC_HAVES_MAX, SYNC_INFLATED_BYTES_MAX, SYNC_NEED_MAX};

const VERSION_1: u8 = 0x42;
const VERSION_2: u8 = 0x43;

/// What one peer tells another about a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// The sender's heads.
    pub heads: Vec<ChangeHash>,
    /// Changes that the sender asks for.
    pub need: Vec<ChangeHash>,
    /// What the sender holds, by which the receiver can tell what it lacks. Empty: it only wants what it asks for.
    pub have: Vec<Have>,
    /// Chunks for the receiver to take in; each may be several, one after another.
    pub chunks: Vec<&'a [u8]>,
    /// Present if the sender can read whole-document chunks.
    pub flags: Option<Flags>,
    /// Whether the message may hold a whole-document chunk.
    pub is_version_2: bool,
}

/// A summary of what somebody holds: everything up to some changes, and probably what a filter contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Have {
    pub last_sync: Vec<ChangeHash>,
    pub bloom: Bloom,
}

/// What a sender says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Asks the receiver to forget what it has sent, and to begin anew.
    pub reset: bool,
    /// The sender takes in no changes.
    pub read_only: bool,
    /// The sender heeds `reset`.
    pub understands_reset: bool,
}

impl<'a> Message<'a> {
    /// Reads a message within bounds. Its chunks are not looked into.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, InvalidMessage> {
        let mut reader = Reader::new(bytes);
        let is_version_2 = match reader.byte()? {
            VERSION_1 => false,
            VERSION_2 => true,
            version => return Err(InvalidMessage::UnknownVersion { version }),
        };
        let heads = reader.hashes(HEADS_MAX)?;
        let need = reader.hashes(SYNC_NEED_MAX)?;
        let count = reader.length()?;
        if count > SYNC_HAVES_MAX {
            return Err(Malformed::TooMany { count, max: SYNC_HAVES_MAX }.into());
        }
        let mut have = Vec::with_capacity(count);
        for _ in 0..count {
            let last_sync = reader.hashes(HEADS_MAX)?;
            have.push(Have { last_sync, bloom: Bloom::decode(reader.prefixed()?)? });
        }
        let mut chunks = Vec::new();
        for _ in 0..reader.length()? {
            chunks.push(reader.prefixed()?);
        }
        let flags = if reader.is_empty() { None } else { Some(Flags::decode(reader.prefixed()?)) };
        Ok(Self { heads, need, have, chunks, flags, is_version_2 })
    }

    pub fn encode(&self) -> Vec<u8> {
        let Self { heads, need, have, chunks, flags, is_version_2 } = self;
        Envelope { heads, need, have, flags: *flags, is_version_2: *is_version_2 }.encode(chunks)
    }
}

/// A message but for its chunks, wherever its parts are.
pub(super) struct Envelope<'a> {
    pub(super) heads: &'a [ChangeHash],
    pub(super) need: &'a [ChangeHash],
    pub(super) have: &'a [Have],
    pub(super) flags: Option<Flags>,
    pub(super) is_version_2: bool,
}

impl Envelope<'_> {
    /// The message around these chunks.
    pub(super) fn encode(&self, chunks: &[&[u8]]) -> Vec<u8> {
        let chunk_bytes: usize = chunks.iter().map(|chunk| chunk.len() + 5).sum();
        let hashes = self.heads.len()
            + self.need.len()
            + self.have.iter().map(|have| have.last_sync.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(chunk_bytes + 32 * hashes + 64);
        bytes.push(if self.is_version_2 { VERSION_2 } else { VERSION_1 });
        write_hashes(&mut bytes, self.heads);
        write_hashes(&mut bytes, self.need);
        write_length(&mut bytes, self.have.len());
        for have in self.have {
            write_hashes(&mut bytes, &have.last_sync);
            write_prefixed(&mut bytes, &have.bloom.encode());
        }
        write_length(&mut bytes, chunks.len());
        for chunk in chunks {
            write_prefixed(&mut bytes, chunk);
        }
        if let Some(flags) = self.flags {
            write_prefixed(&mut bytes, &flags.encode());
        }
        bytes
    }
}

impl Flags {
    const RESET: u8 = 1;
    const READ_ONLY: u8 = 2;
    const UNDERSTANDS_RESET: u8 = 4;
    /// Marks a byte of flags. Smaller bytes are what the first versions wrote, and say nothing but that they are there.
    const MARK: u8 = 0x80;
    const FIRST_VERSIONS: u8 = 2;

    fn decode(bytes: &[u8]) -> Self {
        let bits = bytes.iter().filter(|byte| **byte & Self::MARK != 0).fold(0, |bits, byte| bits | byte);
        Self {
            reset: bits & Self::RESET != 0,
            read_only: bits & Self::READ_ONLY != 0,
            understands_reset: bits & Self::UNDERSTANDS_RESET != 0,
        }
    }

    fn encode(self) -> [u8; 2] {
        let bit = |set, bit| if set { bit } else { 0 };
        let bits = bit(self.reset, Self::RESET)
            | bit(self.read_only, Self::READ_ONLY)
            | bit(self.understands_reset, Self::UNDERSTANDS_RESET);
        [Self::FIRST_VERSIONS, Self::MARK | bits]
    }
}

/// Why a peer's message is refused. The peer is broken or hostile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    #[error("sync messages of version {version:#x} are not known")]
    UnknownVersion { version: u8 },
    #[error("the sync message is malformed: {0}")]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Bloom(#[from] InvalidBloom),
    #[error("a chunk of the sync message is refused: {0}")]
    Chunk(#[from] InvalidChunk),
    #[error("the message holds a whole document, which was not asked for")]
    UnexpectedDocument,
    #[error("the chunks of the message inflate to more than {SYNC_INFLATED_BYTES_MAX} bytes")]
    InflatesTooFar,
}
