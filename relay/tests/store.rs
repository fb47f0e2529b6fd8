//! `relay store` as an operator meets it: backing up, moving, checking, packing, erasing.

use std::fs;
use std::path::{Path, PathBuf};

use crdt_core::document::Document;
use crdt_core::id::{ActorId, DocumentId};
use pannier_tests::client::Client;
use pannier_tests::device::{Device, Refused};
use pannier_tests::process::{RelayProcess, run_to_end};
use serde_json::Value;
use tempfile::TempDir;

const CART: DocumentId = DocumentId::from_bytes([7; 16]);
const NOTES: DocumentId = DocumentId::from_bytes([8; 16]);

/// Changes of a document that is worth packing.
const MANY: usize = 40;

/// A folder with everything that a relay and its operator need.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "thirty-two bytes that nobody guesses").unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn serve(&self, data: &str) -> RelayProcess {
        let (data, secret) = (self.text(data), self.text("secret"));
        RelayProcess::start_with(&["--data", &data, "--token-secret", &secret, "--log", "error"])
    }

    fn token(&self, flags: &[&str]) -> String {
        let secret = self.text("secret");
        let (code, token, error) = run(&[&["token", "--token-secret", &secret], flags].concat());
        assert_eq!(code, 0, "{error}");
        token.trim().to_owned()
    }

    /// A connection as an ordinary user of a tenant.
    fn join(&self, relay: &RelayProcess, subject: &str, tenant: &str) -> Client {
        let token = self.token(&[subject, "--tenant", tenant]);
        Client::join_at(relay.address(), &format!("/sync?token={token}"), subject).unwrap()
    }

    /// `relay store` with these words, over this data: its exit code, and what it says in JSON.
    fn store(&self, data: &str, words: &[&str]) -> (i32, Value) {
        let data = self.text(data);
        let (code, json, error) = run(&[&["store"], words, &["--data", &data, "--json"]].concat());
        assert!(!json.is_empty(), "{error}");
        (code, serde_json::from_str(&json).unwrap())
    }

    /// A relay with a cart of the shop, notes of the academy under the same id, and something that was erased.
    fn fill(&self, data: &str) -> (RelayProcess, Device) {
        let relay = self.serve(data);
        let mut cart = Device::new("phone", CART);
        let mut client = self.join(&relay, "student-7", "shop");
        for number in 0..MANY {
            cart.put(&format!("n/{number}"), "ring twice");
        }
        cart.bring(&mut client).unwrap();
        let mut other = Device::new("phone", NOTES);
        other.put("n/0", "to be erased");
        other.bring(&mut client).unwrap();
        let mut theirs = Device::new("laptop", CART);
        theirs.put("n/0", "another tenant's");
        theirs.bring(&mut self.join(&relay, "tutor-1", "academy")).unwrap();
        assert_eq!(self.ask(&relay, "DELETE", NOTES, &["student-7", "--tenant", "shop"]), 204);
        (relay, cart)
    }

    fn ask(&self, relay: &RelayProcess, method: &str, document: DocumentId, who: &[&str]) -> u16 {
        let bearer = format!("authorization: Bearer {}", self.token(who));
        let answer = relay.ask(method, &format!("/v1/documents/{document}"), &[&bearer], "");
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

fn run(words: &[&str]) -> (i32, String, String) {
    let output = run_to_end(words);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn heads_in(file: &Path) -> Vec<crdt_core::id::ChangeHash> {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Document::load(&bytes, ActorId::derive(&["auditor"])).unwrap().heads()
}

/// The files of a folder and those below, with what is in them.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_running_relay_is_backed_up_and_the_backup_becomes_another_relay() {
    let desk = Desk::new();
    let (mut relay, mut cart) = desk.fill("data");
    let url = format!("http://{}", relay.address());
    let folder = desk.text("backup");
    let back_up = |who: &[&str]| {
        fs::write(desk.path("token"), desk.token(who)).unwrap();
        let token = desk.text("token");
        let (code, json, error) =
            run(&["store", "export", &folder, "--url", &url, "--token-file", &token, "--json"]);
        assert_eq!(code, 0, "{error}");
        serde_json::from_str::<Value>(&json).unwrap()
    };
    let admin = ["desk", "--role", "admin", "--tenant", "shop"];
    let told = back_up(&admin);
    assert_eq!((&told["documents"], &told["erased"], &told["access"]), (&1.into(), &1.into(), &true.into()));
    let file = desk.path("backup/shop").join(format!("{CART}.automerge"));
    assert_eq!(heads_in(&file), cart.document.heads());

    assert_eq!(back_up(&admin)["documents"], 0, "nothing has changed");
    cart.put("n/late", "later");
    cart.bring(&mut desk.join(&relay, "student-7", "shop")).unwrap();
    assert_eq!(back_up(&admin)["documents"], 1, "only what has changed");
    assert_eq!(heads_in(&file), cart.document.heads());
    let theirs = back_up(&["backup", "--role", "reader", "--tenant", "academy"]);
    assert_eq!((&theirs["documents"], &theirs["access"]), (&1.into(), &false.into()));
    assert!(relay.terminate().success());

    let (code, told) = desk.store("moved", &["import", &folder, "--tenant", "shop"]);
    assert_eq!((code, &told["new"], &told["erased"]), (0, &1.into(), &1.into()), "{told}");
    let (code, refusal, _) = run(&["store", "import", &folder, "--data", &desk.text("moved")]);
    assert_eq!((code, refusal.as_str()), (1, ""), "nobody says who owns the academy's documents");
    let (code, told) = desk.store("moved", &["import", &folder, "--owner", "tutor-1"]);
    assert_eq!((code, &told["new"], &told["unchanged"]), (0, &1.into(), &1.into()), "{told}");
    let (code, told) = desk.store("moved", &["check"]);
    assert_eq!((code, &told["documents"], &told["erased"]), (0, &2.into(), &1.into()), "{told}");

    let moved = desk.serve("moved");
    let mut anew = Device::new("tablet", CART);
    anew.fetch(&mut desk.join(&moved, "student-7", "shop")).unwrap();
    assert_eq!(anew.document.heads(), cart.document.heads(), "it is still theirs");
    assert_eq!(desk.ask(&moved, "GET", CART, &["student-8", "--tenant", "shop"]), 404, "and nobody else's");
    assert_eq!(desk.ask(&moved, "GET", NOTES, &admin), 410, "what was erased stays erased");
}

#[test]
fn an_export_of_the_data_is_that_of_the_running_relay() {
    let desk = Desk::new();
    let (mut relay, _) = desk.fill("data");
    fs::write(desk.path("token"), desk.token(&["desk", "--role", "admin", "--tenant", "shop"])).unwrap();
    let (url, token) = (format!("http://{}", relay.address()), desk.text("token"));
    assert_eq!(run(&["store", "export", &desk.text("a"), "--url", &url, "--token-file", &token]).0, 0);
    let (code, _, error) = run(&["store", "export", &desk.text("b"), "--data", &desk.text("data")]);
    assert_eq!(code, 1);
    assert!(error.contains("process ") && error.contains("--url"), "{error}");
    assert!(relay.terminate().success());

    let (code, told) = desk.store("data", &["export", &desk.text("b")]);
    assert_eq!((code, &told["documents"], &told["erased"]), (0, &2.into(), &1.into()), "{told}");
    let document = format!("shop/{CART}.automerge");
    assert_eq!(
        fs::read(desk.path("a").join(&document)).unwrap(),
        fs::read(desk.path("b").join(&document)).unwrap()
    );
    let again = desk.text("c");
    assert_eq!(desk.store("data", &["export", &again, "--tenant", "academy"]).0, 0);
    assert_eq!(files(&desk.path("c")).len(), 2, "another tenant's documents are not in it");
}

#[test]
fn automerge_repos_own_folders_are_brought_in() {
    let desk = Desk::new();
    let mut phone = Device::new("phone", CART);
    phone.put("n/0", "ring twice");
    let snapshot = phone.document.save();
    let before = phone.document.heads();
    phone.put("n/1", "leave at the door");
    phone.put("n/2", "or with the neighbours");
    let id = CART.to_string();
    let below = desk.path("nodefs").join(&id[..2]).join(&id[2..]);
    fs::create_dir_all(below.join("snapshot")).unwrap();
    fs::create_dir_all(below.join("incremental")).unwrap();
    fs::write(below.join("snapshot/5f"), snapshot).unwrap();
    for change in phone.document.changes_since(&before) {
        fs::write(below.join("incremental").join(change.hash().to_string()), change.bytes()).unwrap();
    }
    fs::create_dir_all(desk.path("nodefs/st")).unwrap();
    fs::write(desk.path("nodefs/st/orage-adapter-id"), "37360df3").unwrap();

    let nodefs = desk.text("nodefs");
    let whose = ["--tenant", "main", "--owner", "student-7"];
    let (code, told) = desk.store("data", &[&["import", &nodefs, "--dry-run"], &whose[..]].concat());
    assert_eq!((code, &told["new"]), (0, &1.into()), "{told}");
    for (new, unchanged) in [(1, 0), (0, 1)] {
        let (code, told) = desk.store("data", &[&["import", &nodefs], &whose[..]].concat());
        assert_eq!((code, &told["new"], &told["unchanged"]), (0, &new.into(), &unchanged.into()), "{told}");
        assert_eq!(told["others"].as_array().unwrap().len(), 1);
    }
    assert_eq!(desk.store("data", &["export", &desk.text("out")]).0, 0);
    assert_eq!(heads_in(&desk.path("out/main").join(format!("{CART}.automerge"))), phone.document.heads());

    fs::write(below.join("incremental/cut"), b"\x85oJ\x83").unwrap();
    let (code, told) = desk.store("data", &[&["import", &nodefs], &whose[..]].concat());
    assert_eq!(code, 3);
    assert!(told["troubles"][0]["why"].as_str().unwrap().contains("no document"), "{told}");
}

#[test]
fn documents_are_packed_and_stay_what_they_are() {
    let desk = Desk::new();
    let (mut relay, cart) = desk.fill("data");
    assert!(relay.terminate().success());
    let (_, stats) = desk.store("data", &["stats", "--largest", "1"]);
    assert_eq!(stats["largest"][0]["changes"], MANY);
    let (code, told) = desk.store("data", &["compact"]);
    assert_eq!((code, &told["packed"]), (0, &1.into()), "{told}");
    assert!(told["bytes_after"].as_u64() < told["bytes_before"].as_u64(), "{told}");
    let (_, stats) = desk.store("data", &["stats", "--tenant", "shop"]);
    assert_eq!((&stats["tenants"][0]["unpacked"], &stats["tenants"][0]["erased"]), (&0.into(), &1.into()));
    assert_eq!(desk.store("data", &["check"]).0, 0);
    let relay = desk.serve("data");
    let mut anew = Device::new("tablet", CART);
    anew.fetch(&mut desk.join(&relay, "student-7", "shop")).unwrap();
    assert_eq!(anew.document.heads(), cart.document.heads());
}

/// Reaches beneath the relay, as a failing disk does.
fn damage(data: &Path, document: DocumentId) {
    let database = sled::open(data.join("sled")).unwrap();
    let mut key = vec![b'c', 4];
    key.extend(b"shop");
    key.extend(document.as_bytes());
    key.extend(3_u64.to_be_bytes());
    let mut record = database.get(&key).unwrap().unwrap().to_vec();
    *record.last_mut().unwrap() ^= 1;
    database.insert(key, record).unwrap();
    database.flush().unwrap();
}

#[test]
fn a_damaged_document_is_named_and_comes_back_from_a_backup() {
    let desk = Desk::new();
    let (mut relay, mut cart) = desk.fill("data");
    let mut intact = Device::new("phone", NOTES);
    intact.put("n/0", "of the academy");
    intact.bring(&mut desk.join(&relay, "tutor-1", "academy")).unwrap();
    assert!(relay.terminate().success());
    assert_eq!(desk.store("data", &["export", &desk.text("backup")]).0, 0);
    damage(&desk.path("data"), CART);

    let (code, told) = desk.store("data", &["check"]);
    assert_eq!(code, 3);
    let [damaged] = &told["damaged"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&damaged["document"], &damaged["tenant"]), (&CART.to_string().into(), &"shop".into()));
    assert!(damaged["fault"].as_str().unwrap().contains("change 3"), "{told}");
    let (_, text, _) = run(&["store", "check", "--data", &desk.text("data")]);
    assert!(text.contains("relay store import BACKUP --tenant shop --revive"), "{text}");

    let relay = desk.serve("data");
    let mut client = desk.join(&relay, "student-7", "shop");
    let refused = Device::new("tablet", CART).fetch(&mut client).unwrap_err();
    assert!(matches!(&refused, Refused::Denied(reason) if reason.contains("damaged")), "{refused:?}");
    assert_eq!(desk.ask(&relay, "GET", CART, &["student-7", "--tenant", "shop"]), 503);
    let ready = relay.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("1 damaged document"), "{ready}");
    let mut other = Device::new("tablet", NOTES);
    other.fetch(&mut desk.join(&relay, "tutor-1", "academy")).unwrap();
    assert_eq!(other.document.heads(), intact.document.heads(), "the others are served");
    drop(relay);

    let id = CART.to_string();
    let (code, text, _) = run(&["store", "erase", "--data", &desk.text("data"), "--tenant", "shop", &id]);
    assert_eq!((code, text.as_str()), (1, ""), "nobody was there to ask");
    assert_eq!(desk.store("data", &["erase", "--tenant", "shop", &id, "--yes"]).0, 0);
    let backup = desk.text("backup");
    let import = ["import", &backup, "--tenant", "shop", &id];
    let (code, told) = desk.store("data", &import);
    assert_eq!((code, &told["new"]), (3, &0.into()), "what was erased does not come back by itself: {told}");
    let (code, told) = desk.store("data", &[&import[..], &["--revive"]].concat());
    assert_eq!((code, &told["new"]), (0, &1.into()), "{told}");
    assert_eq!(desk.store("data", &["check"]).0, 0);
    let relay = desk.serve("data");
    cart.put("n/late", "written meanwhile");
    cart.bring(&mut desk.join(&relay, "student-7", "shop")).unwrap();
}

