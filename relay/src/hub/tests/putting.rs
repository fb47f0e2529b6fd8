//! Somebody brings changes, waits until they are durable, and goes.

use crdt_core::document::Document;
use crdt_core::graph::chunk::{ParsedChange, split};
use crdt_core::id::ActorId;
use crdt_core::wire::DenialCode;

use super::stage::{CART, Device, Stage, key, shop, user};
use crate::access::{Access, Permit, Right};
use crate::hub::{Condition, Input, Note, Output, Put, PutDone, PutError, Shards, Version, Versions};
use crate::id::{ConnectionId, Subject};

const BRINGER: ConnectionId = ConnectionId(1000);

fn brings(permit: Permit, document: &Document, condition: Condition) -> Input {
    let changes = document.changes_since(&[]);
    let parsed = changes.iter().map(|change| ParsedChange::parse(change.bytes()).unwrap()).collect();
    let put = Put { permit, document: CART, changes: parsed, condition };
    Input::Put { connection: BRINGER, put: Box::new(put) }
}

fn notes(count: usize) -> Document {
    let mut document = Document::new(ActorId::derive(&["bringer"]));
    for number in 0..count {
        let mut edit = document.edit();
        edit.put(&format!("n/{number}"), "ring twice");
        edit.commit();
    }
    document
}

fn answers(stage: &mut Stage) -> Vec<Result<PutDone, PutError>> {
    let outputs = std::mem::take(&mut stage.outputs);
    let answer = |output| match output {
        Output::Put { connection: BRINGER, result } => Some(result),
        _ => None,
    };
    outputs.into_iter().filter_map(answer).collect()
}

#[test]
fn who_brings_is_answered_when_it_is_durable_and_others_are_told() {
    let mut stage = Stage::new();
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    stage.disk_is_prompt = false;
    let brought = notes(3);
    stage.handle(brings(user("student-7"), &brought, Condition::default()));
    assert_eq!(answers(&mut stage), [], "the disk has not answered");
    stage.store_one();
    assert_eq!(answers(&mut stage), [Ok(PutDone { heads: brought.heads(), is_new: true })]);
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.heads(), brought.heads());
    assert_eq!(stage.hub.counters().connections, 1, "who brought it is gone");

    stage.handle(brings(user("student-7"), &brought, Condition::default()));
    assert_eq!(
        answers(&mut stage),
        [Ok(PutDone { heads: brought.heads(), is_new: false })],
        "at once: it is durable"
    );
}

#[test]
fn a_failed_disk_is_no_success() {
    let mut stage = Stage::new();
    stage.disk_is_prompt = false;
    stage.handle(brings(user("student-7"), &notes(1), Condition::default()));
    stage.fail_one();
    let [Err(PutError::Refused { code, .. })] = &answers(&mut stage)[..] else { panic!("it is refused") };
    assert_eq!(*code, DenialCode::Storage);
    stage.disk_is_prompt = true;
    stage.handle(brings(user("student-7"), &notes(1), Condition::default()));
    assert!(answers(&mut stage)[0].is_ok());
}

#[test]
fn conditions_count_what_is_on_its_way_to_the_disk() {
    let mut stage = Stage::new();
    let first = notes(1);
    stage.disk_is_prompt = false;
    let absent = Condition { matches_none: Some(Versions::Any), ..Condition::default() };
    stage.handle(brings(user("student-7"), &first, absent.clone()));
    stage.handle(Input::Put {
        connection: ConnectionId(1001),
        put: match brings(user("student-7"), &notes(2), absent) {
            Input::Put { put, .. } => put,
            _ => unreachable!(),
        },
    });
    let version = Some(Version::of(&first.heads()));
    let second = stage.outputs.iter().find_map(|output| match output {
        Output::Put { connection: ConnectionId(1001), result } => Some(result.clone()),
        _ => None,
    });
    assert_eq!(second, Some(Err(PutError::Unexpected { version })), "one of two is first");
    stage.store_one();
    assert!(answers(&mut stage)[0].is_ok());
}

#[test]
fn what_is_not_whole_or_not_allowed_is_refused_whole() {
    let mut stage = Stage::new();
    let whole = notes(3);
    let changes = whole.changes_since(&[]);
    let last = ParsedChange::parse(changes[2].bytes()).unwrap();
    let put = Put {
        permit: user("student-7"),
        document: CART,
        changes: vec![last],
        condition: Condition::default(),
    };
    stage.handle(Input::Put { connection: BRINGER, put: Box::new(put) });
    let [Err(PutError::Refused { code, reason, .. })] = &answers(&mut stage)[..] else { panic!("refused") };
    assert!(*code == DenialCode::Invalid && reason.contains("builds on"), "{reason}");

    stage.handle(brings(user("student-7"), &whole, Condition::default()));
    assert!(answers(&mut stage)[0].is_ok());
    stage.handle(brings(user("student-8"), &notes(4), Condition::default()));
    assert_eq!(answers(&mut stage), [Err(PutError::NotFound)], "that it is there is nobody's business");
    let mut access = Access::owned_by(Subject::new("student-7").unwrap());
    access.grant(Subject::new("student-8").unwrap(), Right::Read);
    stage.store.commit(vec![crate::store::Write::Access { key: key(CART), access: access.clone() }]);
    stage.handle(Input::AccessChanged { key: key(CART), access });
    stage.handle(brings(user("student-8"), &notes(4), Condition::default()));
    let outputs = stage.outputs.clone();
    let [Err(PutError::Refused { code, .. })] = &answers(&mut stage)[..] else { panic!("refused") };
    assert_eq!(*code, DenialCode::Forbidden);
    let is_note = |output: &Output| {
        matches!(output, Output::Noted { tenant, note: Note::Refused { document: Some(CART), .. } }
            if *tenant == shop())
    };
    assert!(outputs.iter().any(is_note), "whoever looks after the relay can know");
}

#[test]
fn any_hub_takes_what_is_brought_for_its_documents() {
    let shards = Shards::new(3.try_into().unwrap());
    let mut stage = Stage::with_shards(crate::hub::Limits::default(), shards);
    assert_ne!(shards.holder(CART), 0, "another than the front");
    let brought = notes(1);
    stage.handle(brings(user("student-7"), &brought, Condition::default()));
    assert_eq!(answers(&mut stage), [Ok(PutDone { heads: brought.heads(), is_new: true })]);
    assert_eq!(split(&brought.save()).count(), 1);
}
