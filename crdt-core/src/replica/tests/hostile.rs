//! Peers that break every rule: nobody else notices, and nothing grows.

use super::world::{CART, World};
use crate::document::Document;
use crate::id::{ActorId, DocumentId};
use crate::limits::{PRESENCES_MAX, STRIKES_MAX};
use crate::replica::{ConnectionId, ErrorClass, Event, Input};
use crate::sync::{Manner, State};
use crate::wire::{
    Capabilities, DocumentHeads, Ephemeral, Frame, PeerMetadata, PeerRef, Presence, Route, SessionRef,
};

const PHONE: usize = 0;
const LAPTOP: usize = 1;

fn peer(name: &str) -> PeerRef<'_> {
    PeerRef::new(name).unwrap()
}

fn to_phone() -> Route<'static> {
    Route { sender: PeerRef::new("stranger").unwrap(), target: PeerRef::new("phone").unwrap() }
}

/// A world in which the phone and the laptop share a cart.
fn peaceful() -> World {
    let mut world = World::new(&["phone", "laptop"]);
    world.open(PHONE, CART);
    world.open(LAPTOP, CART);
    world.connect_to(LAPTOP, PHONE);
    world.put(PHONE, CART, "milk");
    world
}

/// A stranger connects to the phone.
fn stranger(world: &mut World) -> ConnectionId {
    let connection = world.devices[PHONE].replica.accept();
    let metadata = PeerMetadata { capabilities: Capabilities::all(), ..PeerMetadata::default() };
    let join = Frame::Join { sender: peer("stranger"), metadata, versions: vec!["1"] };
    world.give(PHONE, Input::Received { connection, frame: join.encode() });
    world.devices[PHONE].take_events();
    connection
}

/// Whether the phone has closed the stranger's connection.
fn is_closed(world: &World, connection: ConnectionId) -> bool {
    world.devices[PHONE]
        .trace
        .iter()
        .any(|output| *output == format!("Close {{ connection: {connection:?} }}"))
}

/// The laptop's exchange with the phone goes on as if nothing had happened.
fn assert_unharmed(mut world: World) {
    world.put(LAPTOP, CART, "bread");
    world.put(PHONE, CART, "eggs");
    for device in [PHONE, LAPTOP] {
        assert_eq!(world.keys(device, CART).len(), 3);
    }
}

#[test]
fn frames_that_are_none_and_frames_out_of_place_end_only_their_connection() {
    let nameless = Frame::Sync { route: to_phone(), document: CART, data: &[0x42] };
    let impostor = Route { sender: peer("laptop"), target: peer("phone") };
    let forged = Frame::Sync { route: impostor, document: CART, data: &[0x42, 0, 0, 0, 0] };
    let metadata = PeerMetadata::default();
    let again = Frame::Join { sender: peer("stranger"), metadata, versions: vec!["1"] };
    let answer = Frame::Peer { route: to_phone(), metadata, version: "1" };
    for (frame, is_introduced) in [
        (vec![], true),
        (vec![0xff; 100], false),
        (nameless.encode(), false),
        (forged.encode(), true),
        (again.encode(), true),
        (answer.encode(), true),
    ] {
        let mut world = peaceful();
        let connection =
            if is_introduced { stranger(&mut world) } else { world.devices[PHONE].replica.accept() };
        world.give(PHONE, Input::Received { connection, frame: frame.clone() });
        assert!(is_closed(&world, connection), "{frame:02x?}");
        world.give(PHONE, Input::Received { connection, frame });
        assert_unharmed(world);
    }
}

#[test]
fn a_peer_with_our_name_or_another_protocol_is_not_greeted() {
    for (name, version) in [("phone", "1"), ("stranger", "2")] {
        let mut world = peaceful();
        let connection = world.devices[PHONE].replica.accept();
        let join =
            Frame::Join { sender: peer(name), metadata: PeerMetadata::default(), versions: vec![version] };
        world.give(PHONE, Input::Received { connection, frame: join.encode() });
        assert!(is_closed(&world, connection), "{name}");
        assert_unharmed(world);
    }
}

#[test]
fn a_peer_that_never_introduces_itself_is_not_waited_for() {
    let mut world = peaceful();
    let connection = world.devices[PHONE].replica.accept();
    world.pass(std::time::Duration::from_secs(30));
    assert!(is_closed(&world, connection));
}

#[test]
fn sync_messages_that_crash_others_are_strikes() {
    // A filter of no bits for one entry; a filter of a million probes; a change whose checksum is wrong.
    let no_bits = [0x42, 0, 0, 1, 0, 3, 1, 0, 7, 0];
    let many_probes = [0x42, 0, 0, 1, 0, 6, 1, 8, 0x80, 0x80, 0x40, 0, 0];
    let chunk = [0x85, 0x6f, 0x4a, 0x83, 1, 2, 3, 4, 1, 1, 0];
    let bad_change = [&[0x42, 0, 0, 0, 1, 11][..], &chunk].concat();
    for data in [&no_bits[..], &many_probes, &bad_change, &[0x42, 0xff], &[0x99]] {
        let mut world = peaceful();
        let connection = stranger(&mut world);
        let frame = Frame::Sync { route: to_phone(), document: CART, data }.encode();
        for strike in 1..=STRIKES_MAX {
            assert!(!is_closed(&world, connection), "{data:02x?}");
            world.give(PHONE, Input::Received { connection, frame: frame.clone() });
            let invalid = |event: &Event| {
                matches!(event, Event::SyncFailed { document: Some(CART), failure, .. }
                    if failure.class == ErrorClass::Validation)
            };
            assert!(world.devices[PHONE].was_told(invalid), "{data:02x?}");
            assert_eq!(
                world.devices[PHONE].sent.iter().filter(|kind| **kind == "denied").count(),
                usize::from(strike)
            );
        }
        assert!(is_closed(&world, connection), "{data:02x?}");
        assert_unharmed(world);
    }
}

