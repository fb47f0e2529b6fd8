//! Hostile peers: each is answered or dropped, nobody else notices, and memory stays within its bounds.

use std::time::Duration;

use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::wire::{Capabilities, DenialCode, DocumentHeads, Frame, PeerMetadata, PeerRef, Route};
use pannier_forge::chunk::{Header, change_chunk, hash_of_body, inflating_chunk};
use pannier_forge::message::{SyncMessage, bloom};

use super::stage::{CART, Device, Stage, key, user};
use crate::access::{Permit, Right};
use crate::hub::{Input, Limits};
use crate::id::ConnectionId;

#[test]
fn who_is_refused_takes_the_document_from_nobody_who_waits_for_it() {
    let mut stage = Stage::new();
    let guest = stage.join("guest", Permit { may_create: false, ..user("student-9") }, Capabilities::NONE);
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("first");
    let empty = SyncMessage::default().encode();
    let frame = Frame::Sync { route: route("guest"), document: CART, data: &empty }.encode();
    // Both come before the store has answered.
    let now = stage.now;
    stage.hub.handle(now, Input::Received { connection: guest, frame });
    phone.say(&mut stage);
    stage.talk(&mut [&mut phone]);
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn a_reader_who_has_the_document_before_the_relay_is_served_when_it_comes() {
    let mut stage = Stage::new();
    let documents = [(CART, Right::Read)].into();
    let permit = Permit { may_create: false, documents, ..user("tutor-1") };
    let mut reader = Device::join_with(&mut stage, "reader", permit, Capabilities::all());
    // Handed over directly, by somebody who has not been online since.
    reader.write("before");
    let heads = reader.heads();
    let documents = vec![DocumentHeads { document: CART, heads }];
    stage.send(reader.connection, &Frame::Open { route: route("reader"), documents });
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("after");
    stage.talk(&mut [&mut phone]);
    let frames = stage.take(reader.connection);
    let is_news = |frame: &Vec<u8>| matches!(Frame::decode(frame), Ok(Frame::Sync { .. }));
    assert!(frames.iter().any(is_news), "it may read, and was not told: {frames:?}");
}

/// A shop with a hostile tablet, whose owner may write the cart like the phone's and the laptop's.
struct Scene {
    stage: Stage,
    phone: Device,
    laptop: Device,
    tablet: ConnectionId,
}

impl Scene {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let mut stage = Stage::with_limits(limits);
        let mut phone = Device::join(&mut stage, "phone", user("student-7"));
        let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
        phone.write("before");
        stage.talk(&mut [&mut phone]);
        stage.talk(&mut [&mut phone, &mut laptop]);
        let tablet = stage.join("tablet", user("student-7"), Capabilities::all());
        stage.take(tablet);
        Self { stage, phone, laptop, tablet }
    }

    fn send(&mut self, message: &SyncMessage) {
        self.send_data(&message.encode());
    }

    fn send_data(&mut self, data: &[u8]) {
        let frame = Frame::Sync { route: route("tablet"), document: CART, data };
        self.stage.send(self.tablet, &frame);
    }

    /// A change that the tablet could write next on what is there.
    fn header(&self) -> Header {
        Header { deps: self.phone.heads(), actor: ActorId::from_bytes([9; 16]), seq: 1, start_op: 2 }
    }

    fn bring(&mut self, changes: &[Vec<u8>], heads: Vec<ChangeHash>) {
        self.send(&SyncMessage { heads, changes: changes.to_vec(), ..SyncMessage::default() });
    }

    /// What the tablet was denied.
    fn denials(&mut self) -> Vec<(Option<DocumentId>, DenialCode)> {
        let frames = self.stage.take(self.tablet);
        let denial = |bytes: &Vec<u8>| match Frame::decode(bytes).unwrap() {
            Frame::Denied { denial, .. } => {
                assert!(!denial.reason.is_empty());
                Some((denial.document, denial.code))
            }
            _ => None,
        };
        frames.iter().filter_map(denial).collect()
    }

    /// The others go on as if nothing had happened, and have none of what the tablet brought.
    fn others_go_on(&mut self) {
        let before = self.laptop.document.changes_since(&[]).len();
        self.phone.write("after");
        self.stage.talk(&mut [&mut self.phone, &mut self.laptop]);
        assert_eq!(self.laptop.heads(), self.phone.heads());
        assert_eq!(self.laptop.document.changes_since(&[]).len(), before + 1);
        let told = |device: &mut Device| device.told(|frame| Some(format!("{frame:?}")));
        assert_eq!(told(&mut self.phone), Vec::<String>::new());
        assert_eq!(told(&mut self.laptop), Vec::<String>::new());
        assert!(self.stage.hub.memory_bytes() < 1 << 20, "{}", self.stage.hub.memory_bytes());
    }

    fn document_is_refused(&mut self, code: DenialCode) {
        assert_eq!(self.denials(), [(Some(CART), code)]);
        assert_eq!(self.stage.closed.len(), 0, "the connection and its other documents go on");
        self.others_go_on();
    }
}

