//! One authored fact: what is stored for it, and when a stored text is one that counts.

use serde::{Deserialize, Serialize};

use super::id::{Author, FactId, GrantId, LegacyTable, PaymentState, parse_key};
use super::policy::{Policy, rank};
use super::status::Status;
use crate::authority::{AuthorityKey, PublicKey, Role, SignatureCache, Statement};
use crate::canonical;
use crate::document::Stored;
use crate::id::{CourseId, StudentId};
use crate::inert::InertReason;
use crate::kind::Kind;
use crate::limits::KEY_BYTES_MAX;
use crate::money::Money;
use crate::time::Timestamp;

/// What an authority decides on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    Approve,
    Reject,
}

/// Why grants are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RevokeReason {
    /// The student leaves.
    Withdraw,
    /// The student is taken out.
    Unenroll,
    /// The time of the grants is over. Nothing is owed.
    Expired,
}

/// The stored text of a fact, as fields. Which of them a fact has, its id says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) amount: Option<Money>,
    #[serde(default)]
    pub(super) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<PublicKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) grants: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) over: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<RevokeReason>,
}

impl Body {
    /// The text that a student, or anyone who may write the student's document, stores.
    pub(super) fn unsigned(&self) -> String {
        canonical::to_text(self)
    }

    /// The text that proves who stored it, for this place only.
    pub(super) fn signed(&self, student: &StudentId, key: &str, by: &AuthorityKey) -> String {
        let body = serde_json::to_value(Self { by: None, ..self.clone() }).expect("a body is JSON");
        by.sign(&statement(student, key), &body)
    }
}

fn statement<'a>(student: &'a StudentId, key: &'a str) -> Statement<'a> {
    Statement { kind: Kind::Enrollment.as_str(), subject: student.as_str(), key }
}

/// A fact that counts: readable, and authored by somebody who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// When its author says it happened. Information for people.
    pub(super) at: Timestamp,
    pub(super) by: Author,
    pub(super) content: Content,
}

/// What a fact says beyond its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// All is in the id.
    Plain,
    Decision(Decision),
    Grant {
        expires: Option<Timestamp>,
    },
    Revoke {
        why: RevokeReason,
        grants: Vec<GrantId>,
    },
    /// How much was paid or paid back, as its provider says.
    Payment {
        amount: Option<Money>,
    },
    Legacy {
        status: Option<Status>,
        payment: Option<PaymentState>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    pub(super) rank: u8,
    pub(super) over: Vec<FactId>,
}

/// Tells facts that count from everything else that may stand under a key.
pub(super) struct Reader<'a> {
    pub(super) student: &'a StudentId,
    pub(super) policy: &'a Policy,
    pub(super) seen: &'a mut SignatureCache,
}

impl Reader<'_> {
    /// Reads one value found under `key`, which is the key of `id` in `course`.
    pub(super) fn read(
        &mut self,
        key: &str,
        course: &CourseId,
        id: &FactId,
        stored: &Stored,
    ) -> Result<Fact, InertReason> {
        let text = stored.as_text().ok_or(InertReason::Foreign)?;
        let body: Body = canonical::from_text(text)?;
        let by = self.author(key, course, id, &body, text)?;
        let content = content(id, &body, by)?;
        Ok(Fact { at: body.at, by: by.author(), content })
    }

    /// Who authored the value, if they may.
    fn author(
        &mut self,
        key: &str,
        course: &CourseId,
        id: &FactId,
        body: &Body,
        text: &str,
    ) -> Result<Voice, InertReason> {
        let needs_signature = match id {
            FactId::Request(_) | FactId::Cancel(_) | FactId::Revoke { by: Author::Student, .. } => false,
            FactId::Payment { state, .. } => *state != PaymentState::Pending,
            FactId::OpenGrant(_) => body.by.is_some(),
            _ => true,
        };
        if !needs_signature {
            if matches!(id, FactId::OpenGrant(_)) && !self.policy.open_courses.contains(course) {
                return Err(InertReason::NotAllowed { why: "the course is not open" });
            }
            return Ok(Voice::Student);
        }
        let by = body.by.ok_or(InertReason::NotSigned)?;
        let role = self.policy.trust.role_in(course, &by).ok_or(InertReason::NotTrusted { by })?;
        if !may_author(role, id, body) {
            return Err(InertReason::NotEntitled { by, role });
        }
        if named_author(id).is_some_and(|named| named != by) {
            return Err(InertReason::Misplaced { by });
        }
        // Last, because it is what costs: nobody can make us check signatures of keys that could not matter.
        statement(self.student, key).check(text, self.seen)?;
        Ok(Voice::Authority { by, role })
    }
}

