//! Who follows what, who is told what, and who passes what on.

use crdt_core::id::DocumentId;
use crdt_core::sync::Message;
use crdt_core::wire::{
    Capabilities, DenialCode, DeviceRef, Ephemeral, Frame, PeerRef, Presence, Route, SessionRef,
};
use std::time::Duration;

use super::stage::{CART, Device, Stage, key, shop, user};
use crate::access::{Access, Permit, Right};
use crate::hub::{Input, Limits, Output};
use crate::id::{ConnectionId, Subject};

fn unavailable(frame: &Frame<'_>) -> Option<()> {
    matches!(frame, Frame::Unavailable { .. }).then_some(())
}

#[test]
fn what_nobody_has_is_unavailable_and_arrives_later() {
    let mut stage = Stage::new();
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.told(unavailable).len(), 1);
    assert_eq!(stage.hub.memory_bytes(), 0, "a document that nobody has takes no memory");

    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("ring twice");
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn asking_for_unknown_documents_allocates_nothing_and_is_bounded() {
    let mut stage = Stage::with_limits(Limits { documents_per_connection_max: 100, ..Limits::default() });
    let mut laptop = Device::join_with(&mut stage, "laptop", user("student-7"), Capabilities::all());
    let data = laptop.state.generate_for(&mut laptop.document).unwrap();
    for number in 0..1000_u16 {
        let mut bytes = [9; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        let document = DocumentId::from_bytes(bytes);
        stage.send(laptop.connection, &Frame::Request { route: laptop.route(), document, data: &data });
    }
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.told(unavailable).len(), 100);
    assert_eq!(stage.hub.counters().rooms, 0);
    assert_eq!(stage.hub.memory_bytes(), 0);
    assert_eq!(stage.hub.wanted.len(), 100);
    stage.handle(Input::Closed { connection: laptop.connection });
    assert_eq!(stage.hub.wanted.len(), 0, "who is gone wants nothing");
}

#[test]
fn an_offer_without_a_change_leaves_nothing_behind() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("one");
    phone.say(&mut stage);
    assert_eq!(stage.hub.counters().rooms, 1, "the relay asks for what is offered");
    stage.handle(Input::Closed { connection: phone.connection });
    assert_eq!(stage.hub.counters().rooms, 0);
}

#[test]
fn the_first_writer_owns_the_document_and_nobody_else_may_read_it() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    let mut stranger = Device::join_with(&mut stage, "tablet", user("student-8"), Capabilities::all());
    stage.talk(&mut [&mut stranger]);
    phone.write("mine");
    stage.talk(&mut [&mut phone, &mut stranger]);
    assert!(stranger.document.is_empty(), "who asked before it was there is not told that it is");
    let mut stranger = Device::join_with(&mut stage, "desk", user("student-8"), Capabilities::all());
    stranger.write("mine too");
    stage.talk(&mut [&mut phone, &mut stranger]);
    assert_eq!(phone.document.changes_since(&[]).len(), 1);
    let denied = stranger.told(|frame| match frame {
        Frame::Denied { denial, .. } => Some((denial.document, denial.code.as_str().to_owned())),
        _ => None,
    });
    assert_eq!(denied, [(Some(CART), "forbidden".to_owned())]);
    let stored = match stage.store.load(&key(CART)).unwrap() {
        crate::store::Loaded::Document(stored) => stored,
        other => panic!("{other:?}"),
    };
    assert_eq!(stored.access, Some(Access::owned_by(Subject::new("student-7").unwrap())));
}

