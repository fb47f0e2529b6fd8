//! Documents: written offline, brought together, confirmed, stored, found.

use std::time::Duration;

use super::world::{CART, RELAY, World};
use crate::id::{ActorId, DocumentId};
use crate::replica::{
    Command, CommandId, Conditions, ConnectionStatus, EditError, ErrorClass, Event, Input, Intent,
    OperationStatus, Priority, Quotas, RecordKey, Replica, ReplicaConfig, Writer,
};
use crate::wire::Frame;

const PHONE: usize = 0;
const LAPTOP: usize = 1;

fn document(n: u16) -> DocumentId {
    let mut bytes = [1; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    DocumentId::from_bytes(bytes)
}

fn confirmed(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::OperationConfirmed { .. })).count()
}

#[test]
fn what_two_devices_write_offline_comes_together_and_is_confirmed() {
    let mut world = World::new(&["phone", "laptop"]);
    for device in [PHONE, LAPTOP] {
        world.open(device, CART);
    }
    world.put(PHONE, CART, "milk");
    world.put(LAPTOP, CART, "bread");
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 1);
    for device in [PHONE, LAPTOP] {
        world.connect(device);
        assert_eq!(world.devices[device].replica.status(RELAY), ConnectionStatus::Connected);
    }
    for device in [PHONE, LAPTOP] {
        assert_eq!(world.keys(device, CART), ["bread".to_owned(), "milk".to_owned()].into());
        assert_eq!(world.devices[device].replica.pending_operations(), 0);
        let events = world.devices[device].take_events();
        assert_eq!(confirmed(&events), 1, "{events:?}");
        assert!(events.iter().any(|event| matches!(event, Event::Changed { .. })));
        let completed =
            |event: &Event| matches!(event, Event::SyncCompleted { document, .. } if *document == CART);
        assert!(events.iter().any(completed), "{events:?}");
    }
}

#[test]
fn a_relay_without_our_extensions_confirms_by_its_heads() {
    let mut world = World::new(&["phone", "laptop"]);
    world.relay.is_plain = true;
    for device in [PHONE, LAPTOP] {
        world.connect(device);
        world.open(device, CART);
    }
    let operations = world.put(PHONE, CART, "milk");
    world.put(LAPTOP, CART, "bread");
    assert_eq!(world.keys(PHONE, CART), world.keys(LAPTOP, CART));
    for device in [PHONE, LAPTOP] {
        assert_eq!(world.devices[device].replica.pending_operations(), 0);
        assert!(!world.devices[device].sent.iter().any(|kind| ["open", "presence", "ping"].contains(kind)));
    }
    let (operation, cart) = (operations[0], CART);
    let expected = Event::OperationConfirmed { document: cart, operation };
    assert!(world.devices[PHONE].events.contains(&expected));
}

#[test]
fn hundreds_of_unchanged_documents_are_opened_by_one_frame() {
    let mut world = World::new(&["phone"]);
    for n in 0..300 {
        world.open(PHONE, document(n));
        world.put(PHONE, document(n), "k");
    }
    world.connect(PHONE);
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 0);
    world.cut(PHONE);
    world.put(PHONE, document(5), "changed");
    world.devices[PHONE].sent.clear();
    world.pass(Duration::from_mins(2));
    assert_eq!(world.devices[PHONE].replica.status(RELAY), ConnectionStatus::Connected);
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 0);
    let sent = &world.devices[PHONE].sent;
    let count = |kind| sent.iter().filter(|sent| **sent == kind).count();
    assert_eq!((count("join"), count("open")), (1, 1));
    assert!(count("sync") <= 3, "{sent:?}");
}

#[test]
fn a_document_that_nobody_has_is_found_when_somebody_brings_it() {
    for is_plain in [false, true] {
        let mut world = World::new(&["phone", "laptop"]);
        world.relay.is_plain = is_plain;
        world.connect(LAPTOP);
        world.find(LAPTOP, CART);
        let unavailable = Event::Unavailable { document: CART };
        assert_eq!(
            world.devices[LAPTOP].take_events().iter().filter(|event| **event == unavailable).count(),
            1
        );
        let laptop = &mut world.devices[LAPTOP];
        let refused = laptop.replica.edit(world.now, &mut laptop.rng, CART, |_| ()).unwrap_err();
        assert_eq!(refused, EditError::NotOpen { document: CART });
        world.open(PHONE, CART);
        world.put(PHONE, CART, "milk");
        world.connect(PHONE);
        let opened = Event::Opened { document: CART, is_new: false };
        assert!(world.devices[LAPTOP].events.contains(&opened), "{:?}", world.devices[LAPTOP].events);
        assert_eq!(world.keys(LAPTOP, CART), ["milk".to_owned()].into());
    }
}

