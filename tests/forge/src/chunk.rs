//! Chunks that no honest writer writes.

use std::io::Write as _;

use crdt_core::id::{ActorId, ChangeHash};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use sha2::{Digest, Sha256};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHANGE: u8 = 1;
const DEFLATED_CHANGE: u8 = 2;

/// A number in LEB128.
pub fn leb128(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    into.push(u8::try_from(number).expect("seven bits"));
}

/// A change chunk around any body, with the checksum that belongs to it.
pub fn change_chunk(body: &[u8]) -> Vec<u8> {
    let mut chunk = MAGIC.to_vec();
    chunk.extend_from_slice(&hash_of_body(body).as_bytes()[..4]);
    chunk.push(CHANGE);
    leb128(body.len() as u64, &mut chunk);
    chunk.extend_from_slice(body);
    chunk
}

/// The hash of the change with this body.
pub fn hash_of_body(body: &[u8]) -> ChangeHash {
    let mut hasher = Sha256::new();
    let mut prefix = vec![CHANGE];
    leb128(body.len() as u64, &mut prefix);
    hasher.update(&prefix);
    hasher.update(body);
    ChangeHash::from_bytes(hasher.finalize().into())
}

/// A deflated change that inflates to this many zeros.
pub fn inflating_chunk(inflated_bytes: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; inflated_bytes]).expect("memory takes any bytes");
    let deflated = encoder.finish().expect("memory takes any bytes");
    let mut chunk = MAGIC.to_vec();
    chunk.extend_from_slice(&[0; 4]);
    chunk.push(DEFLATED_CHANGE);
    leb128(deflated.len() as u64, &mut chunk);
    chunk.extend_from_slice(&deflated);
    chunk
}

/// What a change says about itself, before its operations.
#[derive(Clone, Debug)]
pub struct Header {
    pub deps: Vec<ChangeHash>,
    pub actor: ActorId,
    pub seq: u64,
    pub start_op: u64,
}

impl Header {
    /// The body of a change with these columns: id, then content.
    pub fn body(&self, columns: &[(u64, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        leb128(self.deps.len() as u64, &mut body);
        for dep in &self.deps {
            body.extend_from_slice(dep.as_bytes());
        }
        leb128(self.actor.as_bytes().len() as u64, &mut body);
        body.extend_from_slice(self.actor.as_bytes());
        leb128(self.seq, &mut body);
        leb128(self.start_op, &mut body);
        // Time, message, other actors: none.
        body.extend_from_slice(&[0, 0, 0]);
        leb128(columns.len() as u64, &mut body);
        for (id, content) in columns {
            leb128(*id, &mut body);
            leb128(content.len() as u64, &mut body);
        }
        for (_, content) in columns {
            body.extend_from_slice(content);
        }
        body
    }

    /// A change that puts a text under a root key, spelled as Automerge spells it.
    pub fn put(&self, key: &str, text: &str) -> Vec<u8> {
        let key = run_of_one_text(key);
        let mut value_meta = vec![0x7f];
        leb128((text.len() as u64) << 4 | 6, &mut value_meta);
        change_chunk(&self.body(&[
            (0x15, &key),
            (0x34, &[0x01]),
            (0x42, &[0x7f, 0x01]),
            (0x56, &value_meta),
            (0x57, text.as_bytes()),
            (0x70, &[0x7f, 0x00]),
        ]))
    }

    /// A change whose checksum holds and whose operations are noise.
    pub fn noise(&self, noise: &[u8]) -> Vec<u8> {
        change_chunk(&self.body(&[(0x15, noise), (0x42, noise), (0x56, noise), (0x57, noise)]))
    }
}

fn run_of_one_text(text: &str) -> Vec<u8> {
    let mut run = vec![0x7f];
    leb128(text.len() as u64, &mut run);
    run.extend_from_slice(text.as_bytes());
    run
}

#[cfg(test)]
mod tests {
    use crdt_core::document::{Change, Document, Stored};
    use crdt_core::graph::chunk::ParsedChange;

    use super::*;

    fn header() -> Header {
        Header { deps: Vec::new(), actor: ActorId::from_bytes([7; 16]), seq: 1, start_op: 1 }
    }

    #[test]
    fn a_forged_put_is_a_change_like_any_other() {
        let chunk = header().put("n/cart", "ring twice");
        let change = Change::parse(&chunk).unwrap();
        let mut laptop = Document::new(ActorId::from_bytes([2; 16]));
        assert_eq!(laptop.apply([change.clone()]).unwrap().changes, [change.hash()]);
        assert_eq!(laptop.values("n/cart"), [Stored::Text("ring twice".into())]);
        let mut phone = Document::new(ActorId::from_bytes([7; 16]));
        let mut edit = phone.edit();
        edit.put("n/cart", "ring twice");
        edit.commit();
        assert_eq!(phone.changes_for_peer(&[])[0].bytes(), chunk, "spelled as our own writer does");
    }

    #[test]
    fn noise_has_the_checksum_that_belongs_to_it_and_is_refused() {
        let chunk = header().noise(&[0x05, 0xff, 0x13]);
        assert_ne!(ParsedChange::parse(&chunk), Err(crdt_core::graph::chunk::InvalidChunk::BadChecksum));
        assert!(ParsedChange::parse(&chunk).is_err());
    }

    #[test]
    fn a_small_chunk_claims_much() {
        let chunk = inflating_chunk(8 << 20);
        assert!(chunk.len() < 16 << 10, "{}", chunk.len());
        assert!(ParsedChange::parse(&chunk).is_err());
    }
}