#[test]
fn a_reader_reads_and_what_it_writes_goes_nowhere_until_it_may() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("mine");
    stage.talk(&mut [&mut phone]);
    let mut access = Access::owned_by(Subject::new("student-7").unwrap());
    access.grant(Subject::new("tutor-1").unwrap(), Right::Read);
    stage.handle(Input::AccessChanged { key: key(CART), access: access.clone() });
    let mut tablet = Device::join_with(&mut stage, "tablet", user("tutor-1"), Capabilities::all());
    stage.talk(&mut [&mut phone, &mut tablet]);
    assert_eq!(tablet.heads(), phone.heads());

    tablet.write("a remark");
    stage.talk(&mut [&mut phone, &mut tablet]);
    assert_eq!(phone.document.changes_since(&[]).len(), 1);

    access.grant(Subject::new("tutor-1").unwrap(), Right::Write);
    stage.handle(Input::AccessChanged { key: key(CART), access: access.clone() });
    stage.talk(&mut [&mut phone, &mut tablet]);
    assert_eq!(phone.heads(), tablet.heads(), "what was written meanwhile arrives");

    access.revoke(&Subject::new("tutor-1").unwrap());
    stage.handle(Input::AccessChanged { key: key(CART), access });
    phone.write("in private");
    stage.talk(&mut [&mut phone, &mut tablet]);
    assert_eq!(tablet.document.changes_since(&[]).len(), 2, "revoked at once");
    let denied = tablet.told(|frame| matches!(frame, Frame::Denied { .. }).then_some(()));
    assert!(!denied.is_empty());
}

#[test]
fn a_permit_that_expires_ends_the_connection() {
    let mut stage = Stage::new();
    let expires = stage.now + Duration::from_secs(5);
    let phone = Device::join(&mut stage, "phone", Permit { expires, ..user("student-7") });
    stage.wait(Duration::from_secs(4));
    assert_eq!(stage.closed.len(), 0);
    let renewed = Permit { expires: expires + Duration::from_secs(5), ..user("student-7") };
    stage.handle(Input::Permitted { connection: phone.connection, permit: renewed });
    stage.wait(Duration::from_secs(4));
    assert_eq!(stage.closed.len(), 0);
    stage.wait(Duration::from_secs(3));
    assert!(stage.closed[&phone.connection].contains("expired"));
}

#[test]
fn a_new_token_keeps_a_connection_and_a_bad_one_ends_it() {
    let mut stage = Stage::new();
    let until = |stage: &Stage, seconds| Permit {
        expires: stage.now + Duration::from_secs(seconds),
        ..user("student-7")
    };
    let permit = until(&stage, 60);
    let phone = stage.join("phone", permit, Capabilities::all());
    let expiry = |frames: Vec<Vec<u8>>| {
        frames.iter().find_map(|frame| match Frame::decode(frame).unwrap() {
            Frame::Permitted { expires_after, .. } => Some(expires_after.as_secs()),
            _ => None,
        })
    };
    assert_eq!(expiry(stage.take(phone)), Some(60));
    stage.wait(Duration::from_secs(50));
    let route = Route { sender: PeerRef::new("phone").unwrap(), target: PeerRef::new("relay").unwrap() };
    stage.send(phone, &Frame::Renew { route, token: "a newer one" });
    let asked = Output::Renew { connection: phone, token: "a newer one".to_owned() };
    assert_eq!(stage.outputs.pop(), Some(asked));
    let permit = until(&stage, 120);
    stage.handle(Input::Permitted { connection: phone, permit });
    assert_eq!(expiry(stage.take(phone)), Some(120));
    stage.wait(Duration::from_mins(1));
    assert!(stage.closed.is_empty(), "the first one would have ended by now");

    stage.handle(Input::NotRenewed { connection: phone, why: "the token has been revoked".to_owned() });
    assert_eq!(stage.closed[&phone], "the token has been revoked");
    let told = stage.take(phone);
    let Frame::Denied { denial, .. } = Frame::decode(&told[0]).unwrap() else { panic!("another frame") };
    assert_eq!((denial.document, denial.code), (None, DenialCode::Unauthenticated));
}

