//! Laws of importing: the same rows are the same document, whoever imports them, in whatever order, however often, in
//! whatever portions, and signed facts of the rows count.
//!
//! A mutation of the code that was applied: a row's change depends on how many rows came before (`plan.rs`). Caught by the
//! same rows being the same document.

use crdt_core::authority::{AuthorityKey, Role, TrustSet};
use crdt_core::cart::{Cart, Line, Sku};
use crdt_core::document::Document;
use crdt_core::enrollment::{Enrollments, Policy, Status};
use crdt_core::id::{ActorId, CourseId, StudentId};
use crdt_core::import::{Plan, Table, Target};
use crdt_core::progress::Progress;
use crdt_core::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

const STUDENT: &str = "student-7";

fn system() -> AuthorityKey {
    AuthorityKey::from_seed([7; 32])
}

fn document(n: u8) -> Document {
    Document::new(ActorId::from_bytes([n; 16]))
}

fn row() -> impl Strategy<Value = (Table, Value)> {
    let words =
        prop::sample::select(vec!["Enrolled", "in-progress", "PENDING approval", "completed", "denied"]);
    let paid = prop::sample::select(vec!["paid", "Refunded", "FAILED"]);
    let course = (0..4_u8).prop_map(|course| format!("course-{course}"));
    let (id, at) = (0..5_u8, 0..3_u64);
    let of_course = move |id: u8, course: String, status: &str, at: u64| json!({"id": id, "userId": STUDENT, "courseId": course, "status": status, "updatedAt": at});
    prop_oneof![
        (id.clone(), course.clone(), words.clone(), at.clone())
            .prop_map(move |(id, course, word, at)| (Table::Enrollments, of_course(id, course, word, at))),
        (id.clone(), course.clone(), words, at.clone())
            .prop_map(move |(id, course, word, at)| (Table::AccessRequests, of_course(id, course, word, at))),
        (id.clone(), course.clone(), paid, at.clone())
            .prop_map(move |(id, course, word, at)| (Table::Payments, of_course(id, course, word, at))),
        (id, course, 0..101_u8, at).prop_map(|(id, course, percent, at)| {
            let lessons = if percent > 50 { json!(["l1", "l2"]) } else { json!([]) };
            (
                Table::StudentProgress,
                json!({
                    "id": id, "studentId": STUDENT, "courseId": course, "progress": percent,
                    "completedLessons": lessons, "updatedAt": at,
                }),
            )
        }),
    ]
}

