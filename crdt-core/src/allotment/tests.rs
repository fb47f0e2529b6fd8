use super::*;
use crate::authority::{AuthorityKey, Role};
use crate::id::ActorId;
use crate::inert::InertReason;

fn shop() -> AuthorityKey {
    AuthorityKey::from_seed([7; 32])
}

fn pool() -> PoolId {
    PoolId::new("rust-101/seats").unwrap()
}

fn device(n: u8) -> Allotment {
    let mut trust = TrustSet::default();
    trust.trust(shop().public(), Role::System);
    Allotment::create(ActorId::from_bytes([n; 16]), pool(), trust)
}

fn spender(n: u8) -> Spender {
    Spender::keyed(AuthorityKey::from_seed([n; 32]))
}

fn units(n: u32) -> Units {
    Units::new(n).unwrap()
}

fn order(name: &str) -> ReservationId {
    ReservationId::new(name).unwrap()
}

fn mint(at: &mut Allotment, id: &str, to: &HolderId, n: u32) {
    at.mint(&shop(), MintId::new(id).unwrap(), to.clone(), units(n)).unwrap();
}

fn sync(one: &mut Allotment, other: &mut Allotment) {
    one.document_mut().merge(other.document_mut()).unwrap();
    other.document_mut().merge(one.document_mut()).unwrap();
    one.refresh();
    other.refresh();
    assert_eq!(one.view(), other.view());
    let again = Allotment::open(one.document(), pool(), one.state.judge.trust.clone()).unwrap();
    assert_eq!(again.view(), one.view(), "from scratch");
}

fn forge(at: &mut Allotment, key: &str, text: &str) {
    let mut edit = at.document_mut().edit();
    edit.put(key, text);
    edit.commit();
    at.refresh();
}

#[test]
fn what_is_done_twice_is_done_once() {
    let mut phone = device(1);
    let me = spender(1);
    mint(&mut phone, "opening", me.holder(), 5);
    let again = phone.mint(&shop(), MintId::new("opening").unwrap(), me.holder().clone(), units(5)).unwrap();
    assert_eq!(again.committed, None);
    let taken = phone.mint(&shop(), MintId::new("opening").unwrap(), me.holder().clone(), units(6));
    assert!(matches!(taken, Err(AllotmentError::MintTaken { .. })));
    assert!(phone.reserve(&me, order("a"), units(2)).unwrap().committed.is_some());
    assert_eq!(phone.reserve(&me, order("a"), units(2)).unwrap().committed, None);
    let taken = phone.reserve(&me, order("a"), units(3));
    assert!(matches!(taken, Err(AllotmentError::ReservationTaken { .. })));
    assert!(phone.release(&me, order("a")).unwrap().committed.is_some());
    assert_eq!(phone.release(&me, order("a")).unwrap().committed, None);
    assert!(matches!(phone.reserve(&me, order("a"), units(2)), Err(AllotmentError::Released { .. })));
    assert!(matches!(phone.release(&me, order("b")), Err(AllotmentError::NoReservation { .. })));
    assert_eq!((phone.view().minted().get(), phone.view().used().get()), (5, 0));
}