#[test]
fn joining_as_somebody_else_is_refused_and_they_notice_nothing() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    let thief = stage.join("phone", user("student-8"), Capabilities::NONE);
    assert!(stage.closed[&thief].contains("somebody else"));
    let frames = stage.take(thief);
    assert!(matches!(Frame::decode(&frames[0]).unwrap(), Frame::Error { .. }));
    assert_eq!(stage.closed.len(), 1);
    phone.write("still here");
    stage.talk(&mut [&mut phone]);
    assert_eq!(stage.hub.counters().changes_stored, 1);

    let again = stage.join("phone", user("student-7"), Capabilities::NONE);
    assert!(stage.closed.contains_key(&phone.connection), "the same subject's older connection is replaced");
    assert!(!stage.closed.contains_key(&again));
    let other_tenant = Permit { tenant: crate::id::Tenant::new("school").unwrap(), ..user("student-9") };
    let elsewhere = stage.join("phone", other_tenant, Capabilities::NONE);
    assert!(!stage.closed.contains_key(&elsewhere), "peer ids of different tenants never meet");
}

#[test]
fn without_authentication_nobody_is_moved_aside() {
    let mut stage = Stage::new();
    let anyone = || Permit::open(shop(), Subject::new("anyone").unwrap());
    let first = stage.join("phone", anyone(), Capabilities::NONE);
    let second = stage.join("phone", anyone(), Capabilities::NONE);
    assert_eq!(stage.closed.len(), 0);
    assert_eq!((stage.take(first).len(), stage.take(second).len()), (1, 1));
}

fn ephemeral<'a>(author: &'a str, count: u64, data: &'a [u8]) -> Frame<'a> {
    Frame::Ephemeral(Ephemeral {
        route: Route { sender: PeerRef::new(author).unwrap(), target: PeerRef::new("relay").unwrap() },
        document: CART,
        session: SessionRef::new("session").unwrap(),
        count,
        data,
    })
}

fn counts(stage: &mut Stage, connection: ConnectionId) -> Vec<(String, u64)> {
    let frames = stage.take(connection);
    let count = |bytes: &Vec<u8>| match Frame::decode(bytes).unwrap() {
        Frame::Ephemeral(ephemeral) => Some((ephemeral.route.sender.to_string(), ephemeral.count)),
        _ => None,
    };
    frames.iter().filter_map(count).collect()
}

#[test]
fn ephemeral_messages_reach_every_other_follower_once() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    let mut tablet = Device::join(&mut stage, "tablet", user("student-7"));
    let outsider = Device::join(&mut stage, "outsider", user("student-7"));
    phone.write("one");
    stage.talk(&mut [&mut phone, &mut laptop, &mut tablet]);

    stage.send(phone.connection, &ephemeral("phone", 1, b"here"));
    // What was sent is sent back, as automerge-repo's clients do.
    stage.send(laptop.connection, &ephemeral("phone", 1, b"here"));
    stage.send(tablet.connection, &ephemeral("phone", 1, b"here"));
    stage.send(phone.connection, &ephemeral("phone", 2, b"there"));
    stage.send(phone.connection, &ephemeral("phone", 2, b"repeated"));
    // A tab that speaks through the phone.
    stage.send(phone.connection, &ephemeral("tab", 1, b"hello"));
    stage.send(outsider.connection, &ephemeral("outsider", 1, b"not a follower"));
    let expected = [("phone".to_owned(), 1), ("phone".to_owned(), 2), ("tab".to_owned(), 1)];
    assert_eq!(counts(&mut stage, laptop.connection), expected);
    assert_eq!(counts(&mut stage, tablet.connection), expected);
    assert_eq!(counts(&mut stage, phone.connection), []);
    assert_eq!(counts(&mut stage, outsider.connection), []);
}

