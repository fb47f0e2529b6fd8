//! Connections, commands and company.

use std::time::Duration;

use super::world::{CART, RELAY, World, kind};
use crate::replica::{
    Command, CommandId, CommandOutcome, CommandStatus, ConnectionStatus, EndpointId, ErrorClass, Event,
    Input, Priority,
};
use crate::wire::{Denial, DenialCode, Frame, GoingAway};

const PHONE: usize = 0;
const LAPTOP: usize = 1;

fn order(n: u32) -> Command {
    let id = CommandId::new(format!("order-{n}")).unwrap();
    Command { id, kind: "place-order".into(), body: format!("{{\"n\":{n}}}"), priority: Priority::High }
}

#[test]
fn a_relay_that_is_down_is_dialled_less_and_less_until_the_network_is_back() {
    let mut world = World::new(&["phone"]);
    world.relay_is_up = false;
    world.connect(PHONE);
    assert_eq!(world.devices[PHONE].replica.status(RELAY), ConnectionStatus::Reconnecting);
    world.pass(Duration::from_mins(30));
    let dialled = world.devices[PHONE].dialled.len();
    assert!((30..100).contains(&dialled), "{dialled} times in half an hour");
    world.relay_is_up = true;
    world.give(PHONE, Input::NetworkUp);
    assert_eq!(world.devices[PHONE].replica.status(RELAY), ConnectionStatus::Connected);
    let statuses: Vec<_> = world.devices[PHONE]
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::NetworkChanged { status, .. } => Some(status),
            _ => None,
        })
        .collect();
    let expected =
        [ConnectionStatus::Connecting, ConnectionStatus::Reconnecting, ConnectionStatus::Connected];
    assert_eq!(statuses, expected);
}

#[test]
fn without_a_network_nothing_is_dialled_for_long() {
    let mut world = World::new(&["phone"]);
    world.connect(PHONE);
    world.give(PHONE, Input::NetworkDown);
    world.cut(PHONE);
    world.relay_is_up = false;
    let before = world.devices[PHONE].dialled.len();
    world.pass(Duration::from_mins(10));
    let dialled = world.devices[PHONE].dialled.len() - before;
    assert!((1..=10).contains(&dialled), "{dialled} times: hints may be wrong");
}

#[test]
fn a_relay_that_says_nothing_any_more_is_left_and_a_quiet_one_is_not() {
    let mut world = World::new(&["phone"]);
    world.connect(PHONE);
    world.pass(Duration::from_mins(5));
    assert_eq!(world.devices[PHONE].dialled.len(), 1);
    assert!(world.devices[PHONE].sent.contains(&"ping"));
    world.relay.is_mute = true;
    world.pass(Duration::from_secs(30));
    assert_eq!(world.devices[PHONE].replica.status(RELAY), ConnectionStatus::Reconnecting);
    world.relay.is_mute = false;
    world.pass(Duration::from_mins(2));
    assert_eq!(world.devices[PHONE].replica.status(RELAY), ConnectionStatus::Connected);
}

#[test]
fn a_tab_that_slept_asks_before_it_gives_a_connection_up() {
    let mut world = World::new(&["phone"]);
    world.connect(PHONE);
    // Nothing was woken meanwhile, as when a laptop's lid is closed.
    world.now = world.now + Duration::from_hours(8);
    world.give(PHONE, Input::Wake);
    world.pass(Duration::from_mins(1));
    assert_eq!(world.devices[PHONE].dialled.len(), 1);
    // And a clock set back a year does not put everything off for a year.
    world.now = crate::time::Timestamp::from_millis(world.now.as_millis() - 365 * 86_400_000);
    world.give(PHONE, Input::Wake);
    world.relay.is_mute = true;
    world.pass(Duration::from_mins(1));
    assert_eq!(world.devices[PHONE].replica.status(RELAY), ConnectionStatus::Reconnecting);
}

#[test]
fn an_announced_pause_is_kept() {
    let mut world = World::new(&["phone"]);
    world.connect(PHONE);
    let going = GoingAway {
        reason: "restarting",
        reconnect_after_min: Duration::from_secs(20),
        reconnect_after_max: Duration::from_secs(40),
    };
    world.relay.announce(|route| Frame::GoingAway { route, going }.encode());
    world.run();
    world.give(PHONE, Input::NetworkUp);
    let left = world.now;
    world.pass(Duration::from_mins(1));
    let back = world.devices[PHONE].dialled.last().unwrap().0.since(left);
    assert!((20..=40).contains(&back.as_secs()), "{back:?}");
}

#[test]
fn who_is_not_known_stops_trying_and_says_so() {
    let mut world = World::new(&["phone"]);
    world.connect(PHONE);
    let denial = Denial {
        document: None,
        code: DenialCode::Unauthenticated,
        reason: "the token has expired",
        retry_after: None,
    };
    world.relay.announce(|route| Frame::Denied { route, denial: denial.clone() }.encode());
    world.run();
    assert_eq!(world.devices[PHONE].replica.status(RELAY), ConnectionStatus::Disconnected);
    let is_told = |event: &Event| matches!(event, Event::SyncFailed { document: None, failure, .. } if failure.class == ErrorClass::Authentication);
    assert!(world.devices[PHONE].was_told(is_told));
    world.pass(Duration::from_hours(1));
    assert_eq!(world.devices[PHONE].dialled.len(), 1);
    world.connect(PHONE);
    assert_eq!(world.devices[PHONE].replica.status(RELAY), ConnectionStatus::Connected);
}

