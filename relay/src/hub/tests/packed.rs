//! Packed documents, for those who can't read them.

use std::time::Duration;

use crdt_core::sync::{Manner, State};
use crdt_core::wire::Frame;

use super::stage::{CART, Device, Stage, user};
use crate::hub::rate::Rate;
use crate::hub::{Input, Limits, Output};

/// A relay with a packed document that a phone wrote.
fn packed(limits: Limits) -> (Stage, Device) {
    let mut stage = Stage::with_limits(Limits { compact_after: 8, ..limits });
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    for number in 0..10 {
        phone.write(&format!("note {number}"));
        stage.talk(&mut [&mut phone]);
    }
    stage.compact();
    (stage, phone)
}

/// A device with a library of the first version, which reads single changes only.
fn old_device(stage: &mut Stage, name: &'static str) -> Device {
    let mut device = Device::join(stage, name, user("student-7"));
    // Nobody tells that a whole document can be read, but who can.
    device.state = State::new(Manner::RELAY);
    device
}

#[test]
fn who_reads_single_changes_only_gets_them_from_the_snapshot() {
    let (mut stage, mut phone) = packed(Limits::default());
    let mut laptop = old_device(&mut stage, "laptop");
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.heads(), phone.heads(), "from memory: unpacked, and tail");
    laptop.write("answer");
    stage.talk(&mut [&mut laptop, &mut phone]);
    assert_eq!(laptop.heads(), phone.heads());

    for device in [&phone, &laptop] {
        stage.handle(Input::Closed { connection: device.connection });
    }
    stage.wait(Duration::from_secs(15));
    assert_eq!(stage.hub.counters().rooms, 0);
    let mut tablet = old_device(&mut stage, "tablet");
    stage.talk(&mut [&mut tablet]);
    assert_eq!(tablet.heads(), phone.heads(), "from disk: unpacked, and tail");
    assert!(tablet.others.is_empty());
}

#[test]
fn who_has_some_of_a_packed_document_gets_the_rest() {
    let mut stage = Stage::with_limits(Limits { compact_after: 8, ..Limits::default() });
    let mut phone = Device::join(&mut stage, "phone", user("student-7"));
    let mut laptop = old_device(&mut stage, "laptop");
    for number in 0..10 {
        phone.write(&format!("note {number}"));
        let is_there = number < 4;
        if is_there {
            stage.talk(&mut [&mut phone, &mut laptop]);
        } else {
            stage.handle(Input::Closed { connection: laptop.connection });
            stage.talk(&mut [&mut phone]);
        }
    }
    stage.compact();
    assert_ne!(laptop.heads(), phone.heads());
    let document = laptop.document;
    let mut laptop = old_device(&mut stage, "laptop");
    laptop.document = document;
    stage.talk(&mut [&mut laptop]);
    assert_eq!(laptop.heads(), phone.heads());
}

#[test]
fn a_document_too_large_to_be_taken_apart_is_unavailable_to_who_needs_that() {
    let (mut stage, phone) = packed(Limits { unpacked_bytes_max: 500, ..Limits::default() });
    let mut laptop = old_device(&mut stage, "laptop");
    stage.talk(&mut [&mut laptop]);
    assert!(laptop.document.is_empty());
    let told: Vec<_> = laptop.others.iter().map(|frame| Frame::decode(frame).unwrap()).collect();
    assert!(matches!(told[..], [Frame::Unavailable { document, .. }] if document == CART), "{told:?}");
    let mut tablet = Device::join(&mut stage, "tablet", user("student-7"));
    stage.talk(&mut [&mut tablet]);
    assert_eq!(tablet.heads(), phone.heads(), "others read it packed");
}

#[test]
fn who_has_documents_taken_apart_again_and_again_is_heard_less() {
    let bytes = Rate { per_second: 1000, burst: 40_000 };
    let (mut stage, _) = packed(Limits { bytes, ..Limits::default() });
    let is_pause = |output: &&Output| matches!(output, Output::Pause { .. });
    for round in 0.. {
        assert!(round < 20, "it is never told to rest");
        let mut laptop = old_device(&mut stage, "laptop");
        // It forgets all it was told, and asks again over the same connection.
        let frame = laptop.speak().unwrap();
        for _ in 0..20 {
            stage.send_bytes(laptop.connection, &frame);
            while let Some(frame) = stage.next(laptop.connection) {
                laptop.hear(&frame);
            }
        }
        if stage.outputs.iter().filter(is_pause).count() > 0 {
            break;
        }
    }
}