#[test]
fn what_is_written_while_a_relay_looks_for_the_document_is_told_when_it_has_none() {
    let mut world = World::new(&["phone"]);
    world.relay.is_plain = true;
    world.connect(PHONE);
    world.relay.is_mute = true;
    world.open(PHONE, CART);
    assert_eq!(world.devices[PHONE].sent.last(), Some(&"request"));
    world.put(PHONE, CART, "milk");
    world.relay.is_mute = false;
    world.relay.announce(|route| Frame::Unavailable { route, document: CART }.encode());
    world.run();
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 0);
}

#[test]
fn two_tabs_need_no_relay_but_confirm_nothing() {
    let mut world = World::new(&["phone", "laptop"]);
    world.open(PHONE, CART);
    world.open(LAPTOP, CART);
    world.connect_to(PHONE, LAPTOP);
    world.put(PHONE, CART, "milk");
    world.put(LAPTOP, CART, "bread");
    assert_eq!(world.keys(PHONE, CART), world.keys(LAPTOP, CART));
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 1);
    assert_eq!(world.devices[LAPTOP].replica.pending_operations(), 1);
    // One of them has a relay: it brings what both wrote, and confirms its own.
    world.connect(LAPTOP);
    assert_eq!(world.devices[LAPTOP].replica.pending_operations(), 0);
    world.connect(PHONE);
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 0);
}

#[test]
fn a_tab_serves_what_is_stored_but_takes_nothing_it_has_not_asked_for() {
    let mut world = World::new(&["phone", "laptop"]);
    world.open(PHONE, CART);
    world.put(PHONE, CART, "milk");
    world.restart(PHONE);
    world.open(PHONE, document(1));
    world.put(PHONE, document(1), "private");
    world.connect_to(LAPTOP, PHONE);
    world.find(LAPTOP, CART);
    assert_eq!(world.keys(LAPTOP, CART), ["milk".to_owned()].into());
    assert!(world.devices[LAPTOP].replica.document(document(1)).is_none());
    assert!(!world.devices[LAPTOP].store.documents.contains_key(&document(1)));
}

#[test]
fn what_was_pending_when_the_device_stopped_is_confirmed_by_the_next_run() {
    let mut world = World::new(&["phone", "laptop"]);
    world.open(PHONE, CART);
    let operations = world.put(PHONE, CART, "milk");
    world.restart(PHONE);
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 1, "nobody had to open the document");
    world.connect(PHONE);
    let expected = Event::OperationConfirmed { document: CART, operation: operations[0] };
    assert!(world.devices[PHONE].events.contains(&expected));
    assert!(world.devices[PHONE].events.contains(&Event::Evicted { document: CART }));
    let standing = RecordKey::Standing(CART);
    assert!(!world.devices[PHONE].store.records.contains_key(&standing), "nothing is pending any more");
    world.connect(LAPTOP);
    world.find(LAPTOP, CART);
    assert_eq!(world.keys(LAPTOP, CART), ["milk".to_owned()].into());
}

#[test]
fn a_document_that_left_memory_still_takes_what_others_write() {
    let mut world = World::new(&["phone", "laptop"]);
    for device in [PHONE, LAPTOP] {
        world.connect(device);
        world.open(device, CART);
    }
    world.put(PHONE, CART, "milk");
    world.give(PHONE, Input::Close { document: CART });
    assert!(world.devices[PHONE].events.contains(&Event::Evicted { document: CART }));
    assert!(world.devices[PHONE].replica.document(CART).is_none());
    for key in ["bread", "eggs"] {
        world.put(LAPTOP, CART, key);
    }
    assert!(world.devices[PHONE].replica.document(CART).is_none(), "it left memory again");
    world.cut(PHONE);
    world.open(PHONE, CART);
    assert_eq!(world.keys(PHONE, CART).len(), 3, "all is in the store");
}

