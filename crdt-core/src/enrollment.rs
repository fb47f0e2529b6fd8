//! Enrollments: a grow-only set of authored facts about a student and a course. Where the student stands is folded from
//! them, never stored.
//!
//! ```
//! use crdt_core::authority::{AuthorityKey, Role, TrustSet};
//! use crdt_core::enrollment::{Enrollments, FlagKind, Nonce, Policy, Status};
//! use crdt_core::id::{ActorId, CourseId, StudentId};
//! use crdt_core::time::Timestamp;
//!
//! let now = Timestamp::from_millis(1_700_000_000_000);
//! let admin = AuthorityKey::from_seed([7; 32]);
//! let mut trust = TrustSet::default();
//! trust.trust(admin.public(), Role::Admin);
//! let policy = Policy::from(trust);
//!
//! let (student, course) = (StudentId::new("student-7")?, CourseId::new("rust-101")?);
//! let mut phone = Enrollments::create(ActorId::from_bytes([1; 16]), student.clone(), policy.clone());
//! let mut laptop = Enrollments::create(ActorId::from_bytes([2; 16]), student, policy);
//! phone.request(&course, now)?;
//! laptop.merge(&mut phone, now)?;
//!
//! // The student takes the request back while an admin, elsewhere, approves it.
//! phone.cancel(&course, now)?;
//! laptop.approve(&course, &Nonce::new("command-1")?, &admin, now)?;
//! let changed = phone.merge(&mut laptop, now)?;
//! assert_eq!((changed[0].before, changed[0].after), (Status::Cancelled, Status::Cancelled)); // and a flag
//!
//! let shown = phone.course(&course, now);
//! assert_eq!(shown.status, Status::Cancelled);
//! assert_eq!(shown.flags[0].kind, FlagKind::ApprovedAfterCancel);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Facts
//!
//! Each is one text under `f/{course}/{fact id}`. The id is what makes a second device, or a webhook that is repeated, say
//! the same fact.
//!
//! | fact | id | who may author it |
//! |---|---|---|
//! | request, cancel | `rq.{epoch}`, `cx.{epoch}` | student |
//! | approve or reject, listing the decisions seen | `dc.{epoch}.{author}.{nonce}` | instructor < admin < owner |
//! | grant, for good or until it expires | `gr.admin.{author}.{nonce}` | admin, owner |
//! | | `gr.default` | system |
//! | | `gr.open.{epoch}` | system; the student, where the [`Policy`] says that the course is open |
//! | revoke, naming the grants it ends | `rv.{author}.{nonce}` | student (withdraw), system (expired), admin, owner |
//! | payment, with its amount | `pm.{payment}.{state}` | provider; the student says `pending` only, and of no amount |
//! | completed | `cp` | system, instructor, admin, owner |
//! | a state of a legacy row | `lg.{table}.{row}.{hash}` | system |
//!
//! What students say needs no signature: whoever may write a student's document speaks as the student. All else is signed
//! for this student, course and key (see [`crate::authority`]) by somebody whom the policy trusts in that role, in every
//! course or in this one ([`TrustSet::trust_in`](crate::authority::TrustSet::trust_in)); anything else is inert and told by [`Enrollments::inert`]. All values that survive under one key are read: nobody hides a fact
//! by writing something else at the same time. What somebody deletes or overwrites, [`Enrollments::heal`] puts back.
//!
//! # What follows from them
//!
//! * **Epochs.** Asking again after a cancellation, a rejection or a revocation is the next epoch. An epoch counts only when
//!   the one before it has come to an end. A signed decision attests that there was a request.
//! * **Decisions.** One that another of at least its rank had seen drops out; the highest rank left decides; equals that
//!   disagree deny, and are flagged.
//! * **Access** is any live grant: the approval of an epoch that was not cancelled, a grant that has not expired, a completed
//!   payment that was not refunded, an enrollment in the legacy rows; minus those that a revoke names. Ending everything
//!   also ends the request that still waits, so that it does not come back as pending.
//! * **Status** is the first that applies of [`Status`]. Pending while enrolled can't be expressed.
//! * **Flags** tell a person where facts met that did not know of each other, and the way out: a refund, a new decision, or
//!   an admin's grant that keeps the student in.
//!
//! | concurrently | result |
//! |---|---|
//! | request on two devices | one request |
//! | approve, reject by equals | rejected, flagged; a later approve that saw both decides; an owner's beats an admin's |
//! | approve, cancel | cancelled, flagged |
//! | payment completed, cancel or reject | active, flagged: money taken never locks anyone out in silence |
//! | grant, pending request | active |
//! | unenroll, progress | unenrolled; the progress is kept |
//! | unenroll, a payment it had not seen | active |
//! | refunded before completed, replays, failed after | refunded; three facts |
//! | two payments for one course | active, flagged |

mod authority;
mod fact;
mod fold;
mod heal;
mod id;
mod ledger;
mod operation;
mod policy;
mod status;
mod student;
mod view;

use std::borrow::{Borrow, BorrowMut};

pub use self::authority::LegacyRow;
pub use self::fact::{RevokeReason, Verdict};
pub use self::heal::Healed;
pub use self::id::{
    Author, Epoch, FactId, GrantId, GrantSource, LegacyId, LegacyTable, Nonce, PaymentId, PaymentState,
    PaymentTold, RowId,
};
pub use self::operation::{EnrollmentError, Operation};
pub use self::policy::Policy;
pub use self::status::Status;
pub use self::view::{
    CourseChange, CourseView, DecisionView, EnrollmentView, Flag, FlagKind, GrantView, PaymentView,
};

