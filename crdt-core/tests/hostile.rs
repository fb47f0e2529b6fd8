//! Changes whose checksums hold and whose content lies.

mod histories;

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, AutoCommit, ExpandedChange, ObjType, ScalarValue};
use crdt_core::document::{Change, Document};
use crdt_core::graph::chunk::ParsedChange;
use proptest::prelude::*;
use proptest::sample::Index;

/// One thing that a change says, and that is not so.
#[derive(Clone, Debug)]
enum Lie {
    Seq(u64),
    Start(u64),
    ForgetDeps,
    Object(Index, Option<Index>),
    Place(Index, Place),
    Overwrites(Index, Vec<Index>),
    Does(Index, u8),
    Inserts(Index),
    Twice(Index),
    Never(Index),
}

#[derive(Clone, Debug)]
enum Place {
    Map(u8),
    Head,
    Element(Index),
}

fn lie() -> impl Strategy<Value = Lie> {
    let place = prop_oneof![
        (0..5_u8).prop_map(Place::Map),
        Just(Place::Head),
        any::<Index>().prop_map(Place::Element),
    ];
    let overwritten = proptest::collection::vec(any::<Index>(), 0..3);
    prop_oneof![
        1 => (1..6_u64).prop_map(Lie::Seq),
        2 => (1..40_u64).prop_map(Lie::Start),
        1 => Just(Lie::ForgetDeps),
        4 => (any::<Index>(), proptest::option::of(any::<Index>())).prop_map(|(op, to)| Lie::Object(op, to)),
        4 => (any::<Index>(), place).prop_map(|(op, to)| Lie::Place(op, to)),
        4 => (any::<Index>(), overwritten).prop_map(|(op, ids)| Lie::Overwrites(op, ids)),
        4 => (any::<Index>(), 0..7_u8).prop_map(|(op, action)| Lie::Does(op, action)),
        2 => any::<Index>().prop_map(Lie::Inserts),
        1 => any::<Index>().prop_map(Lie::Twice),
        1 => any::<Index>().prop_map(Lie::Never),
    ]
}

fn some_id(at: Index) -> OpId {
    let at = at.index(4 * 40);
    OpId(at as u64 / 4 + 1, ActorId::from([u8::try_from(at % 4).unwrap() + 1; 16]))
}

/// The change with this lie in it, under a checksum that holds.
fn told(change: &automerge::Change, lies: &[Lie]) -> Vec<u8> {
    let mut change: ExpandedChange = change.decode();
    for lie in lies {
        tell(&mut change, lie);
    }
    automerge::Change::from(change).raw_bytes().to_vec()
}

fn tell(change: &mut ExpandedChange, lie: &Lie) {
    let count = change.operations.len();
    let op = |at: &Index, change: &mut ExpandedChange, edit: &dyn Fn(&mut Op)| {
        if count > 0 {
            edit(&mut change.operations[at.index(count)]);
        }
    };
    match lie {
        Lie::Seq(seq) => change.seq = *seq,
        Lie::Start(start) => change.start_op = (*start).try_into().unwrap(),
        Lie::ForgetDeps => change.deps.clear(),
        Lie::Object(at, to) => {
            op(at, change, &|op| op.obj = to.map_or(ObjectId::Root, |to| ObjectId::Id(some_id(to))));
        }
        Lie::Place(at, place) => op(at, change, &|op| {
            op.key = match place {
                Place::Map(key) => Key::Map(format!("key {key}").into()),
                Place::Head => Key::Seq(ElementId::Head),
                Place::Element(to) => Key::Seq(ElementId::Id(some_id(*to))),
            };
        }),
        Lie::Overwrites(at, ids) => {
            op(at, change, &|op| op.pred = ids.iter().copied().map(some_id).collect());
        }
        Lie::Does(at, action) => op(at, change, &|op| {
            op.action = match action {
                0 => OpType::Make(ObjType::Map),
                1 => OpType::Make(ObjType::List),
                2 => OpType::Make(ObjType::Text),
                3 => OpType::Delete,
                4 => OpType::Increment(i64::MAX),
                5 => OpType::Put(ScalarValue::counter(i64::MAX)),
                _ => OpType::MarkEnd(true),
            };
        }),
        Lie::Inserts(at) => op(at, change, &|op| op.insert = !op.insert),
        Lie::Twice(at) => {
            if count > 0 {
                let twin = change.operations[at.index(count)].clone();
                change.operations.push(twin);
            }
        }
        Lie::Never(at) => {
            if count > 0 {
                change.operations.remove(at.index(count));
            }
        }
    }
}

fn victim() -> Document {
    Document::new(crdt_core::id::ActorId::from_bytes([99; 16]))
}

fn changes_of(device: &mut AutoCommit) -> Vec<Vec<u8>> {
    device.get_changes(&[]).iter().map(|change| change.raw_bytes().to_vec()).collect()
}