#[test]
fn disconnecting_is_for_good() {
    let mut world = World::new(&["phone"]);
    world.connect(PHONE);
    world.give(PHONE, Input::Disconnect { endpoint: RELAY });
    assert_eq!(world.connections(PHONE), []);
    world.pass(Duration::from_hours(1));
    assert_eq!(world.devices[PHONE].dialled.len(), 1);
}

#[test]
fn commands_are_stored_then_run_then_forgotten() {
    let mut world = World::new(&["phone"]);
    world.devices[PHONE].store.is_held = true;
    world.give(PHONE, Input::Submit(order(1)));
    assert_eq!(world.devices[PHONE].commands, []);
    world.release_store(PHONE);
    assert_eq!(world.devices[PHONE].commands, [(order(1), 1)]);
    let (command, outcome) = (order(1).id, CommandOutcome::Done);
    world.give(PHONE, Input::CommandDone { command: command.clone(), outcome });
    assert!(world.devices[PHONE].events.ends_with(&[Event::CommandDone { command }]));
    assert!(world.devices[PHONE].store.records.is_empty());
}

#[test]
fn a_command_survives_a_restart_a_full_disk_and_a_lost_network() {
    let mut world = World::new(&["phone"]);
    world.give(PHONE, Input::NetworkDown);
    world.devices[PHONE].store.is_failing = true;
    world.give(PHONE, Input::Submit(order(1)));
    assert!(
        world.devices[PHONE].was_told(|event| matches!(event, Event::StorageFailed { document: None, .. }))
    );
    world.devices[PHONE].store.is_failing = false;
    world.pass(Duration::from_secs(5));
    assert!(world.devices[PHONE].was_told(|event| matches!(event, Event::CommandQueued { .. })));
    assert_eq!(world.devices[PHONE].commands, []);
    world.restart(PHONE);
    assert_eq!(world.devices[PHONE].commands, [(order(1), 1)], "under the same key");
    let outcome = CommandOutcome::Failed { why: "busy".into(), after: Some(Duration::from_secs(30)) };
    world.give(PHONE, Input::CommandDone { command: order(1).id, outcome });
    world.pass(Duration::from_secs(29));
    assert_eq!(world.devices[PHONE].commands.len(), 1);
    world.pass(Duration::from_secs(4));
    assert_eq!(world.devices[PHONE].commands[1], (order(1), 2));
    let outcome = CommandOutcome::Refused { why: "out of stock".into() };
    world.give(PHONE, Input::CommandDone { command: order(1).id, outcome });
    world.restart(PHONE);
    let commands: Vec<_> = world.devices[PHONE].replica.commands().collect();
    assert_eq!(commands, [(&order(1), CommandStatus::Dead)]);
    world.give(PHONE, Input::Discard { command: order(1).id });
    assert!(world.devices[PHONE].store.records.is_empty());
}

#[test]
fn a_command_that_is_due_without_a_network_wakes_nobody() {
    let mut world = World::new(&["phone"]);
    world.give(PHONE, Input::Submit(order(1)));
    let outcome = CommandOutcome::Failed { why: "busy".into(), after: None };
    world.give(PHONE, Input::CommandDone { command: order(1).id, outcome });
    world.give(PHONE, Input::NetworkDown);
    world.now = world.now + Duration::from_mins(1);
    world.give(PHONE, Input::Wake);
    let deadline = world.devices[PHONE].replica.next_deadline();
    assert!(deadline.is_none_or(|deadline| deadline > world.now), "it would be woken again at once");
    assert_eq!(world.devices[PHONE].commands.len(), 1);
    world.give(PHONE, Input::NetworkUp);
    assert_eq!(world.devices[PHONE].commands.len(), 2);
}

#[test]
fn a_relay_whose_disk_failed_is_asked_again_after_a_while() {
    let mut world = World::new(&["phone"]);
    world.open(PHONE, CART);
    world.connect(PHONE);
    world.relay.failing.insert(CART);
    let operations = world.put(PHONE, CART, "milk");
    world.relay.failing.clear();
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 1, "not refused: {operations:?}");
    world.pass(Duration::from_secs(20));
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 0);
    assert_eq!(world.devices[PHONE].dialled.len(), 1, "over the same connection");
}

