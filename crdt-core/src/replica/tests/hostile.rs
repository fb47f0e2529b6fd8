//! Peers that break every rule: nobody else notices, and nothing grows.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sha2::{Digest, Sha256};

use super::world::{CART, World};
use crate::document::{Change, Document};
use crate::graph::chunk::{InvalidChunk, ParsedChange};
use crate::id::{ActorId, ChangeHash, DocumentId};
use crate::leb128::write_prefixed;
use crate::limits::{HELD_CHANGES_MAX, PRESENCES_MAX, STRIKES_MAX};
use crate::replica::{ConnectionId, ErrorClass, Event, Input};
use crate::sync::{Have, Manner, Message, State};
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

/// The message is a strike each time it comes, the stranger is told so, and after several strikes is not listened to.
#[track_caller]
fn assert_strikes(data: &[u8]) {
    let mut world = peaceful();
    let connection = stranger(&mut world);
    let frame = Frame::Sync { route: to_phone(), document: CART, data }.encode();
    for strike in 1..=STRIKES_MAX {
        assert!(!is_closed(&world, connection));
        world.give(PHONE, Input::Received { connection, frame: frame.clone() });
        let invalid = |event: &Event| {
            matches!(event, Event::SyncFailed { document: Some(CART), failure, .. }
                if failure.class == ErrorClass::Validation)
        };
        assert!(world.devices[PHONE].was_told(invalid));
        assert_eq!(
            world.devices[PHONE].sent.iter().filter(|kind| **kind == "denied").count(),
            usize::from(strike)
        );
    }
    assert!(is_closed(&world, connection));
    assert_unharmed(world);
}

/// A message of version 1 with this one chunk.
fn carrying(chunk: &[u8]) -> Vec<u8> {
    let heads = vec![ChangeHash::from_bytes([1; 32])];
    Message { heads, chunks: vec![chunk], ..Message::default() }.encode()
}

/// What a writer like any other writes first.
fn first_change(name: &str) -> Change {
    let mut document = Document::new(ActorId::derive(&[name]));
    let mut edit = document.edit();
    edit.put(name, "v");
    edit.commit();
    document.changes_for_peer(&[]).remove(0)
}

/// Where the body of a short change begins: after magic, checksum, kind and a length of one byte.
const BODY: usize = 10;

#[test]
fn bytes_that_are_no_sync_message_are_strikes() {
    for data in [&[0x42, 0xff][..], &[0x99], &[0x42]] {
        assert_strikes(data);
    }
}

#[test]
fn a_bloom_filter_of_no_bits_is_a_strike() {
    assert_strikes(&[0x42, 0, 0, 1, 0, 3, 1, 0, 7, 0]);
}

#[test]
fn a_bloom_filter_of_millions_of_probes_is_a_strike() {
    assert_strikes(&[0x42, 0, 0, 1, 0, 7, 1, 8, 0x80, 0x80, 0x80, 0x20, 0, 0]);
}

#[test]
fn a_change_with_a_wrong_checksum_is_a_strike() {
    let mut chunk = first_change("forged").bytes().to_vec();
    *chunk.last_mut().unwrap() ^= 1;
    assert_strikes(&carrying(&chunk));
}

#[test]
fn a_change_that_inflates_too_far_is_a_strike() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![0; 32 << 20]).unwrap();
    let deflated = encoder.finish().unwrap();
    assert!(deflated.len() < 1 << 20, "{}", deflated.len());
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 2];
    write_prefixed(&mut chunk, &deflated);
    assert_strikes(&carrying(&chunk));
}

#[test]
fn garbage_operations_under_a_valid_checksum_are_a_strike() {
    let mut body = first_change("forged").bytes()[BODY..].to_vec();
    let end = body.len();
    body[end - 8..].fill(0xff);
    let hashed = [&[1, u8::try_from(end).unwrap()], body.as_slice()].concat();
    let checksum = &Sha256::digest(&hashed)[..4];
    let chunk = [&[0x85, 0x6f, 0x4a, 0x83], checksum, &hashed].concat();
    assert!(!matches!(ParsedChange::parse(&chunk), Ok(_) | Err(InvalidChunk::BadChecksum)));
    assert_strikes(&carrying(&chunk));
}

#[test]
fn an_exchange_that_makes_no_progress_is_ended() {
    let mut world = peaceful();
    let connection = stranger(&mut world);
    let message = Message { heads: vec![ChangeHash::from_bytes([1; 32])], ..Message::default() };
    let have = vec![Have::default()];
    let data = Message { have, ..message }.encode();
    let frame = Frame::Sync { route: to_phone(), document: CART, data: &data }.encode();
    world.devices[PHONE].sent.clear();
    for _ in 0..1000 {
        world.give(PHONE, Input::Received { connection, frame: frame.clone() });
    }
    let answers = world.devices[PHONE].sent.iter().filter(|kind| **kind == "sync").count();
    assert!((1..40).contains(&answers), "{answers} answers to one message, again and again");
    assert_unharmed(world);
}

#[test]
fn changes_whose_dependencies_never_come_are_bounded() {
    /// Something that nobody has been handed, and something built on it.
    fn pair(number: usize) -> (Change, Change) {
        let base = first_change(&format!("base-{number}"));
        let name = format!("orphan-{number}");
        let mut document = Document::new(ActorId::derive(&[&name]));
        document.apply([base.clone()]).unwrap();
        let mut edit = document.edit();
        edit.put(&name, "v");
        edit.commit();
        let orphan = document.changes_since(&[base.hash()]).remove(0);
        (base, orphan)
    }
    let mut world = peaceful();
    let connection = stranger(&mut world);
    let give = |world: &mut World, changes: &[Change]| {
        let chunks = changes.iter().map(Change::bytes).collect();
        let data = Message { chunks, ..Message::default() }.encode();
        let frame = Frame::Sync { route: to_phone(), document: CART, data: &data }.encode();
        world.give(PHONE, Input::Received { connection, frame });
    };
    let pairs: Vec<_> = (0..HELD_CHANGES_MAX + 100).map(pair).collect();
    for some in pairs.chunks(512) {
        let orphans: Vec<_> = some.iter().map(|(_, orphan)| orphan.clone()).collect();
        give(&mut world, &orphans);
    }
    assert_eq!(world.keys(PHONE, CART).len(), 1, "none of it is shown");
    let (first, last) = (&pairs[0], &pairs[pairs.len() - 1]);
    give(&mut world, &[first.0.clone(), last.0.clone()]);
    let keys = world.keys(PHONE, CART);
    let last = format!("orphan-{}", pairs.len() - 1);
    assert!(keys.contains("base-0") && keys.contains(&last), "{keys:?}");
    assert!(!keys.contains("orphan-0"), "what came first has left: not all of it is kept");
    assert!(!is_closed(&world, connection), "an honest peer may be this far ahead");
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