fn route(sender: &'static str) -> Route<'static> {
    Route { sender: PeerRef::new(sender).unwrap(), target: PeerRef::new("relay").unwrap() }
}

#[test]
fn a_bloom_filter_of_no_bits_is_refused() {
    let mut scene = Scene::new();
    let have = vec![(Vec::new(), bloom(1, 0, 7, &[]))];
    scene.send(&SyncMessage { have, ..SyncMessage::default() });
    scene.document_is_refused(DenialCode::Invalid);
}

#[test]
fn a_bloom_filter_of_millions_of_probes_is_refused() {
    let mut scene = Scene::new();
    let have = vec![(Vec::new(), bloom(1, 10, 1 << 26, &[0xff, 0x03]))];
    scene.send(&SyncMessage { have, ..SyncMessage::default() });
    scene.document_is_refused(DenialCode::Invalid);
}

#[test]
fn a_change_that_inflates_too_far_is_refused() {
    let mut scene = Scene::new();
    scene.bring(&[inflating_chunk(64 << 20)], vec![ChangeHash::from_bytes([1; 32])]);
    scene.document_is_refused(DenialCode::Invalid);
}

#[test]
fn a_change_with_a_wrong_checksum_is_refused() {
    let mut scene = Scene::new();
    let mut change = scene.header().put("n/cart", "forged");
    *change.last_mut().unwrap() ^= 1;
    scene.bring(&[change], vec![ChangeHash::from_bytes([1; 32])]);
    scene.document_is_refused(DenialCode::Invalid);
}

#[test]
fn garbage_operations_under_a_valid_checksum_are_refused() {
    let mut scene = Scene::new();
    let change = scene.header().noise(&[0x05, 0xff, 0x13]);
    scene.bring(&[change], vec![ChangeHash::from_bytes([1; 32])]);
    scene.document_is_refused(DenialCode::Invalid);
}

#[test]
fn a_sequence_number_used_twice_is_refused() {
    let mut scene = Scene::new();
    let first = scene.header().put("n/cart", "one");
    scene.bring(std::slice::from_ref(&first), Vec::new());
    scene.stage.talk(&mut [&mut scene.phone, &mut scene.laptop]);
    assert_eq!(scene.laptop.document.changes_since(&[]).len(), 2);
    scene.denials();
    let second = Header { deps: Vec::new(), start_op: 1, ..scene.header() }.put("n/cart", "another one");
    scene.bring(&[second], Vec::new());
    scene.document_is_refused(DenialCode::Invalid);
}

#[test]
fn a_whole_document_that_was_not_asked_for_is_refused() {
    let mut scene = Scene::new();
    scene.bring(&[scene.phone.document.save()], scene.phone.heads());
    scene.document_is_refused(DenialCode::Invalid);
}

#[test]
fn one_bad_change_does_not_take_the_rest_of_the_document_with_it() {
    let mut scene = Scene::new();
    let good = scene.header().put("n/cart", "good");
    let bad = Header { seq: 5, ..scene.header() }.put("n/cart", "bad");
    scene.bring(&[good, bad], Vec::new());
    assert_eq!(scene.denials(), [(Some(CART), DenialCode::Invalid)]);
    scene.stage.talk(&mut [&mut scene.phone, &mut scene.laptop]);
    assert_eq!(scene.laptop.document.changes_since(&[]).len(), 2);
    scene.others_go_on();
}

#[test]
fn an_exchange_that_makes_no_progress_is_ended() {
    let mut scene = Scene::new();
    let heads = vec![ChangeHash::from_bytes([1; 32])];
    let have = vec![(Vec::new(), Vec::new())];
    let mut answers = 0;
    for _ in 0..1000 {
        scene.send(&SyncMessage { heads: heads.clone(), have: have.clone(), ..SyncMessage::default() });
        let frames = scene.stage.take(scene.tablet);
        answers +=
            frames.iter().filter(|bytes| matches!(Frame::decode(bytes).unwrap(), Frame::Sync { .. })).count();
    }
    assert!(answers < 40, "{answers} answers to the same message");
    scene.others_go_on();
}

#[test]
fn changes_whose_dependencies_never_come_are_bounded_and_leave() {
    let limits = Limits { held_bytes_max: 10_000, ..Limits::default() };
    let mut scene = Scene::with_limits(limits);
    for number in 0..1000_u64 {
        let mut dep = [3; 32];
        dep[..8].copy_from_slice(&number.to_be_bytes());
        let deps = vec![ChangeHash::from_bytes(dep)];
        let header = Header { deps, actor: ActorId::from_bytes([9; 16]), seq: 1 + number, start_op: 9 };
        scene.bring(&[header.put("n/cart", "never")], Vec::new());
        scene.stage.take(scene.tablet);
    }
    let held = scene.stage.hub.sizes.held;
    assert!((10_000..11_000).contains(&held), "{held}");
    scene.others_go_on();
    assert_eq!(scene.stage.hub.counters().changes_stored, 2);
    scene.stage.wait(Duration::from_secs(601));
    scene.phone.write("later");
    scene.stage.talk(&mut [&mut scene.phone, &mut scene.laptop]);
    scene.stage.wait(Duration::from_secs(3));
    assert_eq!(scene.stage.hub.sizes.held, 0, "held back for a while, not for ever");
}

#[test]
fn several_malformed_messages_end_the_connection() {
    let mut scene = Scene::new();
    for _ in 0..20 {
        scene.send_data(b"nonsense");
    }
    let denials = scene.denials();
    assert_eq!(denials.len(), 9);
    assert_eq!(denials[7], (Some(CART), DenialCode::Invalid));
    assert_eq!(denials[8], (None, DenialCode::Invalid));
    assert_eq!(scene.stage.closed.keys().collect::<Vec<_>>(), [&scene.tablet]);
    scene.others_go_on();
}

#[test]
fn bytes_that_are_no_frame_end_the_connection_with_a_reason() {
    for bytes in [&b""[..], b"{\"type\":\"join\"}", &[0xbf; 100], &[0xa1, 0x64, b't', b'y', b'p', b'e', 0xf6]]
    {
        let mut scene = Scene::new();
        scene.stage.send_bytes(scene.tablet, bytes);
        assert_eq!(scene.denials(), [(None, DenialCode::Invalid)]);
        assert!(scene.stage.closed.contains_key(&scene.tablet));
        scene.others_go_on();
    }
}

#[test]
fn frames_before_and_beside_the_handshake_end_the_connection() {
    let join = |versions: Vec<&'static str>, name| Frame::Join {
        sender: PeerRef::new(name).unwrap(),
        metadata: PeerMetadata::default(),
        versions,
    };
    let early = Frame::Sync { route: route("tablet"), document: CART, data: b"B" };
    let cases = [
        (vec![early.clone()], "join has to come first"),
        (vec![join(vec!["2"], "desk")], "protocol version"),
        (vec![join(vec!["1"], "relay")], "relay's own"),
        (vec![join(vec!["1"], "desk"), join(vec!["1"], "desk")], "second join"),
        (vec![join(vec!["1"], "desk"), early], "you joined as desk"),
        (
            vec![
                join(vec!["1"], "desk"),
                Frame::Peer { route: route("desk"), metadata: PeerMetadata::default(), version: "1" },
            ],
            "welcomes",
        ),
    ];
    for (frames, expected) in cases {
        let mut scene = Scene::new();
        let desk = scene.stage.connect(user("student-7"));
        for frame in &frames {
            scene.stage.send(desk, frame);
        }
        assert!(scene.stage.closed[&desk].contains(expected), "{}", scene.stage.closed[&desk]);
        let last = scene.stage.take(desk).pop().unwrap();
        assert!(
            matches!(Frame::decode(&last).unwrap(), Frame::Error { .. }),
            "a plain peer is told in its own words"
        );
        scene.others_go_on();
    }
}

