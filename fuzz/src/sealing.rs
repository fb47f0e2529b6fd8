//! Chunks around bodies that a fuzzer made up: with checksums that hold, and documents with the heads that they have.

use crdt_core::graph::chunk::{InvalidChunk, split};
use crdt_core::id::ChangeHash;
use sha2::{Digest, Sha256};

/// A chunk of this kind around `body`, with the checksum that belongs to it: no fuzzer guesses one.
pub fn sealed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut hashed = vec![kind];
    write_length(&mut hashed, body.len());
    hashed.extend_from_slice(body);
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83];
    chunk.extend_from_slice(&Sha256::digest(&hashed)[..4]);
    chunk.extend(hashed);
    chunk
}

/// The document chunk around `body`, with the heads that its changes lead to in place of those it tells, if that is all
/// that is wrong with it.
pub fn forged(body: &[u8]) -> Option<Vec<u8>> {
    let chunk = sealed(0, body);
    let error = split(&chunk).next()?.ok()?.packed().ok()?.unpack().err()?;
    let InvalidChunk::WrongHeads { found } = error else { return None };
    Some(sealed(0, &with_heads(body, &found)?))
}

/// The body of the first chunk in `bytes`.
pub fn body(bytes: &[u8]) -> &[u8] {
    let length = bytes[9..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    &bytes[9 + length..]
}

/// The columns of operations in the body of a document.
pub fn operations(body: &[u8]) -> Option<&[u8]> {
    let (_, mut rest) = split_heads(body)?;
    let mut lengths = [0; 2];
    for length in &mut lengths {
        for _ in 0..read_length(&mut rest)? {
            read_length(&mut rest)?;
            *length += read_length(&mut rest)?;
        }
    }
    rest.get(lengths[0]..lengths[0] + lengths[1])
}

/// The body with other heads, and without a word on where they are, which older writers leave out too.
fn with_heads(body: &[u8], heads: &[ChangeHash]) -> Option<Vec<u8>> {
    let (actors, columns) = split_heads(body)?;
    let operations = operations(body)?;
    let mut forged = actors.to_vec();
    write_length(&mut forged, heads.len());
    for head in heads {
        forged.extend_from_slice(head.as_bytes());
    }
    let end = operations.as_ptr() as usize + operations.len() - columns.as_ptr() as usize;
    forged.extend_from_slice(&columns[..end]);
    Some(forged)
}

/// What stands before a document's heads, and what behind them.
fn split_heads(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = body;
    for _ in 0..read_length(&mut rest)? {
        let length = read_length(&mut rest)?;
        rest = rest.get(length..)?;
    }
    let actors = &body[..body.len() - rest.len()];
    let heads = read_length(&mut rest)?;
    Some((actors, rest.get(heads.checked_mul(32)?..)?))
}

fn read_length(rest: &mut &[u8]) -> Option<usize> {
    let mut length = 0;
    for shift in (0..56).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

fn write_length(into: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        into.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    into.push(u8::try_from(length).expect("seven bits"));
}
