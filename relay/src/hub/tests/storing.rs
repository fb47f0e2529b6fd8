//! Nothing is shown that a crash could take back.

use std::time::Duration;

use crdt_core::wire::{Capabilities, DenialCode, Frame};

use super::stage::{CART, Device, Stage, key, shop, user};
use crate::access::Permit;
use crate::hub::{Input, Limits, Output};
use crate::id::{Position, Sequence};
use crate::store::{Loaded, News};

/// Heads that a sync message shows, and how many chunks are in it.
fn shown(frame: &[u8]) -> Option<(usize, usize)> {
    let Frame::Sync { data, .. } = Frame::decode(frame).unwrap() else { return None };
    let message = crdt_core::sync::Message::decode(data).unwrap();
    Some((message.heads.len(), message.chunks.len()))
}

#[test]
fn what_one_device_writes_another_reads() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    phone.write("ring twice");
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
    laptop.write("no, do not ring");
    phone.write("leave at the door");
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
    assert_eq!(laptop.document.changes_since(&[]).len(), 3);
}

#[test]
fn nothing_is_shown_before_it_is_durable() {
    let mut stage = Stage::new();
    let mut phone = Device::join_with(&mut stage, "phone", user("student-7"), Capabilities::all());
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    phone.write("first");
    stage.talk(&mut [&mut phone, &mut laptop]);
    phone.told(|_| Some(()));

    stage.disk_is_prompt = false;
    phone.write("second");
    phone.say(&mut stage);
    assert_eq!(stage.appends.len(), 1, "it is on its way to the disk");
    laptop.document.mark_shared();
    assert_eq!(stage.take(phone.connection), Vec::<Vec<u8>>::new(), "not even its author is answered");
    assert_eq!(stage.take(laptop.connection), Vec::<Vec<u8>>::new());

    // Who comes now is shown what is durable.
    let mut tablet = Device::join(&mut stage, "tablet", user("student-7"));
    stage.talk(&mut [&mut tablet]);
    assert_eq!(tablet.document.changes_since(&[]).len(), 1);

    stage.store_one();
    stage.talk(&mut [&mut phone, &mut laptop, &mut tablet]);
    assert_eq!(tablet.heads(), phone.heads());
    assert_eq!(laptop.heads(), phone.heads());
    let durable = phone.told(|frame| match frame {
        Frame::Durable { documents, .. } => Some(documents[0].heads.clone()),
        _ => None,
    });
    assert_eq!(durable, [phone.heads()]);
}

#[test]
fn changes_that_come_while_the_disk_works_are_stored_in_order_and_told_once() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    phone.write("first");
    stage.talk(&mut [&mut phone, &mut laptop]);
    stage.disk_is_prompt = false;
    for text in ["second", "third", "fourth"] {
        phone.write(text);
        phone.say(&mut stage);
    }
    assert_eq!(stage.appends.len(), 3);
    let Some(appended) = stage.appends.back() else { unreachable!() };
    assert_eq!(appended.heads, phone.heads());

    // One flush covers all three; the driver reports them, then drains.
    for append in std::mem::take(&mut stage.appends) {
        let stored = stage.store.commit(vec![crate::store::Write::Append(append)]).remove(0);
        stage.hub.handle(stage.now, Input::Stored { key: key(CART), stored });
    }
    stage.drain();
    let told: Vec<_> = stage.take(laptop.connection).iter().filter_map(|frame| shown(frame)).collect();
    assert_eq!(told, [(1, 3)], "three changes in one message");
}

#[test]
fn a_failed_append_is_told_and_nothing_is_pretended() {
    let mut stage = Stage::new();
    let mut phone = Device::join_with(&mut stage, "phone", user("student-7"), Capabilities::all());
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    phone.write("first");
    stage.talk(&mut [&mut phone, &mut laptop]);
    let durable = phone.heads();
    laptop.told(|_| Some(()));

    stage.disk_is_prompt = false;
    phone.write("second");
    phone.say(&mut stage);
    phone.write("third");
    phone.say(&mut stage);
    stage.fail_one();
    stage.talk(&mut [&mut phone, &mut laptop]);
    let denials = phone.told(|frame| match frame {
        Frame::Denied { denial, .. } => Some((denial.document, denial.code, denial.retry_after.is_some())),
        _ => None,
    });
    assert_eq!(denials[0], (Some(CART), DenialCode::Storage, true), "and when to try again");
    let unavailable = laptop.told(|frame| matches!(frame, Frame::Unavailable { .. }).then_some(()));
    assert_eq!(unavailable.len(), 1, "a plain peer is told in its own words");
    assert_eq!(laptop.heads(), durable);
    assert_eq!(stage.hub.counters().changes_lost, 2);

    // What is still on its way is waited for; then the document is served again, as the disk has it.
    stage.fail_one();
    let mut tablet = Device::join(&mut stage, "tablet", user("student-7"));
    stage.talk(&mut [&mut tablet]);
    assert_eq!(tablet.heads(), durable);
    stage.disk_is_prompt = true;
    phone.rejoin(&mut stage, user("student-7"));
    stage.talk(&mut [&mut phone, &mut tablet]);
    assert_eq!(tablet.heads(), phone.heads(), "and takes changes again");
}