#[test]
fn only_whom_the_application_trusts_says_how_many_there_are() {
    let mut phone = device(1);
    let stranger = AuthorityKey::from_seed([9; 32]);
    let refused = phone.mint(&stranger, MintId::new("m").unwrap(), spender(1).holder().clone(), units(5));
    assert_eq!(refused, Err(AllotmentError::NotTrusted { by: stranger.public() }));
    let gift = phone.give(&Spender::authority(stranger.clone()), spender(1).holder(), units(1));
    assert!(matches!(gift, Err(AllotmentError::NotTrusted { .. })));
    // Written past the checks, it counts for nothing.
    let place = Place::Mint(MintId::new("m").unwrap()).to_string();
    let body = serde_json::json!({"n": 5, "to": "till"});
    let forged = stranger.sign(&phone.state.judge.statement(&place), &body);
    forge(&mut phone, &place, &forged);
    assert_eq!(phone.view().minted(), UnitsTotal::ZERO);
    assert_eq!(phone.inert().facts()[0].reason, InertReason::NotTrusted { by: stranger.public() });
    // Until the application trusts the stranger.
    let mut trust = TrustSet::default();
    trust.trust(stranger.public(), Role::Admin);
    let changed = phone.set_trust(trust.clone());
    assert_eq!((changed.len(), phone.view().minted().get()), (1, 5));
    trust.trust(stranger.public(), Role::Instructor);
    assert_eq!(phone.set_trust(trust).len(), 1);
    assert_eq!(phone.view().minted(), UnitsTotal::ZERO);
}

#[test]
fn nobody_spends_what_a_key_holds_but_the_key() {
    let mut phone = device(1);
    let me = spender(1);
    mint(&mut phone, "opening", me.holder(), 2);
    let holder = me.holder().segment();
    let theft = AuthorityKey::from_seed([2; 32]);
    for (key, body) in [
        (format!("u/{holder}/stolen"), serde_json::json!({"at": 1, "n": 1})),
        (format!("t/{holder}/9.02"), serde_json::json!({"at": 9, "n": 1, "to": "thief"})),
        (format!("w/{holder}/spam"), serde_json::json!({"at": 1, "n": 1})),
    ] {
        forge(&mut phone, &key, &body.to_string());
        assert_eq!(phone.inert().facts()[0].reason, InertReason::NotSigned);
        let signed = theft.sign(&phone.state.judge.statement(&key), &body);
        forge(&mut phone, &key, &signed);
        assert_eq!(phone.inert().facts()[0].reason, InertReason::Misplaced { by: theft.public() });
        let mut edit = phone.document_mut().edit();
        edit.delete(&key);
        edit.commit();
    }
    phone.refresh();
    assert_eq!(phone.view().rights(me.holder()).get(), 2);
    assert!(phone.inert().is_empty());
}

#[test]
fn a_closed_lease_keeps_what_the_authority_saw_and_voids_the_rest() {
    let (mut laptop, mut phone) = (device(1), device(2));
    let lease = Spender::leasing(AuthorityKey::from_seed([2; 32]));
    mint(&mut laptop, "opening", lease.holder(), 5);
    sync(&mut laptop, &mut phone);
    phone.reserve(&lease, order("seen"), units(2)).unwrap();
    sync(&mut laptop, &mut phone);
    phone.reserve(&lease, order("late"), units(1)).unwrap();
    phone.give(&lease, &HolderId::authority(), units(1)).unwrap();
    assert!(matches!(phone.release(&lease, order("seen")), Err(AllotmentError::Lease { .. })));
    let closed = laptop.close_lease(&shop(), lease.holder()).unwrap();
    assert_eq!(closed.id.get(), 3);
    laptop.give(&Spender::authority(shop()), spender(3).holder(), units(3)).unwrap();
    sync(&mut laptop, &mut phone);
    let view = phone.view().holder(lease.holder()).unwrap();
    assert!(view.closed && view.rights == UnitsTotal::ZERO);
    assert_eq!(view.uses, [(order("seen"), units(2))].into());
    assert_eq!(view.voids, [(order("late"), units(1))].into());
    assert_eq!(phone.view().rights(&HolderId::authority()), UnitsTotal::ZERO);
    assert_eq!(phone.view().rights(spender(3).holder()).get(), 3);
    for (name, n) in [("late", 1), ("new", 1)] {
        let refused = phone.reserve(&lease, order(name), units(n));
        assert_eq!(refused, Err(AllotmentError::LeaseClosed { lease: lease.holder().clone() }));
    }
    // The authority gives up a kept use: the right is its own again.
    laptop.cancel(&shop(), lease.holder(), order("seen")).unwrap();
    sync(&mut laptop, &mut phone);
    assert_eq!(phone.view().rights(&HolderId::authority()).get(), 2);
    assert_eq!(phone.view().used(), UnitsTotal::ZERO);
}

