//! Values of records. Each carries its version and a checksum over its key and content, so that damage, and a record in
//! another's place, are noticed where they are and nowhere else.

use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::time::Timestamp;

use super::{News, Summary, Usage};
use crate::id::{Position, Sequence};

/// Version of every kind of record so far.
const VERSION: u8 = 1;

/// Seals content into a record for this key.
pub(super) fn seal(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(5 + content.len());
    record.push(VERSION);
    record.extend_from_slice(&checksum(key, content).to_le_bytes());
    record.extend_from_slice(content);
    record
}

/// The content of a record that was sealed for this key.
pub(super) fn open<'a>(key: &[u8], record: &'a [u8]) -> Option<&'a [u8]> {
    let (&VERSION, rest) = record.split_first()? else { return None };
    let (sum, content) = rest.split_first_chunk()?;
    (u32::from_le_bytes(*sum) == checksum(key, content)).then_some(content)
}

fn checksum(key: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(content);
    hasher.finalize()
}

/// State of the whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) sequence: Sequence,
}

impl Totals {
    pub(super) fn encode(self) -> Vec<u8> {
        self.sequence.0.to_le_bytes().to_vec()
    }

    pub(super) fn decode(content: &[u8]) -> Option<Self> {
        let mut fields = Fields(content);
        let totals = Self { sequence: Sequence(fields.number()?) };
        fields.end(totals)
    }
}

/// State of one document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Where the next change goes.
    pub(super) next: Position,
    /// The snapshot that covers the changes before it; none at zero.
    pub(super) snapshot: Position,
    /// Where the feed tells of this document.
    pub(super) sequence: Sequence,
    /// Bytes of changes and snapshot.
    pub(super) bytes: u64,
    pub(super) modified: Timestamp,
    pub(super) erased: bool,
}

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = [
            self.next.0,
            self.snapshot.0,
            self.sequence.0,
            self.bytes,
            self.modified.as_millis(),
            u64::from(self.erased),
        ];
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// What it tells of the document.
    pub(super) fn summary(&self) -> Summary {
        let Self { next, snapshot, bytes, modified, erased, .. } = *self;
        Summary { changes: next.0, unpacked: next.0 - snapshot.0.min(next.0), bytes, modified, erased }
    }

    pub(super) fn decode(content: &[u8]) -> Option<Self> {
        let mut fields = Fields(content);
        let state = Self {
            next: Position(fields.number()?),
            snapshot: Position(fields.number()?),
            sequence: Sequence(fields.number()?),
            bytes: fields.number()?,
            modified: Timestamp::from_millis(fields.number()?),
            erased: fields.number()? != 0,
        };
        fields.end(state)
    }
}

impl Usage {
    pub(super) fn encode(&self) -> Vec<u8> {
        [self.documents, self.bytes].iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    pub(super) fn decode(content: &[u8]) -> Option<Self> {
        let mut fields = Fields(content);
        let usage = Self { documents: fields.number()?, bytes: fields.number()? };
        fields.end(usage)
    }
}

/// Encodes one entry of the feed.
pub(super) fn encode_news(document: &DocumentId, news: &News) -> Vec<u8> {
    let mut content = document.as_bytes().to_vec();
    match news {
        News::Changed { heads } => {
            content.push(1);
            content.extend(heads.iter().flat_map(ChangeHash::as_bytes));
        }
        News::Erased => content.push(2),
    }
    content
}

/// Reads one entry of the feed.
pub(super) fn decode_news(content: &[u8]) -> Option<(DocumentId, News)> {
    let (document, rest) = content.split_first_chunk()?;
    let news = match rest.split_first()? {
        (1, heads) => {
            let (heads, []) = heads.as_chunks::<32>() else { return None };
            News::Changed { heads: heads.iter().map(|bytes| ChangeHash::from_bytes(*bytes)).collect() }
        }
        (2, []) => News::Erased,
        _ => return None,
    };
    Some((DocumentId::from_bytes(*document), news))
}

/// A snapshot as it is stored: the positions left out, the index, the bytes.
pub(super) struct SnapshotRecord<'a> {
    pub(super) left_out: Vec<Position>,
    pub(super) index: &'a [u8],
    pub(super) bytes: &'a [u8],
}

impl<'a> SnapshotRecord<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut content =
            Vec::with_capacity(16 + self.left_out.len() * 8 + self.index.len() + self.bytes.len());
        for number in [self.left_out.len(), self.index.len()] {
            content.extend_from_slice(&(number as u64).to_le_bytes());
        }
        content.extend(self.left_out.iter().flat_map(|position| position.0.to_le_bytes()));
        content.extend_from_slice(self.index);
        content.extend_from_slice(self.bytes);
        content
    }

    pub(super) fn decode(content: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(content);
        let (left_out, index) = (fields.number()?, usize::try_from(fields.number()?).ok()?);
        let left_out = (0..left_out).map(|_| fields.number().map(Position)).collect::<Option<_>>()?;
        let (index, bytes) = fields.0.split_at_checked(index)?;
        Some(Self { left_out, index, bytes })
    }
}

/// Little-endian numbers, read front to back.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn number(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_another_place_are_noticed() {
        let record = seal(b"key", b"content");
        assert_eq!(open(b"key", &record), Some(&b"content"[..]));
        assert_eq!(open(b"another", &record), None);
        for index in 0..record.len() {
            let mut damaged = record.clone();
            damaged[index] ^= 0x10;
            assert_eq!(open(b"key", &damaged), None, "byte {index}");
            assert_eq!(open(b"key", &record[..index]), None, "cut at {index}");
        }
    }

    #[test]
    fn values_read_back() {
        let state = State {
            next: Position(3),
            snapshot: Position(2),
            sequence: Sequence(9),
            bytes: 700,
            modified: Timestamp::from_millis(5),
            erased: true,
        };
        assert_eq!(State::decode(&state.encode()), Some(state));
        assert_eq!(State::decode(&state.encode()[1..]), None);
        let usage = Usage { documents: 2, bytes: 5 };
        assert_eq!(Usage::decode(&usage.encode()), Some(usage));
        let document = DocumentId::from_bytes([7; 16]);
        for news in [News::Erased, News::Changed { heads: vec![ChangeHash::from_bytes([1; 32])] }] {
            assert_eq!(decode_news(&encode_news(&document, &news)), Some((document, news)));
        }
        assert_eq!(decode_news(&[0; 18]), None);
        let left_out = vec![Position(3), Position(9)];
        let content =
            SnapshotRecord { left_out: left_out.clone(), index: b"index", bytes: b"bytes" }.encode();
        let snapshot = SnapshotRecord::decode(&content).unwrap();
        assert_eq!(
            (snapshot.left_out, snapshot.index, snapshot.bytes),
            (left_out, &b"index"[..], &b"bytes"[..])
        );
        assert!(SnapshotRecord::decode(&[255; 40]).is_none());
    }
}