#[test]
fn nobody_speaks_for_a_peer_who_is_connected_as_somebody_else() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("one");
    stage.talk(&mut [&mut phone]);
    let mut access = Access::owned_by(Subject::new("student-7").unwrap());
    access.grant(Subject::new("tutor-1").unwrap(), Right::Read);
    stage.handle(Input::AccessChanged { key: key(CART), access });
    let mut tablet = Device::join(&mut stage, "tablet", user("tutor-1"));
    stage.talk(&mut [&mut phone, &mut tablet]);
    stage.send(tablet.connection, &ephemeral("phone", 9, b"forged"));
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    stage.send(tablet.connection, &ephemeral("phone", 10, b"forged"));
    assert_eq!(counts(&mut stage, laptop.connection), []);
    stage.send(tablet.connection, &ephemeral("tablet", 1, b"honest"));
    assert_eq!(counts(&mut stage, laptop.connection), [("tablet".to_owned(), 1)]);
}

#[test]
fn presence_goes_to_followers_or_to_ones_own_devices() {
    let mut stage = Stage::new();
    let join =
        |stage: &mut Stage, name, subject| Device::join_with(stage, name, user(subject), Capabilities::all());
    let mut phone = join(&mut stage, "phone", "student-7");
    let mut laptop = join(&mut stage, "laptop", "student-7");
    let mut plain = Device::join(&mut stage, "tablet", user("student-7"));
    let other = join(&mut stage, "desk", "student-8");
    phone.write("one");
    stage.talk(&mut [&mut phone, &mut laptop, &mut plain]);
    let presence = |document, count| Frame::Presence {
        route: phone.route(),
        presence: Presence {
            session: SessionRef::new("session").unwrap(),
            device: DeviceRef::new("pixel").unwrap(),
            count,
            document,
            idle: Duration::ZERO,
            expires_after: Duration::from_secs(30),
            data: b"{}",
        },
    };
    for frame in [presence(Some(CART), 1), presence(Some(CART), 1), presence(None, 1), presence(None, 1)] {
        stage.send(phone.connection, &frame);
    }
    let is_presence = |bytes: &Vec<u8>| matches!(Frame::decode(bytes).unwrap(), Frame::Presence { .. });
    let mut presences = |connection| stage.take(connection).iter().filter(|bytes| is_presence(bytes)).count();
    assert_eq!(presences(laptop.connection), 2, "once as a follower, once as a device of one's own");
    assert_eq!(presences(plain.connection), 0, "it announced no such thing");
    assert_eq!(presences(other.connection), 0);
    assert_eq!(presences(phone.connection), 0);
}