#[test]
fn two_closes_keep_what_either_kept() {
    let (mut laptop, mut tablet, mut phone) = (device(1), device(2), device(3));
    let lease = Spender::leasing(AuthorityKey::from_seed([3; 32]));
    mint(&mut laptop, "opening", lease.holder(), 3);
    sync(&mut laptop, &mut phone);
    phone.reserve(&lease, order("a"), units(1)).unwrap();
    sync(&mut laptop, &mut phone);
    phone.reserve(&lease, order("b"), units(1)).unwrap();
    sync(&mut phone, &mut tablet);
    laptop.close_lease(&shop(), lease.holder()).unwrap();
    tablet.close_lease(&shop(), lease.holder()).unwrap();
    sync(&mut laptop, &mut tablet);
    assert_eq!(laptop.view().used().get(), 2);
    assert_eq!(laptop.view().rights(&HolderId::authority()).get(), 1);
    assert!(matches!(laptop.close_lease(&shop(), lease.holder()), Err(AllotmentError::LeaseClosed { .. })));
    assert!(matches!(laptop.close_lease(&shop(), spender(1).holder()), Err(AllotmentError::NotLease { .. })));
}

#[test]
fn a_restored_backup_spends_nothing_twice() {
    let (mut laptop, mut phone, mut backup) = (device(1), device(2), device(3));
    let me = spender(2);
    mint(&mut laptop, "opening", me.holder(), 2);
    sync(&mut laptop, &mut phone);
    sync(&mut laptop, &mut backup);
    phone.reserve(&me, order("first"), units(1)).unwrap();
    phone.reserve(&me, order("second"), units(1)).unwrap();
    backup.reserve(&me, order("again"), units(1)).unwrap();
    sync(&mut phone, &mut backup);
    let view = phone.view().holder(me.holder()).unwrap();
    assert_eq!(view.used().get(), 2);
    assert_eq!(view.struck, [(order("second"), units(1))].into(), "the newest goes");
    let told = phone.reserve(&me, order("second"), units(1));
    assert!(matches!(told, Err(AllotmentError::Struck { .. })));
    // More rights bring it back.
    mint(&mut laptop, "more", me.holder(), 1);
    sync(&mut laptop, &mut phone);
    assert_eq!(phone.view().used().get(), 3);
}

#[test]
fn a_gift_twice_given_is_struck_after_the_givers_own_uses() {
    let (mut laptop, mut phone, mut backup) = (device(1), device(2), device(3));
    let (me, one, other) = (spender(2), spender(4), spender(5));
    mint(&mut laptop, "opening", me.holder(), 2);
    sync(&mut laptop, &mut phone);
    sync(&mut laptop, &mut backup);
    phone.give(&me, one.holder(), units(2)).unwrap();
    phone.reserve(&one, order("ones"), units(2)).unwrap();
    backup.reserve(&me, order("own"), units(1)).unwrap();
    sync(&mut phone, &mut laptop);
    backup.give(&me, other.holder(), units(1)).unwrap();
    backup.reserve(&other, order("others"), units(1)).unwrap();
    sync(&mut phone, &mut backup);
    let view = phone.view();
    assert_eq!(view.used().get(), 2);
    assert_eq!(view.holder(me.holder()).unwrap().struck, [(order("own"), units(1))].into());
    assert_eq!(view.holder(me.holder()).unwrap().struck_gifts.len(), 1);
    assert_eq!(view.reserved_by(&order("ones")).count(), 1);
    assert_eq!(view.holder(other.holder()).unwrap().struck.len(), 1);
}