/// What must hold of a document whatever it was told: it can be saved, loaded, read, written and passed on.
fn assert_sound(document: &mut Document) {
    let loaded = Document::load(&document.save(), document.actor().clone()).unwrap();
    assert_eq!(loaded.heads(), document.heads());
    let changes = document.changes_since(&[]);
    let mut again = victim();
    let applied = again.apply(changes.iter().map(|change| Change::parse(change.bytes()).unwrap())).unwrap();
    assert_eq!((applied.refused, applied.held), (Vec::new(), 0));
    assert_eq!(again.heads(), document.heads());
    let mut edit = document.edit();
    edit.put("key 0", "still here");
    edit.delete("key 1");
    edit.commit().unwrap();
    let heads = document.heads();
    assert_eq!(Document::load(&document.save(), document.actor().clone()).unwrap().heads(), heads);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_automerge_writes_fits(
        (steps, order) in (histories::plain_steps(60), any::<u64>()),
    ) {
        let mut devices = histories::devices(&steps);
        let mut all = devices[0].clone();
        for device in &mut devices[1..] {
            all.merge(device).unwrap();
        }
        let mut changes = changes_of(&mut all);
        let mut seed = order;
        for at in (1..changes.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            changes.swap(at, usize::try_from(seed >> 33).unwrap() % (at + 1));
        }
        let mut one_by_one = victim();
        for change in &changes {
            prop_assert_eq!(one_by_one.apply([Change::parse(change).unwrap()]).unwrap().refused, []);
        }
        let mut at_once = victim();
        let parsed = changes.iter().map(|change| Change::parse(change).unwrap());
        prop_assert_eq!(at_once.apply(parsed).unwrap().refused, []);
        let mut packed = victim();
        prop_assert_eq!(packed.apply_packed(&all.save()).unwrap().changes.len(), changes.len());
        prop_assert_eq!(at_once.heads(), one_by_one.heads());
        prop_assert_eq!(at_once.heads(), packed.heads());
        assert_sound(&mut packed);
    }

    #[test]
    fn lies_do_no_harm(
        steps in histories::plain_steps(40),
        lies in proptest::collection::vec((any::<Index>(), proptest::collection::vec(lie(), 1..3)), 1..6),
        at_once: bool,
    ) {
        let mut devices = histories::devices(&steps);
        let mut document = victim();
        let known = changes_of(&mut devices[0]);
        document.apply(known.iter().map(|change| Change::parse(change).unwrap())).unwrap();
        let truths: Vec<_> = devices.iter_mut().flat_map(|device| device.get_changes(&[])).collect();
        prop_assume!(!truths.is_empty());
        let told = lies.iter().map(|(at, lies)| told(&truths[at.index(truths.len())], lies));
        let told = told.chain(truths.iter().map(|truth| truth.raw_bytes().to_vec()));
        let parsed: Vec<_> = told.filter_map(|bytes| Change::parse(&bytes).ok()).collect();
        if at_once {
            document.apply(parsed).unwrap();
        } else {
            for change in parsed {
                document.apply([change]).unwrap();
            }
        }
        assert_sound(&mut document);
    }

    #[test]
    fn whoever_fits_fits_everywhere(
        steps in histories::plain_steps(40),
        lies in proptest::collection::vec((any::<Index>(), lie()), 1..4),
    ) {
        // One device hears the liar first, the other last; both hear every change after what it depends on.
        let mut devices = histories::devices(&steps);
        let truths: Vec<_> = devices.iter_mut().flat_map(|device| device.get_changes(&[])).collect();
        prop_assume!(!truths.is_empty());
        let liar = ActorId::from([200; 16]);
        let told = lies.iter().enumerate().map(|(n, (at, lie))| {
            let mut change = truths[at.index(truths.len())].decode();
            // Another actor's name keeps the lie from being refused as a second change of an honest one.
            change.actor_id = [liar.to_bytes(), &[u8::try_from(n).unwrap()]].concat().into();
            change.seq = 1;
            tell(&mut change, lie);
            automerge::Change::from(change).raw_bytes().to_vec()
        });
        let told: Vec<_> = told.filter_map(|bytes| Change::parse(&bytes).ok()).collect();
        let truths: Vec<_> = truths.iter().map(|truth| Change::parse(truth.raw_bytes()).unwrap()).collect();
        let mut first = victim();
        first.apply(told.iter().chain(&truths).cloned()).unwrap();
        let mut last = victim();
        for change in truths.iter().chain(&told) {
            last.apply([change.clone()]).unwrap();
        }
        prop_assert_eq!(first.heads(), last.heads());
        assert_sound(&mut first);
    }

    #[test]
    fn bytes_changed_under_a_checksum_that_holds_do_no_harm(
        steps in histories::steps(30),
        flips in proptest::collection::vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..8),
    ) {
        let mut devices = histories::devices(&steps);
        let mut document = victim();
        let changes = changes_of(&mut devices[1]);
        prop_assume!(!changes.is_empty());
        for (which, at, byte) in flips {
            let mut bytes = changes[which.index(changes.len())].clone();
            let header = bytes.len() - body(&bytes).len();
            let at = header + at.index(bytes.len() - header);
            bytes[at] = byte;
            let bytes = resealed(&bytes);
            if let Ok(change) = Change::parse(&bytes) {
                document.apply([change]).unwrap();
            }
        }
        document.apply(changes.iter().map(|change| Change::parse(change).unwrap())).unwrap();
        assert_sound(&mut document);
    }
}

fn body(chunk: &[u8]) -> &[u8] {
    let length = chunk[9..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    &chunk[9 + length..]
}

fn resealed(chunk: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut bytes = chunk.to_vec();
    let hash = Sha256::digest(&chunk[8..]);
    bytes[4..8].copy_from_slice(&hash[..4]);
    bytes
}

#[test]
fn a_change_resealed_without_being_changed_is_the_same_change() {
    let mut device = AutoCommit::new();
    automerge::transaction::Transactable::put(&mut device, automerge::ROOT, "key", "value").unwrap();
    device.commit();
    let change = changes_of(&mut device).remove(0);
    assert_eq!(resealed(&change), change);
    assert_eq!(ParsedChange::parse(&change).unwrap().op_count, 1);
}