#[test]
fn what_was_erased_does_not_come_back_from_a_device_that_has_it() {
    let desk = Desk::new();
    let (relay, mut cart) = desk.fill("data");
    let mut client = desk.join(&relay, "student-7", "shop");
    assert_eq!(desk.ask(&relay, "DELETE", CART, &["student-7", "--tenant", "shop"]), 204);
    for again in [false, true] {
        cart.put("n/late", "the device does not know yet");
        let refused = cart.bring(&mut client).unwrap_err();
        assert!(
            matches!(&refused, Refused::Denied(reason) if reason.contains("erased")),
            "{again} {refused:?}"
        );
        client = desk.join(&relay, "student-7", "shop");
    }
    assert_eq!(desk.ask(&relay, "GET", CART, &["desk", "--role", "admin", "--tenant", "shop"]), 410);
    assert_eq!(
        desk.ask(&relay, "GET", CART, &["tutor-1", "--tenant", "academy"]),
        200,
        "another tenant's stays"
    );
}

#[test]
fn folders_without_data_are_not_begun() {
    let desk = Desk::new();
    for verb in ["check", "stats", "compact"] {
        let (code, _, error) = run(&["store", verb, "--data", &desk.text("nowhere")]);
        assert_eq!(code, 1);
        assert!(error.contains("no relay's data") && error.contains("--data"), "{error}");
    }
    assert!(!desk.path("nowhere").exists());
    let (code, help, _) = run(&["store", "--help"]);
    assert_eq!(code, 0);
    for word in ["check", "stats", "export", "import", "compact", "erase", "Exit codes"] {
        assert!(help.contains(word), "{word}:\n{help}");
    }
}