#[test]
fn hundreds_of_documents_are_opened_by_one_frame_and_answered_by_one() {
    let mut stage = Stage::new();
    let mut phone = Device::join_with(&mut stage, "phone", user("student-7"), Capabilities::all());
    phone.write("one");
    stage.talk(&mut [&mut phone]);
    let mut documents = vec![crdt_core::wire::DocumentHeads { document: CART, heads: phone.heads() }];
    for number in 0..300_u16 {
        let mut bytes = [9; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        let document = DocumentId::from_bytes(bytes);
        documents.push(crdt_core::wire::DocumentHeads { document, heads: Vec::new() });
    }
    phone.rejoin(&mut stage, user("student-7"));
    stage.handle(Input::Closed { connection: phone.connection });
    let connection = stage.join("phone", user("student-7"), Capabilities::all());
    stage.take(connection);
    stage.send(connection, &Frame::Open { route: phone.route(), documents });
    let answers = stage.take(connection);
    assert_eq!(answers.len(), 1, "nothing differs, so nothing else is said");
    let Frame::Durable { documents, .. } = Frame::decode(&answers[0]).unwrap() else {
        panic!("another frame")
    };
    assert_eq!(documents.len(), 301);
    let with_heads: Vec<_> = documents.iter().filter(|entry| !entry.heads.is_empty()).collect();
    assert_eq!(with_heads[0].heads, phone.heads());
    assert_eq!(with_heads.len(), 1);

    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    laptop.write("two");
    stage.talk(&mut [&mut laptop]);
    let told = stage.take(connection);
    let sync = told.iter().find(|bytes| matches!(Frame::decode(bytes).unwrap(), Frame::Sync { .. }));
    assert!(sync.is_some(), "who opened follows");
}

#[test]
fn who_opens_a_document_with_less_of_it_is_sent_the_rest_at_once_and_again_if_asked_again() {
    let mut stage = Stage::new();
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    laptop.write("one");
    stage.talk(&mut [&mut laptop]);
    let documents = vec![crdt_core::wire::DocumentHeads { document: CART, heads: laptop.heads() }];
    laptop.write("two");
    stage.talk(&mut [&mut laptop]);

    let connection = stage.join("phone", user("student-7"), Capabilities::all());
    stage.take(connection);
    let route = Route { sender: PeerRef::new("phone").unwrap(), target: PeerRef::new("relay").unwrap() };
    for _ in 0..2 {
        stage.send(connection, &Frame::Open { route, documents: documents.clone() });
        let answers = stage.take(connection);
        let chunks = answers.iter().filter_map(|bytes| match Frame::decode(bytes).unwrap() {
            Frame::Sync { data, .. } => Some(Message::decode(data).unwrap().chunks.len()),
            _ => None,
        });
        assert_eq!(chunks.collect::<Vec<_>>(), [1], "the second change, and nothing is asked first");
    }
}

#[test]
fn who_opens_again_what_is_still_on_its_way_to_the_disk_goes_on() {
    let mut stage = Stage::new();
    let mut phone = Device::join_with(&mut stage, "phone", user("student-7"), Capabilities::all());
    phone.write("stored");
    stage.talk(&mut [&mut phone]);
    stage.disk_is_prompt = false;
    phone.write("on its way");
    stage.talk(&mut [&mut phone]);
    let documents = vec![crdt_core::wire::DocumentHeads { document: CART, heads: phone.heads() }];
    stage.send(phone.connection, &Frame::Open { route: phone.route(), documents });
    stage.talk(&mut [&mut phone]);
    stage.disk_is_prompt = true;
    stage.store_one();
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    laptop.write("news");
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(phone.heads(), laptop.heads());
}

#[test]
fn going_away_is_announced_to_those_who_understand() {
    let mut stage = Stage::new();
    let phone = stage.join("phone", user("student-7"), Capabilities::all());
    let laptop = stage.join("laptop", user("student-7"), Capabilities::NONE);
    stage.take(phone);
    stage.take(laptop);
    let (min, max) = (Duration::from_secs(1), Duration::from_secs(20));
    stage.handle(Input::GoingAway { reconnect_after_min: min, reconnect_after_max: max });
    let told = stage.take(phone);
    let Frame::GoingAway { going, .. } = Frame::decode(&told[0]).unwrap() else { panic!("another frame") };
    assert_eq!((going.reconnect_after_min, going.reconnect_after_max), (min, max));
    assert_eq!(stage.take(laptop), Vec::<Vec<u8>>::new());
}

#[test]
fn a_slow_reader_costs_what_is_in_its_queue_and_catches_up_in_one_message() {
    let limits = Limits { queue_bytes_high: 4000, queue_bytes_low: 1000, ..Limits::default() };
    let mut stage = Stage::with_limits(limits);
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    phone.write("one");
    stage.talk(&mut [&mut phone, &mut laptop]);
    stage.sockets_are_prompt = false;
    for number in 0..200 {
        phone.write(&format!("note {number}"));
        phone.say(&mut stage);
        while let Some(frame) = stage.next(phone.connection) {
            stage.handle(Input::Written { connection: phone.connection, bytes: frame.len() });
            phone.hear(&frame);
        }
        stage.send(phone.connection, &ephemeral("phone", number + 1, &[0; 50]));
    }
    let queued = stage.take(laptop.connection);
    let bytes: usize = queued.iter().map(Vec::len).sum();
    assert!((3000..6000).contains(&bytes), "{bytes} bytes in {} frames", queued.len());
    for frame in &queued {
        laptop.hear(frame);
        stage.handle(Input::Written { connection: laptop.connection, bytes: frame.len() });
    }
    stage.sockets_are_prompt = true;
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());

    stage.sockets_are_prompt = false;
    phone.write("last");
    phone.say(&mut stage);
    stage.wait(Duration::from_secs(61));
    assert!(stage.closed[&laptop.connection].contains("takes nothing"), "{:?}", stage.closed);
}