#[test]
fn wants_are_queued_once_and_answered_oldest_first() {
    let mut phone = device(1);
    let (me, one, other) = (spender(1), spender(2), spender(3));
    for (by, name, n) in [(&one, "first", 2), (&other, "second", 4), (&one, "third", 1)] {
        let refused = phone.reserve(by, order(name), units(n));
        assert!(matches!(refused, Err(AllotmentError::Exhausted { .. })));
    }
    let heads = phone.document().heads();
    phone.reserve(&one, order("first"), units(2)).unwrap_err();
    assert_eq!(phone.document().heads(), heads);
    let queue: Vec<_> = phone.view().queue().iter().map(|want| want.reservation.to_string()).collect();
    assert_eq!(queue, ["first", "second", "third"]);
    mint(&mut phone, "m", me.holder(), 4);
    phone.answer_wants(&me).unwrap();
    assert_eq!(phone.view().rights(one.holder()).get(), 3, "the small want behind the large one");
    assert!(phone.answer_wants(&me).unwrap().is_empty(), "rights that wait to be spent answer wants");
    phone.reserve(&one, order("first"), units(2)).unwrap();
    phone.withdraw(&other, order("second"));
    let queue: Vec<_> = phone.view().queue().iter().map(|want| want.reservation.to_string()).collect();
    assert_eq!(queue, ["third"]);
}

