//! What programs ask of a relay over HTTP: bring and list documents, follow the feed, see who is there and what happens.

use std::thread;
use std::time::{Duration, Instant};

use crdt_core::document::Document;
use crdt_core::id::{ActorId, DocumentId};
use crdt_core::wire::Frame;
use pannier_tests::client::Client;
use pannier_tests::http::{Answer, EventStream, ask};
use pannier_tests::process::RelayProcess;
use serde_json::json;

const CART: DocumentId = DocumentId::from_bytes([7; 16]);

fn relay() -> RelayProcess {
    RelayProcess::start_with(&["--in-memory", "--log", "error"])
}

fn path(document: DocumentId) -> String {
    format!("/v1/documents/{document}")
}

fn document(name: &str) -> Document {
    Document::new(ActorId::derive(&[name]))
}

fn write(document: &mut Document, note: &str) {
    let mut edit = document.edit();
    edit.put("n/cart", note);
    edit.commit();
}

fn put(relay: &RelayProcess, id: DocumentId, headers: &[(&str, &str)], bytes: &[u8]) -> Answer {
    ask(relay.address(), "PUT", &path(id), headers, bytes)
}

#[test]
fn a_document_that_is_brought_is_there_for_everyone() {
    let relay = relay();
    let mut phone = document("phone");
    write(&mut phone, "ring twice");
    let created = put(&relay, CART, &[], &phone.save());
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.json()["heads"], json!([phone.heads()[0]]));

    let fetched = ask(relay.address(), "GET", &path(CART), &[], b"");
    assert_eq!(fetched.header("etag"), created.header("etag"));
    let copy = Document::load(&fetched.body, ActorId::derive(&["laptop"])).unwrap();
    assert_eq!(copy.heads(), phone.heads());

    let again = put(&relay, CART, &[], &phone.save());
    assert_eq!((again.status, again.header("etag")), (200, created.header("etag")), "twice is once");
    write(&mut phone, "ring thrice");
    let more = put(&relay, CART, &[], &phone.save());
    assert_eq!(more.status, 200);
    assert_ne!(more.header("etag"), created.header("etag"));
}

#[test]
fn a_document_is_brought_only_as_its_bringer_expects_it() {
    let relay = relay();
    let mut phone = document("phone");
    write(&mut phone, "one");
    assert_eq!(put(&relay, CART, &[("if-match", "*")], &phone.save()).status, 412, "it is not there");
    let first = put(&relay, CART, &[("if-none-match", "*")], &phone.save());
    assert_eq!(first.status, 201);
    let refused = put(&relay, CART, &[("if-none-match", "*")], &phone.save());
    assert_eq!((refused.status, refused.header("etag")), (412, first.header("etag")));
    write(&mut phone, "two");
    let second = put(&relay, CART, &[("if-match", first.header("etag"))], &phone.save());
    assert_eq!(second.status, 200);
    write(&mut phone, "three");
    let late = put(&relay, CART, &[("if-match", first.header("etag"))], &phone.save());
    assert_eq!((late.status, late.header("etag")), (412, second.header("etag")));
    let fetched = ask(relay.address(), "GET", &path(CART), &[], b"");
    assert_eq!(fetched.header("etag"), second.header("etag"), "what was refused is not there");
    assert_eq!(put(&relay, CART, &[("if-match", "two")], &phone.save()).status, 400);
}

#[test]
fn what_is_no_document_is_refused_and_changes_nothing() {
    let relay = relay();
    let mut phone = document("phone");
    write(&mut phone, "one");
    let whole = phone.save();
    write(&mut phone, "two");
    let mut broken = phone.save();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(put(&relay, CART, &[], b"").status, 400);
    assert_eq!(put(&relay, CART, &[], b"not a document").status, 422);
    assert_eq!(put(&relay, CART, &[], &broken).status, 422);
    assert_eq!(put(&relay, CART, &[], &whole[..whole.len() - 1]).status, 422);
    let vast = [("content-length", "99999999999")];
    assert!(matches!(put(&relay, CART, &vast, b"").status, 400 | 413));
    assert_eq!(ask(relay.address(), "PUT", "/v1/documents/..%2f..%2fetc", &[], &whole).status, 400);
    assert_eq!(ask(relay.address(), "GET", &path(CART), &[], b"").status, 404);
}

