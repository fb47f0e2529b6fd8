//! The sync protocol where web sockets are blocked, spoken by a real client with the relay's binary.

use std::fs;
use std::thread;
use std::time::Duration;

use crdt_core::document::Document;
use crdt_core::id::{ActorId, ChangeHash, DocumentId};
use crdt_core::sync::{Manner, State};
use crdt_core::wire::{Frame, Route};
use pannier_tests::client::Client;
use pannier_tests::http::{EventStream, ask};
use pannier_tests::process::{RelayProcess, run_to_end};
use pannier_tests::sse::{SsePeer, StreamEnd};
use serde_json::json;

const CART: DocumentId = DocumentId::from_bytes([7; 16]);

fn relay() -> RelayProcess {
    RelayProcess::start_with(&["--in-memory", "--log", "error"])
}

/// What carries a peer's frames.
trait Carrier {
    fn route(&self) -> Route<'_>;
    fn send(&mut self, frame: Vec<u8>);
    fn receive(&mut self) -> Vec<u8>;
}

impl Carrier for Client {
    fn route(&self) -> Route<'_> {
        Client::route(self)
    }

    fn send(&mut self, frame: Vec<u8>) {
        self.send_bytes(frame).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        Client::receive(self).unwrap()
    }
}

impl Carrier for SsePeer {
    fn route(&self) -> Route<'_> {
        SsePeer::route(self)
    }

    fn send(&mut self, frame: Vec<u8>) {
        let answer = self.post(&[frame]);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    fn receive(&mut self) -> Vec<u8> {
        SsePeer::receive(self).unwrap()
    }
}

/// A device with one document.
struct Device<C> {
    carrier: C,
    document: Document,
    state: State,
}

impl<C: Carrier> Device<C> {
    fn new(name: &str, carrier: C) -> Self {
        let document = Document::new(ActorId::derive(&[name]));
        Self { carrier, document, state: State::new(Manner::OPEN) }
    }

    fn write(&mut self, note: &str) {
        let mut edit = self.document.edit();
        edit.put(&format!("n/{note}"), note);
        edit.commit();
    }

    fn speak(&mut self) {
        if let Some(data) = self.state.generate_for(&mut self.document) {
            let route = self.carrier.route();
            let frame = Frame::Sync { route, document: CART, data: &data }.encode();
            self.carrier.send(frame);
        }
    }

    /// Talks until the document, and the relay's, have these heads.
    fn talk_until(&mut self, heads: &[ChangeHash]) {
        self.speak();
        while self.document.heads() != heads || self.state.their_heads().is_none_or(|theirs| theirs != heads)
        {
            let frame = self.carrier.receive();
            if let Frame::Sync { data, .. } = Frame::decode(&frame).unwrap() {
                self.state.receive_into(&mut self.document, data).unwrap();
                self.speak();
            }
        }
    }
}

/// Lets two devices talk until both have everything.
fn meet(phone: &mut Device<SsePeer>, laptop: &mut Device<Client>) {
    let mut both = Document::new(ActorId::derive(&["both"]));
    both.merge(&mut phone.document).unwrap();
    both.merge(&mut laptop.document).unwrap();
    let heads = both.heads();
    thread::scope(|scope| {
        scope.spawn(|| phone.talk_until(&heads));
        scope.spawn(|| laptop.talk_until(&heads));
    });
}

fn ping(peer: &SsePeer, count: u64) -> Vec<u8> {
    Frame::Ping { route: peer.route(), count }.encode()
}

