//! Validating: what is odd in a document, with a sentence for people and the facts behind it. Nothing is changed.
//!
//! Every fold already gives each document a meaning, whatever is in it; validation tells where that meaning rests on
//! something that a person should look at. What can be mended without guessing has a [`fix`].
//!
//! | finding | what it means | who mends it |
//! |---|---|---|
//! | orphan course | the application knows no such course | a fix ends access to it |
//! | orphan user | the application knows no such student | a person |
//! | pending while enrolled | older rows had the student both enrolled and waiting | nobody: enrolled counts |
//! | duplicate request | older rows asked more than once | nobody: it is one request |
//! | missing enrollment | there are payments or progress, and no row of enrollment | a person |
//! | missing progress | a row of enrollment, and none of progress | nobody: progress begins at nothing |
//! | diverging progress | older rows disagree how far the student has come | nobody: the furthest counts |
//! | unknown status | a word that nobody knows | a person |
//! | non-canonical status | a known word in an odd spelling | nobody: it is read as that word |
//! | paid but not enrolled | money was taken, and the course is shut | a fix opens it |
//! | bad signature | a fact that nobody entitled wrote | a person, who asks how it came there |
//! | inert value | a value that can't be used | nobody: it counts for nothing |
//! | negative allotment | a holder spent more than it had; the newest uses were struck | a person |
//! | lost fact | somebody deleted a fact that counted | a fix puts it back |
//!
//! Every finding says this of itself: [`Finding::remedy`].
//!
//! ```
//! use crdt_core::enrollment::{Enrollments, Policy};
//! use crdt_core::id::{ActorId, CourseId, StudentId};
//! use crdt_core::time::Timestamp;
//! use crdt_core::validate::{self, FindingKind, Known};
//!
//! let student = StudentId::new("student-7")?;
//! let now = Timestamp::from_millis(1_700_000_000_000);
//! let mut phone = Enrollments::create(ActorId::from_bytes([1; 16]), student.clone(), Policy::default());
//! phone.request(&CourseId::new("withdrawn-course")?, now)?;
//!
//! let known = Known { students: [student].into(), courses: [CourseId::new("rust-101")?].into() };
//! let findings = validate::enrollments(&mut phone, &known, now);
//! let finding = findings.iter().next().expect("the course is gone");
//! assert_eq!(finding.kind, FindingKind::OrphanCourse);
//! assert_eq!(finding.sentence, "The application knows no course withdrawn-course.");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod finding;
pub mod fix;
mod legacy;

use std::borrow::{Borrow, BorrowMut};
use std::collections::{BTreeMap, BTreeSet};

pub use self::finding::{Finding, FindingKind, Findings, Mender, Remedy, Severity};

use self::legacy::Row;
use crate::allotment::Allotment;
use crate::cart::Cart;
use crate::document::Document;
use crate::enrollment::{CourseView, Enrollments, LegacyTable, PaymentState, Status};
use crate::id::{CourseId, StudentId};
use crate::profile::Profile;
use crate::progress::Progress;
use crate::time::Timestamp;

/// What the application has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub courses: BTreeSet<CourseId>,
    pub students: BTreeSet<StudentId>,
}

/// What is odd in a student's enrollments, as of `now`.
pub fn enrollments<D: BorrowMut<Document>>(
    enrollments: &mut Enrollments<D>,
    known: &Known,
    now: Timestamp,
) -> Findings {
    let mut findings = Findings::default();
    let student = enrollments.student().clone();
    if !known.students.contains(&student) {
        let sentence = format!("The application knows no student {student}.");
        findings.add(FindingKind::OrphanUser, None, sentence, Vec::new());
    }
    let rows = legacy::rows(enrollments.document(), &student, enrollments.policy());
    let view = enrollments.view(now).clone();
    for course in view.courses.keys().chain(rows.keys()).collect::<BTreeSet<_>>() {
        if !known.courses.contains(course) {
            let prefix = format!("f/{}/", course.segment());
            let facts = enrollments.document().scan(&prefix).map(|(key, _)| key).collect();
            let sentence = format!("The application knows no course {course}.");
            findings.add(FindingKind::OrphanCourse, Some(course), sentence, facts);
        }
        let nothing = Vec::new();
        let shown = view.courses.get(course).cloned().unwrap_or_default();
        check_course(course, rows.get(course).unwrap_or(&nothing), &shown, &mut findings);
    }
    let mut lost: BTreeMap<CourseId, Vec<String>> = BTreeMap::new();
    for key in enrollments.lost_facts() {
        let course = key.split('/').nth(1).and_then(CourseId::from_segment).expect("a fact has a course");
        lost.entry(course).or_default().push(key);
    }
    for (course, facts) in lost {
        let sentence = format!("{} facts about {course} counted, and somebody removed them.", facts.len());
        findings.add(FindingKind::LostFact, Some(&course), sentence, facts);
    }
    findings.add_inert(&enrollments.inert(now));
    findings.sorted()
}

/// What is odd in a student's progress.
pub fn progress<D: BorrowMut<Document>>(progress: &mut Progress<D>) -> Findings {
    let mut findings = Findings::default();
    for key in progress.lost_facts() {
        findings.add(FindingKind::LostFact, None, lost_sentence(&key), vec![key]);
    }
    findings.add_inert(&progress.inert());
    findings.sorted()
}

