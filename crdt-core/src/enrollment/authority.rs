//! What authorities do. All of it is signed, for this student and this course.

use std::borrow::BorrowMut;

use sha2::{Digest, Sha256};

use super::Enrollments;
use super::fact::{Body, Content, RevokeReason, Verdict, may_author};
use super::fold::Stage;
use super::id::{
    Author, FactId, GrantId, LegacyId, LegacyTable, Nonce, PaymentId, PaymentState, PaymentTold, RowId,
};
use super::operation::{EnrollmentError, Operation};
use super::student::said;
use crate::authority::{AuthorityKey, PublicKey};
use crate::document::Document;
use crate::id::{CourseId, InvalidId, StudentId, hex};
use crate::time::Timestamp;

use super::status::Status;

/// A row of the tables that were there before, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyRow {
    pub table: LegacyTable,
    pub row: RowId,
    /// The row's status, in its own words.
    pub status: Option<String>,
    /// When the row was last changed. Of several states of one row, the latest counts.
    pub updated: Timestamp,
}

impl LegacyRow {
    /// The fact's id, root key and signed text: the same wherever and whenever the row is imported.
    ///
    /// Fails on a status word that nobody knows.
    pub fn to_fact(
        &self,
        student: &StudentId,
        course: &CourseId,
        system: &AuthorityKey,
    ) -> Result<(FactId, String, String), InvalidId> {
        match (&self.status, self.table) {
            (Some(word), LegacyTable::Enrollments | LegacyTable::AccessRequests) => {
                Status::from_legacy(word)?;
            }
            (Some(word), LegacyTable::Payments) => {
                PaymentState::from_legacy(word)?;
            }
            (None, _) | (_, LegacyTable::StudentProgress) => {}
        }
        let body = Body { at: self.updated, status: self.status.clone(), ..Body::default() };
        let hash = hex(&Sha256::digest(body.unsigned())[..8]);
        let id = FactId::Legacy(LegacyId { table: self.table, row: self.row.clone(), hash: hash.into() });
        let key = id.root_key(course);
        let text = body.signed(student, &key, system);
        Ok((id, key, text))
    }
}

impl<D: BorrowMut<Document>> Enrollments<D> {
    /// Lets the student in, overruling the decisions seen here that are of the same rank or below.
    ///
    /// As an instructor, admin or owner. A command that is retried with one nonce decides once.
    pub fn approve(
        &mut self,
        course: &CourseId,
        nonce: &Nonce,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        self.decide(course, Verdict::Approve, nonce, key, now)
    }

    /// Refuses the request, overruling the decisions seen here that are of the same rank or below.
    pub fn reject(
        &mut self,
        course: &CourseId,
        nonce: &Nonce,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        self.decide(course, Verdict::Reject, nonce, key, now)
    }

    fn decide(
        &mut self,
        course: &CourseId,
        verdict: Verdict,
        nonce: &Nonce,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        let status = self.status(course, now);
        let by = key.public();
        if let Some((fact, known)) = self.decision_with(course, by, nonce) {
            return if known == verdict {
                Ok(self.already(course, now))
            } else {
                Err(EnrollmentError::NonceTaken { fact })
            };
        }
        let round = self.state.ledger.round(course);
        if matches!(round.stage, Stage::Unasked | Stage::Gone) {
            return Err(EnrollmentError::NothingToDecide { course: course.clone(), status });
        }
        let decided = self.state.ledger.facts(course).filter_map(|(id, _)| match id {
            FactId::Decision { epoch, .. } if *epoch == round.epoch => Some(id.to_string()),
            _ => None,
        });
        let body = Body { verdict: Some(verdict), over: decided.collect(), ..said(now) };
        let id = FactId::Decision { epoch: round.epoch, by, nonce: nonce.clone() };
        self.sign(course, id, &body, key, now)
    }

    /// The decision that this authority took with this nonce, in whatever epoch: a retry that arrives after the student
    /// has asked anew must not decide on the new request.
    fn decision_with(&self, course: &CourseId, author: PublicKey, used: &Nonce) -> Option<(FactId, Verdict)> {
        self.state.ledger.facts(course).find_map(|(id, facts)| {
            match (id, facts.first().map(|fact| &fact.content)) {
                (FactId::Decision { by, nonce, .. }, Some(Content::Decision(decision)))
                    if *by == author && nonce == used =>
                {
                    Some((id.clone(), decision.verdict))
                }
                _ => None,
            }
        })
    }