#[test]
fn documents_are_listed_in_pages() {
    let relay = relay();
    let mut expected = Vec::new();
    for number in 1..=5 {
        let id = DocumentId::from_bytes([number; 16]);
        let mut phone = document("phone");
        write(&mut phone, &format!("note {number}"));
        assert_eq!(put(&relay, id, &[], &phone.save()).status, 201);
        expected.push(id.to_string());
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = ask(relay.address(), "GET", &format!("/v1/documents?limit=2{after}"), &[], b"").json();
        for document in page["documents"].as_array().unwrap() {
            assert!(
                document["last_updated_at"].as_u64().unwrap() > 0 && document["bytes"].as_u64().unwrap() > 0
            );
            seen.push(document["document"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, expected);
    for bad in ["limit=0", "limit=1001", "limit=x", "after=x", "unknown=1"] {
        let refused = ask(relay.address(), "GET", &format!("/v1/documents?{bad}"), &[], b"");
        assert_eq!(
            (refused.status, refused.header("content-type")),
            (400, "application/problem+json"),
            "{bad}"
        );
    }
}

#[test]
fn the_feed_is_waited_for_and_streamed_and_skips_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut relay = RelayProcess::start(data.path());
    let mut phone = document("phone");
    write(&mut phone, "one");
    put(&relay, CART, &[], &phone.save());
    let first = ask(relay.address(), "GET", "/v1/changes", &[], b"").json();
    let next = first["next"].as_u64().unwrap();
    assert_eq!(first["changes"][0]["document"], CART.to_string());

    let began = Instant::now();
    let nothing = ask(relay.address(), "GET", &format!("/v1/changes?since={next}&wait=1"), &[], b"").json();
    assert_eq!((&nothing["changes"], &nothing["next"]), (&json!([]), &json!(next)));
    assert!(began.elapsed() >= Duration::from_secs(1));

    let address = relay.address();
    let waiting = thread::spawn(move || {
        ask(address, "GET", &format!("/v1/changes?since={next}&wait=30"), &[], b"").json()
    });
    let mut stream = EventStream::open(address, &format!("/v1/changes?since={next}"), &[]).unwrap();
    thread::sleep(Duration::from_millis(200));
    write(&mut phone, "two");
    put(&relay, CART, &[], &phone.save());
    let waited = waiting.join().unwrap();
    assert_eq!(waited["changes"][0]["heads"], json!(phone.heads()));
    let event = stream.next().unwrap();
    assert_eq!((event.kind.as_str(), &event.json()), ("change", &waited["changes"][0]));
    let seen = event.id.unwrap();

    relay.kill();
    assert_eq!(stream.next(), None, "a stream ends with its relay");
    let relay = RelayProcess::start(data.path());
    for number in 1..=30 {
        let mut other = document("laptop");
        write(&mut other, &format!("note {number}"));
        put(&relay, DocumentId::from_bytes([number; 16]), &[], &other.save());
    }
    let resumed = [("last-event-id", seen.as_str())];
    let mut stream = EventStream::open(relay.address(), "/v1/changes", &resumed).unwrap();
    let told: Vec<_> = (0..30).map(|_| stream.next().unwrap().json()["document"].clone()).collect();
    let expected: Vec<_> = (1..=30).map(|number| json!(DocumentId::from_bytes([number; 16]))).collect();
    assert_eq!(told, expected, "what happened while nobody listened is told, in order, once");
    ask(relay.address(), "DELETE", &path(CART), &[], b"");
    let ahead = ask(relay.address(), "GET", "/v1/changes?since=1000000", &[], b"");
    assert_eq!(ahead.status, 409, "a cursor from elsewhere would wait for ever");
}

#[test]
fn who_is_connected_and_what_happens_can_be_seen() {
    let relay = relay();
    let mut events = EventStream::open(relay.address(), "/v1/events", &[]).unwrap();
    let peers: Vec<_> =
        ["phone", "laptop", "tablet"].map(|name| Client::join(relay.address(), name).unwrap()).into();
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = ask(relay.address(), "GET", &format!("/v1/sessions?limit=2{after}"), &[], b"").json();
        for session in page["sessions"].as_array().unwrap() {
            assert_eq!(session["transport"], "websocket");
            assert_eq!((&session["subject"], &session["documents"]), (&json!("anyone"), &json!(0)));
            seen.push(session["peer"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, ["phone", "laptop", "tablet"]);
    for name in ["phone", "laptop", "tablet"] {
        let event = events.next().unwrap();
        assert_eq!((event.kind.as_str(), &event.json()["peer"]), ("connected", &json!(name)));
    }
    drop(peers);
    let last = (0..3).map(|_| events.next().unwrap()).last().unwrap();
    assert_eq!(last.kind, "disconnected");

    drop(events);
    let mut stranger = Client::join(relay.address(), "stranger").unwrap();
    stranger.send_bytes(b"not a frame".to_vec()).unwrap();
    let farewell = stranger.receive().unwrap();
    assert!(matches!(Frame::decode(&farewell), Ok(Frame::Denied { .. })));
    let missed = [("last-event-id", last.id.as_deref().unwrap())];
    let mut events = EventStream::open(relay.address(), "/v1/events", &missed).unwrap();
    let kinds: Vec<_> = (0..2).map(|_| events.next().unwrap().kind).collect();
    assert_eq!(kinds, ["connected", "denied"], "who comes back hears what they missed");
    let status = ask(relay.address(), "GET", "/v1/status", &[], b"").json();
    assert_eq!(status["troubles"][0]["code"], "invalid", "{status}");
}

#[test]
fn what_is_durable_is_measured() {
    let relay = relay();
    for number in 0..20 {
        let mut phone = document("phone");
        write(&mut phone, &format!("note {number}"));
        put(&relay, DocumentId::from_bytes([number; 16]), &[], &phone.save());
    }
    let began = Instant::now();
    loop {
        let status = ask(relay.address(), "GET", "/v1/status", &[], b"").json();
        let latency = &status["durable_after_milliseconds"];
        assert_eq!((&status["documents"], &latency["count"]), (&json!(20), &json!(20)), "{status}");
        assert!(latency["p50"].as_f64().unwrap() > 0.0 && latency["p99"].as_f64() >= latency["p50"].as_f64());
        if status["changes_per_second"].as_f64().unwrap() > 0.0 {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{status}");
        thread::sleep(Duration::from_millis(100));
    }
}