fn import(rows: &[(Table, Value)], into: &mut Document) {
    let mut plan = Plan::new(system());
    for (table, row) in rows {
        plan.read(*table, [row]);
    }
    assert_eq!(plan.report().bad, []);
    let targets: Vec<_> = plan.targets().cloned().collect();
    for target in targets {
        let before = plan.preview(&target, into);
        assert_eq!(plan.apply(&target, into).unwrap(), before);
        assert_eq!(plan.preview(&target, into).new, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_same_rows_are_the_same_document(
        rows in proptest::collection::vec(row(), 1..40),
        order in proptest::collection::vec(any::<Index>(), 1..40),
        overlap in any::<Index>(),
        lap in any::<Index>(),
    ) {
        let mut whole = document(1);
        import(&rows, &mut whole);

        // Two devices import overlapping parts in two portions each, one of them in another order and some rows twice.
        let (from, to) = (overlap.index(rows.len()), lap.index(rows.len()));
        let mut shuffled: Vec<_> = order.iter().map(|pick| rows[pick.index(rows.len())].clone()).collect();
        shuffled.extend_from_slice(&rows[from.min(to)..]);
        let (mut phone, mut laptop) = (document(2), document(3));
        import(&rows[..=from.max(to)], &mut phone);
        import(&shuffled, &mut laptop);
        import(&shuffled, &mut laptop);
        laptop.merge(&mut phone).unwrap();
        phone.merge(&mut laptop).unwrap();
        prop_assert_eq!(phone.heads(), laptop.heads());
        prop_assert_eq!(phone.heads(), whole.heads());

        let mut trust = TrustSet::default();
        trust.trust(system().public(), Role::System);
        let student = StudentId::new(STUDENT).unwrap();
        let mut enrollments = Enrollments::open(&phone, student, Policy::from(trust)).unwrap();
        prop_assert!(enrollments.inert(Timestamp::ZERO).is_empty());
        let mut progress = Progress::open(&phone).unwrap();
        prop_assert!(progress.inert().is_empty());
        for (table, row) in &rows {
            let course = CourseId::new(row["courseId"].as_str().unwrap()).unwrap();
            if *table == Table::StudentProgress {
                let seen = progress.view().courses.get(&course).cloned().unwrap_or_default();
                prop_assert!(u64::from(seen.percent(&[]).get()) >= row["progress"].as_u64().unwrap());
            } else {
                prop_assert!(enrollments.course(&course, Timestamp::ZERO).facts > 0);
            }
        }
    }
}

#[test]
fn enrollments_are_the_source_of_truth() {
    let of = |status: &str| json!({"id": status, "userId": STUDENT, "courseId": "c", "status": status});
    let mut phone = document(1);
    import(
        &[
            (Table::AccessRequests, of("pending")),
            (Table::Payments, of("failed")),
            (Table::Enrollments, of("Enrolled")),
        ],
        &mut phone,
    );
    let mut trust = TrustSet::default();
    trust.trust(system().public(), Role::System);
    let student = StudentId::new(STUDENT).unwrap();
    let mut enrollments = Enrollments::open(&phone, student, Policy::from(trust)).unwrap();
    let course = CourseId::new("c").unwrap();
    assert_eq!(enrollments.course(&course, Timestamp::ZERO).status, Status::Active);
}

#[test]
fn cart_rows_become_units_once() {
    let row = json!({
        "id": 3, "userId": STUDENT, "sku": "shirt", "options": {"size": "M"}, "quantity": 2,
        "priceMinor": 1999, "currency": "EUR",
    });
    let saved = json!({"id": 4, "userId": STUDENT, "sku": "tea", "quantity": 1, "savedForLater": true});
    let mut phone = document(1);
    let mut laptop = document(2);
    import(&[(Table::CartItems, row.clone()), (Table::CartItems, saved.clone())], &mut phone);
    import(&[(Table::CartItems, saved.clone())], &mut laptop);
    let shirt = Line::of(&Sku::new("shirt").unwrap()).with("size", "M").unwrap();
    let mut cart = Cart::open(&mut phone).unwrap();
    assert_eq!(cart.view().quantity(&shirt), 2);
    cart.remove(&shirt).unwrap();
    // What was imported and then removed does not come back by importing it again, here or elsewhere.
    import(&[(Table::CartItems, row)], &mut phone);
    laptop.merge(&mut phone).unwrap();
    let cart = Cart::open(&mut laptop).unwrap();
    assert_eq!(cart.view().quantity(&shirt), 0);
}

#[test]
fn bad_rows_are_told_and_the_others_imported() {
    let mut plan = Plan::new(system());
    let good = json!({"id": "1", "userId": "s", "courseId": "c", "status": "active", "newer": 1});
    plan.read(Table::Enrollments, [&good, &good]);
    for (table, row, why) in [
        (
            Table::Enrollments,
            json!({"id": "2", "userId": "s", "courseId": "c"}),
            "enrollments row 3 (id 2): the row has a status",
        ),
        (
            Table::Enrollments,
            json!({"id": "2", "userId": "s", "courseId": "c", "status": "enroled"}),
            "not a known word",
        ),
        (
            Table::Enrollments,
            json!({"id": "2", "courseId": "c", "status": "active"}),
            "missing field `studentId`",
        ),
        (
            Table::Enrollments,
            json!({"id": 1.5, "userId": "s", "courseId": "c", "status": "active"}),
            "neither a text",
        ),
        (Table::Payments, json!({"id": "2", "userId": "s", "courseId": "", "status": "paid"}), "is empty"),
        (Table::StudentProgress, json!({"id": "2", "userId": "s", "courseId": "c"}), "neither a percentage"),
        (
            Table::StudentProgress,
            json!({"id": "2", "userId": "s", "courseId": "c", "progress": 101}),
            "more than 100",
        ),
        (Table::CartItems, json!({"id": "2", "userId": "s", "sku": "x", "quantity": 0}), "can't be read"),
        (
            Table::CartItems,
            json!({"id": "2", "userId": "s", "sku": "x", "quantity": 1, "priceMinor": 5}),
            "currency is missing",
        ),
        (Table::CartItems, json!("row"), "can't be read"),
    ] {
        plan.read(table, [&row]);
        let told = plan.report().bad.last().unwrap().to_string();
        assert!(told.contains(why), "{told} should say {why}");
    }
    assert_eq!(plan.report().bad.len(), 10);
    let tally = plan.report().tables[&Table::Enrollments];
    assert_eq!((tally.rows, tally.good, tally.repeated), (6, 1, 1));
    let targets: Vec<_> = plan.targets().cloned().collect();
    assert_eq!(targets, [Target::Enrollments(StudentId::new("s").unwrap())]);
    serde_json::to_value(plan.report()).unwrap();
}