#[test]
fn who_sends_far_too_fast_is_sent_away_and_told_for_how_long() {
    let frames = crate::hub::Rate { per_second: 10, burst: 10 };
    let limits = Limits { frames, rest_time_max: Duration::from_secs(2), ..Limits::default() };
    let mut stage = Stage::with_limits(limits);
    let hasty = stage.join("hasty", user("student-7"), Capabilities::all());
    let route = Route { sender: PeerRef::new("hasty").unwrap(), target: PeerRef::new("relay").unwrap() };
    for count in 0..100 {
        stage.send(hasty, &Frame::Ping { route, count });
    }
    let frames = stage.take(hasty);
    let told: Vec<_> = frames.iter().map(|frame| Frame::decode(frame).unwrap()).collect();
    let Some(Frame::Denied { denial, .. }) = told.last() else { panic!("{told:?}") };
    assert_eq!((denial.code, denial.document), (DenialCode::Rate, None));
    assert!(denial.retry_after > Some(Duration::from_secs(2)), "{denial:?}");
    assert_eq!(stage.hub.counters().connections, 0);
}

#[test]
fn one_tenants_haste_slows_down_no_other_tenant() {
    let frames_of_tenant = crate::hub::Rate { per_second: 10, burst: 20 };
    let mut stage = Stage::with_limits(Limits { frames_of_tenant, ..Limits::default() });
    let route = |name| Route { sender: PeerRef::new(name).unwrap(), target: PeerRef::new("relay").unwrap() };
    let phone = stage.join("phone", user("student-7"), Capabilities::all());
    let laptop = stage.join("laptop", user("student-8"), Capabilities::all());
    let school =
        Permit::user(crate::id::Tenant::new("school").unwrap(), crate::id::Subject::new("tutor-1").unwrap());
    let elsewhere = stage.join("tablet", school, Capabilities::all());
    for count in 0..30 {
        stage.send(phone, &Frame::Ping { route: route("phone"), count });
    }
    stage.outputs.clear();
    stage.send(laptop, &Frame::Ping { route: route("laptop"), count: 1 });
    stage.send(elsewhere, &Frame::Ping { route: route("tablet"), count: 1 });
    let paused = stage.outputs.iter().filter_map(|output| match output {
        Output::Pause { connection, .. } => Some(*connection),
        _ => None,
    });
    assert_eq!(paused.collect::<Vec<_>>(), [laptop]);
}

#[test]
fn who_sends_too_fast_has_to_rest_and_loses_nothing() {
    let frames = crate::hub::Rate { per_second: 10, burst: 10 };
    let mut stage = Stage::with_limits(Limits { frames, ..Limits::default() });
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    for number in 0..20 {
        phone.write(&format!("note {number}"));
        phone.say(&mut stage);
        while let Some(frame) = stage.next(phone.connection) {
            phone.hear(&frame);
        }
    }
    let mut pauses = stage.outputs.iter().filter_map(|output| match output {
        Output::Pause { connection, until } => Some((*connection, *until)),
        _ => None,
    });
    let (connection, until) = pauses.next_back().unwrap();
    assert_eq!(connection, phone.connection);
    assert!((1000..=1200).contains(&until.since(stage.now).as_millis()), "{until}");
    assert!(stage.hub.counters().changes_stored >= 10);
}
