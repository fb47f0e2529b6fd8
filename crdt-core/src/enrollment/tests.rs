use super::*;
use crate::authority::{AuthorityKey, Role, TrustSet};
use crate::document::Change;
use crate::inert::InertReason;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn key(n: u8) -> AuthorityKey {
    AuthorityKey::from_seed([n; 32])
}

fn admin() -> AuthorityKey {
    key(1)
}

fn other_admin() -> AuthorityKey {
    key(2)
}

fn owner() -> AuthorityKey {
    key(3)
}

fn instructor() -> AuthorityKey {
    key(4)
}

fn system() -> AuthorityKey {
    key(5)
}

fn provider() -> AuthorityKey {
    key(6)
}

fn policy() -> Policy {
    let mut trust = TrustSet::default();
    trust.trust(admin().public(), Role::Admin);
    trust.trust(other_admin().public(), Role::Admin);
    trust.trust(owner().public(), Role::Owner);
    trust.trust(instructor().public(), Role::Instructor);
    trust.trust(system().public(), Role::System);
    trust.trust(provider().public(), Role::Provider);
    Policy { trust, open_courses: [CourseId::new("open").unwrap()].into() }
}

fn device(n: u8) -> Enrollments {
    Enrollments::create(ActorId::from_bytes([n; 16]), StudentId::new("student-7").unwrap(), policy())
}

fn course() -> CourseId {
    CourseId::new("rust-101").unwrap()
}

fn open_course() -> CourseId {
    CourseId::new("open").unwrap()
}

fn nonce(text: &str) -> Nonce {
    Nonce::new(text).unwrap()
}

fn payment(text: &str) -> PaymentId {
    PaymentId::new(text).unwrap()
}

fn sync(one: &mut Enrollments, other: &mut Enrollments) {
    one.document_mut().merge(other.document_mut()).unwrap();
    other.document_mut().merge(one.document_mut()).unwrap();
    assert_eq!(one.view(NOW), other.view(NOW));
}

fn status(device: &mut Enrollments) -> Status {
    device.course(&course(), NOW).status
}

fn flags(device: &mut Enrollments) -> Vec<FlagKind> {
    device.course(&course(), NOW).flags.iter().map(|flag| flag.kind).collect()
}

fn put(device: &mut Enrollments, key: &str, text: &str) {
    let mut edit = device.document_mut().edit();
    edit.put(key, text);
    edit.commit().unwrap();
}

fn delete(device: &mut Enrollments, key: &str) {
    let mut edit = device.document_mut().edit();
    edit.delete(key);
    edit.commit().unwrap();
}

