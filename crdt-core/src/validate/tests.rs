use serde_json::json;

use super::*;
use crate::allotment::{HolderId, PoolId};
use crate::authority::{AuthorityKey, Role, Statement, TrustSet};
use crate::cart::{Line, Quantity, Sku};
use crate::enrollment::{LegacyRow, Policy, RowId};
use crate::id::ActorId;
use crate::import::{Plan, Table, Target};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn system() -> AuthorityKey {
    AuthorityKey::from_seed([7; 32])
}

fn admin() -> AuthorityKey {
    AuthorityKey::from_seed([8; 32])
}

fn student() -> StudentId {
    StudentId::new("student-7").unwrap()
}

fn course() -> CourseId {
    CourseId::new("rust-101").unwrap()
}

fn known() -> Known {
    Known { courses: [course()].into(), students: [student()].into() }
}

/// The student's document with these older rows of the one course.
fn imported(rows: &[(Table, serde_json::Value)]) -> Enrollments {
    let mut trust = TrustSet::default();
    trust.trust(system().public(), Role::System);
    trust.trust(admin().public(), Role::Admin);
    let mut plan = Plan::new(system());
    for (index, (table, fields)) in rows.iter().enumerate() {
        let mut row = json!({"id": index, "userId": student(), "courseId": course()});
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        plan.read(*table, [&row]);
    }
    assert_eq!(plan.report().bad, []);
    let mut document = Document::new(ActorId::from_bytes([1; 16]));
    plan.apply(&Target::Enrollments(student()), &mut document).unwrap();
    Enrollments::open(document, student(), Policy::from(trust)).unwrap()
}

fn kinds(found: &Findings) -> Vec<FindingKind> {
    found.iter().map(|finding| finding.kind).collect()
}

#[track_caller]
fn finds(rows: &[(Table, serde_json::Value)], expected: &[FindingKind]) -> Findings {
    let mut phone = imported(rows);
    let heads = phone.document().heads();
    let found = enrollments(&mut phone, &known(), NOW);
    assert_eq!(kinds(&found), expected);
    assert_eq!(phone.document().heads(), heads, "validating changes nothing");
    found
}

#[test]
fn a_clean_document_reports_nothing() {
    let found = finds(
        &[
            (Table::Enrollments, json!({"status": "active"})),
            (Table::StudentProgress, json!({"progress": 40})),
            (Table::Payments, json!({"status": "completed"})),
            (Table::AccessRequests, json!({"status": "active"})),
        ],
        &[],
    );
    assert!(found.is_empty() && found.more() == 0);
    finds(&[], &[]);
    let mut phone = Cart::create(ActorId::from_bytes([1; 16]));
    phone.add(&Line::of(&Sku::new("tea").unwrap()), Quantity::ONE).unwrap();
    assert!(cart(&phone).is_empty());
    let pool = PoolId::new("seats").unwrap();
    assert!(
        allotment(&Allotment::create(ActorId::from_bytes([1; 16]), pool, TrustSet::default())).is_empty()
    );
}

#[test]
fn orphans_are_found() {
    let mut phone = imported(&[(Table::AccessRequests, json!({"status": "pending"}))]);
    let found = enrollments(&mut phone, &Known::default(), NOW);
    assert_eq!(kinds(&found), [FindingKind::OrphanUser, FindingKind::OrphanCourse]);
    let orphan = found.iter().nth(1).unwrap();
    assert_eq!((orphan.facts.len(), orphan.course.as_ref()), (1, Some(&course())));
    assert!(orphan.facts[0].starts_with("f/rust-101/lg.accessRequests.0."));
    assert_eq!(serde_json::to_value(orphan).unwrap()["severity"], "warning");
}

#[test]
fn pending_while_enrolled_is_found() {
    let found = finds(
        &[
            (Table::Enrollments, json!({"status": "active"})),
            (Table::AccessRequests, json!({"status": "pending"})),
            (Table::StudentProgress, json!({"progress": 1})),
        ],
        &[FindingKind::PendingWhileEnrolled],
    );
    assert_eq!(found.iter().next().unwrap().facts.len(), 2);
}

#[test]
fn duplicate_requests_are_found() {
    let pending = || (Table::AccessRequests, json!({"status": "pending"}));
    finds(&[pending(), pending()], &[FindingKind::DuplicateRequest]);
}

#[test]
fn missing_rows_are_found() {
    finds(&[(Table::StudentProgress, json!({"progress": 1}))], &[FindingKind::MissingEnrollment]);
    finds(&[(Table::Enrollments, json!({"status": "active"}))], &[FindingKind::MissingProgress]);
}