#[test]
fn who_waits_for_a_document_is_told_of_it_also_when_storing_it_seemed_to_fail() {
    let mut stage = Stage::new();
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("ring twice");
    stage.disk_is_prompt = false;
    stage.talk(&mut [&mut phone]);
    let append = stage.appends[0].clone();
    stage.store.commit(vec![crate::store::Write::Append(append)]).remove(0).unwrap();
    stage.fail_one();
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(laptop.heads(), [], "nobody knows that it is there");
    phone.rejoin(&mut stage, user("student-7"));
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn who_brings_what_is_on_its_way_to_the_disk_waits_for_it_as_well() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    let mut laptop = Device::join_with(&mut stage, "laptop", user("student-7"), Capabilities::all());
    phone.write("first");
    laptop.document.merge(&mut phone.document).unwrap();
    stage.disk_is_prompt = false;
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(stage.appends.len(), 1, "the same changes are stored once");
    stage.store_one();
    stage.talk(&mut [&mut phone, &mut laptop]);
    let denied = laptop.told(|frame| match frame {
        Frame::Denied { denial, .. } => Some(denial.code),
        _ => None,
    });
    assert_eq!(denied, [], "it made no progress because the disk was slow, which is nobody's fault");
    assert_eq!(laptop.state.their_heads(), Some(laptop.heads().as_slice()));
}

#[test]
fn a_crash_takes_only_what_nobody_was_told_of_and_devices_bring_it_again() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("first");
    stage.talk(&mut [&mut phone]);
    stage.disk_is_prompt = false;
    phone.write("second");
    phone.say(&mut stage);
    stage.crash();
    stage.disk_is_prompt = true;
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.document.changes_since(&[]).len(), 1);
    phone.rejoin(&mut stage, user("student-7"));
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn an_idle_document_takes_no_memory_and_comes_back_whole() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    for text in ["one", "two", "three"] {
        phone.write(text);
    }
    stage.talk(&mut [&mut phone]);
    stage.handle(Input::Closed { connection: phone.connection });
    stage.wait(Duration::from_secs(15));
    assert_eq!(stage.hub.memory_bytes(), 0);
    assert_eq!(stage.hub.counters().rooms, 0);
    assert_eq!(stage.hub.counters().documents_evicted, 1);

    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn a_device_that_comes_back_soon_finds_the_document_in_memory() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("one");
    stage.talk(&mut [&mut phone]);
    stage.handle(Input::Closed { connection: phone.connection });
    stage.wait(Duration::from_secs(8));
    phone.rejoin(&mut stage, user("student-7"));
    phone.write("two");
    stage.talk(&mut [&mut phone]);
    stage.wait(Duration::from_secs(8));
    assert_eq!(stage.hub.counters().rooms, 1);
    assert_eq!(stage.hub.counters().documents_loaded, 0);
}

#[test]
fn bytes_leave_memory_before_the_graph_does_and_are_read_again() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    for number in 0..20 {
        phone.write(&format!("note {number}"));
        stage.talk(&mut [&mut phone]);
    }
    let warm = stage.hub.memory_bytes();
    stage.wait(Duration::from_secs(3));
    let cool = stage.hub.memory_bytes();
    assert!(cool <= 2048, "an active document of 20 changes with one follower takes {cool} bytes");
    assert!(warm > cool + 1000, "{warm} {cool}");

    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn a_document_that_is_larger_than_the_cache_is_served_all_the_same() {
    let limits = Limits { compact_after: 8, cache_bytes_max: 1, ..Limits::default() };
    let mut stage = Stage::with_limits(limits);
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    for number in 0..10 {
        phone.write(&format!("note {number}"));
        stage.talk(&mut [&mut phone]);
    }
    stage.compact();
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    let mut tablet = Device::join(&mut stage, "tablet", user("student-7"));
    stage.talk(&mut [&mut laptop, &mut tablet]);
    assert_eq!((laptop.heads(), tablet.heads()), (phone.heads(), phone.heads()));
}

