//! Single changes of other writers, each with one thing about it that no writer of ours does.

use std::num::NonZeroU64;

use automerge::legacy::{ElementId, Key, MarkData, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, Automerge, ExpandedChange, ObjType, ScalarValue};
use crdt_core::document::{Change, Document};
use crdt_core::graph::chunk::{InvalidChunk, Malformed, ParsedChange};
use crdt_core::graph::{Graph, Item};
use crdt_core::limits::{CHANGE_OPS_MAX, DOCUMENT_OPS_MAX};
use crdt_core::time::Timestamp;
use sha2::{Digest, Sha256};

fn phone() -> Document {
    Document::new(crdt_core::id::ActorId::from_bytes([9; 16]))
}

fn stranger(n: u8) -> ActorId {
    ActorId::from([n; 16])
}

/// The first change of a stranger, numbered from `start_op`.
fn expanded(n: u8, start_op: u64, operations: Vec<Op>) -> ExpandedChange {
    ExpandedChange {
        operations,
        actor_id: stranger(n),
        hash: None,
        seq: 1,
        start_op: NonZeroU64::new(start_op).unwrap(),
        time: 0,
        message: None,
        deps: Vec::new(),
        extra_bytes: Vec::new(),
        author: None,
    }
}

fn put(key: &str) -> Op {
    Op {
        action: OpType::Put(ScalarValue::Str("value".into())),
        obj: ObjectId::Root,
        key: Key::Map(key.into()),
        pred: Vec::new().into(),
        insert: false,
    }
}

fn bytes(change: ExpandedChange) -> Vec<u8> {
    automerge::Change::from(change).raw_bytes().to_vec()
}

fn reloaded(document: &Document) -> Document {
    let again = Document::load(&document.save(), document.actor().clone()).unwrap();
    assert_eq!(again.heads(), document.heads());
    again
}

/// What a device and a relay make of a change.
fn is_taken(change: &[u8]) -> bool {
    let mut document = phone();
    let taken = document.apply([Change::parse(change).unwrap()]).unwrap().refused.is_empty();
    reloaded(&document);
    let parsed = ParsedChange::parse(change).unwrap();
    let placed = Graph::new().insert(Item::from(&parsed), parsed.bytes, Timestamp::ZERO);
    assert_eq!(placed.refused.is_empty(), taken, "a relay takes what devices take");
    taken
}

#[test]
fn an_empty_change_is_numbered_next_or_refused() {
    assert!(is_taken(&bytes(expanded(1, 1, Vec::new()))));
    assert!(is_taken(&bytes(expanded(1, 2, vec![put("key")]))));
    // Automerge takes it, saves it, and can't load what it saved.
    let skipping = bytes(expanded(1, 2, Vec::new()));
    assert!(!is_taken(&skipping));
    let mut theirs = Automerge::new();
    theirs.apply_changes([automerge::Change::try_from(&skipping[..]).unwrap()]).unwrap();
    assert!(Automerge::load(&theirs.save()).is_err());
}

#[test]
fn an_empty_change_as_the_only_head_does_not_lower_the_next_number() {
    for start_op in 1..7 {
        let mut document = phone();
        for n in 0..4 {
            let mut edit = document.edit();
            edit.put("key", &n.to_string());
            edit.commit();
        }
        let next = document.edit().next_dot();
        let mut empty = expanded(1, start_op, Vec::new());
        empty.deps = document.heads().iter().map(|head| automerge::ChangeHash(*head.as_bytes())).collect();
        let empty = Change::parse(&bytes(empty)).unwrap();
        let applied = document.apply([empty.clone()]).unwrap();
        assert_eq!(applied.refused.is_empty(), start_op == 5, "numbered from {start_op}");
        if start_op == 5 {
            assert_eq!(document.heads(), [empty.hash()]);
        }
        assert_eq!(document.edit().next_dot(), next);
        assert_eq!(reloaded(&document).edit().next_dot(), next);
    }
}

#[test]
fn times_at_the_ends_of_time_are_refused() {
    let at = |n, time| ExpandedChange { time, ..expanded(n, 1, vec![put("key")]) };
    for time in [i64::MIN, i64::MAX, (1 << 61) + 1] {
        let parsed = ParsedChange::parse(&bytes(at(1, time)));
        assert!(matches!(parsed, Err(InvalidChunk::BadHeader { .. })), "{time}");
    }
    let mut document = phone();
    let far = [at(1, 1 << 61), at(2, -(1 << 61))];
    let applied = document.apply(far.map(|change| Change::parse(&bytes(change)).unwrap())).unwrap();
    assert_eq!(applied.changes.len(), 2);
    reloaded(&document);
}