#[test]
fn a_full_disk_loses_nothing_that_is_in_memory() {
    let mut world = World::new(&["phone"]);
    world.open(PHONE, CART);
    world.put(PHONE, CART, "milk");
    world.devices[PHONE].store.is_failing = true;
    world.put(PHONE, CART, "bread");
    world.put(PHONE, CART, "eggs");
    assert!(!world.devices[PHONE].replica.is_stored(CART));
    let is_storage = |event: &Event| matches!(event, Event::StorageFailed { document: Some(CART), failure } if failure.class == ErrorClass::Storage);
    assert!(world.devices[PHONE].was_told(is_storage));
    world.pass(Duration::from_secs(30));
    world.devices[PHONE].store.is_failing = false;
    world.pass(Duration::from_secs(30));
    assert!(world.devices[PHONE].replica.is_stored(CART));
    world.restart(PHONE);
    world.open(PHONE, CART);
    assert_eq!(world.keys(PHONE, CART).len(), 3);
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 3);
}

#[test]
fn a_document_that_can_not_be_read_is_left_alone() {
    let mut world = World::new(&["phone"]);
    let damaged = vec![1, 2, 3];
    world.devices[PHONE].store.documents.insert(CART, damaged.clone());
    world.open(PHONE, CART);
    assert!(world.devices[PHONE].was_told(|event| matches!(event, Event::StorageFailed { .. })));
    assert!(world.devices[PHONE].replica.document(CART).is_none());
    assert_eq!(world.devices[PHONE].store.documents[&CART], damaged);

    world.devices[PHONE].store.is_failing = true;
    world.open(PHONE, document(1));
    assert!(world.devices[PHONE].replica.document(document(1)).is_none());
    world.devices[PHONE].store.is_failing = false;
    world.pass(Duration::from_secs(5));
    assert!(
        world.devices[PHONE].replica.document(document(1)).is_some(),
        "a read that failed is tried again"
    );
}

#[test]
fn a_kept_writer_sends_nothing_that_is_not_on_its_disk() {
    let mut world = World::new(&["phone", "laptop"]);
    let actor = ActorId::from_bytes([9; 16]);
    let config = ReplicaConfig { writer: Writer::Kept(actor.clone()), ..super::world::config("phone") };
    let phone = &mut world.devices[PHONE];
    phone.replica = Replica::new(config, world.now, &mut phone.rng);
    world.run();
    for device in [PHONE, LAPTOP] {
        world.connect(device);
        world.open(device, CART);
    }
    assert_eq!(world.devices[PHONE].replica.actor(), &actor);
    world.devices[PHONE].store.is_held = true;
    world.put(PHONE, CART, "right");
    assert!(world.keys(LAPTOP, CART).is_empty());
    world.release_store(PHONE);
    assert_eq!(world.keys(LAPTOP, CART), ["right".to_owned()].into());
}

#[test]
fn a_refused_operation_is_told_and_stays_visible_until_it_is_allowed() {
    let mut world = World::new(&["phone", "laptop"]);
    world.relay.read_only.insert(CART);
    world.connect(PHONE);
    world.open(PHONE, CART);
    let operation = world.put(PHONE, CART, "mischief")[0];
    let is_rejected = |event: &Event| {
        matches!(event, Event::OperationRejected { operation: found, failure, .. }
            if *found == operation && failure.class == ErrorClass::Authentication)
    };
    assert!(world.devices[PHONE].was_told(is_rejected), "{:?}", world.devices[PHONE].events);
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 0);
    let standing: Vec<_> = world.devices[PHONE].replica.operations(CART).collect();
    assert!(matches!(standing.as_slice(), [(_, OperationStatus::Rejected(_))]));
    assert_eq!(world.keys(PHONE, CART), ["mischief".to_owned()].into());
    world.relay.read_only.clear();
    world.cut(PHONE);
    world.pass(Duration::from_mins(2));
    let confirmed = Event::OperationConfirmed { document: CART, operation };
    assert!(world.devices[PHONE].events.contains(&confirmed), "{:?}", world.devices[PHONE].events);
}

#[test]
fn concurrent_values_are_surfaced() {
    let mut world = World::new(&["phone", "laptop"]);
    world.open(PHONE, CART);
    world.open(LAPTOP, CART);
    for (device, text) in [(PHONE, "at the door"), (LAPTOP, "ring twice")] {
        let now = world.now;
        let device = &mut world.devices[device];
        let edited = device.replica.edit(now, &mut device.rng, CART, |document| {
            let mut edit = document.edit();
            edit.put("n/cart", text);
            edit.commit();
        });
        edited.unwrap();
    }
    world.connect_to(PHONE, LAPTOP);
    let surfaced = Event::ConflictSurfaced { document: CART, keys: [Box::from("n/cart")].into() };
    for device in [PHONE, LAPTOP] {
        assert!(world.devices[device].events.contains(&surfaced), "{:?}", world.devices[device].events);
    }
}

