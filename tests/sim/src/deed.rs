//! Deeds: what people do with their documents, and what they see in them.

use crdt_core::allotment::{Allotment, HolderId, MintId, PoolId, ReservationId, Spender, Units as Seats};
use crdt_core::authority::{AuthorityKey, Role, TrustSet};
use crdt_core::cart::{Cart, CheckoutId, CouponCode, Line, ListName, NoteScope, Quantity, Sku};
use crdt_core::document::Document;
use crdt_core::enrollment::{Enrollments, Nonce, PaymentId, PaymentState, Policy, RevokeReason};
use crdt_core::id::{ActorId, CourseId, LessonId, StudentId};
use crdt_core::kind::Kind;
use crdt_core::profile::{Field, FieldValue, Profile};
use crdt_core::progress::{Position, Progress};
use crdt_core::time::Timestamp;

use crate::chance::Chance;

/// Who does something.
#[derive(Clone, Copy, Debug)]
pub struct Doer<'a> {
    /// The device.
    pub name: &'a str,
    /// Whether it is the application's own back end.
    pub is_authority: bool,
}

/// Does something with a document of this kind. What the kind's rules refuse is not done.
pub fn do_something(
    document: &mut Document,
    kind: Kind,
    doer: Doer<'_>,
    now: Timestamp,
    chance: &mut Chance,
) {
    match kind {
        Kind::Cart => shop(&mut cart(document), doer, chance),
        Kind::Enrollment => enroll(&mut enrollments(document), doer, now, chance),
        Kind::Profile => describe(&mut profile(document), now, chance),
        Kind::Allotment => reserve(&mut allotment(document), doer, chance),
        _ => learn(&mut progress(document), now, chance),
    }
}

/// What people see in a document of this kind.
pub fn view(document: &mut Document, kind: Kind, now: Timestamp) -> String {
    let text = match kind {
        Kind::Cart => serde_json::to_string(cart(document).view()),
        Kind::Enrollment => serde_json::to_string(enrollments(document).view(now)),
        Kind::Profile => serde_json::to_string(profile(document).view()),
        Kind::Allotment => serde_json::to_string(allotment(document).view()),
        _ => serde_json::to_string(progress(document).view()),
    };
    text.expect("views are JSON")
}

fn shop(cart: &mut Cart<&mut Document>, doer: Doer<'_>, chance: &mut Chance) {
    let sku = format!("sku-{}", chance.within(0..=3));
    let line = Line::of(&Sku::new(sku).expect("a short text"));
    let quantity = Quantity::new(few(chance)).expect("a small number");
    let checkout = CheckoutId::new(format!("checkout-{}", chance.within(0..=2))).expect("a short text");
    let coupon = CouponCode::new(format!("SAVE{}", chance.within(0..=2))).expect("a short text");
    let done = match chance.within(0..=if doer.is_authority { 14 } else { 12 }) {
        0..=3 => cart.add(&line, quantity),
        4 => cart.take(&line, quantity),
        5 => cart.set(&line, quantity),
        6 => cart.remove(&line),
        7 => cart.save(&line),
        8 => cart.list(ListName::saved()).move_to(&line, &ListName::cart()),
        9 => cart.coupon(&coupon),
        10 => cart.note(&NoteScope::new("cart").expect("a short text"), &chance.seed().to_string()),
        11 => cart.checkout(&checkout),
        12 => cart.clear(),
        13 => cart.confirm(&checkout, &authority()),
        _ => cart.reject(&checkout, "out of stock", &authority()),
    };
    drop(done);
}

fn enroll(enrollments: &mut Enrollments<&mut Document>, doer: Doer<'_>, now: Timestamp, chance: &mut Chance) {
    let course = course(chance);
    let nonce = Nonce::new(chance.seed().to_string()).expect("a short text");
    let payment = PaymentId::new(format!("payment-{}", chance.within(0..=1))).expect("a short text");
    let key = authority();
    let done = match chance.within(0..=4) {
        0 if doer.is_authority => enrollments.approve(&course, &nonce, &key, now),
        1 if doer.is_authority => enrollments.reject(&course, &nonce, &key, now),
        2 if doer.is_authority => enrollments.grant(&course, None, &nonce, &key, now),
        3 if doer.is_authority => enrollments.revoke(&course, RevokeReason::Unenroll, &nonce, &key, now),
        _ if doer.is_authority => {
            enrollments.payment(&course, &payment, PaymentState::Completed, &provider(), now)
        }
        0..=1 => enrollments.request(&course, now),
        2 => enrollments.cancel(&course, now),
        3 => enrollments.pay(&course, &payment, now),
        _ => enrollments.withdraw(&course, now),
    };
    drop(done);
}

