//! Documents that format version 1 saved: they open for ever and show what they showed, and today's code still writes
//! the same changes.
//!
//! Each kind has `golden/{kind}-v1.automerge`, and what people see of it in `golden/{kind}-v1.json`. They are never
//! replaced: a new format version gets files of its own. A story or a view that changes on purpose is written anew with
//! `PANNIER_BLESS=1 cargo test --workspace --test golden`; one that changes by itself is a broken format.

use std::fs;
use std::path::PathBuf;

use crdt_core::allotment::{
    Allotment, AllotmentError, HolderId, MintId, PoolId, ReservationId, Spender, Units,
};
use crdt_core::authority::{AuthorityKey, Role, TrustSet};
use crdt_core::cart::{Cart, CartError, CheckoutId, CouponCode, Line, ListName, NoteScope, Quantity};
use crdt_core::document::{Change, Document};
use crdt_core::enrollment::{
    Enrollments, LegacyRow, LegacyTable, Nonce, PaymentId, PaymentState, Policy, RevokeReason, RowId,
};
use crdt_core::id::{ActorId, CourseId, LessonId, StudentId};
use crdt_core::money::Money;
use crdt_core::profile::{Field, FieldValue, Profile, Strategy};
use crdt_core::progress::{Percent, Position, Progress};
use crdt_core::time::Timestamp;
use serde_json::Value;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

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
fn carts_of_version_1() {
    let phone = cart_story().unwrap();
    check("cart", phone.document(), |document| {
        let mut read = Cart::open(document).unwrap();
        read.set_trust(trust());
        assert!(read.inert().is_empty(), "{:?}", read.inert());
        serde_json::to_value(read.view()).unwrap()
    });
}

/// One of everything that a cart can hold.
fn cart_story() -> Result<Cart, CartError> {
    let (mut phone, mut laptop) = (cart(1), cart(2));
    let price = price(1999);
    phone.add(&line("tea"), some(2).at(price))?;
    laptop.add(&line("tea"), some(3).at(price))?;
    laptop.add(&line("shirt?color=red&size=M"), some(1))?;
    laptop.set(&line("lamp"), some(4))?;
    phone.merge(&mut laptop)?;
    laptop.merge(&mut phone)?;
    phone.set(&line("lamp"), some(5))?;
    laptop.set(&line("lamp"), some(3))?;
    phone.take(&line("tea"), some(1))?;
    laptop.save(&line("tea"))?;
    phone.coupon(&CouponCode::new("save10").unwrap())?;
    phone.note(&NoteScope::new("cart").unwrap(), "leave at the door")?;
    laptop.note(&NoteScope::new("cart").unwrap(), "ring twice")?;
    phone.merge(&mut laptop)?;
    let order = |n: u8| CheckoutId::new(format!("order-{n}")).unwrap();
    phone.checkout(&order(1))?;
    phone.confirm(&order(1), &key(7))?;
    phone.add(&line("lamp"), some(7))?;
    phone.checkout(&order(2))?;
    phone.reject(&order(2), "sold out", &key(7))?;
    let refused = phone.add(&line("gold"), some(100))?.id.unwrap();
    phone.refuse(&refused, "at most ten", &key(7))?;
    let undone = phone.remove(&line("lamp"))?.id.unwrap();
    phone.undo(&undone)?;
    phone.list(ListName::saved()).set(&line("tea"), some(2))?;
    phone.gc()?;
    Ok(phone)
}

fn cart(n: u8) -> Cart {
    let mut cart = Cart::create(actor(n));
    cart.set_trust(trust());
    cart
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
    phone.payment(&course("paid"), &paid, PaymentState::Completed.of(price(4900)), &key(2), NOW).unwrap();
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

#[test]
fn allotments_of_version_1() {
    let laptop = allotment_story().unwrap();
    check("allotment", laptop.document(), |document| {
        let read = Allotment::open(document, pool(), trust()).unwrap();
        assert!(read.inert().is_empty() && read.lost_facts().is_empty(), "{:?}", read.inert());
        serde_json::to_value(read.view()).unwrap()
    });
}

/// One of everything that an allotment can hold: mints, gifts, uses, a release, wants, a closed lease with a use that
/// came too late, and what a restored backup spent twice.
fn allotment_story() -> Result<Allotment, AllotmentError> {
    let shop = key(7);
    let till = Spender::named(HolderId::new("till/3").unwrap()).unwrap();
    let (seller, lessee) = (Spender::keyed(key(8)), Spender::leasing(key(9)));
    let mint = |id: &str| MintId::new(id).unwrap();
    let order = |id: &str| ReservationId::new(id).unwrap();
    let units = |n: u32| Units::new(n).unwrap();
    let device = |n: u8| Allotment::create(actor(n), pool(), trust());
    let (mut laptop, mut phone, mut tablet) = (device(1), device(2), device(3));
    laptop.mint(&shop, mint("opening"), seller.holder().clone(), units(5))?;
    laptop.mint(&shop, mint("lease"), lessee.holder().clone(), units(4))?;
    laptop.mint(&shop, mint("own"), HolderId::authority(), units(2))?;
    laptop.give(&Spender::authority(shop.clone()), till.holder(), units(1))?;
    phone.merge(&mut laptop).unwrap();
    tablet.merge(&mut laptop).unwrap();
    phone.reserve(&seller, order("order-1"), units(2))?;
    phone.reserve(&seller, order("order-2"), units(1))?;
    phone.release(&seller, order("order-2"))?;
    phone.give(&seller, till.holder(), units(1))?;
    tablet.reserve(&lessee, order("seen"), units(1))?;
    laptop.merge(&mut tablet).unwrap();
    tablet.reserve(&lessee, order("late"), units(2))?;
    laptop.close_lease(&shop, lessee.holder())?;
    // The phone is restored from a backup and spends again what it had left.
    let backup = phone.document().save();
    phone.reserve(&seller, order("before"), units(2))?;
    let backup = Document::load(&backup, actor(4)).unwrap();
    let mut restored = Allotment::open(backup, pool(), trust()).unwrap();
    restored.reserve(&seller, order("again"), units(2))?;
    tablet.reserve(&till, order("at the door"), units(1))?;
    assert!(tablet.reserve(&till, order("wanted"), units(3)).is_err());
    for device in [&mut phone, &mut restored, &mut tablet] {
        laptop.merge(device).unwrap();
    }
    Ok(laptop)
}

fn pool() -> PoolId {
    PoolId::new("rust-101/seats").unwrap()
}

fn key(n: u8) -> AuthorityKey {
    AuthorityKey::from_seed([n; 32])
}

fn trust() -> TrustSet {
    let mut trust = TrustSet::default();
    let roles = [(1, Role::Admin), (2, Role::Provider), (3, Role::System), (7, Role::System)];
    for (n, role) in roles {
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

fn line(text: &str) -> Line {
    text.parse().unwrap()
}

fn some(n: u32) -> Quantity {
    Quantity::new(n).unwrap()
}

fn price(minor: i64) -> Money {
    Money::new(minor, "EUR".parse().unwrap()).unwrap()
}