#[test]
fn a_writer_who_takes_anothers_place_is_refused_and_told_of() {
    let mut world = peaceful();
    let actor = world.devices[PHONE].replica.actor().clone();
    let mut forged = Document::new(actor);
    let mut edit = forged.edit();
    edit.put("forged", "v");
    edit.commit();
    let connection = stranger(&mut world);
    let mut state = State::new(Manner::OPEN);
    for _ in 0..4 {
        let Some(data) = state.generate_for(&mut forged) else { break };
        let frame = Frame::Sync { route: to_phone(), document: CART, data: &data }.encode();
        world.give(PHONE, Input::Received { connection, frame });
        // The stranger pretends to be answered that the phone has nothing.
        let mut empty = Document::new(ActorId::from_bytes([77; 16]));
        let answer = State::new(Manner::OPEN).generate_for(&mut empty).unwrap();
        state.receive_into(&mut forged, &answer).unwrap();
    }
    let conflict = |event: &Event| {
        matches!(event, Event::SyncFailed { document: Some(CART), failure, .. }
            if failure.class == ErrorClass::Conflict)
    };
    assert!(world.devices[PHONE].was_told(conflict), "{:?}", world.devices[PHONE].events);
    assert!(!world.keys(PHONE, CART).contains("forged"));
    assert_unharmed(world);
}

#[test]
fn asking_for_documents_that_are_not_there_leaves_nothing_behind() {
    let mut world = peaceful();
    let connection = stranger(&mut world);
    let memory = world.devices[PHONE].replica.documents().count();
    for n in 0..2000_u32 {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        let document = DocumentId::from_bytes(bytes);
        let data = &[0x42, 0, 0, 1, 0, 0, 0, 2, 2, 0x84];
        let frame = if n % 2 == 0 {
            Frame::Request { route: to_phone(), document, data }
        } else {
            Frame::Sync { route: to_phone(), document, data }
        };
        world.give(PHONE, Input::Received { connection, frame: frame.encode() });
    }
    assert_eq!(world.devices[PHONE].replica.documents().count(), memory);
    assert_eq!(world.devices[PHONE].sent.iter().filter(|kind| **kind == "unavailable").count(), 2000);
    assert_eq!(world.devices[PHONE].store.documents.len(), 1);
    assert_unharmed(world);
}

#[test]
fn a_flood_for_documents_being_loaded_ends_the_connection() {
    let mut world = peaceful();
    let connection = stranger(&mut world);
    // The driver is slow to load: nothing is carried out while the flood comes in.
    let data = vec![0; 1024 * 1024];
    for n in 0..64 {
        let document = DocumentId::from_bytes([n; 16]);
        let frame = Frame::Sync { route: to_phone(), document, data: &data }.encode();
        let phone = &mut world.devices[PHONE];
        phone.replica.handle(world.now, &mut phone.rng, Input::Received { connection, frame });
    }
    world.run();
    assert!(is_closed(&world, connection));
    assert_unharmed(world);
}

#[test]
fn only_a_relay_confirms() {
    let mut world = peaceful();
    let connection = stranger(&mut world);
    let heads = world.devices[PHONE].replica.document(CART).unwrap().heads();
    let documents = vec![DocumentHeads { document: CART, heads }];
    let frame = Frame::Durable { route: to_phone(), documents }.encode();
    world.give(PHONE, Input::Received { connection, frame });
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 1);
    assert_unharmed(world);
}

#[test]
fn invented_company_fills_no_memory() {
    let mut world = peaceful();
    let connection = stranger(&mut world);
    for n in 0..3 * PRESENCES_MAX {
        let name = format!("ghost-{n}");
        let session = SessionRef::new(&name).unwrap();
        let presence = Presence {
            session,
            device: crate::wire::DeviceRef::new(&name).unwrap(),
            count: 1,
            document: Some(CART),
            idle: std::time::Duration::ZERO,
            expires_after: std::time::Duration::from_hours(1000),
            data: b"boo",
        };
        let route = Route { sender: peer(&name), target: peer("phone") };
        let ephemeral = Ephemeral { route, document: CART, session, count: 1, data: b"boo" };
        for frame in [Frame::Presence { route, presence }, Frame::Ephemeral(ephemeral)] {
            world.give(PHONE, Input::Received { connection, frame: frame.encode() });
        }
    }
    assert_eq!(world.devices[PHONE].replica.present().count(), PRESENCES_MAX);
    assert_unharmed(world);
}
