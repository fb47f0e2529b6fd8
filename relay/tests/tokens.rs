//! A relay that asks who comes: over WebSocket and HTTP, as a user, an administrator, and nobody.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crdt_core::document::Document;
use crdt_core::id::{ActorId, DocumentId};
use crdt_core::sync::{Manner, State};
use crdt_core::wire::{Capabilities, DenialCode, Frame};
use pannier_tests::client::{Client, Gone};
use pannier_tests::process::{RelayProcess, run_to_end};
use tempfile::TempDir;

const CART: DocumentId = DocumentId::from_bytes([7; 16]);

/// A relay that checks tokens, and the files it checks them with.
struct Guarded {
    relay: RelayProcess,
    folder: TempDir,
}

impl Guarded {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "thirty-two bytes that nobody guesses\n").unwrap();
        fs::write(folder.path().join("revoked"), "").unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (data, secret, revoked) = (path("data"), path("secret"), path("revoked"));
        let flags =
            ["--data", &data, "--token-secret", &secret, "--token-revoked", &revoked, "--log", "error"];
        Self { relay: RelayProcess::start_with(&flags), folder }
    }

    fn token(&self, subject: &str, role: &str) -> String {
        token(&self.folder.path().join("secret"), &[subject, "--role", role])
    }

    fn join(&self, name: &str, token: &str) -> Result<Client, Gone> {
        Client::join_at(self.relay.address(), &format!("/sync?token={token}"), name)
    }

    fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let bearer = format!("authorization: Bearer {token}");
        let answer = self.relay.ask(method, path, &[&bearer, "content-type: application/json"], body);
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

