//! What every operation has in common: it writes facts that are not there yet, and tells what that changed.

use std::borrow::BorrowMut;

use serde::Serialize;

use super::Enrollments;
use super::fact::Fact;
use super::id::FactId;
use super::status::Status;
use crate::authority::{PublicKey, Role};
use crate::document::Document;
use crate::id::{ChangeHash, CourseId};
use crate::kind::{KIND_KEY, Kind};
use crate::limits::VALUE_BYTES_MAX;
use crate::money::Money;
use crate::time::Timestamp;

/// What an operation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// The change that was written; `None` when everything was so already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<ChangeHash>,
    pub course: CourseId,
    /// The facts written.
    pub facts: Vec<FactId>,
    /// Where the student stood.
    pub before: Status,
    /// Where the student stands now.
    pub after: Status,
}

/// Why an operation was not done. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollmentError {
    #[error("the student has access to {course} already")]
    AlreadyEnrolled { course: CourseId },
    #[error("there is no waiting request for {course} to take back; it is {status}")]
    NothingToCancel { course: CourseId, status: Status },
    #[error("there is no request for {course} to decide on; it is {status}")]
    NothingToDecide { course: CourseId, status: Status },
    #[error("there is nothing to end in {course}; it is {status}")]
    NothingToEnd { course: CourseId, status: Status },
    #[error("{course} is not open to everybody")]
    NotOpen { course: CourseId },
    #[error("{by}, who speaks as {role}, may not author {fact}")]
    NotEntitled { by: PublicKey, role: Role, fact: FactId },
    #[error("{by} is nobody the application trusts here")]
    NotTrusted { by: PublicKey },
    #[error("{fact} was used for something else; take another nonce")]
    NonceTaken { fact: FactId },
    #[error("{fact} was told with {}; the same state can't come to another amount", amount_of(*.told))]
    AnotherAmount { fact: FactId, told: Option<Money> },
    #[error("{course} has been requested too many times")]
    TooManyEpochs { course: CourseId },
    #[error("the fact would be {bytes} bytes long; at most {VALUE_BYTES_MAX} are accepted")]
    TooLong { bytes: usize },
}

fn amount_of(told: Option<Money>) -> String {
    told.map_or_else(|| "no amount".to_owned(), |amount| amount.to_string())
}

impl EnrollmentError {
    /// A word for programs: the same in every language and version.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyEnrolled { .. } => "alreadyEnrolled",
            Self::NothingToCancel { .. } => "nothingToCancel",
            Self::NothingToDecide { .. } => "nothingToDecide",
            Self::NothingToEnd { .. } => "nothingToEnd",
            Self::NotOpen { .. } => "notOpen",
            Self::NotEntitled { .. } => "notEntitled",
            Self::NotTrusted { .. } => "notTrusted",
            Self::NonceTaken { .. } => "nonceTaken",
            Self::AnotherAmount { .. } => "anotherAmount",
            Self::TooManyEpochs { .. } => "tooManyEpochs",
            Self::TooLong { .. } => "tooLong",
        }
    }
}

impl<D: BorrowMut<Document>> Enrollments<D> {
    pub(super) fn status(&mut self, course: &CourseId, now: Timestamp) -> Status {
        self.course(course, now).status
    }

    /// The values of a fact that count. Empty when there are none.
    pub(super) fn known(&self, course: &CourseId, id: &FactId) -> &[Fact] {
        self.state.ledger.fact(course, id).unwrap_or_default()
    }

    /// Writes those of the facts that are not there yet, as one change.
    pub(super) fn write(
        &mut self,
        course: &CourseId,
        facts: Vec<(FactId, String)>,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        let before = self.status(course, now);
        let new: Vec<_> = facts.into_iter().filter(|(id, _)| self.known(course, id).is_empty()).collect();
        if let Some((_, text)) = new.iter().find(|(_, text)| text.len() > VALUE_BYTES_MAX) {
            return Err(EnrollmentError::TooLong { bytes: text.len() });
        }
        if new.is_empty() {
            return Ok(Operation {
                id: None,
                course: course.clone(),
                facts: Vec::new(),
                before,
                after: before,
            });
        }
        let untold = self.state.ledger.has_untold(course);
        let document = self.document.borrow_mut();
        if document.values(KIND_KEY).is_empty() {
            Kind::Enrollment.declare(document);
        }
        let mut edit = document.edit();
        edit.set_time(now);
        for (id, text) in &new {
            edit.put(&id.root_key(course), text);
        }
        let id = edit.commit().map(|committed| committed.hash);
        let after = self.status(course, now);
        if !untold {
            self.state.ledger.mark_told(course);
        }
        let facts = new.into_iter().map(|(id, _)| id).collect();
        Ok(Operation { id, course: course.clone(), facts, before, after })
    }

    /// What an operation answers that finds everything as it asks.
    pub(crate) fn already(&mut self, course: &CourseId, now: Timestamp) -> Operation {
        let status = self.status(course, now);
        Operation { id: None, course: course.clone(), facts: Vec::new(), before: status, after: status }
    }
}