#[test]
fn a_message_that_comes_twice_does_not_end_the_pause_that_a_relay_asked_for() {
    let mut world = World::new(&["phone", "laptop"]);
    world.open(PHONE, CART);
    world.connect(PHONE);
    world.open(LAPTOP, CART);
    world.connect(LAPTOP);
    world.put(LAPTOP, CART, "bread");
    let again = world.devices[PHONE].received.iter().rev().find(|frame| kind(frame) == "sync").cloned();
    world.relay.failing.insert(CART);
    world.put(PHONE, CART, "milk");
    world.relay.failing.clear();
    let connection = world.connections(PHONE)[0];
    world.give(PHONE, Input::Received { connection, frame: again.expect("bread came by one") });
    world.pass(Duration::from_secs(20));
    assert_eq!(world.devices[PHONE].replica.pending_operations(), 0);
}

#[test]
fn others_see_who_is_here_and_who_has_left() {
    let mut world = World::new(&["phone", "laptop"]);
    world.open(PHONE, CART);
    world.open(LAPTOP, CART);
    world.connect_to(PHONE, LAPTOP);
    world.give(PHONE, Input::Appear { document: Some(CART), data: b"line 3".to_vec() });
    world.pass(Duration::from_mins(2));
    let present: Vec<_> = world.devices[LAPTOP].replica.present().collect();
    assert_eq!(present.len(), 1);
    assert_eq!((present[0].device.as_str(), present[0].data.as_slice()), ("phone", &b"line 3"[..]));
    assert!(present[0].idle >= Duration::from_mins(1), "nobody touched it: {:?}", present[0].idle);
    world.give(PHONE, Input::Disappear { document: Some(CART) });
    assert_eq!(world.devices[LAPTOP].replica.present().count(), 0);
    world.give(PHONE, Input::Appear { document: None, data: vec![] });
    assert_eq!(world.devices[LAPTOP].replica.present().count(), 1);
    world.give(PHONE, Input::Disconnect { endpoint: EndpointId(2) });
    world.pass(Duration::from_mins(1));
    assert_eq!(world.devices[LAPTOP].replica.present().count(), 0, "it was not heard of any more");
    let left = |event: &&Event| matches!(event, Event::Disappeared { .. });
    assert_eq!(world.devices[LAPTOP].events.iter().filter(left).count(), 2);
}

#[test]
fn a_message_to_whoever_is_here_is_taken_once() {
    let mut world = World::new(&["phone", "laptop"]);
    world.open(PHONE, CART);
    world.open(LAPTOP, CART);
    // Two ways lead from one to the other.
    world.connect_to(PHONE, LAPTOP);
    world.connect_to(LAPTOP, PHONE);
    world.give(PHONE, Input::Broadcast { document: CART, data: b"hello".to_vec() });
    world.give(PHONE, Input::Broadcast { document: CART, data: b"again".to_vec() });
    let heard: Vec<_> = world.devices[LAPTOP]
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Broadcast { data, .. } => Some(data),
            _ => None,
        })
        .collect();
    assert_eq!(heard, [b"hello".to_vec(), b"again".to_vec()]);
    assert_eq!(world.devices[PHONE].sent.iter().filter(|kind| **kind == "ephemeral").count(), 4);
}

#[test]
fn a_document_that_was_refused_is_asked_for_again_when_a_person_opens_it_again() {
    let mut world = World::new(&["phone"]);
    world.connect(PHONE);
    world.open(PHONE, CART);
    let (document, code) = (Some(CART), DenialCode::Forbidden);
    let denial = Denial { document, code, reason: "you may not read this document", retry_after: None };
    world.relay.announce(|route| Frame::Denied { route, denial: denial.clone() }.encode());
    world.run();
    let operation = world.put(PHONE, CART, "tea")[0];
    world.pass(Duration::from_mins(2));
    let confirmed = Event::OperationConfirmed { document: CART, operation };
    assert!(!world.devices[PHONE].events.contains(&confirmed), "nobody insists by themselves");
    world.open(PHONE, CART);
    assert!(world.devices[PHONE].events.contains(&confirmed), "{:?}", world.devices[PHONE].events);
}

#[test]
fn a_new_token_is_asked_for_in_time_once_and_sent() {
    let mut world = World::new(&["phone"]);
    world.connect(PHONE);
    world.relay.announce(|route| Frame::Permitted { route, expires_after: Duration::from_mins(10) }.encode());
    world.run();
    let due = |world: &World| {
        let events = world.devices[PHONE].events.iter();
        let spans = events.filter_map(|event| match event {
            Event::TokenDue { endpoint: RELAY, expires_after } => Some(expires_after.as_secs()),
            _ => None,
        });
        spans.collect::<Vec<_>>()
    };
    world.pass(Duration::from_mins(7));
    assert!(due(&world).is_empty(), "not yet");
    world.pass(Duration::from_secs(70));
    let spans = due(&world);
    assert!(spans.len() == 1 && (100..=120).contains(&spans[0]), "{spans:?}");
    world.give(PHONE, Input::Token { endpoint: RELAY, token: "a newer one".to_owned() });
    assert_eq!(world.devices[PHONE].sent.iter().filter(|kind| **kind == "renew").count(), 1);

    world.relay.announce(|route| Frame::Permitted { route, expires_after: Duration::from_secs(20) }.encode());
    world.run();
    world.pass(Duration::from_secs(18));
    assert_eq!(due(&world).len(), 2, "a short one is renewed sooner");
}
