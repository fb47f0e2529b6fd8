//! Packed documents, as Automerge writes them, and as those do who want to do harm.

mod histories;
#[path = "../../fuzz/src/loading.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is a library's")]
mod loading;
#[path = "../../fuzz/src/sealing.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is a library's")]
mod sealing;

use automerge::{ActorId, AutoCommit, Automerge};
use crdt_core::document::{Change, Document};
use crdt_core::graph::chunk::{InvalidChunk, ParsedChange, split};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

fn reader() -> crdt_core::id::ActorId {
    crdt_core::id::ActorId::from_bytes([99; 16])
}

fn unpacked(saved: &[u8]) -> Result<Vec<ParsedChange>, InvalidChunk> {
    let chunk = split(saved).next().unwrap()?;
    let packed = chunk.packed()?;
    let unpacked = packed.unpack()?;
    assert_eq!(unpacked.check_fit(), Ok(()));
    assert!(unpacked.changes().map(|change| change.hash).eq(unpacked.hashes().iter().copied()));
    Ok(unpacked.changes().collect())
}

/// Checks that unpacking what Automerge saves gives the changes that went in.
fn assert_unpacks(document: &AutoCommit) {
    let mut document = document.clone();
    let changes = document.get_changes(&[]);
    for saved in [document.save(), document.save_nocompress()] {
        let unpacked = unpacked(&saved).unwrap();
        let mut expected: Vec<_> =
            changes.iter().map(|change| ParsedChange::parse(change.raw_bytes()).unwrap()).collect();
        let mut found = unpacked.clone();
        expected.sort_unstable_by_key(|change| change.hash);
        found.sort_unstable_by_key(|change| change.hash);
        assert_eq!(found, expected);
        // In the order given, each after what it depends on.
        let mut again = Automerge::new();
        for change in &unpacked {
            let change = automerge::Change::try_from(&*change.bytes).unwrap();
            assert!(change.deps().iter().all(|dep| again.get_change_meta_by_hash(dep).is_some()));
            again.apply_changes([change]).unwrap();
        }
        assert_eq!(again.get_heads(), document.get_heads());
    }
}

fn merged(devices: &[AutoCommit]) -> AutoCommit {
    let mut all = devices[0].clone().with_actor(ActorId::from([50; 16]));
    for device in &devices[1..] {
        all.merge(&mut device.clone()).unwrap();
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn unpacking_what_automerge_saves_gives_the_changes_that_went_in(steps in histories::steps(80)) {
        let devices = histories::devices(&steps);
        for device in &devices {
            assert_unpacks(device);
        }
        assert_unpacks(&merged(&devices));
    }

    #[test]
    fn a_packed_document_and_its_changes_are_taken_alike(steps in histories::plain_steps(60)) {
        let mut all = merged(&histories::devices(&steps));
        let saved = all.save();
        let loaded = Document::load(&saved, reader()).unwrap();
        let mut packed = Document::new(reader());
        packed.apply_packed(&saved).unwrap();
        let mut singly = Document::new(reader());
        let changes = unpacked(&saved).unwrap();
        let applied = singly.apply(changes.iter().map(|change| Change::try_from(change).unwrap())).unwrap();
        prop_assert_eq!(applied.refused, []);
        prop_assert_eq!(loaded.heads(), singly.heads());
        prop_assert_eq!(packed.heads(), singly.heads());
        let operations = |document: &Document| sealing::operations(sealing::body(&document.save())).unwrap().to_vec();
        prop_assert_eq!(operations(&loaded), operations(&singly));
    }
}

/// Documents worth damaging: our own, and one that holds everything that Automerge knows.
fn victims() -> Vec<Vec<u8>> {
    let mut all = vec![
        include_bytes!("../../tests/golden/cart-v1.automerge").to_vec(),
        include_bytes!("../../tests/golden/enrollment-v1.automerge").to_vec(),
        include_bytes!("../../tests/golden/profile-v1.automerge").to_vec(),
        include_bytes!("../../tests/golden/progress-v1.automerge").to_vec(),
    ];
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for length in [20, 60, 120, 120] {
        let steps = histories::steps(length).new_tree(&mut runner).unwrap().current();
        all.push(merged(&histories::devices(&steps)).save_nocompress());
    }
    all
}

/// Every `stride`th way to change one byte of one victim, as the body of a document.
fn mutants(stride: usize) -> impl Iterator<Item = Vec<u8>> {
    let victims = victims().into_iter();
    let bodies = victims.map(|victim| sealing::body(&victim).to_vec());
    let ways = bodies.flat_map(|body| {
        (0..body.len()).flat_map(move |at| {
            let body = body.clone();
            (0..255).map(move |delta| (body.clone(), at, delta + 1))
        })
    });
    ways.step_by(stride).map(|(mut body, at, delta)| {
        body[at] = body[at].wrapping_add(delta);
        body
    })
}

#[test]
fn a_byte_changed_under_a_checksum_and_heads_that_hold_does_no_harm() {
    let mut taken = 0;
    let mut tried = 0;
    for body in mutants(9973) {
        tried += 1;
        taken += loading::load(&body);
    }
    assert!(tried > 400 && taken > 2, "{taken} of {tried}");
}