use self::fact::Reader;
use self::ledger::Ledger;
use crate::authority::SignatureCache;
use crate::document::{ApplyError, Change, Document};
use crate::id::{ActorId, CourseId, StudentId};
use crate::inert::InertList;
use crate::kind::{Kind, WrongKind};
use crate::time::Timestamp;

/// One student's enrollments: reads and writes the facts in a document, which it owns or borrows.
#[derive(Debug)]
pub struct Enrollments<D = Document> {
    document: D,
    state: EnrollmentState,
}

/// What [`Enrollments`] remembers of a document between uses: facts read, views folded, signatures checked.
#[derive(Debug)]
pub struct EnrollmentState {
    student: StudentId,
    policy: Policy,
    seen: SignatureCache,
    ledger: Ledger,
}

impl Enrollments {
    /// A new document for `student`, written to as `actor`.
    pub fn create(actor: ActorId, student: StudentId, policy: Policy) -> Self {
        let mut document = Document::new(actor);
        Kind::Enrollment.declare(&mut document);
        Self::open(document, student, policy).expect("just declared to be of this kind")
    }
}

impl<D: Borrow<Document>> Enrollments<D> {
    /// The enrollments of `student` in `document`. Authorities sign for this student: in anybody else's name their
    /// facts count for nothing.
    pub fn open(document: D, student: StudentId, policy: Policy) -> Result<Self, WrongKind> {
        Kind::Enrollment.check(document.borrow())?;
        let seen = SignatureCache::default();
        Ok(Self { document, state: EnrollmentState { student, policy, seen, ledger: Ledger::default() } })
    }

    /// Goes on where [`Enrollments::suspend`] left off. The document must be the one that the state was taken from; it
    /// may have changed since.
    pub fn resume(document: D, state: EnrollmentState) -> Self {
        Self { document, state }
    }

    /// Gives the document back, and what is remembered of it.
    pub fn suspend(self) -> (D, EnrollmentState) {
        (self.document, self.state)
    }

    pub fn document(&self) -> &Document {
        self.document.borrow()
    }

    pub fn student(&self) -> &StudentId {
        &self.state.student
    }

    pub fn policy(&self) -> &Policy {
        &self.state.policy
    }

    /// From now on these are trusted, and these courses are open. What was read under the old policy is read again.
    pub fn set_policy(&mut self, policy: Policy) {
        self.state.policy = policy;
        self.state.ledger.read_again();
    }

    /// The signatures found valid so far, to be kept with the device's own data.
    pub fn signatures(&self) -> &SignatureCache {
        &self.state.seen
    }

    /// Spares checking signatures that were found valid before.
    pub fn set_signatures(&mut self, seen: SignatureCache) {
        self.state.seen = seen;
    }

    /// Every course that the document says anything about, as of `now`.
    pub fn view(&mut self, now: Timestamp) -> &EnrollmentView {
        self.read();
        self.state.ledger.view(now)
    }

    /// Takes notice of what others did to the document, and of the time. Reads only what was touched. The courses that
    /// show something else than when this was last asked are returned; after opening, none are.
    pub fn refresh(&mut self, now: Timestamp) -> Vec<CourseChange> {
        self.read();
        self.state.ledger.take_changes(now)
    }

    /// One course, as of `now`. Costs nothing for the others.
    pub fn course(&mut self, course: &CourseId, now: Timestamp) -> &CourseView {
        self.read();
        self.state.ledger.course(course, now)
    }

    /// Everything in the document that counts for nothing, with the reasons.
    pub fn inert(&mut self, now: Timestamp) -> InertList {
        self.view(now);
        self.state.ledger.inert()
    }

    /// Whether a fact that counted has disappeared while this was looking: time to [`Enrollments::heal`].
    pub fn is_damaged(&mut self) -> bool {
        self.read();
        self.state.ledger.is_damaged()
    }

    fn read(&mut self) {
        let EnrollmentState { student, policy, seen, ledger } = &mut self.state;
        ledger.refresh(self.document.borrow(), &mut Reader { student, policy, seen });
    }
}

impl<D: BorrowMut<Document>> Enrollments<D> {
    /// The document, to exchange changes with peers. [`Enrollments::refresh`] afterwards.
    pub fn document_mut(&mut self) -> &mut Document {
        self.document.borrow_mut()
    }

    /// Takes in changes from storage or from peers, and tells which courses show something else.
    pub fn apply(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        now: Timestamp,
    ) -> Result<Vec<CourseChange>, ApplyError> {
        self.view(now);
        self.document.borrow_mut().apply(changes)?;
        Ok(self.refresh(now))
    }

    /// Takes in everything that `other` has, and tells which courses show something else.
    pub fn merge<E: BorrowMut<Document>>(
        &mut self,
        other: &mut Enrollments<E>,
        now: Timestamp,
    ) -> Result<Vec<CourseChange>, ApplyError> {
        self.view(now);
        self.document.borrow_mut().merge(other.document.borrow_mut())?;
        Ok(self.refresh(now))
    }
}

#[cfg(test)]
mod tests;
