//! Chunks as Automerge writes them, and as those do who want to do harm.

mod histories;

use std::io::Write;

use crdt_core::graph::chunk::{ChunkKind, InvalidChunk, ParsedChange, split};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// A chunk of this kind around `body`, with the checksum that belongs to `hashed`.
fn sealed(kind: u8, body: &[u8], hashed: &[u8]) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update([kind.min(1)]);
    digest.update(length(hashed.len()));
    digest.update(hashed);
    let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83];
    bytes.extend_from_slice(&digest.finalize()[..4]);
    bytes.push(kind);
    bytes.extend(length(body.len()));
    bytes.extend_from_slice(body);
    bytes
}

fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_automerge_writes_is_read_alike(steps in histories::steps(60)) {
        for mut device in histories::devices(&steps) {
            for mut change in device.get_changes(&[]) {
                let parsed = ParsedChange::parse(change.raw_bytes()).unwrap();
                prop_assert_eq!(parsed.hash.as_bytes(), &change.hash().0);
                prop_assert_eq!(parsed.actor.as_bytes(), change.actor_id().to_bytes());
                prop_assert_eq!((parsed.seq, parsed.start_op), (change.seq(), change.start_op().get()));
                prop_assert_eq!(parsed.op_count as usize, change.len());
                let deps: Vec<_> = parsed.deps.iter().map(|dep| automerge::ChangeHash(*dep.as_bytes())).collect();
                prop_assert_eq!(deps.as_slice(), change.deps());
                let small = change.bytes().into_owned();
                prop_assert_eq!(ParsedChange::parse(&small).unwrap().hash, parsed.hash);
            }
            let saved = device.save();
            let chunks: Vec<_> = split(&saved).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(chunks.len(), 1);
            prop_assert_eq!(chunks[0].kind(), ChunkKind::Document);
            let heads: Vec<_> = chunks[0].packed().unwrap().heads.iter().map(|head| *head.as_bytes()).collect();
            let expected: Vec<_> = device.get_heads().iter().map(|head| head.0).collect();
            prop_assert_eq!(heads, expected);
        }
    }
}

fn some_change() -> Vec<u8> {
    let mut edit = crdt_core::document::Document::new(crdt_core::id::ActorId::from_bytes([1; 16]));
    let mut phone = edit.edit();
    phone.put("n/cart", "ring twice");
    phone.commit();
    edit.changes_since(&[])[0].bytes().to_vec()
}

#[test]
fn a_checksum_that_does_not_hold_is_refused() {
    let mut change = some_change();
    change[4] ^= 1;
    assert_eq!(ParsedChange::parse(&change), Err(InvalidChunk::BadChecksum));
}

#[test]
fn an_inflation_bomb_is_refused_before_it_is_inflated() {
    let zeros = vec![0; 64 << 20];
    let bomb = sealed(2, &deflated(&zeros), &zeros);
    assert!(bomb.len() < 100_000);
    assert!(matches!(ParsedChange::parse(&bomb), Err(InvalidChunk::InflatesTooFar { .. })));
}

#[test]
fn a_bomb_hidden_in_a_packed_document_is_refused() {
    let zeros = vec![0; 300 << 20];
    let column = deflated(&zeros);
    // No actors, no heads, no change columns, one deflated column of raw values.
    let mut body = vec![0, 0, 0, 1, 0x57 | 8];
    body.extend(length(column.len()));
    body.extend(column);
    let chunk = sealed(0, &body, &body);
    let found = split(&chunk).next().unwrap().unwrap().packed();
    assert!(matches!(found, Err(InvalidChunk::InflatesTooFar { .. })));
}

#[test]
fn a_few_bytes_claiming_endless_rows_are_refused() {
    // An action column whose one run claims 2^62 rows.
    let column = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0xc0, 0x00, 0x01];
    let mut document = vec![0, 0, 0, 1, 0x42, 11];
    document.extend(column);
    let chunk = sealed(0, &document, &document);
    let found = split(&chunk).next().unwrap().unwrap().packed();
    assert!(matches!(found, Err(InvalidChunk::BadColumns { .. })));
}

#[test]
fn a_deflated_change_with_something_behind_it_is_refused() {
    let change = some_change();
    let body = &change[10..];
    let mut padded = deflated(body);
    assert!(ParsedChange::parse(&sealed(2, &padded, body)).is_ok());
    padded.push(0);
    assert_eq!(ParsedChange::parse(&sealed(2, &padded, body)), Err(InvalidChunk::NotDeflate));
}

#[test]
fn bundles_and_unknown_kinds_are_refused() {
    for kind in [3, 4, 255] {
        let chunk = sealed(kind, &[], &[]);
        assert_eq!(ParsedChange::parse(&chunk), Err(InvalidChunk::UnknownKind { kind }));
    }
}

#[test]
fn a_change_is_exactly_one_chunk() {
    let mut twice = some_change();
    twice.extend(some_change());
    assert!(matches!(ParsedChange::parse(&twice), Err(InvalidChunk::TrailingBytes { .. })));
    assert_eq!(split(&twice).flatten().count(), 2);
    twice.push(0x85);
    assert!(split(&twice).last().unwrap().is_err());
}