#[test]
fn who_never_joins_is_not_waited_for() {
    let mut scene = Scene::new();
    let desk = scene.stage.connect(user("student-7"));
    scene.stage.wait(Duration::from_secs(11));
    assert!(scene.stage.closed[&desk].contains("join"));
    assert_eq!(scene.stage.closed.len(), 1);
}

#[test]
fn frames_of_unknown_types_are_ignored() {
    let mut scene = Scene::new();
    scene.stage.send_bytes(scene.tablet, b"\xa1\x64type\x6bfrom-future");
    assert_eq!(scene.denials(), []);
    assert_eq!(scene.stage.closed.len(), 0);
    scene.others_go_on();
}

#[test]
fn a_subject_has_so_many_connections_and_no_more() {
    let limits = Limits { connections_per_subject_max: 3, ..Limits::default() };
    let mut scene = Scene::with_limits(limits);
    let fourth = scene.stage.connect(user("student-7"));
    assert!(scene.stage.closed[&fourth].contains("3 connections"));
    let other = scene.stage.connect(user("student-8"));
    assert!(!scene.stage.closed.contains_key(&other));
    scene.stage.handle(Input::Closed { connection: scene.tablet });
    let fifth = scene.stage.connect(user("student-7"));
    assert!(!scene.stage.closed.contains_key(&fifth));
    scene.others_go_on();
}