#[test]
fn diverging_progress_is_found() {
    let found = finds(
        &[
            (Table::Enrollments, json!({"status": "active"})),
            (Table::StudentProgress, json!({"progress": 10})),
            (Table::StudentProgress, json!({"progress": 30})),
        ],
        &[FindingKind::DivergingProgress],
    );
    assert!(found.iter().next().unwrap().sentence.contains("10, 30 percent"));
}

#[test]
fn odd_words_are_found() {
    finds(
        &[(Table::AccessRequests, json!({"status": "PENDING approval"}))],
        &[FindingKind::NonCanonicalStatus],
    );
    // The import refuses words that nobody knows, but another importer with the system's key may not.
    let mut phone = imported(&[]);
    let row = LegacyRow {
        table: LegacyTable::Enrollments,
        row: RowId::new("1").unwrap(),
        status: Some("active".to_owned()),
        updated: NOW,
    };
    let (_, key, _) = row.to_fact(&student(), &course(), &system()).unwrap();
    let student_id = student();
    let place = Statement { kind: "enrollment", subject: student_id.as_str(), key: &key };
    let text = system().sign(&place, &json!({"at": 1, "status": "enroled"}));
    put(phone.document_mut(), &key, &text);
    let found = enrollments(&mut phone, &known(), NOW);
    assert_eq!(kinds(&found), [FindingKind::UnknownStatus, FindingKind::InertValue]);
    assert!(!phone.course(&course(), NOW).status.has_access());
}

