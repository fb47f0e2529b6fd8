//! Chunks: the form in which Automerge writers exchange changes and whole documents.
//!
//! A chunk is magic bytes, the first four bytes of a SHA-256, a kind, a length and a body. Foreign chunks are read here
//! before anything else sees them, so that whoever reads a [`ParsedChange`] knows that its checksum holds, that it
//! inflated within bounds, and that each of its operations is well-formed and spelled the one canonical way. The last
//! part matters as much as the first: Automerge forgets a change's own bytes once it is applied and spells it anew, so
//! a change in any other spelling would take another hash and poison every document that holds it.

mod change;
mod column;
mod operation;
mod packed;

use std::io::Read;

use sha2::{Digest, Sha256};

pub(crate) use self::change::ChangeBody;
pub use self::change::ParsedChange;
pub(crate) use self::operation::{Action, Key, Operation, OperationRef};
pub use self::packed::{Misfit, Packed, Unpacked};

use crate::id::{ChangeHash, InvalidId};
pub use crate::leb128::Malformed;
use crate::leb128::{Reader, write_length};
use crate::limits::{CHANGE_BYTES_MAX, CHANGE_DEPS_MAX, CHANGE_OPS_MAX, DOCUMENT_BYTES_MAX};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChunkKind {
    /// A whole document, packed: every change of its history, interleaved column by column.
    Document,
    /// One change.
    Change,
    /// One change whose body is deflated. Its checksum and hash are those of the inflated form.
    DeflatedChange,
}

/// One chunk found in foreign bytes. Its body is unread and its checksum unverified.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    kind: ChunkKind,
    checksum: [u8; 4],
    bytes: &'a [u8],
    body: &'a [u8],
}

/// The chunks in `bytes`, which follow one another without separator. Ends after the first error.
pub fn split(bytes: &[u8]) -> impl Iterator<Item = Result<Chunk<'_>, InvalidChunk>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let chunk = Chunk::read(&mut reader);
        if chunk.is_err() {
            reader = Reader::new(&[]);
        }
        Some(chunk)
    })
}

impl<'a> Chunk<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, InvalidChunk> {
        let start = reader.rest();
        if *reader.array::<4>()? != MAGIC {
            return Err(InvalidChunk::NotAChunk);
        }
        let checksum = *reader.array::<4>()?;
        let kind = match reader.byte()? {
            0 => ChunkKind::Document,
            1 => ChunkKind::Change,
            2 => ChunkKind::DeflatedChange,
            kind => return Err(InvalidChunk::UnknownKind { kind }),
        };
        let body = reader.prefixed()?;
        let bytes = &start[..start.len() - reader.rest().len()];
        Ok(Self { kind, checksum, bytes, body })
    }

    pub fn kind(&self) -> ChunkKind {
        self.kind
    }

    /// The whole chunk, as it was found.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Reads the chunk as one change.
    pub fn change(&self) -> Result<ParsedChange, InvalidChunk> {
        if self.bytes.len() > CHANGE_BYTES_MAX {
            return Err(InvalidChunk::TooLarge { bytes: self.bytes.len(), max: CHANGE_BYTES_MAX });
        }
        match self.kind {
            ChunkKind::Document => Err(InvalidChunk::NotAChange),
            ChunkKind::Change => {
                let hash = self.verify(1, self.body)?;
                ParsedChange::read(hash, self.body, self.bytes)
            }
            ChunkKind::DeflatedChange => {
                let body = inflate(self.body, CHANGE_BYTES_MAX)?;
                let hash = self.verify(1, &body)?;
                ParsedChange::read(hash, &body, self.bytes)
            }
        }
    }

    /// Reads the chunk as a packed document.
    pub fn packed(&self) -> Result<Packed<'a>, InvalidChunk> {
        if self.bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(InvalidChunk::TooLarge { bytes: self.bytes.len(), max: DOCUMENT_BYTES_MAX });
        }
        if self.kind != ChunkKind::Document {
            return Err(InvalidChunk::NotADocument);
        }
        self.verify(0, self.body)?;
        Packed::read(self.body)
    }

    fn verify(&self, kind: u8, body: &[u8]) -> Result<ChangeHash, InvalidChunk> {
        let hash = hash(kind, body);
        if hash.as_bytes()[..4] != self.checksum {
            return Err(InvalidChunk::BadChecksum);
        }
        Ok(hash)
    }
}

fn hash(kind: u8, body: &[u8]) -> ChangeHash {
    let mut prefix = vec![kind];
    write_length(&mut prefix, body.len());
    let mut hasher = Sha256::new();
    hasher.update(&prefix);
    hasher.update(body);
    ChangeHash::from_bytes(hasher.finalize().into())
}

/// Inflates all of `deflated`, refusing to produce more than `max` bytes.
fn inflate(deflated: &[u8], max: usize) -> Result<Vec<u8>, InvalidChunk> {
    let mut decoder = flate2::bufread::DeflateDecoder::new(deflated);
    let mut inflated = Vec::new();
    let limit = max as u64 + 1;
    (&mut decoder).take(limit).read_to_end(&mut inflated).map_err(|_| InvalidChunk::NotDeflate)?;
    if inflated.len() > max {
        return Err(InvalidChunk::InflatesTooFar { max });
    }
    if !decoder.get_ref().is_empty() {
        return Err(InvalidChunk::NotDeflate);
    }
    Ok(inflated)
}

/// Why bytes are not the chunk they were taken for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChunk {
    #[error("the bytes don't begin like a chunk")]
    NotAChunk,
    #[error("chunks of kind {kind} are not accepted")]
    UnknownKind { kind: u8 },
    #[error("the chunk holds a document where a change is expected")]
    NotAChange,
    #[error("the chunk holds a change where a document is expected")]
    NotADocument,
    #[error("the chunk's checksum does not match its content")]
    BadChecksum,
    #[error("the chunk is {bytes} bytes long; at most {max} are accepted")]
    TooLarge { bytes: usize, max: usize },
    #[error("the chunk's deflated part is damaged")]
    NotDeflate,
    #[error("the chunk inflates to more than {max} bytes")]
    InflatesTooFar { max: usize },
    #[error("the document's changes are together longer than {max} bytes")]
    UnpacksTooFar { max: usize },
    #[error("{count} bytes follow the chunk")]
    TrailingBytes { count: usize },
    #[error(
        "the change names {deps} dependencies and more than {ops} operations; at most {CHANGE_DEPS_MAX} and {CHANGE_OPS_MAX} are accepted"
    )]
    TooMuch { deps: usize, ops: usize },
    #[error("the change's header is wrong: {why}")]
    BadHeader { why: &'static str },
    #[error("the columns are wrong: {why}")]
    BadColumns { why: &'static str },
    #[error("operation {index} is wrong: {why}")]
    BadOperation { index: usize, why: &'static str },
    #[error("change {index} of the document is wrong: {why}")]
    BadChange { index: usize, why: &'static str },
    #[error("the document's changes lead to other heads than it says: to {}", found.len())]
    WrongHeads { found: Box<[ChangeHash]> },
    #[error(transparent)]
    BadActor(#[from] InvalidId),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}
