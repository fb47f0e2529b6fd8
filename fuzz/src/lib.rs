//! What the fuzz targets share.

pub mod bytes;
pub mod client;

use sha2::{Digest, Sha256};

/// A chunk of this kind around `body`, with the checksum that belongs to it: no fuzzer guesses one.
pub fn sealed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut hashed = vec![kind];
    let mut length = body.len();
    while length >= 0x80 {
        hashed.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    hashed.push(u8::try_from(length).unwrap());
    hashed.extend_from_slice(body);
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83];
    chunk.extend_from_slice(&Sha256::digest(&hashed)[..4]);
    chunk.extend(hashed);
    chunk
}