fn pong(frame: &[u8]) -> u64 {
    match Frame::decode(frame).unwrap() {
        Frame::Pong { count, .. } => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_devices_edit_one_document_over_two_carriers_while_a_stream_is_cut() {
    let relay = relay();
    let mut phone = Device::new("phone", SsePeer::join(relay.address(), "phone", None));
    let mut laptop = Device::new("laptop", Client::join(relay.address(), "laptop").unwrap());
    for round in 0..10 {
        phone.write(&format!("phone {round}"));
        phone.speak();
        if round % 3 == 1 {
            phone.carrier.cut();
        }
        laptop.write(&format!("laptop {round}"));
        laptop.speak();
        if round % 3 == 1 {
            phone.write(&format!("phone, deaf {round}"));
            phone.speak();
            phone.carrier.listen().unwrap();
        }
        meet(&mut phone, &mut laptop);
    }
    assert_eq!(phone.document.changes_since(&[]).len(), 23);
    let sessions = ask(relay.address(), "GET", "/v1/sessions", &[], b"").json();
    let told: Vec<_> = sessions["sessions"].as_array().unwrap().iter().map(|it| &it["transport"]).collect();
    assert_eq!(told, [&json!("sse"), &json!("websocket")]);
}

#[test]
fn what_is_posted_twice_is_taken_once_and_what_is_missing_is_missed() {
    let relay = relay();
    let mut phone = SsePeer::join(relay.address(), "phone", None);
    let frames = [ping(&phone, 1), ping(&phone, 2)];
    assert_eq!(phone.post(&frames).json()["received"], 3, "the join was the first");
    assert_eq!(phone.post_at(2, &frames).json()["received"], 3, "an answer that got lost");
    assert_eq!(phone.post_at(3, &[ping(&phone, 2), ping(&phone, 3)]).json()["received"], 4);
    let gap = phone.post_at(6, &[ping(&phone, 9)]);
    assert_eq!(gap.status, 409, "{gap:?}");
    let pongs: Vec<_> = (0..3).map(|_| pong(&phone.receive().unwrap())).collect();
    assert_eq!(pongs, [1, 2, 3]);
    for body in [vec![0xa1, 0x61], vec![0x9f], vec![0xd8, 0x40]] {
        assert_eq!(phone.post_at(5, &[body]).status, 422, "what is no frame");
    }
    assert_eq!(phone.post_at(5, &[ping(&phone, 4)]).json()["received"], 5, "and the session goes on");
}

#[test]
fn a_stream_goes_on_only_from_what_is_kept() {
    let relay = relay();
    let mut phone = SsePeer::join(relay.address(), "phone", None);
    for count in 1..=5 {
        phone.post(&[ping(&phone, count)]);
    }
    (1..=3).for_each(|count| assert_eq!(pong(&phone.receive().unwrap()), count));
    phone.cut();
    let seen = phone.seen;
    phone.listen().unwrap();
    assert_eq!(pong(&phone.receive().unwrap()), 4, "nothing is lost, nothing comes twice");
    phone.cut();
    for elsewhere in [seen - 1, seen + 100, u64::MAX] {
        phone.seen = elsewhere;
        let refused = phone.listen().unwrap_err();
        assert!(matches!(refused.status, 400 | 409), "{elsewhere}: {refused:?}");
    }
    phone.seen = seen;
    phone.listen().unwrap();
    assert_eq!(pong(&phone.receive().unwrap()), 4, "what was not acknowledged is kept");

    let mut older = phone.take_stream().unwrap();
    phone.listen().unwrap();
    assert_eq!(pong(&phone.receive().unwrap()), 5);
    assert!(older.all(|event| event.kind == "frame"), "the older stream ends");
    phone.post(&[ping(&phone, 6)]);
    assert_eq!(pong(&phone.receive().unwrap()), 6);
}

#[test]
fn a_session_ends_for_both_sides() {
    let relay = relay();
    let mut phone = SsePeer::join(relay.address(), "phone", None);
    assert_eq!(phone.post(&[b"\x61x".to_vec()]).status, 200);
    let Ok(Frame::Denied { .. }) = Frame::decode(&phone.receive().unwrap()) else { panic!("a denial") };
    let end = phone.receive().unwrap_err();
    assert!(matches!(end, StreamEnd { reason: Some(_) }), "{end:?}");

    let mut laptop = SsePeer::join(relay.address(), "laptop", None);
    let header = [("pannier-session", laptop.session.as_str())];
    assert_eq!(ask(relay.address(), "DELETE", "/sync/sse", &header, b"").status, 204);
    assert!(laptop.receive().unwrap_err().reason.is_some());
    let mut others = Client::join(relay.address(), "tablet").unwrap();
    let ping = Frame::Ping { route: others.route(), count: 1 }.encode();
    others.send_bytes(ping).unwrap();
    assert_eq!(pong(&others.receive().unwrap()), 1, "others go on");
    let unknown = [("pannier-session", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    assert_eq!(EventStream::open(relay.address(), "/sync/sse", &unknown).unwrap_err().status, 404);
    assert_eq!(ask(relay.address(), "POST", "/sync/sse", &[], b"").status, 400);
}

#[test]
fn a_session_is_for_the_subject_that_opened_it() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "thirty-two bytes that nobody guesses\n").unwrap();
    let secret = secret.to_str().unwrap();
    let relay = RelayProcess::start_with(&["--in-memory", "--log", "error", "--token-secret", secret]);
    let token = |subject: &str, time: &str| {
        let output = run_to_end(&["token", subject, "--token-secret", secret, "--valid-for", time]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(EventStream::open(relay.address(), "/sync/sse", &[]).unwrap_err().status, 401);

    let mut phone = SsePeer::join(relay.address(), "phone", Some(&token("student-7", "1h")));
    let stranger = format!("Bearer {}", token("student-8", "1h"));
    let stolen = [("authorization", stranger.as_str()), ("pannier-session", &phone.session)];
    assert_eq!(EventStream::open(relay.address(), "/sync/sse", &stolen).unwrap_err().status, 404);
    assert_eq!(ask(relay.address(), "POST", "/sync/sse", &stolen, b"").status, 404);
    assert_eq!(ask(relay.address(), "DELETE", "/sync/sse", &stolen, b"").status, 404);
    let renewed = format!("Bearer {}", token("student-7", "2h"));
    let own = [("authorization", renewed.as_str()), ("pannier-session", &phone.session)];
    assert_eq!(ask(relay.address(), "POST", "/sync/sse", &own, b"").status, 200, "a newer token of the same");
    let mut permitted = || match Frame::decode(&phone.receive().unwrap()).unwrap() {
        Frame::Permitted { expires_after, .. } => expires_after,
        other => panic!("{other:?}"),
    };
    let (first, then) = (permitted(), permitted());
    assert!(then > first + Duration::from_mins(50), "it lives longer: {first:?}, {then:?}");
    phone.post(&[ping(&phone, 1)]);
    assert_eq!(pong(&phone.receive().unwrap()), 1);
}

#[test]
fn pages_may_read_answers_if_their_origin_is_allowed() {
    let relay = relay();
    let asks = |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        ask(relay.address(), "OPTIONS", "/sync/sse", &headers, b"")
    };
    let allowed = asks("http://localhost:5173");
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), "http://localhost:5173");
    assert!(allowed.header("access-control-allow-headers").contains("pannier-session"));
    let refused = asks("https://elsewhere.example");
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (405, ""));
    let page = ask(relay.address(), "GET", "/", &[("accept", "text/html")], b"");
    assert!(page.header("content-security-policy").contains("default-src 'none'"), "{page:?}");
}