/// What is odd in a student's profile.
pub fn profile<D: BorrowMut<Document>>(profile: &mut Profile<D>) -> Findings {
    let mut findings = Findings::default();
    findings.add_inert(&profile.inert());
    findings.sorted()
}

/// What is odd in a cart.
pub fn cart<D: BorrowMut<Document>>(cart: &Cart<D>) -> Findings {
    let mut findings = Findings::default();
    findings.add_inert(&cart.inert());
    findings.sorted()
}

/// What is odd in an allotment.
pub fn allotment<D: Borrow<Document>>(allotment: &Allotment<D>) -> Findings {
    let mut findings = Findings::default();
    for (holder, shown) in allotment.view().holders() {
        if shown.struck.is_empty() && shown.struck_gifts.is_empty() {
            continue;
        }
        let sentence = format!(
            "{holder} spent more than it had: {} reservations and {} gifts were struck, the newest first.",
            shown.struck.len(),
            shown.struck_gifts.len()
        );
        let uses = shown.struck.keys().map(|id| format!("u/{}/{}", holder.segment(), id.segment()));
        let gifts = shown.struck_gifts.keys().map(|dot| format!("t/{}/{dot}", holder.segment()));
        findings.add(FindingKind::NegativeAllotment, None, sentence, uses.chain(gifts).collect());
    }
    for key in allotment.lost_facts() {
        findings.add(FindingKind::LostFact, None, lost_sentence(&key), vec![key]);
    }
    findings.add_inert(&allotment.inert());
    findings.sorted()
}

fn lost_sentence(key: &str) -> String {
    format!("What stood under {key} counted, and somebody removed it. Healing puts it back.")
}

fn check_course(course: &CourseId, rows: &[Row], shown: &CourseView, findings: &mut Findings) {
    let of = |table: LegacyTable| rows.iter().filter(move |row| row.table == table).collect::<Vec<_>>();
    let keys = |rows: &[&Row]| rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
    let (enrolled, requests) = (of(LegacyTable::Enrollments), of(LegacyTable::AccessRequests));
    let (payments, progress) = (of(LegacyTable::Payments), of(LegacyTable::StudentProgress));
    let mut add = |kind, sentence: String, facts| findings.add(kind, Some(course), sentence, facts);

    let has_access = enrolled.iter().any(|row| row.status().is_some_and(Status::has_access));
    let waiting: Vec<_> =
        requests.iter().copied().filter(|row| row.status() == Some(Status::Pending)).collect();
    if has_access && !waiting.is_empty() {
        let sentence = format!("Older rows had the student both enrolled in {course} and waiting for it.");
        add(FindingKind::PendingWhileEnrolled, sentence, keys(&[enrolled.as_slice(), &waiting].concat()));
    }
    if requests.len() > 1 {
        let sentence = format!("Older rows asked for {course} {} times.", requests.len());
        add(FindingKind::DuplicateRequest, sentence, keys(&requests));
    }
    if enrolled.is_empty() && !(payments.is_empty() && progress.is_empty()) {
        let sentence =
            format!("There are older rows of payment or progress for {course}, and none of enrollment.");
        add(FindingKind::MissingEnrollment, sentence, keys(&[payments.as_slice(), &progress].concat()));
    }
    if has_access && progress.is_empty() {
        let sentence =
            format!("The student was enrolled in {course}, and there is no older row of progress.");
        add(FindingKind::MissingProgress, sentence, keys(&enrolled));
    }
    let percents: BTreeSet<_> = progress.iter().filter_map(|row| row.word.as_deref()).collect();
    if percents.len() > 1 {
        let told = percents.into_iter().collect::<Vec<_>>().join(", ");
        let sentence =
            format!("Older rows disagree on the progress in {course}: {told} percent. The furthest counts.");
        add(FindingKind::DivergingProgress, sentence, keys(&progress));
    }
    for row in rows.iter().filter(|row| row.table != LegacyTable::StudentProgress) {
        let Some(word) = &row.word else { continue };
        match row.canonical() {
            None => {
                let sentence =
                    format!("An older row of {course} has the status {word:?}, which nobody knows.");
                add(FindingKind::UnknownStatus, sentence, vec![row.key.clone()]);
            }
            Some(canonical) if canonical != word => {
                let sentence = format!("An older row of {course} spells {canonical} as {word:?}.");
                add(FindingKind::NonCanonicalStatus, sentence, vec![row.key.clone()]);
            }
            Some(_) => {}
        }
    }
    let paid_before = payments.iter().copied().filter(|row| row.payment() == Some(PaymentState::Completed));
    let mut paid: Vec<_> = paid_before.map(|row| row.key.clone()).collect();
    let completed = shown.payments.iter().filter(|(_, payment)| payment.state == PaymentState::Completed);
    paid.extend(completed.map(|(payment, _)| {
        let id =
            crate::enrollment::FactId::Payment { payment: payment.clone(), state: PaymentState::Completed };
        id.root_key(course)
    }));
    if !shown.status.has_access() && !paid.is_empty() {
        let sentence = format!("The student paid for {course} and has no access to it.");
        add(FindingKind::PaidNotEnrolled, sentence, paid);
    }
}

#[cfg(test)]
mod tests;