fn describe(profile: &mut Profile<&mut Document>, now: Timestamp, chance: &mut Chance) {
    let field = Field::new(format!("field-{}", chance.within(0..=2))).expect("a short text");
    if chance.percent(10) {
        profile.clear(&field, now);
    } else {
        let value = FieldValue::text(chance.seed().to_string()).expect("a short text");
        drop(profile.set(&field, &value, now));
    }
}

fn learn(progress: &mut Progress<&mut Document>, now: Timestamp, chance: &mut Chance) {
    let course = course(chance);
    let lesson = LessonId::new(format!("lesson-{}", chance.within(0..=5))).expect("a short text");
    if chance.percent(50) {
        progress.complete(&course, &lesson, now);
    } else {
        progress.reach(&course, &lesson, Position::new(few(chance)), now);
    }
}

fn reserve(allotment: &mut Allotment<&mut Document>, doer: Doer<'_>, chance: &mut Chance) {
    let number = chance.within(0..=20);
    let seats = Seats::try_from(i64::from(few(chance))).expect("a small number");
    let spender = Spender::keyed(key_of(doer.name));
    if doer.is_authority {
        let to = HolderId::of_key(key_of(&format!("device-{}", chance.within(0..=4))).public());
        let id = MintId::new(format!("mint-{number}")).expect("a short text");
        drop(allotment.mint(&authority(), id, to, seats));
        return;
    }
    let reservation = ReservationId::new(format!("{}-{number}", doer.name)).expect("a short text");
    match chance.within(0..=3) {
        0..=1 => drop(allotment.reserve(&spender, reservation, seats)),
        2 => drop(allotment.release(&spender, reservation)),
        _ => {
            let to = HolderId::of_key(key_of(&format!("device-{}", chance.within(0..=4))).public());
            drop(allotment.give(&spender, &to, seats));
        }
    }
}

fn cart(document: &mut Document) -> Cart<&mut Document> {
    let mut cart = Cart::open(document).expect("nobody declares a cart to be something else");
    cart.set_trust(trust());
    cart
}

fn enrollments(document: &mut Document) -> Enrollments<&mut Document> {
    let policy = Policy { trust: trust(), open_courses: std::collections::BTreeSet::new() };
    let student = StudentId::new("student").expect("a short text");
    Enrollments::open(document, student, policy).expect("nobody declares enrollments to be something else")
}

fn profile(document: &mut Document) -> Profile<&mut Document> {
    let student = StudentId::new("student").expect("a short text");
    Profile::open(document, student, trust()).expect("nobody declares a profile to be something else")
}

fn allotment(document: &mut Document) -> Allotment<&mut Document> {
    let pool = PoolId::new("seats").expect("a short text");
    Allotment::open(document, pool, trust()).expect("nobody declares an allotment to be something else")
}

fn progress(document: &mut Document) -> Progress<&mut Document> {
    Progress::open(document).expect("nobody declares progress to be something else")
}

fn few(chance: &mut Chance) -> u32 {
    u32::try_from(chance.within(1..=5)).expect("a small number")
}

fn course(chance: &mut Chance) -> CourseId {
    CourseId::new(format!("course-{}", chance.within(0..=2))).expect("a short text")
}

fn trust() -> TrustSet {
    let mut trust = TrustSet::default();
    trust.trust(authority().public(), Role::Owner);
    trust.trust(provider().public(), Role::Provider);
    trust
}

fn authority() -> AuthorityKey {
    key_of("authority")
}

fn provider() -> AuthorityKey {
    key_of("provider")
}

/// The key of whoever is called `name`: everyone can compute it, which is fine in a world like this.
fn key_of(name: &str) -> AuthorityKey {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(ActorId::derive(&["sim-key", name]).as_bytes());
    AuthorityKey::from_seed(seed)
}