    /// Opens the course to the student without a request, for good or until `expires`. As an admin or owner.
    pub fn grant(
        &mut self,
        course: &CourseId,
        expires: Option<Timestamp>,
        nonce: &Nonce,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        let id = FactId::AdminGrant { by: key.public(), nonce: nonce.clone() };
        self.sign(course, id, &Body { expires, ..said(now) }, key, now)
    }

    /// Opens a course that is everybody's. As the system. A student who has left it is not let in again.
    pub fn grant_default(
        &mut self,
        course: &CourseId,
        expires: Option<Timestamp>,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        self.sign(course, FactId::DefaultGrant, &Body { expires, ..said(now) }, key, now)
    }

    /// Lets the student into an open course. As the system.
    pub fn grant_open(
        &mut self,
        course: &CourseId,
        expires: Option<Timestamp>,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        let epoch = self.next_epoch(course, now)?;
        self.sign(course, FactId::OpenGrant(epoch), &Body { expires, ..said(now) }, key, now)
    }

    /// Takes the student out: ends every grant seen here, and a request that still waits. As an admin or owner; the
    /// system may say [`RevokeReason::Expired`]. What was not seen here, such as a payment on its way, stays.
    pub fn revoke(
        &mut self,
        course: &CourseId,
        why: RevokeReason,
        nonce: &Nonce,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        self.read();
        let id = FactId::Revoke { by: Author::Key(key.public()), nonce: nonce.clone() };
        if !self.known(course, &id).is_empty() {
            return Ok(self.already(course, now));
        }
        let grants = self.all_to_end(course, now)?;
        self.end(course, id, &grants, why, key, now)
    }

    /// Ends these grants only, live or not: to say that the time of a payment is over, for one.
    pub fn revoke_grants(
        &mut self,
        course: &CourseId,
        grants: &[GrantId],
        why: RevokeReason,
        nonce: &Nonce,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        self.read();
        let id = FactId::Revoke { by: Author::Key(key.public()), nonce: nonce.clone() };
        self.end(course, id, grants, why, key, now)
    }

    fn end(
        &mut self,
        course: &CourseId,
        id: FactId,
        grants: &[GrantId],
        why: RevokeReason,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        let grants = grants.iter().map(GrantId::to_string).collect();
        self.sign(course, id, &Body { grants, why: Some(why), ..said(now) }, key, now)
    }

    /// Notes what a payment has come to: `state`, or `state.of(amount)`. As its provider; webhooks may be repeated and
    /// may arrive in any order.
    pub fn payment(
        &mut self,
        course: &CourseId,
        payment: &PaymentId,
        told: impl Into<PaymentTold>,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        let PaymentTold { state, amount } = told.into();
        let id = FactId::Payment { payment: payment.clone(), state };
        self.sign(course, id, &Body { amount, ..said(now) }, key, now)
    }

    /// Notes that the student has completed the course. As the system, an instructor, admin or owner.
    pub fn complete(
        &mut self,
        course: &CourseId,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        self.sign(course, FactId::Completed, &said(now), key, now)
    }

    /// Signs and writes one fact, if the policy lets its author.
    fn sign(
        &mut self,
        course: &CourseId,
        id: FactId,
        body: &Body,
        key: &AuthorityKey,
        now: Timestamp,
    ) -> Result<Operation, EnrollmentError> {
        self.read();
        let by = key.public();
        let role = self.state.policy.trust.role_in(course, &by).ok_or(EnrollmentError::NotTrusted { by })?;
        if !may_author(role, &id, body) {
            return Err(EnrollmentError::NotEntitled { by, role, fact: id });
        }
        if let [known, ..] = self.known(course, &id) {
            if let Content::Payment { amount: told } = known.content
                && told != body.amount
            {
                return Err(EnrollmentError::AnotherAmount { fact: id, told });
            }
            let repeated = match &known.content {
                Content::Grant { expires } => *expires == body.expires,
                Content::Revoke { why, .. } => Some(*why) == body.why,
                _ => true,
            };
            let nonced = matches!(id, FactId::AdminGrant { .. } | FactId::Revoke { .. });
            return if repeated || !nonced {
                Ok(self.already(course, now))
            } else {
                Err(EnrollmentError::NonceTaken { fact: id })
            };
        }
        let text = body.signed(&self.state.student, &id.root_key(course), key);
        self.write(course, vec![(id, text)], now)
    }
}
