//! What people see of a student's enrollments: the same JSON in every language.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fact::Verdict;
use super::id::{Author, Epoch, FactId, GrantId, GrantSource, PaymentId, PaymentState};
use super::status::Status;
use crate::id::CourseId;
use crate::money::Money;
use crate::time::Timestamp;

/// Every course that the document says anything about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrollmentView {
    pub courses: BTreeMap<CourseId, CourseView>,
}

/// Where the student stands with one course, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CourseView {
    pub status: Status,
    /// The current round of requesting; absent when nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// When the student asked, as the student's device says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Timestamp>,
    /// What was decided on the current request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionView>,
    /// What opens the course now. Any of it is enough.
    pub grants: Vec<GrantView>,
    pub payments: BTreeMap<PaymentId, PaymentView>,
    /// When the course was completed, whether or not the student still has access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// What a person should look at.
    pub flags: Vec<Flag>,
    /// How many facts count.
    pub facts: usize,
}

impl CourseView {
    /// Nobody has said anything.
    pub(super) const NOTHING: Self = Self {
        status: Status::None,
        epoch: None,
        requested_at: None,
        decision: None,
        grants: Vec::new(),
        payments: BTreeMap::new(),
        completed_at: None,
        flags: Vec::new(),
        facts: 0,
    };
}

/// A change of what is shown of one course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CourseChange {
    pub course: CourseId,
    /// Where the student stood.
    pub before: Status,
    /// Where the student stands now. The same where only grants, payments or flags are others.
    pub after: Status,
}

/// The outcome of the decisions on one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionView {
    pub verdict: Verdict,
    /// The decisions that it rests on: of the highest rank, superseded by nobody.
    pub standing: Vec<FactId>,
}

/// Something that opens the course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantView {
    pub grant: GrantId,
    pub source: GrantSource,
    /// Who gave it; absent for an approval, which several may have given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Author>,
    /// When access by this grant ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// Where one payment stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentView {
    pub state: PaymentState,
    /// How much money it is about, as its provider last said; of rival words the larger. Partly paid back is what the
    /// provider makes of it: a payment of its own, or less money refunded than was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// When it reached that state, as its author says.
    pub at: Timestamp,
}

/// Something a person should look at, with the facts behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Flag {
    pub kind: FlagKind,
    /// The situation and the way out of it, for people.
    pub sentence: String,
    pub facts: Vec<FactId>,
}

/// The situations that are flagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FlagKind {
    /// Equals decided differently without knowing of each other.
    DecisionConflict,
    /// An approval met a cancellation it did not know of.
    ApprovedAfterCancel,
    /// Money arrived for a request that had been taken back.
    PaidAfterCancel,
    /// Money arrived for a request that was refused.
    PaidButRejected,
    /// The money was taken, the access has been ended, and nothing was paid back.
    RefundDue,
    /// More than one payment opens the course.
    DuplicatePayment,
}

impl FlagKind {
    pub(super) fn flag(self, facts: Vec<FactId>) -> Flag {
        let sentence = match self {
            Self::DecisionConflict => {
                "Equals decided differently without knowing of each other's decision. \
                 The request counts as rejected until one of them, or somebody above them, decides again."
            }
            Self::ApprovedAfterCancel => {
                "The request was approved while the student took it back. \
                 It counts as cancelled; the student can ask again."
            }
            Self::PaidAfterCancel => {
                "A payment was completed although the student had cancelled the request. \
                 The course is open to the student; refund the payment, or grant access to keep it."
            }
            Self::PaidButRejected => {
                "A payment was completed although the request was rejected. \
                 The course is open to the student; refund the payment, or grant access to keep it."
            }
            Self::RefundDue => {
                "The student paid, and access was ended before its time. \
                 Refund the payment, or record that its time is over."
            }
            Self::DuplicatePayment => {
                "The student paid more than once for this course. Refund all payments but one."
            }
        };
        Flag { kind: self, sentence: sentence.to_owned(), facts }
    }
}
