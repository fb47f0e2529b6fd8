//! Fixing what can be fixed without guessing.
//!
//! A fix is a fact like any other: a signed grant, a signed end of grants, or a fact put back that somebody took away. It
//! is listed with its reason before it is applied; its name follows from what it fixes, so that applying it twice, or on
//! two devices with one key, is applying it once; and it is undone by a fact that names it. Only what was put back stays:
//! nobody entitled ever took it away. What has no fix says so itself: [`super::FindingKind::remedy`].

use std::borrow::BorrowMut;
use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::finding::{Finding, FindingKind, Findings};
use crate::authority::AuthorityKey;
use crate::document::Document;
use crate::enrollment::{
    EnrollmentError, EnrollmentView, Enrollments, GrantId, Nonce, Operation, RevokeReason,
};
use crate::id::{CourseId, hex};
use crate::time::Timestamp;

/// What a fix does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Action {
    /// Opens a course that was paid for.
    Grant,
    /// Ends access to a course that is no more.
    EndAccess,
    /// Puts back what somebody deleted or wrote over.
    Heal,
}

/// One fix, not yet applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Fix {
    /// Names the fix: the same for the same finding, everywhere.
    pub id: Nonce,
    pub action: Action,
    pub course: CourseId,
    /// The sentence of the finding.
    pub reason: String,
    /// The facts behind the finding.
    pub facts: Vec<String>,
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Grant => "Open",
            Action::EndAccess => "End access to",
            Action::Heal => "Heal",
        };
        write!(f, "{action} {}: {}", self.course, self.reason)
    }
}

/// The fixes for these findings, where `view` shows that there is still something to fix. Most findings have none: they
/// need a person, or nothing at all. A fix that was undone may be listed again; applying it leaves it undone.
pub fn plan(findings: &Findings, view: &EnrollmentView) -> Vec<Fix> {
    let has_access =
        |course: &CourseId| view.courses.get(course).is_some_and(|shown| shown.status.has_access());
    let is_needed = |fix: &Fix| match fix.action {
        Action::Grant => !has_access(&fix.course),
        Action::EndAccess => has_access(&fix.course),
        Action::Heal => true,
    };
    findings.iter().filter_map(Fix::of).filter(is_needed).collect()
}

impl Fix {
    fn of(finding: &Finding) -> Option<Self> {
        let action = match finding.kind {
            FindingKind::PaidNotEnrolled => Action::Grant,
            FindingKind::OrphanCourse => Action::EndAccess,
            FindingKind::LostFact => Action::Heal,
            _ => return None,
        };
        let course = finding.course.clone()?;
        let mut hasher = Sha256::new();
        for fact in std::iter::once(course.as_str()).chain(finding.facts.iter().map(String::as_str)) {
            hasher.update((fact.len() as u64).to_be_bytes());
            hasher.update(fact);
        }
        let id = Nonce::new(format!("fix-{}", hex(&hasher.finalize()[..16]))).expect("a short text");
        Some(Self { id, action, course, reason: finding.sentence.clone(), facts: finding.facts.clone() })
    }

    /// Applies the fix, signed by `key`: an admin or owner. What is put back needs nobody's signature but its own. Applied
    /// again, it does nothing.
    pub fn apply<D: BorrowMut<Document>>(
        &self,
        enrollments: &mut Enrollments<D>,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        match self.action {
            Action::Grant => enrollments.grant(&self.course, None, &self.id, key, now),
            Action::EndAccess => enrollments.revoke(&self.course, RevokeReason::Unenroll, &self.id, key, now),
            Action::Heal => Ok(enrollments.heal_course(&self.course, now)),
        }
    }

    /// Takes the fix back, signed by the same key: ends what it granted, or grants what it ended. What was put back stays.
    pub fn undo<D: BorrowMut<Document>>(
        &self,
        enrollments: &mut Enrollments<D>,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        let undo = Nonce::new(format!("undo-{}", self.id)).expect("a short text");
        match self.action {
            Action::Grant => {
                let grant = GrantId::Admin { by: key.public(), nonce: self.id.clone() };
                enrollments.revoke_grants(&self.course, &[grant], RevokeReason::Unenroll, &undo, key, now)
            }
            Action::EndAccess => enrollments.grant(&self.course, None, &undo, key, now),
            Action::Heal => Ok(enrollments.already(&self.course, now)),
        }
    }
}