#[test]
fn a_mark_that_ends_before_it_begins_can_be_applied_but_never_loaded() {
    let text = Op { action: OpType::Make(ObjType::Text), ..put("text") };
    let id = |n| OpId(n, stranger(1));
    let insert = |action, key| Op {
        action,
        obj: ObjectId::Id(id(1)),
        key: Key::Seq(key),
        pred: Vec::new().into(),
        insert: true,
    };
    let letter = |key| insert(OpType::Put(ScalarValue::Str("a".into())), key);
    let begin = OpType::MarkBegin(MarkData { name: "bold".into(), value: true.into(), expand: true });
    let operations = vec![
        text,
        letter(ElementId::Head),
        letter(ElementId::Id(id(2))),
        insert(begin, ElementId::Id(id(3))),
        insert(OpType::MarkEnd(false), ElementId::Id(id(2))),
    ];
    let change = bytes(expanded(1, 1, operations));
    let mut theirs = Automerge::new();
    theirs.apply_changes([automerge::Change::try_from(&change[..]).unwrap()]).unwrap();
    assert!(Automerge::load(&theirs.save()).is_err());
    // Only with the whole text at hand could one tell it from a mark that does no harm.
    assert!(!is_taken_by_device(&change));
    assert!(Document::load(&theirs.save(), phone().actor().clone()).is_err());
}

fn is_taken_by_device(change: &[u8]) -> bool {
    phone().apply([Change::parse(change).unwrap()]).unwrap().refused.is_empty()
}

#[test]
fn small_changes_of_many_operations_fill_a_document_and_do_not_burst_it() {
    // A hundred thousand equal values, in a hundred and some bytes.
    let change = |n: u8| {
        let list = Op { action: OpType::Make(ObjType::List), ..put("list") };
        let insert = |counter: u64| Op {
            action: OpType::Put(ScalarValue::Null),
            obj: ObjectId::Id(OpId(1, stranger(n))),
            key: Key::Seq(if counter == 2 {
                ElementId::Head
            } else {
                ElementId::Id(OpId(counter - 1, stranger(n)))
            }),
            pred: Vec::new().into(),
            insert: true,
        };
        let operations = std::iter::once(list).chain((2..=CHANGE_OPS_MAX as u64).map(insert)).collect();
        ParsedChange::parse(&bytes(expanded(n, 1, operations))).unwrap()
    };
    let mut graph = Graph::new();
    let many = u8::try_from(DOCUMENT_OPS_MAX / CHANGE_OPS_MAX as u64).unwrap();
    for n in 1..=many + 1 {
        let parsed = change(n);
        assert!(parsed.bytes.len() < 200);
        let refused = graph.insert(Item::from(&parsed), parsed.bytes, Timestamp::ZERO).refused;
        let is_full = matches!(refused[..], [(_, crdt_core::graph::Refusal::TooManyOperations)]);
        assert_eq!(is_full, n > many, "{refused:?}");
    }
}

/// A change that puts one value, with these columns, under a checksum that holds.
fn change_of(columns: &[(u8, &[u8])]) -> Vec<u8> {
    let mut body = vec![0, 1, 7, 1, 1, 0, 0, 0];
    body.push(u8::try_from(columns.len()).unwrap());
    for (number, bytes) in columns {
        if *number >= 0x80 {
            body.extend([*number, 1]);
        } else {
            body.push(*number);
        }
        body.push(u8::try_from(bytes.len()).unwrap());
    }
    for (_, bytes) in columns {
        body.extend(*bytes);
    }
    let mut hashed = vec![1, u8::try_from(body.len()).unwrap()];
    hashed.extend(body);
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83];
    chunk.extend(&Sha256::digest(&hashed)[..4]);
    chunk.extend(hashed);
    chunk
}

#[test]
fn flags_are_spelled_as_automerge_spells_them() {
    let key: (u8, &[u8]) = (0x15, &[0x7f, 1, b'k']);
    let rest: [(u8, &[u8]); 3] = [(0x42, &[0x7f, 1]), (0x56, &[0x7f, 2]), (0x70, &[0x7f, 0])];
    let columns = |more: &[(u8, &'static [u8])]| {
        let mut columns = [&[key], &rest[..], more].concat();
        columns.sort_unstable();
        change_of(&columns)
    };
    assert!(is_taken(&columns(&[(0x34, &[1])])));
    // Automerge would add the one and leave out the other, and find another hash.
    let spelled_otherwise = Err(InvalidChunk::Malformed(Malformed::AnotherSpelling));
    assert_eq!(ParsedChange::parse(&columns(&[])), spelled_otherwise);
    assert_eq!(ParsedChange::parse(&columns(&[(0x34, &[1]), (0x94, &[1])])), spelled_otherwise);
}