#[test]
fn who_asks_for_what_is_just_being_packed_is_told_when_it_is() {
    let mut stage = Stage::with_limits(Limits { compact_after: 8, ..Limits::default() });
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    for number in 0..8 {
        phone.write(&format!("note {number}"));
        stage.talk(&mut [&mut phone]);
    }
    stage.wait(Duration::from_secs(4)); // the changes are only on disk now, one by one
    let (key, _, compacted) = stage.pack(); // and now they are not
    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    assert!(laptop.document.is_empty());
    assert!(laptop.others.is_empty(), "nothing is refused");
    stage.handle(Input::Compacted { key, compacted: Some(compacted) });
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn a_document_that_was_packed_although_that_seemed_to_fail_is_loaded_anew() {
    let limits = Limits { compact_after: 4, cache_bytes_max: 0, ..Limits::default() };
    let mut stage = Stage::with_limits(limits);
    let mut phone = Device::join_with(&mut stage, "phone", user("student-7"), Capabilities::all());
    for number in 0..6 {
        phone.write(&format!("note {number}"));
        stage.talk(&mut [&mut phone]);
    }
    let (key, ..) = stage.pack();
    stage.handle(Input::Compacted { key, compacted: None });
    phone.told(|_| Some(()));

    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut phone, &mut laptop]);
    let denials = phone.told(|frame| match frame {
        Frame::Denied { denial, .. } => Some((denial.code, denial.retry_after.is_some())),
        _ => None,
    });
    assert_eq!(denials, [(DenialCode::Storage, true)], "what was in memory is not what is on disk");
    for device in [&mut phone, &mut laptop] {
        device.rejoin(&mut stage, user("student-7"));
    }
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn a_document_is_packed_when_its_tail_is_long_and_served_packed() {
    let mut stage = Stage::with_limits(crate::hub::Limits { compact_after: 8, ..Default::default() });
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    for number in 0..10 {
        phone.write(&format!("note {number}"));
        stage.talk(&mut [&mut phone]);
    }
    let before = stage.hub.memory_bytes();
    assert_eq!(stage.compact(), (key(CART), Position(8)));
    assert!(stage.hub.memory_bytes() <= before);
    assert_eq!(stage.hub.counters().snapshots_made, 1);

    let mut laptop = Device::join(&mut stage, "laptop", user("student-7"));
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.heads(), phone.heads(), "from memory: snapshot and tail");

    for device in [&phone, &laptop] {
        stage.handle(Input::Closed { connection: device.connection });
    }
    stage.wait(Duration::from_secs(15));
    assert_eq!(stage.hub.counters().rooms, 0);
    let mut tablet = Device::join(&mut stage, "tablet", user("student-7"));
    stage.talk(&mut [&mut tablet]);
    assert_eq!(tablet.heads(), phone.heads(), "from disk: snapshot and tail");
    phone.write("after");
    phone.rejoin(&mut stage, user("student-7"));
    stage.talk(&mut [&mut phone, &mut tablet]);
    assert_eq!(tablet.heads(), phone.heads(), "and it goes on");
}

#[test]
fn the_feed_tells_of_what_was_stored() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("one");
    stage.talk(&mut [&mut phone]);
    let advanced: Vec<_> =
        stage.outputs.iter().filter(|output| matches!(output, Output::Advanced { .. })).collect();
    let [Output::Advanced { tenant, sequence }] = advanced[..] else { panic!("{advanced:?}") };
    assert_eq!(*tenant, shop());
    let feed = stage.store.feed(&shop(), Sequence(0), 10).unwrap();
    assert_eq!(feed.len(), 1);
    assert_eq!((feed[0].sequence, feed[0].document), (*sequence, CART));
    assert_eq!(feed[0].news, News::Changed { heads: phone.heads() });
}

#[test]
fn an_erased_document_is_gone_for_everyone_at_once() {
    let mut stage = Stage::new();
    let mut phone = Device::join_with(&mut stage, "phone", user("student-7"), Capabilities::all());
    phone.write("one");
    stage.talk(&mut [&mut phone]);
    phone.told(|_| Some(()));
    let erase = crate::store::Write::Erase { key: key(CART), at: stage.now };
    stage.store.commit(vec![erase]).remove(0).unwrap();
    stage.handle(Input::Erased { key: key(CART), sequence: Sequence(9) });
    phone.write("two");
    stage.talk(&mut [&mut phone]);
    let denials = phone.told(|frame| match frame {
        Frame::Denied { denial, .. } => Some((denial.document, denial.code)),
        _ => None,
    });
    assert_eq!(
        denials,
        [(Some(CART), DenialCode::Forbidden); 2],
        "when it was erased, and when it was written again"
    );
    assert!(matches!(stage.store.load(&key(CART)), Ok(Loaded::Erased { .. })));
}

#[test]
fn tenants_never_meet() {
    let mut stage = Stage::new();
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    phone.write("one");
    stage.talk(&mut [&mut phone]);
    let elsewhere = Permit { tenant: crate::id::Tenant::new("school").unwrap(), ..user("student-7") };
    let mut laptop = Device::join(&mut stage, "laptop", elsewhere);
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert!(laptop.document.is_empty());
    laptop.write("another document under the same id");
    stage.talk(&mut [&mut phone, &mut laptop]);
    assert_eq!(phone.document.changes_since(&[]).len(), 1);
    assert_eq!(laptop.document.changes_since(&[]).len(), 1);
}