#[test]
fn in_the_background_edits_go_together_and_critical_ones_at_once() {
    let mut world = World::new(&["phone"]);
    world.connect(PHONE);
    world.open(PHONE, CART);
    let (intent, priority) = (Intent::OpenOrCreate, Priority::Critical);
    world.give(PHONE, Input::Open { document: document(1), intent, priority });
    world.give(PHONE, Input::Conditions(Conditions { background: true, ..Conditions::default() }));
    world.devices[PHONE].sent.clear();
    for n in 0..10 {
        world.put(PHONE, CART, &n.to_string());
    }
    assert_eq!(world.devices[PHONE].sent, [""; 0]);
    world.put(PHONE, document(1), "checkout");
    assert_eq!(world.devices[PHONE].replica.operations(document(1)).count(), 0, "it was confirmed");
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 10);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 0);
    let syncs = world.devices[PHONE].sent.iter().filter(|kind| **kind == "sync").count();
    assert!(syncs <= 4, "{syncs} messages");
}

#[test]
fn on_a_metered_network_nobody_waits_for_what_is_not_urgent() {
    let mut world = World::new(&["phone"]);
    world.give(PHONE, Input::Conditions(Conditions { metered: true, ..Conditions::default() }));
    world.connect(PHONE);
    let (intent, priority) = (Intent::OpenOrCreate, Priority::Low);
    world.give(PHONE, Input::Open { document: document(1), intent, priority });
    world.open(PHONE, CART);
    world.put(PHONE, document(1), "history");
    world.put(PHONE, CART, "milk");
    world.pass(Duration::from_mins(1));
    assert_eq!(world.devices[PHONE].replica.operations(CART).count(), 0);
    assert_eq!(world.devices[PHONE].replica.operations(document(1)).count(), 1);
    world.give(PHONE, Input::Conditions(Conditions::default()));
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 0);
}

#[test]
fn too_many_pending_operations_and_open_documents_are_refused() {
    let mut world = World::new(&["phone"]);
    let quotas = Quotas { open_documents_max: 2, pending_operations_max: 3 };
    let config = ReplicaConfig { quotas, ..super::world::config("phone") };
    let phone = &mut world.devices[PHONE];
    phone.replica = Replica::new(config, world.now, &mut phone.rng);
    world.run();
    for n in 0..3 {
        world.open(PHONE, document(n));
    }
    assert!(world.devices[PHONE].replica.document(document(2)).is_none());
    for n in 0..3 {
        world.put(PHONE, document(0), &n.to_string());
    }
    let phone = &mut world.devices[PHONE];
    let refused = phone.replica.edit(world.now, &mut phone.rng, document(0), |_| ()).unwrap_err();
    assert_eq!(refused, EditError::TooManyPending { document: document(0), pending: 3, max: 3 });
    world.run();
    let told = world.devices[PHONE].events.iter();
    assert_eq!(told.filter(|event| matches!(event, Event::QuotaExceeded { .. })).count(), 2);
}

#[test]
fn an_edit_that_changes_nothing_is_no_operation() {
    let mut world = World::new(&["phone"]);
    world.open(PHONE, CART);
    world.put(PHONE, CART, "milk");
    assert_eq!(world.put(PHONE, CART, "milk"), []);
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 1);
}

/// A day with everything in it, to be told twice.
fn day() -> Vec<Vec<String>> {
    let mut world = World::new(&["phone", "laptop", "tablet"]);
    for device in 0..3 {
        world.connect(device);
        world.open(device, CART);
    }
    world.connect_to(2, PHONE);
    for round in 0..5 {
        for device in 0..3 {
            world.put(device, CART, &format!("{round}/{device}"));
        }
        world.cut(round % 3);
        let id = CommandId::new(format!("order-{round}")).unwrap();
        let command = Command { id, kind: "order".into(), body: "{}".into(), priority: Priority::Medium };
        world.give(PHONE, Input::Submit(command));
        world.give(LAPTOP, Input::Appear { document: Some(CART), data: vec![1] });
        world.pass(Duration::from_secs(20));
    }
    world.pass(Duration::from_mins(5));
    assert!((1..3).all(|device| world.keys(device, CART) == world.keys(PHONE, CART)));
    assert_eq!(world.keys(PHONE, CART).len(), 15);
    world.devices.into_iter().map(|device| device.trace).collect()
}

#[test]
fn the_same_day_twice_is_the_same_to_the_letter() {
    let (once, again) = (day(), day());
    assert_eq!(once.iter().map(Vec::len).sum::<usize>(), again.iter().map(Vec::len).sum::<usize>());
    assert!(once == again);
}