#[test]
fn forgeries_and_absurd_values_are_found() {
    let mut phone = imported(&[]);
    put(phone.document_mut(), "f/rust-101/gr.default", r#"{"at":1}"#);
    put(phone.document_mut(), "f/rust-101/rq.1", "nonsense");
    let found = enrollments(&mut phone, &known(), NOW);
    assert_eq!(kinds(&found), [FindingKind::BadSignature, FindingKind::InertValue]);
    assert_eq!(found.iter().next().unwrap().facts, ["f/rust-101/gr.default"]);

    let mut phone = Cart::create(ActorId::from_bytes([1; 16]));
    put(phone.document_mut(), "q/tea/1.01", r#"{"k":"add","l":"cart","n":-3}"#);
    phone.refresh();
    assert_eq!(kinds(&cart(&phone)), [FindingKind::InertValue]);
}

#[test]
fn negative_allotments_and_lost_facts_are_found() {
    let pool = PoolId::new("seats").unwrap();
    let mut phone = Allotment::create(ActorId::from_bytes([1; 16]), pool, TrustSet::default());
    put(phone.document_mut(), "u/till/order-1", r#"{"at":1,"n":2}"#);
    phone.refresh();
    let found = allotment(&phone);
    assert_eq!(kinds(&found), [FindingKind::NegativeAllotment]);
    assert_eq!(found.iter().next().unwrap().facts, ["u/till/order-1"]);
    assert_eq!(phone.view().rights(&HolderId::new("till").unwrap()).get(), 0);
    let mut edit = phone.document_mut().edit();
    edit.delete("u/till/order-1");
    edit.commit();
    phone.refresh();
    assert_eq!(kinds(&allotment(&phone)), [FindingKind::LostFact]);
}

#[test]
fn paid_but_not_enrolled_is_found_fixed_once_and_the_fix_undone() {
    let mut phone = imported(&[(Table::Payments, json!({"status": "completed"}))]);
    let found = enrollments(&mut phone, &known(), NOW);
    assert_eq!(kinds(&found), [FindingKind::PaidNotEnrolled, FindingKind::MissingEnrollment]);
    let fixes = fix::plan(&found, phone.view(NOW));
    let [fix] = fixes.as_slice() else { panic!("one fix") };
    assert_eq!(fix.to_string(), "Open rust-101: The student paid for rust-101 and has no access to it.");
    assert_eq!(fix.facts.len(), 1);

    // Two devices apply it, one of them twice: the course is open by one grant.
    let mut laptop = Enrollments::open(
        Document::load(&phone.document().save(), ActorId::from_bytes([2; 16])).unwrap(),
        student(),
        phone.policy().clone(),
    )
    .unwrap();
    fix.apply(&mut laptop, &admin(), NOW).unwrap();
    assert!(fix.apply(&mut phone, &admin(), NOW).unwrap().after.has_access());
    let heads = phone.document().heads();
    fix.apply(&mut phone, &admin(), NOW).unwrap();
    assert_eq!(phone.document().heads(), heads);
    phone.document_mut().merge(laptop.document_mut()).unwrap();
    assert_eq!(phone.course(&course(), NOW).grants.len(), 1);
    let found = enrollments(&mut phone, &known(), NOW);
    assert_eq!(kinds(&found), [FindingKind::MissingEnrollment]);

    assert!(!fix.undo(&mut phone, &admin(), NOW).unwrap().after.has_access());
    assert!(!fix.apply(&mut phone, &admin(), NOW).unwrap().after.has_access(), "undone is undone");
}

#[test]
fn access_to_a_course_that_is_no_more_is_ended_once_and_given_back() {
    let mut phone = imported(&[
        (Table::Enrollments, json!({"status": "active"})),
        (Table::StudentProgress, json!({"progress": 1})),
    ]);
    let gone = Known { courses: BTreeSet::new(), ..known() };
    let found = enrollments(&mut phone, &gone, NOW);
    assert_eq!(kinds(&found), [FindingKind::OrphanCourse]);
    let fixes = fix::plan(&found, phone.view(NOW));
    assert_eq!((fixes.len(), fixes[0].action), (1, fix::Action::EndAccess));
    assert!(!fixes[0].apply(&mut phone, &admin(), NOW).unwrap().after.has_access());
    let heads = phone.document().heads();
    fixes[0].apply(&mut phone, &admin(), NOW).unwrap();
    assert_eq!(phone.document().heads(), heads);
    let found = enrollments(&mut phone, &gone, NOW);
    assert_eq!(fix::plan(&found, phone.view(NOW)), [], "nothing is left to fix");
    assert!(fixes[0].undo(&mut phone, &admin(), NOW).unwrap().after.has_access());
}

#[test]
fn what_was_taken_away_is_found_and_a_fix_puts_it_back_once() {
    let mut phone = imported(&[]);
    let nonce = crate::enrollment::Nonce::new("1").unwrap();
    phone.grant(&course(), None, &nonce, &admin(), NOW).unwrap();
    let granted = phone.document().scan("f/").map(|(key, _)| key).next().unwrap();
    put(phone.document_mut(), &granted, "nonsense");
    assert!(!phone.course(&course(), NOW).status.has_access());
    let found = enrollments(&mut phone, &known(), NOW);
    assert_eq!(kinds(&found), [FindingKind::LostFact, FindingKind::InertValue]);
    let fixes = fix::plan(&found, phone.view(NOW));
    let [fix] = fixes.as_slice() else { panic!("one fix: {fixes:?}") };
    assert_eq!((fix.action, &fix.facts), (fix::Action::Heal, &vec![granted]));
    assert!(fix.apply(&mut phone, &admin(), NOW).unwrap().after.has_access());
    assert_eq!(fix.apply(&mut phone, &admin(), NOW).unwrap().id, None);
    assert!(fix.undo(&mut phone, &admin(), NOW).unwrap().after.has_access(), "what is put back stays");

    let mut phone = Progress::create(ActorId::from_bytes([1; 16]));
    phone.complete(&course(), &crate::id::LessonId::new("l1").unwrap(), NOW);
    assert!(progress(&mut phone).is_empty());
    put(phone.document_mut(), "p/rust-101/done/l1", "nonsense");
    assert_eq!(kinds(&progress(&mut phone)), [FindingKind::LostFact, FindingKind::InertValue]);
    let mut phone = Profile::create(ActorId::from_bytes([1; 16]), student(), TrustSet::default());
    put(phone.document_mut(), "u/name", "nonsense");
    assert_eq!(kinds(&profile(&mut phone)), [FindingKind::InertValue]);
}

#[test]
fn every_finding_says_who_mends_it() {
    for kind in FindingKind::ALL {
        let mut findings = Findings::default();
        findings.add(kind, Some(&course()), String::new(), vec![]);
        let finding = findings.iter().next().unwrap();
        let course = crate::enrollment::CourseView { status: Status::Active, ..Default::default() };
        let enrolled = crate::enrollment::EnrollmentView { courses: [(self::course(), course)].into() };
        let views = [crate::enrollment::EnrollmentView::default(), enrolled];
        let has_fix = views.iter().any(|view| !fix::plan(&findings, view).is_empty());
        assert_eq!(has_fix, finding.remedy.by == Mender::Fix, "{kind:?}");
        assert!(finding.remedy.why.ends_with('.'), "{kind:?}");
    }
}

fn put(document: &mut Document, key: &str, text: &str) {
    let mut edit = document.edit();
    edit.put(key, text);
    edit.commit();
}
