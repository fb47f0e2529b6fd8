//! Saved documents of format version 1 read as they always did, and what is written today is written the same way.
//!
//! `tests/golden/{name}-v1.automerge` is the document, `{name}-v1.json` what people see of it. They are never replaced: a
//! new format version gets files of its own. `PANNIER_BLESS=1` writes today's, for a story that changes on purpose.

use std::fs;
use std::path::PathBuf;

use crdt_core::authority::{AuthorityKey, Role, TrustSet};
use crdt_core::document::{Change, Document};
use crdt_core::enrollment::{
    Enrollments, LegacyRow, LegacyTable, Nonce, PaymentId, PaymentState, Policy, RevokeReason, RowId,
};
use crdt_core::id::{ActorId, CourseId, LessonId, StudentId};
use crdt_core::profile::{Field, FieldValue, Profile, Strategy};
use crdt_core::progress::{Percent, Position, Progress};
use crdt_core::time::Timestamp;
use serde_json::Value;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn key(n: u8) -> AuthorityKey {
    AuthorityKey::from_seed([n; 32])
}

fn trust() -> TrustSet {
    let mut trust = TrustSet::default();
    for (n, role) in [(1, Role::Admin), (2, Role::Provider), (3, Role::System)] {
        trust.trust(key(n).public(), role);
    }
    trust
}

fn actor(n: u8) -> ActorId {
    ActorId::from_bytes([n; 16])
}

fn student() -> StudentId {
    StudentId::new("student-7").unwrap()
}

fn course(name: &str) -> CourseId {
    CourseId::new(name).unwrap()
}

fn nonce(text: &str) -> Nonce {
    Nonce::new(text).unwrap()
}

/// Compares a document and its view with the golden ones: `written` today, and `read` from golden bytes.
fn check(name: &str, written: &Document, read: impl Fn(Document) -> Value) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let (saved, shown) =
        (folder.join(format!("{name}-v1.automerge")), folder.join(format!("{name}-v1.json")));
    if std::env::var_os("PANNIER_BLESS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&saved, written.save()).unwrap();
        let view = read(Document::load(&written.save(), actor(9)).unwrap());
        fs::write(&shown, serde_json::to_string_pretty(&view).unwrap() + "\n").unwrap();
    }
    let golden = Document::load(&fs::read(&saved).unwrap(), actor(9)).unwrap();
    assert_eq!(golden.heads(), written.heads(), "what is written has changed");
    let expected: Value = serde_json::from_str(&fs::read_to_string(&shown).unwrap()).unwrap();
    assert_eq!(read(golden), expected, "what is read has changed");
}

#[test]
fn enrollments_of_version_1() {
    let policy = || Policy { trust: trust(), open_courses: [course("open")].into() };
    let mut phone = Enrollments::create(actor(1), student(), policy());
    let mut laptop = Enrollments::create(actor(2), student(), policy());
    let rust = course("rust/101 – basics");
    phone.request(&rust, NOW).unwrap();
    laptop.document_mut().merge(phone.document_mut()).unwrap();
    phone.approve(&rust, &nonce("retry.1"), &key(1), NOW).unwrap();
    laptop.cancel(&rust, NOW).unwrap();
    let paid = PaymentId::new("pi_1.2").unwrap();
    phone.pay(&course("paid"), &paid, NOW).unwrap();
    phone.payment(&course("paid"), &paid, PaymentState::Completed, &key(2), NOW).unwrap();
    phone.complete(&course("paid"), &key(3), NOW).unwrap();
    phone.enter(&course("open"), NOW).unwrap();
    phone.withdraw(&course("open"), NOW).unwrap();
    phone.grant(&course("granted"), Some(NOW), &nonce("g"), &key(1), NOW).unwrap();
    phone.grant_default(&course("default"), None, &key(3), NOW).unwrap();
    phone.revoke(&course("default"), RevokeReason::Unenroll, &nonce("r"), &key(1), NOW).unwrap();
    let row = LegacyRow {
        table: LegacyTable::Enrollments,
        row: RowId::new("42").unwrap(),
        status: Some("EN-ROLLED".into()),
        updated: NOW,
    };
    let (_, place, text) = row.to_fact(&student(), &course("legacy"), &key(3)).unwrap();
    let row = Change::derived(ActorId::derive(&["row", &place]), &[(&place, &text)]);
    phone.document_mut().write_derived(row).unwrap();
    phone.document_mut().merge(laptop.document_mut()).unwrap();
    check("enrollment", phone.document(), |document| {
        let mut read = Enrollments::open(document, student(), policy()).unwrap();
        assert!(read.inert(NOW).is_empty(), "{:?}", read.inert(NOW));
        serde_json::to_value(read.view(NOW)).unwrap()
    });
}

#[test]
fn progress_of_version_1() {
    let mut phone = Progress::create(actor(1));
    let mut laptop = Progress::create(actor(2));
    let lesson = |name| LessonId::new(name).unwrap();
    phone.complete(&course("rust/101"), &lesson("l1"), NOW);
    phone.reach(&course("rust/101"), &lesson("l/2"), Position::new(90), NOW);
    laptop.reach(&course("rust/101"), &lesson("l/2"), Position::new(50), NOW);
    laptop.raise_floor(&course("legacy"), Percent::new(40).unwrap(), NOW);
    phone.document_mut().merge(laptop.document_mut()).unwrap();
    check("progress", phone.document(), |document| {
        serde_json::to_value(Progress::open(document).unwrap().view()).unwrap()
    });
}

#[test]
fn profiles_of_version_1() {
    let mut phone = Profile::create(actor(1), student(), trust());
    let mut laptop = Profile::create(actor(2), student(), trust());
    let field = |name| Field::new(name).unwrap();
    let text = |text| FieldValue::text(text).unwrap();
    phone.set(&field("display name"), &text("Robin"), NOW).unwrap();
    laptop.set_as_server(&field("display name"), &text("R."), &key(3), NOW).unwrap();
    let settings =
        FieldValue::new(serde_json::json!({"dark": true, "size": 12, "tags": ["a", null]})).unwrap();
    phone.set(&field("settings/ui"), &settings, NOW).unwrap();
    phone.document_mut().merge(laptop.document_mut()).unwrap();
    check("profile", phone.document(), |document| {
        let mut read = Profile::open(document, student(), trust()).unwrap();
        read.set_default_strategy(Strategy::PromptUser);
        serde_json::to_value(read.view()).unwrap()
    });
}