#[test]
fn a_tenant_that_has_used_up_its_space_is_told_so() {
    let limits = Limits { tenant_bytes_max: 1000, ..Limits::default() };
    let mut scene = Scene::with_limits(limits);
    let big = scene.header().put("n/cart", &"x".repeat(2000));
    scene.bring(&[big], Vec::new());
    scene.document_is_refused(DenialCode::Quota);
}

#[test]
fn a_document_that_is_too_large_takes_no_more() {
    let limits = Limits { document_bytes_max: 1000, ..Limits::default() };
    let mut scene = Scene::with_limits(limits);
    let big = scene.header().put("n/cart", &"x".repeat(2000));
    scene.bring(&[big], Vec::new());
    scene.document_is_refused(DenialCode::TooLarge);
}

#[test]
fn who_may_only_read_some_documents_may_not_begin_others() {
    let mut stage = Stage::new();
    let permit = Permit { may_create: false, ..user("tutor-1") };
    let mut tablet = Device::join_with(&mut stage, "tablet", permit, Capabilities::all());
    tablet.write("new");
    stage.talk(&mut [&mut tablet]);
    let denials = tablet.told(|frame| match frame {
        Frame::Denied { denial, .. } => Some(denial.code),
        _ => None,
    });
    assert_eq!(denials, [DenialCode::Forbidden]);
    assert_eq!(stage.hub.counters().rooms, 0);
    assert!(matches!(stage.store.load(&key(CART)), Ok(crate::store::Loaded::Unknown)));
}

#[test]
fn forged_chunks_are_what_they_claim_to_be() {
    let scene = Scene::new();
    let body = scene.header().body(&[]);
    let parsed = crdt_core::graph::chunk::ParsedChange::parse(&change_chunk(&body)).unwrap();
    assert_eq!(parsed.hash, hash_of_body(&body));
}