#[test]
fn absurd_facts_count_for_nothing_and_are_told() {
    let mut phone = device(1);
    mint(&mut phone, "opening", &HolderId::new("till").unwrap(), 1);
    let before = phone.view().clone();
    for (key, text, code) in [
        ("u/till/r", r#"{"at":1,"n":0}"#, "outOfBounds"),
        ("u/till/r", r#"{"at":1,"n":-1}"#, "outOfBounds"),
        ("u/till/r", r#"{"at":1,"n":1000001}"#, "outOfBounds"),
        ("u/till/r", r#"{"at":99999999999,"n":1}"#, "outOfBounds"),
        ("u/till/r", r#"{"at":1,"n":1.5}"#, "unreadable"),
        ("u/till/r", "nonsense", "unreadable"),
        ("u/till", r#"{"at":1,"n":1}"#, "unknownKey"),
        ("u/lease:lease:x/r", r#"{"at":1,"n":1}"#, "unknownKey"),
        ("t/till/1.01", r#"{"at":1,"n":1,"to":"till"}"#, "notAllowed"),
        ("t/lease:till/1.01", r#"{"at":1,"n":1,"to":"till"}"#, "notAllowed"),
        ("v/lease:till/r", "{}", "notAllowed"),
        ("k/till/1.01", r#"{"keep":{}}"#, "notAllowed"),
        ("k/lease:till/1.01", r#"{"keep":{}}"#, "notSigned"),
        ("m/mine", r#"{"n":5,"to":"till"}"#, "notSigned"),
        ("t/authority/1.01", r#"{"at":1,"n":1,"to":"till"}"#, "notSigned"),
        ("z/newer", "{}", "unknownKey"),
    ] {
        forge(&mut phone, key, text);
        assert_eq!(phone.view(), &before, "{key} {text}");
        let inert = phone.inert();
        assert_eq!((&*inert.facts()[0].key, inert.facts()[0].reason.code()), (key, code), "{text}");
        let mut edit = phone.document_mut().edit();
        edit.delete(key);
        edit.commit();
    }
    forge(&mut phone, &"u/".repeat(2000), "{}");
    assert_eq!(phone.inert().facts()[0].reason.code(), "keyTooLong");
}

#[test]
fn rival_values_combine_by_what_hurts_others_least() {
    let (mut phone, mut tablet) = (device(1), device(2));
    mint(&mut phone, "m", &HolderId::new("till").unwrap(), 9);
    mint(&mut tablet, "m", &HolderId::new("till").unwrap(), 8);
    forge(&mut phone, "u/till/r", r#"{"at":5,"n":2}"#);
    forge(&mut tablet, "u/till/r", r#"{"at":4,"n":3}"#);
    forge(&mut phone, "t/till/9.01", r#"{"at":9,"n":1,"to":"a"}"#);
    forge(&mut tablet, "t/till/9.01", r#"{"at":9,"n":2,"to":"b"}"#);
    sync(&mut phone, &mut tablet);
    let view = phone.view();
    assert_eq!((view.minted().get(), view.used().get()), (8, 3));
    assert_eq!(view.rights(&HolderId::new("till").unwrap()).get(), 3);
    assert_eq!(view.rights(&HolderId::new("b").unwrap()).get(), 2);
}

#[test]
fn facts_that_a_vandal_removes_are_missed_and_mended() {
    let (mut laptop, mut phone) = (device(1), device(2));
    let me = spender(2);
    mint(&mut laptop, "opening", me.holder(), 2);
    sync(&mut laptop, &mut phone);
    phone.reserve(&me, order("a"), units(2)).unwrap();
    sync(&mut laptop, &mut phone);
    let whole = laptop.view().clone();
    assert!(laptop.lost_facts().is_empty() && laptop.heal().is_empty());
    let used = format!("u/{}/a", me.holder().segment());
    let mut edit = laptop.document_mut().edit();
    edit.delete(&used);
    edit.put("m/opening", r#"{"n":9,"to":"vandal"}"#);
    edit.commit();
    laptop.refresh();
    assert_eq!(laptop.view().minted(), UnitsTotal::ZERO);
    assert_eq!(laptop.lost_facts(), ["m/opening".to_owned(), used]);
    assert_eq!(laptop.heal().len(), 2);
    assert_eq!(laptop.view(), &whole);
    sync(&mut laptop, &mut phone);
    // The holder itself can't take back what it spent by writing it smaller.
    let key = format!("u/{}/a", me.holder().segment());
    let smaller = phone.text_for_test(&me, &key, &serde_json::json!({"at": 9, "n": 1}));
    forge(&mut phone, &key, &smaller);
    assert_eq!(phone.view().used().get(), 1);
    assert_eq!(phone.heal().len(), 1);
    assert_eq!(phone.view(), &whole);
}

#[test]
fn suspended_and_resumed_it_has_missed_nothing() {
    let (mut laptop, phone) = (device(1), device(2));
    mint(&mut laptop, "opening", spender(2).holder(), 2);
    let (mut document, state) = phone.suspend();
    document.merge(laptop.document_mut()).unwrap();
    let mut phone = Allotment::resume(&mut document, state);
    assert_eq!(phone.view(), laptop.view());
    phone.reserve(&spender(2), order("a"), units(1)).unwrap();
    let (document, _) = phone.suspend();
    let reopened = Document::load(&document.save(), ActorId::from_bytes([3; 16])).unwrap();
    let reopened = Allotment::open(reopened, pool(), laptop.state.judge.trust.clone()).unwrap();
    assert_eq!(reopened.view().used().get(), 1);
}

impl Allotment {
    fn text_for_test(&self, by: &Spender, key: &str, body: &serde_json::Value) -> String {
        by.key().expect("keyed").sign(&self.state.judge.statement(key), body)
    }
}

#[test]
fn what_others_did_is_told_once() {
    let (mut laptop, mut phone) = (device(1), device(2));
    let me = spender(2);
    mint(&mut laptop, "opening", me.holder(), 1);
    assert_eq!(laptop.refresh(), [], "whoever did it knows");
    let told =
        HolderChange { holder: me.holder().clone(), before: UnitsTotal::ZERO, after: UnitsTotal::new(1) };
    assert_eq!(phone.merge(&mut laptop).unwrap(), [told]);
    assert_eq!(phone.refresh(), []);
    assert_eq!(laptop.apply(phone.document().changes_since(&[])).unwrap(), []);
}
