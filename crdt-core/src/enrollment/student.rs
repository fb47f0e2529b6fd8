//! What students do. None of it is signed: whoever may write a student's document speaks as the student.

use std::borrow::BorrowMut;

use sha2::{Digest, Sha256};

use super::Enrollments;
use super::fact::{Body, RevokeReason};
use super::fold::Stage;
use super::id::{Author, Epoch, FactId, GrantId, Nonce, PaymentId, PaymentState};
use super::operation::{EnrollmentError, Operation};
use crate::document::Document;
use crate::id::{CourseId, hex};
use crate::time::Timestamp;

impl<D: BorrowMut<Document>> Enrollments<D> {
    /// Asks for the course. Asking twice, also on two devices, is one request.
    pub fn request(&mut self, course: &CourseId, now: Timestamp) -> Result<Operation, EnrollmentError> {
        let epoch = self.next_epoch(course, now)?;
        self.write(course, vec![(FactId::Request(epoch), said(now).unsigned())], now)
    }

    /// Takes a waiting request back.
    pub fn cancel(&mut self, course: &CourseId, now: Timestamp) -> Result<Operation, EnrollmentError> {
        let status = self.status(course, now);
        let round = self.state.ledger.round(course);
        let id = FactId::Cancel(round.epoch);
        if round.stage != Stage::Waiting && self.known(course, &id).is_empty() {
            return Err(EnrollmentError::NothingToCancel { course: course.clone(), status });
        }
        self.write(course, vec![(id, said(now).unsigned())], now)
    }

    /// Leaves the course: ends every grant there is, and a request that still waits.
    pub fn withdraw(&mut self, course: &CourseId, now: Timestamp) -> Result<Operation, EnrollmentError> {
        let grants = self.all_to_end(course, now)?;
        // Two devices that leave the same thing say the same.
        let mut hasher = Sha256::new();
        for grant in &grants {
            hasher.update(grant.to_string());
            hasher.update([0]);
        }
        let nonce = Nonce::new(hex(&hasher.finalize()[..16])).expect("hex is a nonce");
        let body = Body {
            grants: grants.iter().map(GrantId::to_string).collect(),
            why: Some(RevokeReason::Withdraw),
            ..said(now)
        };
        let id = FactId::Revoke { by: Author::Student, nonce };
        self.write(course, vec![(id, body.unsigned())], now)
    }

    /// Enters a course that the policy says is open.
    pub fn enter(&mut self, course: &CourseId, now: Timestamp) -> Result<Operation, EnrollmentError> {
        if !self.state.policy.open_courses.contains(course) {
            return Err(EnrollmentError::NotOpen { course: course.clone() });
        }
        let epoch = self.next_epoch(course, now)?;
        self.write(course, vec![(FactId::OpenGrant(epoch), said(now).unsigned())], now)
    }

    /// Notes that a payment is on its way. Only its provider can say more.
    pub fn pay(
        &mut self,
        course: &CourseId,
        payment: &PaymentId,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        if self.course(course, now).payments.contains_key(payment) {
            return Ok(self.already(course, now));
        }
        let id = FactId::Payment { payment: payment.clone(), state: PaymentState::Pending };
        self.write(course, vec![(id, said(now).unsigned())], now)
    }

    /// The epoch that asking now would belong to: the current one while it runs, else the next.
    pub(super) fn next_epoch(&mut self, course: &CourseId, now: Timestamp) -> Result<Epoch, EnrollmentError> {
        if self.status(course, now).has_access() {
            return Err(EnrollmentError::AlreadyEnrolled { course: course.clone() });
        }
        let round = self.state.ledger.round(course);
        if !round.is_over() {
            return Ok(round.epoch);
        }
        round.epoch.next().ok_or_else(|| EnrollmentError::TooManyEpochs { course: course.clone() })
    }

    /// Every live grant, and the approval that a running request could still bring.
    pub(super) fn all_to_end(
        &mut self,
        course: &CourseId,
        now: Timestamp,
    ) -> Result<Vec<GrantId>, EnrollmentError> {
        let view = self.course(course, now);
        let status = view.status;
        let mut grants: Vec<_> = view.grants.iter().map(|grant| grant.grant.clone()).collect();
        let round = self.state.ledger.round(course);
        let approval = GrantId::Approval(round.epoch);
        if round.stage == Stage::Waiting && !grants.is_empty() {
            grants.push(approval);
        }
        grants.sort_unstable();
        if grants.is_empty() {
            return Err(EnrollmentError::NothingToEnd { course: course.clone(), status });
        }
        Ok(grants)
    }
}

/// A body that says when it was said.
pub(super) fn said(now: Timestamp) -> Body {
    Body { at: now, ..Body::default() }
}