fn token(secret: &Path, flags: &[&str]) -> String {
    let mut all = vec!["token", "--token-secret", secret.to_str().unwrap()];
    all.extend(flags);
    let output = run_to_end(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Writes a document through the relay, and returns when it is on disk.
fn write(client: &mut Client, document: &mut Document) {
    let mut state = State::new(Manner::OPEN);
    while let Some(data) = state.generate_for(document) {
        let frame = Frame::Sync { route: client.route(), document: CART, data: &data }.encode();
        client.send_bytes(frame).unwrap();
        loop {
            let frame = client.receive().unwrap();
            match Frame::decode(&frame).unwrap() {
                Frame::Sync { data, .. } => {
                    state.receive_into(document, data).unwrap();
                    break;
                }
                Frame::Durable { documents, .. } if documents[0].heads == document.heads() => return,
                Frame::Durable { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn cart() -> Document {
    let mut document = Document::new(ActorId::derive(&["phone"]));
    let mut edit = document.edit();
    edit.put("n/cart", "ring twice");
    edit.commit();
    document
}

#[test]
fn who_bears_no_token_is_told_what_to_do() {
    let guarded = Guarded::start();
    assert!(Client::join(guarded.relay.address(), "phone").is_err());
    let answer = guarded.relay.get("/v1/status");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("www-authenticate: Bearer") && answer.contains("problem+json"), "{answer}");
    assert!(answer.contains("Authorization: Bearer TOKEN"), "{answer}");
    assert!(guarded.relay.get("/healthz").starts_with("HTTP/1.1 200"), "whoever starts and stops it may ask");
    let (status, problem) = guarded.ask("GET", "/v1/status", "abc", "");
    assert!(status == 401 && problem.contains("not a JSON Web Token"), "{problem}");
}

#[test]
fn a_user_does_what_is_theirs_and_an_administrator_the_rest() {
    let guarded = Guarded::start();
    let (owner, stranger) = (guarded.token("student-7", "user"), guarded.token("student-8", "user"));
    let admin = guarded.token("desk", "admin");
    let path = format!("/v1/documents/{CART}");
    assert_eq!(guarded.ask("GET", &path, &admin, "").0, 404);

    let mut document = cart();
    let mut phone = guarded.join("phone", &owner).unwrap();
    write(&mut phone, &mut document);

    assert_eq!(guarded.ask("GET", &path, &owner, "").0, 200);
    assert_eq!(guarded.ask("GET", &path, &stranger, "").0, 404, "that it is there is nobody's business");
    assert_eq!(guarded.ask("GET", &format!("{path}/access"), &stranger, "").0, 404);
    assert_eq!(guarded.ask("GET", "/v1/changes", &owner, "").0, 403);
    assert_eq!(guarded.ask("GET", "/v1/status", &owner, "").0, 403);
    assert_eq!(guarded.ask("GET", "/v1/status", &admin, "").0, 200);
    let (_, metrics) = guarded.ask("GET", "/metrics", &admin, "");
    assert!(metrics.contains("# TYPE relay_changes_stored_total counter"), "{metrics}");

    let (status, history) = guarded.ask("GET", &format!("{path}/history"), &owner, "");
    assert!(status == 200 && history.contains(&document.heads()[0].to_string()), "{history}");
    let (_, changes) = guarded.ask("GET", "/v1/changes", &guarded.token("backup", "reader"), "");
    assert!(changes.contains(&CART.to_string()), "{changes}");
    let secret = guarded.folder.path().join("secret");
    let elsewhere = token(&secret, &["backup", "--role", "admin", "--tenant", "elsewhere"]);
    let (_, changes) = guarded.ask("GET", "/v1/changes", &elsewhere, "");
    assert!(changes.contains("\"changes\":[]"), "another tenant's documents are not there: {changes}");
    assert_eq!(guarded.ask("GET", &path, &elsewhere, "").0, 404);
}

#[test]
fn access_is_granted_and_revoked_while_people_are_connected() {
    let guarded = Guarded::start();
    let (owner, friend) = (guarded.token("student-7", "user"), guarded.token("tutor-1", "user"));
    let path = format!("/v1/documents/{CART}");
    let mut phone = guarded.join("phone", &owner).unwrap();
    write(&mut phone, &mut cart());

    let grant = format!("{path}/access/tutor-1");
    assert_eq!(guarded.ask("PUT", &grant, &friend, r#"{"right": "write"}"#).0, 404);
    let (status, access) = guarded.ask("PUT", &grant, &owner, r#"{"right": "write"}"#);
    assert!(status == 200 && access.contains("\"tutor-1\":\"write\""), "{access}");
    assert_eq!(guarded.ask("GET", &path, &friend, "").0, 200);
    assert_eq!(
        guarded.ask("GET", &format!("{path}/access"), &friend, "").0,
        403,
        "who writes does not administer"
    );
    assert_eq!(guarded.ask("PUT", &grant, &owner, r#"{"right": "own"}"#).0, 400);
    assert_eq!(
        guarded.ask("PUT", "/v1/documents/..%2f..%2fetc/access/a", &owner, r#"{"right": "read"}"#).0,
        400
    );

    let (status, access) = guarded.ask("DELETE", &grant, &owner, "");
    assert!(status == 200 && !access.contains("tutor-1"), "{access}");
    assert_eq!(guarded.ask("GET", &path, &friend, "").0, 404);

    assert_eq!(guarded.ask("DELETE", &path, &owner, "").0, 204);
    assert_eq!(guarded.ask("GET", &path, &owner, "").0, 404);
    assert_eq!(guarded.ask("GET", &path, &guarded.token("desk", "admin"), "").0, 410);
}

#[test]
fn a_revoked_subject_is_asked_out_at_once() {
    let guarded = Guarded::start();
    let token = guarded.token("student-7", "user");
    let mut phone = guarded.join("phone", &token).unwrap();
    let mut laptop = guarded.join("laptop", &guarded.token("student-8", "user")).unwrap();
    fs::write(guarded.folder.path().join("revoked"), "sub student-7\n").unwrap();
    let began = Instant::now();
    let farewell = phone.receive().unwrap();
    let Ok(Frame::Denied { denial, .. }) = Frame::decode(&farewell) else { panic!("{farewell:02x?}") };
    assert!(denial.reason.contains("revoked"), "{denial:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(guarded.join("phone", &token).is_err());
    let ping = Frame::Ping { route: laptop.route(), count: 1 }.encode();
    laptop.send_bytes(ping).unwrap();
    let answer = laptop.receive().unwrap();
    assert!(matches!(Frame::decode(&answer), Ok(Frame::Pong { count: 1, .. })), "others go on");
}

#[test]
fn a_connection_outlives_its_first_token_when_it_brings_another() {
    let guarded = Guarded::start();
    let secret = guarded.folder.path().join("secret");
    let join = |token: &str| {
        let path = format!("/sync?token={token}");
        Client::join_as(guarded.relay.address(), &path, "phone", Capabilities::all()).unwrap()
    };
    let lasts = |client: &mut Client| match Frame::decode(&client.receive().unwrap()) {
        Ok(Frame::Permitted { expires_after, .. }) => expires_after,
        other => panic!("{other:?}"),
    };
    let renew = |client: &mut Client, token: &str| {
        let frame = Frame::Renew { route: client.route(), token }.encode();
        client.send_bytes(frame).unwrap();
    };
    let mut phone = join(&token(&secret, &["student-7", "--valid-for", "6s"]));
    // Clocks that differ a little are allowed for.
    assert!(lasts(&mut phone) < Duration::from_mins(5));
    renew(&mut phone, &guarded.token("student-7", "user"));
    assert!(lasts(&mut phone) > Duration::from_mins(30));
    let ping = Frame::Ping { route: phone.route(), count: 1 }.encode();
    phone.send_bytes(ping).unwrap();
    let answer = phone.receive().unwrap();
    assert!(matches!(Frame::decode(&answer), Ok(Frame::Pong { count: 1, .. })), "{answer:02x?}");

    let mut tampered = guarded.token("student-7", "user");
    tampered.replace_range(tampered.len() - 6..tampered.len() - 1, "AAAAA");
    for (bad, code) in
        [(guarded.token("student-8", "user"), DenialCode::Forbidden), (tampered, DenialCode::Unauthenticated)]
    {
        let mut phone = join(&guarded.token("student-7", "user"));
        lasts(&mut phone);
        renew(&mut phone, &bad);
        let farewell = phone.receive().unwrap();
        let Ok(Frame::Denied { denial, .. }) = Frame::decode(&farewell) else { panic!("{farewell:02x?}") };
        assert_eq!((denial.document, denial.code), (None, code), "{}", denial.reason);
        assert!(phone.receive().is_err(), "and the connection ends");
    }
}

#[test]
fn a_new_secret_is_used_once_it_is_there_and_a_broken_one_is_not() {
    let guarded = Guarded::start();
    let old = guarded.token("student-7", "user");
    let file = guarded.folder.path().join("secret");
    fs::write(&file, "short").unwrap();
    sleep(Duration::from_secs(3));
    assert!(guarded.join("phone", &old).is_ok(), "what can't be used changes nothing");
    fs::write(&file, "another thirty-two bytes that nobody guesses").unwrap();
    let new = guarded.token("student-7", "user");
    let began = Instant::now();
    while guarded.join("laptop", &new).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "the new secret is never used");
        sleep(Duration::from_millis(100));
    }
    assert!(guarded.join("phone", &old).is_err());
}

#[test]
fn configurations_are_checked_without_serving() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let check = |flags: &[&str]| {
        let output = run_to_end(&[&["config", "check"], flags].concat());
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), text)
    };
    let (is_good, text) = check(&[]);
    assert!(is_good && text.contains("everyone, unasked") && text.contains("127.0.0.1:3030"), "{text}");
    let flags = ["--token-secret", secret.to_str().unwrap()];
    let (is_good, text) = check(&flags);
    assert!(!is_good && text.contains("can't be read"), "{text}");
    fs::write(&secret, "short").unwrap();
    let (is_good, text) = check(&flags);
    assert!(!is_good && text.contains("openssl rand"), "{text}");
    fs::write(&secret, "thirty-two bytes that nobody guesses").unwrap();
    let (is_good, text) = check(&flags);
    assert!(is_good && text.contains("who bears a token"), "{text}");
}

#[test]
fn pages_of_strangers_do_not_reach_an_open_relay() {
    let relay = RelayProcess::start_with(&["--in-memory", "--log", "error"]);
    let from = |origin: &str| relay.ask("GET", "/v1/changes", &[&format!("origin: {origin}")], "");
    assert!(from("http://localhost:5173").starts_with("HTTP/1.1 200"));
    let refusal = from("https://elsewhere.example");
    assert!(refusal.starts_with("HTTP/1.1 403") && refusal.contains("--allow-origin"), "{refusal}");
}
