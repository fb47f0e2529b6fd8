//! Several hubs that are one relay.

use std::time::Duration;

use crdt_core::id::DocumentId;
use crdt_core::time::Timestamp;
use crdt_core::wire::{Capabilities, DocumentHeads, Ephemeral, Frame, PeerRef, SessionRef};

use super::stage::{Device, Stage, user};
use crate::hub::{Input, Limits, Shards};

const HUBS: u16 = 3;

fn stage() -> Stage {
    Stage::with_shards(Limits::default(), Shards::new(HUBS.try_into().unwrap()))
}

/// Documents of which each hub handles some.
fn documents() -> Vec<DocumentId> {
    (0..2 * HUBS).map(|number| DocumentId::from_bytes([u8::try_from(number).unwrap(); 16])).collect()
}

#[test]
fn each_document_syncs_through_its_hub() {
    let mut stage = stage();
    for document in documents() {
        let mut phone = Device::join(&mut stage, "phone", user("student-7"));
        let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
        (phone.id, laptop.id) = (document, document);
        phone.write("ring twice");
        laptop.write("or knock");
        stage.talk(&mut [&mut phone, &mut laptop]);
        assert_eq!(phone.heads(), laptop.heads());
        assert_eq!(phone.document.changes_since(&[]).len(), 2);
    }
    let rooms = stage.others.iter().chain([&stage.hub]).map(|hub| hub.counters().rooms);
    assert_eq!(rooms.collect::<Vec<_>>(), [2; 3]);
}

#[test]
fn a_peer_is_welcomed_once_and_counted_once() {
    let mut stage = stage();
    let phone = stage.join("phone", user("student-7"), Capabilities::all());
    assert_eq!(stage.take(phone).len(), 1);
    let connections = stage.others.iter().chain([&stage.hub]).map(|hub| hub.counters().connections);
    assert_eq!(connections.sum::<u64>(), 1);
}

#[test]
fn one_frame_opens_documents_of_all_hubs() {
    let mut stage = stage();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    for document in documents() {
        phone.id = document;
        phone.document = crdt_core::document::Document::new(crdt_core::id::ActorId::derive(&["phone"]));
        phone.write("ring twice");
        phone.state = crdt_core::sync::State::new(crdt_core::sync::Manner::OPEN);
        stage.talk(&mut [&mut phone]);
    }
    let mut laptop = Device::join_with(&mut stage, "laptop", user("student-7"), Capabilities::all());
    let opened = documents().into_iter().map(|document| DocumentHeads { document, heads: Vec::new() });
    stage.send(laptop.connection, &Frame::Open { route: laptop.route(), documents: opened.collect() });
    let mut told: Vec<_> = stage
        .take(laptop.connection)
        .iter()
        .flat_map(|bytes| match Frame::decode(bytes).unwrap() {
            Frame::Durable { documents, .. } => documents,
            _ => Vec::new(),
        })
        .filter_map(|it| (!it.heads.is_empty()).then_some(it.document))
        .collect();
    told.sort_unstable();
    assert_eq!(told, documents());
    assert_eq!(laptop.told(|frame| matches!(frame, Frame::Error { .. }).then_some(())), []);
}

#[test]
fn nobody_speaks_before_joining_and_nobody_after_leaving() {
    for document in documents() {
        let mut stage = stage();
        let silent = stage.connect(user("student-8"));
        let mut phone = Device::join(&mut stage, "phone", user("student-7"));
        phone.id = document;
        phone.write("mine");
        let frame = phone.speak().unwrap();
        stage.send_bytes(silent, &frame);
        assert_eq!(stage.appends.len(), 0);
        stage.handle(Input::Closed { connection: phone.connection });
        stage.send_bytes(phone.connection, &frame);
        let hubs = stage.others.iter().chain([&stage.hub]);
        assert_eq!(hubs.map(|hub| hub.counters().rooms).sum::<u64>(), 0, "{document}");
        assert!(stage.others.iter().all(|hub| hub.connections.len() == 0));
    }
}

#[test]
fn a_new_connection_of_a_peer_replaces_the_old_in_every_hub() {
    let mut stage = stage();
    let old = Device::join(&mut stage, "phone", user("student-7")).connection;
    let new = Device::join(&mut stage, "phone", user("student-7")).connection;
    assert_eq!(stage.closed.keys().copied().collect::<Vec<_>>(), [old]);
    for hub in &stage.others {
        assert_eq!(hub.connections.iter().map(|(id, _)| id).collect::<Vec<_>>(), [new]);
    }
}

#[test]
fn a_permit_ends_in_every_hub_and_its_holder_hears_of_it_once() {
    let mut stage = stage();
    let mut permit = user("student-7");
    permit.expires = stage.now + Duration::from_secs(5);
    let phone = stage.join("phone", permit.clone(), Capabilities::all());
    stage.take(phone);
    permit.expires = stage.now + Duration::from_secs(8);
    stage.handle(Input::Permitted { connection: phone, permit });
    stage.wait(Duration::from_secs(6));
    assert!(stage.closed.is_empty(), "it was renewed");
    stage.wait(Duration::from_secs(3));
    assert!(stage.closed.contains_key(&phone));
    let heard = stage.take(phone);
    let heard: Vec<_> = heard.iter().map(|frame| Frame::decode(frame).unwrap()).collect();
    assert!(matches!(heard[..], [Frame::Permitted { .. }, Frame::Denied { .. }]), "{heard:?}");
    assert!(stage.others.iter().all(|hub| hub.connections.len() == 0));
    assert!(stage.now > Timestamp::ZERO);
}

#[test]
fn whoever_one_hub_turns_away_is_gone_from_all() {
    let mut stage = Stage::with_shards(
        Limits { strikes_max: 1, ..Limits::default() },
        Shards::new(HUBS.try_into().unwrap()),
    );
    for document in documents() {
        let mut phone = Device::join(&mut stage, "phone", user("student-7"));
        phone.id = document;
        stage.send(phone.connection, &Frame::Sync { route: phone.route(), document, data: &[0x42, 0xff] });
        assert!(stage.closed.contains_key(&phone.connection), "{document}");
        assert_eq!(stage.hub.connections.len(), 0);
        assert!(stage.others.iter().all(|hub| hub.connections.len() == 0));
    }
}

#[test]
fn ephemeral_messages_reach_the_followers_of_their_document() {
    for document in documents() {
        let mut stage = stage();
        let mut phone = Device::join(&mut stage, "phone", user("student-7"));
        let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
        (phone.id, laptop.id) = (document, document);
        phone.write("ring twice");
        stage.talk(&mut [&mut phone, &mut laptop]);
        let session = SessionRef::new("tab").unwrap();
        let ephemeral = Ephemeral { route: phone.route(), document, session, count: 1, data: b"hello" };
        stage.send(phone.connection, &Frame::Ephemeral(ephemeral));
        stage.talk(&mut [&mut phone, &mut laptop]);
        let heard = laptop.told(|frame| match frame {
            Frame::Ephemeral(it) => Some((it.document, it.route.sender == PeerRef::new("phone").unwrap())),
            _ => None,
        });
        assert_eq!(heard, [(document, true)]);
    }
}