#[test]
fn asking_on_two_devices_is_one_request() {
    let (mut phone, mut laptop) = (device(1), device(2));
    let asked = phone.request(&course(), NOW).unwrap();
    assert_eq!((asked.before, asked.after), (Status::None, Status::Pending));
    assert_eq!(phone.request(&course(), NOW).unwrap().id, None);
    laptop.request(&course(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    let view = phone.course(&course(), NOW);
    assert_eq!((view.status, view.facts, view.epoch), (Status::Pending, 1, Some(Epoch::FIRST)));
}

#[test]
fn equals_who_disagree_deny_until_one_has_seen_both() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.request(&course(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    phone.approve(&course(), &nonce("1"), &admin(), NOW).unwrap();
    laptop.reject(&course(), &nonce("1"), &other_admin(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    assert_eq!(status(&mut phone), Status::Rejected);
    assert_eq!(flags(&mut phone), [FlagKind::DecisionConflict]);

    let retried = laptop.reject(&course(), &nonce("1"), &other_admin(), NOW).unwrap();
    assert_eq!(retried.id, None);
    let reused = laptop.approve(&course(), &nonce("1"), &other_admin(), NOW);
    assert!(matches!(reused, Err(EnrollmentError::NonceTaken { .. })));

    laptop.approve(&course(), &nonce("2"), &other_admin(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    assert_eq!((status(&mut phone), flags(&mut phone)), (Status::Active, vec![]));
}

#[test]
fn rank_decides_whoever_saw_what() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.request(&course(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    phone.approve(&course(), &nonce("1"), &owner(), NOW).unwrap();
    laptop.reject(&course(), &nonce("1"), &admin(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    assert_eq!((status(&mut phone), flags(&mut phone)), (Status::Active, vec![]));
    // An instructor who saw them all overrules nobody above.
    phone.reject(&course(), &nonce("1"), &instructor(), NOW).unwrap();
    assert_eq!(status(&mut phone), Status::Active);
}

#[test]
fn a_cancelled_request_stays_cancelled_and_can_be_made_again() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.request(&course(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    phone.cancel(&course(), NOW).unwrap();
    laptop.approve(&course(), &nonce("1"), &admin(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    assert_eq!(
        (status(&mut phone), flags(&mut phone)),
        (Status::Cancelled, vec![FlagKind::ApprovedAfterCancel])
    );

    phone.request(&course(), NOW).unwrap();
    laptop.request(&course(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    let view = phone.course(&course(), NOW);
    assert_eq!((view.status, view.epoch.unwrap().number()), (Status::Pending, 2));
    // The approval of the first request is retried, and does not decide on the second.
    assert_eq!(laptop.approve(&course(), &nonce("1"), &admin(), NOW).unwrap().id, None);
    assert_eq!(status(&mut laptop), Status::Pending);
}

#[test]
fn money_taken_never_locks_anyone_out() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.request(&course(), NOW).unwrap();
    phone.pay(&course(), &payment("p1"), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    phone.cancel(&course(), NOW).unwrap();
    laptop.payment(&course(), &payment("p1"), PaymentState::Completed, &provider(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    assert_eq!((status(&mut phone), flags(&mut phone)), (Status::Active, vec![FlagKind::PaidAfterCancel]));
    // The refund that the flag asks for resolves it.
    laptop.payment(&course(), &payment("p1"), PaymentState::Refunded, &provider(), NOW).unwrap();
    assert_eq!((status(&mut laptop), flags(&mut laptop)), (Status::Cancelled, vec![]));
}

#[test]
fn webhooks_in_any_order_any_number_of_times() {
    let mut phone = device(1);
    for state in
        [PaymentState::Refunded, PaymentState::Completed, PaymentState::Completed, PaymentState::Failed]
    {
        phone.payment(&course(), &payment("p1"), state, &provider(), NOW).unwrap();
    }
    let view = phone.course(&course(), NOW);
    assert_eq!((view.status, view.facts), (Status::Refunded, 3));
    assert_eq!(view.payments[&payment("p1")].state, PaymentState::Refunded);
}

#[test]
fn revoking_ends_only_what_it_saw() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.request(&course(), NOW).unwrap();
    phone.grant(&course(), None, &nonce("g"), &admin(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    assert_eq!(status(&mut phone), Status::Active);
    phone.revoke(&course(), RevokeReason::Unenroll, &nonce("r"), &admin(), NOW).unwrap();
    // The request that waited is ended too: it does not come back as pending.
    assert_eq!(status(&mut phone), Status::Unenrolled);
    laptop.payment(&course(), &payment("p1"), PaymentState::Completed, &provider(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    assert_eq!(status(&mut phone), Status::Active);
    phone.withdraw(&course(), NOW).unwrap();
    assert_eq!((status(&mut phone), flags(&mut phone)), (Status::Unenrolled, vec![FlagKind::RefundDue]));
    let over = [GrantId::Payment(payment("p1"))];
    phone.revoke_grants(&course(), &over, RevokeReason::Expired, &nonce("x"), &admin(), NOW).unwrap();
    assert_eq!(flags(&mut phone), []);
    phone.request(&course(), NOW).unwrap();
    assert_eq!(phone.course(&course(), NOW).epoch, Epoch::new(2));
}

#[test]
fn expiry_takes_now_in_both_directions() {
    let mut phone = device(1);
    let end = NOW + std::time::Duration::from_mins(1);
    phone.grant(&course(), Some(end), &nonce("g"), &admin(), NOW).unwrap();
    for (now, expected) in [(NOW, Status::Active), (end, Status::Expired), (NOW, Status::Active)] {
        assert_eq!(phone.view(now).courses[&course()].status, expected);
        assert_eq!(phone.course(&course(), now).status, expected);
    }
}

#[test]
fn open_courses_are_the_policys_to_say() {
    let mut phone = device(1);
    assert!(matches!(phone.enter(&course(), NOW), Err(EnrollmentError::NotOpen { .. })));
    put(&mut phone, "f/rust-101/gr.open.1", r#"{"at":0}"#);
    assert_eq!(status(&mut phone), Status::None);
    phone.enter(&open_course(), NOW).unwrap();
    assert_eq!(phone.course(&open_course(), NOW).status, Status::Active);
    phone.withdraw(&open_course(), NOW).unwrap();
    assert_eq!(phone.course(&open_course(), NOW).status, Status::Unenrolled);
    phone.enter(&open_course(), NOW).unwrap();
    let view = phone.course(&open_course(), NOW);
    assert_eq!((view.status, view.epoch), (Status::Active, Epoch::new(2)));
}

#[test]
fn forged_and_absurd_facts_are_inert_and_told() {
    let mut phone = device(1);
    phone.request(&course(), NOW).unwrap();
    let before = phone.view(NOW).clone();
    let mallory = key(66);
    let forged = |id: FactId, by: &AuthorityKey, student: &str| {
        let key = id.root_key(&course());
        let body = fact::Body {
            verdict: Some(Verdict::Approve),
            why: Some(RevokeReason::Unenroll),
            ..Default::default()
        };
        let text = body.signed(&StudentId::new(student).unwrap(), &key, by);
        (key, text)
    };
    let decision =
        |by: &AuthorityKey| FactId::Decision { epoch: Epoch::FIRST, by: by.public(), nonce: nonce("n") };
    let mut facts = vec![
        forged(decision(&mallory), &mallory, "student-7"),
        forged(decision(&provider()), &provider(), "student-7"),
        // Another student's approval, lifted here.
        forged(decision(&admin()), &admin(), "student-8"),
        // An admin's key, an instructor's signature.
        forged(decision(&owner()), &instructor(), "student-7"),
        forged(FactId::DefaultGrant, &admin(), "student-7"),
        forged(FactId::Completed, &provider(), "student-7"),
    ];
    for (key, text) in [
        ("f/rust-101/cx.01", "{}"),
        ("f/rust-101/rq.2", "{}"),
        ("f/rust-101/cx.1", "nonsense"),
        ("f/rust-101/cx.1", r#"{"at":-1}"#),
        ("f/rust-101/gr.default", r#"{"at":1}"#),
        ("f/rust-101/rv.student.a", r#"{"grants":["dc.1"],"why":"unenroll"}"#),
        ("f/rust-101", "{}"),
        ("f/", "{}"),
    ] {
        facts.push((key.into(), text.into()));
    }
    for (key, text) in facts {
        put(&mut phone, &key, &text);
        let mut view = phone.view(NOW).clone();
        view.courses.get_mut(&course()).unwrap().facts = 1;
        assert_eq!(view, before, "{key}: {text}");
        let inert = phone.inert(NOW);
        assert!(inert.facts().iter().any(|fact| *fact.key == *key), "{key}: {text}: {inert:?}");
    }
    assert!(phone.inert(NOW).facts().iter().any(|fact| matches!(fact.reason, InertReason::Premature { .. })));
}

#[test]
fn what_a_hostile_client_takes_away_is_put_back_once() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.request(&course(), NOW).unwrap();
    let approved = phone.approve(&course(), &nonce("1"), &admin(), NOW).unwrap();
    sync(&mut phone, &mut laptop);
    let approval = approved.facts[0].root_key(&course());
    for attempt in 0..3 {
        delete(&mut laptop, &approval);
        put(&mut laptop, "f/rust-101/rq.1", "gone");
        assert!(laptop.is_damaged());
        assert_eq!(status(&mut laptop), Status::None);
        // Two holders heal, one of which has only just opened the document.
        sync(&mut phone, &mut laptop);
        let mut tablet = Enrollments::open(
            Document::load(&laptop.document().save(), ActorId::from_bytes([3; 16])).unwrap(),
            laptop.student().clone(),
            policy(),
        )
        .unwrap();
        let (by_phone, by_tablet) = (phone.heal(), tablet.heal());
        assert_eq!(by_phone, by_tablet);
        assert_eq!(by_phone.facts.len(), 2, "attempt {attempt}");
        sync(&mut phone, &mut tablet);
        sync(&mut phone, &mut laptop);
        assert_eq!(status(&mut laptop), Status::Active);
        assert!(!phone.is_damaged());
        assert_eq!(phone.heal(), Healed::default());
    }
}

#[test]
fn legacy_rows_count_once_and_the_latest_state_of_each() {
    let mut phone = device(1);
    let row = |status: &str, updated| LegacyRow {
        table: LegacyTable::Enrollments,
        row: RowId::new("42").unwrap(),
        status: Some(status.into()),
        updated: Timestamp::from_millis(updated),
    };
    let import = |device: &mut Enrollments, row: &LegacyRow| {
        let student = device.student().clone();
        let (id, key, text) = row.to_fact(&student, &course(), &system()).unwrap();
        let change = Change::derived(ActorId::derive(&["row", &key]), &[(&key, &text)]);
        device.document_mut().write_derived(change).unwrap();
        id
    };
    let first = import(&mut phone, &row("EN-ROLLED", 1));
    assert_eq!(import(&mut phone, &row("EN-ROLLED", 1)), first);
    assert_eq!(status(&mut phone), Status::Active);
    import(&mut phone, &row("cancelled", 2));
    assert_eq!(status(&mut phone), Status::Cancelled);
    phone.request(&course(), NOW).unwrap();
    assert_eq!(status(&mut phone), Status::Pending);
    assert!(row("sort of", 3).to_fact(&phone.student().clone(), &course(), &system()).is_err());
}

#[test]
fn a_suspended_state_goes_on_where_it_left() {
    let mut document = Document::new(ActorId::from_bytes([1; 16]));
    let student = StudentId::new("student-7").unwrap();
    let mut phone = Enrollments::open(&mut document, student, policy()).unwrap();
    phone.request(&course(), NOW).unwrap();
    let (_, state) = phone.suspend();
    let mut edit = document.edit();
    edit.put("f/rust-101/cx.1", "{}");
    edit.commit().unwrap();
    let mut phone = Enrollments::resume(&mut document, state);
    assert_eq!(phone.course(&course(), NOW).status, Status::Cancelled);
}

#[test]
fn what_others_did_is_told_once() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.request(&course(), NOW).unwrap();
    assert_eq!(phone.refresh(NOW), [], "whoever did it knows");
    let change = |before, after| CourseChange { course: course(), before, after };
    assert_eq!(laptop.merge(&mut phone, NOW).unwrap(), [change(Status::None, Status::Pending)]);
    let end = NOW + std::time::Duration::from_mins(1);
    laptop.grant(&course(), Some(end), &nonce("g"), &admin(), NOW).unwrap();
    let changes = laptop.document_mut().changes_for_peer(&phone.document().heads());
    assert_eq!(phone.apply(changes, NOW).unwrap(), [change(Status::Pending, Status::Active)]);
    assert_eq!(phone.refresh(NOW), []);
    assert_eq!(phone.refresh(end), [change(Status::Active, Status::Pending)], "and so is what time did");
    phone.set_policy(Policy::default());
    assert_eq!(phone.refresh(NOW), [change(Status::Pending, Status::Pending)], "a grant is gone");
}