#[derive(Clone, Copy)]
enum Voice {
    Student,
    Authority { by: PublicKey, role: Role },
}

impl Voice {
    fn author(self) -> Author {
        match self {
            Self::Student => Author::Student,
            Self::Authority { by, .. } => Author::Key(by),
        }
    }
}

/// The table of who may author what, for facts that are signed.
pub(super) fn may_author(role: Role, id: &FactId, body: &Body) -> bool {
    let decides = matches!(role, Role::Instructor | Role::Admin | Role::Owner);
    let administers = matches!(role, Role::Admin | Role::Owner);
    match id {
        FactId::Request(_) | FactId::Cancel(_) => false,
        FactId::Decision { .. } => decides,
        FactId::AdminGrant { .. } => administers,
        FactId::DefaultGrant | FactId::OpenGrant(_) | FactId::Legacy(_) => role == Role::System,
        FactId::Revoke { .. } => {
            administers || role == Role::System && body.why == Some(RevokeReason::Expired)
        }
        FactId::Payment { .. } => role == Role::Provider,
        FactId::Completed => decides || role == Role::System,
    }
}

/// The author that the id itself names.
fn named_author(id: &FactId) -> Option<PublicKey> {
    match id {
        FactId::Decision { by, .. }
        | FactId::AdminGrant { by, .. }
        | FactId::Revoke { by: Author::Key(by), .. } => Some(*by),
        _ => None,
    }
}

fn content(id: &FactId, body: &Body, voice: Voice) -> Result<Content, InertReason> {
    let lacks = |what| InertReason::Unreadable(format!("the fact does not say its {what}"));
    Ok(match id {
        FactId::Request(_) | FactId::Cancel(_) | FactId::Completed => Content::Plain,
        FactId::Payment { .. } => {
            // What a student says of money is not known to be so.
            let amount = body.amount.filter(|_| matches!(voice, Voice::Authority { .. }));
            Content::Payment { amount }
        }
        FactId::Decision { .. } => {
            let Voice::Authority { role, .. } = voice else { return Err(InertReason::NotSigned) };
            let rank = rank(role).expect("who may author a decision has a rank");
            let over = body.over.iter().filter_map(|id| id.parse().ok()).collect();
            Content::Decision(Decision { verdict: body.verdict.ok_or_else(|| lacks("verdict"))?, rank, over })
        }
        FactId::AdminGrant { .. } | FactId::DefaultGrant | FactId::OpenGrant(_) => {
            Content::Grant { expires: body.expires }
        }
        FactId::Revoke { .. } => {
            let why = body.why.ok_or_else(|| lacks("reason"))?;
            if matches!(voice, Voice::Student) && why != RevokeReason::Withdraw {
                return Err(InertReason::NotAllowed { why: "a student may only withdraw" });
            }
            Content::Revoke { why, grants: body.grants.iter().filter_map(|id| id.parse().ok()).collect() }
        }
        FactId::Legacy(legacy) => {
            let word = body.status.as_deref();
            let (status, payment) = match legacy.table {
                LegacyTable::Enrollments | LegacyTable::AccessRequests => {
                    (word.map(Status::from_legacy).transpose()?, None)
                }
                LegacyTable::Payments => (None, word.map(PaymentState::from_legacy).transpose()?),
                LegacyTable::StudentProgress => (None, None),
            };
            Content::Legacy { status, payment }
        }
    })
}

/// Takes a root key apart, or says why no fact can stand there.
pub(super) fn parse(key: &str) -> Result<(CourseId, FactId), InertReason> {
    if key.len() > KEY_BYTES_MAX {
        return Err(InertReason::KeyTooLong { bytes: key.len() });
    }
    parse_key(key).ok_or(InertReason::UnknownKey)
}
